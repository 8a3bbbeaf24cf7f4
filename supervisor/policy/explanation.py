"""`explain` as a question and an answer, for files and for a running gateway alike: the same image gives both.

The request is what the control endpoint receives beside `op`, the answer what `sluice explain --json` prints
(CONTRACT.md section 2). Nothing here uses the network.
"""

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from gateway.contract import LookupAnswer
from gateway.policy.image import PolicyImage, canonical_name
from gateway.policy.target import HttpRequest
from supervisor.config.config import Config, Inner, Listener
from supervisor.policy.asked_requests import Protocol, request_of
from supervisor.source.host_port import join, split
from supervisor.source.node import Node
from supervisor.source.problems import Invalid, did_you_mean, quote
from supervisor.source.words import (
    is_identity,
    is_role,
    is_user_name,
    namespace_name,
    object_name,
    trust_domain_of,
    workload_of,
)

MOST_LISTED: Final = 1000  # rules of a page
HTTPS: Final = 443


class QuestionError(ValueError):
    """The question makes no sense; the text says why."""


class Question(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"workload": "from"}, kw_only=True):
    """A question. All texts as the options of `sluice explain` have them; None = not said."""

    to: str | None = None  # host:port; None: whatever the source can reach
    workload: str | None = None  # "namespace/service-account" or "namespace"
    token: bool = False  # the workload is that of a token
    user: str | None = None
    identity: str | None = None
    source: str | None = None  # IP
    listener: str | None = None
    address: str | tuple[str, ...] | None = None  # IPs that the name resolved to
    sni: str | None = None  # the name shown inside the tunnel
    protocol: Protocol | None = None  # http: a request is visible, by itself or inside; https: TLS is all that shows
    method: str | None = None
    path: str | None = None  # with its query behind it, or without
    query: str | None = None
    header: str | tuple[str, ...] | None = None  # name:value
    resolve: bool = False  # ask DNS for the addresses of a name, where the gateway would
    reach: bool = False  # list the rules: without `to` what the source can reach, with it who can
    limit: int | None = None  # rules of a page
    after: str | None = None  # `next` of the page before

    def request(self) -> dict[str, object]:
        """For the control endpoint."""
        return {name: value for name, value in msgspec.to_builtins(self).items() if value not in (None, False)}


def read_question(request: Mapping[str, object]) -> Question:
    """The question in a request, every part of it checked. Raises QuestionError."""
    try:
        question = msgspec.convert(request, Question)
    except msgspec.ValidationError as wrong:
        raise QuestionError(str(wrong)) from None
    if question.to is not None:
        split_destination(question.to)
    elif not question.reach and question.listener is None:
        raise QuestionError("no destination is asked for: `to` is missing")
    _check_reach(question)
    if question.resolve and question.address:
        raise QuestionError("the addresses of a name are given, or asked of DNS: not both")
    split_workload(question.workload)
    if question.user is not None and not is_user_name(question.user):
        raise QuestionError(f"{quote(question.user)} is not a user name")
    if question.identity is not None and not (is_identity(question.identity) or is_role(question.identity)):
        example = "spiffe://cluster.local/ns/shop/sa/cart, or the role of a certificate such as CN=web"
        raise QuestionError(f"{quote(question.identity)} is not an identity such as {example}")
    for text in (*([question.source] if question.source is not None else []), *addresses_of(question)):
        _check_address(text)
    _request(question)
    if question.sni is not None:
        try:
            canonical_name(question.sni)
        except ValueError as wrong:
            raise QuestionError(f"{quote(question.sni)} is not a name to show inside a tunnel: {wrong}") from None
    return question


def _check_reach(question: Question) -> None:
    sources = any((question.workload, question.user, question.identity, question.source))
    if question.reach and sources == (question.to is not None):
        raise QuestionError("a list of rules is for a source, or for a destination: one of the two")
    if question.reach and question.resolve:
        raise QuestionError("a list of rules asks no DNS: give --address")
    if not question.reach and (question.limit is not None or question.after is not None):
        raise QuestionError("limit and after are for lists of rules")
    if question.limit is not None and not 1 <= question.limit <= MOST_LISTED:
        raise QuestionError(f"limit is a number from 1 to {MOST_LISTED}")


def _request(question: Question) -> HttpRequest | None:
    """The HTTP request that is asked about, or None. Raises QuestionError."""
    fields = question.header or ()
    fields = (fields,) if isinstance(fields, str) else fields
    try:
        return request_of(question.protocol, question.method, question.path, question.query, fields)
    except ValueError as wrong:
        raise QuestionError(str(wrong)) from None


