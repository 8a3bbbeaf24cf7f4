"""`sluice drain`: the running gateway stops accepting and stays up while its tunnels end."""

import click

from supervisor.cli.asking import ask, endpoint_of, endpoint_option
from supervisor.cli.common import common_options, print_json


@click.command()
@endpoint_option
@common_options
def drain(config: str | None, as_json: bool, endpoint: str | None) -> None:
    """Make a running gateway stop accepting. Open tunnels go on until they end, for `shutdown.drain` at most.

    The process stays up and answers `sluice stats`; end it with SIGTERM. Only a restart accepts tunnels again.

    \b
    Example:
      sluice drain && sluice stats --watch     see the tunnels go

    Exit codes: 0 draining, 1 no gateway answers, 2 no configuration.
    """
    answer = ask(endpoint_of(config, endpoint), {"op": "drain"})
    if as_json:
        print_json(answer)
        return
    seconds = float(str(answer.get("seconds", 0)))
    click.echo(f"no new connections are accepted; tunnels have {seconds:g} s to end")
