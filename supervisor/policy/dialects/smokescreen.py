"""Smokescreen's egress ACL, version v1 (DECISIONS.md section 6, docs/dialects/smokescreen.md).

A file is known by its `services`: it has no apiVersion and no kind. Its own order is kept by precedence: a domain of
the role, then global_deny_list, then global_allow_list, then the role's action. That is one verdict, which combines
with those of every other dialect: a deny of any of them holds, an allow of any of them outranks an action.

A source has the role of its certificate (identity.subject.role), else its user's name; without one this file says
nothing of it, as of a role that is not listed where there is no `default`.
"""

import ipaddress
from collections.abc import Callable
from typing import Final

import msgspec

from supervisor.policy.dialects.groups import SMOKESCREEN
from supervisor.policy.resources.hosts import a_labels, host_pattern
from supervisor.policy.resources.model import Destination, Item, Rules, Selector, Text, Tier
from supervisor.source.node import Node, each
from supervisor.source.problems import Invalid, Problems, quote

VERSION: Final = "v1"
TOP: Final = ("version", "services", "default", "global_allow_list", "global_deny_list")
SERVICE: Final = ("name", "project", "action", "allowed_domains", "allowed_external_proxies", "mitm_domains")
ACTIONS: Final[dict[str, Tier]] = {"open": "default_allow", "report": "default_audit", "enforce": "default_deny"}
ROLE_ALLOWS, GLOBAL_DENIES, GLOBAL_ALLOWS, ACTION = 3, 2, 1, 0  # the greater wins

# What rules are called, in logs and metrics: Kind/name, the name being a role, `default` or the list.
OF_ROLE: Final = "SmokescreenRole"
OF_ACTION: Final = "SmokescreenAction"
OF_LIST: Final = "SmokescreenGlobal"
OF_DEFAULT: Final = "SmokescreenDefault"
FILE: Final = "Smokescreen ACL"
MOST_NAME: Final = 253


class _Service(msgspec.Struct, frozen=True):
    """A service, or `default`; `name` None = the latter. `place` is where it stands."""

    node: Node
    name: Text | None
    action: Text | None
    tier: Tier
    domains: tuple[Item, ...]

    @property
    def selector(self) -> Selector:
        return Selector(role=self.name.value) if self.name else Selector(other_roles=True)


def is_acl(document: Node) -> bool:
    """Whether a document is an ACL file, right or wrong."""
    found = document.value
    return isinstance(found, dict) and "services" in found and not {"apiVersion", "kind"} & found.keys()


def read(document: Node, problems: Problems) -> list[Rules]:
    """All rules of one file. Raises Invalid where it cannot be read at all."""
    fields = document.fields(TOP, problems)
    fields.need("version", lambda node: node.choice(VERSION), VERSION, f"write version: {VERSION}")
    services = _services(fields.items("services"), problems)
    absent: _Service | None = None
    default = fields.read("default", lambda node: _service(node, problems, is_default=True), absent)
    if default is not None:
        services.append(default)
    found = [rules for service in services for rules in _of_service(service)]
    all_roles = tuple(service.selector for service in services)
    lists: tuple[tuple[str, Tier, int], ...] = (
        ("global_deny_list", "deny", GLOBAL_DENIES),
        ("global_allow_list", "allow", GLOBAL_ALLOWS),
    )
    for name, tier, precedence in lists:
        nothing: tuple[Item, ...] = ()
        items = fields.read(name, lambda node: _domains(node, problems), nothing)
        if items and not all_roles:
            problems.warning(document.place, f"{name} holds for no role: there are no services and no default")
        elif items:
            found.append(_rules(OF_LIST, name, document.file, tier, all_roles, items, precedence))
    return found


def _services(nodes: list[Node], problems: Problems) -> list[_Service]:
    """The services; no two share a name."""
    found: dict[str, _Service] = {}
    for service in each(nodes, lambda node: _service(node, problems), problems):
        name = service.name
        if name is None:
            continue
        if name.value in found:
            where = f"it is first listed in line {found[name.value].node.line}"
            problems.error(service.node.place, f"duplicate service {quote(name.value)}", where)
        else:
            found[name.value] = service
    return list(found.values())


