"""The contract of supervisor and workers: message names and shapes, inherited descriptors, settings.

It is data and constants only. What C knows as well comes from C, through gateway/tables.

Two paths join a worker to its supervisor (DESIGN.md sections 1 to 3):

* the *channel*, a SOCK_SEQPACKET socketpair inherited as descriptor 3. Supervisor to worker only: one packet for each
  generation, msgpack ``{"generation": N}`` with the memfds of its image and, where pods are known, of its table of
  workloads (csrc/shared/workloads.h) attached (SCM_RIGHTS), ``{"sockets": [[number,
  slot], ...]}`` with listening sockets that were opened after the start, at most CHANNEL_FILES at once, and
  ``{"credentials": [[number, length], ...]}`` with a memfd that holds the values one behind the other, ahead of the
  generation that names them and whenever one has changed; length 0: it cannot be used. Its end of file
  tells the worker that the supervisor is gone: drain and exit.
* the *bus*, ZeroMQ over ipc: the supervisor binds a ROUTER at ``argv --bus``, each worker connects a DEALER whose
  routing id is ``worker-<slot>-<pid>``. Every message is one msgpack map with a key ``op``.

A generation comes to all workers at once (DECISIONS.md section 5): LOAD to each; LOADED from each; one store to the
word of FD_ACTIVE, which each loop reads at the beginning of each turn; ACTIVE from each. Or UNLOAD, where one could not
load it. A new worker gets LOAD for its HELLO; it serves once it has loaded the number that the word holds.

Listeners change with a generation. The sockets of one have a number that is never another's. New ones come on the
channel before the store that makes their generation active; those of a listener that is gone are accepted from until
CLOSE.

Worker process: ``python -m gateway.worker --slot S --slots N --listeners NUMBER,... --bus ENDPOINT [--shared]`` with
the descriptors below; shared are sockets that another gateway has as well.
"""

from typing import Final, Literal, TypedDict

from gateway import tables

VERSION: Final = 1

# Inherited descriptors, in the order of csrc/base/contract.h. FD_LIMITS is the table of csrc/shared/limit_table.h;
# FD_ACTIVE holds one u64, the number of the active generation, which workers can only read. FD_LOG is an eventfd that
# says: access log lines wait in the segment (csrc/shared/pending_log.h).
FD_CHANNEL: Final[int] = tables.FD_CHANNEL
FD_SEGMENT: Final[int] = tables.FD_SEGMENT
FD_LIMITS: Final[int] = tables.FD_LIMITS
FD_ACTIVE: Final[int] = tables.FD_ACTIVE
FD_LOG: Final[int] = tables.FD_LOG
FD_LISTENERS: Final[int] = tables.FD_LISTENERS

CHANNEL_FILES: Final = 200  # descriptors in a packet; the kernel takes 253

DUMPABLE: Final = "SLUICE_DUMPABLE"  # in the environment, not empty: workers can be looked into, by /proc and debuggers


def listener_fd(slot: int, listener: int, listeners: int) -> int:
    """The inherited descriptor of listener `listener` (of --listeners) for worker slot `slot`, of `listeners` in
    all."""
    return FD_LISTENERS + slot * listeners + listener


# Bus, worker to supervisor.
HELLO: Final = "hello"  # {op, slot, pid}: sent once connected; the supervisor answers LOAD
LOADED: Final = "loaded"  # {op, slot, generation, ok, error: str|None}: everything that can fail has been done
ACTIVE: Final = "active"  # {op, slot, generation}: it decides here, and live tunnels have been judged again
VERIFY: Final = "verify"  # {op, slot, id: int, source: int, user: bytes, password: bytes}
VERIFY_TOKEN: Final = "verify_token"  # {op, slot, id: int, source: int, token: bytes}
REJECTED: Final = "rejected"  # {op, slot, source: int}: a login failed by what the worker remembers
FULL: Final = "full"  # {op, slot, full: bool}: descriptors run short and no client is accepted, or that is over
CLOSED: Final = "closed"  # {op, slot, sockets: [number, ...]}: their queues were empty, and it has them no longer
DRAINED: Final = "drained"  # {op, slot}: no tunnel is left, the worker exits with 0
PARENT: Final = "parent"  # {op, slot, name, ok, text}: a connection to that upstream failed, or works again

