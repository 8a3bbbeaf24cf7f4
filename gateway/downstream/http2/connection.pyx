"""One client's HTTP/2 connection. See connection.pxd.

Reading and writing are http2/carrier.pyx's; here each stream's DATA of one input is handed on at once, and its
requests become tunnels, in their turn, or short answers.

* A turn is bounded in bytes, events and time: at FRAMES_SHARE frames, or what costs as much as EVENT_BLOCKS header
  blocks, the rest of the input is put aside and shares what time events leave of the turns to come (Loop.share). So is
  all input once a turn that carries much has lasted for EVENTS_TURN.
* Everything that has begun and not ended has its time: requestTimeout for the greeting, our SETTINGS to be
  acknowledged, a header block, a frame and an exchange that is not a tunnel. DATA of an open stream is a tunnel's
  business, whose idle time counts: a client that is suspended, or slow, stops within one nearly always.
"""

cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from gateway.state.parts cimport WorkerParts
from gateway.state.settings cimport PROTOCOL_AUTO, Settings
from gateway.c.contract cimport (
    SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_DENIED, SL_OUTCOME_MALFORMED, SL_OUTCOME_NO_ROUTE, SL_OUTCOME_NOT_BUILT,
    SL_OUTCOME_REQUEST_TIMEOUT,
)
from gateway.c.limit_table cimport SL_LIMIT_CONNECTIONS
from gateway.c.leg cimport sl_leg, sl_leg_drains_pipes
from gateway.c.pipe_pool cimport sl_pipe
from gateway.c.segment cimport (
    SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_HTTP2_ABUSE, SL_FAMILY_PROTOCOL_ERRORS, SL_H2_SIDE_CLIENT,
    SL_H2_SIDE_GATEWAY, SL_PROTOCOL_HBONE,
)
from gateway.http2.deadlines cimport (
    LATE_IDLE, LATE_SETTINGS, LATE_UNFINISHED, Late, deadlines_arm, deadlines_late, deadlines_look, deadlines_none,
    deadlines_room, deadlines_room_due,
)
from gateway.http2.carrier cimport H2Carrier
from gateway.http2.states cimport CARRIER_OPEN
from gateway.proto.answers cimport hbone_status, http2_answer
from gateway.proto.codec cimport CODEC_CREDENTIALS
from gateway.proto.http2.frames cimport (
    H2_CANCEL, H2_NO_ERROR, H2_PROTOCOL_ERROR, H2_REFUSED_STREAM, H2_SETTINGS_TIMEOUT,
)
from gateway.proto.grpc cimport grpc_refusal
from gateway.proto.http2.head cimport DIALECT_PIPY, H2Head
from gateway.proto.message cimport Message
from gateway.proto.http2.outbound cimport WORKER_WARM
from gateway.proto.http2.core cimport (
    EVENT_DATA, EVENT_END, EVENT_ERROR, EVENT_FAILED, EVENT_REFUSED, EVENT_REQUEST, EVENT_RESET, EVENT_WINDOW,
    EventKind,
)
from gateway.proto.http2.server cimport H2Server
from gateway.proto.http2.streams cimport (
    END_BOTH, END_RESET_BY_PEER, END_RESET_BY_US, STREAM_GRPC, STREAM_LOCAL_ENDED, STREAM_MALFORMED,
    STREAM_PAGE, STREAM_REMOTE_ENDED, StreamEnd, ring_unpark, streams_find, streams_next,
)
from gateway.downstream.http2.answers cimport ANSWER_BARE, ANSWER_ENDED, ANSWER_ENOUGH, ANSWER_GOES_ON, ANSWER_MALFORMED
from gateway.downstream.http2.connect cimport H2Request
from gateway.downstream.http2.exchange_stream cimport H2ExchangeStream
from gateway.downstream.http2.owners cimport owner_fill, owner_lost, owner_received
from gateway.downstream.http2.requests cimport ASKED_BROKEN, ASKED_EXCHANGE, ASKED_PAGE, ASKED_TUNNEL, Asked
from gateway.downstream.http2.tunnel cimport H2Tunnel
from gateway.proto.http2.work cimport FRAMES_A_STREAM, SLICES, TURN_BLOCKS, TURN_FRAMES, H2Work, Piece
from gateway.io.loop cimport Handler, clock_us
from gateway.state.speakers cimport may_speak
from gateway.tunnel.request cimport verify, verify_token

