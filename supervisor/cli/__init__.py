"""The command `sluice`: a table of commands, each imported when it is asked for. What they do is their own matter."""

import importlib
import importlib.metadata
from collections.abc import Mapping
from typing import Final

import click

from supervisor.problems import did_you_mean

# name -> (module, function, line of `sluice --help`): the line stands here so that help imports no command.
COMMANDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "run": ("supervisor.cli.run", "run", "Run the gateway."),
    "check": ("supervisor.cli.check", "check", "Check the configuration and the policy, without running anything."),
    "explain": ("supervisor.cli.explain", "explain", "Say who may reach what, and by which rule."),
    "user": ("supervisor.cli.user", "user", "Add, list and remove users of the users file."),
    "reload": ("supervisor.cli.reload", "reload", "Make a running gateway read its files again."),
    "drain": ("supervisor.cli.drain", "drain", "Make a running gateway stop accepting."),
    "stats": ("supervisor.cli.stats", "stats", "Show the counters of a running gateway."),
    "tunnels": ("supervisor.cli.tunnels", "tunnels", "List the live tunnels of a running gateway, or kill one."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, function, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), function)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            hint = did_you_mean(args[0], COMMANDS)
            ctx.fail(f"no command {click.format_filename(args[0])!r}" + (f" ({hint})" if hint else ""))
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


def _print_version(ctx: click.Context, option: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        try:
            version = importlib.metadata.version("sluice")
        except importlib.metadata.PackageNotFoundError:
            version = "0+source"
        click.echo(f"sluice {version}")
        ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Print the version."
)
def main() -> None:
    """Sluice, an egress gateway: the one controlled way out of a cluster.

    \b
    A first round:
      sluice check                          is the configuration sound?
      sluice explain --to api.example.com:443    what would happen?
      sluice run                            run the gateway
      sluice reload                         after a change of the files

    Exit codes: 0 all is well, 1 a problem was found, 2 bad arguments or no configuration.
    """
