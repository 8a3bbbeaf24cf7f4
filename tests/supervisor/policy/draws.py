"""Random worlds and questions, small enough that everything collides: few names, ports and sources, many rules."""

from random import Random
from typing import Any, Final

from tests.supervisor.policy.evaluator import Question
from tests.supervisor.policy.matching import Manifest, World

NAMES: Final = (
    "example.test", "a.example.test", "x.a.example.test", "y.x.a.example.test", "other.test", "xexample.test", "test",
)  # fmt: skip
PATTERNS: Final = ("*", "*.test", "*.example.test", "*.a.example.test")
PUBLIC: Final = ("8.8.8.8", "8.8.8.8", "8.8.4.4", "8.9.0.1", "2600::1", "2600:1::1")
PRIVATE: Final = (
    *("10.0.0.5", "10.1.2.3", "192.168.1.1", "100.64.0.9", "203.0.113.7", "fd00::5"),
    *("::ffff:8.8.8.8", "::ffff:10.0.0.5", "64:ff9b::808:808", "64:ff9b::a00:5"),
    *("2600:64::808:808", "2600:64::a00:5"),
)
REFUSED: Final = (
    *("100.100.100.200", "127.0.0.1", "169.254.169.254", "169.254.1.1", "224.0.0.1"),
    *("fd00:ec2::254", "fe80::1", "::1"),
)
CIDRS: Final = (
    *("0.0.0.0/0", "0.0.0.0/0", "8.0.0.0/8", "8.8.0.0/16", "8.8.8.0/24", "8.8.8.8/32"),
    *("::/0", "2600::/16", "2600::/64"),
    *("10.0.0.0/8", "10.0.0.0/24", "10.0.0.0/7", "192.168.0.0/16", "100.64.0.0/10", "203.0.113.0/24"),
    *("fd00::/8", "64:ff9b::/96", "::ffff:0:0/96", "127.0.0.0/8"),
)
CIDR_EXCEPTS: Final = ("8.8.8.8/32", "8.8.4.0/24", "8.8.8.0/25", "10.0.0.5/32", "2600::/64", "fd00::5/128")
PORTS: Final = (443, 80, 8080)
PORT_LISTS: Final = (None, None, None, [443], [443, 80], ["1-65535"], [8080, "400-500"], ["8000-9000", 443])
NAMESPACES: Final = ("shop", "pay")
ACCOUNTS: Final = ("cart", "web")
USERS: Final[dict[str, tuple[str, str]]] = {"bot": ("shop", "cart"), "ops": ("pay", ""), "guest": ("", "")}
IDENTITIES: Final = ("spiffe://mesh.test/ns/shop/sa/cart", "spiffe://mesh.test/ns/pay/sa/web")
SOURCES: Final = ("10.1.0.1", "10.1.5.5", "10.2.0.1", "fd01::1")
SOURCE_CIDRS: Final = ("10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/24", "fd01::/64", "0.0.0.0/0")
DIALED_FROM: Final = ("192.0.2.1", "192.0.2.2", "2001:db8::1")
TIMES: Final = ("2024-01-01T00:00:00Z", "2024-06-01T00:00:00Z")
NETWORKS: Final = [("10.1.0.0/16", "shop", "cart"), ("10.1.5.0/24", "pay", ""), ("fd01::/32", "shop", "web")]
GUARD_ALLOW: Final = ["10.0.0.0/8", "127.0.0.0/8", "64:ff9b::/96", "::ffff:0:0/96"]
NAT64: Final = ["2600:64::/96", "64:ff9b::/96"]
INNERS: Final = ("enforce", "audit", "off")
SHOWS: Final = ("none", *("malformed",) * 3, *("too long",) * 2, *("late",) * 4, "tls", "http", "ssh")
PROTOCOLS: Final = ("tls", "tls", "http", "ssh", "any")
GUARD_DENY: Final = ["8.8.4.0/24", "10.0.0.0/24", "2600:1::/32"]
# gateway.serviceAddresses at every port, 0; what the kernel has here at the port of a listener.
OWN: Final = [("8.9.0.1/32", 0), ("10.1.2.3/32", 0), ("127.0.0.0/8", 8080), ("::1/128", 8080)]
LISTENERS: Final = (1080, 8080)
UPSTREAM: Final = "parent"