cdef enum:
    EVENT_BLOCKS = 32          # what costs as much as that many header blocks, of one connection as an event
    EVENT_FRAMES = 512         # of all connections together, after which the clock is asked
    EVENTS_TURN = 2000         # microseconds of a turn, after which what comes is for the shared part of a turn
    SHARE_BLOCKS = 8           # of one connection in the shared part: it goes round, and looks at the clock in between
    SHARE_FRAMES = 1024


cdef H2Connection http2_connection_of(WorkerParts parts, Request who, int auth, const sl_leg *leg):
    cdef H2Connection made = H2Connection(parts, who.listener, auth)
    made.leg = leg[0]
    made.writer.copies = not sl_leg_drains_pipes(leg)
    made.requests.tls, made.requests.relayed, made.requests.forwarded = who.tls, who.relayed, who.forwarded
    made.requests.peer, made.requests.peer_port, made.requests.source = who.peer, who.peer_port, who.source
    made.server.head.trusted = who.inside is None and may_speak(parts, who.tls)
    made.server.head.traced = &parts.settings.traced
    if who.inside is not None:
        made.requests.go_inside(who.inside)
    parts.limits.enter(who.source, SL_LIMIT_CONNECTIONS, &made.place)
    return made


@cython.final
cdef class H2Connection(H2Carrier):
    """Made by a connection that has read the preface of HTTP/2."""

    def __cinit__(self, WorkerParts parts, int listener, int auth):
        self.settings, self.roster, self.limits = parts.settings, parts.roster, parts.limits
        self.server = H2Server(auth)
        self.requests = H2Requests(parts, self.server, listener, auth)
        self.answers = ShortAnswers(self.server)
        self.take_over(parts, self.server)

    cdef void enter(self, const uint8_t *data, size_t length) noexcept:
        self.loop.keep(self)
        self.roster.multiplexed_entered()
        self.roster.entered(self)
        self.session.worker = &self.work.buffered
        self.server.streams_most = self.settings.streams_per_connection
        self.server.requests = self.requests.takes_requests()
        if not (self.server.begin(self.loop.now) and self.watch()):
            self.drop()
            return
        self.work.recall(self.requests.source, &self.session.budgets, self.loop.now)
        self.take_share(False)
        self.process(data, length)
        self.write_later()

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void rejudge(self) noexcept:
        if self.requests.inside is not None:
            self.requests.inside.follow()

    cdef void on_drain(self) noexcept:
        """Streams go on. A sidecar of the Pipy family would give them all up at a GOAWAY, so it gets none before."""
        if self.session.dialect != DIALECT_PIPY:
            self.session.leave(H2_NO_ERROR, b"")
            self.write_later()
        if self.session.streams.count == 0:
            self.leave()

    cdef void take_share(self, bint late) noexcept:
        """The rest of the turn for all of them, as events have it. Where they have used much the clock is asked."""
        cdef int32_t frames, blocks
        cdef uint64_t now = self.loop.now
        if late:
            self.allow(SHARE_FRAMES, SHARE_BLOCKS)
            return
        self.work.share(self.loop.turns, &frames, &blocks)
        blocks = min(blocks, <int32_t> EVENT_BLOCKS)
        if (self.work.blocks < TURN_BLOCKS - EVENT_BLOCKS // 2 or self.work.frames < TURN_FRAMES - EVENT_FRAMES) and \
                clock_us() >= now * 1000 + EVENTS_TURN:
            frames = blocks = 0
        self.allow(frames, blocks)

    cdef void allow(self, int32_t frames, int32_t blocks) noexcept:
        self.session.allow(frames, blocks, self.loop.now)
        self.frames, self.blocks = frames, blocks

    cdef void acted(self) noexcept:
        self.hand_out()
        self.work.frames -= self.frames - self.session.frames_left
        self.work.blocks -= self.blocks - self.session.blocks_left
        self.frames, self.blocks = self.session.frames_left, self.session.blocks_left

    cdef void act(self, EventKind kind, H2Event *event) noexcept:
        if kind == EVENT_DATA:
            self.take_data(event)
        elif kind == EVENT_WINDOW:
            ring_unpark(&self.session.streams, event.stream)
        elif kind == EVENT_REQUEST:
            self.request(event)
        elif kind == EVENT_END:
            self.take_trailers(event.stream)
        elif kind == EVENT_RESET:
            self.ended_stream(event.stream, event.code, SL_H2_SIDE_CLIENT)
        elif kind == EVENT_ERROR:
            self.ended_stream(event.stream, event.code, SL_H2_SIDE_GATEWAY)
        elif kind == EVENT_REFUSED:
            self.count_reset(SL_H2_SIDE_GATEWAY, H2_REFUSED_STREAM)
            self.requests.one_too_many(self, event.status)
        elif kind == EVENT_FAILED:
            if self.session.abuse >= 0:
                self.meter.labelled(SL_FAMILY_HTTP2_ABUSE, self.session.abuse, 0, 0, 0)[0] += 1
            self.requests.protocol_error(SL_OUTCOME_MALFORMED, None, None, 0)
            self.leave()

    cdef void ended_stream(self, H2Stream *stream, uint32_t code, int side) noexcept:
        """By a reset that the peer sent, or that the session did."""
        cdef Handler owner = <Handler> stream.owner if stream.owner is not NULL else None
        self.count_reset(side, code)
        self.drop_stream(stream, END_RESET_BY_PEER if side == SL_H2_SIDE_CLIENT else END_RESET_BY_US)
        if owner is not None:
            owner_lost(owner, True)

    # ---- requests ----------------------------------------------------------------------------------------------------

    cdef void request(self, H2Event *event) noexcept:
        cdef H2Head head = self.server.head
        cdef H2Stream *stream = event.stream
        cdef Asked asked = self.requests.kind(event.status)
        cdef uint64_t sequence
        if asked == ASKED_TUNNEL:
            self.connect(stream, event.status)
        elif asked == ASKED_EXCHANGE:
            self.exchange(stream, event.end)
        elif asked == ASKED_BROKEN:
            sequence = self.requests.protocol_error(head.outcome, head.user, head.detail, head.reason)
            if head.malformed:
                stream.flags |= STREAM_MALFORMED
            self.refuse_stream(stream, head.outcome, None, None, head.detail, sequence)
        elif asked == ASKED_PAGE:
            self.page(stream)
        elif (self.settings.listener(self.requests.listener).protocol == PROTOCOL_AUTO
                or self.requests.inside is not None):
            sequence = self.requests.protocol_error(SL_OUTCOME_NOT_BUILT, None, None, 0)
            self.refuse_stream(stream, SL_OUTCOME_NOT_BUILT, None, None, None, sequence)
        else:
            sequence = self.requests.protocol_error(SL_OUTCOME_NOT_BUILT, None, None, 0)
            self.settle(stream, self.answers.begin_none(stream, f"{self.meter.prefix}{sequence}",
                                                        self.settings.deny_message, self.loop.now))

    cdef void connect(self, H2Stream *stream, int status) noexcept:
        """A request for a tunnel. It asks at once: what has to wait for its source's limits does so by destination, so
        that no stream of the connection waits for another one (opening.pyx)."""
        cdef H2Request request = self.requests.asked_for(self)
        request.enter(stream)
        if status == CODEC_CREDENTIALS:
            self.loop.arm(request, self.settings.request_timeout)
            if self.server.head.token is not None:
                verify_token(self.requests.parts, request, self.server.head.token)
            else:
                verify(self.requests.parts, request, self.server.head.user, self.server.head.password)
        else:
            request.ask()

    cdef void exchange(self, H2Stream *stream, bint end) noexcept:
        """A request of HTTP. A protocol that is not served has no exchange."""
        cdef Message head = self.server.head.message
        cdef H2ExchangeStream side = self.requests.exchange_for(self, stream)
        cdef uint64_t sequence
        self.server.head.message = None
        if side is None:
            sequence = self.requests.protocol_error(SL_OUTCOME_NOT_BUILT, None, ":protocol is not websocket", 0)
            self.refuse_stream(stream, SL_OUTCOME_NOT_BUILT, None, None, ":protocol is not websocket", sequence)
        else:
            side.enter(stream, head, end)

    cdef void take_trailers(self, H2Stream *stream) noexcept:
        """The client's side of the stream has ended behind its content."""
        if stream.owner is NULL:
            self.plain(stream)
            return
        if isinstance(<object> stream.owner, H2ExchangeStream):
            (<H2ExchangeStream> stream.owner).end_in = self.server.head.message
            self.server.head.message = None
        self.touch(stream, NULL, 0)

    cdef void page(self, H2Stream *stream) noexcept:
        """Once the request is whole."""
        if stream.flags & STREAM_REMOTE_ENDED:
            self.plain(stream)
        else:
            self.answers.note(self.loop.now)

    cdef void plain(self, H2Stream *stream) noexcept:
        self.settle(stream, self.answers.begin_page(stream, self.loop.now))

    cdef void refuse_stream(self, H2Stream *stream, int outcome, str rule, str reason, str detail,
                            uint64_t sequence) noexcept:
        if stream.flags & STREAM_PAGE and rule is None and outcome in (
                SL_OUTCOME_DENIED, SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_NO_ROUTE):
            self.page(stream)
            return
        block, body = http2_answer(outcome, rule, reason, detail, f"{self.meter.prefix}{sequence}",
                                   self.settings.deny_message, len(self.settings.token_keys) > 0)
        if self.requests.protocol == SL_PROTOCOL_HBONE:
            block[0] = hbone_status(block[0])
        if stream.flags & STREAM_GRPC:
            block, body = grpc_refusal(outcome, reason, block, body), None
        self.settle(stream, self.answers.begin(stream, block, body, self.loop.now))

    cdef void settle(self, H2Stream *stream, AnswerEnd end) noexcept:
        if end == ANSWER_BARE:
            self.drop_stream(stream, END_RESET_BY_US)
        elif end == ANSWER_ENDED:
            self.drop_stream(stream, END_BOTH)
        elif end == ANSWER_ENOUGH:
            self.reset_stream(stream, H2_NO_ERROR)
        elif end == ANSWER_MALFORMED:
            self.reset_stream(stream, H2_PROTOCOL_ERROR)
        self.write_later()

    cdef void end_short(self) noexcept:
        """Those that were under way at the last look are late. One look costs as much as there are streams, so it is
        taken once in the time that a request may take."""
        cdef bint left = False
        cdef H2Stream *stream = self.answers.late(streams_next(&self.session.streams, NULL), &left)
        cdef H2Stream *following
        while stream is not NULL:
            following = streams_next(&self.session.streams, stream)
            self.meter.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.reset_stream(stream, H2_CANCEL)
            stream = self.answers.late(following, &left)
        self.answers.since = self.loop.now if left else 0

    # ---- up ----------------------------------------------------------------------------------------------------------

    cdef void take_data(self, H2Event *event) noexcept:
        cdef H2Stream *stream = event.stream
        if stream.owner is NULL:
            self.session.consumed(stream, event.size)
            if event.end:
                self.plain(stream)
            return
        if stream.first_slice == 0:
            self.session.frames_left -= FRAMES_A_STREAM
        self.touch(stream, event.data, event.size)

    cdef inline void touch(self, H2Stream *stream, const uint8_t *data, uint32_t size) noexcept:
        """Its owner gets this with all that comes for it in this input."""
        cdef uint32_t identifier = stream.id
        if not self.work.add(stream, data, size):
            self.hand_out()
            # Handing out may have ended the tunnel, and with it the stream.
            if streams_find(&self.session.streams, identifier) is stream and stream.owner is not NULL:
                self.work.add(stream, data, size)
            else:
                self.session.consumed_late(size)

    cdef void hand_out(self) noexcept:
        """Each stream gets what came for it."""
        cdef H2Work work = self.work
        cdef uint32_t i
        for i in range(work.touches):
            if work.touched[i] is not NULL:
                self.hand_out_to(work.touched[i])
        work.touches = 0
        work.used = 1

    cdef void hand_out_to(self, H2Stream *stream) noexcept:
        cdef Piece pieces[SLICES]
        cdef uint32_t total = 0
        cdef int count = self.work.take(stream, pieces, &total)
        owner_received(stream, pieces, count, total)

    # ---- down --------------------------------------------------------------------------------------------------------

    cdef size_t fill(self, H2Stream *stream, uint8_t *at, size_t room, uint32_t most) noexcept:
        cdef size_t size
        cdef AnswerEnd end
        if stream.body is not NULL:
            size = self.answers.fill(stream, at, room, &end)
            if end != ANSWER_GOES_ON:
                self.settle(stream, end)
            return size
        return owner_fill(&self.session.streams, stream, at, room, most)

    cdef int64_t fill_pipe(self, H2Stream *stream, sl_pipe *pipe, uint32_t most) noexcept:
        return (<H2Tunnel> stream.owner).fill_pipe(pipe, most)

    # ---- streams that end --------------------------------------------------------------------------------------------

    cdef void tunnel_began(self) noexcept:
        self.tunnels += 1
        self.limits.leave(SL_LIMIT_CONNECTIONS, &self.place)

    cdef void tunnel_ended(self) noexcept:
        """With its last tunnel this is again one of its source's connections that carry nothing."""
        self.tunnels -= 1
        if self.tunnels == 0 and not self.closed and not self.limits.enter(
                self.requests.source, SL_LIMIT_CONNECTIONS, &self.place) and self.session.streams.count == 0:
            self.leave()

    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept:
        # A Pipy client expects nothing more on a stream that was ended here.
        cdef bint silent = self.session.dialect == DIALECT_PIPY and stream.flags & STREAM_LOCAL_ENDED
        if code == H2_CANCEL and self.writer.cut(stream):
            self.write_later()
        if silent:
            self.drop_stream(stream, END_RESET_BY_US)
        else:
            H2Carrier.reset_stream(self, stream, code)

    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept:
        if how == END_RESET_BY_PEER and self.writer.cut(stream):
            self.write_later()
        if stream.first_slice:
            # Bytes read in this turn and not handed out, which the owner never saw.
            self.session.consumed_late(self.work.forget(stream))
        self.session.drop(stream, how)
        if self.session.streams.count == 0 and not self.closed:
            if self.roster.draining:
                self.leave()
            else:
                self.wait_for()

    cdef void lose_stream(self, H2Stream *stream) noexcept:
        if stream.owner is NULL:
            self.drop_stream(stream, END_RESET_BY_US)
        else:
            owner_lost(<object> stream.owner, False)

    cdef void close_stream(self, H2Stream *stream) noexcept:
        if stream.owner is NULL:
            self.reset_stream(stream, H2_CANCEL)
        else:
            (<Handler> stream.owner).close()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void wait_for(self) noexcept:
        cdef Settings settings = self.settings
        cdef uint64_t now = self.loop.now
        cdef uint64_t at
        if self.state != CARRIER_OPEN:
            return
        at = deadlines_look(&self.deadlines, self.session, self.reader.rest is not NULL, now, settings.request_timeout,
                            settings.request_timeout, settings.idle_timeout)
        if self.answers.since:
            at = min(at, self.answers.since + settings.request_timeout)
        at = min(at, deadlines_room(&self.deadlines, self.session, now))
        deadlines_arm(&self.deadlines, self.loop, self, at)

    cdef bint waits(self) noexcept:
        return not (deadlines_none(&self.deadlines, self.session) and self.answers.since == 0
                    and self.deadlines.room_asked == 0 and self.work.buffered < WORKER_WARM)

    cdef void on_timer(self) noexcept:
        cdef Settings settings = self.settings
        cdef uint64_t now = self.loop.now
        cdef Late late = deadlines_late(&self.deadlines, self.session, now, settings.request_timeout,
                                        settings.request_timeout, settings.idle_timeout)
        self.deadlines.armed = 0
        if self.state != CARRIER_OPEN:
            self.drop()  # it does not even read the last frames
        elif late == LATE_UNFINISHED:
            self.timed_out(H2_NO_ERROR)
        elif late == LATE_SETTINGS:
            self.timed_out(H2_SETTINGS_TIMEOUT)
        elif late == LATE_IDLE:
            self.leave()
        else:
            if self.answers.since and self.answers.since + settings.request_timeout <= now:
                self.end_short()
            if deadlines_room_due(&self.deadlines, self.session, now):
                self.write_later()
                if self.reader.readable and not self.session.is_over():
                    self.loop.share(self)
            self.wait_for()

    cdef void timed_out(self, uint32_t code) noexcept:
        self.meter.count(SL_COUNTER_REQUEST_TIMEOUTS)
        self.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, self.requests.protocol, SL_OUTCOME_REQUEST_TIMEOUT, 0, 0)[0] += 1
        self.requests.turned_away(SL_OUTCOME_REQUEST_TIMEOUT, None, None, 0)
        if code != H2_NO_ERROR:
            self.session.leave(code, b"SETTINGS were not acknowledged")
        self.leave()

    cdef void on_broken(self) noexcept:
        self.requests.protocol_error(SL_OUTCOME_MALFORMED, None, self.broken.decode("ascii", "replace"), 0)

    cdef void release(self) noexcept:
        self.work.remember(self.requests.source, &self.session.budgets)
        self.limits.leave(SL_LIMIT_CONNECTIONS, &self.place)
        self.roster.multiplexed_left()
        self.roster.left(self)
