"""Manifests of Linkerd and flows, drawn at random."""

from random import Random
from typing import Any, Final

from tests.supervisor.policy.dialects.linkerd.evaluator import GATEWAY, GLOBAL, KINDS, Asked
from tests.supervisor.policy.dialects.linkerd.matching import IDENTITY, Manifest, Who

POLICY: Final = "policy.linkerd.io"
ROUTES: Final = "gateway.networking.k8s.io"
SPACES: Final = ("shop", "pay", GLOBAL)  # that may have networks
ACCOUNTS: Final = (("shop", "cart"), ("shop", "web"), ("pay", "till"), ("ops", "bot"), (GLOBAL, "agent"))
FOREIGN: Final = "spiffe://other.test/ns/shop/sa/cart"
BLOCKS: Final[tuple[dict[str, Any], ...]] = (
    {"cidr": "8.0.0.0/8"},
    {"cidr": "8.0.0.0/8", "except": ["8.8.0.0/16"]},
    {"cidr": "8.0.0.0/8", "except": ["8.0.0.0/9", "8.192.0.0/10"]},
    {"cidr": "8.128.0.0/9"},
    {"cidr": "8.8.0.0/16"},
    {"cidr": "8.8.8.8"},
    {"cidr": "9.0.0.0/8"},
    {"cidr": "0.0.0.0/0"},
    {"cidr": "0.0.0.0/0", "except": ["9.0.0.0/8"]},
    {"cidr": "2600::/16"},
    {"cidr": "::/0"},
)
ADDRESSES: Final = ("8.8.8.8", "8.8.1.1", "8.130.0.1", "9.9.9.9", "11.1.1.1", "2600::1", "2a00::1")
HOSTS: Final = ("*.test", "*.a.test", "a.test", "x.a.test")
NAMES: Final = ("a.test", "x.a.test", "y.a.test", "b.test", "other.example")
PORTS: Final = (443, 80)
DATES: Final = ("2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z", None, None)
SOURCES: Final = ("10.1.0.1", "10.2.0.1", "10.1.9.9", "")
CLUSTER: Final = ("10.0.0.0/8", "fd00::/8")


def manifest(
    random: Random, kind: str, namespace: str, name: str, spec: dict[str, Any], version: str = f"{POLICY}/v1alpha1"
) -> Manifest:
    metadata = {"namespace": namespace, "name": name}
    if date := random.choice(DATES):
        metadata["creationTimestamp"] = date
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def draw(random: Random, cluster: tuple[str, ...] = ()) -> list[Manifest]:
    """One to four networks, up to six routes, up to five authorizations, at times a Server."""
    networks = [draw_network(random, number, cluster) for number in range(random.randint(1, 4))]
    kinds = random.sample(KINDS, random.choice((1, 1, 2, 4)))
    routes = [draw_route(random, number, networks, kinds) for number in range(random.randint(0, 6))]
    found = networks + routes + draw_authentications(random)
    servers = draw_servers(random) if random.random() < 0.3 else []
    targets = [one for one in (*networks, *routes, *routes, *servers) if one["kind"] != "ServerAuthorization"]
    count = random.choice((0, 1, 2, 3, 5))
    return found + servers + [draw_policy(random, number, targets) for number in range(count)]


def draw_network(random: Random, number: int, cluster: tuple[str, ...]) -> Manifest:
    """Blocks of everything leave the mesh's own networks out: they would not be accepted."""
    spec: dict[str, Any] = {"trafficPolicy": random.choice(("Allow", "Deny"))}
    if random.random() < 0.75:
        spec["networks"] = [dict(block) for block in random.sample(BLOCKS, random.randint(1, 3))]
        for block in spec["networks"]:
            own = [one for one in cluster if (":" in one) == (":" in block["cidr"])]
            if block["cidr"].endswith("/0") and own:
                block["except"] = [*block.get("except", ()), *own]
            if "/" not in block["cidr"]:
                block["cidr"] += "/32" if random.random() < 0.5 else ""
    return manifest(random, "EgressNetwork", random.choice(SPACES), f"net{number}", spec)


def draw_route(random: Random, number: int, networks: list[Manifest], kinds: list[str]) -> Manifest:
    kind = random.choice(kinds)
    own = random.random() < 0.8
    parents: dict[tuple[str, str, int], dict[str, Any]] = {}
    network = random.choice(networks)
    namespace = network["metadata"]["namespace"] if own else random.choice(("shop", "pay", "ops"))
    for one in (network, *random.choices(networks, k=random.choice((0, 0, 1)))):
        where, name, port = one["metadata"]["namespace"], one["metadata"]["name"], random.choice(PORTS)
        parents[where, name, port] = {
            "group": POLICY,
            "kind": "EgressNetwork",
            "name": name,
            "port": port,
            **({"namespace": where} if where != namespace or random.random() < 0.3 else {}),
        }
    rules: list[dict[str, Any]] = [{}]
    if kind in ("HTTPRoute", "GRPCRoute"):
        rules = [draw_rule(random, kind) for _ in range(random.randint(1, 2))]
    elif len(parents) == 1 and random.random() < 0.5:
        where, name, _ = next(iter(parents))
        rules = [{"backendRefs": [{"group": POLICY, "kind": "EgressNetwork", "name": name, "namespace": where}]}]
    else:
        rules = [{"backendRefs": [{"name": "sluice", "port": 1080}]}]
    spec: dict[str, Any] = {"parentRefs": list(parents.values()), "rules": rules}
    if kind != "TCPRoute" and random.random() < 0.8:
        spec["hostnames"] = random.sample(HOSTS, random.randint(1, 2))
    version = f"{ROUTES}/v1alpha2" if kind in ("TLSRoute", "TCPRoute") else f"{ROUTES}/v1"
    if kind == "HTTPRoute" and random.random() < 0.3:
        version = f"{POLICY}/v1beta3"
    return manifest(random, kind, namespace, f"route{number}", spec, version)


def draw_rule(random: Random, kind: str) -> dict[str, Any]:
    """A rule of requests, with conditions half of the time."""
    if random.random() < 0.5:
        return random.choice(({}, {"matches": []}, {"matches": [{}]}))
    if kind == "GRPCRoute":
        return {"matches": random.choice(([{"method": {"service": "shop.Cart"}}], [{"headers": [header()]}, {}]))}
    choices: tuple[dict[str, Any], ...] = (
        {"matches": [{"path": {"value": "/v1"}}]},
        {"matches": [{"method": "GET"}, {"headers": [header()]}]},
        {"matches": [{"path": {"type": "Exact", "value": "/"}}, {}]},
        {"filters": [{"type": "RequestHeaderModifier", "requestHeaderModifier": {"remove": ["x"]}}]},
    )
    return random.choice(choices)


def header() -> dict[str, str]:
    return {"name": "x-team", "value": "shop"}


