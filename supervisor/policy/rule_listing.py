"""The rules of a policy as lists that people and programs read: who, where to, what, and the line that says so.

The compile process packs them once; they are unpacked when they are asked for, so that a gateway that runs keeps bytes.
"""

import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from supervisor.policy.resources.model import Item, Origination, Rules, Selector, Tier, origination_text
from supervisor.policy.resources.routing import headers_text

__all__ = [
    "MOST_ITEMS",
    "ListingError",
    "Page",
    "described",
    "is_conditional",
    "pack",
    "page_of",
    "port_text",
    "selector_text",
    "start_of",
    "unpacked",
]

MOST_ITEMS: Final = 1000
ACTIONS: Final[dict[Tier, str]] = {
    "allow": "Allow",
    "deny": "Deny",
    "hard_deny": "Deny",
    "audit": "Audit",
    "default_allow": "Allow",
    "default_audit": "Audit",
    "default_deny": "Deny",
    "unauthorized": "Deny",
}
# A page takes its own rules apart alone: the rest is skipped, which takes far less time.
_split: Final = msgspec.msgpack.Decoder(list[tuple[msgspec.Raw, list[msgspec.Raw]]])
_shared: Final = msgspec.msgpack.Decoder(Rules)
_own: Final = msgspec.msgpack.Decoder(Item)


class ListingError(ValueError):
    """The page that was asked for cannot be given; the text says why."""


class Page(NamedTuple):
    """At most so many rules as were asked for. `next`: what to ask for after them, None at the end."""

    items: list[dict[str, Any]]
    next: str | None


def pack(rules: Sequence[Rules]) -> bytes:
    """The rules as bytes, in the order of files and lines: of each resource what its items share, and the items."""
    ordered = sorted(rules, key=lambda one: one.place(one.items[0]))
    return msgspec.msgpack.encode([(msgspec.structs.replace(one, items=()), one.items) for one in ordered])


def page_of(data: bytes, generation: int, limit: int = MOST_ITEMS, after: str | None = None) -> Page:
    """A page of what `pack` gave. `after` is the `next` of the page before; a page of another generation would repeat
    rules or leave some out. Raises ListingError."""
    packed = _split.decode(data) if data else []
    start = start_of(after, generation)
    end = start + limit
    items, passed = [], 0
    for shared, own in packed:
        wanted = own[max(0, start - passed) : max(0, end - passed)]
        if wanted:
            rules = _shared.decode(shared)
            items += [described(rules, _own.decode(item)) for item in wanted]
        passed += len(own)
    return Page(items, f"{generation}-{end}" if end < passed else None)


def start_of(after: str | None, generation: int) -> int:
    """The number of the first item after a page. Raises ListingError."""
    if after is None:
        return 0
    number, _, text = after.partition("-")
    if not (number.isdecimal() and text.isdecimal() and len(after) < 40):
        raise ListingError("expected the `next` of a page as after")
    if int(number) != generation:
        raise ListingError("the policy has changed since the page before: begin again without after")
    return int(text)


def unpacked(data: bytes) -> list[Rules]:
    """The rules that `pack` was given."""
    packed = _split.decode(data) if data else []
    return [
        msgspec.structs.replace(_shared.decode(shared), items=tuple(map(_own.decode, own))) for shared, own in packed
    ]


def described(rule: Rules, own: Item) -> dict[str, Any]:
    """A rule as lists have it."""
    to = own.destination
    item: dict[str, Any] = {
        "rule": {
            "kind": rule.kind,
            "namespace": rule.namespace or None,
            "name": rule.name,
            "index": own.index,
            "file": rule.file,
            "line": own.line,
        },
        "action": ACTIONS[rule.tier],
        "hard": rule.tier == "hard_deny",
        "default": rule.tier.startswith("default_"),
        "conditional": is_conditional(rule, own),
        "from": [selector_object(selector) for selector in rule.selectors],
        "to": {
            "host": to.host.value if to.host else None,
            "cidr": to.cidr or None,
            "hostsFrom": to.hosts_from.value if to.hosts_from else None,
            "anything": to.anything,
            "ports": [low if low == high else f"{low}-{high}" for low, high in to.ports],
            "except": [text.value for text in to.excepts],
        },
        "onRevoke": rule.on_revoke,
        "innerName": rule.inner,
        "inner": {"protocol": rule.protocol} if rule.protocol else None,
        "ech": rule.ech,
        "upstream": rule.upstream.value if rule.upstream else None,
        "sourceAddress": list(rule.source_addresses),
        "tls": _tls(rule.tls) if rule.tls else None,
        "route": msgspec.to_builtins(rule.route),
        "headers": _headers(rule, own),
    }
    return item


