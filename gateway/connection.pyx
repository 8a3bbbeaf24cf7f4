"""One client connection of a byte-stream protocol (SOCKS, HTTP/1), from its first byte until it is a tunnel or refused.

READING -> (VERIFYING -> READING) -> OPENING -> RELAYING, or from any of them -> LINGERING -> closed.

* Nothing is read while credentials are verified or an upstream is dialed: early payload waits in `held` or in the
  kernel.
* Success is answered only by on_opened, when the upstream is connected; no payload byte went anywhere before.
* A refusal is followed by a short linger, so that unread bytes do not turn the close into a reset that eats the answer.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE

from gateway.codec cimport CODEC_CREDENTIALS, CODEC_MORE, CODEC_REQUEST
from gateway.context cimport Context, ListenerSpec, PROTOCOL_AUTO, PROTOCOL_HTTP, PROTOCOL_HTTP2, PROTOCOL_SOCKS5
from gateway.csrc cimport (
    SL_COUNTER_AUTH_FAILED, SL_COUNTER_PROTOCOL_ERRORS, SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_PROTOCOL_ERRORS,
    SL_LIMIT_CONNECTIONS, SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_CONNECTED, SL_OUTCOME_DRAINED,
    SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL, SL_OUTCOME_MALFORMED, SL_OUTCOME_NOT_BUILT,
    SL_OUTCOME_REQUEST_TIMEOUT, SL_PROTOCOL_HTTP, SL_PROTOCOL_SOCKS4, SL_PROTOCOL_SOCKS5, SL_PROTOCOL_UNKNOWN,
    SL_OUTCOME_SOURCE_LIMIT, SL_SCOPE_CREDENTIALS, SL_SCOPE_SOURCE_LOGINS, sl_addr, sl_direction_preload,
)
from gateway.h2_connection cimport H2Connection
from gateway.http1 cimport Http1Codec
from gateway.logins cimport LOGIN_BUSY, LOGIN_LIMITED, LOGIN_RIGHT
from gateway.loop cimport SCRATCH_SIZE
from gateway.opening cimport DIALED, LEG_EVENTS
from gateway.record cimport log_refused
from gateway.request cimport LINGERING, OPENING, READING, RELAYING, VERIFYING
from gateway.sniff cimport (
    SNIFF_HTTP1, SNIFF_HTTP2_PREFACE, SNIFF_MORE, SNIFF_SOCKS4, SNIFF_SOCKS5, http2_refusal, sniff,
)
from gateway.sockets cimport (
    EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, MSG_DONTWAIT, MSG_NOSIGNAL, SHUT_WR, close_clean, local_address,
    recv, send, shutdown,
)
from gateway.socks cimport Socks4Codec, Socks5Codec
from gateway.tunnel cimport CLIENT, UPSTREAM

cdef enum:
    LINGER = 1000              # milliseconds for the client to read a refusal and close
    LINGER_BYTES = 1048576     # dropped meanwhile, at most


cdef int kind_of(Codec codec) noexcept:
    """The sl_protocol that metrics know a codec by."""
    if isinstance(codec, Socks5Codec):
        return SL_PROTOCOL_SOCKS5
    if isinstance(codec, Http1Codec):
        return SL_PROTOCOL_HTTP
    return SL_PROTOCOL_SOCKS4 if codec is not None else SL_PROTOCOL_UNKNOWN


@cython.no_gc_clear
cdef class Connection(Request):
    """See connection.pxd. Made by a listener; keeps itself alive through the context until it has ended."""

    def __cinit__(self, Context context, int fd, int listener):
        self.context = context
        self.client = fd
        self.listener = listener
        self.takes_bare = True

    cdef void enter(self) noexcept:
        """Takes its place: watched, counted, with the time a request may take running."""
        self.context.loop.keep(self)
        self.context.entered(self)
        if not self.context.loop.watch(self.client, self, CLIENT, LEG_EVENTS):
            self.drop()
            return
        self.context.loop.arm(self, self.context.request_timeout)

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        if leg >= DIALED:
            self.dialed_event(events, leg)
            return
        if self.state == RELAYING:
            self.inspected_event(events, leg)
            return
        self.note_end(events, leg)
        if events & (EPOLLHUP | EPOLLERR) and self.state != LINGERING:
            # Both directions are gone: nobody is there to answer. A half-close alone (EPOLLRDHUP) still wants a tunnel.
            self.abandon()
        elif self.state == READING and events & (EPOLLIN | EPOLLRDHUP):
            self.read()
        elif self.state == LINGERING and events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.linger_read()
        elif events & (EPOLLIN | EPOLLRDHUP):
            self.drained = False

    cdef void dialed_event(self, uint32_t events, int leg) noexcept:
        """A socket that is dialed, or the one that won."""
        if self.state == OPENING and self.opening is not None:
            self.upstream_leg = leg
            self.opening.on_event(events, leg - DIALED)
            if self.state != RELAYING or self.closed:
                self.upstream_leg = 0
                return
            events &= ~<uint32_t> EPOLLOUT  # that it is connected; what else it said is the tunnel's
        if self.state == RELAYING and leg == self.upstream_leg:
            self.inspected_event(events, UPSTREAM)

    cdef void read(self) noexcept:
        """Reads and feeds until the socket is dry or the request is complete."""
        cdef ssize_t got
        while self.state == READING and not self.closed:
            got = recv(self.client, self.context.loop.scratch, SCRATCH_SIZE, MSG_DONTWAIT)
            if got > 0:
                self.feed(self.context.loop.scratch, got)
                self.drained = got < SCRATCH_SIZE and not self.up.hangup
                if self.drained:
                    return
            elif got < 0 and errno == EINTR:
                continue
            elif got < 0 and errno == EAGAIN:
                return
            else:
                self.drop()
                return

    cdef void feed(self, const uint8_t *data, size_t length) noexcept:
        """Bytes of the request: to the codec, once it is known which."""
        cdef bytes joined
        cdef size_t used
        cdef int status
        if self.codec is None:
            if self.held is not None:
                joined, self.held = self.held + data[:length], None
                data, length = <const uint8_t *> PyBytes_AS_STRING(joined), PyBytes_GET_SIZE(joined)
            if not self.detect(data, length):
                return
        used = 0
        status = self.codec.feed(data, length, &used)
        self.advance(status, data + used, length - used)

    cdef bint detect(self, const uint8_t *data, size_t length) noexcept:
        """Chooses the codec by the first bytes and the listener's protocol; False when there is none (yet)."""
        cdef ListenerSpec spec = self.context.listeners[self.listener]
        cdef int found = sniff(data, length)
        if found == SNIFF_MORE:
            self.held = PyBytes_FromStringAndSize(<const char *> data, length)
            return False
        if found == SNIFF_HTTP2_PREFACE and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_HTTP2):
            self.hand_over(data, length)
            return False
        if found == SNIFF_SOCKS5 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_SOCKS5):
            self.codec = Socks5Codec(spec.auth)
        elif found == SNIFF_SOCKS4 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_SOCKS5):
            self.codec = Socks4Codec(spec.auth)
        elif found == SNIFF_HTTP1 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_HTTP):
            self.speak_http(spec.auth)
        elif spec.protocol == PROTOCOL_HTTP and found != SNIFF_HTTP2_PREFACE:
            self.speak_http(spec.auth)  # answers 400 to what is not HTTP
        else:
            self.protocol_error(SL_OUTCOME_NOT_BUILT if found == SNIFF_HTTP2_PREFACE else SL_OUTCOME_MALFORMED,
                                "not the listener's protocol")
            if found == SNIFF_HTTP2_PREFACE:
                self.say(http2_refusal())
            self.linger()
            return False
        return True

    cdef void speak_http(self, int auth) noexcept:
        """Its answers are signed: the id is known before there is a record."""
        self.codec = Http1Codec(auth)
        self.context.sequence += 1
        self.codec.sign(self.context.prefix, self.context.sequence, self.context.deny_message)

    cdef void hand_over(self, const uint8_t *data, size_t length) noexcept:
        """HTTP/2 carries many requests: the socket goes to a connection of that kind, and this one is over."""
        cdef H2Connection connection = H2Connection(self.context, self.client, self.listener)
        connection.peer = self.peer
        connection.peer_port = self.peer_port
        connection.source = self.source
        self.context.limits.enter(self.source, SL_LIMIT_CONNECTIONS, &connection.place)
        self.client = -1
        connection.enter(data, length)
        self.drop()

    cdef void protocol_error(self, int outcome, str detail) noexcept:
        """Counts and logs a request that never became one."""
        self.turned_away(outcome, detail)
        self.context.count(SL_COUNTER_AUTH_FAILED if outcome == SL_OUTCOME_AUTH_FAILED else SL_COUNTER_PROTOCOL_ERRORS)
        self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, kind_of(self.codec), outcome, 0, 0)[0] += 1

    cdef void turned_away(self, int outcome, str detail) noexcept:
        """The `refused` line."""
        cdef Codec codec = self.codec
        log_refused(self.context, self.listener, kind_of(codec), &self.peer, self.peer_port, self.source,
                    codec.sequence if codec is not None else 0, outcome, codec.user if codec is not None else None,
                    detail)

    cdef void advance(self, int status, const uint8_t *rest, size_t length) noexcept:
        """Acts on what the codec says; `rest` are the bytes it has not used."""
        if not self.flush():
            return
        if status == CODEC_MORE:
            return
        self.held = PyBytes_FromStringAndSize(<const char *> rest, length) if length else None
        if status == CODEC_CREDENTIALS:
            self.verify(self.codec.user, self.codec.password)
        elif status == CODEC_REQUEST:
            self.note(self.codec, kind_of(self.codec))
            if self.user is None or self.context.generation.credential(self.user) == self.codec.credential:
                self.open()
            else:  # a reload came between the login and the request
                self.protocol_error(SL_OUTCOME_AUTH_FAILED, "the password was changed")
                self.refuse(SL_OUTCOME_AUTH_FAILED, None, "the password was changed")
        else:
            self.protocol_error(self.codec.outcome, self.codec.detail)
            self.linger()

    cdef void on_verified(self, int result, uint64_t credential) noexcept:
        cdef bytes rest = self.held
        cdef int status, outcome
        cdef size_t used = 0
        if self.state != VERIFYING:
            return  # it was refused before, and its client still reads that
        self.state = READING
        if result == LOGIN_BUSY or result == LOGIN_LIMITED:
            self.context.limited(SL_SCOPE_CREDENTIALS if result == LOGIN_BUSY else SL_SCOPE_SOURCE_LOGINS)
            outcome = SL_OUTCOME_GATEWAY_LIMIT if result == LOGIN_BUSY else SL_OUTCOME_SOURCE_LIMIT
            self.turned_away(outcome, None)
            self.answer(outcome)
            return
        if result == LOGIN_RIGHT:
            self.user = self.codec.user
            self.codec.credential = credential
        self.held = None
        status = self.codec.verified(result == LOGIN_RIGHT)
        if rest is None:
            rest = b""
        if status == CODEC_MORE and rest:
            status = self.codec.feed(<const uint8_t *> PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest), &used)
        self.advance(status, <const uint8_t *> PyBytes_AS_STRING(rest) + used, PyBytes_GET_SIZE(rest) - used)
        if self.state == READING and not self.closed:
            self.read()

    cdef bytes succeed(self, int fd):
        cdef sl_addr bound
        cdef uint16_t bound_port
        cdef bytes answer, held = self.held
        cdef ssize_t sent
        bound.family = 0
        bound_port = 0
        if self.codec.tells_bound:
            local_address(fd, &bound, &bound_port)
        answer = self.codec.answer(SL_OUTCOME_CONNECTED, &bound, bound_port, None, None)
        self.codec = None
        self.held = None
        sent = send(self.client, PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer), MSG_NOSIGNAL | MSG_DONTWAIT)
        if sent < 0:
            sent = 0
        if sent < PyBytes_GET_SIZE(answer):
            sl_direction_preload(&self.down, <const uint8_t *> PyBytes_AS_STRING(answer) + sent,
                                 PyBytes_GET_SIZE(answer) - sent)
        return held

    cdef void refuse(self, int outcome, str rule, str reason) noexcept:
        """The codec's row for `outcome`, then a linger."""
        cdef sl_addr nowhere
        memset(&nowhere, 0, sizeof(nowhere))
        if self.codec is not None:
            self.say(self.codec.answer(outcome, &nowhere, 0, rule, reason))
        self.linger()

    cdef bint flush(self) noexcept:
        """Sends what the codec has to say; False when the client cannot take it, which ends the connection."""
        cdef bytes out = self.codec.take_out()
        return out is None or self.say(out)

    cdef bint say(self, bytes text) noexcept:
        """Sends a short answer whole. A client whose buffer has no room for it has not read a single earlier one."""
        cdef Py_ssize_t length = PyBytes_GET_SIZE(text)
        if length and send(self.client, PyBytes_AS_STRING(text), length, MSG_NOSIGNAL | MSG_DONTWAIT) != length:
            self.drop()
            return False
        return True

    cdef void linger(self) noexcept:
        """No more to say: end our side, and give the client a moment to read and close."""
        if self.closed:
            return
        self.state = LINGERING
        self.codec = None
        self.held = None
        shutdown(self.client, SHUT_WR)
        self.context.loop.arm(self, LINGER)
        self.linger_read()

    cdef void linger_read(self) noexcept:
        cdef ssize_t got
        while True:
            got = recv(self.client, self.context.loop.scratch, SCRATCH_SIZE, MSG_DONTWAIT)
            if got > 0:
                self.up.bytes += got
                if self.up.bytes < LINGER_BYTES:
                    continue
            elif got < 0 and errno == EAGAIN:
                return
            self.drop()
            return

    cdef void on_timer(self) noexcept:
        if self.state == RELAYING:
            self.inspected_timer()
        elif self.state == LINGERING:
            self.drop()
        elif self.state == READING or self.state == VERIFYING:
            self.context.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, kind_of(self.codec), SL_OUTCOME_REQUEST_TIMEOUT, 0,
                                  0)[0] += 1
            self.turned_away(SL_OUTCOME_REQUEST_TIMEOUT, None)
            self.answer(SL_OUTCOME_REQUEST_TIMEOUT)

    cdef void abandon(self) noexcept:
        """The client is gone before there was a tunnel."""
        self.give_up()
        self.drop()

    cdef void drop(self) noexcept:
        """Closes a connection that is not a tunnel."""
        if self.closed:
            return
        if self.opening is not None:
            self.opening.cancel()
            self.opening = None
        self.codec = None
        self.held = None
        if self.client >= 0:
            close_clean(self.client)
        self.closed_sockets()

    cdef void close(self) noexcept:
        """Ends at once, whatever the state: an error of ours, or the end of the worker."""
        if self.state == RELAYING:
            self.end(SL_OUTCOME_DRAINED if self.context.draining else SL_OUTCOME_INTERNAL, True)
            return
        if self.context.draining and self.record is not None and self.state != LINGERING and not self.closed:
            self.drained_away()
            self.answer(SL_OUTCOME_GATEWAY_LIMIT)
        self.drop()
