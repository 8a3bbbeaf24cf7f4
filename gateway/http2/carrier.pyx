"""An HTTP/2 connection on a socket. See carrier.pxd.

Reading: one large recv(), all frames in it, as far as the turn's share goes; the rest of the input is put aside
(reader.pyx), and shares what time events leave of the turns to come (Loop.share).

Writing: at the end of a turn everything outgoing is put into one buffer, frames of the session first, then a share of
every stream that has something, and leaves by one send(). A stream that is bulk has its turn by itself, by way of a
pipe (writer.pyx).

What a stream means is for the two sides, downstream/http2 and upstream.
"""

cimport cython
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gateway.c.leg cimport sl_leg_broken, sl_leg_end_writing, sl_leg_events, sl_leg_reset
from gateway.c.pipe_pool cimport sl_pipe
from gateway.c.segment cimport SL_FAMILY_HTTP2_RESETS, SL_H2_CODE_OTHER, SL_H2_SIDE_GATEWAY
from gateway.c.silence cimport sl_tcp_silent
from gateway.http2.reader cimport INPUT_GONE, INPUT_LAST, INPUT_NOTHING, Input
from gateway.http2.states cimport CARRIER_FINISHED, CARRIER_GONE, CARRIER_LEAVING, CARRIER_OPEN, may_follow
from gateway.io.leg cimport hand_leg
from gateway.io.sockets cimport EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, linger
from gateway.io.states cimport misstep
from gateway.proto.http2.core cimport EVENT_NONE
from gateway.proto.http2.frames cimport H2_NO_ERROR
from gateway.proto.http2.streams cimport (
    END_BOTH, END_RESET_BY_US, STREAM_BULK, STREAM_LOCAL_ENDED, STREAM_REMOTE_ENDED, ring_add, streams_any,
)
from gateway.proto.http2.work cimport OUTPUT_SIZE

cdef enum:
    LINGER = 1000              # milliseconds for the peer to read the last frames and close
    READ_BUDGET = 1048576      # bytes of one turn
    WRITE_BUDGET = 1048576
    SHARE = 65536              # payload of one stream before the next one has its turn
    SHARE_ALONE = 262144       # where it is the only one
    ENDED_AT_ONCE = 64         # streams, with their connection, in one turn


