"""The admin endpoint's pages as HTML, for people with a browser: its JSON in tables. Every text is escaped."""

import html
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from supervisor.policy import rule_listing
from supervisor.source.escape import escape

__all__ = ["PAGES", "index"]

Answer = Mapping[str, Any]
STYLE: Final = (
    "body{font-family:sans-serif;margin:2em;line-height:1.4}table{border-collapse:collapse;margin:1em 0}"
    "td,th{padding:.2em 1.2em .2em 0;text-align:left;vertical-align:top}th{border-bottom:1px solid}"
    "tr:nth-child(even) td{background:#f4f4f4}.n{text-align:right}.bad{color:#a00}nav a{margin-right:1.2em}"
    "input{margin-right:.8em}"
)
LINKS: Final = (
    ("/", "Sluice"),
    ("/stats", "counters and workers"),
    ("/tunnels", "live tunnels"),
    ("/policy", "rules"),
    ("/metrics", "metrics"),
)
UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


def index(stats: Answer, not_ready: str) -> str:
    """`/`: what there is, and whether the gateway serves."""
    rows = (
        ("/stats", "counters and workers"),
        ("/tunnels", "live tunnels: ?from= &to= &rule= &limit= &after="),
        ("/policy", "the rules of the active policy, each with its file and line"),
        (
            "/explain?to=example.com:443",
            "one decision, as JSON: ?to= &from= &user= &source= &address=; without a source also who can reach it",
        ),
        ("/explain?source=127.0.0.1", "what a source can reach, as JSON: ?from= &user= &source= &limit= &after="),
        ("/metrics", "for Prometheus"),
        ("/healthz", "alive"),
        ("/readyz", "serving"),
    )
    cells = "".join(f'<tr><td><a href="{_text(path)}">{_text(path)}</a><td>{_text(words)}' for path, words in rows)
    return _page(
        "Sluice",
        f"<p>{_state(stats, not_ready)}</p>{_problems(stats)}<table>{cells}</table>"
        "<p>By POST with the token: /reload, /drain, /tunnels/ID/kill. "
        "Programs get JSON of the same pages: their Accept does not name text/html.</p>",
    )


def stats(answer: Answer, query: Answer) -> str:
    """`/stats`: workers, and every counter with what its sum consists of."""
    workers = [
        [worker["slot"], worker["pid"], _worker_state(worker), worker["generation"], worker["restarts"]]
        for worker in answer["workers"]
    ]
    by_label = answer.get("by_label", {})
    counters = [[name, value, _parts(by_label.get(name, {}))] for name, value in answer["counters"].items()]
    own = [[name, value] for name, value in answer.get("supervisor", {}).items()]
    return _page(
        "Counters and workers",
        f"<p>{_state(answer)}, up {duration(answer.get('uptime', 0))}</p>{_problems(answer)}"
        f"<h2>Workers</h2>{_table(('worker', 'pid', 'state', 'generation', 'restarts'), workers)}"
        f"<h2>Counters since the start, over all workers</h2>{_table(('counter', 'value', 'of it'), counters, (1,))}"
        f"<h2>Supervisor</h2>{_table(('counter', 'value'), own, (1,))}",
    )


def tunnels(answer: Answer, query: Answer) -> str:
    """`/tunnels`: the live tunnels of a page, and fields to filter them by."""
    head = ("id", "age", "protocol", "source", "destination", "rule", "up", "down", "state")
    rows = [_tunnel(item) for item in answer["items"]]
    fields = "".join(
        f'<label>{name} <input name="{name}" value="{_text(query.get(name, ""))}"></label>'
        for name in ("from", "to", "rule")
    )
    count = f"{len(rows)} shown" + (", there are more" if answer["next"] else "")
    return _page(
        "Live tunnels",
        f'<form action="/tunnels">{fields}<input type="submit" value="filter"></form><p>{count}</p>'
        f"{_table(head, rows, (6, 7))}{_more('/tunnels', answer, query)}",
    )


def policy(answer: Answer, query: Answer) -> str:
    """`/policy`: the rules of a page, each with its file and line."""
    loaded = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(answer["loaded_at"]))
    counts = ", ".join(f"{number} {name}" for name, number in answer["counts"].items() if number)
    warnings = "".join(f"<li>{_text(warning)}" for warning in answer["warnings"])
    head = tuple(name.lower() for name in rule_listing.HEAD)
    return _page(
        "Rules",
        f"<p>Generation {answer['generation']}, of {_text(answer['config'])}, read {loaded}: {_text(counts)}</p>"
        f"{f'<h2>Warnings</h2><ul>{warnings}</ul>' if warnings else ''}"
        f"{_table(head, rule_listing.rows(answer['items']), (1,))}{_more('/policy', answer, query)}",
    )


