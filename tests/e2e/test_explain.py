"""`sluice explain`: offline, live, and what the gateway then does are one and the same answer."""

import json
from collections.abc import Iterator
from typing import Final

import pytest
import yaml

from tests.e2e import wire
from tests.e2e.conftest import PASSWORD, World, sample_users
from tests.e2e.gateway import Gateway, Mapping, policy, sluice


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


# PORT stands for the echo origin's, SHUT for one where nobody listens.
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
    offline = explained(gateway, *source, "--to", to)
    live = explained(gateway, *source, "--to", to, "--live")
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
    # 127.0.0.2 is allowed, and nobody listens there.
    assert (rep == 2) is (answer["verdict"] == "deny")
    line = gateway.logged(0, local)
    assert (line["verdict"], line["phase"], line["reason"]) == (answer["verdict"], answer["phase"], answer["reason"])


def test_a_person_can_read_it(gateway: Gateway) -> None:
    done = gateway.sluice("explain", "--to", "no.wild.test:443")
    assert done.returncode == 0
    assert "deny" in done.stdout.lower() and "no" in done.stdout and "policy.yaml:" in done.stdout


def test_live_needs_a_gateway(gateway: Gateway) -> None:
    gateway.config_file.with_name("other.yaml").write_text(
        f"control: {{endpoint: 'ipc://{gateway.folder}/nobody'}}\npolicy: {{paths: [policy.yaml]}}\n"
    )
    other = str(gateway.config_file.with_name("other.yaml"))
    done = sluice("explain", "--live", "--to", "localhost:1", "-c", other)
    assert done.returncode == 1 and done.stderr.strip()
