"""What the requests on a client's HTTP/2 connection become. See h2_requests.pxd."""

from cpython.ref cimport Py_INCREF, PyObject
from libc.stdint cimport uint32_t, uint64_t

from gateway.answers cimport http2_answer
from gateway.codec cimport CODEC_CREDENTIALS, CODEC_REQUEST
from gateway.context cimport ListenerSpec
from gateway.csrc cimport (
    SL_COUNTER_AUTH_FAILED, SL_COUNTER_PROTOCOL_ERRORS, SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_HTTP2_RESETS,
    SL_FAMILY_PROTOCOL_ERRORS, SL_H2_CODE_OTHER, SL_H2_SIDE_GATEWAY, SL_LIMIT_CONNECTIONS, SL_OUTCOME_AUTH_FAILED,
    SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_NOT_BUILT, SL_PROTOCOL_HTTP2, SL_REASON_DRAINING, SL_REASON_TOO_MANY_STREAMS,
    SL_SCOPE_DRAINING, SL_SCOPE_STREAMS,
)
from gateway.h2_frames cimport H2_CANCEL, H2_REFUSED_STREAM
from gateway.h2_head cimport DIALECT_PIPY, HEAD_CONNECT, HEAD_GET, HEAD_HEAD, HEAD_POST, H2Head
from gateway.h2_streams cimport (
    END_RESET_BY_PEER, END_RESET_BY_US, STREAM_HEAD, STREAM_LATE, STREAM_LOCAL_ENDED, STREAM_MALFORMED, StreamEnd,
    StreamTable, ring_add, streams_next,
)
from gateway.h2_tunnel cimport H2Tunnel
from gateway.h2_writer cimport H2Writer
from gateway.record cimport log_refused

cdef bytes FOUND = b"sluice: this port carries CONNECT tunnels\n"
cdef bytes NOT_FOUND = b"this port carries CONNECT tunnels, and nothing else is here\n"


