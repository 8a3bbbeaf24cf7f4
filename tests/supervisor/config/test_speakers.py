"""`identity.trusted` and `identity.proxyProtocolFrom`: what is wrong is said with its place."""

from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.config.config import Identity
from supervisor.config.reader import load_config
from supervisor.config.speakers import ProxyPeers, Trusted
from supervisor.source.problems import Problems

EDGE: Final = "spiffe://mesh.test/ns/edge/sa/waypoint"
DOMAINS: Final = [{"name": "mesh.test", "ca": "ca.crt"}]


def loaded(folder: Path, **identity: Any) -> tuple[Identity, list[str]]:
    """The section as it was read, and errors."""
    path = folder / "sluice.yaml"
    path.write_text(yaml.safe_dump({"identity": identity, "control": {"endpoint": "ipc:///run/none"}}))
    try:
        return load_config(str(path)).identity, []
    except Problems as wrong:
        return Identity(), [str(error) for error in wrong.errors]


def test_all_of_it(tmp_path: Path) -> None:
    found, errors = loaded(
        tmp_path,
        trustDomains=DOMAINS,
        trusted=[{"identity": EDGE, "sources": 7}, {"identity": f"{EDGE}-2"}],
        proxyProtocolFrom=["10.0.0.0/8", {"cidr": "10.1.0.0/16"}, {"cidr": "10.2.0.0/16", "identity": True}],
    )
    assert errors == []
    assert found.trusted == (Trusted(EDGE, 7), Trusted(f"{EDGE}-2", 1))
    assert found.proxy_protocol_from == (
        ProxyPeers("10.0.0.0/8"),
        ProxyPeers("10.1.0.0/16"),
        ProxyPeers("10.2.0.0/16", True),
    )


@pytest.mark.parametrize(
    ("identity", "said"),
    [
        ({"trusted": [{"identity": EDGE}]}, "no trust domain has the identity"),
        ({"trustDomains": DOMAINS, "trusted": [{"identity": "edge/waypoint"}]}, "expected a SPIFFE ID"),
        ({"trustDomains": DOMAINS, "trusted": [{"sources": 2}]}, "identity"),
        ({"trustDomains": DOMAINS, "trusted": [{"identity": EDGE, "sources": 0}]}, "out of range"),
        ({"trustDomains": DOMAINS, "trusted": [{"identity": EDGE}] * 2}, "duplicate identity"),
        ({"trustDomains": DOMAINS, "trusted": [{"identity": EDGE, "source": 2}]}, "did you mean `sources`?"),
        ({"proxyProtocolFrom": [{"cidr": "10.0.0.0/8", "identity": True}]}, "without identity.trustDomains"),
        ({"proxyProtocolFrom": [{"identity": False}]}, "cidr"),
        ({"proxyProtocolFrom": [{"cidr": "10.0.0.0/8", "identity": "spiffe://x"}]}, "expected"),
    ],
    ids=range(1, 10),
)
def test_what_is_wrong_is_said(tmp_path: Path, identity: dict[str, Any], said: str) -> None:
    _, errors = loaded(tmp_path, **identity)
    assert errors and all(error.startswith(f"{tmp_path}/sluice.yaml:") for error in errors)
    assert any(said in error for error in errors), errors