# Bus, supervisor to worker.
LOAD: Final = "load"  # {op, generation, settings: Settings}: the image has been sent on the channel before
ACTIVATE: Final = "activate"  # {op, generation}: it is active as FD_ACTIVE says; an idle loop turns
UNLOAD: Final = "unload"  # {op, generation}: it does not become active after all
# {op, id, result: WRONG .. LIMITED, credential: int}: of the hash that was fitted, or 0. For a token instead of the
# credential {token: TokenFacts | None, reason: int}: a number of tables.REASONS.
VERIFIED: Final = "verified"
UNCHECKED: Final = "unchecked"  # {op, source, seconds: float}: its logins fail too often, none is checked for so long
ADOPT: Final = "adopt"  # {op, slot}: accept from that slot's sockets as well: it has no worker, or a full one
RELEASE: Final = "release"  # {op, slot}: its worker accepts again
CLOSE: Final = "close"  # {op, sockets: [number, ...]}: accept what is queued there for any slot, and close them; CLOSED
DRAIN: Final = "drain"  # {op, seconds: float}: stop accepting, end when the tunnels have, kill them after `seconds`
LEAVE: Final = (
    "leave"  # {op}: stop accepting and close the sockets, whose queues another gateway empties; DRAIN follows
)
STOP: Final = "stop"  # {op}: end now
KILL: Final = "kill"  # {op, sequence}: reset that tunnel of this worker


# Levels of access log lines, in the order in which they are dropped; pending lines of a segment lie in the same order.
LOG_LEVELS: Final = ("interval", "decision", "tunnel")

# How a login went: sl_login of csrc/base/contract.h.
WRONG: Final[int] = tables.LOGINS.index("wrong")
RIGHT: Final[int] = tables.LOGINS.index("right")
BUSY: Final[int] = tables.LOGINS.index("busy")
LIMITED: Final[int] = tables.LOGINS.index("limited")


class TlsPairSettings(TypedDict):
    """A certificate and the intermediate ones behind it, and its key: PEM texts."""

    chain: bytes
    key: bytes


class TrustDomainSettings(TypedDict):
    """A trust domain, its CAs as PEM text, and the namespace that Linkerd itself runs in there."""

    name: str
    linkerd: str | None
    ca: bytes


class TlsSettings(TypedDict):
    """TLS of a listener, checked by the supervisor. The first certificate is shown where no other has the name. Without
    a client CA those of all trust domains sign the certificates of clients. `scope`, 32 bytes: a digest of these and
    of the listener's name; sessions of another scope are not resumed."""

    certificates: list[TlsPairSettings]
    client_ca: bytes | None
    client_certificate: Literal["off", "optional", "required"]
    crl: bytes | None
    min_version: Literal["1.2", "1.3"]
    trust_domains: list[TrustDomainSettings]
    role: Literal["CN", "OU"] | None
    scope: bytes


class ListenerSettings(TypedDict):
    """One listener, as a worker needs it. Its place in the list is that of its name for as long as the gateway lives:
    one that was removed stays there for its live tunnels."""

    name: str
    address: str  # as bound, "127.0.0.1:1080"
    protocol: Literal["auto", "socks5", "http", "http2tunnel", "hbone", "tls", "tcp"]
    destination: tuple[str, int] | None  # host and port of tcp; "" and the port of tls; None: 443 by server name
    auth: Literal["off", "optional", "required"]
    audit: bool
    inner: Literal["enforce", "audit", "off"]
    requests: bool  # plain HTTP requests are routed
    diagnostics: bool  # HTTP/2: GET and POST of / are answered
    tls: TlsSettings | None  # None: cleartext
    sockets: int | None  # the number of its sockets; None: it was removed
    leaving: list[int]  # numbers of sockets that were its own before, until CLOSE


class SourceLimitSettings(TypedDict):
    """Places of one source at once."""

    requests: int
    lookups: int
    dials: int
    provisional: int


class LimitSettings(TypedDict):
    """Limits and timeouts; seconds as floats."""

    tunnels: int
    tunnels_per_source: int
    per_source: SourceLimitSettings
    streams_per_connection: int
    handshakes: int
    request_timeout: float
    dial_timeout: float
    idle_timeout: float
    half_close_timeout: float
    keep_alive: float


class PoolSettings(TypedDict):
    """Connections to origins that are kept; seconds as floats."""

    per_destination: int
    pending: int
    idle: float
    max_age: float


class DnsSettings(TypedDict):
    """How names are asked; seconds as floats. `servers` empty = the system's."""

    servers: list[str]  # "ip" or "ip:port" or "[ip6]:port"
    timeout: float
    min_ttl: float
    max_ttl: float
    negative_ttl: float
    cache_entries: int


LookupStatus = Literal["ok", "name_not_found", "dns_timeout", "dns_failed"]


class LookupQuestion(TypedDict):
    """A question for gateway.dns.lookup: a canonical name, and how to ask."""

    name: str
    dns: DnsSettings


