"""Every key of the contract's section 1 (configuration): it works, or it is refused with words that say so.

An operator may write each of them today. Silently ignored is the one thing that none of them may be, and unknown none
is. What is refused is refused at its place.
"""

import re
import textwrap
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.config.later import LATER, LATER_PROTOCOLS, UNREAD
from supervisor.config.reader import load_config
from supervisor.source.problems import Problems
from tests.support.front import complaints, read

# Of every key an example; the documents that it needs beside it are filled in below.
KEYS: dict[str, Any] = {
    "listeners[].name": "mesh",
    "listeners[].address": "0.0.0.0:1080",
    "listeners[].protocol": "auto",
    "listeners[].destination": "db.example.com:5432",
    "listeners[].requests": True,
    "listeners[].auth": "off",
    "listeners[].innerName": "enforce",
    "listeners[].audit": False,
    "listeners[].diagnostics": False,
    "listeners[].tls": {"certificates": [{"certificate": "tls.crt", "key": "tls.key"}], "clientCA": "ca.crt"},
    "workers": "auto",
    "gateway.name": "sluice",
    "gateway.namespace": "egress",
    "gateway.labels": {"app": "sluice"},
    "gateway.serviceAddresses": ["10.96.0.10"],
    "gateway.clusterNetworks": ["10.0.0.0/8"],
    "gateway.clusterDomain": "cluster.local",
    "policy.paths": ["policy"],
    "policy.passthrough": True,
    "policy.audit": True,
    "policy.auditNamespaces": ["shop"],
    "policy.perNamespace.entries": 1000,
    "policy.perNamespace.bytes": "1MiB",
    "policy.perNamespace.states": 1000,
    "grants": [{"namespaces": ["shop"], "cidrs": ["10.0.0.0/8"], "sourceAddresses": ["192.0.2.1"], "upstreams": []}],
    "grants[].certificates": ["client"],
    "grants[].credentials": [],
    "identity.trustDomains": [{"name": "cluster.local", "ca": "mesh.crt", "linkerdNamespace": "linkerd"}],
    "identity.subject": {"role": "CN"},
    "identity.networks": [{"cidr": "10.1.0.0/16", "namespace": "shop", "serviceAccount": "cart"}],
    "identity.users": "users.yaml",
    "identity.tokens": [
        {"issuer": "https://issuer.test", "audiences": ["sluice"], "keys": "jwks.json", "kubernetes": True}
    ],
    "identity.insecureTokens": True,
    "identity.maxAge": "24h",
    "identity.proxyProtocolFrom": ["10.0.0.0/8"],
    "identity.proxyProtocolFrom[].identity": True,
    "identity.trusted": [{"identity": "spiffe://cluster.local/ns/a/sa/b", "sources": 1}],
    "credentials": [{"name": "stripe", "file": "stripe.token", "hosts": ["api.stripe.com"], "namespaces": ["shop"]}],
    "addresses.allow": ["10.0.0.0/8"],
    "addresses.deny": ["192.0.2.0/24"],
    "upstreams[].tls": {"serverName": "corp", "sans": [], "ca": "system", "minVersion": "1.2"},
    "upstreams[].user": "bot",
    "upstreams[].passwordFile": "corp.password",
    "upstreams[].proxyProtocol": "v2",
    "pools.perDestination": 256,
    "pools.pending": 1024,
    "pools.idle": "60s",
    "pools.maxAge": "10m",
    "dns.servers": "system",
    "dns.timeout": "2s",
    "dns.minTTL": "1s",
    "dns.maxTTL": "300s",
    "dns.negativeTTL": "5s",
    "dns.cacheEntries": 10000,
    "limits.tunnels": 100000,
    "limits.tunnelsPerSource": 10000,
    "limits.streamsPerConnection": 1000,
    "limits.requestTimeout": "10s",
    "limits.dialTimeout": "5s",
    "limits.idleTimeout": "1h",
    "limits.halfCloseTimeout": "5m",
    "limits.handshakes": 1000,
    "limits.perSource.loginFailures": "10/s",
    "kubernetes.enabled": True,
    "kubernetes.kubeconfig": "kubeconfig",
    "kubernetes.namespaces": ["shop"],
    "kubernetes.gatewayClass": "sluice",
    "kubernetes.status": True,
    "kubernetes.without": ["Server"],
    "kubernetes.workloadStale": "60s",
    "kubernetes.unknownWait": "1s",
    "linkerd.globalNamespace": "linkerd-egress",
    "tracing.endpoint": "http://127.0.0.1:4318",
    "tracing.sample": 0.01,
    "tracing.parentBased": True,
    "via": "on",
    "admin.address": "127.0.0.1:9901",
    "admin.token": "x" * 20,
    "metrics.address": "127.0.0.1:9902",
    "control.endpoint": "ipc://control",
    "logs.level": "info",
    "logs.access": "stdout",
    "logs.interval": "60s",
    "logs.query": "keep",
    "shutdown.drain": "30s",
}
KEYS |= {
    "gateway.services": ["egress/sluice", "fsm/fsm-egress-gateway"],
    "gateway.podNetworks": ["10.1.0.0/16"],
    "gateway.denyMessage": "ask in #egress",
    "addresses.nat64": ["2001:db8:64::/96"],
    "limits.keepAlive": "60s",
    "limits.perSource.requests": 1000,
    "limits.perSource.lookups": 200,
    "limits.perSource.dials": 500,
    "limits.perSource.provisional": 100,
}
# A value of theirs works, and another is refused.
WORDS: Final[list[tuple[str, Any, bool]]] = [
    *(("listeners[].protocol", word, True) for word in ("auto", "socks5", "sock5", "http", "http2tunnel", "tls")),
    *(("listeners[].protocol", word, False) for word in ("transparent",)),
    ("listeners[].requests", False, True),
    ("policy.passthrough", "mesh", True),
    ("identity.insecureTokens", False, True),
    ("upstreams[].proxyProtocol", "off", True),
    ("kubernetes.enabled", False, True),
    ("via", "off", True),
    ("logs.query", "redact", True),
]
BESIDE: Final[dict[str, Any]] = {
    "identity": {"trustDomains": [{"name": "cluster.local", "ca": "mesh.crt"}]},
    "listeners[].destination": {"protocol": "tcp"},
    "identity.proxyProtocolFrom[]": {"cidr": "10.1.0.0/16"},
    "grants[]": {"namespaces": ["shop"]},
    "upstreams[]": {"name": "corp", "type": "http", "addresses": ["192.0.2.9:1080"]},
    "upstreams[].user": {"passwordFile": "corp.password"},
    "upstreams[].passwordFile": {"user": "bot"},
}