def _service(node: Node, problems: Problems, is_default: bool = False) -> _Service:
    fields = node.fields(SERVICE, problems, null_is_absent=True)
    nameless: Text | None = None
    name = None if is_default else fields.need("name", _role, nameless, "write name: and the role it is for")
    if is_default and (written := fields.get("name")):
        problems.warning(written.place, "name has no effect here: default holds for every role without a service")
    fields.read("project", Node.text, "")
    hint = f"write action: {', '.join(ACTIONS)}"
    word = fields.need("action", lambda action: action.choice(*ACTIONS), "enforce", hint)
    written = fields.get("action")
    action = Text(word, written.line, written.column) if written else None
    nothing: tuple[Item, ...] = ()
    domains = fields.read("allowed_domains", lambda domains: _domains(domains, problems), nothing)
    fields.read("allowed_external_proxies", _refuse(_PROXIES, "route by `upstream` of an EgressPolicy"), None)
    fields.read("mitm_domains", _refuse(_MITM, "TLS is passed through; remove mitm_domains"), None)
    return _Service(node, name, action, ACTIONS[word], domains)


_PROXIES: Final = "a client cannot choose its proxy: allowed_external_proxies is not supported"
_MITM: Final = "TLS is never intercepted: mitm_domains is not supported"


def _refuse(message: str, hint: str) -> Callable[[Node], None]:
    """A reader of a list that has to be empty."""

    def refuse(node: Node) -> None:
        if node.items():
            raise node.invalid(message, hint)

    return refuse


def _role(node: Node) -> Text:
    """CN or OU of a certificate, or the name of a user: any printable text."""
    text = node.string()
    if not text or len(text.encode("utf-8", "surrogateescape")) > MOST_NAME or not text.isprintable():
        raise node.unexpected(f"a role: 1 to {MOST_NAME} bytes of printable text")
    return Text(text, node.line, node.column)


def _domains(node: Node, problems: Problems) -> tuple[Item, ...]:
    """Domain globs, each an item by its place in the list."""
    found: dict[str, Node] = {}
    items = []
    for index, item in enumerate([] if node.is_null else node.items()):
        try:
            domain = _domain(item)
        except Invalid as wrong:
            problems.add(wrong.problem)
            continue
        if domain.value in found:
            where = f"it is first listed in line {found[domain.value].line}"
            problems.warning(item.place, f"duplicate domain {quote(domain.value)}", where)
            continue
        found[domain.value] = item
        items.append(Item(index, item.line, item.column, Destination(host=domain)))
    return tuple(items)


def _domain(node: Node) -> Text:
    """A name or `*.name`, in its canonical form. Raises Invalid as Smokescreen refuses to load one."""
    text = node.string()
    if text in ("*", "*."):
        raise node.invalid(f"{quote(text)} would match everything", "write action: open where that is meant")
    if text.startswith("*") and not text.startswith("*."):
        near = text.lstrip("*.")
        hint = f'write "*.{near}" for every name below it' if near and "*" not in near else ""
        raise node.invalid(f"{quote(text)}: a wildcard stands for whole labels", hint)
    bare = text.removeprefix("*.")
    if "*" in bare:
        raise node.invalid(f"{quote(text)}: a wildcard stands at the beginning alone")
    if _is_address(bare):
        hint = "write a ClusterEgressPolicy with cidr: for it"
        raise node.invalid(f"{quote(text)}: an address is not supported in a list of domains", hint)
    canonical = a_labels(node, text)
    if canonical != text:
        raise node.invalid(f"{quote(text)} is not in its canonical form", f"write {canonical}")
    return host_pattern(node)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _of_service(service: _Service) -> list[Rules]:
    """Its domains, and what holds where nothing else of the file does."""
    file, who = service.node.file, (service.selector,)
    kinds = (OF_ROLE, OF_ACTION) if service.name else (OF_DEFAULT, OF_DEFAULT)
    names = (service.name.value, service.name.value) if service.name else ("allowed_domains", "action")
    found = []
    if service.domains:
        found.append(_rules(kinds[0], names[0], file, "allow", who, service.domains, ROLE_ALLOWS))
    if service.action is not None:
        everything = Item(0, service.action.line, service.action.column, Destination(anything=True))
        found.append(_rules(kinds[1], names[1], file, service.tier, who, (everything,), ACTION))
    return found


def _rules(
    kind: str, name: str, file: str, tier: Tier, who: tuple[Selector, ...], items: tuple[Item, ...], precedence: int
) -> Rules:
    return Rules(
        kind=kind,
        namespace="",
        name=name,
        file=file,
        tier=tier,
        selectors=who,
        items=items,
        group=SMOKESCREEN,
        precedence=precedence,
    )