def is_conditional(rules: Rules, item: Item) -> bool:
    """Whether more than source, destination and port says if an item counts, or whom it admits."""
    return any((item.path, item.when, rules.admit, rules.in_network, rules.network, rules.no_route))


def _headers(rule: Rules, own: Item) -> dict[str, Any] | None:
    text = headers_text(rule.headers, own.index in rule.read_only)
    changes: dict[str, Any] | None = json.loads(text) if text is not None else None
    return changes


def _tls(tls: Origination) -> dict[str, Any]:
    """As `explain` has it."""
    return {"originate": tls.originate, **json.loads(origination_text(tls))}


def selector_object(selector: Selector) -> dict[str, Any]:
    """The parts that are set; nothing = every workload of the mesh."""
    names = {
        "namespace": selector.namespace,
        "serviceAccount": selector.service_account,
        "identity": selector.identity,
        "user": selector.user,
        "cidr": selector.cidr,
        "role": selector.role,
        "otherRoles": selector.other_roles,
        "identified": selector.identified,
        "elsewhere": selector.elsewhere,
        "workloads": selector.workloads.text if selector.workloads is not None else "",
    }
    return {name: value for name, value in names.items() if value}


def selector_text(selector: dict[str, Any]) -> str:
    """`shop/cart`, `shop`, `user build-bot`, `10.0.0.0/8`, `role web`; `every workload` where it is the mesh."""
    parts = ["/".join(filter(None, (selector.get("namespace"), selector.get("serviceAccount"))))]
    parts += [selector.get("identity", ""), f"user {selector['user']}" if "user" in selector else ""]
    parts.append(selector.get("workloads", ""))
    parts += [selector.get("cidr", ""), f"role {selector['role']}" if "role" in selector else ""]
    parts.append("every other role" if "otherRoles" in selector else "")
    parts.append("every known identity" if "identified" in selector else "")
    parts.append("every namespace without networks of its own" if "elsewhere" in selector else "")
    return " ".join(filter(None, parts)) or "every workload"


def port_text(ports: Sequence[int | str]) -> str:
    """`443, 8000-8100`, or `any`."""
    return ", ".join(map(str, ports)) or "any"


def rows(items: Sequence[dict[str, Any]]) -> list[tuple[str, ...]]:
    """Cells for HEAD, not escaped."""
    return [_row(item) for item in items]


HEAD: Final = ("RULE", "ITEM", "ACTION", "FROM", "TO", "PORTS", "SETS", "PLACE")


def _row(item: dict[str, Any]) -> tuple[str, ...]:
    rule, to = item["rule"], item["to"]
    where = to["host"] or to["cidr"] or (f"hosts of {to['hostsFrom']}" if to["hostsFrom"] else "anything")
    if to["except"]:
        where += f" except {', '.join(to['except'])}"
    sets = [f"{name}: {item[name]}" for name in ("upstream", "innerName", "ech", "onRevoke") if item[name]]
    if item["inner"]:
        sets.append(f"inner: {item['inner']['protocol']}")
    if item["tls"]:
        sets.append("tls: originate" if item["tls"]["originate"] else "tls: as it comes")
    if item["sourceAddress"]:
        sets.append(f"sourceAddress: {', '.join(item['sourceAddress'])}")
    return (
        "/".join(filter(None, (rule["kind"], rule["namespace"], rule["name"]))),
        str(rule["index"]),
        item["action"]
        + (" (hard)" if item["hard"] else " (default)" if item["default"] else "")
        + (" (conditional)" if item["conditional"] else ""),
        "; ".join(map(selector_text, item["from"])),
        where,
        port_text(to["ports"]),
        "; ".join(sets),
        f"{rule['file']}:{rule['line']}",
    )
