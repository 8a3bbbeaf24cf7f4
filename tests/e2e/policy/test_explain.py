"""`sluice explain`: offline, live, and what the gateway then does are one and the same answer."""

import json
from collections.abc import Iterator
from typing import Final

import pytest
import yaml

from tests.e2e.conftest import PASSWORD, World, sample_users
from tests.support import wire
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, Mapping, policy, sluice

SERVFAIL: Final = 2


def rules(world: World) -> list[Mapping]:
    """Names on two ports, addresses on another: where both are open, only the address or the inner name can decide."""
    ports = {"ports": [443, world.echo.port]}
    return [
        policy("open", [{"host": "localhost", **ports}, {"host": "*.wild.test", "except": ["not.wild.test"], **ports}]),
        policy("literal", [{"cidr": "127.0.0.2/31", "ports": [world.refused]}]),
        policy("no", [{"host": "no.wild.test"}], action="Deny"),
        policy("never", [{"host": "never.wild.test"}], action="Deny", hard=True),
        policy("watch", [{"host": "watch.test", **ports}], action="Audit"),
        policy("shop-only", [{"host": "shop.test", **ports}], namespace="shop"),
        policy("robots", [{"host": "robot.test", **ports}], sources=[{"user": "build-bot"}]),
    ]


# PORT stands for the echo origin's, SHUT for one without a listener.
QUESTIONS: Final = [
    ([], "localhost:PORT", "allow"),
    ([], "stranger.test:443", "deny"),
    ([], "a.wild.test:443", "allow"),
    ([], "deep.a.wild.test:443", "allow"),
    ([], "wild.test:443", "deny"),
    ([], "not.wild.test:443", "deny"),
    ([], "no.wild.test:443", "deny"),
    ([], "never.wild.test:443", "deny"),
    ([], "watch.test:443", "audit"),
    ([], "127.0.0.2:SHUT", "allow"),
    ([], "127.0.0.9:SHUT", "deny"),
    ([], "10.0.0.1:25", "deny"),
    ([], "[::1]:25", "deny"),
    ([], "10.0.0.1:443", "deny"),
    ([], "stranger.test:SHUT", "deny"),
    ([], "shop.test:443", "deny"),
    (["--from", "shop/cart"], "shop.test:443", "allow"),
    (["--from", "bank/till"], "shop.test:443", "deny"),
    (["--user", "build-bot"], "robot.test:443", "allow"),
    (["--user", "build-bot"], "shop.test:443", "allow"),
    (["--user", "visitor"], "robot.test:443", "deny"),
    (["--source", "127.0.0.1"], "localhost:PORT", "allow"),
]


def destination(text: str, world: World) -> str:
    return text.replace("PORT", str(world.echo.port)).replace("SHUT", str(world.refused))


@pytest.fixture(scope="module")
def gateway(world: World) -> Iterator[Gateway]:
    config = {"identity": {"users": "users.yaml"}, "dns": {"timeout": "1s"}}
    with Gateway(rules(world), config, files={"users.yaml": yaml.safe_dump(sample_users())}) as running:
        yield running