def draw_world(random: Random) -> World:
    """A world with 0 to 16 manifests."""
    lists = {f"list-{number}.txt": draw_list(random) for number in range(2)}
    count = random.choice((0, 2, 4, 6)) if random.random() < 0.2 else random.randint(7, 16)
    passthrough = random.random() < 0.3
    # Behind a default that allows, denies are what there is to see: any allow that selects a source ends it.
    weights = (0, 4, 5) if passthrough and random.random() < 0.6 else (3, 5, 1)
    return World(
        manifests=[draw_manifest(random, number, lists, weights) for number in range(count)],
        lists=lists,
        users=USERS,
        networks=random.sample(NETWORKS, random.randint(0, 3)),
        allow=random.sample(GUARD_ALLOW, random.choice((0, 0, 1, 2))),
        deny=random.sample(GUARD_DENY, random.choice((0, 0, 0, 1))),
        nat64=random.sample(NAT64, random.choice((0, 0, 1, 2))),
        own=OWN,
        passthrough=passthrough,
        audit=random.random() < 0.15,
        audit_namespaces=draw_audited(random.getstate()[1][:3]),
    )


def draw_audited(state: object) -> list[str]:
    """Namespaces in audit mode, by a generator of their own: other draws stay as they were."""
    random = Random(repr(state))
    return random.sample(NAMESPACES, random.choice((0, 0, 0, 1, 2)))


def draw_list(random: Random) -> str:
    patterns = random.sample(NAMES + PATTERNS, random.randint(1, 5))
    ends = [random.choice(("\n", "\n", "  # one\n", "\r\n\n")) for _ in patterns]
    return "# drawn\n" + "".join(pattern + end for pattern, end in zip(patterns, ends, strict=True))


def draw_manifest(random: Random, number: int, lists: dict[str, str], weights: tuple[int, int, int]) -> Manifest:
    """Names repeat over namespaces, and numbers are shuffled into them, so that name order is not file order."""
    namespace = random.choice(("", "", *NAMESPACES))
    metadata: dict[str, Any] = {"name": f"p{random.randint(0, 9)}-{number}"}
    if namespace:
        metadata["namespace"] = namespace
    if random.random() < 0.3:
        metadata["creationTimestamp"] = random.choice(TIMES)
    action = random.choices(("Allow", "Audit", "Deny"), weights)[0]
    spec: dict[str, Any] = {"action": action, "to": draw_distinct(random, lambda: draw_to(random, lists), {}, 6)}
    if action == "Deny" and not namespace and random.random() < 0.65:
        spec["hard"] = True
    if action != "Deny" and random.random() < 0.15:
        spec["upstream"] = UPSTREAM
    if random.random() < 0.2:
        spec["tls"] = random.choice(({"originate": True}, {"originate": True, "port": 8443}, {"originate": False}))
    if random.random() < 0.2:
        spec["innerName"] = random.choice(INNERS)
    if random.random() < 0.22:
        spec["inner"] = {"protocol": random.choice(PROTOCOLS)}
    if random.random() < 0.2:
        spec["ech"] = random.choice(("allow", "deny", "deny"))
    if random.random() < 0.25:
        spec["onRevoke"] = random.choice(("kill", "drain", "keep"))
    if random.random() < 0.3:
        spec["sourceAddress"] = random.sample(DIALED_FROM, random.randint(1, 2))
    if random.random() < 0.5:
        spec["from"] = draw_distinct(random, lambda: draw_from(random, namespace), {"namespace": namespace}, 2)
    kind = "EgressPolicy" if namespace else "ClusterEgressPolicy"
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def draw_distinct(random: Random, draw: Any, default: dict[str, str], most: int) -> list[dict[str, Any]]:
    """One to `most` items, no two the same (that is an error in a manifest); `default` is what an item need not say."""
    items: dict[tuple[Any, ...], dict[str, Any]] = {}
    for _ in range(random.randint(1, most)):
        item = draw()
        items.setdefault(canonical({**default, **item}), item)
    return list(items.values())


