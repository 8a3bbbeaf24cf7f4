"""A connection to an origin that speaks HTTP/2 (RFC 9113). See http2_origin.pxd.

* The request that it was dialed for is asked at once, others once the origin's SETTINGS have told its limits. What the
  origin refuses comes back untouched (section 8.7), as does what stands above the last stream of its GOAWAY (6.8).
* What breaks the rules ends the one request, or the connection with all of them: a response is whole, or it is lost.
"""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.contract cimport SL_OUTCOME_RESPONSE_INCOMPLETE, SL_OUTCOME_RESPONSE_INVALID, SL_OUTCOME_UNAVAILABLE
from gateway.c.leg cimport sl_leg, sl_leg_drains_pipes
from gateway.c.segment cimport SL_FAMILY_HTTP2_ABUSE, SL_H2_SIDE_GATEWAY, SL_H2_SIDE_PARENT, SL_PROTOCOL_HTTP2
from gateway.http2.deadlines cimport (
    LATE_IDLE, LATE_SETTINGS, LATE_UNFINISHED, Late, deadlines_arm, deadlines_late, deadlines_look, deadlines_none,
    deadlines_room, deadlines_room_due,
)
from gateway.http2.states cimport CARRIER_OPEN
from gateway.io.sockets cimport keep_alive
from gateway.proto.http2.core cimport (
    BLOCKS_SHARE, EVENT_ANSWER, EVENT_DATA, EVENT_END, EVENT_ERROR, EVENT_FAILED, EVENT_GOAWAY, EVENT_INTERIM,
    EVENT_RESET, EVENT_SETTINGS, EVENT_WINDOW, FRAMES_SHARE, EventKind,
)
from gateway.proto.http2.frames cimport H2_NO_ERROR, H2_REFUSED_STREAM, H2_SETTINGS_TIMEOUT
from gateway.proto.http2.outbound cimport WORKER_WARM
from gateway.proto.http2.streams cimport (
    END_RESET_BY_PEER, END_RESET_BY_US, STREAM_ANSWERED, StreamEnd, ring_out, ring_unpark, streams_next,
)
from gateway.upstream.http2_request cimport Http2OriginRequest
from gateway.upstream.origin cimport OriginRequest, ResponseTaker
from gateway.upstream.origin_pool cimport UPSTREAM_ACTIVE, UPSTREAM_IDLE, UPSTREAM_NOWHERE


@cython.final
cdef class Http2Origin(OriginConnection):
    """Made with a connected leg; keeps itself alive through the loop until it takes no more requests."""

    cdef void enter(self, sl_leg *leg, uint32_t events) noexcept:
        cdef OriginCarrier carrier = OriginCarrier.__new__(OriginCarrier)
        self.opened = self.parts.loop.now
        self.greets = self.pool is not None
        self.show(UPSTREAM_ACTIVE)
        self.carrier = carrier
        carrier.origin = self
        carrier.settings, carrier.client = self.parts.settings, H2Client()
        carrier.client.collects = True
        carrier.take_over(self.parts, carrier.client)
        carrier.session.worker = &self.parts.http2_work().buffered
        carrier.leg = leg[0]
        carrier.writer.copies = not sl_leg_drains_pipes(&carrier.leg)
        self.parts.loop.keep(self)
        if carrier.start() and events:
            carrier.on_event(events, 0)

    cdef bint has_room(self) noexcept:
        return not self.closed and self.carrier is not None and self.carrier.room() > 0

    cdef bint is_shared(self) noexcept:
        return True

    cdef bint is_busy(self) noexcept:
        return self.under_way > 0

    cdef OriginRequest request(self, ResponseTaker taker):
        cdef Http2OriginRequest request = Http2OriginRequest.__new__(Http2OriginRequest)
        request.parts, request.origin, request.carrier = self.parts, self, self.carrier
        request.taker, request.secure = taker, self.tls is not None
        request.reused, request.source = self.requests > 0, self.asker
        self.requests += 1
        self.under_way += 1
        self.show(UPSTREAM_ACTIVE)
        if self.pool is not None:
            self.pool.took(self.asker)
        self.parts.loop.keep(request)
        return request

    cdef void request_left(self, uint64_t source) noexcept:
        self.under_way -= 1
        if self.pool is not None:
            self.pool.gave(source)
        if self.closed:
            return
        if self.under_way == 0:
            self.idle_since = self.parts.loop.now
            self.show(UPSTREAM_IDLE)
            self.parts.loop.arm(self, self.parts.settings.pool_idle)
        if self.under_way == 0 and (
                self.pool is None or self.parts.loop.now - self.opened > self.parts.settings.pool_age):
            self.drop()
        else:
            self.room_changed()

    cdef void greeted(self) noexcept:
        if self.greets:
            self.greets = False
            self.pool.greeted(self.carrier.most())
        self.room_changed()

    cdef void room_changed(self) noexcept:
        """Kept where others find it as long as it takes requests."""
        if self.closed or self.pool is None:
            return
        if not self.has_room():
            self.pool.withdraw(self)
        elif not self.kept:
            self.pool.offer(self)
        else:
            self.pool.look()

    cdef void on_turn(self) noexcept:
        if self.parent_stream is not None and self.parent_stream.broken and self.carrier is not None:
            self.carrier.reader.hangup = True  # what came before still counts
            self.carrier.read()

    cdef void on_timer(self) noexcept:
        """Idle for too long; while requests are under way, it is not."""
        if self.under_way == 0:
            self.drop()
        else:
            self.parts.loop.arm(self, self.parts.settings.pool_idle)

    cdef void gone(self) noexcept:
        if self.closed:
            return
        self.closed = True
        self.carrier = None
        if self.pool is not None:
            if self.greets:
                self.pool.greeted(0)
            self.pool.lost(self)
        self.show(UPSTREAM_NOWHERE)
        if self.parent_stream is not None:
            self.parent_stream.cut()
            self.parent_stream = None
        self.parts.loop.park(self)

    cdef void drop(self) noexcept:
        cdef OriginCarrier carrier = self.carrier
        if carrier is None:
            self.gone()
        else:
            carrier.retire()

    cdef void close(self) noexcept:
        self.drop()


