# The way of one HTTP request to a connection: its credentials, its decision, and one that is kept or dialed.
from libc.stdint cimport uint8_t, uint16_t

from gateway.c.judge cimport sl_decision
from gateway.dial.opening cimport Opening
from gateway.dial.parent_way cimport ParentWay
from gateway.proto.http_request cimport HttpRequest
from gateway.proto.message cimport Message
from gateway.routing.route cimport Backend, HeaderChanges, Route
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.state.request_record cimport RequestRecord
from gateway.state.request cimport Request
from gateway.upstream.origin cimport ResponseTaker
from gateway.upstream.origin_pool cimport OriginConnection, OriginPool, OriginPools

cdef class Approach(Request):
    cdef WorkerParts parts
    cdef OriginPools pools
    cdef ResponseTaker taker   # told how it went; None: it is over
    cdef HttpRequest codec     # target and credentials
    cdef Message message       # the request's head, as it came
    cdef RequestRecord record  # None before its target is known
    cdef Opening opening       # under way; None: none
    cdef OriginConnection kept  # of a pool, that the opening has found; None: none
    cdef Route route           # None: none
    cdef HeaderChanges changes  # None: none
    cdef str lacks             # name of a credential that the request cannot get; None: none
    cdef Backend backend       # that the route has chosen; None: the destination asked for
    cdef uint8_t aimed         # bool: the destination is a backend's own, and no route leads from it
    cdef OriginPool guess      # pool of its client's last connection, and next its own; None: none
    cdef OriginPool pool       # where it waits, or has a place for the connection that it dials; None: neither
    cdef uint8_t waits         # bool: it waits there
    cdef uint8_t kind          # sl_protocol of the client's connection
    cdef uint16_t dialed       # port of the connection
    cdef uint8_t fresh         # bool: only a new connection will do
    cdef uint8_t again         # bool: it was opened before

    # Begins, with a head that is whole. on_way, on_no_way or on_turned_away of the taker follows, maybe at once.
    cdef void begin(self, Message message) noexcept
    # A mirror's: the request goes to a backend, and is not counted as a decision.
    cdef void begin_copy(self, Approach main, Backend backend) noexcept
    # Once more, after an answer or the loss of its connection; `fresh`: over a new one.
    cdef void begin_again(self, ResponseTaker taker, bint fresh) noexcept
    # It is not wanted any more: nothing is called.
    cdef void cancel(self) noexcept

    cdef void go_inside(self, Record tunnel) noexcept
    cdef bint is_misdirected(self) noexcept
    cdef bint is_verdict(self, int result) noexcept
    cdef void ask(self) noexcept
    cdef void open(self) noexcept
    cdef bint head_for(self, Backend backend) noexcept
    cdef bint breaks_read_only(self) noexcept
    # Whether it leads to a backend of the route's own, and not where it was asked to.
    cdef bint is_elsewhere(self) noexcept
    cdef bint refuses_secrets(self, const sl_decision *decision) noexcept
    cdef void answer(self, Message head) noexcept
    cdef OriginPool pool_of(self, const sl_decision *decision, object through)
    cdef OriginPool parent_pool(self, ParentWay way)
    cdef bint may_forward(self) noexcept
    cdef bint may_share(self, const sl_decision *decision) noexcept
    cdef void wait(self) noexcept
    cdef void leave_pool(self, bint failed) noexcept
    cdef bint speaks_http2(self) noexcept
    cdef void reach(self, OriginConnection connection) noexcept
    cdef void turn_away(self, int outcome, str detail, int reason) noexcept
    cdef void over_limit(self, int outcome, int scope) noexcept
    cdef void fail(self, int outcome) noexcept

# Of a request of the client `who`; `auth`: AuthMode.
cdef Approach approach_of(WorkerParts parts, Request who, ResponseTaker taker, int kind, int auth)
