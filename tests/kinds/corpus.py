"""Documents of our own kinds, drawn: most are sound, or one step away from it. Each is named by what was done to it."""

import copy
import random
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

Document = dict[str, Any]
KINDS: Final = ("EgressPolicy", "ClusterEgressPolicy")
HOSTS: Final = (
    "api.example.com", "API.Example.Com", "a.test.", "*.example.com", "*", "x_y.test", "-a.b-", "xn--bcher-kva.de",
    "bücher.de", "*.bücher.de", "a" * 63 + ".test", ".".join(["a" * 49] * 5) + ".ab", "*." + ".".join(["a" * 49] * 5),
)  # fmt: skip
BAD_HOSTS: Final = (
    "", ".", "a..b", "a..", "*.", "*a.test", "a.*.test", "a b", "http://a.test", "a.test:443", "10.0.0.1", "::1",
    "[::1]", "a/b", ".a.test", "1", "a.5", "a.0x1f", "0x", "*.7", "a" * 64 + ".test", ".".join(["a" * 50] * 5) + ".ab",
    "a\tb",
)  # fmt: skip
NETWORKS: Final = ("10.0.0.0/8", "203.0.113.7/32", "0.0.0.0/0", "2001:db8::/32", "2001:DB8::1/128", "::/0")
BAD_NETWORKS: Final = (
    "10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/08", "10.0.0.0/255.0.0.0", "a.test", "2001:db8::1/32", "", "/8",
    "10.0.0/8", "010.0.0.0/8", "fe80::%eth0/64", "2001:db8::/129", "10.0.0.0/ 8",
)  # fmt: skip
PORTS: Final = (443, 1, 65535, "8000-8100", "1-65535", "22-22")
BAD_PORTS: Final[tuple[Any, ...]] = (
    0,
    65536,
    -1,
    1.5,
    True,
    "443",
    "0-1",
    "8100-8000",
    "1-65536",
    "01-2",
    "a",
    "1-",
    "-2",
    None,
    [443],
    {},
)
LABELS: Final = ("shop", "a", "0", "a-b", "x" * 63)
BAD_LABELS: Final = ("", "Shop", "-a", "a-", "a.b", "x" * 64, "a b", "ä")
NAMES: Final = ("cart", "a.b-c", "0", "x" * 253)
BAD_NAMES: Final = ("", "Cart", "a..b", ".a", "a.", "x" * 254, "a_b", "a/b")
IDENTITIES: Final = ("spiffe://a", "spiffe://cluster.local/ns/shop/sa/cart", "spiffe://a/...", "spiffe://a/.b/c..")
BAD_IDENTITIES: Final = (
    "",
    "spiffe://",
    "spiffe://A/b",
    "spiffe://a/",
    "spiffe://a/./b",
    "spiffe://a/..",
    "http://a/b",
    "spiffe://a//b",
)
USERS: Final = ("build-bot", "a@b", "x" * 255, "~!/")
BAD_USERS: Final = ("", "a b", "a:b", "ä", "x" * 256)
ADDRESSES: Final = ("192.0.2.10", "2001:db8::1", "2001:DB8:0::2", "169.254.1.1", "127.0.0.1", "::1")
BAD_ADDRESSES: Final = (
    "192.0.2.0/24", "a.test", "192.0.2.010", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "fe80::1",
    "fe80::1%eth0", "::ffff:192.0.2.1", "", "1.2.3",
)  # fmt: skip
SERVERS: Final = ("proxy.example.com", "A_b.test.", "192.0.2.1", "2001:db8::1", "localhost")
BAD_SERVERS: Final = ("", "*.a.test", "a..b", "a.7", "7", "a:1", "-a.b", "a b", "x" * 64, "1.2.3.999", "http://a")
URIS: Final = (*SERVERS, "spiffe://a/b", "https://a.test:1/x?y")
BAD_URIS: Final = (*(server for server in BAD_SERVERS if "://" not in server), "://a", "A://b", "a://", "a://b c")
PROTOCOLS: Final = ("h2", "http/1.1", "x" * 255)
BAD_PROTOCOLS: Final = ("", "a b", "ä", "x" * 256)
METHODS: Final = ("GET", "POST", "M-SEARCH")
BAD_METHODS: Final = ("", "get", "GET POST", "*")
URL_PATHS: Final = ("/", "/v1", "/v1/*", "/*", "/a/b/", "/%41")
BAD_URL_PATHS: Final = ("", "v1", "*", "/v1*", "/*/a", "/a?b", "/" + "x" * 1024)
VALUES: Final = ("shop", "a b", "!")
BAD_VALUES: Final = ("", " a", "a ", "x" * 4097)
ENTRIES: Final = ("corp",)
BAD_ENTRIES: Final = ("", "corp proxy", "-a", "x" * 64)
PATHS: Final = ("list.txt",)
BAD_PATHS: Final = ("",)
WORDS: Final[dict[str, tuple[str, ...]]] = {
    "action": ("Allow", "Deny", "Audit"),
    "onRevoke": ("kill", "drain", "keep"),
    "innerName": ("enforce", "audit", "off"),
    "protocol": ("tls", "http", "ssh", "any"),
    "ech": ("allow", "deny"),
    "access": ("read-only",),
    "minVersion": ("1.2", "1.3"),
}
# Texts that a field may have, and texts that it may not, by its name; those of a list are its items'.
POOLS: Final[dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]] = {
    "host": (HOSTS, BAD_HOSTS), "cidr": (NETWORKS, BAD_NETWORKS), "hostsFrom": (PATHS, BAD_PATHS),
    "ports": (PORTS, BAD_PORTS), "namespace": (LABELS, BAD_LABELS), "serviceAccount": (NAMES, BAD_NAMES),
    "identity": (IDENTITIES, BAD_IDENTITIES), "user": (USERS, BAD_USERS), "sourceAddress": (ADDRESSES, BAD_ADDRESSES),
    "serverName": (SERVERS, BAD_SERVERS), "sans": (URIS, BAD_URIS), "alpn": (PROTOCOLS, BAD_PROTOCOLS),
    "upstream": (ENTRIES, BAD_ENTRIES), "port": ((1, 443, 65535), (0, 65536, "443", 1.5)),
    "ca": (("system", "ca.crt"), BAD_PATHS), "certificate": (("tls.crt",), BAD_PATHS), "key": (("tls.key",), BAD_PATHS),
    "except": (HOSTS, BAD_HOSTS), "hard": ((True, False), ("true", 1)), "originate": ((True, False), ("yes", 0)),
    "methods": (METHODS, BAD_METHODS), "paths": (URL_PATHS, BAD_URL_PATHS), "x-team": (VALUES, BAD_VALUES),
    **{name: (words, ("", words[0] + "x", words[0].upper())) for name, words in WORDS.items()},
}  # fmt: skip
TYPES: Final[tuple[Any, ...]] = (None, True, 7, 1.5, "text", [], {}, [None], ["text"], {"x": 1})


