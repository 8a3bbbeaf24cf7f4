"""The policy image in Python: mapping, explain() as CONTRACT.md section 2 writes it, and what it refuses.

What decisions say is tested in tests/csrc/test_decide*.c; here it is the shape of the answer.
"""

import fcntl
import gc
import os
from collections.abc import Iterator
from typing import Any

import pytest

import supervisor.policy.builder as builder
from gateway.policy import image as policy
from gateway.policy.image import PolicyImage, PolicyImageError


def small_policy() -> Any:
    """Shop may reach *.example.com but evil.example.com, and 10.0.0.0/8; every source is denied bad.com."""
    image = builder.ImageBuilder()
    shop = image.selector(builder.PRINCIPAL_SERVICE_ACCOUNT, "shop", "cart", None, True)
    all_sources = image.selector(builder.PRINCIPAL_MESH, "", "", None, False)
    allow = image.rule(
        "EgressPolicy", "shop", "payments", 0, "policy.yaml", 7, builder.TIER_ALLOW, on_revoke="drain", inner="audit"
    )
    item = image.attach(allow, builder.TIER_ALLOW, image.portset([(443, 443), (8000, 8100)]), 0, image.who([shop]))
    image.host(item, b"*.Example.com")
    image.host_except(item, b"evil.example.com")
    network = image.rule("EgressPolicy", "shop", "database", 1, "policy.yaml", 9, builder.TIER_ALLOW)
    item = image.attach(network, builder.TIER_ALLOW, image.portset([(5432, 5432)]), 1, image.who([shop]))
    image.cidr(item, "10.0.0.0/8")
    image.cidr_except(item, "10.1.0.0/16")
    deny = image.rule("ClusterEgressPolicy", "", "blocked", 0, "cluster.yaml", 3, builder.TIER_DENY)
    item = image.attach(deny, builder.TIER_DENY, 0, 2, image.who([all_sources]))
    image.host(item, b"bad.com")
    image.user("bot", "shop", "cart")
    image.network("192.168.7.0/24", "shop", "cart")
    return image


@pytest.fixture
def image() -> Iterator[Any]:
    descriptor = small_policy().finish_memfd()
    mapped = PolicyImage.from_fd(descriptor, validate=True)
    os.close(descriptor)
    yield mapped
    mapped.close()


PAYMENTS = {
    "kind": "EgressPolicy",
    "namespace": "shop",
    "name": "payments",
    "index": 0,
    "file": "policy.yaml",
    "line": 7,
}


def test_an_allow_says_everything(image: Any) -> None:
    answer = image.explain(host="Www.Example.com.", port=443, namespace="shop", service_account="cart")
    assert answer == {
        "verdict": "allow",
        "rule": PAYMENTS,
        "list_line": None,
        "phase": "name",
        "reason": "rule_allow",
        "would_deny": False,
        "source": {"ip": None, "namespace": "shop", "service_account": "cart", "identity": None, "user": None},
        "destination": {"host": "www.example.com", "port": 443, "address": None},
        "source_address": None,
        "identity_source": "workload",
        "attributes": {
            "onRevoke": {"value": "drain", "rule": PAYMENTS},
            "innerName": {"value": "audit", "rule": PAYMENTS},
        },
        "trail": [
            {
                "phase": "name",
                "tier": "allow",
                "rule": PAYMENTS,
                "reason": "rule_allow",
                "won": True,
                "match": "*.example.com",
                "ports": "single",
                "selector": "service account shop/cart",
                "excepted": False,
            }
        ],
    }


def test_a_default_has_no_rule(image: Any) -> None:
    answer = image.explain(host="nowhere.com", port=443)
    assert (answer["verdict"], answer["rule"], answer["reason"]) == ("deny", None, "no_rule")
    assert answer["trail"] == [{"phase": "name", "tier": "default", "rule": None, "reason": "no_rule", "won": True}]


