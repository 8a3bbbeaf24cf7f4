"""`sluice stats`: what the running gateway has done and is doing, as a table or as JSON."""

import json
import time
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from supervisor.cli.asking import ask, endpoint_of
from supervisor.cli.common import common_options, print_json
from supervisor.problems import escape

INTERVAL = 1.0  # seconds
COLUMNS = ("slot", "pid", "state", "generation", "restarts")


@click.command()
@click.option("--watch", is_flag=True, help="Show them again every second, until Ctrl-C.")
@common_options
def stats(watch: bool, config: str | None, as_json: bool) -> None:
    """Show the counters and workers of a running gateway.

    Counters have the names of the metrics, without their prefix, and are sums over all workers since the start.

    \b
    Examples:
      sluice stats
      sluice stats --watch
      sluice stats --json | jq .counters.tunnels_open
      sluice stats --json --watch       one line of JSON a second

    Exit codes: 0 shown, 1 no gateway answers, 2 no configuration.
    """
    endpoint = endpoint_of(config)
    console = Console(highlight=False, markup=False)
    try:
        while True:
            answer = ask(endpoint, {"op": "stats"})
            answer.pop("ok", None)
            if as_json and watch:
                click.echo(json.dumps(answer, ensure_ascii=True))
            elif as_json:
                print_json(answer)
            else:
                if watch and console.is_terminal:
                    console.clear()
                _show(console, answer)
            if not watch:
                return
            time.sleep(INTERVAL)
    except KeyboardInterrupt:
        return


def _show(console: Console, answer: dict[str, Any]) -> None:
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
    counters = Table(box=None, pad_edge=False, show_header=False)
    counters.add_column()
    counters.add_column(justify="right")
    for name, value in answer["counters"].items():
        counters.add_row(escape(str(name)), str(value))
    console.print(counters)
