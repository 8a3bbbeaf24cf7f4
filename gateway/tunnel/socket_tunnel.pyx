"""A tunnel between two sockets: relay, half-close, back-pressure, resets. See socket_tunnel.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.contract cimport SL_OUTCOME_MALFORMED, SL_OUTCOME_RESET, SL_OUTCOME_UPSTREAM_FAILED
from gateway.c.leg cimport (
    sl_leg, sl_leg_close, sl_leg_ended, sl_leg_events, sl_leg_peek, sl_leg_pending, sl_leg_receive, sl_leg_reset,
    sl_leg_send, sl_plain_leg,
)
from gateway.c.relay cimport (
    SL_PUMP_BUDGET, SL_PUMP_DONE, SL_PUMP_DRY, SL_PUMP_FULL, SL_PUMP_SINK_RESET, sl_direction, sl_direction_answer,
    sl_direction_waits, sl_pump,
)
from gateway.io.loop cimport SCRATCH_SIZE
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from gateway.tunnel.beginnings cimport LegState
from gateway.tunnel.tunnel cimport CLIENT, UPSTREAM, Inspection

cdef enum:
    TURN_BUDGET = 1048576      # bytes of one direction in one turn: a bulk tunnel lets the others speak


@cython.final
@cython.no_gc_clear  # its pipes go back to the parts's pool
cdef class SocketTunnel(Tunnel):
    """Made by a stream connection that has its upstream."""

    def __cinit__(self):
        self.client.fd = self.upstream.fd = -1

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        """`leg` is ready: reading it feeds the one direction, writing it drains the other."""
        cdef Inspection inspection = self.inspection
        events = sl_leg_events(&self.client if leg == CLIENT else &self.upstream, events)
        self.note_end(events, leg)
        if inspection is not None:
            inspection.on_event(self, events, leg)
            return
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) and not self.pump(leg):
            return
        if events & EPOLLOUT and sl_direction_waits(&self.down if leg == CLIENT else &self.up):
            self.pump(1 - leg)

    cdef bint pump(self, int leg) noexcept:
        cdef sl_direction *direction = &self.up if leg == CLIENT else &self.down
        cdef sl_direction *back = &self.down if leg == CLIENT else &self.up
        cdef sl_leg *source = &self.client if leg == CLIENT else &self.upstream
        cdef sl_leg *sink = &self.upstream if leg == CLIENT else &self.client
        cdef uint64_t before = direction.bytes
        cdef int status
        if direction.done:
            return True
        direction.last = back.done
        status = sl_pump(direction, source, sink, self.parts.loop.scratch, SCRATCH_SIZE, TURN_BUDGET)
        if direction.bytes != before:
            self.carried(leg == CLIENT, direction.bytes - before)
        if status == SL_PUMP_DRY or status == SL_PUMP_FULL:
            return True
        if status == SL_PUMP_BUDGET:
            self.again |= 1 << leg
            self.parts.loop.later(self)
            return True
        if status == SL_PUMP_DONE:
            return self.half_closed(back.done)
        if status == SL_PUMP_SINK_RESET and not back.done:
            # Bytes that the failed peer sent before that still reach the other side, as it would without a gateway.
            sl_pump(back, sink, source, self.parts.loop.scratch, SCRATCH_SIZE, TURN_BUDGET)
        self.end(SL_OUTCOME_RESET, True)
        return False

    cdef void answer(self, bytes text) noexcept:
        cdef ssize_t sent = 0
        if not sl_direction_waits(&self.down):
            sent = max(0, sl_leg_send(&self.client, PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), False))
        if sent < PyBytes_GET_SIZE(text):
            sl_direction_answer(&self.down, <const uint8_t *> PyBytes_AS_STRING(text) + sent,
                                PyBytes_GET_SIZE(text) - sent)
            # Asks for the edge. A failure is answered again to the relay.
            sl_pump(&self.down, &self.upstream, &self.client, self.parts.loop.scratch, SCRATCH_SIZE, 0)

    cdef bint put_pending(self, int leg) noexcept:
        cdef bint upward = leg == UPSTREAM
        cdef sl_direction *direction = &self.up if upward else &self.down
        cdef uint64_t before = direction.bytes
        cdef int status = sl_pump(direction, &self.client if upward else &self.upstream,
                                  &self.upstream if upward else &self.client,
                                  self.parts.loop.scratch, SCRATCH_SIZE, 0)
        self.carried(upward, direction.bytes - before)
        if status == SL_PUMP_BUDGET or status == SL_PUMP_FULL:
            return True
        self.end(SL_OUTCOME_RESET, True)
        return False

    cdef ssize_t peek(self, uint8_t *buffer, size_t room, bint *ended) noexcept:
        cdef ssize_t got = sl_leg_peek(&self.client, buffer, room)
        # After an error the relay meets it too and carries it over as a reset.
        ended[0] = (got == 0 or (got < 0 and errno != EAGAIN) or got < <ssize_t> room and (
            self.up.hangup and not sl_leg_pending(&self.client) or sl_leg_ended(&self.client)))
        return got

    cdef size_t receive(self, uint8_t *buffer, size_t length) noexcept:
        cdef size_t taken = 0
        cdef ssize_t got
        while taken < length:
            got = sl_leg_receive(&self.client, buffer + taken, length - taken)
            if got <= 0:
                break
            taken += got
        return taken

    cdef void on_look(self, uint32_t since) noexcept:
        self.look(since, self.client.fd)

    cdef sl_leg give_client(self, LegState *state) noexcept:
        cdef sl_leg leg = self.client
        state.readable, state.hangup, state.urgent = True, self.up.hangup, self.up.urgent
        self.client = sl_plain_leg(-1)
        return leg

    cdef void close_legs(self, int outcome, bint reset) noexcept:
        if reset:
            if outcome == SL_OUTCOME_RESET:
                self.record.note_broken(&self.client, SL_OUTCOME_MALFORMED)
                self.record.note_broken(&self.upstream, SL_OUTCOME_UPSTREAM_FAILED)
            sl_leg_reset(&self.client)  # SO_LINGER is 0 as long as a tunnel lives
            sl_leg_reset(&self.upstream)
        else:
            sl_leg_close(&self.client)
            sl_leg_close(&self.upstream)
        self.client = sl_plain_leg(-1)
