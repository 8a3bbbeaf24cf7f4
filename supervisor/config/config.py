"""sluice.yaml as typed, frozen values (CONTRACT.md section 1). It reads; it opens no socket and compiles no policy.

What this version does not build yet is refused where it carries a promise about security, and warned about where it is
only not there. Reading is reader.py's job; this module is what the rest of the supervisor sees.
"""

import hashlib
import os
from collections.abc import Mapping, Sequence
from typing import Final, Literal, cast, get_args

import msgspec

from gateway.contract import (
    DnsSettings,
    LimitSettings,
    ListenerSettings,
    PoolSettings,
    RateSettings,
    Settings,
    SourceLimitSettings,
    TicketSettings,
    TlsClientSettings,
    TlsSettings,
    TrustedSettings,
)
from supervisor.config.credentials import Credential
from supervisor.config.speakers import ProxyPeers, Trusted
from supervisor.config.tenants import Budget, Grant
from supervisor.config.tls import ListenerTls, ReadTls
from supervisor.config.tokens import TokenSource
from supervisor.config.tracing import Tracing
from supervisor.config.trust import Trust
from supervisor.config.upstreams import Upstream
from supervisor.source.host_port import join, split
from supervisor.source.problems import Place, Problem

Level = Literal["debug", "info", "warning", "error"]
Query = Literal["redact", "keep"]
LEVELS: Final[tuple[Level, ...]] = get_args(Level)
Protocol = Literal["auto", "socks5", "http", "http2tunnel", "hbone", "tls", "tcp"]
Auth = Literal["off", "optional", "required"]
Inner = Literal["enforce", "audit", "off"]

CLUSTER_DOMAIN: Final = "cluster.local"
DEFAULT_PATHS: Final = ("sluice.yaml", "/etc/sluice/sluice.yaml")


class Listener(msgspec.Struct, frozen=True):
    """One listening address. `host` is a canonical IP text without brackets; `::` is dual-stack."""

    name: str = "default"
    host: str = "127.0.0.1"
    port: int = 1080
    protocol: Protocol = "auto"
    auth: Auth = "off"
    inner_name: Inner = "enforce"
    audit: bool = False
    requests: bool = True  # auto and http: plain HTTP requests are routed
    diagnostics: bool = False
    tls: ListenerTls | None = None
    destination: tuple[str, int] | None = None  # of tcp; "" and the port of tls

    @property
    def address(self) -> str:
        """`127.0.0.1:1080`, `[::1]:1080`."""
        return join(self.host, self.port)

    @property
    def routes(self) -> bool:
        """Plain HTTP requests are served on it."""
        return self.requests and self.protocol in ("auto", "http")


# As the documents of both meshes call it, and as it is installed here.
SERVICES: Final = (
    *("egress/sluice", "linkerd-egress/linkerd-egress"),
    *("fsm/fsm-egress-gateway", "fsm-system/fsm-egress-gateway"),
)


class Gateway(msgspec.Struct, frozen=True):
    """This gateway as manifests name it."""

    name: str = "sluice"
    namespace: str = "egress"
    labels: tuple[tuple[str, str], ...] = ()  # those of its pods
    services: tuple[str, ...] = SERVICES  # namespace/name of the Services that are this gateway
    service_addresses: tuple[str, ...] = ()  # IP texts
    deny_message: str | None = None  # an operator's own line in every refusal's body; printable ASCII
    pod_networks: tuple[str, ...] = ()  # CIDRs in which every address is a source of its own
    cluster_networks: tuple[str, ...] = ()  # CIDRs of the mesh itself, which is not left to reach them
    cluster_domain: str = "cluster.local"  # below which its Services have their names

    def names(self) -> list[str]:
        """Host names that clients in the cluster know it by."""
        services = sorted({(self.namespace, self.name), *(tuple(text.split("/")) for text in self.services)})
        suffixes = ("", ".svc", f".svc.{CLUSTER_DOMAIN}")
        return [name for space, own in services for name in (own, *(f"{own}.{space}{end}" for end in suffixes))]


