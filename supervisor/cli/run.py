"""`sluice run`: the gateway itself, in the foreground."""

import atexit
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NoReturn

import click

from supervisor.cli.common import USAGE, config_option, fail, need_config, warn_of_neighbour

SAMPLE: Final = Path(__file__).resolve().parent.parent / "sample" / "sluice.yaml"
SHUT: Final = "tracker.example.com"  # a host that the sample policy denies by name


@click.command()
@click.option("--demo", is_flag=True, help="Run the sample that comes with sluice, with a local origin to reach.")
@click.option("--takeover", is_flag=True, help="Take over from the gateway that runs with the same control endpoint.")
@config_option
def run(demo: bool, takeover: bool, config: str | None) -> None:
    """Run the gateway in the foreground until a signal ends it.

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
      sluice run --takeover             a restart or an upgrade: the running gateway drains, no connection is lost

    Exit codes: 0 ended by a signal, 1 it cannot start (the reason is on stderr), 2 no configuration found.
    """
    # The gateway's modules are many: `--help` and mistakes do not wait for them.
    from supervisor.supervisor import Options
    from supervisor.supervisor import run as serve

    warn_of_neighbour()
    if not demo:
        _end(serve(need_config(config), Options(takeover=takeover)))
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
    from supervisor.companion import Companion
    from supervisor.config.reader import load_config
    from supervisor.demo import PORT, open_sockets
    from supervisor.host.errors import StartError
    from supervisor.host.machine import control_endpoint
    from supervisor.host.process import python_command
    from supervisor.supervisor import Options
    from supervisor.supervisor import run as serve

    listener = load_config(str(SAMPLE)).listeners[0].address
    elsewhere = ""
    if not control_endpoint():
        folder = tempfile.TemporaryDirectory(prefix="sluice-demo-")
        atexit.register(folder.cleanup)
        os.environ["XDG_RUNTIME_DIR"] = folder.name
        elsewhere = f" --endpoint {shlex.quote(control_endpoint())}"  # other terminals have another environment
    try:
        sockets = open_sockets()
    except StartError as error:
        fail(str(error))
    origin = Companion(
        "the demo's origin",
        python_command("supervisor.demo", "--sockets", str(len(sockets))),
        [opened.fileno() for opened in sockets],
    )
    command, sample = shlex.quote(os.path.abspath(sys.argv[0])), shlex.quote(str(SAMPLE))
    asking = f"-c {sample}{elsewhere}"

    def ready(workers: Sequence[int]) -> None:
        for opened in sockets:
            opened.close()  # the origin has its own copies: when it ends, connections are refused
        click.echo(
            "Try, in another terminal (the first is allowed, the second denied with its reason, the third says why):\n"
            f"  curl --socks5-hostname {listener} http://localhost:{PORT}/\n"
            f"  curl -sSi -p -x http://{listener} http://{SHUT}/\n"
            f"  {command} explain -c {sample} --source 127.0.0.1 --to {SHUT}:443\n"
            "What it does, which tunnels are open, which rules it has:\n"
            f"  {command} stats {asking}\n"
            f"  {command} tunnels {asking}\n"
            f"  {command} policy --live {asking}\n"
            f"Change {SAMPLE.with_name('policy.yaml')}, then make the gateway read it, by either line:\n"
            f"  {command} reload {asking}\n"
            f"  kill -HUP {os.getpid()}"
        )
        for worker in workers[:1]:
            click.echo(f"Kill a worker, and another takes its place:\n  kill -9 {worker}")
        click.echo("Ctrl-C ends it all.")

    return serve(str(SAMPLE), Options(companions=[origin], on_ready=ready))
