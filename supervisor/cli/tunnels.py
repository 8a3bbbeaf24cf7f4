"""`sluice tunnels`: the live tunnels of the running gateway, as a table or as JSON, and the end of one of them."""

import sys
from typing import Any

import click

from supervisor.cli.asking import Target, ask, endpoint_of, endpoint_option
from supervisor.cli.common import PROBLEM, USAGE, common_options, fail, print_json
from supervisor.cli.tables import aligned
from supervisor.source.escape import escape
from supervisor.tunnels.filter import FilterError, TunnelFilter, make_filter

PAGE = 1000
PATIENCE = 30.0  # seconds: a gateway may have a hundred thousand tunnels to look through
HEAD = ("ID", "AGE", "PROTOCOL", "SOURCE", "DESTINATION", "RULE", "UP", "DOWN", "STATE")
RIGHT = frozenset(map(HEAD.index, ("AGE", "UP", "DOWN")))
UNITS = ("", "K", "M", "G", "T", "P", "E")


@click.command()
@click.option("--from", "workload", metavar="SOURCE", help="An IP address or CIDR, NS/SA, a namespace, or a user.")
@click.option("--to", metavar="DESTINATION", help="A host, *.suffix, IP address or CIDR, with or without :port.")
@click.option("--rule", metavar="NAME", help="The rule that decided: Kind/namespace/name, or Kind/name.")
@click.option("--kill", metavar="ID", help="Reset this one tunnel.")
@click.option("--limit", type=click.IntRange(1, PAGE), help="How many to list at most (default: 1000).")
@click.option("--after", metavar="NEXT", help="Go on where an earlier list ended.")
@endpoint_option
@common_options
def tunnels(
    config: str | None,
    as_json: bool,
    endpoint: str | None,
    kill: str | None,
    workload: str | None,
    to: str | None,
    rule: str | None,
    **page: str | int | None,
) -> None:
    """List the live tunnels of a running gateway, or kill one.

    Filters combine. Bytes are those carried so far. A tunnel that policy denies by now is `revoked` when it has
    shutdown.drain to end, or `kept`, as the `onRevoke` of its rule says; RULE then shows what denies it.

    \b
    Examples:
      sluice tunnels
      sluice tunnels --from shop/cart --to '*.example.com'
      sluice tunnels --to 203.0.113.0/24:443 --json | jq -r '.items[].id'
      sluice tunnels --kill 0-19a3b2c4d5e-17

    Exit codes: 0 listed or killed, 1 no such tunnel or no gateway answers, 2 bad arguments or no configuration.
    """
    filters = {"from": workload, "to": to, "rule": rule}
    request = {name: value for name, value in {**filters, **page}.items() if value is not None}
    if kill is not None and request:
        fail("--kill takes one id, and nothing else goes with it", USAGE)
    try:
        make_filter(TunnelFilter(workload, to, rule))
    except FilterError as wrong:
        fail(escape(str(wrong)), USAGE)
    target = endpoint_of(config, endpoint)
    if kill is not None:
        _kill(target, kill, as_json)
        return
    answer: dict[str, Any] = ask(target, {"op": "tunnels", **request}, PATIENCE)
    answer.pop("ok", None)
    if as_json:
        print_json(answer)
        return
    for line in aligned([HEAD, *map(_row, answer["items"])], RIGHT):
        click.echo(line)
    if answer["next"]:
        click.echo(f"there are more: add --after {escape(str(answer['next']))}", err=True)


def _kill(target: Target, wanted: str, as_json: bool) -> None:
    answer = ask(target, {"op": "kill", "id": wanted})
    answer.pop("ok", None)
    if as_json:
        print_json(answer)
    elif answer.get("ended"):
        click.echo(f"{escape(wanted)} was reset")
    else:
        click.echo(f"sluice: {escape(wanted)} is to be reset; its worker has not followed yet", err=True)
    if not answer.get("ended"):
        sys.exit(PROBLEM)


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    source, destination = item["source"], item["destination"]
    who = source["user"] or source["identity"]
    address = _join(source["ip"], source["port"])
    asked, dialed = destination["host"], destination["address"]
    where = _join(asked, destination["port"]) + (f" ({dialed})" if dialed not in (None, asked) else "")
    audit = " (audit)" if item["would_deny"] else ""
    cells = (
        item["id"],
        _age(item["duration_ms"]),
        item["protocol"],
        f"{who} {address}" if who else address,
        where,
        (item["rule"] or item["reason"]) + audit,
        _size(item["bytes_up"]),
        _size(item["bytes_down"]),
        _state(item),
    )
    return tuple(escape(str(cell)) for cell in cells)


def _state(item: dict[str, Any]) -> str:
    """A tunnel that policy denies now, and lets live, is shown as kept (`onRevoke: keep`)."""
    return "kept" if item["verdict"] == "deny" and item["state"] != "revoked" else str(item["state"])


def _join(host: str | None, port: int) -> str:
    return f"[{host}]:{port}" if host and ":" in host else f"{host or '-'}:{port}"


def _age(milliseconds: int) -> str:
    """`17s`, `5m03s`, `2h05m`, `3d07h`."""
    minutes, second = divmod(milliseconds // 1000, 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days}d{hour:02}h"
    if hours:
        return f"{hour}h{minute:02}m"
    return f"{minute}m{second:02}s" if minutes else f"{second}s"


def _size(count: int) -> str:
    """`0`, `812`, `1.5K`, `30M`: powers of 1024."""
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f}{UNITS[unit]}" if unit and value < 9.95 else f"{value:.0f}{UNITS[unit]}"
