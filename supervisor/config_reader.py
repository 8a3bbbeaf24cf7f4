"""Reads sluice.yaml key by key: types, bounds, defaults, and what this version refuses. The values are config.py's."""

import ipaddress
import os
import re
from functools import partial
from typing import Final

from supervisor import machine
from supervisor.config import (
    Addresses,
    Admin,
    Auth,
    Config,
    Dns,
    Gateway,
    Identity,
    Inner,
    Level,
    Limits,
    Listener,
    Logs,
    Network,
    Policy,
    Protocol,
    SourceLimits,
)
from supervisor.config_later import LATER_PROTOCOLS, names_in, take_out, take_unread
from supervisor.endpoint import LONGEST_ENDPOINT, SUFFIXES
from supervisor.host_port import dns_server, endpoint, join, overlap
from supervisor.node import Fields, Node, attempt
from supervisor.problems import Invalid, Place, Problems, quote
from supervisor.upstreams import Upstream, read_upstreams
from supervisor.words import namespace_name, object_name
from supervisor.yaml_source import load_documents, only

MOST_WORKERS: Final = 256
MOST_LISTENERS: Final = 64
TOP: Final = (
    *("listeners", "workers", "gateway", "policy", "identity", "addresses", "upstreams", "dns", "limits"),
    *("admin", "metrics", "control", "logs", "shutdown"),
)
LISTENER: Final = ("name", "address", "protocol", "auth", "innerName", "audit", "diagnostics")
LIMITS: Final = (
    *("tunnels", "tunnelsPerSource", "streamsPerConnection"),
    *("requestTimeout", "dialTimeout", "idleTimeout", "halfCloseTimeout", "keepAlive", "perSource"),
)
PER_SOURCE: Final = ("requests", "lookups", "dials", "provisional", "loginFailures")
AUTHS: Final[tuple[Auth, ...]] = ("off", "optional", "required")
PROTOCOLS: Final[tuple[Protocol, ...]] = ("auto", "socks5", "http", "http2tunnel")
INNERS: Final[tuple[Inner, ...]] = ("enforce", "audit", "off")
LEVELS: Final[tuple[Level, ...]] = ("debug", "info", "warning", "error")
# No translator stands behind these: the guard refuses them for what they are, or they carry IPv4 in a way of their own.
NEVER_TRANSLATED: Final = tuple(
    ipaddress.ip_network(text)
    for text in ("::/96", "::ffff:0:0/96", "2001::/32", "2002::/16", "fe80::/10", "ff00::/8", "fd00:ec2::254/128")
)


def read_config(path: str) -> Config:
    """The configuration at an absolute path. Raises Problems."""
    problems = Problems()
    try:
        config = _Reader(path, problems).config(_document(path, problems))
    except Invalid as wrong:
        problems.add(wrong.problem)
    problems.check()
    return config


def read_control(path: str) -> str:
    """The control endpoint that a file names itself, where its other keys are wrong; "" where it does not say.

    Raises nothing: what is wrong is read_config's to say. A default never stands in: in a file that is wrong, the key
    may be there under a name that is misspelt.
    """
    problems = Problems()
    try:
        reader = _Reader(path, problems)
        found = _document(path, problems).mapping().get("control")
        if found is None or problems.errors:
            return ""
        fields = reader.fields(found[1], "endpoint")
        endpoint = fields.read("endpoint", reader.control_endpoint, "")
    except Invalid:
        return ""
    return "" if problems.errors else endpoint


def _document(path: str, problems: Problems) -> Node:
    """Every key is optional, so an empty file is a configuration; it is worth a word all the same."""
    documents = load_documents(path, problems)
    if not all(document.is_null for document in documents):
        return only(documents)
    problems.warning(Place(path), "the file is empty: every default applies")
    return Node(path, 1, 1, {})


