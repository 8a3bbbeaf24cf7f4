"""One client's HTTP/2 connection. See h2_connection.pxd.

Reading: one large recv(), all frames in it, then each stream's DATA is handed on at once. What becomes of requests is
in h2_requests, writing in h2_writer.

* A turn is bounded in bytes and in events: at FRAMES_SHARE frames, or what costs as much as BLOCKS_SHARE header blocks,
  the rest of the input is put aside and shares what time events leave of the turns to come (Loop.share).
* Everything that has begun and not ended has its time: requestTimeout for the greeting, our SETTINGS to be
  acknowledged, a header block, a frame and an exchange that is no tunnel. A DATA frame of an open stream is a tunnel's
  business, whose idle time counts: a client that is suspended, or slow, stops within one nearly always.
"""

from cpython.ref cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport UINT64_MAX, int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix cimport unistd

from gateway.context cimport Context, ListenerSpec
from gateway.csrc cimport (
    SL_COUNTER_HTTP2_CONNECTIONS, SL_COUNTER_HTTP2_CONNECTIONS_OPEN, SL_COUNTER_REQUEST_TIMEOUTS,
    SL_FAMILY_HTTP2_ABUSE, SL_FAMILY_PROTOCOL_ERRORS, SL_H2_SIDE_CLIENT, SL_H2_SIDE_GATEWAY, SL_LIMIT_CONNECTIONS,
    SL_OUTCOME_MALFORMED, SL_OUTCOME_REQUEST_TIMEOUT, SL_PROTOCOL_HTTP2, sl_pipe_give,
    sl_tcp_silent,
)
from gateway.h2_flow cimport Piece
from gateway.h2_frames cimport (
    FRAME_DATA, H2_CANCEL, H2_NO_ERROR, H2_SETTINGS_TIMEOUT, frames_inside, free_bytes,
)
from gateway.h2_head cimport DIALECT_PIPY
from gateway.h2_requests cimport H2Requests
from gateway.h2_session cimport (
    BLOCK_NONE, BLOCKS_SHARE, EVENT_DATA, EVENT_END, EVENT_ERROR, EVENT_FAILED, EVENT_NONE, EVENT_REFUSED,
    EVENT_REQUEST, EVENT_RESET, EVENT_WINDOW, FRAMES_SHARE, H2Session,
)
from gateway.h2_streams cimport END_RESET_BY_PEER, END_RESET_BY_US, streams_any, streams_find
from gateway.h2_tunnel cimport H2Tunnel
from gateway.h2_work cimport FRAMES_A_STREAM, INPUT_FIRST, INPUT_SIZE, SLICES, H2Work
from gateway.loop cimport Handler
from gateway.sockets cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_DONTWAIT, SHUT_WR, linger, recv, shutdown,
)

cdef enum:
    LINGER = 1000              # milliseconds for the client to read the last frames and close
    LINGER_BYTES = 1048576     # dropped meanwhile, at most
    READ_BUDGET = 1048576      # bytes of one turn
    ENDED_AT_ONCE = 64         # streams, with their connection, in one turn
    LOOK_AGAIN = 100           # milliseconds, for room in the worker's budget
    PREFACE = 1                # what_is_unfinished: the greeting; the others carry a number beside these
    BLOCK = 2
    FRAME = 3


