"""Host patterns as manifests write them, made ready for the image: A-labels, lower case, no trailing dot; and `except`.

What a name may consist of is judged by the one C function that also judges requests (DECISIONS.md section 2), when the
image is built. Here stand the things it does not know: IDNA, and what people write when they mean something else.
"""

import ipaddress
import re
import unicodedata

import idna

from supervisor.policy.resources.model import Text
from supervisor.source.node import Node, each
from supervisor.source.problems import Problems, quote

_LAST_OF_ADDRESS = tuple("0123456789]")


def host_pattern(node: Node) -> Text:
    """A name, `*.name` or `*`. Raises Invalid with what was probably meant."""
    text = node.string()
    if not text:
        raise node.unexpected('a host name, "*.name" or "*"')
    _refuse_lookalikes(node, text)
    name = a_labels(node, text)
    # One dot behind a label is removed. Others are left, to be refused: `*.` must not become `*`.
    if name.endswith(".") and name[-2:-1] not in ("", ".", "*"):
        name = name[:-1]
    return Text(name, node.line, node.column)


def _refuse_lookalikes(node: Node, text: str) -> None:
    """Addresses, URLs, ports and leading dots: each has another place, or another spelling."""
    if (address := _address(text)) is not None:
        hint = f"write cidr: {address}/{address.max_prefixlen}"
        raise node.invalid(f"{quote(text)} is an IP address, not a host name", hint)
    if "://" in text:
        host = text.partition("://")[2].partition("/")[0].rpartition("@")[2].partition(":")[0]
        raise node.invalid(f"{quote(text)} is a URL, not a host name", f"write host: {host}" if host else "")
    if found := re.fullmatch(r"([^:/]*):([0-9]{1,5})", text):
        raise node.invalid(f"{quote(text)} has a port", f"write host: {found[1]} and ports: [{found[2]}]")
    if "/" in text:
        hint = f"write cidr: {text}" if re.fullmatch(r"[0-9a-fA-F.:]+/[0-9]+", text) else "write the name alone"
        raise node.invalid(f"{quote(text)} is not a host name", hint)
    if text.startswith(".") and len(text) > 1:
        raise node.invalid(f"{quote(text)} begins with a dot", f'for every name below it write "*{text}"')


def _address(text: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    """The address that a text is, in brackets or without them; most names are told by their last letter alone."""
    if ":" not in text and not text.endswith(_LAST_OF_ADDRESS):
        return None
    try:
        return ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def a_labels(node: Node, text: str) -> str:
    """The text in lower case, U-labels converted (RFC 5890; case and composition mapped as RFC 5895 section 2 does)."""
    if text.isascii():
        return text.lower()
    labels = []
    for label in text.split("."):
        if label.isascii():
            labels.append(label.lower())
            continue
        try:
            labels.append(idna.encode(unicodedata.normalize("NFC", label.lower())).decode())
        except idna.IDNAError:
            words = f"{quote(label)} is not a label of an internationalised name (IDNA 2008)"
            raise node.invalid(words, "write the name in its xn-- form") from None
    return ".".join(labels)


def read_excepts(items: list[Node], host: Text | None, cidr: str, problems: Problems) -> tuple[Text, ...]:
    """The items of `except`, each wholly inside the destination it takes something out of; without `host` and `cidr`
    that is a list file, whose names are not known yet."""
    found: dict[str, Node] = {}
    for node, text in each(items, lambda item: (item, _except_item(item, host, cidr)), problems):
        if text.value in found:
            words = f"duplicate item in `except`: {quote(text.value)}"
            problems.error(node.place, words, f"it is first listed in line {found[text.value].line}")
        found.setdefault(text.value, node)
    return tuple(Text(value, node.line, node.column) for value, node in found.items())


def _except_item(node: Node, host: Text | None, cidr: str) -> Text:
    if host is not None or not cidr:
        return _except_host(node, host.value if host is not None else "*")
    inner, outer = ipaddress.ip_network(node.cidr()), ipaddress.ip_network(cidr)
    if inner == outer:
        raise node.invalid(f"{inner} is the whole destination: nothing would be left")
    if inner.version != outer.version or not inner.subnet_of(outer):  # type: ignore[arg-type] # versions are equal
        raise node.invalid(f"{inner} lies outside {outer}: it can never match")
    return Text(str(inner), node.line, node.column)


def _except_host(node: Node, host: str) -> Text:
    text = host_pattern(node)
    if not host.startswith("*"):
        raise node.invalid(f"{quote(host)} is one name: `except` can never match", "remove `except`")
    if text.value == host:
        raise node.invalid(f"{quote(host)} is the whole destination: nothing would be left")
    if host != "*" and not text.value.endswith(host[1:]):
        raise node.invalid(
            f"{quote(text.value)} is not below {quote(host)}: it can never match", f'names below it end in "{host[1:]}"'
        )
    return text
