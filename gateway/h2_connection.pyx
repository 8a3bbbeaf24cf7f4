"""One client's HTTP/2 connection. See h2_connection.pxd.

Reading: one large recv(), all frames in it, then each stream's DATA is handed on at once. Writing is h2_writer's.
"""

from cpython.ref cimport Py_INCREF, PyObject
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint32_t
from posix cimport unistd

from gateway.answers cimport http2_answer
from gateway.codec cimport CODEC_CREDENTIALS, CODEC_REQUEST
from gateway.context cimport Context, ListenerSpec
from gateway.csrc cimport (
    SL_COUNTER_AUTH_FAILED, SL_COUNTER_HTTP2_CONNECTIONS, SL_COUNTER_HTTP2_CONNECTIONS_OPEN,
    SL_COUNTER_PROTOCOL_ERRORS, SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_HTTP2_ABUSE, SL_FAMILY_HTTP2_RESETS,
    SL_FAMILY_PROTOCOL_ERRORS, SL_H2_CODE_OTHER, SL_H2_SIDE_CLIENT, SL_H2_SIDE_GATEWAY, SL_LIMIT_CONNECTIONS,
    SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_MALFORMED, SL_OUTCOME_NOT_BUILT,
    SL_OUTCOME_REQUEST_TIMEOUT, SL_PROTOCOL_HTTP2, SL_SCOPE_OTHER, sl_pipe_give,
)
from gateway.h2_frames cimport H2_CANCEL, H2_NO_ERROR, free_bytes
from gateway.h2_head cimport DIALECT_PIPY, HEAD_CONNECT, HEAD_GET, HEAD_HEAD, HEAD_POST, H2Head
from gateway.h2_session cimport (
    BLOCK_NONE, EVENT_DATA, EVENT_END, EVENT_ERROR, EVENT_FAILED, EVENT_NONE, EVENT_REQUEST, EVENT_RESET, EVENT_WINDOW,
    STREAMS_MAX, H2Session,
)
from gateway.h2_streams cimport (
    END_RESET_BY_PEER, END_RESET_BY_US, STREAM_HEAD, STREAM_LOCAL_ENDED, STREAM_MALFORMED, StreamEnd, ring_add,
    streams_find, streams_next,
)
from gateway.h2_tunnel cimport H2Tunnel, Piece
from gateway.h2_work cimport INPUT_SIZE, SLICES, H2Work
from gateway.h2_writer cimport H2Writer
from gateway.sockets cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_DONTWAIT, SHUT_WR, recv, shutdown,
)

cdef enum:
    LINGER = 1000              # milliseconds for the client to read the last frames and close
    LINGER_BYTES = 1048576     # dropped meanwhile, at most
    READ_BUDGET = 1048576      # bytes of one turn
    ASKING_MOST = 64           # requests of one connection that are decided and dialed at once; the others wait

cdef bytes FOUND = b"sluice: this port carries CONNECT tunnels\n"
cdef bytes NOT_FOUND = b"this port carries CONNECT tunnels, and nothing else is here\n"


