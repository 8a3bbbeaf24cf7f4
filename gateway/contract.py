"""What the supervisor and the workers share: message names and shapes, inherited descriptors, settings.

It is data and constants only. `csrc/contract.h` says the same to C; tests/gateway/test_contract.py holds the two
together.

Two paths join a worker to its supervisor (DESIGN.md sections 1 to 3):

* the *channel*, a SOCK_SEQPACKET socketpair inherited as descriptor 3. Supervisor to worker only: one packet for each
  generation, msgpack ``{"generation": N}`` with the image's memfd attached (SCM_RIGHTS). Its end of file tells the
  worker that the supervisor is gone: drain and exit.
* the *bus*, ZeroMQ over ipc: the supervisor binds a ROUTER at ``argv --bus``, each worker connects a DEALER whose
  routing id is ``worker-<slot>-<pid>``. Every message is one msgpack map with a key ``op``.

Worker process: ``python -m gateway.worker --slot S --slots N --listeners L --bus ENDPOINT`` with the descriptors below.
"""

from typing import Final, Literal, TypedDict

VERSION: Final = 1

FD_CHANNEL: Final = 3
FD_SEGMENT: Final = 4
FD_LIMITS: Final = 5  # the table of csrc/limit_table.h, of all workers
FD_LISTENERS: Final = 6

DUMPABLE: Final = "SLUICE_DUMPABLE"  # in the environment, not empty: workers can be looked into, by /proc and debuggers


def listener_fd(slot: int, listener: int, listeners: int) -> int:
    """The inherited descriptor of listener `listener` for worker slot `slot`, of `listeners` in all."""
    return FD_LISTENERS + slot * listeners + listener


# Bus, worker to supervisor.
HELLO: Final = "hello"  # {op, slot, pid}: sent once connected; the supervisor answers LOAD
LOADED: Final = "loaded"  # {op, slot, generation, ok, error: str|None}
VERIFY: Final = "verify"  # {op, slot, id: int, source: int, user: bytes, password: bytes}
REJECTED: Final = "rejected"  # {op, slot, source: int}: a login failed by what the worker remembers
LOG: Final = "log"  # {op, slot, level: tunnel|decision|interval, count: int, text: bytes}: access log lines
FULL: Final = "full"  # {op, slot, full: bool}: descriptors run short and nobody is accepted, or that is over
DRAINED: Final = "drained"  # {op, slot}: no tunnel is left, the worker exits with 0
PARENT: Final = "parent"  # {op, slot, name, ok, text}: a connection to that upstream failed, or works again
ANSWER: Final = "answer"  # {op, id, ...}: to a QUERY

# Bus, supervisor to worker.
LOAD: Final = "load"  # {op, generation, settings: Settings}: the image has been sent on the channel before
VERIFIED: Final = "verified"  # {op, id, result: WRONG .. LIMITED, credential: int}: of the hash that was fitted, or 0
UNCHECKED: Final = "unchecked"  # {op, source, seconds: float}: its logins fail too often, none is checked for so long
ADOPT: Final = "adopt"  # {op, slot}: accept from that slot's sockets too, it has no worker, or a full one
RELEASE: Final = "release"  # {op, slot}: its worker accepts again
DRAIN: Final = "drain"  # {op, seconds: float}: stop accepting, end when the tunnels have, kill them after `seconds`
STOP: Final = "stop"  # {op}: end now
KILL: Final = "kill"  # {op, sequence}: reset that tunnel of this worker
QUERY: Final = "query"  # {op, id, what: "explain", ...}: answered by ANSWER with the same id


# How a login went; gateway/context.pxd has the same numbers.
WRONG: Final = 0
RIGHT: Final = 1
BUSY: Final = 2  # nothing was verified: the gateway has no room
LIMITED: Final = 3  # nothing was verified: the source has too many logins waiting, or too many that failed


class ListenerSettings(TypedDict):
    """One listener, as a worker needs it. The order is that of the inherited descriptors."""

    name: str
    address: str  # as bound, "127.0.0.1:1080"
    protocol: Literal["auto", "socks5", "http", "http2tunnel"]
    auth: Literal["off", "optional", "required"]
    audit: bool
    inner: Literal["enforce", "audit", "off"]
    diagnostics: bool  # HTTP/2: GET and POST of / are answered


class SourceLimitSettings(TypedDict):
    """What one source may have under way at once."""

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
    request_timeout: float
    dial_timeout: float
    idle_timeout: float
    half_close_timeout: float
    keep_alive: float


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
    """What gateway.lookup is asked: a canonical name, and how."""

    name: str
    dns: DnsSettings


class LookupAnswer(TypedDict):
    """Its answer. name_not_found: also a single label that is not in /etc/hosts; dns_failed: SERVFAIL and the like."""

    status: LookupStatus
    addresses: list[str]  # at most 32; empty unless ok


class UpstreamSettings(TypedDict):
    """One parent gateway. `addresses`: (IP text, port), in the order to try. Credentials: None = none are sent."""

    name: str
    type: Literal["http", "socks5", "http2tunnel"]
    addresses: list[tuple[str, int]]
    user: bytes | None
    password: bytes | None


class Settings(TypedDict):
    """Everything but policy that a generation carries to a worker."""

    listeners: list[ListenerSettings]
    limits: LimitSettings
    dns: DnsSettings
    upstreams: list[UpstreamSettings]
    deny_message: str | None  # gateway.denyMessage: printable ASCII, the last line of a refusal's body
    pod_networks: list[str]  # CIDRs in which every address is a source of its own
    access_log: bool
    log_interval: float  # seconds between `interval` lines of a tunnel; 0 = none
    drain: float  # shutdown.drain, seconds
