"""What every source holds at once, over all workers: this worker's view of the shared table.

A source is the verified user, else the peer's IPv4 address or IPv6 /64 (CONTRACT.md section 1). Limits are the
gateway's: each worker counts in a column of its own and sums over all of them (csrc/limit_table.h). What a worker held
when it died is given back by the supervisor.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t
from libc.string cimport memcpy

from gateway.csrc cimport (
    SL_LIMIT_CONNECTIONS, SL_LIMIT_DIALS, SL_LIMIT_LOOKUPS, SL_LIMIT_PROVISIONAL, SL_LIMIT_REQUESTS, SL_LIMIT_TUNNELS,
    sl_addr_parse, sl_limits_attach, sl_limits_enter, sl_limits_enter_gateway, sl_limits_held,
    sl_limits_held_by_gateway, sl_limits_leave, sl_limits_source,
)

cdef enum:
    REQUESTS = 100             # of one source that were not answered yet
    LOOKUPS = 50               # in flight, of one source
    DIALS = 100                # in flight, of one source
    PROVISIONAL = 100          # tunnels of one source that wait for an inner name
    CONNECTIONS = 200          # of one source that are no tunnels: the excess over REQUESTS is there to be told why
    NAME_ROOM = 256            # of a user: RFC 1929 has room for 255 bytes; longer ones are counted by their beginning

KINDS = ("tunnels", "requests", "lookups", "dials", "provisional", "connections")


cdef class Limits:
    """One worker's view.

    `table`: a writable memoryview of the whole table; `worker`: the column it writes. Raises ValueError when the table
    is of another version or shape.
    """

    def __init__(self, table, unsigned worker):
        cdef unsigned char[::1] view = table
        if not sl_limits_attach(&self.table, &view[0], <size_t> view.shape[0], worker):
            raise ValueError("the table of limits belongs to another version")
        self.mapping = table
        self.most[<int> SL_LIMIT_REQUESTS] = REQUESTS
        self.most[<int> SL_LIMIT_LOOKUPS] = LOOKUPS
        self.most[<int> SL_LIMIT_DIALS] = DIALS
        self.most[<int> SL_LIMIT_PROVISIONAL] = PROVISIONAL
        self.most[<int> SL_LIMIT_CONNECTIONS] = CONNECTIONS

    def load(self, tunnels, per_source):
        """New limits, in force at once. What is held above them stays; nothing is added until it is below."""
        self.most_tunnels = min(tunnels, 0xFFFFFFFF)
        self.most[<int> SL_LIMIT_TUNNELS] = min(per_source, 0xFFFFFFFF)

    cdef uint64_t of_peer(self, const sl_addr *peer) noexcept:
        cdef uint8_t name[9]
        cdef int length = 4 if peer.family == 4 else 8
        name[0] = b"a"
        memcpy(name + 1, peer.bytes, length)
        return sl_limits_source(&self.table, name, 1 + length)

    cdef uint64_t of_user(self, bytes user) noexcept:
        cdef uint8_t name[NAME_ROOM]
        cdef size_t length = min(<size_t> PyBytes_GET_SIZE(user), <size_t> NAME_ROOM - 1)
        name[0] = b"u"
        memcpy(name + 1, PyBytes_AS_STRING(user), length)
        return sl_limits_source(&self.table, name, 1 + length)

    cdef bint enter(self, uint64_t source, int kind, uint32_t *place) noexcept:
        if place[0] == 0:
            place[0] = sl_limits_enter(&self.table, source, kind, self.most[kind])
        return place[0] != 0

    cdef bint enter_gateway(self, int kind, uint32_t *place) noexcept:
        if place[0] == 0:
            place[0] = sl_limits_enter_gateway(&self.table, kind, self.most_tunnels)
        return place[0] != 0

    cdef void leave(self, int kind, uint32_t *place) noexcept:
        cdef uint32_t held = place[0]
        if held != 0:
            place[0] = 0
            if not sl_limits_leave(&self.table, held, kind):
                self.strays += 1

    # The same for Python: kinds by name, sources by a peer's address (str) or a user (bytes).

    def take(self, source, kind):
        """A place for `source`, or for the gateway (None); 0 when there is none."""
        cdef uint32_t place = 0
        cdef int number = KINDS.index(kind)
        if source is None:
            self.enter_gateway(number, &place)
        else:
            self.enter(self.named(source), number, &place)
        return place

    def give_back(self, uint32_t place, kind):
        """Undoes one take()."""
        self.leave(KINDS.index(kind), &place)

    def held(self, source, kind):
        """What `source`, or the gateway (None), holds over all workers."""
        cdef int number = KINDS.index(kind)
        if source is None:
            return sl_limits_held_by_gateway(&self.table, number)
        return sl_limits_held(&self.table, self.named(source), number)

    cdef uint64_t named(self, source) except? 0:
        """Raises ValueError for a text that is no address."""
        cdef sl_addr peer
        cdef bytes text
        if isinstance(source, bytes):
            return self.of_user(source)
        text = source.encode("ascii")
        if not sl_addr_parse(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &peer):
            raise ValueError(f"not an address: {source}")
        return self.of_peer(&peer)