def document(path: str, value: Any) -> dict[str, Any]:
    """A sluice.yaml with this key, and what it cannot do without."""
    *parents, name = path.split(".")
    inner: Any = {name: value, **BESIDE.get(path, {})}
    for depth in range(len(parents), 0, -1):
        inner = {**BESIDE.get(".".join(parents[:depth]), {}), **inner}
        key = parents[depth - 1]
        inner = {key.removesuffix("[]"): [inner] if key.endswith("[]") else inner}
    return dict(inner)


@pytest.mark.parametrize("path", KEYS)
def test_a_key_works_or_is_refused_as_not_built(tmp_path: Path, path: str) -> None:
    found = complaints(tmp_path, yaml.safe_dump(document(path, KEYS[path])))
    built = not any(path == later or later.startswith(f"{path}.") for later in LATER)
    *_, section, name = ("", *path.split("."))
    if name not in UNREAD.get(section, {}):  # else its section's reader says
        assert bool(found) != built, found
    refused = re.compile(r"sluice\.yaml:\d+:\d+: `" + re.escape(path.replace("[]", "")) + r"[\w.]*` is not built yet")
    assert all(refused.match(line) for line in found), found


EXAMPLE: Final = Path(__file__).parents[3] / "deploy/sluice.yaml"


def keys_of(value: Any, path: str = "") -> set[str]:
    """Every key below, as KEYS writes them."""
    if isinstance(value, list):
        return set().union(*(keys_of(item, f"{path}[]") for item in value))
    if not isinstance(value, dict):
        return set()
    inner = [keys_of(item, f"{path}.{name}".lstrip(".")) for name, item in value.items()]
    return set().union({f"{path}.{name}".lstrip(".") for name in value}, *inner)


def uncommented(text: str) -> set[str]:
    """Keys of what stands behind comment marks: of each block that is YAML without them."""
    found: set[str] = set()
    block: list[str] = []
    for line in [*text.splitlines(), ""]:
        if re.match(r" *# {1,6}[-{ ]*[a-zA-Z0-9]+:", line):
            block.append(line.replace("# ", "", 1))
        else:
            found |= keys_of(yaml.safe_load(textwrap.dedent("\n".join(block)) or "{}"))
            block = []
    return found