# By the operation of the control endpoint that the page shows.
PAGES: Final[Mapping[str, Callable[[Answer, Answer], str]]] = {"stats": stats, "tunnels": tunnels, "policy": policy}


def size(count: int) -> str:
    """`812 bytes`, `1.5 KiB`, `30 MiB`."""
    value, unit = float(count), 0
    while value >= 1024 and unit < len(UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {UNITS[unit]}" if unit and value < 10 else f"{value:.0f} {UNITS[unit]}"


def duration(seconds: float) -> str:
    """`17 s`, `5 min 3 s`, `2 h 5 min`, `3 d 7 h`."""
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    if days:
        return f"{days} d {hour} h"
    if hours:
        return f"{hour} h {minute} min"
    return f"{minute} min {second} s" if minutes else f"{second} s"


def _tunnel(item: Answer) -> list[object]:
    source, destination = item["source"], item["destination"]
    who = source["user"] or source["identity"] or ""
    host, dialed = destination["host"] or "-", destination["address"]
    where = f"{_bracketed(host)}:{destination['port']}" + (f" ({dialed})" if dialed not in (None, host) else "")
    kept = item["verdict"] == "deny" and item["state"] != "revoked"
    return [
        item["id"],
        duration(item["duration_ms"] / 1000),
        item["protocol"],
        f"{who} {_bracketed(source['ip'])}:{source['port']}".strip(),
        where,
        (item["rule"] or item["reason"]) + (" (audit)" if item["would_deny"] else ""),
        size(item["bytes_up"]),
        size(item["bytes_down"]),
        "kept" if kept else item["state"],
    ]


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _worker_state(worker: Answer) -> str:
    return f"{worker['state']} (crash loop)" if worker.get("crash_loop") else str(worker["state"])


def _parts(parts: Mapping[str, int]) -> str:
    found = sorted(parts.items(), key=lambda part: -part[1])
    return ", ".join(f"{label} {count}" for label, count in found if count)


def _state(answer: Answer, not_ready: str | None = None) -> str:
    state = ("draining" if answer.get("draining") else "serving") if not_ready is None else not_ready or "serving"
    return f"sluice {_text(answer['version'])}, generation {_text(answer['generation'])}, {_text(state)}"


def _problems(answer: Answer) -> str:
    """Reasons of the last refused reload, and keys that wait for a restart."""
    problems = "".join(f"<li>{_text(problem)}" for problem in answer.get("problems", ()))
    needed = ", ".join(map(str, answer.get("restart_needed", ())))
    return (f'<p class="bad">The last reload was refused:</p><ul>{problems}</ul>' if problems else "") + (
        f"<p>Restart needed for: {_text(needed)}</p>" if needed else ""
    )


def _more(path: str, answer: Answer, query: Answer) -> str:
    """A form with a button for the next page: the filters stay."""
    if not answer["next"]:
        return ""
    fields = {**query, "after": answer["next"]}
    hidden = "".join(
        f'<input type="hidden" name="{_text(name)}" value="{_text(value)}">' for name, value in fields.items()
    )
    return f'<form action="{path}">{hidden}<input type="submit" value="next page"></form>'


def _table(head: Sequence[str], rows: Iterable[Sequence[object]], right: Sequence[int] = ()) -> str:
    """Cells are escaped; `right` are the columns of numbers."""
    number = [' class="n"' if index in right else "" for index in range(len(head))]
    lines = ["".join(f"<th{number[index]}>{_text(name)}" for index, name in enumerate(head))]
    for row in rows:
        lines.append("".join(f"<td{number[index]}>{_text(cell)}" for index, cell in enumerate(row)))
    return "<table>" + "".join(f"<tr>{line}\n" for line in lines) + "</table>"


def _text(value: object) -> str:
    """For HTML, between tags and in quotes; bytes of clients that are not printable are shown as \\xNN."""
    return html.escape("-" if value is None else escape(str(value)))


def _page(title: str, body: str) -> str:
    links = "".join(f'<a href="{path}">{words}</a>' for path, words in LINKS)
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>sluice: {_text(title)}</title>'
        f"<style>{STYLE}</style><nav>{links}</nav><h1>{_text(title)}</h1>{body}</html>\n"
    )
