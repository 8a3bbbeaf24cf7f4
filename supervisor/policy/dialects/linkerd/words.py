"""The words that all kinds share: references, CIDRs with exceptions, identities. Readers over nodes."""

import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from supervisor.policy.dialects.linkerd.resources import Block, Target
from supervisor.policy.dialects.routes.parts import Reference
from supervisor.policy.dialects.routes.words import api_group
from supervisor.policy.resources.model import Text
from supervisor.source.node import Node, each
from supervisor.source.problems import Problems, did_you_mean, quote
from supervisor.source.words import is_identity, namespace_name, object_name

CORE: Final = ""  # the group of Kubernetes' own kinds
LINKERD: Final = "policy.linkerd.io"
GATEWAY_API: Final = "gateway.networking.k8s.io"
MOST_BLOCKS: Final = 1000
MOST_IDENTITIES: Final = 1000
# linkerd2, policy-controller/runtime/src/validation.rs
_IDENTITY: Final = re.compile(r"(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")

Kinds = Sequence[tuple[str, str]]  # groups and kinds
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def bounded(nodes: list[Node], most: int, what: str) -> list[Node]:
    """A list that is not too long. Raises Invalid at the first item over the limit."""
    if len(nodes) > most:
        raise nodes[most].invalid(f"more than {most} {what}")
    return nodes


def read_target(node: Node, kinds: Kinds, problems: Problems, namespaced: bool = True) -> Target:
    """A reference to one of `kinds`; `namespaced`: it may name a namespace. Raises Invalid for another kind."""
    known = ("group", "kind", "name", "namespace") if namespaced else ("group", "kind", "name")
    fields = node.fields(known, problems, null_is_absent=True)
    group = fields.read("group", api_group, CORE)
    group = CORE if group == "core" else group
    kind = fields.need("kind", Node.string, kinds[0][1], f"one of {said(kinds)}")
    if (group, kind) not in kinds:
        place = fields.get("kind") or node
        hint = did_you_mean(kind, [name for _, name in kinds])
        if groups := [own for own, name in kinds if name == kind]:
            place = fields.get("group") or place
            hint = f"write group: {' or '.join(own or quote(own) for own in groups)}"
        raise place.unexpected(f"one of {said(kinds)}", hint)
    reader = namespace_name if (group, kind) == (CORE, "Namespace") else object_name
    name = fields.need("name", reader, "", f"the name of a {kind}")
    return Target(group, kind, fields.read("namespace", namespace_name, ""), name, node.line, node.column)


def said(kinds: Kinds) -> str:
    """Kinds in words, with their groups."""
    return ", ".join(f"{kind} ({group})" if group else kind for group, kind in kinds)


def read_blocks(nodes: list[Node], problems: Problems) -> tuple[Block, ...]:
    """`networks`: CIDRs or addresses with exceptions; wrong ones are reported and left out."""
    found = each(bounded(nodes, MOST_BLOCKS, "networks"), lambda node: _block(node, problems), problems)
    return tuple(block for block in found if block is not None)


def _block(node: Node, problems: Problems) -> Block | None:
    """None where its CIDR is wrong."""
    fields = node.fields(("cidr", "except"), problems, null_is_absent=True)
    cidr = fields.need("cidr", network, "", "write cidr: 10.0.0.0/8")
    nodes = bounded(fields.items("except"), MOST_BLOCKS, "exceptions")
    texts: dict[str, Text] = {}
    for one in each(nodes, lambda item: _except(item, cidr), problems):
        if one.value in texts:
            place = texts[one.value]
            problems.warning(node.place, f"except: {one.value} twice, in lines {place.line} and {one.line}")
        texts.setdefault(one.value, one)
    return Block(cidr, tuple(texts.values()), node.line, node.column) if cidr else None


def _except(node: Node, cidr: str) -> Text:
    """Linkerd's admission rules (policy-controller/runtime/src/admission.rs, validate_networks)."""
    text = network(node)
    if cidr:
        inner, outer = ipaddress.ip_network(text), ipaddress.ip_network(cidr)
        if inner.version == outer.version and outer.subnet_of(inner):  # type: ignore[arg-type] # versions are equal
            raise node.invalid(f"{cidr} is completely negated by the exception {text}", "nothing of it is left")
        if inner.version != outer.version or not inner.subnet_of(outer):  # type: ignore[arg-type]
            raise node.invalid(f"{text} lies outside {cidr}: nothing is excepted", "remove it, or name a part")
    return Text(text, node.line, node.column)


def network(node: Node) -> str:
    """A CIDR, also with host bits, or one address, as Linkerd has them; in canonical text."""
    text = node.text()
    address, slash, length = text.partition("/")
    try:
        if "%" in address or (slash and not re.fullmatch("0|[1-9][0-9]{0,2}", length)):
            raise ValueError(text)
        return str(ipaddress.ip_network(text, strict=False))
    except ValueError:
        raise node.unexpected("a CIDR such as 10.0.0.0/8 or 2001:db8::/32, or an address") from None


def identity(node: Node) -> Text:
    """`*`, `*.suffix`, or an identity in Linkerd's form or that of SPIFFE."""
    text = node.string()
    if not (_IDENTITY.fullmatch(text) and len(text) <= 253) and not is_identity(text):
        hint = ""
        if text.startswith("spiffe://") and "*" in text:
            hint = (
                "a wildcard stands in Linkerd's form alone: *.NAMESPACE.serviceaccount.identity.linkerd.cluster.local"
            )
        elif _IDENTITY.fullmatch(text.lower().removesuffix(".")):
            hint = f"write {text.lower().removesuffix('.')}"
        example = "cart.shop.serviceaccount.identity.linkerd.cluster.local or spiffe://cluster.local/ns/shop/sa/cart"
        raise node.unexpected(f'"*", or an identity such as {example}', hint)
    return Text(text, node.line, node.column)


def frame_says(metadata: Node | None, name: str) -> Node | None:
    """A field of metadata, where it has one."""
    found = metadata.mapping().get(name) if metadata is not None and isinstance(metadata.value, dict) else None
    return found[1] if found and not found[1].is_null else None


def is_gateway(target: Reference, services: Sequence[str]) -> bool:
    """Whether a Service is this gateway; without a namespace by its name alone."""
    if target.namespace:
        return f"{target.namespace}/{target.name}" in services
    return any(one.rpartition("/")[2] == target.name for one in services)
