# Connections to origins that are kept for further requests, and requests that wait for one (DECISIONS.md section 7,
# "Pools").
#
#   request ── find ──▶ a connection
#           ── enter ─▶ it dials one, which joins the pool, or waits: ◀── on_pool
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg
from gateway.dial.race cimport Race
from gateway.io.loop cimport Handler
from gateway.parent.parent cimport ParentStream
from gateway.proto.message cimport Message
from gateway.state.parts cimport WorkerParts
from gateway.state.request cimport Request
from gateway.tls.session cimport TlsSession
from gateway.upstream.origin cimport OriginRequest, ResponseTaker
from gateway.upstream.shares cimport Shares

cdef enum PoolStep:
    POOL_DIAL = 0              # it may dial: its connection has a place in the pool
    POOL_WAITS = 1             # on_pool follows, unless it leaves
    POOL_FULL = 2              # so many wait already

cdef enum PoolProtocol:
    POOL_UNKNOWN = 0           # a connection may turn out to carry many requests
    POOL_HTTP1 = 1             # one at a time; or no connection came about lately: each request dials for itself
    POOL_HTTP2 = 2

# A connection to an origin, which may carry one request or many.
cdef class OriginConnection(Handler):
    cdef WorkerParts parts
    cdef OriginPools pools
    cdef OriginPool pool       # that it has a place in; None: it is for one request alone
    cdef sl_leg leg
    cdef sl_addr address       # of the peer; family 0: a parent has resolved the name
    cdef uint16_t port
    cdef uint8_t kept          # bool: where further requests find it
    cdef uint8_t shown         # UpstreamState that it is counted in
    cdef TlsSession tls        # None: cleartext
    cdef uint32_t requests     # that it has carried, with those under way
    cdef uint64_t asker        # source of the next request
    cdef uint64_t opened       # loop milliseconds
    cdef uint64_t idle_since
    cdef ParentStream parent_stream  # that the leg leads to; None: none

    # The leg leads to it; it may be None.
    cdef void follow(self, ParentStream stream) noexcept

    # With the leg, watched; `events` were reported and not acted upon.
    cdef void enter(self, sl_leg *leg, uint32_t events) noexcept
    # Whether it takes a request now.
    cdef bint has_room(self) noexcept
    # Whether it carries several requests at once, and is found by others while it carries one.
    cdef bint is_shared(self) noexcept
    # Whether requests are under way on it.
    cdef bint is_busy(self) noexcept
    # One of several requests on it is over, of that source.
    cdef void request_left(self, uint64_t source) noexcept
    # It takes another one, or does not any more.
    cdef void room_changed(self) noexcept
    # The next request on it, of `asker`. After has_room() alone.
    cdef OriginRequest request(self, ResponseTaker taker)

    cdef void show(self, UpstreamState state) noexcept

cdef enum UpstreamState:
    UPSTREAM_NOWHERE = 0
    UPSTREAM_ACTIVE = 1
    UPSTREAM_IDLE = 2
    UPSTREAM_PENDING = 3       # requests, no connections

# Those to one destination by one way.
cdef class OriginPool(Handler):
    cdef OriginPools pools
    cdef tuple key
    cdef list connections      # OriginConnection: those that take a request now; the one used last is the last one
    cdef dict waiting          # Request -> None: in order
    cdef dict apart            # source that has its half -> {Request: None}, in order; None: none
    cdef uint32_t count        # connections, and those that are being dialed
    cdef uint32_t dialing
    cdef uint32_t greeting     # connections of HTTP/2 whose limits are not known yet
    cdef uint32_t streams      # requests that a connection carries at once
    cdef uint32_t pending      # requests that wait
    cdef uint32_t under_way    # requests that have a connection, or dial one
    cdef uint8_t speaks        # PoolProtocol
    cdef uint8_t serving       # bool: those that have waited get their turn
    cdef Shares shares         # under way, by source

    # A connection whose address is among the candidates of `race` that may be dialed; `candidate`: which. None: there
    # is none, or others have waited for it.
    cdef OriginConnection find(self, uint64_t source, Race race, int *candidate)
    # For a request without a connection; `shares`: the one that it dials may turn out to carry many.
    cdef PoolStep enter(self, Request request, uint64_t source, bint shares) noexcept
    # It has waited, or dialed, and does not any more; `failed`: there was no connection.
    cdef void leave(self, Request request, uint64_t source, bint waits, bint failed) noexcept
    # Its connection is there, and has the place.
    cdef void dialed(self, uint64_t source, bint http2) noexcept

    # A request of that source has a connection, or dials one; it is over.
    cdef void took(self, uint64_t source) noexcept
    cdef void gave(self, uint64_t source) noexcept
    # A connection takes requests, and is found from now on; takes none; is gone.
    cdef void offer(self, OriginConnection connection) noexcept
    cdef void withdraw(self, OriginConnection connection) noexcept
    cdef void lost(self, OriginConnection connection) noexcept
    # The limits of an HTTP/2 connection are known, or it has ended before: `most` streams, or 0.
    cdef void greeted(self, uint32_t most) noexcept

    # Whether only an end of what is there brings a connection.
    cdef bint is_full(self) noexcept
    cdef bint may_have(self, uint64_t source) noexcept
    cdef bint may_dial(self, bint shares) noexcept
    cdef PoolStep wait(self, Request request, uint64_t source, bint has_half) noexcept
    cdef bint evict(self) noexcept
    # Whether it has neither a connection nor a request that waits: no one finds it.
    cdef bint is_empty(self) noexcept
    cdef void hide(self, OriginConnection connection) noexcept
    cdef void look(self) noexcept
    cdef void settle(self) noexcept

cdef class OriginPools:
    cdef WorkerParts parts
    cdef dict known            # key -> OriginPool that has something
    cdef Message head          # in which an exchange puts together a head that leaves, and which no one keeps
    cdef uint32_t workers      # of the gateway
    cdef uint32_t most         # connections of this worker to one destination
    cdef uint32_t pending_most  # requests that wait for one of them
    cdef uint64_t draws        # so far
    cdef uint32_t idle         # connections that others find
    cdef uint64_t *gauges[4]   # by UpstreamState

    # A number, for shares: successive ones spread over every sum of weights (Knuth's multiplier).
    cdef inline uint64_t draw(self) noexcept:
        self.draws += 1
        return self.draws * 2654435761

    # The pool of a key, which may be empty.
    cdef OriginPool pool(self, tuple key)
    # An idle connection is closed where descriptors run out, the oldest first.
    cdef bint give_up_one(self) noexcept
