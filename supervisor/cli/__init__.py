"""The command `sluice`: a table of commands, each imported when it is used."""

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from supervisor.source.escape import escape
from supervisor.source.problems import did_you_mean

# name -> (module, function, line of `sluice --help`): the line stands here so that help imports no command.
COMMANDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "run": ("supervisor.cli.run", "run", "Run the gateway."),
    "check": ("supervisor.cli.check", "check", "Check the configuration and the policy, without running anything."),
    "explain": ("supervisor.cli.explain", "explain", "Print which source may reach what, and by which rule."),
    "policy": ("supervisor.cli.policy", "policy", "List the rules, each with the line that says so."),
    "user": ("supervisor.cli.user", "user", "Add, list and remove users of the users file."),
    "pki": ("supervisor.cli.pki", "pki", "Make a throw-away CA and certificates, to try mTLS out."),
    "reload": ("supervisor.cli.reload", "reload", "Make a running gateway read its files again."),
    "drain": ("supervisor.cli.drain", "drain", "Make a running gateway stop accepting."),
    "stats": ("supervisor.cli.stats", "stats", "Show the counters of a running gateway."),
    "tunnels": ("supervisor.cli.tunnels", "tunnels", "List the live tunnels of a running gateway, or kill one."),
}


class _Lazy(click.Group):
    """A group whose commands are imported when they are used."""

    def main(self, args: Sequence[str] | None = None, *rest: Any, **extra: Any) -> Any:
        """Runs a command. With `--json` mistakes in the arguments are answered in JSON as well."""
        given = list(sys.argv[1:] if args is None else args)
        if "--json" not in given or not extra.get("standalone_mode", True):
            return super().main(args, *rest, **extra)
        try:
            status = super().main(args, *rest, **extra | {"standalone_mode": False})
        except click.ClickException as wrong:
            click.echo(json.dumps({"ok": False, "error": escape(wrong.format_message())}, indent=2))
            status = wrong.exit_code
        except click.Abort:
            status = 1
        sys.exit(status if isinstance(status, int) else 0)

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
        import importlib.metadata  # a fifth of what a command loads

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
      sluice policy                         which rules are there?
      sluice reload                         after a change of the files

    Exit codes: 0 all is well, 1 a problem was found, 2 bad arguments or no configuration.
    """
