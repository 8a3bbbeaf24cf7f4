# One client connection of a byte-stream protocol (SOCKS, HTTP/1, or the destination's own), from its first byte until a
# tunnel takes its socket over, or it is refused.
from libc.stdint cimport uint8_t, uint32_t

from gateway.c.leg cimport sl_leg
from gateway.c.relay cimport sl_direction
from gateway.dial.opening cimport Opening
from gateway.downstream.entrance cimport Entrance, EntranceStep
from gateway.proto.codec cimport Codec
from gateway.state.claims cimport Token
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.state.request cimport Request

cdef class StreamConnection(Request):
    cdef WorkerParts parts
    cdef Record record         # facts of the complete request; None before
    cdef Opening opening       # the opening under way; None: none
    cdef sl_leg leg
    cdef sl_direction answers  # answers that the client has not taken yet, in front of all payload
    cdef Entrance entrance     # what stands before its requests; None: nothing, or it is passed
    cdef Codec codec           # None before the protocol is known, and once it has ended
    cdef bytes held            # bytes not used yet: a beginning, a request behind credentials, early payload; or None
    cdef uint32_t dropped      # bytes received behind a refusal
    cdef uint8_t drained       # bool: all that was reported is read: new bytes make a new edge
    cdef uint8_t hangup        # bool: EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported
    cdef uint8_t urgent        # bool: EPOLLPRI was reported

    # With an accepted socket; peer and source are set.
    cdef void enter(self, int fd) noexcept
    # On the leg of a connection that has carried requests; `data`: the first bytes of the next one.
    cdef void begin_again(self, const uint8_t *data, size_t length) noexcept
    cdef bint advance_leg(self) noexcept
    cdef bint passed(self, EntranceStep step) noexcept
    cdef void open_at_once(self) noexcept
    cdef int auth(self) noexcept
    cdef void refuse_proxy_header(self) noexcept
    cdef void refuse_record(self) noexcept
    cdef void read(self) noexcept
    cdef void feed(self, const uint8_t *data, size_t length) noexcept
    cdef bint detect(self, const uint8_t *data, size_t length) noexcept
    cdef void route(self, const uint8_t *data, size_t length) noexcept
    cdef void hand_over(self, const uint8_t *data, size_t length) noexcept
    cdef void protocol_error(self, int outcome, str detail) noexcept
    cdef void turned_away(self, int outcome, str detail) noexcept
    # Goes on behind a verdict on credentials, where it is not a limit's; `status`: the codec's.
    cdef bint is_verdict(self, int result) noexcept
    cdef void go_on(self, int status) noexcept
    cdef void advance(self, int status, const uint8_t *rest, size_t length) noexcept
    cdef void open(self) noexcept
    cdef void answer(self, int outcome) noexcept
    cdef void refuse(self, int outcome, str rule, str reason) noexcept
    cdef bint flush(self) noexcept
    cdef bint say(self, bytes text) noexcept
    cdef bint put_rest(self) noexcept
    cdef void linger(self) noexcept
    cdef void linger_read(self) noexcept
    cdef void abandon(self) noexcept
    cdef void drop(self) noexcept
    cdef void leave(self) noexcept
