"""TLS that rules originate, by the text that the policy image knows each of its settings by.

The text is JSON of everything that a rule says, and names files without their content: a renewed certificate leaves it,
and tunnels, as they are. Equal settings of any number of rules are one, with one client in each worker.
"""

import json
from collections.abc import Iterable

from supervisor.config.tls import ClientTls, Pair
from supervisor.config.trust import NamedFile
from supervisor.policy.resources.model import Origination, Rules, Text
from supervisor.source.problems import Place


def origination_text(tls: Origination) -> str:
    """As `explain` shows it as well. "{}": bytes leave as they come."""
    if not tls.originate:
        return "{}"
    said = {
        "port": tls.port or None,
        "serverName": tls.server_name,
        "sans": tls.sans,
        "ca": tls.ca.value if tls.ca else "system",
        "certificate": tls.certificate.value if tls.certificate else None,
        "key": tls.key.value if tls.key else None,
        "minVersion": tls.min_version,
        "alpn": tls.alpn,
    }
    return json.dumps(said, separators=(",", ":"))


def originations_of(rules: Iterable[Rules]) -> dict[str, ClientTls]:
    """The settings of all rules that pass and originate TLS, each once."""
    found: dict[str, ClientTls] = {}
    for rule in rules:
        if rule.tls is not None and rule.tls.originate and rule.tier in ("allow", "audit"):
            found.setdefault(origination_text(rule.tls), _client(rule.tls))
    return found


def _client(tls: Origination) -> ClientTls:
    shown = Pair(_file(tls, tls.certificate), _file(tls, tls.key)) if tls.certificate and tls.key else None
    return ClientTls(
        place=tls.place,
        server_name=tls.server_name,
        sans=tls.sans,
        ca=_file(tls, tls.ca) if tls.ca else None,
        certificate=shown,
        min_version=tls.min_version,
        alpn=tls.alpn,
    )


def _file(tls: Origination, path: Text) -> NamedFile:
    return NamedFile(path.value, Place(tls.place.file, path.line, path.column))