def at_listener(config: Config, question: Question) -> Question:
    """The question with the destination that its listener gives it, where it names none: the fixed one of `tcp`, the
    server name (`sni`) at the port of `tls`, or at 443 where `auto` is cleartext. Raises QuestionError."""
    listener = next((each for each in config.listeners if each.name == question.listener), None)
    if question.to is None:
        _modes(config.listeners, question.listener)  # there is one of that name
    fixed = listener is not None and listener.protocol == "tcp"
    if listener is None or question.to is not None or (question.reach and not fixed):
        return question
    if listener.destination is not None and fixed:
        return msgspec.structs.replace(question, to=join(*listener.destination), reach=False)
    if listener.protocol != "tls" and not (listener.protocol == "auto" and listener.tls is None):
        words = f"no destination is asked for: clients of listener {listener.name} name one in each request"
        raise QuestionError(f"{words} (`to` is missing)")
    if question.sni is None:
        raise QuestionError(f"no destination is asked for: listener {listener.name} goes by the server name (`sni`)")
    name = canonical_name(question.sni)
    if name in config.gateway.names():
        raise QuestionError(f"{quote(name)} is the gateway's own name: it is closed there, reason no_server_name")
    port = listener.destination[1] if listener.destination is not None else HTTPS
    return msgspec.structs.replace(question, to=f"{name}:{port}")


def explain(image: PolicyImage, config: Config, question: Question) -> dict[str, Any]:
    """The decision, and every rule that took part. Raises QuestionError."""
    listeners = config.listeners
    question = at_listener(config, question)
    if question.to is None:
        raise QuestionError("no destination is asked for: `to` is missing")
    host, port = split_destination(question.to)
    namespace, account = split_workload(question.workload)
    if not namespace and question.identity and is_at_home(config, question.identity):
        namespace, account = workload_of(question.identity)
    workload = token = None
    if question.user and not question.identity and namespace:
        # A user that logs in from this workload: the credentials are the higher identity (DECISIONS.md section 1).
        workload, namespace, account = (namespace, account), "", ""
    elif question.token:
        token, namespace, account = (namespace, account), "", ""
    # What is said of the workload stands. Where it says what the pod of the address is, that is asked, with its labels.
    placed = not question.workload or question.token
    if not placed and is_that_pod(pod_of(image, question), namespace, account):
        namespace, account, placed = "", "", True
    audit, inner = _modes(listeners, question.listener)
    request = _request(question)
    _check_role(config, question.identity)

    try:
        answers, chosen = image.explain_each(
            addresses_of(question) or (None,),
            host=host,
            port=port,
            namespace=namespace or None,
            service_account=account or None,
            identity=question.identity,
            user=question.user,
            by_token=_is_by_token(image, config, question.user),
            workload=workload,
            placed=placed,
            token=token,
            source_ip=question.source,
            listener=question.listener or (listeners[0].name if len(listeners) == 1 else None),
            audit=audit,
            sni=question.sni,
            inner=inner,
            request=request,
            shows="tls" if question.protocol == "https" and question.sni is None else None,
        )
    except ValueError as wrong:
        raise QuestionError(f"{quote(question.to)}: {wrong}") from None
    found = _over_addresses(answers, answers[chosen])
    needed = _needs_login(listeners, question)
    waits = found["reason"] == "needs_http" and question.protocol is None
    unknown = [*found["unknown"], *(["credentials"] if needed else []), *(["request"] if waits else [])]
    return found | {"credentials": needed, "unknown": unknown} | ({"dns": None} if question.resolve else {})


def is_that_pod(pod: Mapping[str, str] | None, namespace: str, account: str) -> bool:
    """Whether a namespace and service account, or the namespace alone, are those of a pod."""
    return pod is not None and (namespace, account or pod["service_account"]) == (
        pod["namespace"],
        pod["service_account"],
    )


def pod_of(image: PolicyImage, question: Question) -> dict[str, str] | None:
    """The pod that has the address of the question, where pods are known."""
    if image.workloads is None or question.source is None:
        return None
    found: dict[str, str] | None = image.workloads.find(question.source)
    return found


def name_to_resolve(question: Question, answer: Mapping[str, Any]) -> str | None:
    """The name that the gateway would ask DNS for after this answer, where the question wants that; else None. A name
    that is denied is never asked for (DECISIONS.md section 3), nor one that goes to a parent."""
    return answer["destination"]["host"] if question.resolve and "address" in answer["unknown"] else None