class Drawn(NamedTuple):
    """A document, and what was done to it: "" = nothing."""

    document: Document
    change: str


def documents(seed: int, count: int) -> Iterator[Drawn]:
    """So many documents. Those with an empty `change` are sound by themselves."""
    draw = random.Random(seed)
    for _ in range(count):
        document = sound(draw)
        yield Drawn(document, "") if draw.random() < 0.3 else changed(draw, document)


def sound(draw: random.Random) -> Document:
    kind = draw.choice(KINDS)
    home = "shop" if kind == "EgressPolicy" else ""
    spec: Document = {"action": draw.choice(WORDS["action"])}
    spec["to"] = [_destination(draw) for _ in range(draw.choice((1, 1, 2, 4)))]
    if draw.random() < 0.7:
        spec["from"] = [_source(draw, home) for _ in range(draw.choice((1, 1, 2, 3)))]
    if draw.random() < 0.3:
        spec["hard"] = spec["action"] == "Deny" and not home and draw.random() < 0.7
    for name in ("onRevoke", "innerName", "ech", "upstream"):
        if draw.random() < 0.25:
            spec[name] = draw.choice(POOLS[name][0])
    if draw.random() < 0.2:
        spec["inner"] = {"protocol": draw.choice(WORDS["protocol"])}
    if draw.random() < 0.2:
        spec["sourceAddress"] = draw.sample(ADDRESSES, draw.choice((1, 2)))
    if draw.random() < 0.4:
        spec["tls"] = _tls(draw)
    if draw.random() < 0.15:
        spec["headers"] = draw.choice(({"set": {"x-team": "shop"}}, {"remove": ["cookie"], "keep": ["Forwarded"]}))
    metadata = {"name": draw.choice(NAMES), **({"namespace": home} if home else {})}
    return {"apiVersion": "sluice.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def _source(draw: random.Random, home: str) -> Document:
    found: Document = {}
    who = draw.choice(("serviceAccount", "identity", "user", "", "cidr"))
    if who:
        found[who] = draw.choice(POOLS[who][0])
    if not who or (who == "serviceAccount" and not home) or draw.random() < 0.3:
        found["namespace"] = home or draw.choice(LABELS)
    if draw.random() < 0.3:
        found["cidr"] = draw.choice(NETWORKS)
    return found


def _destination(draw: random.Random) -> Document:
    found: Document = {}
    way = draw.choice(("host", "host", "cidr", "hostsFrom"))
    found[way] = draw.choice(POOLS[way][0])
    if draw.random() < 0.7:
        found["ports"] = draw.choice(([443], [443, "8000-8100"], [1, 65535], ["1-65535"], ["22-22", 80]))
    if draw.random() < 0.4:
        if found.get("host") in ("*.example.com", "*"):
            found["except"] = draw.sample(("evil.example.com", "*.a.example.com", "B.example.com"), draw.choice((1, 2)))
        elif found.get("cidr") in ("10.0.0.0/8", "0.0.0.0/0"):
            found["except"] = draw.sample(("10.1.0.0/16", "10.2.3.4/32"), draw.choice((1, 2)))
        elif way == "hostsFrom":
            found["except"] = ["evil.test"]
    if draw.random() < 0.3:
        found["http"] = [_requests(draw) for _ in range(draw.choice((1, 1, 2)))]
    if draw.random() < 0.1:
        found["access"] = "read-only"
    return found


def _requests(draw: random.Random) -> Document:
    found: Document = {}
    if draw.random() < 0.6:
        found["methods"] = draw.sample(METHODS, draw.choice((1, 2)))
    if draw.random() < 0.7:
        found["paths"] = draw.sample(URL_PATHS, draw.choice((1, 2)))
    if not found or draw.random() < 0.3:
        found["headers"] = {"x-team": draw.choice(VALUES)}
    return found


def _tls(draw: random.Random) -> Document:
    found: Document = {"originate": draw.random() < 0.8}
    for name in ("port", "serverName", "ca", "minVersion"):
        if draw.random() < 0.3:
            found[name] = draw.choice((None, *POOLS[name][0]))
    for name in ("sans", "alpn"):
        if draw.random() < 0.3:
            found[name] = draw.choice((None, [], draw.sample(POOLS[name][0], 2)))
    if draw.random() < 0.3:
        found |= {"certificate": "tls.crt", "key": "tls.key"}
    elif draw.random() < 0.3:
        found |= {"certificate": None}
    return found


def changed(draw: random.Random, document: Document) -> Drawn:
    """One step away from a document."""
    document = copy.deepcopy(document)
    holder, name = draw.choice(list(_places(document)))
    field = name if isinstance(name, str) else _field_of(document, holder)
    way = draw.choice(("remove", "type", "bad", "bad", "bad", "unknown", "other", "twice", "beside"))
    if way == "remove":
        del holder[name]
    elif way == "type":
        holder[name] = copy.deepcopy(draw.choice(TYPES))
    elif way == "unknown" and isinstance(holder, dict):
        holder[draw.choice(("form", "hosts", "Action", "<<", ""))] = draw.choice(TYPES)
    elif way == "twice" and isinstance(holder, list):
        holder.append(copy.deepcopy(holder[name]))
    elif way == "beside" and isinstance(holder, dict):
        known = [
            each
            for each in POOLS
            if each not in ("ports", "sans", "alpn", "except", "sourceAddress", "methods", "paths")
        ]
        other = draw.choice(known)
        holder[other] = draw.choice(POOLS[other][0])
        field = other
    elif field in POOLS:
        good, bad = POOLS[field]
        value = draw.choice(good if way == "other" else bad)
        holder[name] = [value] if isinstance(holder[name], list) else value
    else:
        holder[name] = copy.deepcopy(draw.choice(TYPES))
    return Drawn(document, f"{way} {field}")


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every field and item: its holder, and its name in it."""
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield value, name
            yield from _places(each)


def _field_of(value: Any, holder: Any) -> str:
    """The field that has this list."""
    return next((name for where, name in _places(value) if isinstance(name, str) and where[name] is holder), "")
