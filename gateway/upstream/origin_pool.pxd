# Connections to origins that are kept for further requests (DECISIONS.md section 7, "Pools").
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg
from gateway.dial.race cimport Race
from gateway.io.loop cimport Handler
from gateway.parent.parent cimport ParentStream
from gateway.proto.message cimport Message
from gateway.state.parts cimport WorkerParts
from gateway.tls.session cimport TlsSession
from gateway.upstream.origin cimport OriginRequest, ResponseTaker

# A connection to an origin, which may carry one request or many.
cdef class OriginConnection(Handler):
    cdef WorkerParts parts
    cdef OriginPools pools
    cdef OriginPool pool       # that it is kept in, or was; None: it was in none
    cdef sl_leg leg
    cdef sl_addr address       # of the peer; family 0: a parent has resolved the name
    cdef uint16_t port
    cdef TlsSession tls        # None: cleartext
    cdef uint32_t requests     # that it has carried, with those under way
    cdef uint64_t opened       # loop milliseconds
    cdef uint64_t idle_since
    cdef tuple key             # of that pool; None: it is for one request alone
    cdef uint8_t waits         # bool: it is among those of its pool that take a request now
    cdef ParentStream parent_stream  # that the leg leads to; None: none

    # The leg leads to it; it may be None.
    cdef void follow(self, ParentStream stream) noexcept

    # With the leg, watched; `events` were reported and not acted upon.
    cdef void enter(self, sl_leg *leg, uint32_t events) noexcept
    # Whether it takes a request now.
    cdef bint has_room(self) noexcept
    # Whether requests are under way on it, though it is kept for others as well.
    cdef bint is_busy(self) noexcept
    # One of several requests on it is over.
    cdef void request_left(self) noexcept
    # It takes another one, or does not any more.
    cdef void room_changed(self) noexcept
    # The next request on it. After has_room() alone.
    cdef OriginRequest request(self, ResponseTaker taker)

# Those to one destination by one way.
cdef class OriginPool:
    cdef tuple key
    cdef uint32_t members      # connections that are kept in it, or were and live
    cdef list connections      # OriginConnection: those that take a request now; the one used last is the last one

cdef class OriginPools:
    cdef WorkerParts parts
    cdef dict known            # key -> OriginPool with a member
    cdef Message head          # in which an exchange puts together a head that leaves, and which no one keeps
    cdef uint64_t draws        # so far
    cdef uint32_t idle         # connections that carry nothing

    # A number, for shares: successive ones spread over every sum of weights (Knuth's multiplier).
    cdef inline uint64_t draw(self) noexcept:
        self.draws += 1
        return self.draws * 2654435761

    # One whose address is among the candidates of `race` that may be dialed; `candidate`: which. None: there is none.
    # `guess`: the pool of that key, as far as it is known.
    cdef OriginConnection find(self, tuple key, OriginPool guess, Race race, int *candidate)
    # It takes requests: it is kept under its key.
    cdef void offer(self, OriginConnection connection)
    # It takes none for now.
    cdef void withdraw(self, OriginConnection connection) noexcept
    # It has ended.
    cdef void forget(self, OriginConnection connection) noexcept
    # An idle connection is closed where descriptors run out, the oldest first.
    cdef bint give_up_one(self) noexcept
    cdef void take(self, OriginConnection connection, Py_ssize_t at) noexcept
