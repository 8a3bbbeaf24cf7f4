"""A tunnel between a stream of an HTTP/2 connection and a socket: its bytes both ways, and its end. See tunnel.pxd.

Bytes up: DATA goes from the connection's input to the upstream in one call for each stream and input; what the
upstream does not take is kept, and the stream's window is returned only as bytes leave, so no more than a window waits.

Bytes down: they are read straight to where they are sent from, with gaps left for the frame headers: what is not
covered by the windows is not read, so nothing of a stream waits here.

END_STREAM and end of file are carried over to each other. Resets cross as resets.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc cimport errno as c_errno
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport realloc
from libc.string cimport memcpy

from gateway.c.contract cimport SL_OUTCOME_INTERNAL, SL_OUTCOME_RESET, SL_OUTCOME_UPSTREAM_FAILED
from gateway.c.leg cimport (
    iovec, sl_leg, sl_leg_close, sl_leg_end_writing, sl_leg_events, sl_leg_into_pipe, sl_leg_pending, sl_leg_reset,
    sl_leg_send, sl_leg_send_parts, sl_plain_leg,
)
from gateway.c.pipe_pool cimport sl_pipe_unfit
from gateway.c.relay cimport (
    SL_COPYING, SL_COPY_ONLY, SL_PUMP_BUDGET, SL_PUMP_FULL, SL_SPLICING, sl_direction_free, sl_direction_waits, sl_pump,
    sl_way,
)
from gateway.http2.framing cimport (
    FRAMED_BYTES, FRAMED_END, FRAMED_FAILED, FRAMED_STALLED, Framed, Reading, read_frames,
)
from gateway.io.loop cimport SCRATCH_SIZE
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP
from gateway.proto.http2.core cimport H2Core
from gateway.proto.http2.frames cimport FRAME_HEADER, H2_CANCEL, H2_CONNECT_ERROR, H2_INTERNAL_ERROR
from gateway.proto.http2.streams cimport END_BOTH, STREAM_BULK, STREAM_REMOTE_ENDED, STREAM_STALLED, ring_out
from gateway.downstream.http2.stream_leg cimport StreamLeg
from gateway.tunnel.beginnings cimport LegState
from gateway.tunnel.tunnel cimport CLIENT, UPSTREAM, Inspection

cdef enum:
    SPLICE_FROM = 60000        # bytes of one read that are a sign of bulk: all that a share or a first window lets pass
    SPLICE_LEAST = 16384       # a splice of fewer costs more than copying them
    LEAN_CALLS = 2             # splices of fewer in a row end the splicing
    PENDING_ROOM = 16384       # first size of what waits for an upstream


cdef bytes joined(Piece *pieces, int count):
    cdef int i
    return b"".join([PyBytes_FromStringAndSize(<char *> pieces[i].base, pieces[i].size) for i in range(count)])


@cython.final
@cython.no_gc_clear  # its pipes go back to the parts's pool
cdef class H2Tunnel(Tunnel):
    """Made by an H2Request that has its upstream."""

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        """Of the upstream: the client's bytes come by received()."""
        cdef Inspection inspection = self.inspection
        events = sl_leg_events(&self.upstream, events)
        self.note_end(events, leg)
        if inspection is not None:
            inspection.on_event(self, events, leg)
            return
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) and not self.pump(UPSTREAM):
            return
        if events & EPOLLOUT and sl_direction_waits(&self.up):
            self.flush_up()

    cdef bint pump(self, int leg) noexcept:
        if leg == CLIENT:
            return self.flush_up()
        self.readable = True
        if self.stream is not NULL and not self.down.done:
            self.carrier.schedule(self.stream)
        return not self.closed

    # ---- up ----------------------------------------------------------------------------------------------------------

    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept:
        cdef Inspection inspection = self.inspection
        if self.stream is not NULL and self.stream.flags & STREAM_REMOTE_ENDED:
            self.client_ended = True
        self.held += total
        if inspection is None:
            self.put(pieces, count, total)
        else:
            inspection.take(self, joined(pieces, count) if total else None, self.client_ended)

    cdef ssize_t peek(self, uint8_t *buffer, size_t room, bint *ended) noexcept:
        """DATA goes to the inspection as it comes: nothing waits elsewhere."""
        ended[0] = self.client_ended
        c_errno.errno = EAGAIN
        return -1

    cdef bint put_pending(self, int leg) noexcept:
        cdef sl_leg none = sl_plain_leg(-1)
        cdef uint64_t before = self.up.bytes
        cdef int status
        if leg == CLIENT:
            return True  # the answer is the connection's
        status = sl_pump(&self.up, &none, &self.upstream, self.parts.loop.scratch, SCRATCH_SIZE, 0)
        self.carried(True, self.up.bytes - before)
        if status != SL_PUMP_BUDGET and status != SL_PUMP_FULL:
            self.end(SL_OUTCOME_RESET, True)
            return False
        self.put_out(before)
        if self.stream is not NULL:
            self.carrier.session.return_stream(self.stream)  # all of it may be needed for a whole head
        return True

    cdef void put(self, Piece *pieces, int count, uint32_t total) noexcept:
        """Straight to the upstream, unless something waits for it."""
        cdef ssize_t sent = 0
        cdef uint64_t before = self.up.bytes
        if total and self.up.pending is NULL:
            if count == 1:
                sent = sl_leg_send(&self.upstream, pieces.base, total, False)
            else:
                sent = sl_leg_send_parts(&self.upstream, <iovec *> pieces, count)
            if sent < 0 and errno != EAGAIN:
                self.end(SL_OUTCOME_RESET, True)
                return
            sent = max(sent, 0)
            self.up.bytes += sent
            self.carried(True, sent)
            self.put_out(before)
        if sent < <ssize_t> total:
            self.keep(pieces, count, sent)
        if self.client_ended or 0 < sent < <ssize_t> total:
            self.flush_up()

    cdef void keep(self, Piece *pieces, int count, size_t skip) noexcept:
        """Bytes that the upstream did not take."""
        cdef size_t i, size, need = 0
        cdef uint8_t *grown
        for i in range(<size_t> count):
            need += pieces[i].size
        need = need - skip + self.up.pending_to
        if self.room < self.up.pending_to:
            self.room = self.up.pending_to
        if need > self.room:
            size = self.room * 2 if self.room else PENDING_ROOM
            while size < need:
                size *= 2
            grown = <uint8_t *> realloc(self.up.pending, size)
            if grown is NULL:
                self.end(SL_OUTCOME_INTERNAL, True)
                return
            self.up.pending, self.room = grown, <uint32_t> size
        for i in range(<size_t> count):
            if skip >= pieces[i].size:
                skip -= pieces[i].size
                continue
            size = pieces[i].size - skip
            memcpy(self.up.pending + self.up.pending_to, <uint8_t *> pieces[i].base + skip, size)
            self.up.pending_to += <uint32_t> size
            skip = 0

    cdef bint flush_up(self) noexcept:
        """Puts out what waits for the upstream, then the end; False when the tunnel has ended."""
        cdef uint64_t before = self.up.bytes
        cdef ssize_t sent
        cdef bint failed = False
        while self.up.pending is not NULL:
            sent = sl_leg_send(&self.upstream, self.up.pending + self.up.pending_from,
                               self.up.pending_to - self.up.pending_from, False)
            if sent < 0:
                failed = errno != EAGAIN
                break
            self.up.pending_from += <uint32_t> sent
            self.up.bytes += sent
            if self.up.pending_from == self.up.pending_to:
                sl_direction_free(&self.up)
                self.room = 0
        if self.up.bytes != before:
            self.carried(True, self.up.bytes - before)
            self.put_out(before)
        if failed:
            self.end(SL_OUTCOME_RESET, True)
            return False
        return not self.client_ended or self.up.done or self.up.pending is not NULL or self.end_up()

    cdef bint end_up(self) noexcept:
        """Carries the client's end over; False when the tunnel has ended."""
        self.up.ended = 1  # the direction waits for room where the leg does not take the end
        if sl_leg_end_writing(&self.upstream) < 0:
            if errno == EAGAIN:
                return True
            self.end(SL_OUTCOME_RESET, True)
            return False
        self.up.done = 1
        return self.half_closed(self.down.done)

    cdef void put_out(self, uint64_t before) noexcept:
        """Windows are returned for what has left since `before`."""
        cdef uint32_t size = <uint32_t> (self.up.bytes - before)
        if size:
            self.held -= size
            self.carrier.session.consumed(self.stream, size)
            self.carrier.write_later()

    # ---- down --------------------------------------------------------------------------------------------------------

    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept:
        cdef H2Core session = self.carrier.session
        cdef H2Stream *stream = self.stream
        cdef Reading reading
        cdef Framed kind
        if self.closed or self.down.done or not self.readable or room <= FRAME_HEADER:
            ring_out(&session.streams, stream)
            return 0
        kind = read_frames(self.parts.meter, session, stream, &self.upstream, at, room, most, &reading)
        if kind == FRAMED_STALLED:
            return 0
        if kind != FRAMED_BYTES:
            self.readable = False
            self.down.urgent = 0
            if kind == FRAMED_END:
                self.down.ended = self.down.done = 1
                self.half_closed(self.up.done)
                return reading.written
            if kind == FRAMED_FAILED:
                self.end(SL_OUTCOME_RESET, True)
            return 0
        if (reading.got < reading.asked and not self.down.hangup and not self.down.urgent
                and not sl_leg_pending(&self.upstream)):
            # New bytes make a new edge; what came with these was told: an end by EPOLLRDHUP, a mark by EPOLLPRI.
            self.readable = False
            ring_out(&session.streams, stream)
        if reading.got >= SPLICE_FROM and self.down.way == SL_COPYING and not self.down.urgent:
            self.down.way = SL_SPLICING
            stream.flags |= STREAM_BULK
            self.down.lean = 0
            self.parts.files.pipes.counts.begun += 1
        self.took(reading.got)
        return reading.written

    cdef void took(self, uint32_t size) noexcept:
        self.carrier.session.sent(self.stream, size, False)
        self.down.bytes += size
        self.carried(False, size)

    cdef int64_t fill_pipe(self, sl_pipe *pipe, uint32_t most) noexcept:
        cdef H2Stream *stream = self.stream
        cdef uint32_t size = self.carrier.session.sendable(stream, min(most, pipe.size))
        cdef ssize_t got
        if self.down.urgent:
            self.leave_splice(SL_COPY_ONLY)  # splice(2) does not get past the mark
        if size < SPLICE_LEAST or self.down.urgent or self.down.done or not self.readable:
            return -1
        got = sl_leg_into_pipe(&self.upstream, pipe, size)
        if got > 0:
            stream.flags &= ~STREAM_STALLED
            self.down.lean = 0 if got >= SPLICE_LEAST else self.down.lean + 1
            if self.down.lean >= LEAN_CALLS:
                self.leave_splice(SL_COPYING)
            self.took(<uint32_t> got)
            return got
        if got == 0:
            return -1  # the end, which fill() carries over
        if sl_pipe_unfit(errno):
            self.parts.files.pipes.counts.refused += 1
            self.leave_splice(SL_COPY_ONLY)
            return -1
        # An empty pipe: EAGAIN is the upstream's, and new bytes make a new edge. A reset is reported once, and here.
        ring_out(&self.carrier.session.streams, stream)
        self.readable = False
        if errno != EAGAIN:
            self.end(SL_OUTCOME_RESET, True)
        return 0

    cdef void leave_splice(self, sl_way way) noexcept:
        if self.down.way == SL_SPLICING:
            self.parts.files.pipes.counts.ended += 1
            self.stream.flags &= ~STREAM_BULK
        self.down.way = way

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void lost(self) noexcept:
        self.end(SL_OUTCOME_RESET, True)

    cdef void on_look(self, uint32_t since) noexcept:
        self.look(since, -1)

    cdef sl_leg give_client(self, LegState *state) noexcept:
        """The stream becomes a leg; what it has sent is with the inspection."""
        cdef StreamLeg end = StreamLeg.__new__(StreamLeg)
        cdef H2Stream *stream = self.stream
        end.parts, end.carrier = self.parts, self.carrier
        self.carrier.session.consumed(stream, self.held)
        self.stream, self.held = NULL, 0
        self.parts.files.streams += 1  # as this one's own is given back
        state.readable, state.hangup, state.urgent = True, self.client_ended, False
        return end.enter(stream, None, self.client_ended)

    cdef void close_legs(self, int outcome, bint reset) noexcept:
        if not reset:
            self.carrier.forget_stream(&self.stream, END_BOTH)
        else:
            # RFC 9113 section 8.5: a TCP connection that failed is CONNECT_ERROR.
            self.carrier.cut_stream(&self.stream, H2_CONNECT_ERROR if outcome == SL_OUTCOME_RESET else
                                    H2_INTERNAL_ERROR if outcome == SL_OUTCOME_INTERNAL else H2_CANCEL)
        if reset:
            if outcome == SL_OUTCOME_RESET:
                if self.carrier.broken is not NULL:
                    self.record.broken = self.carrier.broken
                self.record.note_broken(&self.upstream, SL_OUTCOME_UPSTREAM_FAILED)
            sl_leg_reset(&self.upstream)
        else:
            sl_leg_close(&self.upstream)
        self.carrier.session.consumed_late(self.held)
        self.held = 0
        self.parts.roster.stream_left()

    cdef void left(self) noexcept:
        self.carrier.tunnel_ended()