cdef class H2Connection(H2Requests):
    """Made by a connection that has read the preface of HTTP/2."""

    def __cinit__(self, Context context, int fd, int listener):
        self.context = context
        self.fd = fd
        self.listener = listener
        self.session = H2Session((<ListenerSpec> context.listeners[listener]).auth)
        if context.work is None:
            context.work = H2Work()
        self.work = context.work
        self.appetite = INPUT_FIRST

    def __dealloc__(self):
        free(self.rest)

    cdef void enter(self, const uint8_t *data, size_t length) noexcept:
        cdef Context context = self.context
        context.multiplexed += 1
        context.count(SL_COUNTER_HTTP2_CONNECTIONS)
        context.set_gauge(SL_COUNTER_HTTP2_CONNECTIONS_OPEN, context.multiplexed)
        context.loop.keep(self)
        context.entered(self)
        linger(self.fd, False)  # END_STREAM says what is complete here: the last frames matter more than a reset
        self.session.worker = &self.work.buffered
        self.session.streams_most = context.streams_per_connection
        if not (self.session.begin(context.loop.now)
                and context.loop.rewatch(self.fd, self, 0, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)):
            self.drop()
            return
        self.work.recall(self.source, &self.session.budgets, context.loop.now)
        self.take_share()
        self.process(data, length)
        self.write_later()

    cdef ssize_t receive(self, uint8_t *buffer, size_t room) noexcept:
        cdef ssize_t got
        while True:
            got = recv(self.fd, buffer, room, MSG_DONTWAIT)
            if got >= 0 or errno != EINTR:
                return got

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.hangup = True
        if events & EPOLLOUT and self.blocked:
            self.blocked = False
            self.write_later()
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.read()

    cdef void on_turn(self) noexcept:
        self.serve()

    cdef void on_share(self) noexcept:
        self.session.allow(FRAMES_SHARE, BLOCKS_SHARE, self.context.loop.now)
        if self.rest is not NULL:
            self.work_through()
        if self.readable and not self.closed:
            self.readable = False
            self.read_on()
        if not self.closed:
            self.serve()

    cdef void on_drain(self) noexcept:
        """Streams go on. A sidecar of the Pipy family would give them all up at a GOAWAY, so it gets none before."""
        if self.session.dialect != DIALECT_PIPY:
            self.session.leave(H2_NO_ERROR, b"")
            self.write_later()
        if self.session.streams.count == 0:
            self.leave()

    cdef void take_share(self) noexcept:
        """As events have it: of what the turn has left for all of them."""
        cdef int32_t frames, blocks
        self.work.share(self.context.loop.turns, &frames, &blocks)
        self.session.allow(frames, blocks, self.context.loop.now)

    cdef void read(self) noexcept:
        if self.rest is NULL and not self.sharing:
            self.take_share()
            self.read_on()
        else:
            self.readable = True

    cdef void read_on(self) noexcept:
        """Until the socket has nothing more, or this connection has had its share: then `readable` says so."""
        cdef uint32_t room
        cdef size_t total = 0
        cdef ssize_t got
        while not self.closed and not self.leaving:
            if (self.rest is not NULL or total >= READ_BUDGET or self.session.frames_left <= 0
                    or self.session.blocks_left <= 0 or self.session.is_over()):
                self.readable = True
                if self.session.is_over():
                    self.wait_for()
                else:
                    self.context.loop.share(self)
                return
            room = self.appetite
            got = self.receive(self.work.input, room)
            if got > 0:
                total += got
                if got == <ssize_t> room and not self.session.is_warm():
                    self.appetite = INPUT_SIZE
                self.process(self.work.input, got)
                if got < <ssize_t> room and not self.hangup:
                    return
            elif got < 0 and errno == EAGAIN:
                return
            else:
                self.drop()
                return
        if not self.closed:
            self.linger_read()

    cdef void linger_read(self) noexcept:
        """What still comes is dropped; so that the close is not a reset that eats our last words."""
        cdef size_t total = 0
        cdef ssize_t got
        while not self.closed:
            got = self.receive(self.work.input, INPUT_SIZE)
            if got > 0 and total < LINGER_BYTES:
                total += got
            elif got < 0 and errno == EAGAIN:
                return
            else:
                self.drop()

    cdef void process(self, const uint8_t *data, size_t length) noexcept:
        self.session.feed(data, length, self.context.loop.now)
        self.work_through()

    cdef void work_through(self) noexcept:
        """All frames in the input, as far as the share goes, then what they carry."""
        cdef H2Session session = self.session
        cdef int32_t frames = session.frames_left
        cdef int32_t blocks = session.blocks_left
        cdef H2Event event
        cdef EventKind kind
        while not self.closed and not self.leaving:
            kind = session.next(&event)
            if kind == EVENT_NONE:
                break
            self.act(kind, &event)
        self.hand_out()
        self.work.frames -= frames - session.frames_left
        self.work.blocks -= blocks - session.blocks_left
        self.keep_rest()
        if not self.closed:
            self.wait_for()
            if session.out.data is not NULL or session.streams.ring is not NULL:
                self.write_later()

    cdef void keep_rest(self) noexcept:
        cdef H2Session session = self.session
        cdef uint32_t size
        if self.closed or self.leaving or not session.is_stopped():
            self.free_rest()
            return
        self.appetite = INPUT_FIRST
        self.context.loop.share(self)
        if self.rest is not NULL:
            return  # it lies there already
        size = <uint32_t> (session.reader.end - session.reader.data)
        self.rest = <uint8_t *> malloc(size)
        if self.rest is NULL:
            self.drop()
            return
        memcpy(self.rest, session.reader.data, size)
        self.rest_size = size
        self.work.buffered += size
        session.keep(self.rest, size)

    cdef void free_rest(self) noexcept:
        if self.rest is not NULL:
            self.work.buffered -= self.rest_size
            free(self.rest)
            self.rest = NULL

    cdef void act(self, EventKind kind, H2Event *event) noexcept:
        if kind == EVENT_DATA:
            self.take_data(event)
        elif kind == EVENT_WINDOW:
            self.opened_window(event.stream)
        elif kind == EVENT_REQUEST:
            self.request(event)
        elif kind == EVENT_END:
            self.plain(event.stream)
        elif kind == EVENT_RESET:
            self.ended_stream(event.stream, event.code, SL_H2_SIDE_CLIENT)
        elif kind == EVENT_ERROR:
            self.ended_stream(event.stream, event.code, SL_H2_SIDE_GATEWAY)
        elif kind == EVENT_REFUSED:
            self.one_too_many(event.status)
        elif kind == EVENT_FAILED:
            if self.session.abuse >= 0:
                self.context.labelled(SL_FAMILY_HTTP2_ABUSE, self.session.abuse, 0, 0, 0)[0] += 1
            self.protocol_error(SL_OUTCOME_MALFORMED, None, None)
            self.leave()

    cdef void ended_stream(self, H2Stream *stream, uint32_t code, int side) noexcept:
        """By a reset that the peer sent, or that the session did."""
        cdef H2Tunnel tunnel
        cdef PyObject *owner = stream.owner
        self.count_reset(side, code)
        self.drop_stream(stream, END_RESET_BY_PEER if side == SL_H2_SIDE_CLIENT else END_RESET_BY_US)
        if owner is not NULL:
            tunnel = <H2Tunnel> owner
            tunnel.stream = NULL
            tunnel.lost()

    # ---- up ----------------------------------------------------------------------------------------------------------

    cdef void take_data(self, H2Event *event) noexcept:
        cdef H2Stream *stream = event.stream
        cdef uint32_t identifier = stream.id
        if stream.owner is NULL:
            self.session.consumed(stream, event.size)
            if event.end:
                self.plain(stream)
            return
        if stream.first_slice == 0:
            self.session.frames_left -= FRAMES_A_STREAM
        if not self.work.add(stream, event.data, event.size):
            self.hand_out()
            # Handing out may have ended the tunnel, and with it the stream.
            if streams_find(&self.session.streams, identifier) is stream and stream.owner is not NULL:
                self.work.add(stream, event.data, event.size)
            else:
                self.session.consumed_late(event.size)

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
        cdef uint32_t i = stream.first_slice
        cdef uint32_t total = 0
        cdef int count = 0
        stream.first_slice = stream.last_slice = 0
        while i:
            if self.work.slices[i].size:
                pieces[count].base = <void *> self.work.slices[i].data
                pieces[count].size = self.work.slices[i].size
                total += self.work.slices[i].size
                count += 1
            i = self.work.slices[i].next
        (<H2Tunnel> stream.owner).received(pieces, count, total)

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef uint64_t what_is_unfinished(self) noexcept:
        cdef H2Session session = self.session
        if not session.greeted:
            return <uint64_t> PREFACE << 32
        if session.block != BLOCK_NONE:
            return <uint64_t> BLOCK << 32 | session.block_stream
        if self.rest is not NULL or not frames_inside(&session.reader) or (
                session.reader.inside and session.reader.frame.type == FRAME_DATA
                and streams_find(&session.streams, session.reader.frame.stream) is not NULL):
            return 0
        return <uint64_t> FRAME << 32 | session.reader.count

    cdef uint64_t due(self) noexcept:
        cdef Context context = self.context
        cdef H2Session session = self.session
        cdef uint64_t now = context.loop.now
        cdef uint64_t at = UINT64_MAX
        cdef uint64_t unfinished = self.what_is_unfinished()
        if unfinished != self.unfinished:
            self.unfinished, self.unfinished_since = unfinished, now
        if unfinished:
            at = self.unfinished_since + context.request_timeout
        if session.unacknowledged == 0:
            self.unacknowledged_since = 0
        else:
            if self.unacknowledged_since == 0:
                self.unacknowledged_since = now
            at = min(at, self.unacknowledged_since + context.request_timeout)
        if self.short_since:
            at = min(at, self.short_since + context.request_timeout)
        if session.streams.count:
            self.idle_since = 0
        else:
            if self.idle_since == 0:
                self.idle_since = now
            at = min(at, self.idle_since + context.idle_timeout)
        if not session.withheld and not session.is_over():
            self.room_asked = 0
        else:
            if self.room_asked == 0:
                self.room_asked = now + LOOK_AGAIN
            at = min(at, self.room_asked)
        return 0 if at == UINT64_MAX else at

    cdef void wait_for(self) noexcept:
        """Arms the timer for what is awaited now."""
        cdef Context context = self.context
        cdef uint64_t at
        if self.leaving or self.closed:
            return
        at = self.due()
        if at == self.armed:
            return
        self.armed = at
        if at == 0:
            context.loop.disarm(self)
        else:
            context.loop.arm(self, at - min(at, context.loop.now))

    cdef void on_timer(self) noexcept:
        cdef Context context = self.context
        cdef uint64_t now = context.loop.now
        cdef uint64_t before = now - min(now, context.request_timeout)
        self.armed = 0
        if self.finished or self.leaving:
            self.drop()  # it does not even read our last frames
        elif self.unfinished and self.unfinished_since <= before:
            self.timed_out(H2_NO_ERROR)
        elif self.unacknowledged_since and self.unacknowledged_since <= before:
            self.timed_out(H2_SETTINGS_TIMEOUT)
        elif self.idle_since and self.idle_since + context.idle_timeout <= now:
            self.leave()
        else:
            if self.short_since and self.short_since <= before:
                self.end_short()
            if self.room_asked and self.room_asked <= now:
                self.room_asked = 0
                self.session.return_connection()
                self.write_later()
                if self.readable and not self.session.is_over():
                    context.loop.share(self)
            self.wait_for()

    cdef void timed_out(self, uint32_t code) noexcept:
        self.context.count(SL_COUNTER_REQUEST_TIMEOUTS)
        self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_HTTP2, SL_OUTCOME_REQUEST_TIMEOUT, 0, 0)[0] += 1
        self.turned_away(SL_OUTCOME_REQUEST_TIMEOUT, None, None)
        if code != H2_NO_ERROR:
            self.session.leave(code, b"SETTINGS were not acknowledged")
        self.leave()

    cdef void leave(self) noexcept:
        """No stream is left, or an error has ended them all: GOAWAY, then the end."""
        if self.leaving or self.closed:
            return
        self.leaving = True
        self.session.leave(H2_NO_ERROR, b"")
        self.session.ended = True
        self.end_streams()
        self.context.loop.arm(self, LINGER)
        self.write_later()

    cdef void on_look(self, uint32_t since) noexcept:
        if sl_tcp_silent(self.fd, since, &self.silence):
            self.drop()

    cdef void end_streams(self) noexcept:
        """The connection carries none of them any more. Those that are too many for one turn end in the next ones."""
        if self.remains is None and self.end_some():
            self.remains = H2Remains(self)
            self.context.loop.keep(self.remains)
            self.context.loop.share(self.remains)

    cdef bint end_some(self) noexcept:
        """Each one is forgotten on the way."""
        cdef H2Stream *stream
        cdef H2Tunnel tunnel
        cdef int _next
        for _next in range(ENDED_AT_ONCE):
            stream = streams_any(&self.session.streams)
            if stream is NULL:
                return False
            if stream.owner is NULL:
                self.drop_stream(stream, END_RESET_BY_US)
            else:
                tunnel = <H2Tunnel> stream.owner
                tunnel.lost()
        return True

    cdef void finish(self) noexcept:
        """The last frame is out."""
        if not self.finished:
            self.finished = True
            shutdown(self.fd, SHUT_WR)
            self.context.loop.arm(self, LINGER)
            self.linger_read()

    cdef void drop(self) noexcept:
        """The connection is gone, and everything on it."""
        cdef Context context = self.context
        if self.closed:
            return
        self.closed = True
        self.session.ended = True
        self.end_streams()
        self.free_rest()
        self.session.detach()
        self.work.remember(self.source, &self.session.budgets)
        unistd.close(self.fd)
        self.fd = -1
        free_bytes(&self.partial)
        sl_pipe_give(&context.pipes, self.pipe)
        sl_pipe_give(&context.pipes, self.framed)
        self.pipe = self.framed = NULL
        context.limits.leave(SL_LIMIT_CONNECTIONS, &self.place)
        context.multiplexed -= 1
        context.set_gauge(SL_COUNTER_HTTP2_CONNECTIONS_OPEN, context.multiplexed)
        context.left(self)
        context.loop.park(self)

    cdef void close(self) noexcept:
        """Ends at once: an error of ours, or the end of the worker. What is outgoing has a chance to leave."""
        cdef H2Stream *stream
        cdef H2Tunnel tunnel
        if self.closed:
            return
        while not self.leaving and self.session.streams.count:
            stream = streams_any(&self.session.streams)
            if stream.owner is NULL:
                self.reset_stream(stream, H2_CANCEL)
            else:
                tunnel = <H2Tunnel> stream.owner
                tunnel.close()
        self.leave()
        self.serve()
        self.drop()


cdef class H2Remains(Handler):
    """Keeps itself, and with it the connection, until no stream is left."""

    def __cinit__(self, H2Connection connection):
        self.connection = connection

    cdef void on_share(self) noexcept:
        if self.connection.end_some():
            self.connection.context.loop.share(self)
        else:
            self.close()

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.connection.context.loop.park(self)