@pytest.mark.parametrize(
    ("question", "verdict", "phase", "reason"),
    [
        ({"host": "evil.example.com", "port": 443, "user": "bot"}, "deny", "name", "no_rule"),
        ({"host": "a.example.com", "port": 8050, "user": "bot"}, "allow", "name", "rule_allow"),
        ({"host": "a.example.com", "port": 8101, "user": "bot"}, "deny", "name", "no_rule"),
        ({"host": "a.example.com", "port": 443, "source_ip": "192.168.7.9"}, "allow", "name", "rule_allow"),
        ({"host": "a.example.com", "port": 443, "source_ip": "::ffff:192.168.7.9"}, "allow", "name", "rule_allow"),
        ({"host": "a.example.com", "port": 443, "source_ip": "192.168.8.9"}, "deny", "name", "no_rule"),
        ({"host": "bad.com", "port": 443}, "deny", "name", "rule_deny"),
        ({"host": "bad.com", "port": 443, "audit": True}, "audit", "name", "rule_deny"),
        ({"host": "db.internal", "port": 5432, "user": "bot"}, "deny", "name", "needs_address"),
        ({"host": "db.internal", "port": 5432, "user": "bot", "address": "10.9.9.9"}, "allow", "address", "rule_allow"),
        ({"host": "db.internal", "port": 5432, "user": "bot", "address": "8.8.8.8"}, "deny", "address", "no_cidr_rule"),
        ({"host": "10.2.2.2", "port": 5432, "user": "bot"}, "allow", "address", "rule_allow"),
        ({"host": "10.1.2.2", "port": 5432, "user": "bot"}, "deny", "address", "address_special_purpose"),
        ({"host": "127.0.0.1", "port": 5432, "user": "bot"}, "deny", "address", "address_loopback"),
        ({"host": "8.8.8.8", "port": 443, "user": "bot"}, "deny", "address", "inner_name_missing"),
        ({"host": "2a00::1", "port": 80, "user": "bot"}, "deny", "address", "no_rule"),
        ({"host": "8.8.8.8", "port": 80, "address": "8.8.8.8"}, "deny", "address", "no_rule"),
        ({"host": "2a00::1", "port": 80, "address": "2A00:0::1"}, "deny", "address", "no_rule"),
    ],
)
def test_questions(image: Any, question: dict[str, Any], verdict: str, phase: str, reason: str) -> None:
    answer = image.explain(**question)
    assert (answer["verdict"], answer["phase"], answer["reason"]) == (verdict, phase, reason)
    assert [step for step in answer["trail"] if step["won"]][-1]["reason"] == reason


def test_the_source_is_shown_as_it_was_resolved(image: Any) -> None:
    by_user = image.explain(host="a.com", port=1, user="bot")["source"]
    assert by_user == {"ip": None, "namespace": "shop", "service_account": "cart", "identity": None, "user": "bot"}
    by_network = image.explain(host="a.com", port=1, source_ip="192.168.7.1")["source"]
    assert (by_network["ip"], by_network["namespace"], by_network["service_account"]) == ("192.168.7.1", "shop", "cart")
    own = image.explain(host="a.com", port=1, source_ip="192.168.7.1", identity="spiffe://x")["source"]
    assert (own["namespace"], own["identity"]) == (None, "spiffe://x")


def test_the_trail_shows_what_lost_and_why(image: Any) -> None:
    trail = image.explain(host="evil.example.com", port=443, user="bot", address="10.1.0.1")["trail"]
    assert [(step["rule"] and step["rule"]["name"], step.get("excepted"), step["won"]) for step in trail] == [
        ("payments", True, False),
        (None, None, True),
    ]
    trail = image.explain(host="x.internal", port=5432, user="bot", address="10.2.0.1")["trail"]
    assert [(step["phase"], step.get("match"), step["won"]) for step in trail] == [
        ("name", None, True),
        ("address", "10.0.0.0/8", True),
    ]