@cython.final
cdef class OriginCarrier(H2Carrier):
    """The client's side of a connection; see http2_origin.pxd."""

    cdef bint start(self) noexcept:
        self.loop.keep(self)
        keep_alive(self.leg.fd, self.settings.keep_alive)
        if not (self.client.begin(self.loop.now) and self.watch()):
            self.drop()
            return False
        self.wait_for()
        self.write_later()
        return True

    cdef uint32_t most(self) noexcept:
        return self.client.most_streams()

    cdef uint32_t room(self) noexcept:
        return self.client.free_streams() if self.state == CARRIER_OPEN and self.origin is not None else 0

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void take_share(self, bint late) noexcept:
        self.session.allow(FRAMES_SHARE, BLOCKS_SHARE, self.loop.now)

    cdef void act(self, EventKind kind, H2Event *event) noexcept:
        cdef Http2OriginRequest request = None
        if event.stream is not NULL and event.stream.owner is not NULL:
            request = <Http2OriginRequest> event.stream.owner
        if kind == EVENT_DATA:
            if request is not None:
                request.received(event.data, event.size, event.end)
            else:
                self.session.consumed(event.stream, event.size)
        elif kind == EVENT_WINDOW:
            ring_unpark(&self.session.streams, event.stream)
        elif kind == EVENT_ANSWER:
            self.proved = True
            if request is not None:
                request.answered(self.client.message, event.end)
        elif kind == EVENT_INTERIM:
            self.proved = True
            if request is not None:
                request.informed(self.client.message)
        elif kind == EVENT_END:
            if request is not None:
                request.end_in = self.client.message
                request.received(NULL, 0, True)
        elif kind == EVENT_RESET:
            self.end_stream(event.stream, event.code, SL_H2_SIDE_PARENT)
        elif kind == EVENT_ERROR:
            self.end_stream(event.stream, event.code, SL_H2_SIDE_GATEWAY)
        elif kind == EVENT_SETTINGS:
            ring_unpark(&self.session.streams, NULL)
            if self.origin is not None:
                self.origin.greeted()
        elif kind == EVENT_GOAWAY:
            self.go_away(event.code)
        elif kind == EVENT_FAILED:
            self.meter.broke_rules(SL_PROTOCOL_HTTP2, SL_OUTCOME_RESPONSE_INVALID)
            if self.session.abuse >= 0:
                self.meter.labelled(SL_FAMILY_HTTP2_ABUSE, self.session.abuse, 0, 0, 0)[0] += 1
            self.leave()

    cdef void end_stream(self, H2Stream *stream, uint32_t code, int side) noexcept:
        """By a reset that the origin sent, or that the session did. NO_ERROR behind a whole response says that the rest
        of the request is not wanted (section 8.1)."""
        cdef Http2OriginRequest owner = <Http2OriginRequest> stream.owner if stream.owner is not NULL else None
        cdef bint by_peer = side == SL_H2_SIDE_PARENT
        cdef bint untouched = by_peer and code == H2_REFUSED_STREAM and not stream.flags & STREAM_ANSWERED
        self.count_reset(side, code)
        self.drop_stream(stream, END_RESET_BY_PEER if by_peer else END_RESET_BY_US)
        if owner is not None:
            owner.lost(SL_OUTCOME_RESPONSE_INCOMPLETE if by_peer else SL_OUTCOME_RESPONSE_INVALID, untouched)

    cdef void go_away(self, uint32_t last) noexcept:
        """Section 6.8: no new streams here; those the origin did not look at are asked elsewhere."""
        cdef H2Stream *stream = streams_next(&self.session.streams, NULL)
        cdef Http2OriginRequest owner
        self.take_room()
        while stream is not NULL:
            if stream.id <= last:
                stream = streams_next(&self.session.streams, stream)
                continue
            owner = <Http2OriginRequest> stream.owner if stream.owner is not NULL else None
            self.drop_stream(stream, END_RESET_BY_PEER)
            if owner is not None:
                owner.lost(SL_OUTCOME_UNAVAILABLE, True)
            stream = streams_next(&self.session.streams, NULL)  # from the start: others may have ended with it
        self.wait_for()

    cdef void take_room(self) noexcept:
        cdef Http2Origin origin = self.origin
        self.origin = None
        if origin is not None:
            origin.gone()

    cdef void retire(self) noexcept:
        self.take_room()
        self.wait_for()

    # ---- what streams ask for ----------------------------------------------------------------------------------------

    cdef size_t fill(self, H2Stream *stream, uint8_t *at, size_t room, uint32_t most) noexcept:
        if stream.owner is not NULL:
            return (<Http2OriginRequest> stream.owner).fill(at, room, most)
        ring_out(&self.session.streams, stream)
        return 0

    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept:
        self.session.drop(stream, how)
        if not self.closed and self.session.streams.count == 0:
            self.wait_for()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void wait_for(self) noexcept:
        """Arms the timer for what is awaited now. How long it is kept without a stream is the pools' to say."""
        cdef Settings settings = self.settings
        cdef uint64_t at
        if self.state != CARRIER_OPEN:
            return
        if self.session.streams.count == 0 and self.origin is None:
            self.leave()
            return
        at = deadlines_look(&self.deadlines, self.session, self.reader.rest is not NULL, self.loop.now,
                            settings.dial_timeout, settings.request_timeout, settings.idle_timeout)
        at = min(at, deadlines_room(&self.deadlines, self.session, self.loop.now))
        deadlines_arm(&self.deadlines, self.loop, self, at)

    cdef bint waits(self) noexcept:
        return (not deadlines_none(&self.deadlines, self.session) or self.deadlines.room_asked != 0
                or self.work.buffered >= WORKER_WARM)

    cdef void on_timer(self) noexcept:
        cdef Settings settings = self.settings
        cdef Late late = deadlines_late(&self.deadlines, self.session, self.loop.now, settings.dial_timeout,
                                        settings.request_timeout, settings.idle_timeout)
        self.deadlines.armed = 0
        if self.state != CARRIER_OPEN:
            self.drop()
        elif late == LATE_SETTINGS:
            self.session.leave(H2_SETTINGS_TIMEOUT, b"SETTINGS were not acknowledged")
            self.leave()
        elif late == LATE_UNFINISHED or late == LATE_IDLE:
            self.leave()
        else:
            if deadlines_room_due(&self.deadlines, self.session, self.loop.now):
                self.write_later()
                if self.reader.readable and not self.session.is_over():
                    self.loop.share(self)
            self.wait_for()

    cdef void on_end(self, bint dropped) noexcept:
        self.take_room()

    cdef void on_broken(self) noexcept:
        self.meter.broke_rules(SL_PROTOCOL_HTTP2, SL_OUTCOME_RESPONSE_INVALID)

    cdef void lose_stream(self, H2Stream *stream) noexcept:
        """A request that no byte was answered to on a connection that has worked may be tried once more."""
        cdef Http2OriginRequest owner = <Http2OriginRequest> stream.owner if stream.owner is not NULL else None
        cdef bint answered = stream.flags & STREAM_ANSWERED
        self.session.drop(stream, END_RESET_BY_PEER)
        if owner is not None:
            owner.lost(SL_OUTCOME_RESPONSE_INVALID if self.session.code else SL_OUTCOME_RESPONSE_INCOMPLETE,
                       not answered and owner.reused and self.session.code == H2_NO_ERROR)

    cdef void close_stream(self, H2Stream *stream) noexcept:
        self.lose_stream(stream)
