"""One HTTP/2 connection to a parent gateway. See parent_connection.pxd.

Reading is as for clients (h2_connection.pyx): one large recv(), and all frames in it, as far as the turn's share goes.
What has begun and not ended has its time as there. Writing is parent_socket.pyx's.

A connection that carries nothing is kept for a minute. One that leaves a request unanswered and says nothing gets no
more of them until it says something: it is asked to by a PING.
"""

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix cimport unistd

from gateway.context cimport Context
from gateway.csrc cimport (
    SL_COUNTER_PROTOCOL_ERRORS, SL_FAMILY_HTTP2_ABUSE, SL_FAMILY_HTTP2_RESETS, SL_FAMILY_PROTOCOL_ERRORS,
    SL_H2_CODE_OTHER, SL_H2_SIDE_GATEWAY, SL_H2_SIDE_PARENT, SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_INTERNAL,
    SL_OUTCOME_UPSTREAM_FAILED, SL_PROTOCOL_HTTP2, sl_tcp_silent,
)
from gateway.h2_client cimport (
    CLIENT_ANSWER, CLIENT_DATA, CLIENT_ERROR, CLIENT_FAILED, CLIENT_GOAWAY, CLIENT_NONE, CLIENT_RESET, CLIENT_SETTINGS,
    CLIENT_WINDOW, H2Client,
)
from gateway.h2_frames cimport (
    FRAME_DATA, H2_NO_ERROR, H2_REFUSED_STREAM, H2_SETTINGS_TIMEOUT, frames_inside, free_bytes,
)
from gateway.h2_session cimport BLOCKS_SHARE, FRAMES_SHARE
from gateway.h2_streams cimport (
    END_RESET_BY_PEER, END_RESET_BY_US, STREAM_ANSWERED, STREAM_PARKED, StreamEnd, ring_add, ring_unpark,
    streams_find, streams_next,
)
from gateway.parent_socket cimport INPUT_SIZE, ParentBuffers
from gateway.sockets cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, SHUT_WR, keep_alive, linger, local_address,
    shutdown,
)

cdef enum:
    IDLE = 60000               # milliseconds that a connection is kept without a stream
    LINGER = 1000              # milliseconds for the parent to read our last words and close
    LINGER_BYTES = 1048576     # dropped meanwhile, at most
    BUDGET = 1048576           # bytes of one turn


cdef class ParentHome(ParentKeeper):
    """Whoever made a connection; see parent_connection.pxd."""

    cdef void on_room(self, ParentConnection connection) noexcept:
        pass

    cdef void on_proved(self, ParentConnection connection) noexcept:
        pass

    cdef void on_gone(self, ParentConnection connection, int outcome, str detail) noexcept:
        pass


