"""EgressPolicy and ClusterEgressPolicy, by the sentences of DECISIONS.md: what they allow, deny and audit."""

import os
from pathlib import Path
from typing import Any, Final

import pytest

from gateway.policy.image import PolicyImage
from tests.support.front import ALLOW, DENY, OK_TO, compiled, errors, manifest, warnings, write


def ask(folder: Path, policy: str, to: str, config: str = "", **source: Any) -> tuple[str, str, str | None]:
    """Verdict, reason and rule for one question under a policy."""
    users = "users: []\n"
    write(folder, sluice_yaml=f"policy: {{paths: [policy.yaml]}}\n{config}", policy_yaml=policy, users_yaml=users)
    report, image = compiled(folder)
    assert image is not None, errors(folder, report)
    try:
        host, _, port = to.rpartition(":")
        answer = PolicyImage.from_fd(image, validate=True).explain(host=host.strip("[]"), port=int(port), **source)
    finally:
        os.close(image)
    rule = answer["rule"]
    return answer["verdict"], answer["reason"], rule and f"{rule['namespace'] or ''}/{rule['name']}[{rule['index']}]"


SHOP: Final = {"namespace": "shop", "service_account": "cart"}
PAY: Final = {"namespace": "pay", "service_account": "cart"}
NO_RULE: Final = ("deny", "no_rule", None)

