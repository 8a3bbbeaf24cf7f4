"""Reads sluice.yaml key by key: types, bounds, defaults, and what this version refuses. The values are config.py's."""

import ipaddress
import os
from functools import partial
from typing import Final, Literal, get_args

from supervisor.config import values
from supervisor.config.config import (
    LEVELS,
    Addresses,
    Admin,
    Auth,
    Config,
    Dns,
    Identity,
    Inner,
    Limits,
    Listener,
    Logs,
    Network,
    Policy,
    Pools,
    SourceLimits,
)
from supervisor.config.credentials import read_credentials
from supervisor.config.destinations import check_own_destinations, read_destination
from supervisor.config.later import names_in, take_out, take_unread
from supervisor.config.meshes import GATEWAY, LINKERD, read_gateway, read_linkerd
from supervisor.config.speakers import read_proxy_peers, read_trusted
from supervisor.config.tenants import Budget, Grant, Grantable, read_budget, read_grants
from supervisor.config.tls import ListenerTls, check_hbone, read_listener_tls
from supervisor.config.tokens import read_tokens
from supervisor.config.tracing import TRACING, read_tracing
from supervisor.config.trust import read_trust
from supervisor.config.upstreams import Upstream, read_upstreams
from supervisor.host import machine
from supervisor.host.endpoint import LONGEST_ENDPOINT, SUFFIXES
from supervisor.source.host_port import dns_server, endpoint, join, overlap
from supervisor.source.node import Fields, Node, attempt
from supervisor.source.problems import Invalid, Place, Problems, quote
from supervisor.source.words import entry_name, file_path, namespace_name, object_name
from supervisor.source.yaml_source import load_documents, only

MOST_LISTENERS: Final = 64
TOP: Final = (
    *("listeners", "workers", "gateway", "linkerd", "policy", "identity", "addresses", "upstreams", "dns", "limits"),
    *("admin", "grants", "metrics", "control", "logs", "shutdown", "pools", "via", "tracing", "credentials"),
)
LISTENER: Final = (
    *("name", "address", "protocol", "destination", "auth", "innerName", "audit", "requests", "diagnostics", "tls"),
)
LIMITS: Final = (
    *("tunnels", "tunnelsPerSource", "streamsPerConnection", "handshakes"),
    *("requestTimeout", "dialTimeout", "idleTimeout", "halfCloseTimeout", "keepAlive", "perSource"),
)
PER_SOURCE: Final = ("requests", "lookups", "dials", "provisional", "loginFailures")
DEFAULTS: Final = Config(path="", control="")
AUTHS: Final[tuple[Auth, ...]] = get_args(Auth)
INNERS: Final[tuple[Inner, ...]] = get_args(Inner)


def load_config(path: str) -> Config:
    """Reads sluice.yaml. Raises Problems (with at least one error) when it cannot be used."""
    path = os.path.abspath(path)
    problems = Problems()
    try:
        config = _Reader(path, problems).config(_document(path, problems))
    except Invalid as wrong:
        problems.add(wrong.problem)
    problems.check()
    return config


def load_defaults(path: str) -> Config:
    """Every default, as if there were an empty file at the path."""
    return _Reader(path, Problems()).config(Node(path, 1, 1, {}))


