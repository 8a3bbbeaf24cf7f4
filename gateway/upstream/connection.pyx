"""One HTTP/2 connection to a parent gateway. See connection.pxd.

Reading, writing and what has begun and not ended are http2/carrier.pyx's, as for clients.

A connection that carries nothing is kept for a minute. One that leaves a request unanswered and says nothing gets no
more of them until it says something: it is asked to by a PING.
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from gateway.state.parts cimport WorkerParts
from gateway.state.settings cimport Settings
from gateway.c.contract cimport SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_INTERNAL, SL_OUTCOME_UPSTREAM_FAILED
from gateway.c.segment cimport (
    SL_FAMILY_HTTP2_ABUSE, SL_H2_SIDE_GATEWAY, SL_H2_SIDE_PARENT, SL_PROTOCOL_HTTP2,
)
from gateway.proto.http2.client cimport H2Client
from gateway.proto.http2.core cimport (
    BLOCKS_SHARE, EVENT_ANSWER, EVENT_DATA, EVENT_END, EVENT_ERROR, EVENT_FAILED, EVENT_GOAWAY, EVENT_RESET,
    EVENT_SETTINGS, EVENT_WINDOW, FRAMES_SHARE, EventKind,
)
from gateway.http2.carrier cimport H2Carrier
from gateway.http2.deadlines cimport (
    LATE_IDLE, LATE_SETTINGS, LATE_UNFINISHED, Late, deadlines_arm, deadlines_late, deadlines_look, deadlines_none,
)
from gateway.http2.states cimport CARRIER_OPEN
from gateway.proto.http2.frames cimport H2_REFUSED_STREAM, H2_SETTINGS_TIMEOUT
from gateway.proto.http2.streams cimport (
    END_RESET_BY_PEER, END_RESET_BY_US, STREAM_ANSWERED, StreamEnd, ring_out, ring_unpark, streams_next,
)
from gateway.io.sockets cimport keep_alive, local_address
from gateway.io.states cimport misstep
from gateway.upstream.states cimport (
    PARENT_DOUBTED, PARENT_GONE, PARENT_GREETING, PARENT_RETIRED, PARENT_SERVING, parent_may_become,
)

cdef enum:
    IDLE = 60000               # milliseconds that a connection is kept without a stream


@cython.final
cdef class ParentConnection(H2Carrier):
    """The client's side of a connection; see connection.pxd."""

    def __cinit__(self, WorkerParts parts, ParentConnections pool):
        self.pool = pool
        self.settings, self.roster = parts.settings, parts.roster
        self.client = H2Client()
        self.take_over(parts, self.client)

    cdef bint start(self) noexcept:
        cdef uint16_t port
        self.loop.keep(self)
        self.roster.parent_entered(self)
        keep_alive(self.leg.fd, self.settings.keep_alive)
        local_address(self.leg.fd, &self.here, &port)
        if not (self.client.begin(self.loop.now) and self.watch()):
            self.pool = None
            self.drop()
            return False
        self.wait_for()
        self.write_later()
        return True

    cdef void become(self, ParentState state) except *:
        if not parent_may_become(self.service, state):
            misstep(self.loop, f"a parent's connection in state {self.service} may not become {state}")
        self.service = state

    cdef uint32_t room(self) noexcept:
        return self.client.free_streams() if self.state == CARRIER_OPEN and self.service == PARENT_SERVING else 0

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void take_share(self, bint late) noexcept:
        self.session.allow(FRAMES_SHARE, BLOCKS_SHARE, self.loop.now)

    cdef void process(self, const uint8_t *data, size_t length) noexcept:
        if self.service == PARENT_DOUBTED:
            self.become(PARENT_SERVING)
            if self.pool is not None:
                self.pool.on_room(self)
        H2Carrier.process(self, data, length)

    cdef void act(self, EventKind kind, H2Event *event) noexcept:
        cdef ConnectStream stream = None
        if event.stream is not NULL and event.stream.owner is not NULL:
            stream = <ConnectStream> event.stream.owner
        if kind == EVENT_DATA:
            if stream is not None:
                stream.received(event.data, event.size, event.end)
        elif kind == EVENT_END:
            if stream is not None:
                stream.received(NULL, 0, True)
        elif kind == EVENT_WINDOW:
            ring_unpark(&self.session.streams, event.stream)
        elif kind == EVENT_ANSWER:
            self.answer(stream, event)
        elif kind == EVENT_RESET:
            self.end_stream(event.stream, event.code, SL_H2_SIDE_PARENT)
        elif kind == EVENT_ERROR:
            self.end_stream(event.stream, event.code, SL_H2_SIDE_GATEWAY)
        elif kind == EVENT_SETTINGS:
            ring_unpark(&self.session.streams, NULL)
            if self.service == PARENT_GREETING:
                self.become(PARENT_SERVING)
            if self.pool is not None:
                self.pool.on_room(self)
        elif kind == EVENT_GOAWAY:
            self.go_away(event.code)
        elif kind == EVENT_FAILED:
            self.meter.broke_rules(SL_PROTOCOL_HTTP2, SL_OUTCOME_UPSTREAM_FAILED)
            if self.session.abuse >= 0:
                self.meter.labelled(SL_FAMILY_HTTP2_ABUSE, self.session.abuse, 0, 0, 0)[0] += 1
            self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, self.session.detail)
            self.leave()

    cdef void answer(self, ConnectStream stream, H2Event *event) noexcept:
        if not self.proved:
            self.proved = True
            if self.pool is not None:
                self.pool.on_proved(self)
        if stream is not None:
            stream.take_answer(event.code, event.end)

    cdef void end_stream(self, H2Stream *stream, uint32_t code, int side) noexcept:
        """By a reset that the parent sent, or that the session did."""
        cdef ConnectStream owner = <ConnectStream> stream.owner if stream.owner is not NULL else None
        cdef bint refused = side == SL_H2_SIDE_PARENT and code == H2_REFUSED_STREAM \
            and not stream.flags & STREAM_ANSWERED
        self.count_reset(side, code)
        self.drop_stream(stream, END_RESET_BY_PEER if side == SL_H2_SIDE_PARENT else END_RESET_BY_US)
        if owner is None:
            return
        if refused:
            owner.returned()  # section 8.7: it was not looked at
        else:
            owner.lost()

    cdef void go_away(self, uint32_t last) noexcept:
        """Section 6.8: no new streams here; those the parent did not look at are asked elsewhere."""
        cdef H2Stream *stream = streams_next(&self.session.streams, NULL)
        cdef ConnectStream owner
        # One that was asked nothing yet would be followed by another such one, and so on.
        self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, None if self.asked else "it said GOAWAY before any request")
        while stream is not NULL:
            if stream.id <= last:
                stream = streams_next(&self.session.streams, stream)
                continue
            owner = <ConnectStream> stream.owner if stream.owner is not NULL else None
            self.drop_stream(stream, END_RESET_BY_PEER)
            if owner is not None:
                owner.returned()
            stream = streams_next(&self.session.streams, NULL)  # from the start: others may have ended with it
        self.wait_for()

    # ---- what streams ask for ----------------------------------------------------------------------------------------

    cdef size_t fill(self, H2Stream *stream, uint8_t *at, size_t room, uint32_t most) noexcept:
        if stream.owner is not NULL:
            return (<ConnectStream> stream.owner).fill(at, room, most)
        ring_out(&self.session.streams, stream)
        return 0

    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept:
        self.session.drop(stream, how)
        if self.closed:
            return
        if self.session.streams.count == 0:
            self.wait_for()
        if self.pool is not None:
            self.pool.on_room(self)

    cdef void doubt(self) noexcept:
        if self.service == PARENT_SERVING and self.state == CARRIER_OPEN:
            self.become(PARENT_DOUBTED)
            self.client.ping()
            self.write_later()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void wait_for(self) noexcept:
        """Arms the timer for what is awaited now. A greeting is awaited as long as a dial, a stream for a minute."""
        cdef Settings settings = self.settings
        if self.state != CARRIER_OPEN:
            return
        if (self.session.greeted and self.session.streams.count == 0
                and (self.service >= PARENT_RETIRED or self.session.going)):
            self.leave()
            return
        deadlines_arm(&self.deadlines, self.loop, self, deadlines_look(
            &self.deadlines, self.session, self.reader.rest is not NULL, self.loop.now, settings.dial_timeout,
            settings.request_timeout, IDLE))

    cdef bint waits(self) noexcept:
        return not deadlines_none(&self.deadlines, self.session)

    cdef void on_timer(self) noexcept:
        cdef Settings settings = self.settings
        cdef Late late = deadlines_late(&self.deadlines, self.session, self.loop.now, settings.dial_timeout,
                                        settings.request_timeout, IDLE)
        self.deadlines.armed = 0
        if self.state != CARRIER_OPEN:
            self.drop()
        elif late == LATE_UNFINISHED and not self.session.greeted:
            self.tell_gone(SL_OUTCOME_DIAL_TIMEOUT, "it did not say SETTINGS in time")
            self.leave()
        elif late == LATE_UNFINISHED:
            self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, "it did not end a frame or a header block in time")
            self.leave()
        elif late == LATE_SETTINGS:
            self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, "it did not acknowledge SETTINGS in time")
            self.session.leave(H2_SETTINGS_TIMEOUT, b"SETTINGS were not acknowledged")
            self.leave()
        elif late == LATE_IDLE:
            self.leave()
        else:
            self.wait_for()

    cdef void retire(self) noexcept:
        if self.service < PARENT_RETIRED:
            self.become(PARENT_RETIRED)
        self.wait_for()

    cdef void tell_gone(self, int outcome, str detail) noexcept:
        cdef ParentConnections pool = self.pool
        self.pool = None
        if self.service != PARENT_GONE:
            self.become(PARENT_GONE)
        if pool is not None:
            pool.on_gone(self, outcome, detail)

    cdef void on_end(self, bint dropped) noexcept:
        self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED,
                       None if self.proved or not dropped else "it ended the connection before any answer")

    cdef void on_broken(self) noexcept:
        self.meter.broke_rules(SL_PROTOCOL_HTTP2, SL_OUTCOME_UPSTREAM_FAILED)
        self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, self.broken.decode("ascii", "replace"))

    cdef void lose_stream(self, H2Stream *stream) noexcept:
        cdef ConnectStream owner = <ConnectStream> stream.owner if stream.owner is not NULL else None
        cdef bint answered = stream.flags & STREAM_ANSWERED
        self.session.drop(stream, END_RESET_BY_PEER)
        if owner is None:
            return
        # A request that was not answered has carried nothing: it may be asked once more. Where the connection never was
        # of use another one would not be, either.
        if answered or not self.proved:
            owner.lost()
        else:
            owner.returned()

    cdef void close_stream(self, H2Stream *stream) noexcept:
        if stream.owner is NULL:
            self.session.drop(stream, END_RESET_BY_US)
        else:
            (<ConnectStream> stream.owner).close()

    cdef void release(self) noexcept:
        self.roster.parent_left(self)

    cdef void close(self) noexcept:
        if not self.closed:
            self.tell_gone(SL_OUTCOME_INTERNAL, "an internal error")
            H2Carrier.close(self)