class Linkerd(msgspec.Struct, frozen=True):
    """Linkerd's own settings. EgressNetworks of `global_namespace` are those of namespaces without one."""

    global_namespace: str = "linkerd-egress"


class Policy(msgspec.Struct, frozen=True):
    """Where policy comes from. `paths` are absolute; `places`, one for each, say where sluice.yaml names them."""

    paths: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()
    passthrough: bool = False
    follows_mesh: bool = False  # `passthrough: mesh`: passthrough is as the mesh's own settings say, once compiled
    audit: bool = False
    audit_namespaces: tuple[str, ...] = ()  # sources of these are in audit mode
    per_namespace: Budget = Budget()


class Network(msgspec.Struct, frozen=True):
    """Sources of one CIDR that present nothing else get this identity. `service_account` may be empty."""

    cidr: str
    namespace: str
    service_account: str = ""


class Identity(msgspec.Struct, frozen=True):
    """How sources are recognised. `users` is an absolute path, None = no users; `users_place` is where it is named."""

    networks: tuple[Network, ...] = ()
    users: str | None = None
    users_place: Place = Place("")
    trust: Trust = Trust()
    proxy_protocol_from: tuple[ProxyPeers, ...] = ()
    trusted: tuple[Trusted, ...] = ()
    max_age: float = 86400.0  # seconds that a tunnel outlives its client's certificate or token, since it was verified
    tokens: tuple[TokenSource, ...] = ()
    insecure_tokens: bool = False  # tokens are accepted over clear text from anywhere


class Addresses(msgspec.Struct, frozen=True):
    """CIDRs for which the address guard is lifted (`allow`) or closed for good (`deny`), and the operator's NAT64
    prefixes (RFC 6052)."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    nat64: tuple[str, ...] = ()


class Dns(msgspec.Struct, frozen=True):
    """How names are asked; seconds. `servers` empty = the system's."""

    servers: tuple[str, ...] = ()  # "ip", "ip:port" or "[ip6]:port"
    timeout: float = 2.0
    min_ttl: float = 1.0
    max_ttl: float = 300.0
    negative_ttl: float = 5.0
    cache_entries: int = 10_000


class Pools(msgspec.Struct, frozen=True):
    """Connections to origins that are kept for further requests; seconds."""

    per_destination: int = 256
    pending: int = 1024
    idle: float = 60.0
    max_age: float = 600.0


class SourceLimits(msgspec.Struct, frozen=True):
    """Places of one source at once, over all workers."""

    requests: int = 1000
    lookups: int = 200
    dials: int = 500
    provisional: int = 100


class Limits(msgspec.Struct, frozen=True):
    """Gateway-wide limits and timeouts; seconds. `tunnels_set` = sluice.yaml names `tunnels` itself."""

    tunnels: int = 100_000
    tunnels_set: bool = False
    tunnels_per_source: int = 10_000
    streams_per_connection: int = 1000
    handshakes: int = 1000
    request_timeout: float = 10.0
    dial_timeout: float = 5.0
    idle_timeout: float = 3600.0
    half_close_timeout: float = 300.0
    keep_alive: float = 60.0
    login_failures: tuple[int, float] = (10, 1.0)  # of one source, in how many seconds
    per_source: SourceLimits = SourceLimits()


class Admin(msgspec.Struct, frozen=True):
    """The admin endpoint, host and port apart."""

    host: str = "127.0.0.1"
    port: int = 9901
    token: str | None = None


class Logs(msgspec.Struct, frozen=True):
    """`access` is "stdout", "stderr", "off" or an absolute path; `interval` in seconds, 0 = no such lines; `query`: of
    requests, in their lines."""

    level: Level = "info"
    access: str = "stdout"
    interval: float = 60.0
    query: Query = "redact"


class Config(msgspec.Struct, frozen=True):
    """All of sluice.yaml. `path` is absolute; `workers` a number, also when it was `auto`."""

    path: str
    control: str  # "ipc:///absolute/path" or "tcp://10.0.0.1:9902"; "": not set, and this machine has no default
    listeners: tuple[Listener, ...] = (Listener(),)
    workers: int = 1
    gateway: Gateway = Gateway()
    linkerd: Linkerd = Linkerd()
    policy: Policy = Policy()
    grants: tuple[Grant, ...] = ()
    credentials: tuple[Credential, ...] = ()
    identity: Identity = Identity()
    addresses: Addresses = Addresses()
    upstreams: tuple[Upstream, ...] = ()
    pools: Pools = Pools()
    via: bool = True
    tracing: Tracing = Tracing()
    dns: Dns = Dns()
    limits: Limits = Limits()
    admin: Admin = Admin()
    metrics: tuple[str, int] | None = None  # host and port of metrics.address
    logs: Logs = Logs()
    drain: float = 30.0  # shutdown.drain, seconds
    warnings: tuple[Problem, ...] = ()  # of reading sluice.yaml alone

    @property
    def control_path(self) -> str:
        """The path of the control socket."""
        return self.control.removeprefix("ipc://")

    def endpoints(self) -> list[tuple[str, int]]:
        """Host and port of everything that listens for this configuration."""
        return [*((listener.host, listener.port) for listener in self.listeners), *self.fixed_endpoints()]

    def fixed_endpoints(self) -> list[tuple[str, int]]:
        """The same without listeners: these stay until a restart."""
        found = [(self.admin.host, self.admin.port), *([self.metrics] if self.metrics else [])]
        if self.control.startswith("tcp://"):  # questions, and statistics on the next port
            parts = split(self.control.removeprefix("tcp://"))
            found += [(parts.host, int(parts.port) + number) for number in (0, 1)] if parts else []
        return found

    def dns_settings(self) -> DnsSettings:
        """How names are asked."""
        return DnsSettings(
            servers=list(self.dns.servers),
            timeout=self.dns.timeout,
            min_ttl=self.dns.min_ttl,
            max_ttl=self.dns.max_ttl,
            negative_ttl=self.dns.negative_ttl,
            cache_entries=self.dns.cache_entries,
        )

    def settings(
        self,
        passwords: Mapping[str, bytes] | None = None,
        tls: ReadTls | None = None,
        token_keys: Sequence[int] = (),
        rates: Sequence[RateSettings] = (),
    ) -> Settings:
        """The part of a generation that a worker gets beside the policy image. `passwords`: by upstream; `tls`: files
        as they were read; `token_keys`: marks of keys; `rates`: what the policy limits. Tickets of period 0 are none:
        their secret is the running gateway's to give."""
        tls = tls or ReadTls()
        passwords = passwords or {}
        return Settings(
            listeners=[
                _listener_settings(listener, tls.listeners.get(listener.name), number)
                for number, listener in enumerate(self.listeners)
            ],
            limits=LimitSettings(
                tunnels=self.limits.tunnels,
                tunnels_per_source=self.limits.tunnels_per_source,
                per_source=_source_limits(self.limits.per_source),
                streams_per_connection=self.limits.streams_per_connection,
                handshakes=self.limits.handshakes,
                request_timeout=self.limits.request_timeout,
                dial_timeout=self.limits.dial_timeout,
                idle_timeout=self.limits.idle_timeout,
                half_close_timeout=self.limits.half_close_timeout,
                keep_alive=self.limits.keep_alive,
            ),
            rates=list(rates),
            dns=self.dns_settings(),
            upstreams=[
                upstream.settings(passwords.get(upstream.name), tls.upstreams.get(upstream.name))
                for upstream in self.upstreams
            ],
            originations=tls.originations,
            request_originations=self._request_originations(tls),
            pools=PoolSettings(
                per_destination=self.pools.per_destination,
                pending=self.pools.pending,
                idle=self.pools.idle,
                max_age=self.pools.max_age,
            ),
            via=self.via_name().encode() if self.via else None,
            system_ca=tls.system_ca,
            tickets=TicketSettings(period=0, secret=bytes(32)),
            proxy_protocol_from=[peers.cidr for peers in self.identity.proxy_protocol_from],
            proxy_identity_from=[peers.cidr for peers in self.identity.proxy_protocol_from if peers.identity],
            trusted=[
                TrustedSettings(identity=each.identity.encode(), sources=each.sources) for each in self.identity.trusted
            ],
            trust_domains=[domain.name.encode() for domain in self.identity.trust.domains],
            identity_max_age=self.identity.max_age,
            token_keys=list(token_keys),
            credentials=[],  # the running gateway's to give, with the numbers by which their values come
            insecure_tokens=self.identity.insecure_tokens,
            own_names=[name.encode() for name in self.gateway.names()],
            deny_message=self.gateway.deny_message,
            pod_networks=list(self.gateway.pod_networks),
            tracing=self.tracing.settings(),
            access_log=self.logs.access != "off",
            log_interval=self.logs.interval,
            log_query=self.logs.query == "keep",
            drain=self.drain,
        )

    def _request_originations(self, tls: ReadTls) -> dict[str, TlsClientSettings]:
        """TLS of requests: that of rules, and for `https` targets without such a rule what a browser would ask for."""
        if not self.takes_requests() or tls.system_ca is None:
            return tls.originations
        usual = TlsClientSettings(server_name=None, sans=[], ca=None, certificate=None, min_version="1.2", alpn=[])
        return {**tls.originations, "": usual}

    def takes_requests(self) -> bool:
        """Plain HTTP requests are served on some listener."""
        return any(listener.routes for listener in self.listeners)

    def via_name(self) -> str:
        """This gateway in Via: the same for all its replicas, and no other's."""
        domains = self.identity.trust.domains
        said = "\0".join((domains[0].name if domains else "", self.gateway.namespace, self.gateway.name))
        return f"sluice-{hashlib.sha256(said.encode()).hexdigest()[:8]}"


