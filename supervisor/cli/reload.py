"""`sluice reload`: makes the running gateway read its files again, and waits until every worker follows."""

import click

from supervisor.cli.asking import ask, endpoint_of, endpoint_option
from supervisor.cli.common import common_options, print_json
from supervisor.source.escape import escape

PATIENCE = 180.0  # seconds: a compile may take 60, and another may be under way


@click.command()
@endpoint_option
@common_options
def reload(config: str | None, as_json: bool, endpoint: str | None) -> None:
    """Make a running gateway read sluice.yaml and every file it names again: everything, or nothing.

    Returns once every worker decides by the new policy. When a file is wrong nothing changes, and the problems are
    printed as `sluice check` prints them. `kill -HUP` does the same without waiting.

    \b
    Examples:
      sluice reload                     the gateway of ./sluice.yaml, else /etc/sluice/sluice.yaml
      sluice check && sluice reload     look first

    Exit codes: 0 active (also where some keys need a restart), 1 refused or no gateway answers, 2 no configuration.
    """
    answer = ask(endpoint_of(config, endpoint), {"op": "reload"}, PATIENCE)
    if as_json:
        print_json(answer)
        return
    for warning in _texts(answer.get("warnings")):
        click.echo(f"warning: {escape(warning)}", err=True)
    click.echo(f"generation {answer.get('generation')} is active")
    for line in _texts(answer.get("listeners")):
        click.echo(f"listener {escape(line)}")
    if keys := _texts(answer.get("restart_needed")):
        click.echo(f"restart needed for: {', '.join(map(escape, keys))}")


def _texts(value: object) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []
