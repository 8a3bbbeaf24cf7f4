"""One HTTP/2 connection as bytes (RFC 9113), the server's side. See server.pxd.

Its laws are those of core.pyx, and one more:

* Pipy's sidecar is spoken to as it can bear: nothing on a stream behind END_STREAM or RST_STREAM, frames of at most
  16,384 bytes, no second SETTINGS, 503 instead of REFUSED_STREAM.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from gateway.proto.codec cimport CODEC_CREDENTIALS, CODEC_REQUEST
from gateway.c.contract cimport SL_OUTCOME_MALFORMED
from gateway.c.segment cimport SL_H2_ABUSE_ERRORS, SL_H2_ABUSE_REFUSED
from gateway.c.message cimport sl_message
from gateway.proto.http2.blocks cimport MESSAGE_LIST_MAX, PART_RESPONSE, put_message
from gateway.proto.http2.budget cimport budgets_begin, budgets_spend
from gateway.proto.http2.core cimport (
    EVENT_END, EVENT_NONE, EVENT_REFUSED, EVENT_REQUEST, EVENT_WINDOW, PREFACE, PREFACE_BYTES,
)
from gateway.proto.http2.frames cimport (
    FLAG_END_HEADERS, FLAG_END_STREAM, FRAME_HEADERS, FRAME_RST_STREAM, FRAME_SETTINGS, FRAME_WINDOW_UPDATE,
    H2_INTERNAL_ERROR, H2_NO_ERROR, H2_PROTOCOL_ERROR, H2_REFUSED_STREAM, H2_STREAM_CLOSED, put_frame, put_number,
)
from gateway.proto.http2.head cimport (
    DIALECT_NONE, DIALECT_PIPY, DIALECT_RFC, HEAD_CONNECT, HEAD_HEAD, HEAD_LIST_MAX,
)
from gateway.proto.http2.hpack cimport Field
from gateway.proto.http2.outbound cimport CONNECTION_ROOM, FRAME_LARGE, ROOM_FIRST
from gateway.proto.http2.settings cimport (
    SETTING_ENABLE_CONNECT_PROTOCOL, SETTING_INITIAL_WINDOW_SIZE, SETTING_MAX_CONCURRENT_STREAMS,
    SETTING_MAX_FRAME_SIZE, SETTING_MAX_HEADER_LIST_SIZE, WINDOW_FIRST, settings_write,
)
from gateway.proto.http2.streams cimport (
    END_BOTH, END_RESET_BY_PEER, END_RESET_BY_US, STREAM_ANSWERED, STREAM_CONNECT, STREAM_HEAD, STREAM_REMOTE_ENDED,
    StreamEnd, streams_add, streams_end, streams_find, streams_note,
)

cdef enum:
    GROWTH = 4194304           # by which the streams of a client's connection may have grown, together


cdef class H2Server(H2Core):
    """`auth` is that of codec.pxd."""

    def __cinit__(self, int auth=0):
        self.head = H2Head(auth)
        self.serves = True
        self.preface = PREFACE_BYTES
        self.growth = GROWTH
        self.streams_most = STREAMS_FIRST

    cdef bint begin(self, uint64_t now) noexcept:
        cdef uint8_t payload[24]
        budgets_begin(&self.budgets, now)
        self.unacknowledged = 1
        self.head.collects = self.requests
        settings_write(payload, SETTING_MAX_CONCURRENT_STREAMS, self.streams_most)
        settings_write(payload + 6, SETTING_INITIAL_WINDOW_SIZE, ROOM_FIRST)
        settings_write(payload + 12, SETTING_MAX_HEADER_LIST_SIZE, MESSAGE_LIST_MAX if self.requests else HEAD_LIST_MAX)
        settings_write(payload + 18, SETTING_ENABLE_CONNECT_PROTOCOL, 1)
        return (put_frame(&self.out, FRAME_SETTINGS, 0, 0, payload, 24 if self.requests else 18)
                and put_number(&self.out, FRAME_WINDOW_UPDATE, 0, CONNECTION_ROOM - WINDOW_FIRST))

    cdef EventKind greet(self) noexcept:
        """Section 3.4: the client's preface, in whatever pieces."""
        cdef size_t take = min(<size_t> self.preface, <size_t> (self.reader.end - self.reader.data))
        if memcmp(self.reader.data, PREFACE + PREFACE_BYTES - self.preface, take) != 0:
            return self.fail(H2_PROTOCOL_ERROR, "not the preface of HTTP/2")
        self.reader.data += take
        self.preface -= <uint8_t> take
        return EVENT_NONE

    cdef bint respond(self, H2Stream *stream, bytes block, bint end) noexcept:
        stream.flags |= STREAM_ANSWERED
        if end:
            self.end_local(stream)
        return put_frame(&self.out, FRAME_HEADERS, FLAG_END_HEADERS | (FLAG_END_STREAM if end else 0), stream.id,
                         <const uint8_t *> PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block))

    cdef bint respond_message(self, H2Stream *stream, const sl_message *head, bint end) noexcept:
        stream.flags |= STREAM_ANSWERED
        if end:
            self.end_local(stream)
        return put_message(&self.out, self.deflater, stream.id, head, PART_RESPONSE, False, end, self.peer.frame)

    cdef bint inform(self, H2Stream *stream, const sl_message *head) noexcept:
        return put_message(&self.out, self.deflater, stream.id, head, PART_RESPONSE, False, False, self.peer.frame)

    cdef EventKind settled(self, bint wider) noexcept:
        return EVENT_WINDOW if wider else EVENT_NONE

    cdef bint is_idle_reset(self, const H2Stream *stream) noexcept:
        """A reset is free where it ends a tunnel: its opening has cost the client as much as this side. One that gives
        up a request, or comes behind a refusal, has cost the client nothing."""
        return stream is NULL or stream.owner is NULL or not stream.flags & STREAM_ANSWERED

    cdef EventKind late(self, const Frame *frame, H2Event *event) noexcept:
        if streams_end(&self.streams, frame.stream) == END_RESET_BY_US or self.dialect == DIALECT_PIPY:
            return EVENT_NONE  # the reset had not reached it yet
        return self.stream_error(frame.stream, H2_STREAM_CLOSED, event)

    # ---- header blocks -----------------------------------------------------------------------------------------------

    cdef EventKind open_block(self, const Frame *frame) noexcept:
        cdef EventKind kind
        self.block_error = H2_NO_ERROR
        kind = self.purpose(frame)
        if frame.depends == frame.stream:
            self.block_error = H2_PROTOCOL_ERROR
        self.head.begin(self.block == BLOCK_TRAILERS)
        return kind

    cdef EventKind purpose(self, const Frame *frame) noexcept:
        """The purpose of the block."""
        cdef H2Stream *stream = streams_find(&self.streams, frame.stream)
        cdef StreamEnd how
        self.block = BLOCK_IGNORED
        if stream is not NULL:
            self.block = BLOCK_TRAILERS
            if stream.flags & STREAM_REMOTE_ENDED:
                self.block_error = H2_STREAM_CLOSED
            elif stream.flags & STREAM_CONNECT or not frame.flags & FLAG_END_STREAM:
                self.block_error = H2_PROTOCOL_ERROR  # section 8.5: nothing but DATA follows CONNECT
            return EVENT_NONE
        if frame.stream % 2 == 0:
            return self.fail(H2_PROTOCOL_ERROR, "a client's stream with an even number")
        if frame.stream <= self.last_stream:
            how = streams_end(&self.streams, frame.stream)
            if how == END_BOTH:
                return self.fail(H2_STREAM_CLOSED, "HEADERS on a stream that has ended")
            if how == END_RESET_BY_PEER:
                self.block_error = H2_STREAM_CLOSED
            elif how != END_RESET_BY_US:
                return self.fail(H2_PROTOCOL_ERROR, "a stream number below an earlier one")
            return EVENT_NONE
        self.last_stream = frame.stream
        # A sidecar of the Pipy family does not heed the number of streams, has no other connection to that target, and
        # gets no GOAWAY: the limits of its source alone count.
        if self.dialect != DIALECT_PIPY and (self.leaving or self.streams.count >= self.streams_most):
            self.block = BLOCK_REFUSED
            if not budgets_spend(&self.budgets, SL_H2_ABUSE_REFUSED):
                return self.calm(SL_H2_ABUSE_REFUSED)
        else:
            self.block = BLOCK_REQUEST
        return EVENT_NONE

    cdef void take_field(self, const Field *field) noexcept:
        self.head.field(field)

    cdef EventKind end_block(self, H2Event *event) noexcept:
        cdef BlockKind kind = self.block
        cdef uint32_t number = self.block_stream
        self.block = BLOCK_NONE
        self.block_stream = 0
        if self.block_error:
            if kind != BLOCK_TRAILERS and streams_end(&self.streams, number) != END_RESET_BY_PEER:
                streams_note(&self.streams, number, END_RESET_BY_US)
            return self.stream_error(number, self.block_error, event)
        if kind == BLOCK_REFUSED:
            event.status = self.head.finish()
            streams_note(&self.streams, number, END_RESET_BY_US)
            put_number(&self.out, FRAME_RST_STREAM, number, H2_REFUSED_STREAM)
            return EVENT_REFUSED
        if kind == BLOCK_REQUEST:
            return self.end_request(number, event)
        return self.end_trailers(number, event) if kind == BLOCK_TRAILERS else EVENT_NONE

    cdef EventKind end_request(self, uint32_t number, H2Event *event) noexcept:
        """A stream is opened; the owner of the session is notified."""
        cdef H2Head head = self.head
        cdef bint end = self.block_flags & FLAG_END_STREAM
        cdef H2Stream *stream
        cdef bint classic = head.method == HEAD_CONNECT and not head.has_protocol
        cdef int status
        head.ends = end
        status = head.finish()
        if classic and (status == CODEC_REQUEST or status == CODEC_CREDENTIALS):
            if self.dialect == DIALECT_NONE:
                self.dialect = head.dialect
                self.offer()
            elif head.dialect != self.dialect:
                status = head.refuse(SL_OUTCOME_MALFORMED, "another form of CONNECT than this connection's first one")
        if head.malformed and not budgets_spend(&self.budgets, SL_H2_ABUSE_ERRORS):
            return self.calm(SL_H2_ABUSE_ERRORS)
        stream = streams_add(&self.streams, number, self.peer.window, ROOM_FIRST)
        if stream is NULL:
            return self.fail(H2_INTERNAL_ERROR, "no memory")
        stream.expected = head.expected
        if end:
            self.end_remote(stream)
        if head.method == HEAD_HEAD:
            stream.flags |= STREAM_HEAD
        if head.method == HEAD_CONNECT:
            stream.expected = -1
        if classic:
            stream.flags |= STREAM_CONNECT
        elif not self.length_holds(stream, 0, end):
            head.malformed = True
            status = head.refuse(SL_OUTCOME_MALFORMED, "content-length is not the content's")
        event.stream, event.status, event.end = stream, status, end
        return EVENT_REQUEST

    cdef EventKind end_trailers(self, uint32_t number, H2Event *event) noexcept:
        """Section 8.1: trailers end the request."""
        cdef H2Stream *stream = streams_find(&self.streams, number)
        self.head.finish()
        if self.head.malformed or not self.length_holds(stream, 0, True):
            return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
        self.end_remote(stream)
        event.stream, event.end = stream, True
        return EVENT_END

    cdef void offer(self) noexcept:
        """Larger frames, once it is known that no sidecar of the Pipy family is there."""
        cdef uint8_t payload[6]
        if self.dialect == DIALECT_RFC and not self.offered:
            self.offered = True
            self.unacknowledged += 1
            settings_write(payload, SETTING_MAX_FRAME_SIZE, FRAME_LARGE)
            put_frame(&self.out, FRAME_SETTINGS, 0, 0, payload, 6)
            self.reader.most = FRAME_LARGE
