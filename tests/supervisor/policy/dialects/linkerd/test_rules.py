"""Manifests of Linkerd as rules: identities, admission, networks, Servers, routes; and what is reported."""

from pathlib import Path
from typing import Any, Final

import pytest

from supervisor.policy.resources.conditions import (
    AllOf,
    AnyOf,
    Asks,
    Condition,
    Not,
    Through,
)
from supervisor.policy.resources.model import Rules, Selector
from tests.supervisor.policy.dialects.linkerd.loading import document, load, rule, rules_of

POLICY: Final = "group: policy.linkerd.io"
ROUTE: Final = "group: gateway.networking.k8s.io"
NETWORK: Final = document("EgressNetwork", "{trafficPolicy: Allow}", "net")
PARENT: Final = "{group: policy.linkerd.io, kind: EgressNetwork, name: net, port: 443}"
TLS: Final = document(
    "TLSRoute", f"{{hostnames: [a.test], parentRefs: [{PARENT}], rules: [{{backendRefs: [{PARENT}]}}]}}", "r"
)
CART: Final = "[{kind: ServiceAccount, name: cart}]"


def policy_on(target: str, needed: str, namespace: str = "shop", name: str = "p") -> str:
    """An AuthorizationPolicy."""
    return document(
        "AuthorizationPolicy", f"{{targetRef: {{{target}}}, requiredAuthenticationRefs: {needed}}}", name, namespace
    )


def admitted(folder: Path, documents: str, needed: str, **around: Any) -> Condition | None:
    """The condition of a policy on a route that needs these authentications."""
    policy = policy_on(f"{ROUTE}, kind: TLSRoute, name: r", needed)
    rules = rules_of(folder, NETWORK + TLS + documents + policy, **around)
    return rule(rules, "TLSRoute", "r").admit


# identities


def identity(folder: Path, text: str, *domains: tuple[str, str]) -> tuple[Condition | None, list[str], list[str]]:
    """The condition of an identity under trust domains, errors and warnings."""
    authentication = document("MeshTLSAuthentication", f'{{identities: ["{text}"]}}', "m")
    policy_text = policy_on(
        f"{POLICY}, kind: EgressNetwork, name: net", f"[{{{POLICY}, kind: MeshTLSAuthentication, name: m}}]"
    )
    policy, errors, warnings = load(folder, NETWORK + TLS + authentication + policy_text, trust_domains=domains)
    return rule(list(policy.rules), "TLSRoute", "r").admit, errors, warnings


OTHER: Final = ("b.test", "mesh")
IDENTITIES: Final[list[tuple[str, tuple[tuple[str, str], ...], Selector | None]]] = [
    ("*", (), Selector(identified=True)),
    ("cart.shop.serviceaccount.identity.linkerd.cluster.local", (), Selector("shop", "cart")),
    ("a.b.shop.serviceaccount.identity.linkerd.cluster.local", (), Selector("shop", "a.b")),
    ("*.shop.serviceaccount.identity.linkerd.cluster.local", (), Selector("shop")),
    ("*.serviceaccount.identity.linkerd.cluster.local", (), Selector(identified=True)),
    ("*.cluster.local", (), Selector(identified=True)),
    ("spiffe://cluster.local/ns/shop/sa/cart", (), Selector("shop", "cart")),
    ("spiffe://cluster.local/some/path", (), Selector(identity="spiffe://cluster.local/some/path")),
    ("spiffe://b.test/ns/shop/sa/cart", (), Selector(identity="spiffe://b.test/ns/shop/sa/cart")),
    ("cart.shop.serviceaccount.identity.mesh.b.test", (OTHER,), Selector("shop", "cart")),
    (
        "cart.shop.serviceaccount.identity.mesh.b.test",
        (("a.test", "linkerd"), OTHER),
        Selector(identity="spiffe://b.test/ns/shop/sa/cart"),
    ),
    ("*.test", (("a.test", "linkerd"), OTHER), Selector(identified=True)),
    ("cart.shop.serviceaccount.identity.linkerd.cluster.local", (OTHER,), None),
    ("cart.shop.serviceaccount.identity.other.cluster.local", (), None),
    ("cart.shop.serviceaccount.identity.linkerd.a.test", (("a.test", ""),), None),
    ("*.example.com", (), None),
    ("example.com", (), None),
]