def draw_authentications(random: Random) -> list[Manifest]:
    """In each namespace one of identities, one of references, one of networks."""
    found = []
    for space in (*SPACES, GATEWAY, "ops"):
        identities = random.sample(identity_texts(), random.randint(1, 2))
        references = [draw_reference(random) for _ in range(random.randint(1, 2))]
        networks = random.choice(
            (
                [{"cidr": "10.1.0.0/16"}],
                [{"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}],
                [{"cidr": "10.1.0.1"}, {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/9"]}],
            )
        )
        for name, kind, spec in (
            ("identities", "MeshTLSAuthentication", {"identities": identities}),
            ("references", "MeshTLSAuthentication", {"identityRefs": references}),
            ("networks", "NetworkAuthentication", {"networks": networks}),
        ):
            found.append(manifest(random, kind, space, name, spec))
    return found


def identity_texts() -> list[str]:
    exact = [IDENTITY.format(account, space) for space, account in ACCOUNTS]
    spiffe = [f"spiffe://cluster.local/ns/{space}/sa/{account}" for space, account in ACCOUNTS[:2]]
    return [*exact, *spiffe, FOREIGN, "*", IDENTITY.format("*", "shop")]


def draw_reference(random: Random) -> dict[str, str]:
    space, account = random.choice(ACCOUNTS)
    if random.random() < 0.3:
        return {"kind": "Namespace", "name": space}
    return {"kind": "ServiceAccount", "name": account, **({"namespace": space} if random.random() < 0.7 else {})}


def draw_policy(random: Random, number: int, targets: list[Manifest]) -> Manifest:
    """On a resource, on the namespace of one, or on the gateway's."""
    one = random.choice(targets)
    namespace, name = one["metadata"]["namespace"], one["metadata"]["name"]
    target = {"group": one["apiVersion"].partition("/")[0], "kind": one["kind"], "name": name}
    if random.random() < 0.2:
        target = {"kind": "Namespace", "name": namespace, **({"group": "core"} if random.random() < 0.5 else {})}
    elif random.random() < 0.05:
        namespace, target = GATEWAY, {"kind": "Namespace", "name": GATEWAY}
    references: list[dict[str, str]] = []
    if random.random() < 0.8:
        references.append(random.choice((mesh("identities"), mesh("references"), draw_account(random))))
    if random.random() < 0.4:
        references.append({"group": POLICY, "kind": "NetworkAuthentication", "name": "networks"})
    spec = {"targetRef": target, "requiredAuthenticationRefs": references}
    return manifest(random, "AuthorizationPolicy", namespace, f"policy{number}", spec)


def mesh(name: str) -> dict[str, str]:
    return {"group": POLICY, "kind": "MeshTLSAuthentication", "name": name}


def draw_account(random: Random) -> dict[str, str]:
    space, account = random.choice(ACCOUNTS)
    return {"kind": "ServiceAccount", "name": account, "namespace": space}


def draw_servers(random: Random) -> list[Manifest]:
    """One that stands for a listener, or does not, and at times a ServerAuthorization."""
    spec: dict[str, Any] = {"podSelector": random.choice(({}, {"matchLabels": {"app": "sluice"}}))}
    if random.random() < 0.1:
        spec["podSelector"] = {"matchLabels": {"app": "other"}}
    spec["port"] = random.choice(("mesh", 1080, "other", 1080, 9999))
    if random.random() < 0.7:
        accesses = ("deny", "audit", "all-authenticated", "cluster-authenticated", "cluster-unauthenticated")
        spec["accessPolicy"] = random.choice((*accesses, "all-unauthenticated"))
    server = manifest(random, "Server", GATEWAY, "server", spec, f"{POLICY}/v1beta3")
    server["metadata"]["labels"] = {"tier": random.choice(("edge", "core"))}
    if random.random() < 0.5:
        return [server]
    named = random.choice(({"name": "server"}, {"selector": {"matchLabels": {"tier": "edge"}}}))
    meshes: tuple[dict[str, Any], ...] = (
        {"identities": random.sample(identity_texts(), 2)[:1]},
        {"serviceAccounts": [{"name": "cart", "namespace": "shop"}]},
        {"unauthenticatedTLS": True},
    )
    client: dict[str, Any] = {"meshTLS": random.choice(meshes)}
    if any("spiffe" in text for text in client["meshTLS"].get("identities", ())):
        client = {"unauthenticated": True}
    if random.random() < 0.4:
        client["networks"] = [{"cidr": "10.0.0.0/8", "except": ["10.2.0.0/16"]}]
    spec = {"server": named, "client": client}
    return [server, manifest(random, "ServerAuthorization", GATEWAY, "authorization", spec, f"{POLICY}/v1beta1")]


def draw_asked(random: Random) -> Asked:
    space, account = random.choice((*ACCOUNTS, *ACCOUNTS, ("", "")))
    uri = user = ""
    if not space:
        uri, user = random.choice(((FOREIGN, ""), ("", "bob"), ("", "")))
    who = Who(space, account, uri, user, random.choice(SOURCES))
    literal = random.random() < 0.4
    host, sni = ("", random.choice((*NAMES, ""))) if literal else (random.choice(NAMES), "")
    listener = random.choice(("mesh", "mesh", "other"))
    return Asked(who, host, random.choice(ADDRESSES), random.choice((443, 443, 80, 25)), listener, sni)
