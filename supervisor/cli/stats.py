"""`sluice stats`: what the running gateway has done and is doing, as a table or as JSON."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn

import click

from supervisor.cli.asking import Target, ask, endpoint_of, endpoint_option
from supervisor.cli.common import common_options, print_json
from supervisor.cli.route_figures import figures, table
from supervisor.cli.tables import aligned
from supervisor.source.escape import escape

INTERVAL = 1.0  # seconds
COLUMNS = ("slot", "pid", "state", "generation", "restarts")
HEAD = ["WORKER", "PID", "STATE", "GENERATION", "RESTARTS"]


@click.command()
@click.option("--watch", is_flag=True, help="Show them again every second, until Ctrl-C.")
@click.option("--routes", is_flag=True, help="Show HTTP requests by route instead.")
@endpoint_option
@common_options
def stats(watch: bool, routes: bool, config: str | None, as_json: bool, endpoint: str | None) -> None:
    """Show the counters and workers of a running gateway.

    Counters have the names of the metrics, without their prefix, and are sums over all workers and labels since the
    start; behind them stands what they consist of. With --watch also how much they grew in a second; a terminal then
    shows those that are not 0.

    With --routes: requests in a second, the share that succeeded (any answer but 5xx), and the time that half, 95 and
    99 per cent of them took at most; since the start, with --watch since the table before.

    \b
    Examples:
      sluice stats
      sluice stats --watch
      sluice stats --routes
      sluice stats --json | jq .counters.tunnels_open
      sluice stats --json --watch       one line of JSON a second

    Exit codes: 0 shown, 1 no gateway answers, 2 no configuration.
    """
    target = endpoint_of(config, endpoint)
    view = View(target, routes)
    try:
        if not watch:
            _show(view, view.ask(), None, as_json)
        elif as_json or not sys.stdout.isatty():
            _follow(view, lambda answer, before: _show(view, answer, before, as_json, watch=True))
        else:
            _follow_on_terminal(view)
    except KeyboardInterrupt:
        return
    except BrokenPipeError:  # `| head`: it has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class View(NamedTuple):
    """The gateway that is asked, and what for."""

    target: Target
    routes: bool

    def ask(self) -> dict[str, Any]:
        """The answer to `stats`."""
        more = {"routes": True} if self.routes else {}
        answer: dict[str, Any] = ask(self.target, {"op": "stats", **more})
        answer.pop("ok", None)
        return answer

    def lines(self, answer: dict[str, Any], before: dict[str, Any] | None, zeros: bool = True) -> Iterator[str]:
        """For people."""
        return table(figures(answer, before)) if self.routes else _lines(answer, before, zeros)

    def shown(self, answer: dict[str, Any], before: dict[str, Any] | None) -> dict[str, Any]:
        """For programs: of routes the figures, not the counts."""
        return {"routes": figures(answer, before)} if self.routes else answer


def _follow(view: View, show: Callable[[dict[str, Any], dict[str, Any] | None], None]) -> NoReturn:
    before: dict[str, Any] | None = None
    while True:
        answer = view.ask()
        show(answer, before)
        before = answer
        time.sleep(INTERVAL)


def _follow_on_terminal(view: View) -> NoReturn:
    from rich.live import Live  # a seventh of what the command loads
    from rich.text import Text

    with Live(screen=True, auto_refresh=False) as live:

        def update(answer: dict[str, Any], before: dict[str, Any] | None) -> None:
            live.update(Text("\n".join(view.lines(answer, before, zeros=False))), refresh=True)

        _follow(view, update)


def _show(
    view: View, answer: dict[str, Any], before: dict[str, Any] | None, as_json: bool, watch: bool = False
) -> None:
    if as_json and watch:
        click.echo(json.dumps(view.shown(answer, before), ensure_ascii=True))
    elif as_json:
        print_json(view.shown(answer, before))
    else:
        click.echo("\n".join(view.lines(answer, before)) + ("\n" if watch else ""))


def _lines(answer: dict[str, Any], before: dict[str, Any] | None, zeros: bool = True) -> Iterator[str]:
    draining = ", draining" if answer.get("draining") else ""
    yield (
        f"sluice {escape(str(answer['version']))}, generation {answer['generation']}, "
        f"up {int(float(answer.get('uptime', 0)))} s{draining}"
    )
    if problems := answer.get("problems"):
        yield "the last reload was refused:"
        yield from (f"  {escape(str(problem))}" for problem in problems)
    if needed := answer.get("restart_needed"):
        yield f"restart needed for: {escape(', '.join(map(str, needed)))}"
    yield ""
    yield from aligned([HEAD, *map(_worker, answer["workers"])])
    yield ""
    shown = [name for name, value in answer["counters"].items() if value or zeros]
    yield from aligned([_counter(name, answer, before) for name in shown], right=(1, 2))


def _worker(worker: dict[str, Any]) -> list[str]:
    loop = " (crash loop)" if worker.get("crash_loop") else ""
    cells = ["-" if worker[name] is None else str(worker[name]) for name in COLUMNS]
    cells[COLUMNS.index("state")] += loop
    return [escape(cell) for cell in cells]


def _counter(name: str, answer: dict[str, Any], before: dict[str, Any] | None) -> list[str]:
    """A counter, how fast it grew since the answer before, and what its sum consists of."""
    parts = sorted(answer.get("by_label", {}).get(name, {}).items(), key=lambda part: -part[1])
    shown = ", ".join(f"{label} {count}" for label, count in parts if count)
    return [escape(name), str(answer["counters"][name]), _rate(name, answer, before), escape(shown)]


def _rate(name: str, answer: dict[str, Any], before: dict[str, Any] | None) -> str:
    if before is None or not name.endswith("_total") or name not in before["counters"]:
        return ""
    seconds = float(answer["uptime"]) - float(before["uptime"])
    grown = answer["counters"][name] - before["counters"][name]
    return f"{grown / seconds:.0f}/s" if seconds > 0 and grown > 0 else ""