def canonical(item: dict[str, Any]) -> tuple[Any, ...]:
    lists = {name: tuple(sorted(map(str, value))) for name, value in item.items() if isinstance(value, list)}
    return tuple(sorted({**item, **lists}.items()))


def draw_to(random: Random, lists: dict[str, str]) -> dict[str, Any]:
    to: dict[str, Any] = {}
    kind = random.random()
    if kind < 0.5:
        to["host"] = random.choice(NAMES + PATTERNS * 2)
        below = [name for name in NAMES + PATTERNS if to["host"].startswith("*") and name.endswith(to["host"][1:])]
        below = [name for name in below if name != to["host"]]
        if below and random.random() < 0.3:
            to["except"] = random.sample(below, random.randint(1, min(2, len(below))))
    elif kind < 0.9:
        to["cidr"] = random.choice(CIDRS)
        below = [text for text in CIDR_EXCEPTS if inside_text(text, to["cidr"])]
        if below and random.random() < 0.4:
            to["except"] = [random.choice(below)]
    else:
        to["hostsFrom"] = random.choice(sorted(lists))
        if random.random() < 0.3:
            to["except"] = random.sample([text for text in NAMES + PATTERNS if text != "*"], random.randint(1, 2))
    if ports := random.choice(PORT_LISTS):
        to["ports"] = ports
    return to


def inside_text(inner: str, outer: str) -> bool:
    from ipaddress import ip_network

    a, b = ip_network(inner), ip_network(outer)
    return a.version == b.version and a != b and a.subnet_of(b)  # type: ignore[arg-type] # versions are equal


def draw_from(random: Random, namespace: str) -> dict[str, str]:
    kind = random.random()
    item: dict[str, str] = {}
    if kind < 0.25:
        item = {"serviceAccount": random.choice(ACCOUNTS)}
        if not namespace:
            item["namespace"] = random.choice(NAMESPACES)
    elif kind < 0.4:
        item = {"user": random.choice(sorted(USERS))}
    elif kind < 0.5:
        item = {"identity": random.choice(IDENTITIES)}
    elif kind < 0.65:
        item = {"namespace": namespace or random.choice(NAMESPACES)}
    if not item or random.random() < 0.25:
        item["cidr"] = random.choice(SOURCE_CIDRS)
    return item


def draw_question(random: Random) -> Question:
    """A source with up to four identities, a name, a name with an address, or an address; often what shows inside."""
    source: dict[str, Any] = {}
    kind = random.random()
    if kind < 0.45:
        source = {"namespace": random.choice(NAMESPACES), "account": random.choice((*ACCOUNTS, ""))}
    elif kind < 0.65:
        source = {"user": random.choice(sorted(USERS))}
    elif kind < 0.75:
        identity = random.choice(IDENTITIES)
        source = {"identity": identity}
        if random.random() < 0.7:
            source |= {"namespace": identity.split("/")[4], "account": identity.split("/")[6]}
        if random.random() < 0.4:
            source["user"] = random.choice(sorted(USERS))
    if random.random() < 0.8:
        source["source"] = random.choice(SOURCES)
    if random.random() < 0.05 and "user" not in source:
        source["token"] = f"{random.choice(NAMESPACES)}/{random.choice((*ACCOUNTS, ''))}"
    if random.random() < 0.05:
        source["forwarded"] = random.choice(IDENTITIES)
    target = random.random()
    address = random.choice(PUBLIC if random.random() < 0.75 else PRIVATE * 2 + REFUSED)
    host = address if target < 0.42 else random.choice(NAMES)
    return Question(
        host=host,
        port=random.choice(PORTS),
        address=address if target > 0.65 else "",
        audit=random.random() < 0.15,
        inner=random.choice(INNERS) if random.random() < 0.2 else "enforce",
        **draw_inside(random, 0.85 if host == address else 0.22),
        **source,
    )


def draw_inside(random: Random, share: float) -> dict[str, Any]:
    """Bytes inside: a name, something without one, or nothing yet."""
    if random.random() >= share:
        return {}
    if random.random() < 0.78:
        return {"sni": random.choice(NAMES), "ech": random.random() < 0.35}
    return {"shows": random.choice(SHOWS)}
