"""Fields of EgressPolicy and ClusterEgressPolicy, their meaning and bounds. deploy/kind_files.py makes files of this
description, tests/kinds holds it against the reader, supervisor/policy/dialects/egress_policy.py.

A schema is a structural one (Kubernetes: CustomResourceDefinition) with three words of its own: `rules`, what one field
cannot say, in CEL; `editor`, words of JSON Schema that a structural one cannot have; `cluster`, words of the CRD alone.
"""

import ipaddress
import re
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from deploy import kind_http, kind_labels
from supervisor.policy.dialects import egress_policy as reader
from supervisor.policy.dialects.origination import MOST_NAMES, MOST_PROTOCOLS, VERSIONS

Schema = dict[str, Any]
# Bounds of objects in a cluster: an API server accepts CEL rules over bounded lists alone. Files have none.
MOST_FROM: Final = 256
MOST_TO: Final = 512
MOST_PORTS: Final = 64
MOST_EXCEPTS: Final = 32
MOST_SOURCES: Final = 64

LABEL: Final = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
SUBDOMAIN: Final = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
SEGMENT: Final = r"/(\.{0,2}[A-Za-z0-9_-][A-Za-z0-9._-]*|\.{3}[A-Za-z0-9._-]*)"  # neither `.` nor `..`
SPIFFE: Final = rf"spiffe://[a-z0-9._-]{{1,255}}({SEGMENT})*"
NAME: Final = r"([A-Za-z0-9_-]|[^\x00-\x7f]){1,63}"
HOST: Final = rf"(\*|(\*\.)?{NAME}(\.{NAME})*\.?)"
NUMERIC: Final = r"(^|\.)([0-9]+|0[xX][0-9a-fA-F]*)\.?$"  # the end of an address, or of what is meant as one
BYTE: Final = "(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
CIDR: Final = (
    rf"({BYTE}(\.{BYTE}){{3}}/(3[0-2]|[12]?[0-9])|[0-9a-fA-F:]*:[0-9a-fA-F:.]*/(12[0-8]|1[01][0-9]|[1-9]?[0-9]))"
)
PORT: Final = "([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
SERVER_LABEL: Final = "[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
SERVER: Final = rf"{SERVER_LABEL}(\.{SERVER_LABEL})*\.?"
URI: Final = "[a-z][a-z0-9+.-]*://[!-~]+"


class Rule(NamedTuple):
    """A condition on a value: in CEL, the message where it is broken, and in Python."""

    cel: str
    message: str
    holds: Callable[[Any], bool]


def whole(pattern: str) -> str:
    return f"^{pattern}$"


def text(pattern: str, description: str, most: int = 0, **words: Any) -> Schema:
    words |= {"maxLength": most} if most else {}
    return {"description": description, "type": "string", "pattern": whole(pattern), **words}


def choice(names: tuple[str, ...], description: str, **words: Any) -> Schema:
    return {"description": description, "type": "string", "enum": list(names), **words}


def either(*names: str) -> Schema:
    return {"oneOf": [{"required": [name]} for name in names]}