cdef class ParentConnection(ParentSocket):
    """Keeps itself alive until it has ended."""

    def __cinit__(self, Context context, ParentHome home, ParentBuffers buffers, int fd):
        self.context, self.home, self.buffers, self.fd = context, home, buffers, fd
        self.session = H2Client()

    def __dealloc__(self):
        free(self.rest)

    cdef bint start(self) noexcept:
        cdef Context context = self.context
        cdef uint16_t port
        context.loop.keep(self)
        context.parent_entered()
        context.apart.add(self)
        linger(self.fd, False)
        keep_alive(self.fd, context.keep_alive)
        local_address(self.fd, &self.here, &port)
        if not (self.session.begin(context.loop.now)
                and context.loop.rewatch(self.fd, self, 0, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)):
            self.home = None
            self.drop()
            return False
        self.began = context.loop.now
        self.wait_for()
        self.write_later()
        return True

    cdef uint32_t room(self) noexcept:
        return 0 if self.closed or self.leaving or self.retired or self.doubted else self.session.free_streams()

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

    cdef void read(self) noexcept:
        if self.rest is NULL and not self.sharing:
            self.session.allow(FRAMES_SHARE, BLOCKS_SHARE, self.context.loop.now)
            self.read_on()
        else:
            self.readable = True

    cdef void read_on(self) noexcept:
        cdef size_t total = 0
        cdef ssize_t got
        while not self.closed and not self.leaving:
            if (self.rest is not NULL or total >= BUDGET or self.session.frames_left <= 0
                    or self.session.blocks_left <= 0):
                self.readable = True
                self.context.loop.share(self)
                return
            got = self.receive(self.buffers.input, INPUT_SIZE)
            if got > 0:
                total += got
                self.process(got)
                if got < INPUT_SIZE and not self.hangup:
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
            got = self.receive(self.buffers.input, INPUT_SIZE)
            if got > 0 and total < LINGER_BYTES:
                total += got
            elif got < 0 and errno == EAGAIN:
                return
            else:
                self.drop()

    cdef void process(self, size_t length) noexcept:
        self.heard = self.context.loop.now
        if self.doubted:
            self.doubted = False
            if self.home is not None:
                self.home.on_room(self)
        self.session.feed(self.buffers.input, length, self.context.loop.now)
        self.work_through()

    cdef void work_through(self) noexcept:
        """All frames in the input, as far as the turn's share goes."""
        cdef ClientNews news
        cdef ClientEvent kind
        while not self.closed and not self.leaving:
            kind = self.session.next(&news)
            if kind == CLIENT_NONE:
                break
            self.act(kind, &news)
        self.keep_rest()
        if not self.closed:
            self.wait_for()
            if self.session.out.data is not NULL or self.session.streams.ring is not NULL:
                self.write_later()

    cdef void keep_rest(self) noexcept:
        cdef H2Client session = self.session
        cdef size_t size
        if self.closed or self.leaving or not session.is_stopped():
            self.free_rest()
            return
        self.context.loop.share(self)
        if self.rest is not NULL:
            return  # it lies there already
        size = session.reader.end - session.reader.data
        self.rest = <uint8_t *> malloc(size)
        if self.rest is NULL:
            self.drop()
            return
        memcpy(self.rest, session.reader.data, size)
        session.keep(self.rest, size)

    cdef void free_rest(self) noexcept:
        free(self.rest)
        self.rest = NULL

    cdef void act(self, ClientEvent kind, ClientNews *news) noexcept:
        cdef ParentStream stream = None
        if news.stream is not NULL and news.stream.owner is not NULL:
            stream = <ParentStream> news.stream.owner
        if kind == CLIENT_DATA:
            if stream is not None:
                stream.received(news.data, news.size, news.end)
        elif kind == CLIENT_WINDOW:
            self.opened_window(news.stream)
        elif kind == CLIENT_ANSWER:
            self.answer(stream, news)
        elif kind == CLIENT_RESET:
            self.end_stream(news.stream, news.code, SL_H2_SIDE_PARENT)
        elif kind == CLIENT_ERROR:
            self.end_stream(news.stream, news.code, SL_H2_SIDE_GATEWAY)
        elif kind == CLIENT_SETTINGS:
            self.opened_window(NULL)
            if self.home is not None:
                self.home.on_room(self)
        elif kind == CLIENT_GOAWAY:
            self.go_away(news.code)
        elif kind == CLIENT_FAILED:
            self.context.count(SL_COUNTER_PROTOCOL_ERRORS)
            self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_HTTP2, SL_OUTCOME_UPSTREAM_FAILED, 0,
                                  0)[0] += 1
            if self.session.abuse >= 0:
                self.context.labelled(SL_FAMILY_HTTP2_ABUSE, self.session.abuse, 0, 0, 0)[0] += 1
            self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, self.session.detail)
            self.leave()

    cdef void answer(self, ParentStream stream, ClientNews *news) noexcept:
        if not self.proved:
            self.proved = True
            if self.home is not None:
                self.home.on_proved(self)
        if stream is not None:
            stream.answered(news.code, news.end)

    cdef void opened_window(self, H2Stream *stream) noexcept:
        if stream is NULL:
            ring_unpark(&self.session.streams)
        elif stream.flags & STREAM_PARKED:
            ring_add(&self.session.streams, stream)

    cdef void end_stream(self, H2Stream *stream, uint32_t code, int side) noexcept:
        """By a reset that the parent sent, or that the session did."""
        cdef ParentStream owner = <ParentStream> stream.owner if stream.owner is not NULL else None
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
        cdef ParentStream owner
        # One that was asked nothing yet would be followed by another such one, and so on.
        self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, None if self.asked else "it said GOAWAY before any request")
        while stream is not NULL:
            if stream.id <= last:
                stream = streams_next(&self.session.streams, stream)
                continue
            owner = <ParentStream> stream.owner if stream.owner is not NULL else None
            self.drop_stream(stream, END_RESET_BY_PEER)
            if owner is not None:
                owner.returned()
            stream = streams_next(&self.session.streams, NULL)  # from the start: others may have ended with it
        self.wait_for()

    cdef void count_reset(self, int side, uint32_t code) noexcept:
        self.context.labelled(SL_FAMILY_HTTP2_RESETS, side, min(code, <uint32_t> SL_H2_CODE_OTHER), 0, 0)[0] += 1

    # ---- what streams ask for ----------------------------------------------------------------------------------------

    cdef void schedule(self, H2Stream *stream) noexcept:
        ring_add(&self.session.streams, stream)
        self.write_later()

    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept:
        self.count_reset(SL_H2_SIDE_GATEWAY, code)
        self.session.reset(stream, code)
        self.write_later()
        self.drop_stream(stream, END_RESET_BY_US)

    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept:
        self.session.drop(stream, how)
        if self.closed:
            return
        if self.session.streams.count == 0:
            self.wait_for()
        if self.home is not None:
            self.home.on_room(self)

    cdef void doubt(self) noexcept:
        if not self.doubted and not self.closed and not self.leaving:
            self.doubted = True
            self.session.ping()
            self.write_later()

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef uint64_t what_is_unfinished(self) noexcept:
        cdef H2Client session = self.session
        if session.block_stream:
            return <uint64_t> 1 << 32 | session.block_stream
        if self.rest is not NULL or not frames_inside(&session.reader) or (
                session.reader.inside and session.reader.frame.type == FRAME_DATA
                and streams_find(&session.streams, session.reader.frame.stream) is not NULL):
            return 0
        return <uint64_t> 2 << 32 | session.reader.count

    cdef uint64_t due(self) noexcept:
        """When the first of all that is awaited is late; 0: nothing is awaited. A greeting is awaited as long as a
        dial, a stream for a minute."""
        cdef Context context = self.context
        cdef H2Client session = self.session
        cdef uint64_t now = context.loop.now
        cdef uint64_t at = UINT64_MAX
        cdef uint64_t unfinished = self.what_is_unfinished()
        if unfinished != self.unfinished:
            self.unfinished, self.unfinished_since = unfinished, now
        if unfinished:
            at = self.unfinished_since + context.request_timeout
        if not session.greeted:
            return min(at, self.began + context.dial_timeout)
        if session.unacknowledged:
            at = min(at, self.began + context.request_timeout)
        if session.streams.count:
            self.idle_since = 0
        else:
            if self.idle_since == 0:
                self.idle_since = now
            at = min(at, self.idle_since + IDLE)
        return 0 if at == UINT64_MAX else at

    cdef void wait_for(self) noexcept:
        """Arms the timer for what is awaited now."""
        cdef Context context = self.context
        cdef uint64_t at
        if self.leaving or self.closed:
            return
        if self.session.greeted and self.session.streams.count == 0 and (self.retired or self.session.going):
            self.leave()
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
        if self.leaving:
            self.drop()
        elif not self.session.greeted and self.began + context.dial_timeout <= now:
            self.tell_gone(SL_OUTCOME_DIAL_TIMEOUT, "it did not say SETTINGS in time")
            self.leave()
        elif self.unfinished and self.unfinished_since <= before:
            self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, "it did not end a frame or a header block in time")
            self.leave()
        elif self.session.unacknowledged and self.began <= before:
            self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, "it did not acknowledge SETTINGS in time")
            self.session.leave(H2_SETTINGS_TIMEOUT)
            self.leave()
        elif self.idle_since and self.idle_since + IDLE <= now:
            self.leave()
        else:
            self.wait_for()

    cdef void retire(self) noexcept:
        self.retired = True
        self.wait_for()

    cdef void tell_gone(self, int outcome, str detail) noexcept:
        cdef ParentHome home = self.home
        self.home = None
        if home is not None:
            home.on_gone(self, outcome, detail)

    cdef void leave(self) noexcept:
        """No stream is left, or an error has ended them all: GOAWAY, then the end."""
        if self.leaving or self.closed:
            return
        self.leaving = True
        self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED, None)
        self.session.leave(H2_NO_ERROR)
        self.session.ended = True
        self.end_streams()
        self.context.loop.arm(self, LINGER)
        self.write_later()

    cdef void end_streams(self) noexcept:
        """Nothing comes for them any more. Each one is forgotten on the way."""
        cdef H2Stream *stream
        cdef ParentStream owner
        cdef bint answered
        while self.session.streams.count:
            stream = streams_next(&self.session.streams, NULL)
            owner = <ParentStream> stream.owner if stream.owner is not NULL else None
            answered = stream.flags & STREAM_ANSWERED
            self.session.drop(stream, END_RESET_BY_PEER)
            if owner is None:
                continue
            # A request that was not answered has carried nothing: it may be asked once more. Where the connection
            # never was of use another one would not be, either.
            if answered or not self.proved:
                owner.lost()
            else:
                owner.returned()

    cdef void finish(self) noexcept:
        """The last frame is out."""
        if not self.finished:
            self.finished = True
            shutdown(self.fd, SHUT_WR)
            self.context.loop.arm(self, LINGER)
            self.linger_read()

    cdef void on_look(self, uint32_t since) noexcept:
        if sl_tcp_silent(self.fd, since, &self.silence):
            self.drop()

    cdef void drop(self) noexcept:
        """The connection is gone, and everything on it."""
        if self.closed:
            return
        self.closed = True
        self.session.ended = True
        self.tell_gone(SL_OUTCOME_UPSTREAM_FAILED,
                       None if self.proved else "it ended the connection before any answer")
        self.end_streams()
        self.free_rest()
        unistd.close(self.fd)
        self.fd = -1
        free_bytes(&self.partial)
        self.context.apart.discard(self)
        self.context.parent_left()
        self.context.loop.park(self)

    cdef void close(self) noexcept:
        """Ends at once: an error of ours, or the end of the worker. What is outgoing has a chance to leave."""
        cdef H2Stream *stream
        cdef ParentStream owner
        if self.closed:
            return
        self.tell_gone(SL_OUTCOME_INTERNAL, "an error of ours")
        while not self.leaving and self.session.streams.count:
            stream = streams_next(&self.session.streams, NULL)
            if stream.owner is NULL:
                self.session.drop(stream, END_RESET_BY_US)
                continue
            owner = <ParentStream> stream.owner
            owner.close()
        self.leave()
        self.serve()
        self.drop()
