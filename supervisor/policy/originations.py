"""TLS that rules originate, by the text that the policy image knows each of its settings by.

The text is JSON of everything that a rule says, and names files without their content: a renewed certificate leaves it,
and tunnels, as they are. Equal settings of any number of rules are one, with one client in each worker.
"""

from collections.abc import Iterable

from supervisor.config.tls import ClientTls, Pair
from supervisor.config.trust import NamedFile
from supervisor.policy.resources.model import Origination, Rules, Text, origination_text
from supervisor.source.problems import Place


def originations_of(rules: Iterable[Rules], backends: Iterable[Origination] = ()) -> dict[str, ClientTls]:
    """The settings of all rules that pass and originate TLS, and those towards `backends`, each once."""
    found = {origination_text(tls): _client(tls) for tls in backends}
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
        ca=_file(tls, tls.ca, tls.authority) if tls.ca else None,
        certificate=shown,
        min_version=tls.min_version,
        alpn=tls.alpn,
    )


def _file(tls: Origination, path: Text, content: str | None = None) -> NamedFile:
    return NamedFile(path.value, Place(tls.place.file, path.line, path.column), content)