cdef class H2Requests(H2Writer):
    """Between reading and writing; see h2_requests.pxd."""

    cdef void request(self, H2Event *event) noexcept:
        cdef H2Head head = self.session.head
        cdef H2Stream *stream = event.stream
        cdef uint64_t sequence
        if event.status != CODEC_REQUEST and event.status != CODEC_CREDENTIALS:
            sequence = self.protocol_error(head.outcome, head.user, head.detail)
            if head.malformed:
                stream.flags |= STREAM_MALFORMED
            self.refuse_stream(stream, head.outcome, None, None, head.detail, sequence)
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
                self.note_short()
        else:
            self.not_found(stream, self.protocol_error(SL_OUTCOME_NOT_BUILT, None, None))

    cdef void plain(self, H2Stream *stream) noexcept:
        """A request for the diagnostic page has come whole."""
        if not stream.flags & STREAM_LOCAL_ENDED and stream.body is NULL:
            self.respond(stream, [(b":status", b"200"), (b"content-type", b"text/plain"),
                                  (b"content-length", b"%d" % len(FOUND))],
                         None if stream.flags & STREAM_HEAD else FOUND)

    cdef void not_found(self, H2Stream *stream, uint64_t sequence) noexcept:
        cdef bytes text = NOT_FOUND
        if self.context.deny_message is not None:
            text = NOT_FOUND + self.context.deny_message.encode("ascii") + b"\n"
        self.respond(stream, [(b":status", b"404"), (b"sluice-id", f"{self.context.prefix}{sequence}".encode("ascii")),
                              (b"content-type", b"text/plain"), (b"content-length", b"%d" % len(text))], text)

    cdef void connect(self, H2Stream *stream, int status) noexcept:
        """A request for a tunnel. It asks at once: what has to wait for its source's limits does so by destination, so
        that no stream of the connection waits for another one (opening.pyx)."""
        cdef H2Head head = self.session.head
        cdef H2Tunnel tunnel = self.asked_for()
        tunnel.stream = stream
        tunnel.user = head.user
        stream.owner = <PyObject *> tunnel
        tunnel.enter()
        if status == CODEC_CREDENTIALS:
            self.context.loop.arm(tunnel, self.context.request_timeout)
            tunnel.verify(head.user, head.password)
        else:
            tunnel.ask()

    cdef H2Tunnel asked_for(self):
        """What the session's head asks for, with a record of it."""
        cdef H2Tunnel tunnel = H2Tunnel()
        tunnel.context = self.context
        tunnel.carrier = self
        tunnel.listener = self.listener
        tunnel.peer = self.peer
        tunnel.peer_port = self.peer_port
        tunnel.source = self.source
        tunnel.note(self.session.head, SL_PROTOCOL_HTTP2)
        return tunnel

    cdef void one_too_many(self, int status) noexcept:
        cdef H2Head head = self.session.head
        cdef H2Tunnel tunnel
        self.count_reset(SL_H2_SIDE_GATEWAY, H2_REFUSED_STREAM)
        if (status == CODEC_REQUEST or status == CODEC_CREDENTIALS) and head.method == HEAD_CONNECT:
            tunnel = self.asked_for()
            if self.session.leaving:
                tunnel.over_limit(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DRAINING, SL_REASON_DRAINING)
            else:
                tunnel.over_limit(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_STREAMS, SL_REASON_TOO_MANY_STREAMS)
        else:
            self.context.limited(SL_SCOPE_DRAINING if self.session.leaving else SL_SCOPE_STREAMS)

    cdef void tunnel_began(self) noexcept:
        self.tunnels += 1
        self.context.limits.leave(SL_LIMIT_CONNECTIONS, &self.place)

    cdef void tunnel_ended(self) noexcept:
        """With its last tunnel this is again one of its source's connections that carry nothing."""
        self.tunnels -= 1
        if self.tunnels == 0 and not self.closed and not self.context.limits.enter(
                self.source, SL_LIMIT_CONNECTIONS, &self.place) and self.session.streams.count == 0:
            self.leave()

    cdef void refuse_stream(self, H2Stream *stream, int outcome, str rule, str reason, str detail,
                            uint64_t sequence) noexcept:
        cdef list block
        cdef bytes body
        block, body = http2_answer(outcome, rule, reason, detail, f"{self.context.prefix}{sequence}",
                                   self.context.deny_message)
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
            self.note_short()
            ring_add(&self.session.streams, stream)
        self.write_later()

    cdef void note_short(self) noexcept:
        if self.short_since == 0:
            self.short_since = self.context.loop.now

    cdef void end_short(self) noexcept:
        """Those that were under way at the last look are late. One look costs as much as there are streams, so it is
        taken once in the time that a request may take."""
        cdef StreamTable *streams = &self.session.streams
        cdef H2Stream *stream = streams_next(streams, NULL)
        cdef H2Stream *following
        cdef bint left = False
        while stream is not NULL:
            following = streams_next(streams, stream)
            if stream.owner is NULL:
                if stream.flags & STREAM_LATE:
                    self.context.count(SL_COUNTER_REQUEST_TIMEOUTS)
                    self.reset_stream(stream, H2_CANCEL)
                else:
                    stream.flags |= STREAM_LATE
                    left = True
            stream = following
        self.short_since = self.context.loop.now if left else 0

    cdef void wait_for(self) noexcept:
        pass

    cdef void leave(self) noexcept:
        pass

    # ---- streams that end --------------------------------------------------------------------------------------------

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

    cdef void count_reset(self, int side, uint32_t code) noexcept:
        self.context.labelled(SL_FAMILY_HTTP2_RESETS, side, min(code, <uint32_t> SL_H2_CODE_OTHER), 0, 0)[0] += 1

    cdef uint64_t turned_away(self, int outcome, bytes tried, str detail) noexcept:
        cdef uint64_t sequence
        self.context.sequence += 1
        sequence = self.context.sequence
        log_refused(self.context, self.listener, SL_PROTOCOL_HTTP2, &self.peer, self.peer_port, self.source, sequence,
                    outcome, tried, detail)
        return sequence

    cdef uint64_t protocol_error(self, int outcome, bytes tried, str detail) noexcept:
        self.context.count(SL_COUNTER_AUTH_FAILED if outcome == SL_OUTCOME_AUTH_FAILED else SL_COUNTER_PROTOCOL_ERRORS)
        self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_HTTP2, outcome, 0, 0)[0] += 1
        return self.turned_away(outcome, tried, detail)
