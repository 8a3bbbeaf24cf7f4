"""`sluice explain`: one question about policy, answered from files or by a running gateway."""

import os
import sys
from typing import Any, Final

import click

from gateway.policy.image import PolicyImage
from supervisor.cli.asking import ask, endpoint_of, endpoint_option
from supervisor.cli.common import (
    PROBLEM,
    USAGE,
    common_options,
    compile_or_exit,
    fail,
    fail_with,
    need_config,
    print_json,
)
from supervisor.cli.verdicts import describe
from supervisor.config.config import find_config
from supervisor.config.reader import load_config
from supervisor.host.lookup import STARTING, LookupFailed, resolve_blocking
from supervisor.identity.users import load_users
from supervisor.policy.explanation import (
    Question,
    QuestionError,
    name_to_resolve,
    read_question,
    split_workload,
    with_addresses,
)
from supervisor.policy.explanation import explain as explain_question
from supervisor.source.escape import escape
from supervisor.source.problems import Problems, quote

LIVE_PATIENCE: Final = 10.0  # seconds, and those of a look-up
NOT_BUILT = ("method", "path")


@click.command()
@click.option("--to", metavar="HOST:PORT", required=True, help="The destination, as a client would ask for it.")
@click.option("--from", "workload", metavar="NS/SA", help="The source's namespace and service account (or NS alone).")
@click.option("--user", metavar="NAME", help="The user it authenticated as.")
@click.option("--identity", metavar="URI", help="The SPIFFE ID of its certificate.")
@click.option("--source", metavar="IP", help="Its address: rules by CIDR, and the identity of identity.networks.")
@click.option("--listener", metavar="NAME", help="The listener it came in by, for its audit mode and innerName.")
@click.option("--address", metavar="IP", multiple=True, help="An address the name resolved to; may be repeated.")
@click.option("--resolve", is_flag=True, help="Ask DNS for the name's addresses, as the gateway does, and judge each.")
@click.option("--sni", metavar="NAME", help="The name shown inside: TLS SNI, or Host of plain HTTP.")
@click.option("--method", metavar="M", help="Not built yet.")
@click.option("--path", metavar="P", help="Not built yet.")
@click.option("--fail", "failing", is_flag=True, help="Exit with 1 for a denial, and for what is not known.")
@click.option("--live", is_flag=True, help="Ask the running gateway instead of reading the files.")
@endpoint_option
@common_options
def explain(
    config: str | None,
    as_json: bool,
    live: bool,
    resolve: bool,
    failing: bool,
    endpoint: str | None,
    address: tuple[str, ...],
    **given: str | None,
) -> None:
    """Print whether a source may reach a destination, by which rule, and which other rules took part.

    Sources combine: with --user and --source both the user's rules and those for the address count. The policy comes
    from the files, as `run` would load them, or with --live from the gateway that runs: the answer has the same form.

    \b
    Examples:
      sluice explain --to api.example.com:443
      sluice explain --from shop/cart --to api.stripe.com:443
      sluice explain --user build-bot --to '[2001:db8::1]:22'
      sluice explain --source 10.1.2.3 --to db.example.com:5432 --address 10.9.9.9
      sluice explain --from shop/cart --to api.stripe.com:443 --resolve
      sluice explain --to 203.0.113.9:443 --sni api.example.com
      sluice explain --from shop/cart --to api.stripe.com:443 --live --json

    A verdict by name alone says so: an address may still be refused. --resolve asks the servers of dns.servers (with
    --live the gateway asks), unless the name is denied already or goes to a parent. Several addresses are judged as the
    gateway does: refused ones are dropped, and none left is a denial. Where DNS gives no address, the answer says why,
    and the verdict stays the one by name.

    Exit codes: 0 whatever the verdict (with --fail: 1 for deny and for unknown), 1 no answer (the policy is wrong, no
    gateway answers), 2 bad arguments.
    """
    for name in NOT_BUILT:
        if given.pop(name) is not None:
            fail(f"--{name} is not built yet: it would not be looked at", USAGE)
    request: dict[str, object] = {
        ("from" if name == "workload" else name): text for name, text in given.items() if text is not None
    }
    if address:
        request["address"] = address if len(address) > 1 else address[0]
    if resolve:
        request["resolve"] = True
    try:
        question = read_question(request)
        answer = _live(config, endpoint, question) if live else _from_files(config, question)
    except QuestionError as wrong:
        fail(escape(str(wrong)), USAGE)
    except LookupFailed as wrong:
        fail(escape(str(wrong)))
    _warn_of_strangers(config, question)
    if as_json:
        print_json(answer)
    else:
        click.echo("\n".join(escape(line) for line in describe(answer)))
    if failing and (answer["verdict"] == "deny" or answer["unknown"]):
        sys.exit(PROBLEM)


def _warn_of_strangers(path: str | None, question: Question) -> None:
    """A user or workload that no source can be is most likely a slip: its answer is that of a stranger."""
    found = find_config(path)
    if found is None:
        return  # --live needs none
    try:
        known = load_config(found).identity
    except Problems:
        return
    users = load_users(known.users, Problems()) if known.users else ()
    if question.user is not None and question.user not in {user.name for user in users}:
        click.echo(f"warning: no user is called {escape(quote(question.user))}: identity.users names them", err=True)
    namespace, account = split_workload(question.workload)
    spoken_for = [(network.namespace, network.service_account) for network in known.networks]
    spoken_for += [(user.namespace, user.service_account) for user in users]
    if (
        namespace
        and not known.trust.domains
        and not any(space == namespace and account in ("", sa) for space, sa in spoken_for)
    ):
        words = f"nothing stands for {escape(quote(question.workload or ''))}"
        click.echo(f"warning: {words}: no item of identity.networks and no user has it", err=True)


def _from_files(config: str | None, question: Question) -> dict[str, Any]:
    path = need_config(config)
    result = compile_or_exit(path)
    if result.image is None or result.config is None:
        fail_with(f"{escape(path)} cannot be used", result.problems, result.problems_left_out)
    try:
        image = PolicyImage.from_fd(result.image)
        answer = explain_question(image, result.config, question)
        if (name := name_to_resolve(question, answer)) is None:
            return answer
        found = resolve_blocking(name, result.config.dns_settings())
        return with_addresses(image, result.config, question, answer, found)
    finally:
        os.close(result.image)


def _live(config: str | None, endpoint: str | None, question: Question) -> dict[str, Any]:
    patience = LIVE_PATIENCE + (STARTING if question.resolve else 0.0)
    answer = ask(endpoint_of(config, endpoint), {"op": "explain", **question.request()}, patience)
    answer.pop("ok", None)
    return answer