@pytest.mark.parametrize(("text", "domains", "selector"), IDENTITIES, ids=lambda value: str(value))
def test_an_identity(
    text: str, domains: tuple[tuple[str, str], ...], selector: Selector | None, tmp_path: Path
) -> None:
    condition, errors, warnings = identity(tmp_path, text, *domains)
    assert errors == []
    if selector is None:
        assert condition == AnyOf(()), "no source"
        assert any(f"`{text}` is an identity that no source can have" in line for line in warnings)
    else:
        assert condition == Asks((selector,))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("*.b.test", "`*.b.test` is of some of the trust domains: not supported"),
        ("*.shop.serviceaccount.identity.mesh.b.test", "a wildcard stands for every service account of a namespace of"),
        (
            "*.web.shop.serviceaccount.identity.linkerd.a.test",
            "a wildcard stands for every service account of a namespa",
        ),
    ],
)
def test_a_wildcard_that_cannot_be_said_is_an_error(text: str, words: str, tmp_path: Path) -> None:
    _, errors, _ = identity(tmp_path, text, ("a.test", "linkerd"), OTHER)
    assert len(errors) == 1 and words in errors[0]


# admission


def test_authentications_of_one_policy_must_all_hold(tmp_path: Path) -> None:
    documents = document("NetworkAuthentication", "{networks: [{cidr: 10.1.2.3/8}, {cidr: 10.9.9.9}]}", "nets")
    needed = "[{kind: ServiceAccount, name: cart}, {group: policy.linkerd.io, kind: NetworkAuthentication, name: nets}]"
    assert admitted(tmp_path, documents, needed) == AllOf(
        (
            Asks((Selector("shop", "cart"),)),
            Asks((Selector(cidr="10.0.0.0/8"), Selector(cidr="10.9.9.9/32"))),
        )
    )


def test_a_network_with_exceptions(tmp_path: Path) -> None:
    documents = document("NetworkAuthentication", '{networks: [{cidr: "10.0.0.0/8", except: ["10.1.0.0/16"]}]}', "nets")
    needed = "[{group: policy.linkerd.io, kind: NetworkAuthentication, name: nets}]"
    assert admitted(tmp_path, documents, needed) == AllOf(
        (Asks((Selector(cidr="10.0.0.0/8"),)), Not(Asks((Selector(cidr="10.1.0.0/16"),))))
    )


def test_without_authentications_every_source_is_admitted(tmp_path: Path) -> None:
    assert admitted(tmp_path, "", "[]") is None


def test_references_of_a_mesh_tls_authentication(tmp_path: Path) -> None:
    references = "[{kind: ServiceAccount, name: a}, {kind: ServiceAccount, name: b, namespace: pay}, "
    references += "{kind: Namespace, name: ops}]"
    documents = document("MeshTLSAuthentication", f"{{identityRefs: {references}}}", "m", "other")
    needed = "[{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: m, namespace: other}]"
    assert admitted(tmp_path, documents, needed) == Asks(
        (Selector("other", "a"), Selector("pay", "b"), Selector("ops"))
    )


@pytest.mark.parametrize(
    ("target", "needed", "error"),
    [
        (f"{ROUTE}, kind: TLSRoute, name: ra", "[]", "there is no TLSRoute shop/ra of gateway.networking.k8s.io (did"),
        (
            f"{POLICY}, kind: EgressNetwork, name: nett",
            "[]",
            "there is no EgressNetwork shop/nett of policy.linkerd.io",
        ),
        (f"{POLICY}, kind: HTTPRoute, name: r", "[]", "there is no HTTPRoute shop/r of policy.linkerd.io"),
        (
            "kind: Namespace, name: shop",
            f"[{{{POLICY}, kind: MeshTLSAuthentication, name: m}}]",
            "there is no MeshTLSAuthentication shop/m",
        ),
    ],
)
def test_a_reference_to_nothing_is_an_error(target: str, needed: str, error: str, tmp_path: Path) -> None:
    _, (found,), _ = load(tmp_path, NETWORK + TLS + policy_on(target, needed))
    line, column, words = found.split(":", 2)
    assert (line, column) == ("14", "19" if needed == "[]" else "79")
    assert error in words and ("NoMatchingTarget" in words) == (needed == "[]")


# networks