cdef class H2Connection(H2Writer):
    """Made by a connection that has read the preface of HTTP/2."""

    def __cinit__(self, Context context, int fd, int listener):
        self.context = context
        self.fd = fd
        self.listener = listener
        self.session = H2Session((<ListenerSpec> context.listeners[listener]).auth)
        if context.work is None:
            context.work = H2Work()
        self.work = context.work
        self.queue = []

    cdef void enter(self, const uint8_t *data, size_t length) noexcept:
        cdef Context context = self.context
        context.multiplexed += 1
        context.count(SL_COUNTER_HTTP2_CONNECTIONS)
        context.set_gauge(SL_COUNTER_HTTP2_CONNECTIONS_OPEN, context.multiplexed)
        context.loop.keep(self)
        context.entered(self)
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
            self.protocol_error(SL_OUTCOME_MALFORMED)
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

    cdef void count_reset(self, int side, uint32_t code) noexcept:
        self.context.labelled(SL_FAMILY_HTTP2_RESETS, side, min(code, <uint32_t> SL_H2_CODE_OTHER), 0, 0)[0] += 1

    cdef void protocol_error(self, int outcome) noexcept:
        self.context.count(SL_COUNTER_AUTH_FAILED if outcome == SL_OUTCOME_AUTH_FAILED else SL_COUNTER_PROTOCOL_ERRORS)
        self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_HTTP2, outcome, 0, 0)[0] += 1

    # ---- requests ----------------------------------------------------------------------------------------------------

    cdef void request(self, H2Event *event) noexcept:
        cdef H2Head head = self.session.head
        cdef H2Stream *stream = event.stream
        if event.status != CODEC_REQUEST and event.status != CODEC_CREDENTIALS:
            self.protocol_error(head.outcome)
            if head.malformed:
                stream.flags |= STREAM_MALFORMED
            self.refuse_stream(stream, head.outcome, None, None, head.detail)
        elif head.method == HEAD_CONNECT:
            self.connect(stream, event.status)
        elif ((<ListenerSpec> self.context.listeners[self.listener]).diagnostics
                and head.method in (HEAD_GET, HEAD_HEAD, HEAD_POST)
                and head.path.length == 1 and head.path.text[0] == c"/"):
            if head.method == HEAD_HEAD:
                stream.flags |= STREAM_HEAD
            if event.end:
                self.plain(stream)
        else:
            self.protocol_error(SL_OUTCOME_NOT_BUILT)
            self.not_found(stream)

    cdef void plain(self, H2Stream *stream) noexcept:
        """A request for the diagnostic page has come whole."""
        if not stream.flags & STREAM_LOCAL_ENDED and stream.body is NULL:
            self.respond(stream, [(b":status", b"200"), (b"content-type", b"text/plain"),
                                  (b"content-length", b"%d" % len(FOUND))],
                         None if stream.flags & STREAM_HEAD else FOUND)

    cdef void not_found(self, H2Stream *stream) noexcept:
        self.respond(stream, [(b":status", b"404"), (b"content-type", b"text/plain"),
                              (b"content-length", b"%d" % len(NOT_FOUND))], NOT_FOUND)

    cdef void connect(self, H2Stream *stream, int status) noexcept:
        """A request for a tunnel: it asks at once, or after those that came before it."""
        cdef H2Head head = self.session.head
        cdef H2Tunnel tunnel
        if self.session.streams.count > STREAMS_MAX:
            self.context.limited(SL_SCOPE_OTHER)
            self.refuse_stream(stream, SL_OUTCOME_GATEWAY_LIMIT, None, None, None)
            return
        tunnel = H2Tunnel()
        tunnel.context = self.context
        tunnel.carrier = self
        tunnel.listener = self.listener
        tunnel.peer = self.peer
        tunnel.peer_port = self.peer_port
        tunnel.source = self.source
        tunnel.stream = stream
        tunnel.note(head, SL_PROTOCOL_HTTP2)
        tunnel.user = head.user
        stream.owner = <PyObject *> tunnel
        tunnel.enter()
        if status == CODEC_CREDENTIALS:
            self.context.loop.arm(tunnel, self.context.request_timeout)
            tunnel.asks = True
            self.asking += 1
            tunnel.verify(head.user, head.password)
            return
        self.queue.append(tunnel)
        self.start_next()

    cdef void start_next(self) noexcept:
        cdef H2Tunnel tunnel
        if self.starting or self.closed or self.leaving:
            return
        self.starting = True  # one that is refused at once asks for the next
        while self.asking < ASKING_MOST and self.queue:
            tunnel = self.queue[0]
            if not tunnel.closed:
                if not tunnel.may_ask():
                    break  # its source has too many; this one looks again when one is answered, or in a moment
                tunnel.asks = True
                self.asking += 1
            self.queue.pop(0)
            if not tunnel.closed:
                tunnel.ask()
        self.starting = False

    cdef void answered(self, bint success) noexcept:
        self.asking -= 1
        if success:
            self.tunnels += 1
            self.context.limits.leave(SL_LIMIT_CONNECTIONS, &self.place)
        self.start_next()

    cdef void tunnel_ended(self) noexcept:
        """With its last tunnel this is again one of its source's connections that carry nothing."""
        self.tunnels -= 1
        if self.tunnels == 0 and not self.closed and not self.context.limits.enter(
                self.source, SL_LIMIT_CONNECTIONS, &self.place) and self.session.streams.count == 0:
            self.leave()

    cdef void refuse_stream(self, H2Stream *stream, int outcome, str rule, str reason, str detail) noexcept:
        cdef list block
        cdef bytes body
        block, body = http2_answer(outcome, rule, reason, detail)
        self.respond(stream, block, body)

    cdef void respond(self, H2Stream *stream, list block, bytes body) noexcept:
        """A whole answer. For sidecars of the Pipy family it is a bare status."""
        cdef bytes encoded
        if self.session.dialect == DIALECT_PIPY:
            self.session.respond(stream, self.session.deflater.encode(block[:1]), True)
            self.drop_stream(stream, END_RESET_BY_US)
        elif body is None:
            self.session.respond(stream, self.session.deflater.encode(block), True)
            self.end_answer(stream)
        else:
            encoded = self.session.deflater.encode(block)
            self.session.respond(stream, encoded, False)
            Py_INCREF(body)
            stream.body = <PyObject *> body
            ring_add(&self.session.streams, stream)
        self.write_later()

    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept:
        # A Pipy client wants to hear nothing more on a stream that we have ended.
        if self.session.dialect != DIALECT_PIPY or not stream.flags & STREAM_LOCAL_ENDED:
            self.count_reset(SL_H2_SIDE_GATEWAY, code)
            self.session.reset(stream, code)
            self.write_later()
        if code == H2_CANCEL:
            self.cut_pipe(stream)
        self.drop_stream(stream, END_RESET_BY_US)

    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept:
        if how == END_RESET_BY_PEER:
            self.cut_pipe(stream)
        if stream.first_slice:
            # What was read in this turn and not handed out. The owner never knew of it.
            self.session.consumed_late(self.work.forget(stream))
        self.session.drop(stream, how)
        if self.session.streams.count == 0 and not self.closed:
            if self.context.draining:
                self.leave()
            else:
                self.wait_for()

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
        self.queue.clear()

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
