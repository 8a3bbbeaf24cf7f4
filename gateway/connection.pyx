"""One client connection of a byte-stream protocol (SOCKS, HTTP/1), from its first byte until it is a tunnel or refused.

READING -> (VERIFYING -> READING) -> OPENING -> RELAYING, or from any of them -> LINGERING -> closed.

* Nothing is read while credentials are verified or an upstream is dialed: early payload waits in `held` or in the
  kernel.
* Success is answered only by on_opened, when the upstream is connected; no payload byte went anywhere before.
* A refusal is followed by a short linger, so that unread bytes do not turn the close into a reset that eats the answer.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.string cimport memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from posix cimport unistd

from gateway.codec cimport CODEC_CREDENTIALS, CODEC_MORE, CODEC_REQUEST
from gateway.context cimport PROTOCOL_HTTP, PROTOCOL_SOCKS5
from gateway.csrc cimport (
    SL_COUNTER_AUTH_FAILED, SL_COUNTER_PROTOCOL_ERRORS, SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_PROTOCOL_ERRORS,
    SL_LIMIT_CONNECTIONS, SL_LIMIT_REQUESTS, SL_LOG_DECISION, SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_CLIENT_GONE,
    SL_OUTCOME_CONNECTED, SL_OUTCOME_DRAINED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL, SL_OUTCOME_MALFORMED,
    SL_OUTCOME_NOT_BUILT, SL_OUTCOME_REQUEST_TIMEOUT, SL_OUTCOME_SOURCE_LIMIT, SL_PROTOCOL_HTTP, SL_PROTOCOL_SOCKS4,
    SL_PROTOCOL_SOCKS5, SL_PROTOCOL_UNKNOWN, SL_SCOPE_CREDENTIALS, SL_SCOPE_DRAINING, SL_SCOPE_SOURCE_REQUESTS,
    sl_direction_preload,
)
from gateway.http1 cimport Http1Codec
from gateway.loop cimport SCRATCH_SIZE
from gateway.record cimport Record
from gateway.rejudge cimport Rejudge
from gateway.sniff cimport (
    SNIFF_HTTP1, SNIFF_HTTP2_PREFACE, SNIFF_MORE, SNIFF_SOCKS4, SNIFF_SOCKS5, http2_refusal, sniff,
)
from gateway.sockets cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLPRI, EPOLLRDHUP, MSG_DONTWAIT, MSG_NOSIGNAL, SHUT_WR,
    local_address, recv, send, shutdown, tune,
)
from gateway.socks cimport Socks4Codec, Socks5Codec
from gateway.tunnel cimport CLIENT, UPSTREAM

cdef enum:
    LEG_EVENTS = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET   # asked for once, while a leg lives
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
cdef class Connection(InspectedTunnel):
    """See connection.pxd. Made by a listener; keeps itself alive through the context until it has ended."""

    def __cinit__(self, Context context, int fd, int listener):
        self.context = context
        self.client = fd
        self.listener = listener

    cdef void enter(self) noexcept:
        """Takes its place: watched, counted, with the time a request may take running."""
        self.context.loop.keep(self)
        self.context.entered(self)
        tune(self.client)
        if not self.context.loop.watch(self.client, self, CLIENT, LEG_EVENTS):
            self.drop()
            return
        # One too many is told so when its request is complete: until then another one may have been answered.
        self.context.limits.enter(self.source, SL_LIMIT_REQUESTS, &self.asking)
        self.context.loop.arm(self, self.context.request_timeout)

    cdef void on_event(self, uint32_t events, int leg) noexcept:
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

    cdef void read(self) noexcept:
        """Reads and feeds until the socket is dry or the request is complete."""
        cdef ssize_t got
        while self.state == READING and not self.closed:
            got = recv(self.client, self.context.loop.scratch, SCRATCH_SIZE, MSG_DONTWAIT)
            if got > 0:
                self.feed(self.context.loop.scratch, got)
                if got < SCRATCH_SIZE and not self.up.hangup:
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
        if found == SNIFF_SOCKS5 and spec.protocol != PROTOCOL_HTTP:
            self.codec = Socks5Codec(spec.auth)
        elif found == SNIFF_SOCKS4 and spec.protocol != PROTOCOL_HTTP:
            self.codec = Socks4Codec(spec.auth)
        elif found == SNIFF_HTTP1 and spec.protocol != PROTOCOL_SOCKS5:
            self.codec = Http1Codec(spec.auth)
        elif spec.protocol == PROTOCOL_HTTP and found != SNIFF_HTTP2_PREFACE:
            self.codec = Http1Codec(spec.auth)  # answers 400 to what is not HTTP
        else:
            self.protocol_error(SL_OUTCOME_NOT_BUILT if found == SNIFF_HTTP2_PREFACE else SL_OUTCOME_MALFORMED)
            if found == SNIFF_HTTP2_PREFACE:
                self.say(http2_refusal())
            self.linger()
            return False
        return True

    cdef void protocol_error(self, int outcome) noexcept:
        """Counts a request that never became one."""
        self.context.count(SL_COUNTER_AUTH_FAILED if outcome == SL_OUTCOME_AUTH_FAILED else SL_COUNTER_PROTOCOL_ERRORS)
        self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, kind_of(self.codec), outcome, 0, 0)[0] += 1

    cdef void advance(self, int status, const uint8_t *rest, size_t length) noexcept:
        """Acts on what the codec says; `rest` are the bytes it has not used."""
        if not self.flush():
            return
        if status == CODEC_MORE:
            return
        self.held = PyBytes_FromStringAndSize(<const char *> rest, length) if length else None
        if status == CODEC_CREDENTIALS:
            self.ask_verifier()
        elif status == CODEC_REQUEST:
            self.open()
        else:
            self.protocol_error(self.codec.outcome)
            self.linger()

    cdef void ask_verifier(self) noexcept:
        cdef int known = self.context.verify(self.codec.user, self.codec.password, self)
        if known >= 0:
            self.on_verified(known, False)
        elif known == -1:
            self.state = VERIFYING
        else:
            self.on_verified(False, True)

    cdef void on_verified(self, bint ok, bint busy) noexcept:
        cdef bytes rest = self.held
        cdef int status
        cdef size_t used = 0
        self.state = READING
        if busy:
            self.context.limited(SL_SCOPE_CREDENTIALS)
            self.answer(SL_OUTCOME_GATEWAY_LIMIT)
            return
        if ok:
            self.user = self.codec.user
        self.held = None
        status = self.codec.verified(ok)
        if rest is None:
            rest = b""
        if status == CODEC_MORE and rest:
            status = self.codec.feed(<const uint8_t *> PyBytes_AS_STRING(rest), PyBytes_GET_SIZE(rest), &used)
        self.advance(status, <const uint8_t *> PyBytes_AS_STRING(rest) + used, PyBytes_GET_SIZE(rest) - used)
        if self.state == READING and not self.closed:
            self.read()

    cdef void open(self) noexcept:
        """The request is complete: from here the Opening decides."""
        cdef Context context = self.context
        cdef Codec codec = self.codec
        cdef ListenerSpec spec = context.listeners[self.listener]
        cdef Record record = Record(context)
        cdef int outcome
        record.listener = self.listener
        record.protocol = codec.protocol
        record.kind = kind_of(codec)
        record.peer = self.peer
        record.peer_port = self.peer_port
        record.user = self.user
        record.port = codec.port
        if codec.address.family:
            record.address = codec.address
        else:
            record.name = codec.name[:codec.name_length]
        self.record = record
        self.state = OPENING
        context.loop.disarm(self)
        outcome = self.limit()
        if outcome != SL_OUTCOME_CONNECTED:
            self.on_refused(outcome)
            return
        self.opening = Opening(context, self, record, spec.audit)
        self.opening.start()

    cdef int limit(self) noexcept:
        """SL_OUTCOME_CONNECTED when the request may go on, as one of its source's unanswered ones; else its refusal."""
        cdef Context context = self.context
        cdef Record record = self.record
        if context.draining:
            context.limited(SL_SCOPE_DRAINING)
            return SL_OUTCOME_GATEWAY_LIMIT
        record.source = self.source
        if record.user is not None:
            # From here on whoever shares the peer's address does not pay for this user.
            record.source = context.limits.of_user(record.user)
            context.limits.leave(SL_LIMIT_REQUESTS, &self.asking)
            context.limits.leave(SL_LIMIT_CONNECTIONS, &self.place)
            if not context.limits.enter(record.source, SL_LIMIT_CONNECTIONS, &self.place):
                context.limited(SL_SCOPE_SOURCE_REQUESTS)
                return SL_OUTCOME_SOURCE_LIMIT
        if not context.limits.enter(record.source, SL_LIMIT_REQUESTS, &self.asking):
            context.limited(SL_SCOPE_SOURCE_REQUESTS)
            return SL_OUTCOME_SOURCE_LIMIT
        return SL_OUTCOME_CONNECTED

    cdef void on_opened(self, int fd) noexcept:
        """Connected: answer, then relay; early payload goes first."""
        cdef sl_addr bound
        cdef uint16_t bound_port
        cdef bytes answer, held = self.held
        cdef Record record = self.record
        cdef ssize_t sent
        self.opening = None
        self.upstream = fd
        self.context.limits.leave(SL_LIMIT_REQUESTS, &self.asking)
        self.context.limits.leave(SL_LIMIT_CONNECTIONS, &self.place)
        local_address(fd, &bound, &bound_port)
        answer = self.codec.answer(SL_OUTCOME_CONNECTED, &bound, bound_port, None, None)
        self.codec = None
        self.held = None
        self.state = RELAYING
        self.begin()
        sent = send(self.client, PyBytes_AS_STRING(answer), PyBytes_GET_SIZE(answer), MSG_NOSIGNAL | MSG_DONTWAIT)
        if sent < 0:
            sent = 0
        if sent < PyBytes_GET_SIZE(answer):
            sl_direction_preload(&self.down, <const uint8_t *> PyBytes_AS_STRING(answer) + sent,
                                 PyBytes_GET_SIZE(answer) - sent)
        # Edges of the client that came before were not acted upon; those of the upstream are reported again by rewatch.
        if not self.context.loop.rewatch(fd, self, UPSTREAM, LEG_EVENTS):
            self.end(SL_OUTCOME_INTERNAL, True)
            return
        if record.generation is not self.context.generation:
            # A generation came while this was dialed: the tunnel is judged under it before its first byte.
            Rejudge(self.context).visit(self)
            if self.closed:
                return
        self.inspect_first((<ListenerSpec> self.context.listeners[self.listener]).inner, held)

    cdef void on_refused(self, int outcome) noexcept:
        self.opening = None
        self.record.write(SL_LOG_DECISION, outcome, 0, 0)
        self.answer(outcome)

    cdef void answer(self, int outcome) noexcept:
        """Refuses with the codec's row for `outcome`, then lingers."""
        cdef sl_addr nowhere
        cdef str rule = None
        cdef str reason = None
        memset(&nowhere, 0, sizeof(nowhere))
        if self.record is not None and outcome != SL_OUTCOME_SOURCE_LIMIT and outcome != SL_OUTCOME_GATEWAY_LIMIT:
            rule, reason = self.record.rule, self.record.reason()
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
        self.context.limits.leave(SL_LIMIT_REQUESTS, &self.asking)
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
        else:
            self.context.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, kind_of(self.codec), SL_OUTCOME_REQUEST_TIMEOUT, 0,
                                  0)[0] += 1
            self.answer(SL_OUTCOME_REQUEST_TIMEOUT)

    cdef void abandon(self) noexcept:
        """The client is gone before there was a tunnel."""
        if self.opening is not None:
            self.opening.cancel()
            self.record.write(SL_LOG_DECISION, SL_OUTCOME_CLIENT_GONE, 0, 0)
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
        unistd.close(self.client)
        self.closed_sockets()

    cdef void closed_sockets(self) noexcept:
        self.context.limits.leave(SL_LIMIT_REQUESTS, &self.asking)
        self.context.limits.leave(SL_LIMIT_CONNECTIONS, &self.place)
        InspectedTunnel.closed_sockets(self)

    cdef void close(self) noexcept:
        """Ends at once, whatever the state: an error of ours, or the end of the worker."""
        if self.state == RELAYING:
            self.end(SL_OUTCOME_DRAINED if self.context.draining else SL_OUTCOME_INTERNAL, True)
        else:
            self.drop()