@pytest.mark.parametrize(
    ("question", "verdict", "phase", "reason"),
    [
        # By the rule's own innerName (audit), and by the listener's where the rule has none.
        ({"host": "a.example.com", "port": 443, "sni": "b.com"}, "audit", "inner", "inner_name_mismatch"),
        ({"host": "a.example.com", "port": 443, "sni": "A.Example.com."}, "allow", "name", "rule_allow"),
        ({"host": "db.internal", "port": 5432, "address": "10.9.9.9", "sni": "x.com"}, "deny", "inner",
         "inner_name_mismatch"),
        ({"host": "db.internal", "port": 5432, "address": "10.9.9.9", "sni": "x.com", "audit": True}, "audit", "inner",
         "inner_name_mismatch"),
        ({"host": "db.internal", "port": 5432, "address": "10.9.9.9", "sni": "x.com", "inner": "off"}, "allow",
         "address", "rule_allow"),
        # Asked by address, where host rules might allow: like a request for the name that is shown.
        ({"host": "8.8.8.8", "port": 443, "sni": "a.example.com"}, "allow", "inner", "rule_allow"),
        ({"host": "8.8.8.8", "port": 443, "sni": "bad.com"}, "deny", "inner", "rule_deny"),
        ({"host": "8.8.8.8", "port": 443, "sni": "else.com"}, "deny", "inner", "no_cidr_rule"),
        # A tunnel that passed by its address is turned by a deny of the name inside, and by nothing else.
        ({"host": "10.2.2.2", "port": 5432, "sni": "bad.com"}, "deny", "inner", "rule_deny"),
        ({"host": "10.2.2.2", "port": 5432, "sni": "bad.com", "inner": "off"}, "deny", "inner", "rule_deny"),
        ({"host": "10.2.2.2", "port": 5432, "sni": "else.com"}, "allow", "address", "rule_allow"),
        ({"host": "bad.com", "port": 443, "sni": "a.example.com"}, "deny", "name", "rule_deny"),
    ],
)  # fmt: skip
def test_the_name_inside(image: Any, question: dict[str, Any], verdict: str, phase: str, reason: str) -> None:
    answer = image.explain(**question, user="bot")
    assert (answer["verdict"], answer["phase"], answer["reason"]) == (verdict, phase, reason)
    assert answer["would_deny"] is (verdict == "audit")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"host": "a b", "port": 1}, "only letters"),
        ({"host": "", "port": 1}, "empty"),
        ({"host": "127.1", "port": 1}, "number"),
        ({"host": "bücher.de", "port": 1}, "ASCII"),
        ({"host": "[::1]", "port": 1}, "only letters"),
        ({"host": "a.com", "port": 1, "address": "b.com"}, "not an IP address"),
        ({"host": "a.com", "port": 1, "source_ip": "10.0.0.0/8"}, "not an IP address"),
        ({"host": "8.8.8.8", "port": 1, "address": "9.9.9.9"}, "address already"),
        ({"host": "a.com", "port": 1, "service_account": "cart"}, "namespace"),
        ({"host": "a.com", "port": 1, "user": "bot\0x"}, "NUL"),
    ],
)
def test_explain_refuses(image: Any, question: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        image.explain(**question)


@pytest.mark.parametrize("port", [-1, 65536])
def test_explain_refuses_ports(image: Any, port: int) -> None:
    with pytest.raises(OverflowError):
        image.explain(host="a.com", port=port)


def test_rules_and_counts(image: Any) -> None:
    assert image.rule(1) == PAYMENTS | {
        "tier": "allow",
        "on_revoke": "drain",
        "on_revoke_set": True,
        "inner": "audit",
        "protocol": None,
        "ech": None,
        "upstream": None,
        "sources": None,
        "route": None,
        "headers": None,
        "slot": 0,
    }
    assert image.rule(2)["on_revoke_set"] is False
    for index in (0, 4):
        with pytest.raises(IndexError):
            image.rule(index)
    counts = image.counts()
    assert {name: counts[name] for name in ("rules", "attachments", "users", "networks", "nodes")} == {
        "rules": 3,
        "attachments": 3,
        "users": 1,
        "networks": 1,
        "nodes": 4,
    }
    assert counts["size"] == image.size


def test_canonical_names() -> None:
    assert policy.canonical_name("WWW.Example.COM.") == "www.example.com"
    assert PolicyImage.canonical_name(b"a_b.c") == "a_b.c"
    for text in ("", "a..b", "1.2.3.4", "::1", "*.a", "a\0"):
        with pytest.raises(ValueError):
            policy.canonical_name(text)


def test_a_closed_image_answers_nothing(image: Any) -> None:
    assert not image.closed
    image.close()
    image.close()
    assert image.closed
    for ask in (lambda: image.explain(host="a.com", port=1), image.counts, lambda: image.rule(1)):
        with pytest.raises(PolicyImageError, match="closed"):
            ask()


def unsealed(data: bytes, seals: int = 0) -> int:
    descriptor = os.memfd_create("test", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
    os.write(descriptor, data)
    if seals:
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, seals)
    return descriptor


@pytest.mark.parametrize("missing", [fcntl.F_SEAL_SHRINK, fcntl.F_SEAL_GROW, fcntl.F_SEAL_WRITE])
def test_an_image_that_can_change_is_refused(missing: int) -> None:
    seals = (fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE) & ~missing
    descriptor = unsealed(bytes(small_policy().finish()), seals)
    try:
        with pytest.raises(PolicyImageError, match="not sealed"):
            PolicyImage.from_fd(descriptor)
        with pytest.raises(builder.InvalidImage, match="not sealed"):
            builder.validate(descriptor)
        assert PolicyImage.from_fd(descriptor, sealed=False).counts()["rules"] == 3
    finally:
        os.close(descriptor)


def test_what_is_no_memfd_is_refused(tmp_path: Any) -> None:
    path = tmp_path / "image"
    path.write_bytes(bytes(small_policy().finish()))
    with path.open("rb") as file:
        with pytest.raises(PolicyImageError, match="memfd"):
            PolicyImage.from_fd(file.fileno())
        assert PolicyImage.from_fd(file.fileno(), sealed=False).counts()["rules"] == 3
    with pytest.raises(OSError):
        PolicyImage.from_fd(-1, sealed=False)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: b"", "empty"),
        (lambda data: data[:100], "shorter"),
        (lambda data: data[:-8], "shorter"),
        (lambda data: b"x" + data[1:], "not a policy image"),
        (lambda data: data[:8] + b"\x09" + data[9:], "version"),
        (lambda data: data[:-1] + b"\x01", "checksum"),
    ],
)
def test_a_damaged_image_is_refused(damage: Any, words: str) -> None:
    descriptor = unsealed(damage(bytes(small_policy().finish())), builder.SEALS)
    try:
        with pytest.raises(PolicyImageError, match=words):
            PolicyImage.from_fd(descriptor)
        with pytest.raises(builder.InvalidImage, match=words):
            builder.validate(descriptor)
    finally:
        os.close(descriptor)


def images_mapped() -> int:
    with open("/proc/self/maps") as maps:
        return sum("sluice-policy" in line for line in maps)


def test_nothing_is_left_mapped() -> None:
    gc.collect()  # what other tests of this process have left in cycles
    before = images_mapped()
    descriptor = small_policy().finish_memfd()
    for _round in range(50):
        PolicyImage.from_fd(descriptor)
    kept = PolicyImage.from_fd(descriptor)
    os.close(descriptor)
    assert images_mapped() == before + 1
    kept.close()
    assert images_mapped() == before