# sentence: (policy, destination, source, expected)
SENTENCES: Final[dict[str, tuple[str, str, dict[str, Any], tuple[str, str, str | None]]]] = {
    # who
    "an EgressPolicy selects sources of its own namespace": (
        manifest(ALLOW + "to: [{host: a.test}]", namespace="shop"),
        "a.test:1", SHOP, ("allow", "rule_allow", "shop/p[0]"),
    ),
    "and no others": (manifest(ALLOW + "to: [{host: a.test}]", namespace="shop"), "a.test:1", PAY, NO_RULE),
    "and no source whose namespace is unknown": (
        manifest(ALLOW + "to: [{host: a.test}]", namespace="shop"), "a.test:1", {}, NO_RULE,
    ),
    "`from` narrows within the namespace: the same account elsewhere is another": (
        manifest(ALLOW + "from: [{serviceAccount: cart}]\nto: [{host: a.test}]", namespace="shop"),
        "a.test:1", PAY, NO_RULE,
    ),
    "`from` with an account selects it": (
        manifest(ALLOW + "from: [{serviceAccount: cart}]\nto: [{host: a.test}]", namespace="shop"),
        "a.test:1", SHOP, ("allow", "rule_allow", "shop/p[0]"),
    ),
    "`from` with a CIDR still means the namespace's sources only": (
        manifest(ALLOW + "from: [{cidr: 10.0.0.0/8}]\nto: [{host: a.test}]", namespace="shop"),
        "a.test:1", {**PAY, "source_ip": "10.1.1.1"}, NO_RULE,
    ),
    "all that an item of `from` says must hold": (
        manifest(ALLOW + "from: [{serviceAccount: cart, cidr: 10.0.0.0/8}]\nto: [{host: a.test}]", namespace="shop"),
        "a.test:1", {**SHOP, "source_ip": "192.168.0.1"}, NO_RULE,
    ),
    "a ClusterEgressPolicy without `from` selects the mesh": (
        manifest(ALLOW + "to: [{host: a.test}]"), "a.test:1", PAY, ("allow", "rule_allow", "/p[0]"),
    ),
    "a mesh-wide rule may name a namespace": (
        manifest(ALLOW + "from: [{namespace: shop}]\nto: [{host: a.test}]"), "a.test:1", PAY, NO_RULE,
    ),
    "a user": (
        manifest(ALLOW + "from: [{user: bot}]\nto: [{host: a.test}]"),
        "a.test:1", {"user": "bot"}, ("allow", "rule_allow", "/p[0]"),
    ),
    "an identity": (
        manifest(ALLOW + "from: [{identity: 'spiffe://m/ns/a/sa/b'}]\nto: [{host: a.test}]"),
        "a.test:1", {"identity": "spiffe://m/ns/a/sa/b"}, ("allow", "rule_allow", "/p[0]"),
    ),
    # where to
    "a name is matched whatever its case and final dot": (
        manifest(ALLOW + "to: [{host: API.Example.test.}]"), "api.eXample.test:1", {}, ("allow", "rule_allow", "/p[0]"),
    ),
    "*.example.test means any depth": (
        manifest(ALLOW + "to: [{host: '*.example.test'}]"),
        "a.b.c.example.test:1", {}, ("allow", "rule_allow", "/p[0]"),
    ),
    "*.example.test never means the apex": (
        manifest(ALLOW + "to: [{host: '*.example.test'}]"), "example.test:1", {}, NO_RULE,
    ),
    "*.example.test means whole labels": (
        manifest(ALLOW + "to: [{host: '*.example.test'}]"), "a.notexample.test:1", {}, NO_RULE,
    ),
    "* means every name": (manifest(ALLOW + "to: [{host: '*'}]"), "x.y:1", {}, ("allow", "rule_allow", "/p[0]")),
    "* means no address": (
        manifest(ALLOW + "to: [{host: '*'}]"), "8.8.8.8:1", {}, ("deny", "inner_name_missing", None),
    ),
    "U-labels are converted": (
        manifest(ALLOW + "to: [{host: '*.Bücher.example'}]"),
        "a.xn--bcher-kva.example:1", {}, ("allow", "rule_allow", "/p[0]"),
    ),
    "an underscore may stand in a name": (
        manifest(ALLOW + "to: [{host: _dmarc.example.test}]"),
        "_dmarc.example.test:1", {}, ("allow", "rule_allow", "/p[0]"),
    ),
    "no ports: any port": (
        manifest(ALLOW + "to: [{host: a.test}]"), "a.test:65535", {}, ("allow", "rule_allow", "/p[0]"),
    ),
    "a port": (manifest(ALLOW + "to: [{host: a.test, ports: [443]}]"), "a.test:444", {}, NO_RULE),
    "the ends of a range belong to it": (
        manifest(ALLOW + "to: [{host: a.test, ports: ['8000-8100']}]"),
        "a.test:8100", {}, ("allow", "rule_allow", "/p[0]"),
    ),
    "a range needs no quotes": (
        manifest(ALLOW + "to: [{host: a.test, ports: [8000-8100]}]"), "a.test:8101", {}, NO_RULE,
    ),
    "except takes a name out": (
        manifest(ALLOW + "to: [{host: '*.test', except: [evil.test]}]"), "evil.test:1", {}, NO_RULE,
    ),
    "except takes only that name out": (
        manifest(ALLOW + "to: [{host: '*.test', except: [evil.test]}]"),
        "not.evil.test:1", {}, ("allow", "rule_allow", "/p[0]"),
    ),
    "except may be a wildcard": (
        manifest(ALLOW + "to: [{host: '*.test', except: ['*.evil.test']}]"), "not.evil.test:1", {}, NO_RULE,
    ),
    "an except of one item leaves the others alone": (
        manifest(ALLOW + "to: [{host: '*.test', except: [evil.test]}, {host: evil.test, ports: [443]}]"),
        "evil.test:443", {}, ("allow", "rule_allow", "/p[1]"),
    ),
    "a CIDR": (
        manifest(ALLOW + "to: [{cidr: 8.8.8.0/24, ports: [53]}]"), "8.8.8.8:53", {}, ("allow", "rule_allow", "/p[0]"),
    ),
    "a CIDR means no name before its address is known": (
        manifest(ALLOW + "to: [{cidr: 8.8.8.0/24}]"), "dns.test:53", {}, ("deny", "needs_address", None),
    ),
    "a CIDR allows a name by its address": (
        manifest(ALLOW + "to: [{cidr: 8.8.8.0/24}]"),
        "dns.test:53", {"address": "8.8.8.8"}, ("allow", "rule_allow", "/p[0]"),
    ),
    "addresses outside it are dropped": (
        manifest(ALLOW + "to: [{cidr: 8.8.8.0/24}]"),
        "dns.test:53", {"address": "9.9.9.9"}, ("deny", "no_cidr_rule", None),
    ),
    "except takes a block out": (
        manifest(ALLOW + "to: [{cidr: 8.0.0.0/8, except: [8.8.0.0/16]}]"), "8.8.1.1:1", {}, NO_RULE,
    ),
    "a host allow does not pass the address guard": (
        manifest(ALLOW + "to: [{host: a.test}]"),
        "a.test:1", {"address": "10.0.0.1"}, ("deny", "address_special_purpose", None),
    ),
    "a CIDR allow inside one special-purpose block lifts the guard": (
        manifest(ALLOW + "to: [{cidr: 10.0.0.0/8}]"),
        "a.test:1", {"address": "10.0.0.1"}, ("allow", "rule_allow", "/p[0]"),
    ),
    "a larger one does not": (
        manifest(ALLOW + "to: [{cidr: 10.0.0.0/7}]"),
        "a.test:1", {"address": "10.0.0.1"}, ("deny", "address_special_purpose", None),
    ),
    "no rule lifts the guard for loopback": (
        manifest(ALLOW + "to: [{cidr: 127.0.0.0/8}]"), "127.0.0.1:1", {}, ("deny", "address_loopback", None),
    ),
    "a host allow does not pass a CIDR deny": (
        manifest(ALLOW + "to: [{host: a.test}]") + "---\n" + manifest(DENY + "to: [{cidr: 8.0.0.0/8}]", "stop"),
        "a.test:1", {"address": "8.8.8.8"}, ("deny", "rule_deny", "/stop[0]"),
    ),
    # tiers
    "deny beats allow, however narrow the allow is": (
        manifest(ALLOW + "from: [{user: bot}]\nto: [{host: a.test, ports: [1]}]") + "---\n"
        + manifest(DENY + "to: [{host: '*'}]", "stop"),
        "a.test:1", {"user": "bot"}, ("deny", "rule_deny", "/stop[0]"),
    ),
    "hard deny beats deny": (
        manifest(DENY + "to: [{host: a.test}]") + "---\n" + manifest(DENY + "hard: true\nto: [{host: '*'}]", "never"),
        "a.test:1", {}, ("deny", "rule_hard_deny", "/never[0]"),
    ),
    "an allow beats an audit": (
        manifest("action: Audit\nto: [{host: a.test}]") + "---\n" + manifest(ALLOW + "to: [{host: '*'}]", "go"),
        "a.test:1", {}, ("allow", "rule_allow", "/go[0]"),
    ),
    "an audit alone passes": (
        manifest("action: Audit\nto: [{host: a.test}]"), "a.test:1", {}, ("audit", "rule_audit", "/p[0]"),
    ),
    # inside a tier
    "an exact host beats a suffix": (
        manifest(ALLOW + "to: [{host: '*.test'}, {host: a.test}]"), "a.test:1", {}, ("allow", "rule_allow", "/p[1]"),
    ),
    "a longer suffix beats a shorter": (
        manifest(ALLOW + "to: [{host: '*.test'}, {host: '*.a.test'}]"),
        "b.a.test:1", {}, ("allow", "rule_allow", "/p[1]"),
    ),
    "a single port beats a range": (
        manifest(ALLOW + "to: [{host: a.test, ports: [1-9]}, {host: a.test, ports: [5]}]"),
        "a.test:5", {}, ("allow", "rule_allow", "/p[1]"),
    ),
    "an account beats its namespace": (
        manifest(ALLOW + "to: [{host: a.test}]", "a", "shop") + "---\n"
        + manifest(ALLOW + "from: [{serviceAccount: cart}]\nto: [{host: a.test}]", "b", "shop"),
        "a.test:1", SHOP, ("allow", "rule_allow", "shop/b[0]"),
    ),
    "the older resource comes first": (
        manifest(ALLOW + "to: [{host: a.test}]", "a, creationTimestamp: 2024-01-02T00:00:00Z") + "---\n"
        + manifest(ALLOW + "to: [{host: a.test}]", "b, creationTimestamp: '2024-01-01T23:00:00-00:30'"),
        "a.test:1", {}, ("allow", "rule_allow", "/b[0]"),
    ),
    "one without a timestamp comes after all that have one": (
        manifest(ALLOW + "to: [{host: a.test}]", "a, creationTimestamp: null") + "---\n"
        + manifest(ALLOW + "to: [{host: a.test}]", "b, creationTimestamp: 2024-01-01T00:00:00Z"),
        "a.test:1", {}, ("allow", "rule_allow", "/b[0]"),
    ),
    "then namespace/name as one text": (
        manifest(ALLOW + "from: [{user: u}]\nto: [{host: a.test}]", "z", "a-b") + "---\n"
        + manifest(ALLOW + "from: [{user: u}]\nto: [{host: a.test}]", "a", "a-c"),
        "a.test:1", {"user": "u", "namespace": "a-b"}, ("allow", "rule_allow", "a-b/z[0]"),
    ),
    "names decide, not files or documents": (
        manifest(ALLOW + "to: [{host: a.test}]", "b") + "---\n" + manifest(ALLOW + "to: [{host: a.test}]", "a"),
        "a.test:1", {}, ("allow", "rule_allow", "/a[0]"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("policy", "to", "source", "expected"), SENTENCES.values(), ids=list(SENTENCES))
def test_sentence(
    tmp_path: Path, policy: str, to: str, source: dict[str, Any], expected: tuple[str, str, str | None]
) -> None:
    assert ask(tmp_path, policy, to, **source) == expected


CONFIGURED: Final[dict[str, tuple[str, str, dict[str, Any], tuple[str, str, str | None]]]] = {
    "passthrough allows what no rule names": (
        "policy.passthrough", "x.test:1", PAY, ("allow", "passthrough", None),
    ),
    "but not to sources that an allow selects": ("policy.passthrough", "x.test:1", SHOP, NO_RULE),
    "audit mode softens a deny": ("policy.audit", "x.test:1", SHOP, ("audit", "no_rule", None)),
    "addresses.deny is a hard deny": (
        "addresses: {deny: [8.8.8.0/24]}", "a.test:1", {**SHOP, "address": "8.8.8.8"}, ("deny", "address_denied", None),
    ),
    "addresses.allow lifts the guard": (
        "addresses: {allow: [127.0.0.0/8]}",
        "a.test:1", {**SHOP, "address": "127.0.0.1"}, ("allow", "rule_allow", "shop/p[0]"),
    ),
    "addresses.allow grants nothing": ("addresses: {allow: [8.0.0.0/8]}", "8.8.8.8:1", PAY, NO_RULE),
    "the network map gives an identity": (
        "identity: {networks: [{cidr: 10.1.0.0/16, namespace: shop}]}",
        "a.test:1", {"source_ip": "10.1.2.3"}, ("allow", "rule_allow", "shop/p[0]"),
    ),
    "a listener's own address is refused even when the guard is lifted": (
        "addresses: {allow: [127.0.0.0/8]}\nlisteners: [{address: '0.0.0.0:7777'}]",
        "a.test:7777", {**SHOP, "address": "127.9.9.9"}, ("deny", "own_address", None),
    ),
    "so is a service address": (
        "gateway: {serviceAddresses: [8.8.8.8]}",
        "a.test:1080", {**SHOP, "address": "8.8.8.8"}, ("deny", "own_address", None),
    ),
    "at every port": (
        "gateway: {serviceAddresses: [8.8.8.8]}",
        "a.test:443", {**SHOP, "address": "8.8.8.8"}, ("deny", "own_address", None),
    ),
    "and no other": (
        "gateway: {serviceAddresses: [8.8.8.8]}",
        "a.test:443", {**SHOP, "address": "8.8.8.9"}, ("allow", "rule_allow", "shop/p[0]"),
    ),
    "an own IPv4 address is refused in its IPv6 form as well": (
        "addresses: {allow: ['::ffff:0:0/96', 127.0.0.0/8]}",
        "a.test:1080", {**SHOP, "address": "::ffff:127.0.0.1"}, ("deny", "own_address", None),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("config", "to", "source", "expected"), CONFIGURED.values(), ids=list(CONFIGURED))
def test_what_sluice_yaml_adds(
    tmp_path: Path, config: str, to: str, source: dict[str, Any], expected: tuple[str, str, str | None]
) -> None:
    policy = manifest(ALLOW + "to: [{host: a.test}]", namespace="shop")
    if config.startswith("policy."):
        write(tmp_path, sluice_yaml=f"policy: {{paths: [policy.yaml], {config[7:]}: true}}\n", policy_yaml=policy)
        report, image = compiled(tmp_path)
        assert image is not None, errors(tmp_path, report)
        host, _, port = to.rpartition(":")
        answer = PolicyImage.from_fd(image).explain(host=host, port=int(port), **source)
        os.close(image)
        assert (answer["verdict"], answer["reason"], answer["rule"]) == expected
    else:
        assert ask(tmp_path, policy, to, config, **source) == expected


def test_without_any_policy_everything_is_denied_and_the_answer_says_so(tmp_path: Path) -> None:
    write(tmp_path, sluice_yaml="policy: {paths: []}\n")
    report, image = compiled(tmp_path)
    assert image is not None
    answer = PolicyImage.from_fd(image).explain(host="a.test", port=1)
    os.close(image)
    assert (answer["verdict"], answer["reason"]) == ("deny", "no_policy")
    expected = "sluice.yaml: there is no policy: every request will be denied (name manifests in policy.paths)"
    assert warnings(tmp_path, report) == [expected]


def test_attributes_reach_the_image(tmp_path: Path) -> None:
    spec = ALLOW + OK_TO + "onRevoke: drain\ninnerName: audit"
    write(tmp_path, sluice_yaml="policy: {paths: [policy.yaml]}\n", policy_yaml=manifest(spec, namespace="shop"))
    report, descriptor = compiled(tmp_path)
    assert descriptor is not None, errors(tmp_path, report)
    rule = PolicyImage.from_fd(descriptor).rule(1)
    os.close(descriptor)
    assert (rule["on_revoke"], rule["on_revoke_set"], rule["inner"]) == ("drain", True, "audit")
    assert (rule["kind"], rule["namespace"], rule["name"], rule["index"]) == ("EgressPolicy", "shop", "p", 0)
    assert (rule["file"], rule["line"]) == (str(tmp_path / "policy.yaml"), 6)
    assert rule["sources"] is None


def test_source_addresses_reach_the_image_and_strange_ones_are_warned_of(tmp_path: Path) -> None:
    spec = ALLOW + OK_TO + 'sourceAddress: [127.0.0.9, 192.0.2.1, "2001:DB8::1"]'
    write(tmp_path, sluice_yaml="policy: {paths: [policy.yaml]}\n", policy_yaml=manifest(spec))
    report, descriptor = compiled(tmp_path)
    assert descriptor is not None, errors(tmp_path, report)
    image = PolicyImage.from_fd(descriptor)
    os.close(descriptor)
    assert image.rule(1)["sources"] == '{"sourceAddress":["127.0.0.9","192.0.2.1","2001:db8::1"]}'
    expected = ["127.0.0.9", "192.0.2.1", "2001:db8::1"]
    assert image.explain(host="a.test", port=443)["source_address"] == expected
    assert image.explain(host="b.test", port=443)["source_address"] is None, "refused: nothing is dialed"
    assert [line.partition(": ")[2] for line in warnings(tmp_path, report)] == [
        f"{text} is not an address of this machine: connections from it fail"
        " (`ip address` lists the machine's addresses)"
        for text in ("192.0.2.1", "2001:db8::1")
    ]


def test_what_a_list_leaves_out(tmp_path: Path) -> None:
    spec = ALLOW + 'to: [{hostsFrom: list.txt, except: ["*.b.test", a.test, c.b.test]}]'
    write(tmp_path, sluice_yaml="policy: {paths: [policy.yaml]}\n", policy_yaml=manifest(spec))
    (tmp_path / "list.txt").write_text("a.test\n*.test\nx.b.test\nc.b.test\nb.test\n")
    report, descriptor = compiled(tmp_path)
    assert descriptor is not None, errors(tmp_path, report)
    image = PolicyImage.from_fd(descriptor)
    os.close(descriptor)
    names = ("a.test", "b.test", "x.b.test", "c.b.test", "y.x.b.test", "d.test", "x.a.test")
    allowed = {name for name in names if image.explain(host=name, port=1)["verdict"] == "allow"}
    assert allowed == {"b.test", "d.test", "x.a.test"}
    assert any(step["excepted"] for step in image.explain(host="x.b.test", port=1)["trail"])


def test_source_addresses_of_a_rule_that_denies(tmp_path: Path) -> None:
    spec = DENY + OK_TO + "sourceAddress: [127.0.0.9]"
    write(tmp_path, sluice_yaml="policy: {paths: [policy.yaml]}\n", policy_yaml=manifest(spec))
    report, descriptor = compiled(tmp_path)
    assert descriptor is not None
    os.close(descriptor)
    assert any("sourceAddress has no effect on a rule that denies" in line for line in warnings(tmp_path, report))