class LookupAnswer(TypedDict):
    """Its answer. name_not_found: also a single label that is not in /etc/hosts; dns_failed: SERVFAIL and the like."""

    status: LookupStatus
    addresses: list[str]  # at most 32; empty unless ok


class TlsClientSettings(TypedDict):
    """TLS towards a parent or an origin, checked by the supervisor. The certificate of the peer has to have one of
    `sans` (DNS names, addresses and URIs), without these `server_name`, without that the host or address dialed."""

    server_name: str | None  # SNI
    sans: list[str]
    ca: bytes | None  # PEM text; None: Settings.system_ca
    certificate: TlsPairSettings | None  # that is shown where the peer asks
    min_version: Literal["1.2", "1.3"]
    alpn: list[str]  # protocols offered, best first; empty: none


class UpstreamSettings(TypedDict):
    """One parent gateway. `addresses`: (IP text, port), in the order to try. Credentials: None = none are sent.
    `announces`: each connection begins with a PROXY header, version 2, that names the client."""

    name: str
    type: Literal["http", "socks5", "http2tunnel"]
    addresses: list[tuple[str, int]]
    user: bytes | None
    password: bytes | None
    announces: bool
    tls: TlsClientSettings | None  # None: cleartext


class RateSettings(TypedDict):
    """Requests a second that a policy lets pass at a listener; 0 = no such limit. `overrides`: limits in place of
    `identity`, each with the identities, as namespace/account, that share it."""

    name: str
    listener: str
    total: int
    identity: int
    overrides: list[tuple[int, list[str]]]


class TrustedSettings(TypedDict):
    """The identity of a certificate that may speak for others. `sources`: as so many its limits are, where it names no
    client."""

    identity: bytes
    sources: int


class TokenFacts(TypedDict):
    """A bearer token that was verified. It stands for a user, or for a workload. `subject`: a digest of its issuer and
    subject; `credential`: the mark of its issuer, key and audience; `until`: Unix seconds of its end."""

    user: bytes | None
    namespace: bytes | None
    account: bytes | None
    subject: bytes
    credential: int
    until: int


class TracingSettings(TypedDict):
    """Which traces are recorded. `sample`: the part of those that begin here, 0 to 1; `parent_based`: others are where
    the request says so, else by the same part of their ids."""

    sample: float
    parent_based: bool


class TicketSettings(TypedDict):
    """The secret that keys of session tickets come from (csrc/tls/tls_ticket.h): 32 bytes, of a period of Unix time."""

    period: int
    secret: bytes


class CredentialSettings(TypedDict):
    """A credential that requests may get, without its value: that comes over the channel, by `number`. `hosts`: names,
    and `*.name`, by one of which the certificate of a destination has to be verified, unless `insecure`."""

    name: str
    number: int
    hosts: list[str]
    insecure: bool


class Settings(TypedDict):
    """Everything but policy that a generation carries to a worker."""

    listeners: list[ListenerSettings]
    limits: LimitSettings
    rates: list[RateSettings]
    dns: DnsSettings
    upstreams: list[UpstreamSettings]
    originations: dict[str, TlsClientSettings]  # TLS of rules, by the text that the image has (sl_judged_tls)
    request_originations: dict[str, TlsClientSettings]  # the same for HTTP requests; by "" that of https targets
    pools: PoolSettings
    via: bytes | None  # this gateway's name in Via; None: it adds none
    system_ca: bytes | None  # CAs of the system, PEM text; None: no TLS towards parents and origins uses them
    tickets: TicketSettings
    proxy_protocol_from: list[str]  # CIDRs of peers that have to send a PROXY header
    proxy_identity_from: list[str]  # those of them whose header may have an identity
    trusted: list[TrustedSettings]
    trust_domains: list[bytes]  # domains of which a forwarded identity may be; the first one's have namespaces
    identity_max_age: float  # seconds that a tunnel outlives its client's certificate or token, since it was verified
    token_keys: list[int]  # marks of the keys whose tokens stand (supervisor/identity/issuers.py)
    credentials: list[CredentialSettings]
    insecure_tokens: bool  # tokens are accepted over clear text from anywhere
    own_names: list[bytes]  # that stand for the gateway itself: no destination by server name
    deny_message: str | None  # gateway.denyMessage: printable ASCII, the last line of a refusal's body
    pod_networks: list[str]  # CIDRs in which every address is a source of its own
    tracing: TracingSettings | None  # None: off, and traceparent passes as it is
    access_log: bool
    log_query: bool  # request lines have the query
    log_interval: float  # seconds between `interval` lines of a tunnel; 0 = none
    drain: float  # shutdown.drain, seconds
