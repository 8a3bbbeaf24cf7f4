"""The `tls` block of an EgressPolicy: plain bytes of clients leave as TLS (DECISIONS.md section 6). Its files are read
elsewhere (supervisor/config/certificates.py)."""

import os
import re
from typing import Final

from supervisor.policy.resources.model import Origination, Text, TlsVersion
from supervisor.source.node import Fields, Node
from supervisor.source.problems import Problems
from supervisor.source.words import certificate_name, file_path, server_name

TLS: Final = ("originate", "port", "serverName", "sans", "ca", "certificate", "key", "minVersion", "alpn")
VERSIONS: Final[tuple[TlsVersion, ...]] = ("1.2", "1.3")
MOST_NAMES: Final = 64  # csrc/tls/tls_client.h
MOST_PROTOCOLS: Final = 16


def read_origination(node: Node, problems: Problems) -> Origination:
    """Errors are reported. `originate: false` says that bytes leave as they come."""
    fields = node.fields(TLS, problems, null_is_absent=True)
    originate = fields.need("originate", Node.boolean, False, "write originate: true, or false for bytes as they come")
    sans = tuple(dict.fromkeys(fields.each("sans", certificate_name)))
    if len(sans) > MOST_NAMES and (names := fields.get("sans")):
        problems.error(names.place, f"expected at most {MOST_NAMES} names, found {len(sans)}")
    protocols = tuple(dict.fromkeys(fields.each("alpn", _protocol)))
    if len(protocols) > MOST_PROTOCOLS and (alpn := fields.get("alpn")):
        problems.error(alpn.place, f"expected at most {MOST_PROTOCOLS} protocols, found {len(protocols)}")
    version: TlsVersion = "1.2"
    found = Origination(
        place=node.place,
        originate=originate,
        port=fields.read("port", lambda number: number.integer(1, 65535), 0),
        server_name=fields.read("serverName", server_name, None),
        sans=sans,
        ca=_file(fields, "ca", "system"),
        certificate=_file(fields, "certificate"),
        key=_file(fields, "key"),
        min_version=fields.read("minVersion", lambda word: word.choice(*VERSIONS), version),
        alpn=protocols,
    )
    _fit_together(fields, found, problems)
    return found


def _fit_together(fields: Fields, found: Origination, problems: Problems) -> None:
    if (found.certificate is None) != (found.key is None):
        there, missing = ("certificate", "key") if found.certificate else ("key", "certificate")
        if node := fields.get(there):
            problems.error(node.place, f"{there} without {missing}")
    others = [node for name in TLS[1:] if (node := fields.get(name))]
    if not found.originate and others and fields.get("originate"):
        problems.warning(others[0].place, "the other keys of `tls` have no effect without originate: true")


def _file(fields: Fields, name: str, word: str = "") -> Text | None:
    """A path, absolute or relative to the manifest; `word` stands for none."""
    none: Text | None = None

    def read(node: Node) -> Text | None:
        if word and node.value == word:
            return None
        node.string()  # a number would be another path to YAML 1.1
        return Text(file_path(node, os.path.dirname(node.file)), node.line, node.column)

    return fields.read(name, read, none)


def _protocol(node: Node) -> str:
    """A protocol's name as ALPN has it (RFC 7301 section 3.1); printable ones alone."""
    text = node.string()
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", text):
        raise node.unexpected("a protocol such as h2 or http/1.1: 1 to 255 printable ASCII characters")
    return text