def network(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        return None


def lies_within(inner: str, outer: str) -> bool:
    one, other = network(inner), network(outer)
    return one is not None and other is not None and one != other and one.version == other.version and (
        one.subnet_of(other)  # type: ignore[arg-type] # versions are equal
    )  # fmt: skip


def can_be_bound(value: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and (address.is_link_local or address.ipv4_mapped):
        return False
    return not ("%" in value or address.is_unspecified or address.is_multicast or value == "255.255.255.255")


def host_fits(value: str) -> bool:
    return len(value) - 2 * value.startswith("*.") - value.endswith(".") <= 253


def at_most_one(value: Schema, *names: str) -> bool:
    return sum(name in value for name in names) <= 1


LOW_FIRST: Final = Rule(
    "type(self) == int || int(self.split('-')[0]) <= int(self.split('-')[1])",
    "the lower port comes first",
    lambda port: isinstance(port, int) or int(port.split("-")[0]) <= int(port.split("-")[1]),
)
IS_NETWORK: Final = Rule(
    "isCIDR(self) && cidr(self).masked() == cidr(self)",
    "expected a network without host bits, such as 10.0.0.0/8 or 2001:db8::/32",
    lambda value: network(value) is not None,
)


def host(description: str) -> Schema:
    fits = Rule(
        "size(self) - (self.startsWith('*.') ? 2 : 0) - (self.endsWith('.') ? 1 : 0) <= 253",
        "a host name has at most 253 characters",
        host_fits,
    )
    return text(HOST, description, 256, **{"not": {"pattern": NUMERIC}}, rules=[fits])


def cidr(description: str) -> Schema:
    return text(CIDR, description, 49, rules=[IS_NETWORK])


def from_item(kind: str) -> Schema:
    one_of_three = kind_labels.WITHOUT
    rules = [
        Rule(
            f"[{', '.join(f'has(self.{name})' for name in one_of_three)}].filter(given, given).size() <= 1",
            "at most one of serviceAccount, identity and user; write several items",
            lambda item: at_most_one(item, *one_of_three),
        ),
        Rule(*kind_labels.ALONE),
    ]
    editor: Schema = {"not": {"anyOf": [{"required": list(pair)} for pair in kind_labels.PAIRS]}}
    if kind == reader.CLUSTER:
        rules.append(
            Rule(
                "!has(self.serviceAccount) || has(self.namespace)",
                "a serviceAccount needs its namespace here",
                lambda item: "serviceAccount" not in item or "namespace" in item,
            )
        )
        editor["dependentRequired"] = {"serviceAccount": ["namespace"]}
    home = "" if kind == reader.CLUSTER else " An EgressPolicy selects those of its own namespace alone."
    return {
        "description": "Sources: all that is set must hold.",
        "type": "object",
        "minProperties": 1,
        "properties": {
            "namespace": text(LABEL, f"The namespace of the sources.{home}", 63),
            "serviceAccount": text(SUBDOMAIN, "Their service account.", 253),
            "identity": text(SPIFFE, "The SPIFFE ID of their certificate.", 2048),
            "user": text("[!-9;-~]{1,255}", "The user that they log in as, or that their token names.", 255),
            "cidr": cidr("The network that their address lies in."),
            "podSelector": kind_labels.selector("Labels of the pods that have their addresses.", Rule),
            "namespaceSelector": kind_labels.selector("Labels of these pods' namespaces.", Rule),
        },
        "rules": rules,
        "editor": editor,
        "cluster": {"x-kubernetes-map-type": "atomic"},
    }


def ports() -> Schema:
    return {
        "description": 'Ports: numbers, and ranges such as "8000-8100". None may lie in another. Absent: any port.',
        "type": "array",
        "minItems": 1,
        "items": {
            "description": "A port, or a range of ports.",
            "x-kubernetes-int-or-string": True,
            "minimum": 1,
            "maximum": 65535,
            "pattern": whole(f"{PORT}-{PORT}"),
            "maxLength": 11,
            "rules": [LOW_FIRST],
        },
        "editor": {"uniqueItems": True},
        "cluster": {"maxItems": MOST_PORTS, "x-kubernetes-list-type": "set"},
    }


def to_item() -> Schema:
    names = ("host", "cidr", "hostsFrom")
    only_one = Rule(
        f"[{', '.join(f'has(self.{name})' for name in names)}].filter(given, given).size() == 1",
        "exactly one of host, cidr and hostsFrom; write several items",
        lambda item: sum(name in item for name in names) == 1,
    )
    of_wildcard = Rule(
        "!has(self.except) || !has(self.host) || self.host.startsWith('*')",
        "host is one name: `except` can never match",
        lambda item: "except" not in item or "host" not in item or item["host"].startswith("*"),
    )
    not_whole = Rule(
        "!has(self.except) || !has(self.host) || self.except.all(each, each != self.host)",
        "`except` is the whole destination: nothing would be left",
        lambda item: "except" not in item or "host" not in item or item["host"] not in item["except"],
    )
    inside = Rule(
        "!has(self.except) || !has(self.cidr) || !isCIDR(self.cidr) || self.except.all(each, isCIDR(each) && each !="
        " self.cidr && cidr(each).masked() == cidr(each) && cidr(self.cidr).containsCIDR(each))",
        "items of `except` are networks inside cidr",
        lambda item: "except" not in item or "cidr" not in item or network(item["cidr"]) is None or all(
            lies_within(each, item["cidr"]) for each in item["except"]
        ),
    )  # fmt: skip
    no_network = Rule(
        "!has(self.except) || has(self.cidr) || self.except.all(each, !each.contains('/'))",
        "items of `except` are host names",
        lambda item: "except" not in item or "cidr" in item or all("/" not in each for each in item["except"]),
    )
    pattern = {"anyOf": [{"pattern": whole(CIDR)}, {"pattern": whole(HOST), "not": {"pattern": NUMERIC}}]}
    excepts = {
        "description": "Names below a wildcard, or networks inside cidr, that the item does not match.",
        "type": "array",
        "minItems": 1,
        "items": {"type": "string", "maxLength": 256, **pattern},
        "editor": {"uniqueItems": True},
        "cluster": {"maxItems": MOST_EXCEPTS, "x-kubernetes-list-type": "set"},
    }
    hosts = {"pattern": whole(HOST), "not": {"pattern": NUMERIC}}
    return {
        "description": "A destination: exactly one of host, cidr and hostsFrom.",
        "type": "object",
        "properties": {
            "host": host('A name, `"*.example.com"` for every name below it, or `"*"` for every name.'),
            "cidr": cidr("A network of destinations asked for by address, and of the addresses of names."),
            "hostsFrom": {
                "description": "A list file beside the manifest, with a name on each line. In files alone.",
                "type": "string",
                "minLength": 1,
                "maxLength": 4096,
            },
            "ports": ports(),
            "except": excepts,
            **kind_http.of_destinations(),
        },
        "rules": [only_one, of_wildcard, not_whole, inside, no_network],
        "editor": {
            **either(*names),
            "if": {"required": ["cidr"]},
            "then": {"properties": {"except": {"items": {"pattern": whole(CIDR)}}}},
            "else": {
                "properties": {"except": {"items": hosts}},
                "if": {"required": ["host", "except"]},
                "then": {"properties": {"host": {"pattern": r"^\*"}}},
            },
        },
        "cluster": {"x-kubernetes-map-type": "atomic"},
    }


def tls() -> Schema:
    both = Rule(
        "has(self.certificate) == has(self.key)",
        "certificate and key are given together",
        lambda block: (block.get("certificate") is None) == (block.get("key") is None),
    )
    path: Schema = {"type": "string", "minLength": 1, "maxLength": 4096, "nullable": True}
    given = {"type": "string"}
    named: Schema = {"pattern": whole(SERVER), "not": {"pattern": r"(^|\.)[0-9]+\.?$"}, "maxLength": 254}
    hosts = [{"format": "ipv4"}, {"format": "ipv6"}, named]
    uri = {"pattern": whole(URI), "maxLength": 2048}
    versions = [*VERSIONS, *map(float, VERSIONS), None]
    return {
        "description": "TLS towards the destination: plain bytes of clients leave as TLS.",
        "type": "object",
        "required": ["originate"],
        "properties": {
            "originate": {"description": "false: bytes leave as they come.", "type": "boolean"},
            "port": {
                "description": "The port that is dialed. Default: 443 where 80 was asked for, else the one asked for.",
                "type": "integer",
                "minimum": 1,
                "maximum": 65535,
                "nullable": True,
            },
            "serverName": {
                "description": "The host asked for (SNI). Default: the one the client asked for.",
                "type": "string",
                "anyOf": hosts,
                "nullable": True,
            },
            "sans": {
                "description": "Names, addresses and URIs, one of which the certificate has to have.",
                "type": "array",
                "maxItems": MOST_NAMES,
                "items": {"type": "string", "anyOf": [*hosts, uri]},
                "nullable": True,
            },
            "ca": {"description": "File with the CAs of the certificate, PEM; `system`: those of the system.", **path},
            "certificate": {"description": "File with the certificate that is shown, PEM.", **path},
            "key": {"description": "File with its key, PEM.", **path},
            "minVersion": text(
                # An API server takes the null of an `enum` for a text.
                "|".join(map(re.escape, VERSIONS)).join("()"), "The oldest version of TLS that is spoken, in quotes.",
                # YAML takes 1.2 for a number; the reader has its text.
                nullable=True, editor={"type": ["string", "number", "null"], "enum": versions},
            ),
            "alpn": {
                "description": "Protocols that are offered (ALPN).",
                "type": "array",
                "maxItems": MOST_PROTOCOLS,
                "items": {"type": "string", "pattern": "^[!-~]{1,255}$", "maxLength": 255},
                "nullable": True,
            },
        },
        "rules": [both],
        "editor": {
            "if": {"anyOf": [{"required": [name], "properties": {name: given}} for name in ("certificate", "key")]},
            "then": {"required": ["certificate", "key"], "properties": {"certificate": given, "key": given}},
        },
    }  # fmt: skip


def hard(kind: str) -> Schema:
    words: Schema = {"description": "A Deny that no rule and no audit mode outranks.", "type": "boolean"}
    if kind == reader.CLUSTER:
        return words
    never = Rule("!self", f"an {kind} cannot be hard; write a {reader.CLUSTER}", lambda value: value is not True)
    return {
        **words,
        "description": "true: in a ClusterEgressPolicy alone.",
        "rules": [never],
        "editor": {"const": False},
    }


def source_address() -> Schema:
    bound = Rule(
        "isIP(self) && (ip(self).isGlobalUnicast() || ip(self).isLoopback() ||"
        " (ip(self).family() == 4 && ip(self).isLinkLocalUnicast()))",
        "expected an address that a socket can be bound to",
        can_be_bound,
    )
    one = text("[0-9a-fA-F:.]+", "An address of the gateway.", 45, rules=[bound])
    one["editor"] = {"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}
    return {
        "description": "Addresses of the gateway, one of which connections come from.",
        "type": "array",
        "minItems": 1,
        "items": one,
        "editor": {"uniqueItems": True},
        "cluster": {"maxItems": MOST_SOURCES, "x-kubernetes-list-type": "set"},
    }


def spec(kind: str) -> Schema:
    """`spec` of one kind."""
    selected = "every workload of the mesh" if kind == reader.CLUSTER else "every workload of the namespace"
    hard_denies = Rule(
        "!has(self.hard) || !self.hard || self.action == 'Deny'",
        "only Deny can be hard",
        lambda value: value.get("hard") is not True or value.get("action") == "Deny",
    )
    is_hard = {"required": ["hard"], "properties": {"hard": {"const": True}}}
    lists: list[Schema] = [
        {
            "description": description,
            "type": "array",
            "minItems": 1,
            "items": item,
            "editor": {"uniqueItems": True},
            "cluster": {"maxItems": most, "x-kubernetes-list-type": "set"},
        }
        for description, item, most in (
            (f"The sources. Absent: {selected}.", from_item(kind), MOST_FROM),
            ("The destinations; each item is a rule.", to_item(), MOST_TO),
        )
    ]
    return {
        "description": "Sources, destinations and what becomes of the connection.",
        "type": "object",
        "required": ["to", "action"],
        "properties": {
            "from": lists[0],
            "to": lists[1],
            "action": choice(tuple(reader.ACTIONS), "Deny outranks Allow; Audit lets pass and reports."),
            "hard": hard(kind),
            "onRevoke": choice(reader.ON_REVOKE, "The end of a connection that a reload denies. Default: kill."),
            "upstream": text(
                "[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", "A parent of sluice.yaml that connections go to.", 63
            ),
            "sourceAddress": source_address(),
            "tls": tls(),
            "innerName": choice(
                reader.INNERS, "Whether the name inside must be the one asked for; kubectl needs quotes for `off`."
            ),
            "inner": {
                "description": "What has to run inside.",
                "type": "object",
                "required": ["protocol"],
                "properties": {"protocol": choice(reader.PROTOCOLS, "The protocol that must show inside.")},
            },
            "ech": choice(reader.ECHS, "Whether an encrypted ClientHello passes."),
            "headers": kind_http.headers(),
        },
        "rules": [hard_denies],
        "editor": {"if": is_hard, "then": {"properties": {"action": {"const": "Deny"}}}},
    }  # fmt: skip