class _Reader:
    """Reads one document; relative paths resolve against its folder."""

    def __init__(self, path: str, problems: Problems) -> None:
        self.path = path
        self.folder = os.path.dirname(path)
        self.problems = problems

    def fields(self, node: Node, *known: str) -> Fields:
        return node.fields(known, self.problems, null_is_absent=True)

    def section(self, top: Fields, name: str, *known: str) -> Fields:
        """A section's fields; an absent or wrong section reads as an empty one."""
        empty = Node(self.path, 0, 0, {})
        node = top.get(name) or empty
        take_unread(node, name, known, self.problems)
        known = (*known, *names_in(name))
        return attempt(node, lambda here: self.fields(here, *known), self.problems, self.fields(empty, *known))

    def not_blank(self, fields: Fields, name: str, hint: str) -> None:
        """Refuses a key that closes something where its value was left out: the default would open it unseen."""
        if node := fields.blank(name):
            self.problems.error(node.place, f"{name}: expected a value, found nothing", hint)

    def config(self, node: Node) -> Config:
        take_out(node, self.problems)
        top = self.fields(node, *TOP, *names_in(""))
        identity = self.identity(top)
        listeners = self.listeners(top, identity)
        admin, metrics = self.admin(top), self.metrics(top)
        self.apart(top, listeners, admin, metrics)
        return Config(
            path=self.path,
            control=self.control(top),
            listeners=listeners,
            workers=top.read("workers", _workers, 0) or machine.cpus(),
            gateway=self.gateway(top),
            policy=self.policy(top),
            identity=identity,
            addresses=self.addresses(top),
            upstreams=self.upstreams(top, listeners),
            dns=self.dns(top),
            limits=self.limits(top),
            admin=admin,
            metrics=metrics,
            logs=self.logs(top),
            drain=self.section(top, "shutdown", "drain").read("drain", partial(Node.duration, low=0.0), 30.0),
            warnings=tuple(self.problems.warnings),
        )

    def file(self, node: Node) -> str:
        """A path, resolved against the folder of this file."""
        text = node.text()
        if not text or "\0" in text:
            raise node.unexpected("a path")
        return os.path.abspath(os.path.join(self.folder, text))

    # listeners

    def listeners(self, top: Fields, identity: Identity) -> tuple[Listener, ...]:
        default: Auth = "optional" if identity.users else "off"
        node = top.get("listeners")
        if node is None:
            return (Listener(auth=default),)
        nodes: list[Node] = []
        nodes = attempt(node, Node.filled, self.problems, nodes)
        if len(nodes) > MOST_LISTENERS:
            self.problems.error(node.place, f"more than {MOST_LISTENERS} listeners")
            return (Listener(auth=default),)
        found: list[tuple[Node, Listener]] = []
        for index, item in enumerate(nodes):
            try:
                before = len(self.problems.errors)
                listener = self.listener(item, index, default, identity)
                if len(self.problems.errors) == before:  # else defaults stand where something is wrong
                    self.unique(item, listener, found)
                    found.append((item, listener))
            except Invalid as wrong:
                self.problems.add(wrong.problem)
        return tuple(listener for _, listener in found)

    def listener(self, node: Node, index: int, default: Auth, identity: Identity) -> Listener:
        fields = self.fields(node, *LISTENER, *names_in("listeners[]"))
        host, port = fields.read("address", endpoint, ("127.0.0.1", 1080))
        auth = fields.read("auth", lambda n: n.choice(*AUTHS), default)
        self.not_blank(fields, "auth", "write off, optional or required")
        if (where := fields.get("auth")) and not identity.users:
            if auth == "required":
                self.problems.error(where.place, "auth is required, and there are no users", "set identity.users")
            elif auth == "optional":
                self.problems.warning(where.place, "there are no users: credentials that are sent will be refused")
        return Listener(
            name=fields.read("name", _listener_name, f"listener-{index + 1}"),
            host=host,
            port=port,
            protocol=fields.read("protocol", _protocol, "auto"),
            auth=auth,
            inner_name=fields.read("innerName", lambda n: n.choice(*INNERS), "enforce"),
            audit=fields.read("audit", Node.boolean, False),
            diagnostics=fields.read("diagnostics", Node.boolean, False),
        )

    def unique(self, node: Node, listener: Listener, others: list[tuple[Node, Listener]]) -> None:
        """Two listeners share neither a name nor, wildcards included, an address."""
        for place, other in others:
            if other.name == listener.name:
                where = f"it is first used in line {place.line}"
                raise node.invalid(f"duplicate listener name {quote(listener.name)}", where)
            if overlap((listener.host, listener.port), (other.host, other.port)):
                raise node.invalid(
                    f"duplicate listener address: {listener.address} and {other.address} overlap",
                    f"listener {quote(other.name)} in line {place.line} has it",
                )

    # who asks

    def identity(self, top: Fields) -> Identity:
        fields = self.section(top, "identity", "networks", "users")
        seen: dict[str, Node] = {}
        return Identity(
            networks=tuple(fields.each("networks", lambda node: self.network(node, seen))),
            users=fields.read("users", self.file, None),
            users_place=node.place if (node := fields.get("users")) else Place(self.path),
        )

    def network(self, node: Node, seen: dict[str, Node]) -> Network:
        fields = self.fields(node, "cidr", "namespace", "serviceAccount")
        network = Network(
            cidr=fields.need("cidr", Node.cidr, ""),
            namespace=fields.need("namespace", namespace_name, ""),
            service_account=fields.read("serviceAccount", object_name, ""),
        )
        if network.cidr in seen:
            where = f"it is first mapped in line {seen[network.cidr].line}"
            raise node.invalid(f"duplicate network {network.cidr}", where)
        if network.cidr:
            seen[network.cidr] = node
        return network

    def upstreams(self, top: Fields, listeners: tuple[Listener, ...]) -> tuple[Upstream, ...]:
        """None of them is this gateway itself: what it sends there would come back."""
        found = read_upstreams(top, self.folder, self.problems)
        for upstream in found:
            for address in upstream.addresses:
                for listener in listeners:
                    if overlap(address, (listener.host, listener.port)):
                        words = f"the upstream {quote(upstream.name)} leads to this gateway itself"
                        self.problems.error(upstream.place, words, f"listener {quote(listener.name)} has that address")
        return found

    # where to

    def gateway(self, top: Fields) -> Gateway:
        fields = self.section(top, "gateway", "name", "namespace", "serviceAddresses", "podNetworks", "denyMessage")
        return Gateway(
            name=fields.read("name", object_name, "sluice"),
            namespace=fields.read("namespace", namespace_name, "egress"),
            service_addresses=tuple(fields.each("serviceAddresses", Node.address)),
            deny_message=fields.read("denyMessage", _deny_message, None),
            pod_networks=tuple(fields.each("podNetworks", Node.cidr)),
        )

    def policy(self, top: Fields) -> Policy:
        fields = self.section(top, "policy", "paths", "passthrough", "audit")
        paths: dict[str, Place] = {}
        for path, place in fields.each("paths", lambda node: (self.file(node), node.place)):
            paths.setdefault(path, place)
        return Policy(
            paths=tuple(paths),
            places=tuple(paths.values()),
            passthrough=fields.read("passthrough", _passthrough, False),
            audit=fields.read("audit", Node.boolean, False),
        )

    def addresses(self, top: Fields) -> Addresses:
        fields = self.section(top, "addresses", "allow", "deny", "nat64")
        allow = fields.each("allow", Node.cidr)
        deny = fields.each("deny", Node.cidr)
        self.not_blank(fields, "deny", "write deny: [] when no address is meant")
        node = fields.get("allow")
        for cidr in sorted(set(allow) & set(deny)):
            if node:
                self.problems.warning(node.place, f"{cidr} stands in addresses.allow and addresses.deny: deny wins")
        return Addresses(allow=tuple(allow), deny=tuple(deny), nat64=tuple(fields.each("nat64", _nat64)))

    def dns(self, top: Fields) -> Dns:
        fields = self.section(top, "dns", "servers", "timeout", "minTTL", "maxTTL", "negativeTTL", "cacheEntries")
        day = partial(Node.duration, low=0.0, high=86400.0)
        dns = Dns(
            servers=fields.read("servers", self.servers, ()),
            timeout=fields.read("timeout", partial(Node.duration, high=60.0), 2.0),
            min_ttl=fields.read("minTTL", day, 1.0),
            max_ttl=fields.read("maxTTL", day, 300.0),
            negative_ttl=fields.read("negativeTTL", day, 5.0),
            cache_entries=fields.read("cacheEntries", lambda n: n.integer(0, 10_000_000), 10_000),
        )
        if dns.min_ttl > dns.max_ttl:
            node = fields.get("minTTL") or fields.get("maxTTL") or fields.node
            words = f"dns.minTTL ({dns.min_ttl:g}s) is longer than dns.maxTTL ({dns.max_ttl:g}s)"
            self.problems.error(node.place, words)
        return dns

    def servers(self, node: Node) -> tuple[str, ...]:
        if node.value == "system":
            return ()
        if isinstance(node.value, str):
            raise node.unexpected("`system` or a list of servers")
        return tuple(dns_server(item) for item in node.filled())

    # how much, and the rest

    def limits(self, top: Fields) -> Limits:
        fields = self.section(top, "limits", *LIMITS)
        source = self.section(fields, "perSource", *PER_SOURCE)
        count = partial(Node.integer, low=1, high=1_000_000)
        return Limits(
            tunnels=fields.read("tunnels", lambda n: n.integer(1, 10_000_000), 100_000),
            tunnels_set=fields.get("tunnels") is not None,
            tunnels_per_source=fields.read("tunnelsPerSource", lambda n: n.integer(1, 10_000_000), 10_000),
            streams_per_connection=fields.read("streamsPerConnection", lambda n: n.integer(1, 1_000_000), 1000),
            request_timeout=fields.read("requestTimeout", Node.duration, 10.0),
            dial_timeout=fields.read("dialTimeout", Node.duration, 5.0),
            idle_timeout=fields.read("idleTimeout", Node.duration, 3600.0),
            half_close_timeout=fields.read("halfCloseTimeout", Node.duration, 300.0),
            keep_alive=fields.read("keepAlive", lambda n: n.duration(1.0, 7200.0), 60.0),
            login_failures=source.read("loginFailures", lambda n: n.rate(1_000_000), (10, 1.0)),
            per_source=SourceLimits(
                requests=source.read("requests", count, 1000),
                lookups=source.read("lookups", count, 200),
                dials=source.read("dials", count, 500),
                provisional=source.read("provisional", count, 100),
            ),
        )

    def admin(self, top: Fields) -> Admin:
        fields = self.section(top, "admin", "address", "token")
        host, port = fields.read("address", endpoint, ("127.0.0.1", 9901))
        token = fields.read("token", _token, None)
        node = fields.get("address") or fields.get("token")
        if node and not ipaddress.ip_address(host).is_loopback and not fields.get("token"):
            words = f"admin.address {host} is not loopback, and there is no token"
            self.problems.error(node.place, words, "set admin.token")
        return Admin(host=host, port=port, token=token)

    def metrics(self, top: Fields) -> tuple[str, int] | None:
        fields = self.section(top, "metrics", "address")
        return fields.read("address", endpoint, None)

    def apart(
        self, top: Fields, listeners: tuple[Listener, ...], admin: Admin, metrics: tuple[str, int] | None
    ) -> None:
        """The HTTP endpoints have addresses of their own."""
        taken = [(f"listener {quote(listener.name)}", (listener.host, listener.port)) for listener in listeners]
        endpoints = [("admin", (admin.host, admin.port)), *([("metrics", metrics)] if metrics else [])]
        for key, address in endpoints:
            node = top.get(key) or top.node
            for owner, other in taken:
                if overlap(address, other):
                    self.problems.error(node.place, f"{key}.address {join(*address)} overlaps with {owner}")
            taken.append((f"{key}.address", address))

    def control(self, top: Fields) -> str:
        fields = self.section(top, "control", "endpoint")
        node = fields.get("endpoint")
        text = fields.read("endpoint", self.control_endpoint, "") or machine.control_endpoint()
        if len(os.fsencode(text)) > LONGEST_ENDPOINT:
            place = node.place if node else Place(self.path)
            self.problems.error(
                place,
                f"the control endpoint {quote(text)} is longer than {LONGEST_ENDPOINT} bytes",
                "" if node else "set control.endpoint to a shorter path",
            )
        return text

    def control_endpoint(self, node: Node) -> str:
        scheme, separator, rest = node.text().partition("://")
        if scheme == "tcp" and separator:
            host, port = endpoint(Node(node.file, node.line, node.column, rest, node.plain))
            if port == 65535:
                raise node.invalid("the port after it is for statistics: 65535 has none")
            return f"tcp://{join(host, port)}"
        if scheme != "ipc" or not rest or rest.startswith("@") or "\0" in rest:
            raise node.unexpected("an endpoint such as ipc:///run/sluice/control or tcp://127.0.0.1:9902")
        if rest.endswith(SUFFIXES):
            raise node.unexpected(f"a file name that does not end in {', '.join(SUFFIXES)}: the gateway adds these")
        return "ipc://" + os.path.abspath(os.path.join(self.folder, rest))

    def logs(self, top: Fields) -> Logs:
        fields = self.section(top, "logs", "level", "access", "interval")
        return Logs(
            level=fields.read("level", lambda n: n.choice(*LEVELS), "info"),
            access=fields.read("access", self.access, "stdout"),
            interval=fields.read("interval", partial(Node.duration, low=0.0), 60.0),
        )

    def access(self, node: Node) -> str:
        if node.plain and node.value in ("false", "False", "no"):
            raise node.unexpected("stdout, stderr, off or a path", "write off")
        return node.text() if node.value in ("stdout", "stderr", "off") else self.file(node)