def test_networks_of_a_namespace_and_of_the_global_one(tmp_path: Path) -> None:
    text = NETWORK + document("EgressNetwork", "{trafficPolicy: Deny}", "all", "linkerd-egress")
    rules = rules_of(tmp_path, text)
    own, everywhere = rule(rules, "EgressNetwork", "net"), rule(rules, "EgressNetwork", "all")
    assert (own.selectors, own.tier, own.network) == ((Selector("shop"),), "default_allow", "shop/net")
    assert everywhere.selectors == (Selector(elsewhere=True),)
    assert everywhere.tier == "default_deny" and everywhere.items[0].destination.anything
    (other,) = rules_of(
        tmp_path, document("EgressNetwork", "{trafficPolicy: Deny}", "x", "out"), global_namespace="out"
    )
    assert other.selectors == (Selector(elsewhere=True),)


def test_without_networks_the_mesh_itself_is_left_out(tmp_path: Path) -> None:
    (found,) = rules_of(tmp_path, NETWORK, cluster_networks=("10.0.0.0/8", "fd00::/8", "192.168.0.0/16"))
    assert [(item.destination.cidr, [one.value for one in item.destination.excepts]) for item in found.items] == [
        ("0.0.0.0/0", ["10.0.0.0/8", "192.168.0.0/16"]),
        ("::/0", ["fd00::/8"]),
    ]


def test_the_smaller_block_is_ahead(tmp_path: Path) -> None:
    blocks = "[{cidr: 11.0.0.0/8}, {cidr: 11.0.0.0/8, except: [11.0.0.0/9, 11.192.0.0/10]}, {cidr: 11.128.0.0/9}, "
    blocks += "{cidr: 0.0.0.0/0}, {cidr: '::/0'}]"
    (found,) = rules_of(tmp_path, document("EgressNetwork", f"{{trafficPolicy: Allow, networks: {blocks}}}"))
    assert [item.ahead for item in found.items] == [1, 3, 2, 0, 0]


@pytest.mark.parametrize(
    ("block", "overlaps"),
    [
        ("{cidr: 10.1.0.0/16}", True),
        ("{cidr: 0.0.0.0/0}", True),
        ("{cidr: 0.0.0.0/0, except: [10.0.0.0/9]}", True),
        ("{cidr: 0.0.0.0/0, except: [10.0.0.0/8]}", False),
        ("{cidr: 8.0.0.0/6, except: [10.0.0.0/7]}", False),
        ("{cidr: 11.0.0.0/8}", False),
        ("{cidr: '::/0'}", False),
    ],
)
def test_a_network_over_the_mesh_is_not_accepted(block: str, overlaps: bool, tmp_path: Path) -> None:
    text = document("EgressNetwork", f"{{trafficPolicy: Allow, networks: [{block}]}}", "net") + TLS
    policy, errors, warnings = load(tmp_path, text, cluster_networks=("10.0.0.0/8",))
    accepted = {(one.kind, one.name): (one.status, one.reason) for one in policy.statuses if one.type == "Accepted"}
    if not overlaps:
        assert (errors, warnings) == ([], [])
        assert set(accepted.values()) == {(True, "Accepted")}
        return
    assert [line.partition(":")[0] for line in errors] == [
        "4"
    ] and "EgressReasonNetworkOverlap: EgressNetwork" in errors[0]
    assert accepted["EgressNetwork", "net"] == (False, "EgressReasonNetworkOverlap")
    assert accepted["TLSRoute", "r"] == (False, "NoMatchingParent")
    assert len(warnings) == 1 and "EgressNetwork parent has not been accepted" in warnings[0]


def test_whom_a_network_does_not_admit_is_refused_where_no_route_matches(tmp_path: Path) -> None:
    rules = rules_of(tmp_path, NETWORK + policy_on(f"{POLICY}, kind: EgressNetwork, name: net", CART))
    refusal = rule(rules, "EgressNetwork", "net", "unauthorized")
    (item,) = refusal.items
    assert item.when == Not(Asks((Selector("shop", "cart"),))) and item.destination.anything
    assert (refusal.in_network, refusal.network) == ("shop/net", "")
    assert refusal.precedence > rule(rules, "EgressNetwork", "net", "default_allow").precedence


# Servers