cdef class H2Carrier(Handler):
    """The base of both sides' connections. Keeps itself alive until it has ended."""

    cdef int take_over(self, WorkerParts parts, H2Core session) except -1:
        self.loop, self.meter, self.work, self.session = parts.loop, parts.meter, parts.http2_work(), session
        self.leg.fd = -1
        self.reader = H2Reader.__new__(H2Reader)
        self.reader.leg, self.reader.session, self.reader.work = &self.leg, session, self.work
        self.writer = H2Writer.__new__(H2Writer)
        self.writer.leg, self.writer.session, self.writer.work = &self.leg, session, self.work
        self.writer.pipes = &parts.files.pipes
        return 0

    cdef bint watch(self) noexcept:
        if self.leg.fd < 0:
            hand_leg(self.loop, &self.leg, self, 0)
            return True
        linger(self.leg.fd, False)  # END_STREAM says what is complete here: the last frames matter more than a reset
        return self.loop.rewatch(self.leg.fd, self, 0, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

    cdef void move(self, CarrierState state) except *:
        if not may_follow(self.state, state):
            misstep(self.loop, f"an HTTP/2 connection in state {self.state} may not become {state}")
        self.state = state

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        events = sl_leg_events(&self.leg, events)
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.reader.hangup = True
        if events & EPOLLOUT and self.writer.blocked:
            self.writer.blocked = False
            self.write_later()
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.read()

    cdef void on_turn(self) noexcept:
        self.serve()
        if self.session.missteps:
            self.count_missteps()

    cdef void on_share(self) noexcept:
        self.take_share(True)
        if self.reader.rest is not NULL:
            self.work_through()
        if self.reader.readable and not self.closed:
            self.reader.readable = False
            self.read_on()
        # What that made outgoing leaves with what the next events make so: a window that goes out twice a turn keeps a
        # peer ahead, and what it sends waits here in copies.
        if self.stopped and not self.closed:
            self.stopped = False
            self.serve()

    cdef void on_look(self, uint32_t since) noexcept:
        if self.leg.fd >= 0 and sl_tcp_silent(self.leg.fd, since, &self.silence):
            self.drop()

    # ---- in ----------------------------------------------------------------------------------------------------------

    cdef void read(self) noexcept:
        if self.reader.rest is NULL and not self.sharing:
            self.take_share(False)
            self.read_on()
        else:
            self.reader.readable = True

    cdef void read_on(self) noexcept:
        """Until the socket has nothing more, or this connection has had its share: then `readable` says so."""
        cdef size_t got = 0, total = 0
        cdef Input found
        while self.state == CARRIER_OPEN:
            if (self.reader.rest is not NULL or total >= READ_BUDGET or self.session.frames_left <= 0
                    or self.session.blocks_left <= 0 or self.session.is_over()):
                self.read_again()
                return
            found = self.reader.receive(&got)
            if found == INPUT_NOTHING:
                return
            if found == INPUT_GONE:
                self.drop()
                return
            total += got
            self.process(self.work.input, got)
            if found == INPUT_LAST:
                return
        if not self.closed:
            self.linger_read()

    cdef void read_again(self) noexcept:
        self.reader.readable = True
        if self.session.is_over():
            self.wait_for()
        else:
            self.loop.share(self)

    cdef void linger_read(self) noexcept:
        if not self.closed and self.reader.discard() == INPUT_GONE:
            self.drop()

    cdef void process(self, const uint8_t *data, size_t length) noexcept:
        self.heard = self.loop.now
        self.session.feed(data, length, self.heard)
        self.work_through()

    cdef void work_through(self) noexcept:
        """All frames in the input, as far as the share goes, then what they carry."""
        cdef H2Core session = self.session
        cdef H2Event event
        cdef EventKind kind
        while self.state == CARRIER_OPEN:
            kind = session.next(&event)
            if kind == EVENT_NONE:
                break
            self.act(kind, &event)
        self.acted()
        self.keep_rest()
        if self.session.missteps:
            self.count_missteps()
        if not self.closed:
            if self.waits():
                self.wait_for()
            if session.out.data is not NULL or session.streams.ring is not NULL:
                self.write_later()

    cdef void count_missteps(self) except *:
        while self.session.missteps:
            self.session.missteps -= 1
            misstep(self.loop, "a stream of HTTP/2 has ended twice the same way")

    cdef void keep_rest(self) noexcept:
        if self.state != CARRIER_OPEN or not self.session.is_stopped():
            self.reader.free_rest()
            return
        self.loop.share(self)
        if not self.reader.keep_rest():
            self.drop()

    # ---- out ---------------------------------------------------------------------------------------------------------

    cdef void schedule(self, H2Stream *stream) noexcept:
        ring_add(&self.session.streams, stream)
        self.write_later()

    cdef void write_later(self) noexcept:
        """At the end of this turn: whatever else becomes outgoing in it leaves with the same send()."""
        if not self.closed:
            self.loop.later(self)

    cdef void serve(self) noexcept:
        """Sends until there is nothing to send, the socket is full, or the turn's budget is used up."""
        cdef H2Core session = self.session
        cdef H2Writer writer = self.writer
        cdef size_t size, total = 0
        cdef bint taken
        while not self.closed and not writer.blocked and (not writer.owes() or writer.drain()):
            size = self.gather(writer.take_frames())
            if size:
                taken = writer.put(self.work.output, size, False)
                writer.forget(size)
                if not taken:
                    break
            elif session.streams.ring is not NULL and not session.ended:
                size = self.splice()
            else:
                if self.state != CARRIER_OPEN and session.out.data is NULL:
                    self.finish()
                return
            total += size
            if total >= WRITE_BUDGET:
                self.stopped = True
                self.loop.share(self)
                break
        if writer.failed:
            self.drop()

    cdef size_t gather(self, size_t used) noexcept:
        """A share of every stream whose turn it is, behind the `used` bytes of the output. Returns the bytes used.
        Stops at a bulk stream: what is gathered leaves first, then that one has its turn."""
        cdef H2Core session = self.session
        cdef uint8_t *output = self.work.output
        cdef H2Stream *stream
        while session.streams.ring is not NULL and OUTPUT_SIZE - used > SHARE and not session.ended:
            stream = session.streams.ring
            if stream.flags & STREAM_BULK:
                break
            session.streams.ring = stream.next
            used += self.fill(stream, output + used, OUTPUT_SIZE - used,
                              SHARE_ALONE if stream.next is stream else SHARE)
        return used

    cdef size_t splice(self) noexcept:
        cdef H2Stream *stream = self.session.streams.ring
        cdef uint32_t identifier = stream.id
        cdef bint alone = stream.next is stream
        cdef sl_pipe *pipe = self.writer.borrow_pipe()
        cdef int64_t got = -1
        cdef size_t written
        self.session.streams.ring = stream.next
        if pipe is not NULL:
            got = self.fill_pipe(stream, pipe, self.writer.pipe_share())
            if got > 0:
                self.writer.send_pipe(identifier)
                return got
            self.writer.release_pipe()
        if got == 0:
            return 0
        written = self.fill(stream, self.work.output, OUTPUT_SIZE, SHARE_ALONE if alone else SHARE)
        if written:
            self.writer.put(self.work.output, written, False)
        return written

    # ---- streams -----------------------------------------------------------------------------------------------------

    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept:
        self.count_reset(SL_H2_SIDE_GATEWAY, code)
        self.session.reset(stream, code)
        self.write_later()
        self.drop_stream(stream, END_RESET_BY_US)

    cdef void forget_stream(self, H2Stream **held, StreamEnd how) noexcept:
        cdef H2Stream *stream = held[0]
        held[0] = NULL
        if stream is not NULL:
            stream.owner = NULL
            self.drop_stream(stream, how)

    cdef void cut_stream(self, H2Stream **held, uint32_t code) noexcept:
        cdef H2Stream *stream = held[0]
        held[0] = NULL
        if stream is not NULL:
            stream.owner = NULL
            self.reset_stream(stream, code)

    cdef void settle_stream(self, H2Stream **held, uint32_t code) noexcept:
        cdef H2Stream *stream = held[0]
        if stream is not NULL and stream.flags & STREAM_LOCAL_ENDED and stream.flags & STREAM_REMOTE_ENDED:
            self.forget_stream(held, END_BOTH)
        else:
            self.cut_stream(held, code)

    cdef void count_reset(self, int side, uint32_t code) noexcept:
        self.meter.labelled(SL_FAMILY_HTTP2_RESETS, side, min(code, <uint32_t> SL_H2_CODE_OTHER), 0, 0)[0] += 1

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void leave(self) noexcept:
        """No stream is left, or an error has ended them all: GOAWAY, then the end."""
        if self.state != CARRIER_OPEN:
            return
        self.move(CARRIER_LEAVING)
        self.on_end(False)
        self.session.leave(H2_NO_ERROR, b"")
        self.session.ended = True
        self.end_streams()
        self.loop.arm(self, LINGER)
        self.write_later()

    cdef void end_streams(self) noexcept:
        """The connection carries none of them any more. Those that are too many for one turn end in the next ones."""
        if self.remains is None and self.end_some():
            self.remains = H2Remains(self)
            self.loop.keep(self.remains)
            self.loop.share(self.remains)

    cdef bint end_some(self) noexcept:
        """Each one is forgotten on the way."""
        cdef H2Stream *stream
        cdef int _next
        for _next in range(ENDED_AT_ONCE):
            stream = streams_any(&self.session.streams)
            if stream is NULL:
                return False
            self.lose_stream(stream)
        return True

    cdef void finish(self) noexcept:
        if self.state == CARRIER_LEAVING:
            if sl_leg_end_writing(&self.leg) < 0 and errno == EAGAIN:
                self.writer.blocked = True  # and this is asked for again
                return
            self.move(CARRIER_FINISHED)
            self.loop.arm(self, LINGER)
            self.linger_read()

    cdef void drop(self) noexcept:
        if self.closed:
            return
        self.closed = True
        if self.state == CARRIER_OPEN:
            self.broken = sl_leg_broken(&self.leg)
            if self.broken is not NULL:
                self.on_broken()
        self.move(CARRIER_GONE)
        self.session.ended = True
        self.on_end(True)
        self.end_streams()
        self.reader.free_rest()
        self.session.detach()
        sl_leg_reset(&self.leg)  # SO_LINGER is off: the peer sees an end behind what was sent
        self.writer.free_output()
        self.release()
        self.loop.park(self)

    cdef void close(self) noexcept:
        """Ends at once: an internal error, or the end of the worker. What is outgoing has a chance to leave."""
        if self.closed:
            return
        while self.state == CARRIER_OPEN and self.session.streams.count:
            self.close_stream(streams_any(&self.session.streams))
        self.leave()
        self.serve()
        self.drop()

    # ---- of each side ------------------------------------------------------------------------------------------------

    cdef void take_share(self, bint late) noexcept:
        pass

    cdef void act(self, EventKind kind, H2Event *event) noexcept:
        pass

    cdef void acted(self) noexcept:
        pass

    cdef size_t fill(self, H2Stream *stream, uint8_t *at, size_t room, uint32_t most) noexcept:
        return 0

    cdef int64_t fill_pipe(self, H2Stream *stream, sl_pipe *pipe, uint32_t most) noexcept:
        return -1

    cdef void wait_for(self) noexcept:
        pass

    cdef bint waits(self) noexcept:
        return True

    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept:
        self.session.drop(stream, how)

    cdef void lose_stream(self, H2Stream *stream) noexcept:
        self.session.drop(stream, END_RESET_BY_US)

    cdef void close_stream(self, H2Stream *stream) noexcept:
        self.session.drop(stream, END_RESET_BY_US)

    cdef void on_end(self, bint dropped) noexcept:
        pass

    cdef void on_broken(self) noexcept:
        pass

    cdef void release(self) noexcept:
        pass

    cdef void tunnel_began(self) noexcept:
        pass

    cdef void tunnel_ended(self) noexcept:
        pass

    cdef void refuse_stream(self, H2Stream *stream, int outcome, str rule, str reason, str detail,
                            uint64_t sequence) noexcept:
        pass

    cdef void doubt(self) noexcept:
        pass


@cython.final
cdef class H2Remains(Handler):
    """Keeps itself, and with it the connection, until no stream is left."""

    def __cinit__(self, H2Carrier connection):
        self.connection = connection

    cdef void on_share(self) noexcept:
        if self.connection.end_some():
            self.connection.loop.share(self)
        else:
            self.close()

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.connection.loop.park(self)