def _workers(node: Node) -> int:
    """0 stands for `auto`."""
    if node.value == "auto":
        return 0
    if node.plain and isinstance(node.value, str) and not node.value.isdecimal():
        raise node.unexpected(f"`auto` or a number from 1 to {MOST_WORKERS}")
    return node.integer(1, MOST_WORKERS)


def _passthrough(node: Node) -> bool:
    if node.value == "mesh":
        raise node.invalid("`mesh` is not built yet: FSM's MeshConfig is not read", "write true or false")
    return node.boolean()


def _protocol(node: Node) -> Protocol:
    if node.value in LATER_PROTOCOLS:
        built = "auto, socks5, http and http2tunnel are"
        raise node.invalid(f"protocol {quote(str(node.value))} is not built yet", built)
    return "socks5" if node.value == "sock5" else node.choice(*PROTOCOLS)


def _nat64(node: Node) -> str:
    """A prefix that can hold IPv4 addresses (RFC 6052 section 2.2)."""
    text = node.cidr()
    network = ipaddress.ip_network(text)
    lengths = "32, 40, 48, 56, 64 or 96"
    if network.version != 6 or network.prefixlen not in (32, 40, 48, 56, 64, 96):
        raise node.unexpected(f"an IPv6 prefix of {lengths} bits", "such as 64:ff9b:1::/96")
    if network.network_address.packed[8]:
        raise node.invalid(f"bits 64 to 71 of {text} are not zero", "RFC 6052 section 2.2 keeps them zero")
    block = next((block for block in NEVER_TRANSLATED if network.overlaps(block)), None)
    if block is not None:
        raise node.invalid(f"{text} overlaps with {block}, which leads to no translator")
    return text


def _listener_name(node: Node) -> str:
    text = node.string()
    if not re.fullmatch(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", text):
        raise node.unexpected("a name of at most 63 letters, digits, '.', '_' and '-'")
    return text


def _deny_message(node: Node) -> str:
    """It goes into answers of every protocol that has a body, so it is what all of them can carry."""
    text = node.text()
    if not re.fullmatch(r"[\x20-\x7e]{1,300}", text):
        raise node.unexpected("one line of 1 to 300 printable ASCII characters")
    return text


def _token(node: Node) -> str:
    """Never quoted in a message."""
    if not isinstance(node.value, str) or node.is_null or not re.fullmatch(r"[\x21-\x7e]{16,1024}", node.value):
        raise node.invalid("expected a token of 16 to 1024 printable ASCII characters without blanks")
    return node.value
