"""The words of Gateway API manifests: names, hosts, header fields, durations. Readers over nodes, with the limits of
its definitions (gateway-api, config/crd)."""

import re
from typing import Final

from supervisor.policy.resources.hosts import host_pattern
from supervisor.policy.resources.model import Text
from supervisor.source.node import Node
from supervisor.source.problems import quote

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
MOST_PATH: Final = 1024
_HOST: Final = re.compile(r"(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_GROUP: Final = re.compile(r"([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*)?")
_KIND: Final = re.compile(r"[a-zA-Z]([-a-zA-Z0-9]{0,61}[a-zA-Z0-9])?")
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]{1,256}")  # RFC 9110 section 5.6.2
_VALUE: Final = re.compile(r"[!-~]+([\t ]?[!-~]+)*")
_DURATION: Final = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}")
_UNITS: Final = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
_NUMBER: Final = re.compile(r"[0-9]+")


def bounded(node: Node, most: int) -> list[Node]:
    """The items of a list. Raises Invalid at the first one over the limit."""
    items = node.items()
    if len(items) > most:
        raise items[most].invalid(f"expected at most {most} items, found {len(items)}")
    return items


def hostname(node: Node) -> Text:
    """A name or `*.name`, in lower case, no address."""
    text = node.string()
    if text == "*":
        raise node.invalid('"*" is not a hostname of a route', "leave hostnames out: the route is for every host")
    found = host_pattern(node)
    if text.isascii() and text != found.value:
        raise node.unexpected("a hostname in lower case without a dot at its end", f"write {found.value}")
    if len(found.value) > 253 or not _HOST.fullmatch(found.value):
        raise node.unexpected('a hostname such as api.example.com or "*.example.com", of a-z, 0-9, "-" and "."')
    return found


def precise_hostname(node: Node) -> str:
    """A name without a wildcard."""
    found = hostname(node)
    if found.value.startswith("*"):
        raise node.invalid(f"{quote(found.value)}: expected one name, found a wildcard")
    return found.value


def api_group(node: Node) -> str:
    """The group of a kind; "" = Kubernetes' own."""
    if not isinstance(node.value, str):
        raise node.unexpected('an API group such as policy.linkerd.io, or ""')
    if len(node.value) > 253 or not _GROUP.fullmatch(node.value):
        raise node.unexpected('an API group such as policy.linkerd.io, or ""', _without_version(node.value))
    return node.value


def _without_version(text: str) -> str:
    group = text.partition("/")[0]
    return f"write {group}: the version is not part of the group" if "/" in text and _GROUP.fullmatch(group) else ""


def kind_name(node: Node) -> str:
    """The kind of a resource."""
    text = node.string()
    if not _KIND.fullmatch(text):
        raise node.unexpected("a kind such as Service: at most 63 letters, digits and '-'")
    return text


def field_name(node: Node) -> str:
    """The name of a header field, or of a query parameter."""
    text = node.string()
    if not _TOKEN.fullmatch(text):
        near = re.sub(r"[^A-Za-z0-9!#$%&'*+\-.^_`|~]+", "-", text).strip("-")[:256]
        raise node.unexpected(
            "a name of 1 to 256 letters, digits and !#$%&'*+-.^_`|~", f"write {near}" if near and near != text else ""
        )
    return text


def field_value(node: Node) -> str:
    """The value of a header field: visible ASCII, blanks in between alone."""
    text = node.string()
    if len(text) > 4096:
        raise node.invalid(f"expected at most 4096 bytes, found {len(text)}")
    if not _VALUE.fullmatch(text):
        hint = f'write "{text.strip()}"' if _VALUE.fullmatch(text.strip()) and len(text) < 80 else ""
        raise node.unexpected("visible ASCII characters, with single blanks between them", hint)
    return text


def port(node: Node) -> int:
    """A port."""
    return node.integer(1, 65535)


def duration(node: Node) -> int:
    """Milliseconds, from `500ms`, `2s` or `1h30m` (GEP-2257); at most four parts of five digits."""
    text = node.value if isinstance(node.value, str) else ""
    if not _DURATION.fullmatch(text):
        hint = "durations look like 500ms, 10s or 1h30m"
        if _NUMBER.fullmatch(text):
            hint = f"a unit is missing: {text}s"
        elif "." in text:
            hint = "whole numbers alone: 1500ms for 1.5s"
        raise node.unexpected("a duration", hint)
    return sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"([0-9]+)(ms|h|m|s)", text))


def matched_path(node: Node) -> str:
    """The value of an Exact or a PathPrefix match. A normal path: requests are compared in their normal form."""
    text = node.string()
    _short(node, text)
    if not text.startswith("/"):
        raise node.unexpected("an absolute path", f"write /{text}")
    for part in ("//", "/./", "/../", "%2f", "%2F", "#", "?"):
        if part in text:
            raise node.invalid(f"{quote(text)}: a path that is matched cannot contain {quote(part)}", _normal(text))
    if text.endswith(("/.", "/..")):
        raise node.invalid(f"{quote(text)}: a path that is matched cannot end with {quote('/' + text.rsplit('/')[-1])}")
    if not re.fullmatch(r"(?:[-A-Za-z0-9/._~!$&'()*+,;=:@]|%[0-9a-fA-F]{2})+", text):
        raise node.unexpected("a path of letters, digits, /-._~!$&'()*+,;=:@ and %XX", "encode other bytes as %XX")
    return text


def _normal(text: str) -> str:
    """The hint for a path that is nearly right."""
    near = re.sub(r"/+", "/", text.partition("?")[0].partition("#")[0])
    return f"write {near}" if near != text and not re.search(r"/\.\.?/|%2[fF]", near) else ""


def new_path(node: Node) -> str:
    """The text that a filter puts in place of a path, or of its prefix; it may be empty."""
    if not isinstance(node.value, str):
        raise node.unexpected("a path")
    _short(node, node.value)
    return node.value


def _short(node: Node, text: str) -> None:
    if len(text) > MOST_PATH:
        raise node.invalid(f"expected at most {MOST_PATH} bytes, found {len(text)}")


def section_name(node: Node) -> str:
    """The name of a listener, or of a rule: an RFC 1123 subdomain."""
    text = node.string()
    if len(text) > 253 or not _HOST.fullmatch(text) or text.startswith("*"):
        lower = text.lower()
        hint = f"write {lower}" if lower != text and _HOST.fullmatch(lower) else ""
        raise node.unexpected("a name of a-z, 0-9, '-' and '.', with a letter or digit at both ends", hint)
    return text


def origin(node: Node) -> str:
    """An origin of CORS: `*`, or scheme, host and port."""
    text = node.string()
    found = re.fullmatch(
        r"\*|https?://((\*\.)?([a-zA-Z0-9\-]+\.)*[a-zA-Z0-9-]+|\*)(:([0-9]{1,5}))?", text[:254], re.ASCII
    )
    if not found or len(text) > 253:
        raise node.unexpected('an origin such as https://www.example.com, "https://*.example.com" or "*"')
    return text
