"""`sluice policy`: the rules, each with the file and line it comes from; of the files, or of the running gateway."""

from typing import Any

import click

from supervisor.cli.asking import ask, endpoint_of, endpoint_option
from supervisor.cli.common import USAGE, common_options, compile_or_exit, fail, fail_with, need_config, print_json
from supervisor.cli.tables import aligned
from supervisor.policy.rule_listing import HEAD, MOST_ITEMS, ListingError, page_of, rows
from supervisor.source.escape import escape


@click.command()
@click.option("--live", is_flag=True, help="Ask the running gateway instead of reading the files.")
@click.option("--limit", type=click.IntRange(1, MOST_ITEMS), help="How many rules to list at most (default: 1000).")
@click.option("--after", metavar="NEXT", help="Go on where an earlier list ended.")
@endpoint_option
@common_options
def policy(
    config: str | None, as_json: bool, live: bool, limit: int | None, after: str | None, endpoint: str | None
) -> None:
    """List the rules of the policy: who may go where, and which line says so.

    Each item of a resource's `to` is a rule. They come from the files, as `run` would load them, or with --live from
    the gateway that runs. What decides for one source and destination is `sluice explain`'s to say.

    \b
    Examples:
      sluice policy
      sluice policy --live                    what the running gateway decides by
      sluice policy --json | jq -r '.items[] | select(.action == "Deny") | .rule.name'

    Exit codes: 0 listed, 1 the policy is wrong or no gateway answers, 2 bad arguments or no configuration.
    """
    page = {name: value for name, value in (("limit", limit), ("after", after)) if value is not None}
    if live:
        answer: dict[str, Any] = ask(endpoint_of(config, endpoint), {"op": "policy", **page})
        answer.pop("ok", None)
    else:
        answer = _from_files(need_config(config), limit or MOST_ITEMS, after)
    if as_json:
        print_json(answer)
        return
    for line in aligned([HEAD, *rows(answer["items"])], right=(1,)):
        click.echo(escape(line))
    if answer["next"]:
        click.echo(f"there are more: add --after {escape(str(answer['next']))}", err=True)


def _from_files(path: str, limit: int, after: str | None) -> dict[str, Any]:
    """The answer that a gateway with these files would give; generation 0 is that of no gateway."""
    result = compile_or_exit(path)
    if result.image is None:
        fail_with(f"{escape(path)} cannot be used", result.problems, result.problems_left_out)
    result.close()
    try:
        items, following = page_of(result.rules, 0, limit, after)
    except ListingError as wrong:
        fail(str(wrong), USAGE)
    return {
        "generation": 0,
        "config": path,
        "loaded_at": None,
        "counts": result.counts,
        "warnings": result.warning_lines(),
        "items": items,
        "next": following,
    }
