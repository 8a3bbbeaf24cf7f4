"""One client's HTTP/2 connection. See h2_connection.pxd.

Reading: one large recv(), all frames in it, then each stream's DATA is handed on at once. What becomes of requests is
in h2_requests, writing in h2_writer.
"""

from cpython.ref cimport PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t
from posix cimport unistd

from gateway.context cimport Context, ListenerSpec
from gateway.csrc cimport (
    SL_COUNTER_HTTP2_CONNECTIONS, SL_COUNTER_HTTP2_CONNECTIONS_OPEN, SL_COUNTER_REQUEST_TIMEOUTS,
    SL_FAMILY_HTTP2_ABUSE, SL_FAMILY_PROTOCOL_ERRORS, SL_H2_SIDE_CLIENT, SL_H2_SIDE_GATEWAY, SL_LIMIT_CONNECTIONS,
    SL_OUTCOME_MALFORMED, SL_OUTCOME_REQUEST_TIMEOUT, SL_PROTOCOL_HTTP2, sl_pipe_give,
    sl_tcp_silent,
)
from gateway.h2_flow cimport Piece
from gateway.h2_frames cimport H2_CANCEL, H2_NO_ERROR, free_bytes
from gateway.h2_head cimport DIALECT_PIPY
from gateway.h2_requests cimport H2Requests
from gateway.h2_session cimport (
    BLOCK_NONE, EVENT_DATA, EVENT_END, EVENT_ERROR, EVENT_FAILED, EVENT_NONE, EVENT_REQUEST, EVENT_RESET, EVENT_WINDOW,
    H2Session,
)
from gateway.h2_streams cimport END_RESET_BY_PEER, END_RESET_BY_US, streams_find, streams_next
from gateway.h2_tunnel cimport H2Tunnel
from gateway.h2_work cimport INPUT_SIZE, SLICES, H2Work
from gateway.sockets cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_DONTWAIT, SHUT_WR, linger, recv, shutdown,
)

cdef enum:
    LINGER = 1000              # milliseconds for the client to read the last frames and close
    LINGER_BYTES = 1048576     # dropped meanwhile, at most
    READ_BUDGET = 1048576      # bytes of one turn


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

    cdef void enter(self, const uint8_t *data, size_t length) noexcept:
        cdef Context context = self.context
        context.multiplexed += 1
        context.count(SL_COUNTER_HTTP2_CONNECTIONS)
        context.set_gauge(SL_COUNTER_HTTP2_CONNECTIONS_OPEN, context.multiplexed)
        context.loop.keep(self)
        context.entered(self)
        linger(self.fd, False)  # END_STREAM says what is complete here: the last frames matter more than a reset
        if not (self.session.begin(context.loop.now)
                and context.loop.rewatch(self.fd, self, 0, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)):
            self.drop()
            return
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
        if self.readable:
            self.readable = False
            self.read()
        if not self.closed:
            self.serve()

    cdef void on_drain(self) noexcept:
        """Streams go on. A sidecar of the Pipy family would give them all up at a GOAWAY, so it gets none before."""
        if self.session.dialect != DIALECT_PIPY:
            self.session.leave(H2_NO_ERROR, b"")
            self.write_later()
        if self.session.streams.count == 0:
            self.leave()

    cdef void read(self) noexcept:
        cdef size_t total = 0
        cdef ssize_t got
        while not self.closed and not self.leaving:
            got = self.receive(self.work.input, INPUT_SIZE)
            if got > 0:
                total += got
                self.process(self.work.input, got)
                if got < INPUT_SIZE and not self.hangup:
                    return
                if total >= READ_BUDGET:
                    self.readable = True
                    self.write_later()
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
        """All frames in the input, then what they carry."""
        cdef H2Event event
        cdef EventKind kind
        self.session.feed(data, length, self.context.loop.now)
        while not self.closed and not self.leaving:
            kind = self.session.next(&event)
            if kind == EVENT_NONE:
                break
            self.act(kind, &event)
        self.hand_out()
        if not self.closed:
            self.wait_for()
            if self.session.out.data is not NULL or self.session.streams.ring is not NULL:
                self.write_later()

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

    cdef void wait_for(self) noexcept:
        """Arms the timer for what is awaited now."""
        cdef Context context = self.context
        cdef int waiting = WAIT_NONE
        if self.leaving:
            return
        if not self.session.greeted:
            waiting = WAIT_GREETING
        elif self.session.block != BLOCK_NONE:
            waiting = WAIT_BLOCK
        elif self.session.streams.count == 0:
            waiting = WAIT_IDLE
        if waiting == self.waiting:
            return
        self.waiting = <uint8_t> waiting
        if waiting == WAIT_NONE:
            context.loop.disarm(self)
        else:
            context.loop.arm(self, context.idle_timeout if waiting == WAIT_IDLE else context.request_timeout)

    cdef void on_timer(self) noexcept:
        if self.finished:
            self.drop()
            return
        if self.waiting != WAIT_IDLE and not self.leaving:
            self.context.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_HTTP2, SL_OUTCOME_REQUEST_TIMEOUT, 0,
                                  0)[0] += 1
            self.turned_away(SL_OUTCOME_REQUEST_TIMEOUT, None, None)
        if self.leaving:
            self.drop()  # it does not even read our last words
        else:
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
        """Nobody is there for them any more. Each one is forgotten on the way."""
        cdef H2Stream *stream
        cdef H2Tunnel tunnel
        while self.session.streams.count:
            stream = streams_next(&self.session.streams, NULL)
            if stream.owner is NULL:
                self.drop_stream(stream, END_RESET_BY_US)
            else:
                tunnel = <H2Tunnel> stream.owner
                tunnel.lost()

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
            stream = streams_next(&self.session.streams, NULL)
            if stream.owner is NULL:
                self.reset_stream(stream, H2_CANCEL)
            else:
                tunnel = <H2Tunnel> stream.owner
                tunnel.close()
        self.leave()
        self.serve()
        self.drop()
