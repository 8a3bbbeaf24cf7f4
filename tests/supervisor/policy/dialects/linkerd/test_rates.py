"""HTTPLocalRateLimitPolicies become rates of the listeners that their Servers stand for."""

from pathlib import Path
from typing import Final

from supervisor.policy.resources.rates import Rate
from tests.supervisor.policy.dialects.linkerd.loading import document, load
from tests.supervisor.policy.dialects.linkerd.test_rules import POLICY

SERVER: Final = "{podSelector: {}, port: mesh}"


def limit(server: str = "s", rest: str = "total: {requestsPerSecond: 10}") -> str:
    return f"{{targetRef: {{{POLICY}, kind: Server, name: {server}}}, {rest}}}"


def rates(tmp_path: Path, text: str) -> tuple[Rate, ...]:
    policy, errors, _ = load(tmp_path, text)
    assert errors == []
    return policy.rates


def test_every_field(tmp_path: Path) -> None:
    accounts = "{kind: ServiceAccount, name: a, namespace: shop}, {kind: ServiceAccount, name: b}"
    rest = "total: {requestsPerSecond: 100}, identity: {requestsPerSecond: 9}"
    rest += f", overrides: [{{requestsPerSecond: 50, clientRefs: [{accounts}]}}]"
    text = document("Server", SERVER, "s", "egress")
    text += document("HTTPLocalRateLimitPolicy", limit(rest=rest), "one", "egress")
    name = "HTTPLocalRateLimitPolicy/egress/one"
    assert rates(tmp_path, text) == (Rate(name, "mesh", 100, 9, ((50, ("shop/a", "egress/b")),)),)


def test_one_of_each_server_counts_and_others_servers_none(tmp_path: Path) -> None:
    text = document("Server", SERVER, "s", "egress")
    text += document("Server", SERVER, "s", "shop")
    for name in ("b", "a"):
        text += document("HTTPLocalRateLimitPolicy", limit(), name, "egress")
    text += document("HTTPLocalRateLimitPolicy", limit(), "c", "shop")
    text += document("HTTPLocalRateLimitPolicy", limit("t"), "d", "egress")
    found = rates(tmp_path, text)
    assert [each.name for each in found] == ["HTTPLocalRateLimitPolicy/egress/a"]