def test_the_example_has_every_key() -> None:
    """With its default where it is built, else behind a comment mark."""
    text = EXAMPLE.read_text(encoding="utf-8")
    written, marked = keys_of(yaml.safe_load(text)), uncommented(text)
    later = {path for path in KEYS if any(each == path or each.startswith(f"{path}.") for each in LATER)}
    assert later <= marked | written and set(LATER) <= marked
    assert not written & set(LATER), "check would refuse them"
    assert {path for path in KEYS if path not in later | written} == {
        *("limits.tunnels", "listeners[].tls", "upstreams[].tls", "upstreams[].user", "upstreams[].passwordFile"),
        *("upstreams[].proxyProtocol", "identity.proxyProtocolFrom[].identity", "listeners[].destination"),
        "grants[].credentials",
    }
    assert {"listeners[].tls", "upstreams[].tls", "upstreams[].user", "upstreams[].passwordFile"} <= marked
    assert {"upstreams[].proxyProtocol", "listeners[].destination"} <= marked


@pytest.mark.parametrize(("path", "value", "works"), WORDS)
def test_a_word_works_or_is_refused_as_not_built(tmp_path: Path, path: str, value: Any, works: bool) -> None:
    found = complaints(tmp_path, yaml.safe_dump(document(path, value)))
    assert works == (not found)
    assert all("is not built yet" in line for line in found)


@pytest.mark.parametrize("path", LATER)
def test_nothing_is_accepted_of_what_is_not_built_but_what_holds_anyway(tmp_path: Path, path: str) -> None:
    """Null and the accepted words; every other value of every type is refused."""
    later = LATER[path]
    assert complaints(tmp_path, yaml.safe_dump(document(path, None))) == []
    for word in later.as_now:
        text = yaml.safe_dump(document(path, word)).replace(f"'{word}'", word)
        assert complaints(tmp_path, text) == []
        quoted = complaints(tmp_path, text.replace(f": {word}", f': "{word}"'))
        assert (quoted != []) == (word == "false"), "a text is not a boolean, and a word may be quoted"
    empties: tuple[Any, ...] = ([], {})
    for empty in empties:
        assert (complaints(tmp_path, yaml.safe_dump(document(path, empty))) == []) == later.empty
    for value in (True, 1, "x", ["x"], {"x": 1}):
        (line,) = complaints(tmp_path, yaml.safe_dump(document(path, value)))
        assert "is not built yet (it belongs to " in line


def test_the_table_and_the_examples_name_the_same_keys() -> None:
    for path in LATER:
        assert any(path == key or path.startswith(f"{key}.") for key in KEYS), path
    assert set(LATER_PROTOCOLS) == {word for path, word, works in WORDS if path == "listeners[].protocol" and not works}


def test_a_misspelt_key_beside_them_is_unknown(tmp_path: Path) -> None:
    text = "tracing: {endpiont: 'http://x', sample: 1}\nidentity: {token: []}\nkubernets: {}\n"
    assert complaints(tmp_path, text) == [
        "sluice.yaml:1:11: unknown key `endpiont` (did you mean `endpoint`?)",
        "sluice.yaml:2:12: unknown key `token` (did you mean `tokens`?)",
        "sluice.yaml:3:1: unknown key `kubernets` (did you mean `kubernetes`?)",
    ]


@pytest.mark.parametrize("value", ["[]", "x", "1"])
@pytest.mark.parametrize("section", ["tracing", "kubernetes", "pools", "linkerd", "policy", "identity", "limits"])
def test_a_section_that_is_no_mapping_is_told_so(tmp_path: Path, section: str, value: str) -> None:
    with pytest.raises(Problems) as caught:
        load_config(str(_written(tmp_path, f"{section}: {value}\n")))
    assert ["expected a mapping" in str(problem) for problem in caught.value.errors] == [True]


def _written(folder: Path, text: str) -> Path:
    (folder / "sluice.yaml").write_text(text)
    return folder / "sluice.yaml"


RATES: Final = {"10/s": (10, 1.0), "100/m": (100, 60.0), "1000/h": (1000, 3600.0), "1000000/s": (1_000_000, 1.0)}


@pytest.mark.parametrize("text", RATES)
def test_a_rate(tmp_path: Path, text: str) -> None:
    config = read(tmp_path, f"limits: {{perSource: {{loginFailures: {text}}}}}\n")
    assert config.limits.login_failures == RATES[text]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10", "a unit is missing: 10/s"),
        ("0/s", "out of range"),
        ("9999999/s", "out of range"),
        ("1.5/s", "rates look like"),
        ("10/d", "rates look like"),
        ("[10]", "rates look like"),
        ("-1/s", "rates look like"),
    ],
)
def test_what_is_no_rate(tmp_path: Path, text: str, hint: str) -> None:
    (line,) = complaints(tmp_path, f"limits: {{perSource: {{loginFailures: {text}}}}}\n")
    assert line.startswith("sluice.yaml:1:37: loginFailures: ") and hint in line
