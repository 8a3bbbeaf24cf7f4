"""A tunnel that is answered and not dialed: only requests inside can be let pass. See held.pxd.

What it carries shows with its first bytes, which come only behind the answer. A request line, or the preface of HTTP/2,
makes it a connection of requests, of which each is judged by itself and has to be for the tunnel's host and port. What
is no HTTP satisfies no condition: it ends there, `needs_http`. So does what does not show in five seconds,
`inner_protocol_missing`. Nothing was sent to the outside before.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from gateway.c.contract cimport (
    SL_DENY, SL_OUTCOME_CLIENT_GONE, SL_OUTCOME_DENIED, SL_OUTCOME_DRAINED, SL_OUTCOME_REVOKED, SL_PHASE_ADDRESS,
    SL_PHASE_INNER, SL_PHASE_NAME, SL_REASON_INNER_PROTOCOL_MISSING, SL_REASON_NEEDS_HTTP,
)
from gateway.c.judge cimport sl_decision, sl_judge, sl_question, sl_refused, sl_waits_for_http
from gateway.c.leg cimport sl_leg_events, sl_leg_pending, sl_leg_receive, sl_leg_reset, sl_plain_leg
from gateway.c.segment cimport SL_FAMILY_TUNNELS, SL_LOG_DECISION
from gateway.dial.places cimport count_refusal
from gateway.io.leg cimport hand_leg
from gateway.io.loop cimport SCRATCH_SIZE
from gateway.io.outgoing cimport OUTGOING_FAILED
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP
from gateway.proto.sniff cimport (
    SNIFF_BYTES, SNIFF_HTTP2_PREFACE, SNIFF_LINE, SNIFF_MORE, SNIFF_UNKNOWN, Sniffed, sniff_inside,
)
from gateway.state.request cimport who_of
from gateway.tunnel.beginnings cimport Beginnings
from gateway.tunnel.inner cimport INNER_TIMEOUT
from gateway.tunnel.tunnel cimport CLIENT


cdef Held held_of(WorkerParts parts, Record record, Request request):
    cdef Held held = Held.__new__(Held)
    held.parts, held.record = parts, record
    held.who = who_of(request)
    held.who.inside = record
    return held


@cython.final
cdef class Held(Handler):
    """Made by held_of(). Keeps itself alive through the loop until it has ended."""

    def __cinit__(self):
        self.leg.fd = -1
        self.out = Outgoing.__new__(Outgoing)
        self.first = b""

    cdef void begin(self, Handler request, bytes answer, bytes early) noexcept:
        self.parts.loop.keep(self)
        self.parts.roster.replaced(request, self)
        hand_leg(self.parts.loop, &self.leg, self, CLIENT)
        self.record.opened = self.parts.loop.now
        self.parts.loop.arm(self, INNER_TIMEOUT)
        if early is not None:
            self.first = early
        if answer:
            if not self.out.add(<const uint8_t *> PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer)):
                self.drop()
                return
        self.flushed(self.out.flush(&self.leg))

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        events = sl_leg_events(&self.leg, events)
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.state.hangup = True
        if events & EPOLLPRI:
            self.state.urgent = True
        if events & (EPOLLHUP | EPOLLERR):
            self.gone()
            return
        if events & EPOLLOUT and not self.out.is_empty():
            self.flushed(self.out.flush(&self.leg))
        if events & (EPOLLIN | EPOLLRDHUP) and not self.closed:
            self.state.readable = True
            self.read()

    cdef void on_turn(self) noexcept:
        if self.state.readable:
            self.read()

    cdef void flushed(self, OutgoingStep step) noexcept:
        """Of the answer: nothing is looked at before the client has taken it whole."""
        if step == OUTGOING_FAILED:
            self.gone()
            return
        self.look()
        if self.state.readable and not self.closed:
            self.parts.loop.later(self)

    cdef void read(self) noexcept:
        cdef ssize_t got
        while self.state.readable and self.out.is_empty() and not self.closed:
            got = sl_leg_receive(&self.leg, self.parts.loop.scratch, SCRATCH_SIZE)
            if got > 0:
                self.state.readable = got == SCRATCH_SIZE or self.state.hangup or sl_leg_pending(&self.leg)
                self.take(<size_t> got)
            elif got < 0 and errno == EAGAIN:
                self.state.readable = False
            elif got == 0 and self.first:
                self.deny(SL_REASON_NEEDS_HTTP, SL_OUTCOME_DENIED)  # the beginning of something, and no more
            else:
                self.gone()

    cdef void take(self, size_t length) noexcept:
        """So many bytes more, in the loop's buffer. A request line that goes on is not looked at before it ends."""
        cdef uint8_t *more = self.parts.loop.scratch
        cdef size_t before = PyBytes_GET_SIZE(self.first)
        self.first = self.first + more[:length]
        if before < SNIFF_BYTES or before + length > SNIFF_LINE or memchr(more, c"\n", length) is not NULL:
            self.look()

    cdef void look(self) noexcept:
        cdef Sniffed found
        if self.closed or not self.out.is_empty():
            return
        found = sniff_inside(<const uint8_t *> PyBytes_AS_STRING(self.first), PyBytes_GET_SIZE(self.first))
        if found == SNIFF_UNKNOWN:
            self.deny(SL_REASON_NEEDS_HTTP, SL_OUTCOME_DENIED)
        elif found != SNIFF_MORE:
            self.carry(found == SNIFF_HTTP2_PREFACE)

    cdef void on_timer(self) noexcept:
        self.deny(SL_REASON_INNER_PROTOCOL_MISSING, SL_OUTCOME_DENIED)

    # ---- judged again ------------------------------------------------------------------------------------------------

    cdef void rejudge(self) noexcept:
        """It still waits where a request may be let pass, or where a tunnel may by now: then it is none any more."""
        cdef Record record = self.record
        cdef sl_question question
        cdef sl_decision decision
        record.follow()
        record.question(&question)
        sl_judge(&record.generation.image.image, &question,
                 SL_PHASE_ADDRESS if record.name is None else SL_PHASE_NAME, NULL, &decision, NULL)
        record.decided(&decision)
        if sl_refused(&decision) and not sl_waits_for_http(&decision):
            self.deny(decision.reason, SL_OUTCOME_REVOKED)

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void carry(self, bint http2) noexcept:
        """HTTP is inside."""
        cdef sl_leg leg = self.leg
        cdef bytes first = self.first
        self.leg = sl_plain_leg(-1)
        self.record.leave_limits()
        (<Beginnings> self.parts.beginnings).carry_requests(self.who, &leg, self.state, first, http2)
        self.leave()

    cdef void deny(self, int reason, int outcome) noexcept:
        """Success was answered before: all that is left is a reset."""
        cdef Record record = self.record
        if self.closed:
            return
        record.decision.verdict, record.decision.would_deny = SL_DENY, False
        if record.decision.reason != reason:
            record.decision.reason = <uint8_t> reason
            if reason == SL_REASON_INNER_PROTOCOL_MISSING:
                record.decision.phase = SL_PHASE_INNER
        count_refusal(record, outcome, 0)
        record.write(SL_LOG_DECISION, outcome, 0, 0)
        self.drop()

    cdef void gone(self) noexcept:
        """The client has left before it has shown anything."""
        self.parts.meter.labelled(SL_FAMILY_TUNNELS, self.record.kind, SL_OUTCOME_CLIENT_GONE, 0, 0)[0] += 1
        self.record.write(SL_LOG_DECISION, SL_OUTCOME_CLIENT_GONE, 0, 0)
        self.drop()

    cdef void drop(self) noexcept:
        if self.closed:
            return
        sl_leg_reset(&self.leg)  # SO_LINGER of a client is 0: it sees a reset
        self.leg = sl_plain_leg(-1)
        self.record.leave_limits()
        self.leave()

    cdef void leave(self) noexcept:
        """The last step of every end: the object is parked, and nothing finds it any more."""
        self.closed = True
        self.first = b""
        self.out.clear()
        self.parts.roster.left(self)
        self.parts.loop.park(self)

    cdef void close(self) noexcept:
        """An internal error, or the end of the worker."""
        if not self.closed:
            self.record.write(SL_LOG_DECISION, SL_OUTCOME_DRAINED if self.parts.roster.draining else
                              SL_OUTCOME_CLIENT_GONE, 0, 0)
            self.drop()
