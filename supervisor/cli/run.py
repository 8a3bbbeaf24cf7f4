"""`sluice run`: the gateway itself, in the foreground."""

import atexit
import os
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Final, NoReturn

import click

from supervisor.cli.common import USAGE, config_option, fail, need_config

SAMPLE: Final = Path(__file__).resolve().parent.parent / "sample" / "sluice.yaml"
SHUT: Final = "tracker.example.com"  # a host that the sample policy denies by name


@click.command()
@click.option("--demo", is_flag=True, help="Run the sample that comes with sluice, with a local origin to reach.")
@config_option
def run(demo: bool, config: str | None) -> None:
    """Run the gateway in the foreground until it is told to end.

    Its log goes to stderr, the access log to stdout unless `logs.access` says otherwise.

    \b
    Signals:
      HUP     read the files again, as `sluice reload` does
      TERM    stop accepting, let tunnels end (shutdown.drain), then end; once more: end now
      INT     end now
      USR1    open the access log again, after a rotation

    \b
    Examples:
      sluice run                        with ./sluice.yaml, else /etc/sluice/sluice.yaml
      sluice run -c staging.yaml
      sluice run --demo                 needs no configuration and no internet

    Exit codes: 0 ended as told, 1 it cannot start (the reason is on stderr), 2 no configuration found.
    """
    # The gateway's modules are many: `--help` and mistakes do not wait for them.
    from supervisor.supervisor import Options
    from supervisor.supervisor import run as serve

    if not demo:
        _end(serve(need_config(config), Options()))
    if config is not None:
        fail("--demo brings its own configuration: -c does not go with it", USAGE)
    _end(_demo())


def _end(status: int) -> NoReturn:
    """Ends at once: the gateway has given everything back, and a password that is still being checked on a thread would
    hold the interpreter's own end up."""
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _demo() -> int:
    from supervisor.config import load_config
    from supervisor.demo import PORT, open_sockets
    from supervisor.errors import StartError
    from supervisor.machine import control_endpoint
    from supervisor.process import python_command
    from supervisor.supervisor import Companion, Options
    from supervisor.supervisor import run as serve

    listener = load_config(str(SAMPLE)).listeners[0].address
    if not control_endpoint():
        folder = tempfile.TemporaryDirectory(prefix="sluice-demo-")
        atexit.register(folder.cleanup)
        os.environ["XDG_RUNTIME_DIR"] = folder.name
    try:
        sockets = open_sockets()
    except StartError as error:
        fail(str(error))
    origin = Companion(
        "the demo's origin",
        python_command("supervisor.demo", "--sockets", str(len(sockets))),
        [opened.fileno() for opened in sockets],
    )
    command = shlex.quote(sys.argv[0])
    lines = (
        f"curl --socks5-hostname {listener} http://localhost:{PORT}/",
        f"curl -sSi -p -x http://{listener} http://{SHUT}/",
        f"{command} explain -c {shlex.quote(str(SAMPLE))} --source 127.0.0.1 --to {SHUT}:443",
    )

    def ready() -> None:
        for opened in sockets:
            opened.close()  # the origin has its own copies: when it ends, connections are refused
        click.echo(
            "Try, in another terminal (the first is allowed, the second denied with its reason, the third says why):"
        )
        for line in lines:
            click.echo(f"  {line}")

    return serve(str(SAMPLE), Options(companions=[origin], on_ready=ready))
