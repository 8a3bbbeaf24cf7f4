"""`sluice explain`: one question about policy, answered from files or by a running gateway."""

import contextlib
import json
import sys
from collections.abc import Mapping
from typing import BinaryIO, Final

import click
import msgspec

from supervisor.cli.answers import Files, Live, is_failure
from supervisor.cli.asking import endpoint_option
from supervisor.cli.common import (
    PROBLEM,
    USAGE,
    common_options,
    fail,
    fail_with,
    need_config,
    print_json,
)
from supervisor.cli.questions import find_line, in_a_labels, of_log_line, read_batch, trace_of
from supervisor.cli.reached import reached
from supervisor.cli.verdicts import describe, in_a_line
from supervisor.config.config import find_config
from supervisor.config.reader import load_config
from supervisor.host.lookup import LookupFailed
from supervisor.identity.users import load_users
from supervisor.policy.explanation import MOST_LISTED, Question, QuestionError, read_question, split_workload
from supervisor.source.escape import escape
from supervisor.source.problems import Problems, quote

SOURCES: Final = frozenset({"from", "user", "identity", "source"})


@click.command()
@click.option("--to", metavar="HOST:PORT", help="The destination, as a client would ask for it.")
@click.option("--from", "workload", metavar="NS/SA", help="The source's namespace and service account (or NS alone).")
@click.option("--user", metavar="NAME", help="The user it logged in as, or that its token names.")
@click.option("--identity", metavar="URI", help="The SPIFFE ID of its certificate, or its role as CN=NAME or OU=NAME.")
@click.option("--source", metavar="IP", help="Its address: rules by CIDR, and the identity of identity.networks.")
@click.option(
    "--listener", metavar="NAME", help="The listener it came in by: its audit mode, innerName and destination."
)
@click.option("--address", metavar="IP", multiple=True, help="An address the name resolved to; may be repeated.")
@click.option("--resolve", is_flag=True, help="Ask DNS for the name's addresses, as the gateway does, and judge each.")
@click.option("--sni", metavar="NAME", help="The name shown inside: TLS SNI, or Host of plain HTTP.")
@click.option("--id", "identifier", metavar="ID", help="Ask again what the request with this id asked (access log).")
@click.option("--log-line", metavar="LINE", help="Ask again what this line of the access log is about; - reads it.")
@click.option("--batch", metavar="FILE", help="Answer a file of questions, one a line; - is stdin.")
@click.option("--limit", type=click.IntRange(1, MOST_LISTED), help="Rules to list at most (default: 1000).")
@click.option("--after", metavar="NEXT", help="Go on where an earlier list of rules ended.")
@click.option("--method", metavar="M", help="The method of an HTTP request (default: GET).")
@click.option("--path", metavar="P", help="Its path, with or without a query behind it (default: /).")
@click.option("--query", metavar="Q", help="Its query, without the question mark.")
@click.option("--header", metavar="NAME:VALUE", multiple=True, help="One of its headers; may be repeated.")
@click.option("--protocol", type=click.Choice(["http", "https"]), help="A request that can be read, or TLS alone.")
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
    header: tuple[str, ...],
    identifier: str | None,
    log_line: str | None,
    batch: str | None,
    limit: int | None,
    after: str | None,
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
      sluice explain --to api.example.com:80 --method POST --path /v1/items --header x-team:shop
      sluice explain --from shop/cart --listener raw-tls --sni api.example.com
      sluice explain --from shop/cart
      sluice explain --id 0-1a2b3c4d5e6-7
      tail -1 access.log | sluice explain --log-line -
      sluice explain --batch questions.jsonl --fail

    A listener with protocol tcp has its destination; one with protocol tls, or auto without tls, takes it from --sni.

    With a source and no --to the answer is a list of rules: what the source can reach, in order of precedence, and what
    denies take out of each. With --to and no source the list says who can reach it, and whether each does. In JSON both
    are {items, next}, in pages of --limit.

    A verdict by name alone says so: an address may still be refused. --resolve asks the servers of dns.servers (with
    --live the gateway asks), unless the name is denied already or goes to a parent. Several addresses are judged as the
    gateway does: refused ones are dropped, and none left is a denial. Where DNS gives no address, the answer says why,
    and the verdict stays the one by name.

    Rules may have conditions on HTTP requests. --method, --path, --query and --header say what is sent; without any of
    them a tunnel is asked for, which never satisfies a condition: reason needs_http.

    --id finds the last line with this id in the file of logs.access, --log-line takes the line itself: who asked for
    what is read from it, and answered by today's policy; the id of its trace is printed. A file of --batch has a
    question on each line, in JSON with the names of these options ({"from": "shop/cart", "to": "api.stripe.com:443"}),
    or a line of the access log; each answer is a line.

    Exit codes: 0 whatever the verdict (with --fail: 1 for deny and for unknown), 1 no answer (the policy is wrong, no
    gateway answers, a line of --batch is no question), 2 bad arguments.
    """
    request: dict[str, object] = {
        ("from" if name == "workload" else name): text for name, text in given.items() if text is not None
    }
    if address:
        request["address"] = address if len(address) > 1 else address[0]
    if header:
        request["header"] = header
    ways = {"--to": given["to"], "--id": identifier, "--log-line": log_line, "--batch": batch}
    sources = request.keys() & SOURCES
    by_listener = given["listener"] is not None and (given["sni"] is not None or not sources)
    if any(ways.values()) or not (sources or by_listener):
        _check_ways(request, ways)
    paged = {name: value for name, value in (("limit", limit), ("after", after)) if value is not None}
    policy = Live(config, endpoint) if live else Files(config)
    try:
        if batch is not None:
            sys.exit(_answer_all(policy, batch, resolve, as_json, failing))
        line: str | bytes | None = log_line
        if log_line == "-":
            line = sys.stdin.buffer.readline()
        elif identifier is not None:
            line = find_line(load_config(need_config(config)), identifier)
        if line is not None:
            question = of_log_line(line)
        else:
            question = read_question(in_a_labels(request) | _more(request, resolve, paged, by_listener))
        answer = policy.answer(_resolving(question, resolve))
        if answer.get("verdict") == "deny":
            answer["to_turn"] = policy.turning(question, answer)
        if line is not None and (trace := trace_of(line)) is not None:
            answer["trace_id"] = trace
        if question.to is not None and not sources and not any((log_line, identifier, resolve)):
            answer = policy.answer(msgspec.structs.replace(question, reach=True, limit=limit, after=after)) | answer
    except QuestionError as wrong:
        fail(escape(str(wrong)), USAGE)
    except LookupFailed as wrong:
        fail(escape(str(wrong)))
    except Problems as wrong:
        fail_with("the configuration cannot be used", wrong.errors, wrong.errors_left_out)
    _warn_of_strangers(config, question)
    if as_json:
        print_json(answer)
    else:
        lines = [*(describe(answer) if "verdict" in answer else ()), *(reached(answer) if "items" in answer else ())]
        click.echo("\n".join(escape(line) for line in lines))
    if failing and "verdict" in answer and is_failure(answer):
        sys.exit(PROBLEM)


def _more(
    request: Mapping[str, object], resolve: bool, paged: Mapping[str, object], by_listener: bool
) -> dict[str, object]:
    """The switches of a question: whether it is one for a list of rules, and the page of that."""
    if "to" not in request and not by_listener:
        return {"reach": True, **paged, **({"resolve": True} if resolve else {})}
    if request.keys() & SOURCES and paged:
        raise QuestionError("--limit and --after are for lists of rules: leave out the source, or --to")
    return {"resolve": True} if resolve else {}


def _check_ways(request: Mapping[str, object], ways: Mapping[str, str | None]) -> None:
    """One way to ask, and with the others than --to none of its options. Ends with 2 otherwise."""
    used = [name for name, text in ways.items() if text is not None]
    if len(used) != 1:
        fail(f"{' and '.join(used) or 'nothing'} is asked for", USAGE, f"give one of {', '.join(ways)}")
    if used != ["--to"] and request:
        fail(f"{used[0]} says who asks for what: --{next(iter(request))} has no place beside it", USAGE)


def _resolving(question: Question, resolve: bool) -> Question:
    """With --resolve, where the question has no address of its own."""
    return msgspec.structs.replace(question, resolve=True) if resolve and not question.address else question


def _answer_all(policy: Live | Files, path: str, resolve: bool, as_json: bool, failing: bool) -> int:
    """The exit code."""
    failed = wrong = 0
    with _opened(path) as stream:
        for number, question, error in read_batch(stream):
            answer = None
            try:
                if question is not None:
                    answer = policy.answer(_resolving(question, resolve))
            except (QuestionError, LookupFailed) as problem:
                error = str(problem)
            if answer is None:
                wrong += 1
                click.echo(f"error: {escape(path)}:{number}: {escape(error)}", err=True)
                continue
            failed += is_failure(answer)
            click.echo(json.dumps(answer | {"line": number}) if as_json else escape(in_a_line(answer)))
    return PROBLEM if wrong or (failing and failed) else 0


def _opened(path: str) -> contextlib.AbstractContextManager[BinaryIO]:
    """A file, or stdin, which stays open. Ends with 2 where there is none."""
    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    try:
        return open(path, "rb")
    except OSError as wrong:
        fail(f"{escape(path)} cannot be read: {wrong.strerror}", USAGE)


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
    by_token = any(source.user for source in known.tokens)
    if question.user is not None and not by_token and question.user not in {user.name for user in users}:
        click.echo(f"warning: no user is called {escape(quote(question.user))}: identity.users names them", err=True)
    namespace, account = split_workload(question.workload)
    spoken_for = [(network.namespace, network.service_account) for network in known.networks]
    spoken_for += [(user.namespace, user.service_account) for user in users]
    if (
        namespace
        and not known.trust.domains
        and not any(source.kubernetes or source.namespace for source in known.tokens)
        and not any(space == namespace and account in ("", sa) for space, sa in spoken_for)
    ):
        words = f"nothing stands for {escape(quote(question.workload or ''))}"
        click.echo(f"warning: {words}: no item of identity.networks and no user has it", err=True)