def read_control(path: str) -> str:
    """The control endpoint that a file names itself, where its other keys are wrong; "" where it does not say.

    Raises nothing: what is wrong is load_config's to say. A default never stands in: in a file that is wrong, the key
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
        upstreams = self.upstreams(top, listeners)
        credentials = read_credentials(top, self.folder, self.problems)
        known = Grantable(tuple(one.name for one in upstreams), tuple(one.name for one in credentials))
        none: tuple[Grant, ...] = ()
        admin, metrics = self.admin(top), self.metrics(top)
        self.apart(top, listeners, admin, metrics)
        return Config(
            path=self.path,
            control=self.control(top),
            listeners=listeners,
            workers=top.read("workers", values.worker_count, 0) or machine.cpus(),
            gateway=read_gateway(self.section(top, "gateway", *GATEWAY)),
            linkerd=read_linkerd(self.section(top, "linkerd", *LINKERD)),
            policy=self.policy(top),
            identity=identity,
            addresses=self.addresses(top),
            upstreams=upstreams,
            grants=top.read("grants", lambda n: read_grants(n, known, self.problems), none),
            credentials=credentials,
            dns=self.dns(top),
            pools=self.pools(top),
            via=top.read("via", lambda n: n.choice("on", "off"), "on") == "on",
            tracing=read_tracing(self.section(top, "tracing", *TRACING), self.problems),
            limits=self.limits(top),
            admin=admin,
            metrics=metrics,
            logs=self.logs(top),
            drain=self.section(top, "shutdown", "drain").read("drain", partial(Node.duration, low=0.0), DEFAULTS.drain),
            warnings=tuple(self.problems.warnings),
        )

    def file(self, node: Node) -> str:
        """A path, resolved against the folder of this file."""
        return file_path(node, self.folder)

    # listeners

    def listeners(self, top: Fields, identity: Identity) -> tuple[Listener, ...]:
        default: Auth = "optional" if identity.users or identity.tokens else "off"
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
        listeners = tuple(listener for _, listener in found)
        check_own_destinations(listeners, {listener.name: item for item, listener in found}, self.problems)
        return listeners

    def listener(self, node: Node, index: int, default: Auth, identity: Identity) -> Listener:
        fields = self.fields(node, *LISTENER, *names_in("listeners[]"))
        (usual,) = DEFAULTS.listeners
        host, port = fields.read("address", endpoint, (usual.host, usual.port))
        protocol = fields.read("protocol", values.listener_protocol, usual.protocol)
        trust = identity.trust
        nothing: ListenerTls | None = None
        tls = fields.read(
            "tls",
            lambda n: read_listener_tls(n, self.folder, bool(trust.domains), protocol == "hbone", self.problems),
            nothing,
        )
        if protocol == "hbone":
            default = "required"
            check_hbone(fields, tls, bool(trust.domains), self.problems)
        destination = read_destination(fields, protocol, self.problems)
        if destination is not None:
            default = "off"
        certified = tls is not None and tls.client_certificate != "off" and trust.gives_identities
        auth = fields.read("auth", lambda n: n.choice(*AUTHS), default)
        self.not_blank(fields, "auth", "write off, optional or required")
        if (where := fields.get("auth")) and not identity.users and not identity.tokens:
            if auth == "required" and not certified and destination is None:
                hint = "set identity.users or identity.tokens"
                self.problems.error(where.place, "auth is required, and there are no users and no tokens", hint)
            elif auth == "optional" and destination is None:
                words = "there are no users and no tokens: credentials that are sent will be refused"
                self.problems.warning(where.place, words)
        return Listener(
            name=fields.read("name", entry_name, f"listener-{index + 1}"),
            host=host,
            port=port,
            protocol=protocol,
            auth=auth,
            inner_name=fields.read("innerName", lambda n: n.choice(*INNERS), usual.inner_name),
            audit=fields.read("audit", Node.boolean, usual.audit),
            requests=fields.read("requests", Node.boolean, usual.requests),
            diagnostics=fields.read("diagnostics", Node.boolean, usual.diagnostics),
            tls=tls,
            destination=destination,
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
        fields = self.section(
            top,
            "identity",
            *("networks", "users", "trustDomains", "subject", "maxAge", "proxyProtocolFrom"),
            *("tokens", "insecureTokens", "trusted"),
        )
        seen: dict[str, Node] = {}
        trust = read_trust(fields, self.folder, self.problems)
        return Identity(
            networks=tuple(fields.each("networks", lambda node: self.network(node, seen))),
            users=fields.read("users", self.file, None),
            users_place=node.place if (node := fields.get("users")) else Place(self.path),
            trust=trust,
            proxy_protocol_from=read_proxy_peers(fields, trust, self.problems),
            trusted=read_trusted(fields, trust, self.problems),
            max_age=fields.read("maxAge", partial(Node.duration, low=1.0), DEFAULTS.identity.max_age),
            tokens=read_tokens(fields, self.folder, self.problems),
            insecure_tokens=fields.read("insecureTokens", Node.boolean, DEFAULTS.identity.insecure_tokens),
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

    def policy(self, top: Fields) -> Policy:
        fields = self.section(top, "policy", "paths", "passthrough", "audit", "auditNamespaces", "perNamespace")
        paths: dict[str, Place] = {}
        for path, place in fields.each("paths", lambda node: (self.file(node), node.place)):
            paths.setdefault(path, place)
        said: bool | Literal["mesh"] = DEFAULTS.policy.passthrough
        said = fields.read("passthrough", values.passthrough, said)
        return Policy(
            paths=tuple(paths),
            places=tuple(paths.values()),
            passthrough=said is True,
            follows_mesh=said == "mesh",
            audit=fields.read("audit", Node.boolean, DEFAULTS.policy.audit),
            per_namespace=fields.read("perNamespace", lambda n: read_budget(n, self.problems), Budget()),
            audit_namespaces=tuple(dict.fromkeys(fields.each("auditNamespaces", namespace_name))),
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
        return Addresses(allow=tuple(allow), deny=tuple(deny), nat64=tuple(fields.each("nat64", values.nat64_prefix)))

    def dns(self, top: Fields) -> Dns:
        fields = self.section(top, "dns", "servers", "timeout", "minTTL", "maxTTL", "negativeTTL", "cacheEntries")
        day = partial(Node.duration, low=0.0, high=86400.0)
        dns = Dns(
            servers=fields.read("servers", self.servers, DEFAULTS.dns.servers),
            timeout=fields.read("timeout", partial(Node.duration, high=60.0), DEFAULTS.dns.timeout),
            min_ttl=fields.read("minTTL", day, DEFAULTS.dns.min_ttl),
            max_ttl=fields.read("maxTTL", day, DEFAULTS.dns.max_ttl),
            negative_ttl=fields.read("negativeTTL", day, DEFAULTS.dns.negative_ttl),
            cache_entries=fields.read("cacheEntries", lambda n: n.integer(0, 10_000_000), DEFAULTS.dns.cache_entries),
        )
        if dns.min_ttl > dns.max_ttl:
            node = fields.get("minTTL") or fields.get("maxTTL") or fields.node
            words = f"dns.minTTL ({dns.min_ttl:g}s) is longer than dns.maxTTL ({dns.max_ttl:g}s)"
            self.problems.error(node.place, words)
        return dns

    def pools(self, top: Fields) -> Pools:
        fields, usual = self.section(top, "pools", "perDestination", "pending", "idle", "maxAge"), DEFAULTS.pools
        time = partial(Node.duration, low=0.1, high=86400.0)
        return Pools(
            per_destination=fields.read("perDestination", lambda n: n.integer(1, 100_000), usual.per_destination),
            pending=fields.read("pending", lambda n: n.integer(0, 1_000_000), usual.pending),
            idle=fields.read("idle", time, usual.idle),
            max_age=fields.read("maxAge", time, usual.max_age),
        )

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
        usual = DEFAULTS.limits
        return Limits(
            tunnels=fields.read("tunnels", lambda n: n.integer(1, 10_000_000), usual.tunnels),
            tunnels_set=fields.get("tunnels") is not None,
            tunnels_per_source=fields.read(
                "tunnelsPerSource", lambda n: n.integer(1, 10_000_000), usual.tunnels_per_source
            ),
            streams_per_connection=fields.read(
                "streamsPerConnection", lambda n: n.integer(1, 1_000_000), usual.streams_per_connection
            ),
            handshakes=fields.read("handshakes", count, usual.handshakes),
            request_timeout=fields.read("requestTimeout", Node.duration, usual.request_timeout),
            dial_timeout=fields.read("dialTimeout", Node.duration, usual.dial_timeout),
            idle_timeout=fields.read("idleTimeout", Node.duration, usual.idle_timeout),
            half_close_timeout=fields.read("halfCloseTimeout", Node.duration, usual.half_close_timeout),
            keep_alive=fields.read("keepAlive", lambda n: n.duration(1.0, 7200.0), usual.keep_alive),
            login_failures=source.read("loginFailures", lambda n: n.rate(1_000_000), usual.login_failures),
            per_source=SourceLimits(
                requests=source.read("requests", count, usual.per_source.requests),
                lookups=source.read("lookups", count, usual.per_source.lookups),
                dials=source.read("dials", count, usual.per_source.dials),
                provisional=source.read("provisional", count, usual.per_source.provisional),
            ),
        )

    def admin(self, top: Fields) -> Admin:
        fields = self.section(top, "admin", "address", "token")
        host, port = fields.read("address", endpoint, (DEFAULTS.admin.host, DEFAULTS.admin.port))
        token = fields.read("token", values.token, None)
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
        fields = self.section(top, "logs", "level", "access", "interval", "query")
        return Logs(
            level=fields.read("level", lambda n: n.choice(*LEVELS), DEFAULTS.logs.level),
            access=fields.read("access", self.access, DEFAULTS.logs.access),
            interval=fields.read("interval", partial(Node.duration, low=0.0), DEFAULTS.logs.interval),
            query=fields.read("query", lambda n: n.choice("redact", "keep"), DEFAULTS.logs.query),
        )

    def access(self, node: Node) -> str:
        if node.plain and node.value in ("false", "False", "no"):
            raise node.unexpected("stdout, stderr, off or a path", "write off")
        return node.text() if node.value in ("stdout", "stderr", "off") else self.file(node)
