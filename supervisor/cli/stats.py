"""`sluice stats`: what the running gateway has done and is doing, as a table or as JSON."""

import json
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from supervisor.cli.asking import ask, endpoint_of, endpoint_option
from supervisor.cli.common import common_options, print_json
from supervisor.problems import escape

INTERVAL = 1.0  # seconds
COLUMNS = ("slot", "pid", "state", "generation", "restarts")


@click.command()
@click.option("--watch", is_flag=True, help="Show them again every second, until Ctrl-C.")
@endpoint_option
@common_options
def stats(watch: bool, config: str | None, as_json: bool, endpoint: str | None) -> None:
    """Show the counters and workers of a running gateway.

    Counters have the names of the metrics, without their prefix, and are sums over all workers and labels since the
    start; behind them stands what they consist of. With --watch also how much they grew in a second.

    \b
    Examples:
      sluice stats
      sluice stats --watch
      sluice stats --json | jq .counters.tunnels_open
      sluice stats --json --watch       one line of JSON a second

    Exit codes: 0 shown, 1 no gateway answers, 2 no configuration.
    """
    target = endpoint_of(config, endpoint)
    console = Console(highlight=False, markup=False)
    before: dict[str, Any] | None = None
    try:
        while True:
            answer = ask(target, {"op": "stats"})
            answer.pop("ok", None)
            if as_json and watch:
                click.echo(json.dumps(answer, ensure_ascii=True))
            elif as_json:
                print_json(answer)
            else:
                if watch and console.is_terminal:
                    console.clear()
                _show(console, answer, before)
            if not watch:
                return
            before = answer
            time.sleep(INTERVAL)
    except KeyboardInterrupt:
        return


def _show(console: Console, answer: dict[str, Any], before: dict[str, Any] | None) -> None:
    draining = ", draining" if answer.get("draining") else ""
    console.print(
        f"sluice {escape(str(answer['version']))}, generation {answer['generation']}, "
        f"up {int(float(answer.get('uptime', 0)))} s{draining}"
    )
    for problem in answer.get("problems", []):
        console.print(f"last reload refused: {escape(str(problem))}")
    if needed := answer.get("restart_needed"):
        console.print(f"restart needed for: {escape(', '.join(map(str, needed)))}")
    workers = Table(*COLUMNS, box=None, pad_edge=False)
    for worker in answer["workers"]:
        loop = " (crash loop)" if worker.get("crash_loop") else ""
        cells = {name: "-" if worker[name] is None else str(worker[name]) for name in COLUMNS}
        cells["state"] += loop
        workers.add_row(*(escape(cells[name]) for name in COLUMNS))
    console.print(workers)
    console.print(_counters(answer, before))


def _counters(answer: dict[str, Any], before: dict[str, Any] | None) -> Table:
    """Each counter, how fast it grew since the answer before, and what its sum consists of."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    for name, value in answer["counters"].items():
        parts = sorted(answer.get("by_label", {}).get(name, {}).items(), key=lambda part: -part[1])
        shown = ", ".join(f"{label} {count}" for label, count in parts if count)
        table.add_row(escape(str(name)), str(value), _rate(name, answer, before), escape(shown))
    return table


def _rate(name: str, answer: dict[str, Any], before: dict[str, Any] | None) -> str:
    if before is None or not name.endswith("_total") or name not in before["counters"]:
        return ""
    seconds = float(answer["uptime"]) - float(before["uptime"])
    grown = answer["counters"][name] - before["counters"][name]
    return f"{grown / seconds:.0f}/s" if seconds > 0 and grown > 0 else ""