def explained(gateway: Gateway, *arguments: str) -> Mapping:
    done = gateway.sluice("explain", "--json", *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: Mapping = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize(("source", "to", "verdict"), QUESTIONS, ids=[" ".join((*s, t)) for s, t, _ in QUESTIONS])
def test_offline_and_live_agree(gateway: Gateway, world: World, source: list[str], to: str, verdict: str) -> None:
    to = destination(to, world)
    offline = dict(explained(gateway, *source, "--to", to))
    live = dict(explained(gateway, *source, "--to", to, "--live"))
    assert (offline.pop("generation", 0), live.pop("generation", 1) > 0) == (0, True)
    # A gateway tries no changes: these are what its one answer tells.
    tried, told = offline.pop("to_turn", None), live.pop("to_turn", None)
    assert (tried is None) == (told is None) == (verdict != "deny")
    if tried is not None and told is not None:
        assert told["flips"] is None and tried["flips"] in (True, False) and tried.keys() == told.keys()
    assert offline == live
    assert offline["verdict"] == verdict
    assert {"verdict", "rule", "phase", "reason", "would_deny", "source", "destination", "trail"} <= offline.keys()
    assert offline["would_deny"] is (verdict == "audit")
    if offline["rule"] is not None:
        assert {"kind", "namespace", "name", "index", "file", "line"} <= offline["rule"].keys()
        assert str(offline["rule"]["file"]).endswith("policy.yaml") and offline["rule"]["line"] >= 1


@pytest.mark.parametrize(
    ("to", "user"),
    [
        ("localhost:PORT", None), ("stranger.test:PORT", None), ("no.wild.test:PORT", None), ("127.0.0.2:SHUT", None),
        ("127.0.0.9:SHUT", None), ("robot.test:PORT", "visitor"), ("[::1]:25", None),
    ],
)  # fmt: skip
def test_the_gateway_does_what_explain_says(gateway: Gateway, world: World, to: str, user: str | None) -> None:
    answer = explained(gateway, *(["--user", user] if user else []), "--to", destination(to, world))
    host, _, port = destination(to, world).rpartition(":")
    with wire.connect(gateway.port) as client:
        local = client.getsockname()[1]
        rep = wire.socks5(client, host.strip("[]"), int(port), user, PASSWORD)
    # 127.0.0.2 is allowed, and no process listens there.
    assert (rep == 2) is (answer["verdict"] == "deny")
    line = gateway.logged(0, local)
    assert (line["verdict"], line["phase"], line["reason"]) == (answer["verdict"], answer["phase"], answer["reason"])


def test_a_person_can_read_it(gateway: Gateway) -> None:
    done = gateway.sluice("explain", "--to", "no.wild.test:443")
    assert done.returncode == 0
    assert "deny" in done.stdout.lower() and "no" in done.stdout and "policy.yaml:" in done.stdout


def test_live_needs_a_gateway(gateway: Gateway) -> None:
    gateway.config_file.with_name("other.yaml").write_text(
        f"control: {{endpoint: 'ipc://{gateway.folder}/absent'}}\npolicy: {{paths: [policy.yaml]}}\n"
    )
    other = str(gateway.config_file.with_name("other.yaml"))
    done = sluice("explain", "--live", "--to", "localhost:1", "-c", other)
    assert done.returncode == 1 and done.stderr.strip()


NAMED: Final = {
    "mixed.dns.test": ["10.6.6.6", "127.0.0.1"], "bad.dns.test": ["10.6.6.6", "169.254.169.254"],
    "six.dns.test": ["::1"], "refused.test": ["127.0.0.1"],
}  # fmt: skip
# The question, the DNS answer, the verdict, the addresses judged, whether something stays unknown.
RESOLVED: Final = [
    ("mixed.dns.test", "ok", "allow", {"10.6.6.6": "deny", "127.0.0.1": "allow"}, False),
    ("bad.dns.test", "ok", "deny", {"10.6.6.6": "deny", "169.254.169.254": "deny"}, False),
    ("SIX.dns.test.", "ok", "allow", {"::1": "allow"}, False),
    ("nowhere.dns.test", "name_not_found", "allow", {}, True),
    ("silent.dns.test", "dns_timeout", "allow", {}, True),
    ("broken.dns.test", "dns_failed", "allow", {}, True),
    ("single", "name_not_found", "allow", {}, True),
    ("localhost", "ok", "allow", None, False),
    ("refused.test", None, "deny", {}, False),
    ("10.6.6.7", None, "deny", {"10.6.6.7": "deny"}, False),
]


@pytest.fixture(scope="module")
def servers() -> Iterator[NameServer]:
    with NameServer(dict(NAMED), frozenset({"silent.dns.test"}), {"broken.dns.test": SERVFAIL}) as names:
        yield names


@pytest.fixture(scope="module")
def resolving(world: World, servers: NameServer) -> Iterator[Gateway]:
    hosts = [{"host": host, "ports": [world.echo.port]} for host in ("*.dns.test", "localhost", "single")]
    config = {"dns": {"servers": [servers.address], "timeout": "1s"}}
    with Gateway([policy("open", hosts)], config) as running:
        yield running


@pytest.mark.parametrize(("host", "dns", "verdict", "judged", "unknown"), RESOLVED, ids=[row[0] for row in RESOLVED])
def test_resolve_judges_what_dns_says(
    resolving: Gateway, world: World, host: str, dns: str | None, verdict: str, judged: Mapping | None, unknown: bool
) -> None:
    """Offline, live and the gateway itself: the same addresses, the same answer."""
    port = world.echo.port
    asked = ("--to", f"{host}:{port}", "--resolve")
    offline, live = explained(resolving, *asked), explained(resolving, *asked, "--live")
    for answer in (offline, live):
        assert (answer["dns"], answer["verdict"]) == (dns, verdict)
        assert (answer["unknown"] == ["address"]) is unknown
        found = {each["address"]: each["verdict"] for each in answer["addresses"]}
        assert found == judged if judged is not None or dns is None else set(found.values()) == {"allow"}
    with wire.connect(resolving.port) as client:
        local = client.getsockname()[1]
        wire.socks5(client, host, port)
    line = resolving.logged(0, local)
    if not unknown:
        assert (line["verdict"], line["reason"]) == (offline["verdict"], offline["reason"])
    else:
        assert line["outcome"] == dns and line["destination"]["address"] is None
        failing = resolving.sluice("explain", *asked, "--fail")
        assert failing.returncode == 1 and "by name only" in failing.stdout
        assert "give --address" not in failing.stdout, "it says what DNS did"
    done = resolving.sluice("explain", *asked, "--fail")
    assert done.returncode == (1 if unknown or verdict == "deny" else 0), done.stdout


def test_resolve_asks_for_no_name_that_is_denied(resolving: Gateway, servers: NameServer) -> None:
    for more in ((), ("--live",)):
        answer = explained(resolving, "--to", "refused.test:443", "--resolve", *more)
        assert (answer["verdict"], answer["dns"]) == ("deny", None)
    assert "refused.test" not in servers.asked


def test_resolve_and_address_exclude_each_other(resolving: Gateway) -> None:
    done = resolving.sluice("explain", "--to", "a.dns.test:1", "--resolve", "--address", "127.0.0.1")
    assert done.returncode == 2 and "not both" in done.stderr


def test_attributes_name_their_rules(world: World) -> None:
    to = [{"host": "set.test", "ports": [443]}]
    rules = [
        policy("set", to, onRevoke="drain", innerName="audit", sourceAddress=["127.0.0.9"]),
        policy("plain", [{"host": "plain.test", "ports": [443]}]),
    ]
    with Gateway(rules) as gateway:
        for more in ((), ("--live",)):
            found = explained(gateway, "--to", "set.test:443", *more)["attributes"]
            values = {name: item["value"] for name, item in found.items()}
            assert values == {"onRevoke": "drain", "innerName": "audit", "sourceAddress": ["127.0.0.9"]}
            assert {item["rule"]["name"] for item in found.values()} == {"set"}
            found = explained(gateway, "--to", "plain.test:443", *more)["attributes"]
            assert found == {
                "onRevoke": {"value": "kill", "rule": None}, "innerName": {"value": "enforce", "rule": None}
            }  # fmt: skip
            assert explained(gateway, "--to", "no.test:443", *more)["attributes"] == {}
        shown = gateway.sluice("explain", "--to", "set.test:443").stdout
        assert "  sets     onRevoke: drain  by ClusterEgressPolicy/set, item 0\n" in shown


def test_the_source_of_an_identity_is_said(gateway: Gateway) -> None:
    asked = ("--to", "localhost:443")
    for given, source in (
        ((), "none"), (("--from", "shop/cart"), "workload"), (("--user", "build-bot"), "password"),
        (("--user", "build-bot", "--from", "shop/cart"), "password"),
        (("--identity", "spiffe://cluster.local/ns/shop/sa/cart"), "certificate"),
    ):  # fmt: skip
        assert explained(gateway, *asked, *given)["identity_source"] == source