def server(folder: Path, spec: str, more: str = "", namespace: str = "egress", **around: Any) -> Rules | None:
    """The rule of a Server; None: it refuses no source."""
    found = rules_of(folder, document("Server", spec, "s", namespace) + more, **around)
    return found[0] if found else None


def refused(found: Rules | None) -> Condition | None:
    assert found is not None and found.tier == "unauthorized" and found.selectors == (Selector(),)
    return found.items[0].when


MESH: Final = Through("mesh")
IDENTIFIED: Final = Asks((Selector(identified=True),))
LOCAL: Final = Asks((Selector(cidr="10.0.0.0/8"),))


def test_access_policies(tmp_path: Path) -> None:
    for access, wanted in (
        ("deny", MESH),
        ("all-authenticated", AllOf((MESH, Not(IDENTIFIED)))),
        ("cluster-unauthenticated", AllOf((MESH, Not(LOCAL)))),
        ("cluster-authenticated", AllOf((MESH, Not(AllOf((IDENTIFIED, LOCAL)))))),
    ):
        spec = f"{{podSelector: {{}}, port: mesh, accessPolicy: {access}}}"
        assert refused(server(tmp_path, spec, cluster_networks=("10.0.0.0/8",))) == wanted, access
    for access in ("audit", "all-unauthenticated"):
        assert server(tmp_path, f"{{podSelector: {{}}, port: mesh, accessPolicy: {access}}}") is None
    assert refused(server(tmp_path, "{podSelector: {}, port: 1080}")) == MESH, "deny is the default"
    spec = "{podSelector: {}, port: 1080, accessPolicy: cluster-authenticated}"
    assert refused(server(tmp_path, spec)) == MESH, "without clusterNetworks no source is of the cluster"


def test_authorizations_of_a_server_are_ways_in(tmp_path: Path) -> None:
    accounts = ("[{kind: ServiceAccount, name: a}]", "[{kind: ServiceAccount, name: b}]")
    policy = policy_on(f"{POLICY}, kind: Server, name: s", accounts[0], "egress", "p")
    policy += policy_on("kind: Namespace, name: egress", accounts[1], "egress", "q")
    mesh = "{identities: ['*'], serviceAccounts: [{name: c}, {name: d, namespace: ops}]}"
    client = f"{{networks: [{{cidr: 10.0.0.0/8}}], meshTLS: {mesh}}}"
    policy += document("ServerAuthorization", f"{{server: {{selector: {{}}}}, client: {client}}}", "z", "egress")
    clients = (Selector(identified=True), Selector("egress", "c"), Selector("ops", "d"))
    ways = (
        AllOf((Asks(clients), Asks((Selector(cidr="10.0.0.0/8"),)))),
        Asks((Selector("egress", "a"),)),
        Asks((Selector("egress", "b"),)),
    )
    assert refused(server(tmp_path, "{podSelector: {}, port: 1080}", policy)) == AllOf((MESH, Not(AnyOf(ways))))


@pytest.mark.parametrize(
    ("spec", "namespace", "reason"),
    [
        ("{podSelector: {}, port: 1080}", "shop", "it is not of the gateway's namespace, egress"),
        (
            "{podSelector: {matchLabels: {app: web}}, port: 1080}",
            "egress",
            "its podSelector does not match gateway.labels",
        ),
        ("{podSelector: {}, port: 8080}", "egress", "no listener has the port 8080"),
        ("{podSelector: {}, port: admin}", "egress", "no listener has the port admin"),
        ("{externalWorkloadSelector: {}, port: 1080}", "egress", "it selects ExternalWorkloads"),
    ],
)
def test_other_servers_decide_nothing(spec: str, namespace: str, reason: str, tmp_path: Path) -> None:
    policy, errors, warnings = load(tmp_path, document("Server", spec, "s", namespace))
    assert (policy.rules, errors) == ((), [])
    assert warnings == [f"1:1: Server {namespace}/s decides nothing here: {reason}"]


def test_two_servers_of_one_listener_are_an_error(tmp_path: Path) -> None:
    text = document("Server", "{podSelector: {}, port: mesh}", "a", "egress")
    text += document("Server", "{podSelector: {}, port: 1080}", "b", "egress")
    _, (error,), _ = load(tmp_path, text)
    assert error.startswith("6:1: Server egress/b and Server egress/a both stand for the listener mesh")
