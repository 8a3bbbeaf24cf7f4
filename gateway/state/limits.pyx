"""Places that every source holds at once, over all workers: this worker's view of the shared table.

A source is the verified user, else the identity of a certificate at its address, else the peer's IPv4 address or IPv6
/64; the whole IPv6 address where it has an identity or lies in a network of pods (DECISIONS.md section 1). Limits are
the gateway's: each worker counts in a column of its own and sums over all of them (csrc/shared/limit_table.h). Places
of a dead worker are given back by the supervisor. Requests a second (rates.pyx) follow in the same memory.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.stdlib cimport free as release, malloc
from libc.string cimport memcpy

from gateway.c.addr cimport sl_prefix_contains, sl_prefix_parse
from gateway.c.limit_table cimport (
    SL_LIMIT_CONNECTIONS, SL_LIMIT_DIALS, SL_LIMIT_HANDSHAKES, SL_LIMIT_LOOKUPS, SL_LIMIT_PROVISIONAL,
    SL_LIMIT_REQUESTS, SL_LIMIT_TUNNELS, SL_LIMIT_WAITING, sl_limits_attach, sl_limits_enter,
    sl_limits_enter_gateway, sl_limits_held, sl_limits_leave, sl_limits_source,
)
from gateway.c.rate_table cimport SL_RATES_SIZE

cdef enum:
    NAME_ROOM = 256            # of a user: RFC 1929 has room for 255 bytes; longer ones are counted by their beginning
    FACTORS_MOST = 4096        # sources with a factor; they come anew with their next request
    SHARED_FROM = 64           # a limit from which on its last eighth is shared out between destinations


cdef class Limits:
    """One worker's view.

    `table`: a writable memoryview of the whole table; `worker`: the column it writes. Raises ValueError when the table
    is of another version or shape.
    """

    def __init__(self, table, unsigned worker):
        cdef unsigned char[::1] view = table
        cdef ssize_t places = view.shape[0] - SL_RATES_SIZE
        if places <= 0 or not sl_limits_attach(&self.table, &view[0], <size_t> places, worker):
            raise ValueError("the table of limits belongs to another version")
        self.rates = Rates(view[places:])
        self.mapping = table

    def __dealloc__(self):
        release(self.pods)

    def load(self, settings, pod_networks):
        """New limits take effect at once. What is held above them stays; nothing is added until it is below.

        `settings` is gateway.contract.LimitSettings, `pod_networks` are CIDRs. Raises ValueError for an invalid one.
        """
        cdef dict by_kind = settings["per_source"]
        self.factors = None
        self._set_pods([network.encode("ascii") for network in pod_networks])
        self.most_tunnels = min(settings["tunnels"], 0xFFFFFFFF)
        self.most_handshakes = min(settings["handshakes"], 0xFFFFFFFF)
        self._set(SL_LIMIT_TUNNELS, settings["tunnels_per_source"])
        self._set(SL_LIMIT_REQUESTS, by_kind["requests"])
        self._set(SL_LIMIT_LOOKUPS, by_kind["lookups"])
        self._set(SL_LIMIT_DIALS, by_kind["dials"])
        self._set(SL_LIMIT_PROVISIONAL, by_kind["provisional"])
        self._set(SL_LIMIT_CONNECTIONS, by_kind["requests"])
        self._set(SL_LIMIT_WAITING, by_kind["requests"])

    def check(self, pod_networks):
        """Raises ValueError where load() would for these networks."""
        release(self._parse([network.encode("ascii") for network in pod_networks]))

    cdef int _set(self, int kind, most) except -1:
        self.most[kind] = min(most, 0xFFFFFFFF)
        self.at_once[kind] = self.most[kind]
        if self.most[kind] >= SHARED_FROM and kind in (SL_LIMIT_REQUESTS, SL_LIMIT_LOOKUPS, SL_LIMIT_DIALS):
            self.at_once[kind] -= self.most[kind] // 8
        return 0

    cdef int _set_pods(self, list networks) except -1:
        cdef sl_prefix *pods = self._parse(networks)
        release(self.pods)
        self.pods, self.pod_count = pods, <size_t> len(networks)
        return 0

    cdef sl_prefix *_parse(self, list networks) except? NULL:
        """The networks, to be released; NULL for none."""
        cdef sl_prefix *pods = NULL
        cdef bytes text
        cdef size_t count = 0
        if networks:
            pods = <sl_prefix *> malloc(len(networks) * sizeof(sl_prefix))
            if pods is NULL:
                raise MemoryError
        for text in networks:
            if not sl_prefix_parse(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &pods[count]):
                release(pods)
                raise ValueError(f"not a network: {text.decode()}")
            count += 1
        return pods

    cdef uint64_t of_peer(self, const sl_addr *peer, bint known) noexcept:
        cdef uint8_t name[17]
        cdef int length = 4 if peer.family == 4 else 8
        cdef size_t i
        if peer.family == 6:
            for i in range(self.pod_count):
                known = known or sl_prefix_contains(&self.pods[i], peer)
            if known:
                length = 16
        name[0] = b"a"
        memcpy(name + 1, peer.bytes, length)
        return sl_limits_source(&self.table, name, 1 + length)

    cdef uint64_t of_user(self, bytes user) noexcept:
        cdef uint8_t name[NAME_ROOM]
        cdef size_t length = min(<size_t> PyBytes_GET_SIZE(user), <size_t> NAME_ROOM - 1)
        name[0] = b"u"
        memcpy(name + 1, PyBytes_AS_STRING(user), length)
        return sl_limits_source(&self.table, name, 1 + length)

    cdef uint64_t of_identity(self, bytes identity, const sl_addr *peer) noexcept:
        cdef uint8_t name[17 + NAME_ROOM]
        cdef size_t length = min(<size_t> PyBytes_GET_SIZE(identity), <size_t> NAME_ROOM)
        name[0] = b"i"
        memcpy(name + 1, peer.bytes, 16)
        memcpy(name + 17, PyBytes_AS_STRING(identity), length)
        return sl_limits_source(&self.table, name, 17 + length)

    cdef bint enter(self, uint64_t source, int kind, uint32_t *place) noexcept:
        if place[0] == 0:
            place[0] = sl_limits_enter(&self.table, source, kind, self.times(source, self.most[kind]))
        return place[0] != 0

    cdef bint enter_at_once(self, uint64_t source, int kind, uint32_t *place) noexcept:
        if place[0] == 0:
            place[0] = sl_limits_enter(&self.table, source, kind, self.times(source, self.at_once[kind]))
        return place[0] != 0

    cdef uint64_t free(self, uint64_t source, int kind) noexcept:
        cdef uint64_t held = sl_limits_held(&self.table, source, kind)
        cdef uint64_t most = self.times(source, self.most[kind])
        return most - held if held < most else 0

    cdef void multiply(self, uint64_t source, uint32_t factor) noexcept:
        if factor > 1:
            if self.factors is None or len(self.factors) >= FACTORS_MOST:
                self.factors = {}
            self.factors[source] = factor

    cdef uint32_t times(self, uint64_t source, uint32_t most) noexcept:
        cdef uint64_t factor
        if self.factors is None:
            return most
        factor = self.factors.get(source, 1)
        return <uint32_t> min(most * factor, <uint64_t> 0xFFFFFFFF)

    cdef bint enter_gateway(self, int kind, uint32_t *place) noexcept:
        if place[0] == 0:
            place[0] = sl_limits_enter_gateway(
                &self.table, kind, self.most_handshakes if kind == SL_LIMIT_HANDSHAKES else self.most_tunnels)
        return place[0] != 0

    cdef void leave(self, int kind, uint32_t *place) noexcept:
        cdef uint32_t held = place[0]
        if held != 0:
            place[0] = 0
            if not sl_limits_leave(&self.table, held, kind):
                self.strays += 1
