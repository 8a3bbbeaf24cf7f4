"""Settings of the active generation, as connections need them. See settings.pxd."""

from gateway.tables import INNER_MODES

cimport cython

from gateway.io.durations cimport patience
from gateway.proto.codec cimport AUTH_OFF, AUTH_OPTIONAL, AUTH_REQUIRED

cdef dict PROTOCOLS = {
    "auto": PROTOCOL_AUTO, "socks5": PROTOCOL_SOCKS5, "http": PROTOCOL_HTTP, "http2tunnel": PROTOCOL_HTTP2,
    "hbone": PROTOCOL_HBONE, "tls": PROTOCOL_TLS, "tcp": PROTOCOL_TCP,
}
cdef enum:
    HTTPS = 443

cdef dict AUTH_MODES = {"off": AUTH_OFF, "optional": AUTH_OPTIONAL, "required": AUTH_REQUIRED}

cdef dict INNER_NUMBERS = {mode: number for number, mode in enumerate(INNER_MODES)}


@cython.final
cdef class ListenerSpec:
    """Made from gateway.contract.ListenerSettings and TicketSettings."""

    def __init__(self, settings, tickets):
        self.name = settings["name"]
        self.label = self.name.encode()
        self.protocol = PROTOCOLS[settings["protocol"]]
        self.auth = AUTH_MODES[settings["auth"]]
        self.audit = settings["audit"]
        self.inner = INNER_NUMBERS[settings["inner"]]
        self.requests = settings["requests"]
        self.diagnostics = settings["diagnostics"]
        self.removed = settings["sockets"] is None
        self.destination_port = HTTPS
        if settings["destination"] is not None:
            host, self.destination_port = settings["destination"]
            self.destination = host.encode() or None
        if settings["tls"] is not None:
            self.tls = TlsServer(settings["tls"], settings["protocol"], tickets)


@cython.final
cdef class Settings:
    """Empty before the first generation."""

    def __cinit__(self):
        self.listeners = []
        self.parents = {}
        self.token_keys = frozenset()
        self.trusted, self.trust_domains = {}, []
        self.own_names = frozenset()

    cdef void take(self, dict settings, list listeners, dict parents) except *:
        limits = settings["limits"]
        self.listeners, self.parents = listeners, parents
        self.streams_per_connection = limits["streams_per_connection"]
        self.request_timeout = patience(limits["request_timeout"])
        self.dial_timeout = patience(limits["dial_timeout"])
        self.idle_timeout = patience(limits["idle_timeout"])
        self.half_close_timeout = patience(limits["half_close_timeout"])
        self.keep_alive = max(1, round(limits["keep_alive"]))
        self.drain_time = patience(settings["drain"])
        self.identity_max_age = round(settings["identity_max_age"])
        self.token_keys = frozenset(settings["token_keys"])
        self.trusted = {entry["identity"]: entry["sources"] for entry in settings["trusted"]}
        self.trust_domains = settings["trust_domains"]
        self.insecure_tokens = settings["insecure_tokens"]
        self.traced = settings["tracing"] is not None
        self.access_log, self.log_query = settings["access_log"], settings["log_query"]
        pools = settings["pools"]
        self.via = settings["via"]
        self.pool_idle, self.pool_age = patience(pools["idle"]), patience(pools["max_age"])
        self.pool_most, self.pool_pending = pools["per_destination"], pools["pending"]
        self.own_names = frozenset(settings["own_names"])
        self.deny_message = settings["deny_message"]
        self.log_interval = round(settings["log_interval"] * 1000)

    @property
    def drain_seconds(self):
        """shutdown.drain."""
        return self.drain_time / 1000
