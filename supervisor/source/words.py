"""The words that policy and configuration share: names of Kubernetes objects, users, identities. Readers over nodes."""

import ipaddress
import os
import re
from typing import Final

from supervisor.source.node import Node

MOST_LABELS: Final = 1000
_LABEL_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_LABEL_PREFIX: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_LABEL: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SUBDOMAIN: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*")
_USER: Final = re.compile(r"[\x21-\x39\x3b-\x7e]{1,255}")
# SPIFFE-ID.md sections 2.1 and 2.2: a trust domain in lower case, then path segments that are not empty, `.` or `..`.
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._-]{1,255}((/(?!\.{1,2}(/|$))[A-Za-z0-9._-]+)+)?")
_HOST: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_URI: Final = re.compile(r"[a-z][a-z0-9+.-]*://[\x21-\x7e]+")
_SPIFFE_WORKLOAD: Final = re.compile(r"spiffe://[^/]+/ns/([^/]+)/sa/([^/]+)")


def file_path(node: Node, folder: str) -> str:
    """A path, absolute: `folder` is where a relative one begins."""
    text = node.text()
    if not text or "\0" in text:
        raise node.unexpected("a path")
    return os.path.abspath(os.path.join(folder, text))


def namespace_name(node: Node) -> str:
    """A namespace: an RFC 1123 label."""
    text = node.string()
    if not _LABEL.fullmatch(text):
        raise node.unexpected("a namespace: at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends")
    return text


def service_name(node: Node) -> str:
    """A Service as namespace/name."""
    text = node.string()
    namespace, slash, name = text.partition("/")
    if not slash or not _LABEL.fullmatch(namespace) or not _LABEL.fullmatch(name):
        hint = f"write NAMESPACE/{text}" if _LABEL.fullmatch(text) else "such as egress/sluice"
        raise node.unexpected("a Service as namespace/name", hint)
    return text


def object_name(node: Node) -> str:
    """The name of a resource or service account: an RFC 1123 subdomain."""
    text = node.string()
    if len(text) > 253 or not _SUBDOMAIN.fullmatch(text):
        raise node.unexpected("a name: at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends")
    return text


def is_user_name(text: str) -> bool:
    """1 to 255 bytes of printable ASCII, no blank, no colon (it ends the name in Basic credentials, RFC 7617)."""
    return _USER.fullmatch(text) is not None


def entry_name(node: Node) -> str:
    """The name of a listener or of a parent gateway."""
    text = node.string()
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", text):
        raise node.unexpected("a name of at most 63 letters, digits, '.', '_' and '-'")
    return text


def user_name(node: Node) -> str:
    """The name of a user."""
    text = node.string()
    if not is_user_name(text):
        raise node.unexpected("a user name: 1 to 255 printable ASCII characters without blanks and ':'")
    return text


def is_identity(text: str) -> bool:
    """A SPIFFE ID."""
    return len(text) <= 2048 and _SPIFFE.fullmatch(text) is not None


def is_role(text: str) -> bool:
    """The role of a certificate as it is an identity: CN=name or OU=name."""
    kind, equals, name = text.partition("=")
    return kind in ("CN", "OU") and bool(equals) and 0 < len(name) <= 2048 and name.isprintable()


def identity_uri(node: Node) -> str:
    """A workload's identity."""
    text = node.string()
    if not is_identity(text):
        raise node.unexpected("a SPIFFE ID such as spiffe://cluster.local/ns/shop/sa/cart")
    return text


def server_name(node: Node) -> str:
    """A host as certificates name it: a DNS name in lower case without a wildcard, or an address."""
    text = node.string()
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    name = text.lower().removesuffix(".")
    if len(name) > 253 or not _HOST.fullmatch(name) or name.rpartition(".")[2].isdecimal():
        raise node.unexpected("a host such as proxy.example.com, without a wildcard, or an address")
    return name


def certificate_name(node: Node) -> str:
    """A subject alternative name: a host, or a URI such as a SPIFFE ID."""
    text = node.string()
    if "://" not in text:
        return server_name(node)
    if not _URI.fullmatch(text) or len(text) > 2048:
        raise node.unexpected("a URI such as spiffe://cluster.local/ns/shop/sa/cart")
    return text


def trust_domain_of(identity: str) -> str:
    """The trust domain of a SPIFFE ID."""
    return identity.removeprefix("spiffe://").partition("/")[0]


def workload_of(identity: str) -> tuple[str, str]:
    """Namespace and service account that a SPIFFE ID of the usual form names; empty texts for another form."""
    found = _SPIFFE_WORKLOAD.fullmatch(identity)
    return (found[1], found[2]) if found else ("", "")


def label_key(node: Node) -> str:
    """The key of a label: `name` or `prefix/name`."""
    text = node.text()
    prefix, slash, name = text.rpartition("/")
    if not _LABEL_NAME.fullmatch(name) or (slash and (len(prefix) > 253 or not _LABEL_PREFIX.fullmatch(prefix))):
        raise node.unexpected("a label such as app or app.kubernetes.io/name")
    return text


def label_value(node: Node) -> str:
    """The value of a label, which may be empty."""
    text = node.string() if not node.is_null or node.value == "" else ""
    if text and not _LABEL_NAME.fullmatch(text):
        raise node.unexpected("the value of a label: at most 63 letters, digits, '.', '_' and '-'")
    return text


def read_labels(node: Node) -> tuple[tuple[str, str], ...]:
    """A mapping of labels, sorted."""
    found = node.mapping()
    if len(found) > MOST_LABELS:
        raise node.invalid(f"more than {MOST_LABELS} labels")
    return tuple(sorted((label_key(key), label_value(value)) for key, value in found.values()))