def with_addresses(
    image: PolicyImage, config: Config, question: Question, by_name: dict[str, Any], found: LookupAnswer
) -> dict[str, Any]:
    """The answer once DNS has given one: each address is judged; without any the verdict stays the one by name."""
    answer = by_name
    if found["addresses"]:
        answer = explain(image, config, msgspec.structs.replace(question, address=tuple(found["addresses"])))
    return answer | {"dns": found["status"]}


def addresses_of(question: Question) -> tuple[str, ...]:
    """The addresses of a question, each once."""
    given = question.address or ()
    return tuple(dict.fromkeys((given,) if isinstance(given, str) else given))


def _over_addresses(answers: list[dict[str, Any]], chosen: dict[str, Any]) -> dict[str, Any]:
    """One answer for all addresses: that of the `chosen` one. A name without an address leaves that unknown."""
    judged = [
        {"address": each["destination"]["address"], **{key: each[key] for key in ("verdict", "reason", "rule")}}
        for each in answers
        if each["destination"]["address"] is not None
    ]
    by_name = not judged and chosen["phase"] != "delegated"
    waits = by_name and (chosen["verdict"] != "deny" or chosen["reason"] == "needs_address")
    return chosen | {"addresses": judged, "unknown": ["address"] if waits else []}


def _needs_login(listeners: Sequence[Listener], question: Question) -> str | None:
    """The listener that requires credentials, where the question names no user, no token and no identity of a
    certificate; None = there is none. Without --listener it must hold for all of them."""
    asked = [each for each in listeners if question.listener in (None, each.name)]
    if question.user is not None or question.identity is not None or question.token:
        return None
    if not asked or any(each.auth != "required" for each in asked):
        return None
    return asked[0].name


def _is_by_token(image: PolicyImage, config: Config, user: str | None) -> bool:
    """Whether a user can only be one that a token names."""
    names_users = any(source.user for source in config.identity.tokens)
    return user is not None and names_users and not image.knows_user(user)


def _check_role(config: Config, identity: str | None) -> None:
    """Certificates have roles only where identity.subject.role says so, and of one kind. Raises QuestionError."""
    role = config.identity.trust.role
    if identity is not None and is_role(identity) and not identity.startswith(f"{role}="):
        set_to = f"is {role}" if role else "is not set"
        raise QuestionError(f"no certificate is {quote(identity)} here: identity.subject.role {set_to}")


def is_at_home(config: Config, identity: str) -> bool:
    """Whether an identity is of the first trust domain, whose names are namespaces and service accounts."""
    domains = config.identity.trust.domains
    return not domains or trust_domain_of(identity) == domains[0].name


def split_destination(text: str) -> tuple[str, int]:
    """`api.example.com:443` or `[2001:db8::1]:443`. Raises QuestionError."""
    found = split(text)
    if not found or not found.host or (number := found.number) is None:
        hint = "; IPv6 addresses stand in brackets" if text.count(":") > 1 and "[" not in text else ""
        raise QuestionError(f"{quote(text)} is not host:port{hint}")
    if found.bracketed:
        _check_address(found.host)
    return found.host, number


def split_workload(text: str | None) -> tuple[str, str]:
    """`namespace/service-account` or `namespace`. Raises QuestionError."""
    if text is None:
        return "", ""
    namespace, slash, account = text.partition("/")
    try:
        namespace_name(Node("", 0, 0, namespace))
        if slash:
            object_name(Node("", 0, 0, account))
    except Invalid as wrong:
        raise QuestionError(f"{quote(text)} is not namespace/service-account: {wrong}") from None
    return namespace, account


def _check_address(text: str) -> None:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise QuestionError(f"{quote(text)} is not an IP address") from None


def _modes(listeners: Sequence[Listener], name: str | None) -> tuple[bool, Inner]:
    """The audit mode and innerName of the listener asked through. Unsaid, those of all of them, where they agree."""
    if name is None:
        inners = {listener.inner_name for listener in listeners}
        audit = bool(listeners) and all(listener.audit for listener in listeners)
        return audit, inners.pop() if len(inners) == 1 else "enforce"
    for listener in listeners:
        if listener.name == name:
            return listener.audit, listener.inner_name
    names = [listener.name for listener in listeners]
    raise QuestionError(f"no listener {quote(name)}: {did_you_mean(name, names) or 'there is ' + ', '.join(names)}")
