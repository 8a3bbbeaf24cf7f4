"""What every connection of one worker shares: the generation in force, limits, counters, logins, the log."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING

import os
import resource
import time
from itertools import islice

from gateway.codec cimport AUTH_OFF, AUTH_OPTIONAL, AUTH_REQUIRED
from gateway.csrc cimport (
    SL_COUNTER_CONNECTIONS_OPEN, SL_COUNTER_DNS_CACHE_HITS, SL_COUNTER_DNS_QUERIES, SL_COUNTER_HTTP2_STREAMS,
    SL_COUNTER_HTTP2_STREAMS_OPEN, SL_COUNTER_LIMITED, SL_COUNTER_LONGEST_TURN, SL_COUNTER_PARENTS,
    SL_COUNTER_PARENTS_OPEN, SL_COUNTER_PIPES_IDLE, SL_COUNTER_TURNS, SL_COUNTER_UNRAISABLE, SL_FAMILY_LIMITED,
    SL_INNER_AUDIT, SL_INNER_ENFORCE, SL_INNER_OFF, SL_NO_RULE, SL_SEC_RULES, sl_image, sl_image_record,
    sl_image_string,
    sl_pipe_counts, sl_pipe_pool_free, sl_pipe_pool_init, sl_pipe_pool_limit, sl_rule, sl_segment_open,
    sl_source_credential, sl_source_network,
)
from gateway.parent cimport Parent

cdef enum:
    PIPES_MOST = 1024          # that hold bytes at once, 256 MiB in all
    PIPE_FILES_KEPT = 128      # descriptors that pipes leave to others
    FILES_MOST = 1 << 30       # what no limit of open files means

cdef dict PROTOCOLS = {
    "auto": PROTOCOL_AUTO, "socks5": PROTOCOL_SOCKS5, "http": PROTOCOL_HTTP, "http2tunnel": PROTOCOL_HTTP2
}
cdef dict AUTH_MODES = {"off": AUTH_OFF, "optional": AUTH_OPTIONAL, "required": AUTH_REQUIRED}

cdef dict INNER_MODES = {"enforce": SL_INNER_ENFORCE, "audit": SL_INNER_AUDIT, "off": SL_INNER_OFF}


def milliseconds(seconds: float) -> int:
    """A configured time as the loop counts; never 0, which would mean "at once"."""
    return max(1, round(seconds * 1000))


cdef class ListenerSpec:
    """Made from gateway.contract.ListenerSettings."""

    def __init__(self, settings):
        self.name = settings["name"]
        self.protocol = PROTOCOLS[settings["protocol"]]
        self.auth = AUTH_MODES[settings["auth"]]
        self.audit = settings["audit"]
        self.inner = INNER_MODES[settings["inner"]]
        self.diagnostics = settings["diagnostics"]


cdef class Generation:
    """A number and an image."""

    def __init__(self, uint64_t number, PolicyImage image):
        self.number = number
        self.image = image
        self.rule_texts = {}
        self.pools = {}

    cdef str rule_text(self, uint32_t rule):
        """The name a rule is known by in logs and answers, None for a default. Shared by every tunnel it admitted."""
        cdef const sl_rule *found
        if rule == SL_NO_RULE:
            return None
        text = self.rule_texts.get(rule)
        if text is None:
            found = <const sl_rule *> sl_image_record(&self.image.image, SL_SEC_RULES, rule)
            if found is NULL:
                return None
            parts = [sl_image_string(&self.image.image, offset).decode("utf-8", "replace")
                     for offset in (found.kind, found.namespace_, found.name)]
            text = "/".join([part for part in parts if part])
            self.rule_texts[rule] = text
        return text

    cdef uint64_t credential(self, bytes user) noexcept:
        """What tells the password of a user from others (builder.h); 0 for a user that is not known."""
        return sl_source_credential(&self.image.image, PyBytes_AS_STRING(user))

    cdef SourcePool pool(self, uint32_t rule):
        """Where connections of a rule come from; None where the system chooses."""
        cdef const sl_rule *found
        if rule == SL_NO_RULE:
            return None
        found = <const sl_rule *> sl_image_record(&self.image.image, SL_SEC_RULES, rule)
        if found is NULL or found.attributes == 0:
            return None
        pool = self.pools.get(found.attributes)
        if pool is None:
            text = sl_image_string(&self.image.image, found.attributes).decode("utf-8", "replace")
            pool = self.pools[found.attributes] = SourcePool(text)
        return pool


@cython.no_gc_clear  # the pool counts into the mapping to the end
cdef class Context:
    """The state of one worker.

    `segment`: a writable memoryview of the slot's segment.
    """

    def __init__(self, Loop loop, int slot, segment, Limits limits):
        cdef unsigned char[::1] view = segment
        cdef uint64_t now = <uint64_t> (time.time() * 1000)
        self.loop = loop
        self.slot = slot
        self.mapping = segment
        self.limits = limits
        self.queues = PlaceQueues(loop, limits)
        self.segment = sl_segment_open(&view[0], view.shape[0], os.getpid(), now)
        if self.segment is NULL:
            raise ValueError("the shared segment belongs to another version")
        loop.segment = self.segment
        sl_pipe_pool_init(&self.pipes, <sl_pipe_counts *> &self.segment.counters[<unsigned> SL_COUNTER_PIPES_IDLE], 0)
        self.prefix = f"{slot}-{self.segment.start:x}-"
        self.listeners = []
        self.connections = set()
        self.apart = set()
        self.logins = Logins(loop)
        self.parents = {}
        self.routes = LocalRoutes(loop)

    def __dealloc__(self):
        if self.segment is not NULL:
            sl_pipe_pool_free(&self.pipes)

    @property
    def open_connections(self):
        return len(self.connections)

    @property
    def is_draining(self):
        return self.draining

    @property
    def is_empty(self):
        """No connection is left, and nothing that one of them has said is still on its way through a parent."""
        return not self.connections and self.flows == 0

    def attach(self, bus, AccessLog log, Passages passages, on_empty, on_full):
        """`bus` sends what the supervisor must know, `log` gathers access log lines, `passages` lead to parents;
        `on_empty()` is called when a drain has nothing left, `on_full(full)` when descriptors run out and when that is
        over.
        """
        self.logins.attach(bus)
        self.passages = passages
        self.log = log
        self.on_empty = on_empty
        self.on_full = on_full

    def load(self, uint64_t number, PolicyImage image, settings):
        """Puts a generation in force between two turns. Everything is made before anything is changed."""
        cdef Resolver resolver
        listeners = [ListenerSpec(entry) for entry in settings["listeners"]]
        parents = {entry["name"].encode("ascii"): Parent(entry) for entry in settings["upstreams"]}
        limits, dns = settings["limits"], settings["dns"]
        resolver = None
        if dns != self.dns:
            resolver = Resolver(self.loop, dns)
            resolver.query_tally = &self.segment.counters[<unsigned> SL_COUNTER_DNS_QUERIES]
            resolver.hit_tally = &self.segment.counters[<unsigned> SL_COUNTER_DNS_CACHE_HITS]
        self.parents = parents
        self.passages.keep_only(list(parents.values()))
        self.limits.load(limits, settings["pod_networks"])
        self.streams_per_connection = limits["streams_per_connection"]
        self.request_timeout = milliseconds(limits["request_timeout"])
        self.dial_timeout = milliseconds(limits["dial_timeout"])
        self.idle_timeout = milliseconds(limits["idle_timeout"])
        self.half_close_timeout = milliseconds(limits["half_close_timeout"])
        self.keep_alive = max(1, round(limits["keep_alive"]))
        self.drain_time = milliseconds(settings["drain"])
        self.access_log = settings["access_log"]
        self.deny_message = settings["deny_message"]
        self.log_interval = round(settings["log_interval"] * 1000)
        self.listeners = listeners
        if resolver is not None:
            if self.resolver is not None:
                self.resolver.retire()
            self.resolver, self.dns = resolver, dns
        self.logins.renew()
        self.generation = Generation(number, image)
        self.segment.generation = number

    @property
    def login_cache(self):
        """Which passwords were right, and which are being verified."""
        return self.logins

    def measure_files(self):
        """Before the first client: how many descriptors there may be, and how many serve other ends than clients."""
        self.ask_file_limit()
        self.files_apart = len(os.listdir("/proc/self/fd"))
        self.spare_pipes()

    def drain(self):
        """No new tunnel is opened from now on."""
        cdef Handler connection
        self.draining = True
        for connection in list(self.connections):
            connection.on_drain()

    @property
    def drain_seconds(self):
        """shutdown.drain of the generation in force."""
        return self.drain_time / 1000

    def close_all(self):
        """Ends every connection."""
        self.close_some(len(self.connections))

    def close_some(self, Py_ssize_t count):
        """Ends so many connections, whichever."""
        cdef Handler connection
        for connection in list(islice(self.connections, count)):
            connection.close()

    def close_passages(self):
        """Ends the connections to parents; what is outgoing has a chance to leave."""
        self.passages.close()

    def publish(self):
        """Copies the loop's own figures into the segment; called at each beat and on exit."""
        self.add(SL_COUNTER_TURNS, self.loop.turns - self.published_turns)
        self.add(SL_COUNTER_UNRAISABLE, self.loop.failures - self.published_failures)
        self.published_turns, self.published_failures = self.loop.turns, self.loop.failures
        if self.loop.longest_turn > self.segment.counters[<unsigned> SL_COUNTER_LONGEST_TURN]:
            self.set_gauge(SL_COUNTER_LONGEST_TURN, self.loop.longest_turn)
        self.loop.longest_turn = 0  # the segment keeps it, beyond this worker

    cdef uint64_t source_of(self, const sl_addr *peer) noexcept:
        cdef const char *namespace = NULL
        cdef const char *account = NULL
        cdef const sl_image *image = &self.generation.image.image
        cdef bint known = peer.family == 6 and sl_source_network(image, peer, &namespace, &account)
        return self.limits.of_peer(peer, known)

    cdef bint listener_audits(self, int listener) noexcept:
        return (<ListenerSpec> self.listeners[listener]).audit

    cdef void entered(self, Handler connection):
        self.connections.add(connection)
        self.set_gauge(SL_COUNTER_CONNECTIONS_OPEN, len(self.connections) - self.streams)
        self.spare_pipes()

    cdef void left(self, Handler connection):
        self.connections.discard(connection)
        self.set_gauge(SL_COUNTER_CONNECTIONS_OPEN, len(self.connections) - self.streams)
        self.spare_pipes()
        self.tell_empty()

    cdef void tell_empty(self) noexcept:
        if self.draining and not self.connections and self.flows == 0:
            self.on_empty()

    cdef void parent_entered(self) noexcept:
        self.files_apart += 1
        self.parent_connections += 1
        self.count(SL_COUNTER_PARENTS)
        self.set_gauge(SL_COUNTER_PARENTS_OPEN, self.parent_connections)

    cdef void parent_left(self) noexcept:
        self.files_apart -= 1
        self.parent_connections -= 1
        self.set_gauge(SL_COUNTER_PARENTS_OPEN, self.parent_connections)

    cdef void flow_entered(self) noexcept:
        self.files_apart += 1
        self.flows += 1

    cdef void flow_left(self) noexcept:
        self.files_apart -= 1
        self.flows -= 1
        self.tell_empty()

    cdef void stream_entered(self, Handler stream):
        self.connections.add(stream)
        self.streams += 1
        self.count(SL_COUNTER_HTTP2_STREAMS)
        self.set_gauge(SL_COUNTER_HTTP2_STREAMS_OPEN, self.streams)
        self.spare_pipes()

    cdef void stream_left(self, Handler stream):
        self.streams -= 1
        self.set_gauge(SL_COUNTER_HTTP2_STREAMS_OPEN, self.streams)

    cdef void limited(self, int scope) noexcept:
        """Somebody was refused for a limit; `scope` is a sl_scope."""
        self.count(SL_COUNTER_LIMITED)
        self.labelled(SL_FAMILY_LIMITED, scope, 0, 0, 0)[0] += 1

    cdef bint has_files(self, uint64_t clients, uint64_t dials, uint64_t rest) noexcept:
        """Whether there are descriptors for so many more clients and extra dials, and `rest` left then.

        Every client counts twice: the one that is accepted is promised the socket that is dialed for it. A stream has
        that alone, and the connection it is one of has none.
        """
        clients += len(self.connections)
        rest += 2 * (self.pipes.counts.idle + self.pipes.counts.busy)
        return (self.files_apart + 2 * clients - self.streams - self.multiplexed + self.extra_dials + dials + rest
                <= self.file_limit)

    cdef void ask_file_limit(self) noexcept:
        """It may be changed from outside (prlimit(2))."""
        limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.file_limit = FILES_MOST if limit == resource.RLIM_INFINITY else limit

    cdef void spare_pipes(self) noexcept:
        """Pipes get the descriptors that no client was promised."""
        cdef uint64_t taken = (self.files_apart + 2 * <uint64_t> len(self.connections) - self.streams - self.multiplexed
                               + PIPE_FILES_KEPT)
        cdef uint64_t left = (self.file_limit - taken) // 2 if self.file_limit > taken else 0
        sl_pipe_pool_limit(&self.pipes, <uint32_t> min(left, <uint64_t> PIPES_MOST))

    cdef void set_full(self, bint full) noexcept:
        if full != self.full:
            self.full = full
            self.on_full(full)