def _source_limits(limits: SourceLimits) -> SourceLimitSettings:
    return SourceLimitSettings(
        requests=limits.requests, lookups=limits.lookups, dials=limits.dials, provisional=limits.provisional
    )


# What a worker cannot serve with: cleartext never stands in for TLS whose files could not be read.
_NOTHING_TO_SHOW: Final = TlsSettings(
    certificates=[],
    client_ca=None,
    client_certificate="required",
    crl=None,
    min_version="1.3",
    trust_domains=[],
    role=None,
    scope=bytes(32),
)


def _listener_settings(listener: Listener, tls: TlsSettings | None, number: int) -> ListenerSettings:
    return ListenerSettings(
        name=listener.name,
        address=listener.address,
        protocol=listener.protocol,
        destination=listener.destination,
        auth=listener.auth,
        audit=listener.audit,
        inner=listener.inner_name,
        requests=listener.routes,
        diagnostics=listener.diagnostics,
        tls=tls or _NOTHING_TO_SHOW if listener.tls is not None else None,
        sockets=number,
        leaving=[],
    )


def find_config(path: str | None) -> str | None:
    """The absolute path of sluice.yaml: `path` as given, else the first default that exists; None = there is none."""
    candidates = DEFAULT_PATHS if path is None else (path,)
    for candidate in candidates:
        if os.path.lexists(candidate):
            return os.path.abspath(candidate)
    return None


def to_builtins(config: Config) -> dict[str, object]:
    """The configuration as msgpack can carry it; `from_builtins` is the way back."""
    return cast(dict[str, object], msgspec.to_builtins(config))


def from_builtins(data: object) -> Config:
    """The configuration that `to_builtins` gave."""
    return msgspec.convert(data, Config)
