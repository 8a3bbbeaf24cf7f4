"""One HTTP/2 connection as bytes (RFC 9113), the server's side. See h2_session.pxd.

Laws kept here:

* Header blocks are decoded to their end whatever becomes of their stream; what ends the decoding ends the connection.
* A stream is forgotten only by drop(): a pointer given out stays good until its owner says so.
* Pipy's sidecar is spoken to as it can bear: nothing on a stream behind END_STREAM or RST_STREAM, frames of at most
  16,384 bytes, no second SETTINGS, 503 instead of REFUSED_STREAM.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from gateway.codec cimport CODEC_CREDENTIALS, CODEC_REQUEST
from gateway.csrc cimport (
    SL_H2_ABUSE_CONTINUATION, SL_H2_ABUSE_EMPTY, SL_H2_ABUSE_ERRORS, SL_H2_ABUSE_HEADERS, SL_H2_ABUSE_PING,
    SL_H2_ABUSE_PRIORITY, SL_H2_ABUSE_REFUSED, SL_H2_ABUSE_RESETS, SL_H2_ABUSE_SETTINGS, SL_H2_ABUSE_UNKNOWN,
    SL_H2_ABUSE_UNREAD, SL_H2_ABUSE_WINDOW, SL_OUTCOME_MALFORMED,
)
from gateway.h2_budget cimport budgets_begin, budgets_earn, budgets_refill, budgets_spend
from gateway.h2_frames cimport (
    FLAG_ACK, FLAG_END_HEADERS, FLAG_END_STREAM, FLAG_PADDED, FRAME_BROKEN, FRAME_CONTINUATION, FRAME_DATA,
    FRAME_GOAWAY, FRAME_HEADERS, FRAME_MORE, FRAME_PING, FRAME_PRIORITY, FRAME_PUSH_PROMISE, FRAME_RST_STREAM,
    FRAME_SETTINGS, FRAME_WINDOW_UPDATE, H2_COMPRESSION_ERROR, H2_ENHANCE_YOUR_CALM, H2_FLOW_CONTROL_ERROR,
    H2_FRAME_SIZE_ERROR, H2_INTERNAL_ERROR, H2_NO_ERROR, H2_PROTOCOL_ERROR, H2_REFUSED_STREAM, H2_STREAM_CLOSED,
    frames_begin, frames_feed, frames_free, frames_next, put_frame, put_number, read_u32,
)
from gateway.h2_head cimport DIALECT_NONE, DIALECT_PIPY, DIALECT_RFC, HEAD_CONNECT, HEAD_LIST_LAST, HEAD_LIST_MAX
from gateway.h2_hpack cimport FIELD_END, FIELD_MORE, FIELD_READY, Field, FieldStatus
from gateway.h2_outbound cimport CONNECTION_ROOM, FRAME_LARGE, PINGS_EARNED, ROOM_FIRST, H2Outbound
from gateway.h2_settings cimport (
    SETTING_INITIAL_WINDOW_SIZE, SETTING_MAX_CONCURRENT_STREAMS, SETTING_MAX_FRAME_SIZE, SETTING_MAX_HEADER_LIST_SIZE,
    WINDOW_FIRST, WINDOW_MAX, settings_read, settings_write,
)
from gateway.h2_streams cimport (
    END_BOTH, END_RESET_BY_PEER, END_RESET_BY_US, STREAM_ANSWERED, STREAM_CONNECT, STREAM_REMOTE_ENDED, StreamEnd,
    streams_add, streams_end, streams_find, streams_next, streams_note,
)

cdef enum:
    PREFACE_BYTES = 24
    BLOCK_PARTS = 16           # frames of one header block
    BLOCK_BYTES = 256          # of a header block that cost as much as a block does
    STREAMS_A_BLOCK = 64       # streams whose windows are set anew for what a block costs
    OUT_MAX = 524288           # bytes a peer may leave unread and still ask for more

cdef const char *PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


cdef class H2Session(H2Outbound):
    """`auth` is that of codec.pxd."""

    def __cinit__(self, int auth=0):
        self.inflater = Inflater()
        self.head = H2Head(auth)
        frames_begin(&self.reader)
        self.abuse = -1
        self.streams_most = STREAMS_FIRST
        self.frames_left = self.blocks_left = INT32_MAX

    def __dealloc__(self):
        frames_free(&self.reader)

    # ---- in ----------------------------------------------------------------------------------------------------------

    cdef bint begin(self, uint64_t now) noexcept:
        cdef uint8_t payload[18]
        budgets_begin(&self.budgets, now)
        self.unacknowledged = 1
        settings_write(payload, SETTING_MAX_CONCURRENT_STREAMS, self.streams_most)
        settings_write(payload + 6, SETTING_INITIAL_WINDOW_SIZE, ROOM_FIRST)
        settings_write(payload + 12, SETTING_MAX_HEADER_LIST_SIZE, HEAD_LIST_MAX)
        return (put_frame(&self.out, FRAME_SETTINGS, 0, 0, payload, 18)
                and put_number(&self.out, FRAME_WINDOW_UPDATE, 0, CONNECTION_ROOM - WINDOW_FIRST))

    cdef void feed(self, const uint8_t *data, size_t length, uint64_t now) noexcept:
        self.now = now
        budgets_refill(&self.budgets, now)
        frames_feed(&self.reader, data, length)

    cdef void allow(self, int32_t frames, int32_t blocks, uint64_t now) noexcept:
        self.now = now
        budgets_refill(&self.budgets, now)
        self.frames_left, self.blocks_left = frames, blocks

    cdef bint is_stopped(self) noexcept:
        return self.reader.data < self.reader.end and not self.ended

    cdef void keep(self, const uint8_t *data, size_t length) noexcept:
        frames_feed(&self.reader, data, length)

    cdef bint is_costly(self) noexcept:
        """Whether the next frame is one of those that cost more than its bytes tell."""
        cdef const FrameReader *reader = &self.reader
        return (not reader.inside and reader.head_size == 0 and reader.end - reader.data > 3
                and reader.data[3] in (FRAME_HEADERS, FRAME_CONTINUATION, FRAME_RST_STREAM, FRAME_SETTINGS))

    cdef EventKind next(self, H2Event *event) noexcept:
        cdef Frame frame
        cdef EventKind kind
        cdef int status
        event.stream = NULL
        event.end = False
        if self.ended:
            return EVENT_NONE
        if self.preface < PREFACE_BYTES:
            kind = self.greet()
            if kind != EVENT_NONE or self.preface < PREFACE_BYTES:
                return kind
        while True:
            if self.frames_left <= 0 or (self.blocks_left <= 0 and self.is_costly()):
                return EVENT_NONE
            if self.out.end - self.out.begin > OUT_MAX:
                return self.calm(SL_H2_ABUSE_UNREAD)
            status = frames_next(&self.reader, &frame)
            if status == FRAME_MORE:
                return EVENT_NONE
            self.frames_left -= 1
            if status == FRAME_BROKEN:
                if self.reader.code == H2_ENHANCE_YOUR_CALM:
                    return self.calm(SL_H2_ABUSE_HEADERS)
                return self.fail(self.reader.code, self.reader.detail.decode("ascii"))
            kind = self.take(&frame, event)
            if kind != EVENT_NONE:
                return kind

    cdef EventKind greet(self) noexcept:
        """Section 3.4: the client's preface, in whatever pieces."""
        cdef size_t take = min(<size_t> (PREFACE_BYTES - self.preface), <size_t> (self.reader.end - self.reader.data))
        if memcmp(self.reader.data, PREFACE + self.preface, take) != 0:
            return self.fail(H2_PROTOCOL_ERROR, "not the preface of HTTP/2")
        self.reader.data += take
        self.preface += <uint8_t> take
        return EVENT_NONE

    # ---- errors ------------------------------------------------------------------------------------------------------

    cdef EventKind fail(self, uint32_t code, str detail) noexcept:
        self.code = code
        self.detail = detail
        self.leave(code, detail.encode("ascii", "replace"))
        self.ended = True
        frames_free(&self.reader)
        return EVENT_FAILED

    cdef EventKind calm(self, int abuse) noexcept:
        self.abuse = abuse
        return self.fail(H2_ENHANCE_YOUR_CALM, "too many frames of a kind, or too much of it")

    # ---- frame by frame ----------------------------------------------------------------------------------------------

    cdef EventKind take(self, const Frame *frame, H2Event *event) noexcept:
        cdef int kind = frame.type
        if not self.greeted and (kind != FRAME_SETTINGS or frame.flags & FLAG_ACK):
            return self.fail(H2_PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self.block != BLOCK_NONE and (kind != FRAME_CONTINUATION or frame.stream != self.block_stream):
            return self.fail(H2_PROTOCOL_ERROR, "a frame within a header block")
        if kind == FRAME_DATA:
            return self.take_data(frame, event)
        if kind == FRAME_HEADERS:
            return self.take_headers(frame, event)
        if kind == FRAME_CONTINUATION:
            if self.block == BLOCK_NONE:
                return self.fail(H2_PROTOCOL_ERROR, "CONTINUATION without HEADERS")
            return self.take_fragment(frame, event)
        if kind == FRAME_SETTINGS:
            return self.take_settings(frame, event)
        if kind == FRAME_WINDOW_UPDATE:
            return self.take_window(frame, event)
        if kind == FRAME_RST_STREAM:
            return self.take_reset(frame, event)
        if kind == FRAME_PING:
            if not budgets_spend(&self.budgets, SL_H2_ABUSE_PING):
                return self.calm(SL_H2_ABUSE_PING)
            if not frame.flags & FLAG_ACK:
                put_frame(&self.out, FRAME_PING, FLAG_ACK, 0, frame.payload, 8)
            return EVENT_NONE
        if kind == FRAME_PRIORITY:
            # Section 5.3.2: obsolete, but its form is still held to.
            if not budgets_spend(&self.budgets, SL_H2_ABUSE_PRIORITY):
                return self.calm(SL_H2_ABUSE_PRIORITY)
            if frame.length != 5:
                return self.stream_error(frame.stream, H2_FRAME_SIZE_ERROR, event)
            return self.stream_error(frame.stream, H2_PROTOCOL_ERROR, event) if frame.depends == frame.stream \
                else EVENT_NONE
        if kind == FRAME_PUSH_PROMISE:
            return self.fail(H2_PROTOCOL_ERROR, "PUSH_PROMISE from a client")
        if kind == FRAME_GOAWAY:
            return EVENT_SHUTDOWN
        if not budgets_spend(&self.budgets, SL_H2_ABUSE_UNKNOWN):
            return self.calm(SL_H2_ABUSE_UNKNOWN)
        return EVENT_NONE

    cdef EventKind take_data(self, const Frame *frame, H2Event *event) noexcept:
        """Section 6.1. Windows are charged with the whole frame when its first piece comes (section 6.9.1).

        The connection's window is returned at once, whatever becomes of the bytes: what waits is bounded by the
        streams' own windows."""
        cdef H2Stream *stream
        cdef uint32_t padding = <uint32_t> self.reader.pad + 1 if frame.first and frame.flags & FLAG_PADDED else 0
        cdef bint end = frame.last and frame.flags & FLAG_END_STREAM
        if frame.first:
            if frame.length > self.receive_window:
                return self.fail(H2_FLOW_CONTROL_ERROR, "more DATA than the connection's window")
            self.receive_window -= frame.length
            if frame.length == 0 and not end and not budgets_spend(&self.budgets, SL_H2_ABUSE_EMPTY):
                return self.calm(SL_H2_ABUSE_EMPTY)
            budgets_earn(&self.budgets, SL_H2_ABUSE_PING, PINGS_EARNED)
            self.return_connection()
        stream = streams_find(&self.streams, frame.stream)
        if stream is NULL or stream.flags & STREAM_REMOTE_ENDED:
            if not frame.first:
                return EVENT_NONE
            return self.late(frame, event) if stream is NULL \
                else self.stream_error(frame.stream, H2_STREAM_CLOSED, event)
        if frame.first:
            if frame.length > stream.receive_window:
                return self.stream_error(frame.stream, H2_FLOW_CONTROL_ERROR, event)
            stream.receive_window -= frame.length
            stream.returned += padding
            if stream.expected >= 0 and <int64_t> (frame.length - padding) > stream.expected:
                return self.stream_error(frame.stream, H2_PROTOCOL_ERROR, event)
        if not self.length_holds(stream, frame.size, end):
            return self.stream_error(frame.stream, H2_PROTOCOL_ERROR, event)
        if end:
            stream.flags |= STREAM_REMOTE_ENDED
        self.hold(frame.size)
        if frame.size == 0 and not end:
            return EVENT_NONE
        event.stream, event.data, event.size, event.end = stream, frame.payload, frame.size, end
        return EVENT_DATA

    cdef bint length_holds(self, H2Stream *stream, uint32_t size, bint end) noexcept:
        """RFC 9113 section 8.1.1: the content is as long as Content-Length has said."""
        if stream.expected < 0:
            return True
        stream.expected -= size
        return stream.expected == 0 if end else stream.expected >= 0

    cdef EventKind late(self, const Frame *frame, H2Event *event) noexcept:
        """A frame on a stream that is not open (section 5.1)."""
        cdef StreamEnd how
        if frame.stream > self.last_stream or frame.stream % 2 == 0:
            return self.fail(H2_PROTOCOL_ERROR, "a frame on a stream that was never opened")
        if frame.type != FRAME_DATA:
            return EVENT_NONE
        how = streams_end(&self.streams, frame.stream)
        if how == END_RESET_BY_US or self.dialect == DIALECT_PIPY:
            return EVENT_NONE  # it had not heard of our reset yet
        return self.stream_error(frame.stream, H2_STREAM_CLOSED, event)

    cdef EventKind take_headers(self, const Frame *frame, H2Event *event) noexcept:
        """Section 6.2: a request, trailers, or a block that is only decoded."""
        cdef EventKind kind
        self.block_stream = frame.stream
        self.block_flags = frame.flags
        self.block_error = H2_NO_ERROR
        self.block_parts = 0
        kind = self.open_block(frame)
        if kind != EVENT_NONE:
            return kind
        if frame.depends == frame.stream:
            self.block_error = H2_PROTOCOL_ERROR
        self.head.begin(self.block == BLOCK_TRAILERS)
        return self.take_fragment(frame, event)

    cdef EventKind open_block(self, const Frame *frame) noexcept:
        """What the block is for."""
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
        # is told of no GOAWAY: the limits of its source alone count.
        if self.dialect != DIALECT_PIPY and (self.leaving or self.streams.count >= self.streams_most):
            self.block = BLOCK_REFUSED
            if not budgets_spend(&self.budgets, SL_H2_ABUSE_REFUSED):
                return self.calm(SL_H2_ABUSE_REFUSED)
        else:
            self.block = BLOCK_REQUEST
        return EVENT_NONE

    cdef EventKind take_fragment(self, const Frame *frame, H2Event *event) noexcept:
        """A part of a header block."""
        cdef Field field
        cdef FieldStatus status
        cdef bint final = frame.flags & FLAG_END_HEADERS
        self.block_parts += 1
        self.blocks_left -= 1 + <int32_t> (frame.size // BLOCK_BYTES)
        if self.block_parts > BLOCK_PARTS or (
                self.block_parts > 1 and not budgets_spend(&self.budgets, SL_H2_ABUSE_CONTINUATION)):
            return self.calm(SL_H2_ABUSE_CONTINUATION)
        if frame.size == 0 and not final and not budgets_spend(&self.budgets, SL_H2_ABUSE_EMPTY):
            return self.calm(SL_H2_ABUSE_EMPTY)
        self.inflater.feed(frame.payload, frame.size, final)
        while True:
            status = self.inflater.next(&field)
            if status != FIELD_READY:
                break
            self.head.field(&field)
            if self.head.size > HEAD_LIST_LAST:
                return self.calm(SL_H2_ABUSE_HEADERS)
        if status == FIELD_MORE and not final:
            return EVENT_NONE
        if status != FIELD_END:
            return self.fail(H2_COMPRESSION_ERROR, "a header block that is not HPACK")
        return self.end_block(event)

    cdef EventKind end_block(self, H2Event *event) noexcept:
        cdef BlockKind kind = self.block
        self.block = BLOCK_NONE
        if self.block_error:
            if kind != BLOCK_TRAILERS and streams_end(&self.streams, self.block_stream) != END_RESET_BY_PEER:
                streams_note(&self.streams, self.block_stream, END_RESET_BY_US)
            return self.stream_error(self.block_stream, self.block_error, event)
        if kind == BLOCK_REFUSED:
            event.status = self.head.finish()
            streams_note(&self.streams, self.block_stream, END_RESET_BY_US)
            put_number(&self.out, FRAME_RST_STREAM, self.block_stream, H2_REFUSED_STREAM)
            return EVENT_REFUSED
        if kind == BLOCK_REQUEST:
            return self.end_request(event)
        return self.end_trailers(event) if kind == BLOCK_TRAILERS else EVENT_NONE

    cdef EventKind end_request(self, H2Event *event) noexcept:
        """A stream is opened, and whoever owns the session decides what of."""
        cdef H2Head head = self.head
        cdef bint end = self.block_flags & FLAG_END_STREAM
        cdef H2Stream *stream
        cdef int status = head.finish()
        if status == CODEC_REQUEST or status == CODEC_CREDENTIALS:
            if head.method == HEAD_CONNECT and self.dialect == DIALECT_NONE:
                self.dialect = head.dialect
                self.offer()
            elif head.method == HEAD_CONNECT and head.dialect != self.dialect:
                status = head.refuse(SL_OUTCOME_MALFORMED, "another form of CONNECT than this connection's first one")
        if head.malformed and not budgets_spend(&self.budgets, SL_H2_ABUSE_ERRORS):
            return self.calm(SL_H2_ABUSE_ERRORS)
        stream = streams_add(&self.streams, self.block_stream, self.peer.window, ROOM_FIRST)
        if stream is NULL:
            return self.fail(H2_INTERNAL_ERROR, "no memory")
        stream.expected = head.expected
        if end:
            stream.flags |= STREAM_REMOTE_ENDED
        if head.method == HEAD_CONNECT:
            stream.flags |= STREAM_CONNECT
            stream.expected = -1
        elif not self.length_holds(stream, 0, end):
            head.malformed = True
            status = head.refuse(SL_OUTCOME_MALFORMED, "content-length is not the content's")
        event.stream, event.status, event.end = stream, status, end
        return EVENT_REQUEST

    cdef EventKind end_trailers(self, H2Event *event) noexcept:
        """Section 8.1: trailers end the request."""
        cdef H2Stream *stream = streams_find(&self.streams, self.block_stream)
        self.head.finish()
        if self.head.malformed or not self.length_holds(stream, 0, True):
            return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
        stream.flags |= STREAM_REMOTE_ENDED
        event.stream, event.end = stream, True
        return EVENT_END

    cdef EventKind take_settings(self, const Frame *frame, H2Event *event) noexcept:
        """Section 6.5. New windows hold for open streams at once, and may be negative (section 6.9.2)."""
        cdef int64_t before = self.peer.window
        cdef uint32_t table = self.peer.table
        cdef H2Stream *stream = NULL
        cdef const char *detail = NULL
        cdef int code
        self.greeted = True
        if not budgets_spend(&self.budgets, SL_H2_ABUSE_SETTINGS):
            return self.calm(SL_H2_ABUSE_SETTINGS)
        if frame.flags & FLAG_ACK:
            self.unacknowledged -= min(self.unacknowledged, <uint32_t> 1)
            return EVENT_NONE
        self.blocks_left -= 1
        code = settings_read(&self.peer, frame.payload, frame.size, False, &detail)
        if code != H2_NO_ERROR:
            return self.fail(code, detail.decode("ascii"))
        if self.peer.least_table < table:
            self.deflater.resize(self.peer.least_table)
        if self.peer.table != self.peer.least_table:
            self.deflater.resize(self.peer.table)
        if self.peer.window != before:
            self.blocks_left -= <int32_t> (self.streams.count // STREAMS_A_BLOCK)
            stream = streams_next(&self.streams, NULL)
            while stream is not NULL:
                stream.send_window += <int64_t> self.peer.window - before
                if stream.send_window > WINDOW_MAX:
                    return self.fail(H2_FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE makes a window too large")
                stream = streams_next(&self.streams, stream)
        put_frame(&self.out, FRAME_SETTINGS, FLAG_ACK, 0, NULL, 0)
        return EVENT_WINDOW if self.peer.window > before else EVENT_NONE

    cdef EventKind take_window(self, const Frame *frame, H2Event *event) noexcept:
        """Section 6.9."""
        cdef uint32_t more = read_u32(frame.payload) & 0x7FFFFFFF
        cdef H2Stream *stream
        if not budgets_spend(&self.budgets, SL_H2_ABUSE_WINDOW):
            return self.calm(SL_H2_ABUSE_WINDOW)
        if frame.stream == 0:
            if more == 0:
                return self.fail(H2_PROTOCOL_ERROR, "WINDOW_UPDATE by 0")
            self.send_window += more
            if self.send_window > WINDOW_MAX:
                return self.fail(H2_FLOW_CONTROL_ERROR, "the connection's window is too large")
            return EVENT_WINDOW if self.send_window - more <= 0 < self.send_window else EVENT_NONE
        stream = streams_find(&self.streams, frame.stream)
        if stream is NULL:
            return self.late(frame, event)
        if more == 0:
            return self.stream_error(frame.stream, H2_PROTOCOL_ERROR, event)
        if stream.send_window + more > WINDOW_MAX:
            return self.stream_error(frame.stream, H2_FLOW_CONTROL_ERROR, event)
        stream.send_window += more
        event.stream = stream
        return EVENT_WINDOW

    cdef EventKind take_reset(self, const Frame *frame, H2Event *event) noexcept:
        """Section 6.4. A reset is free where it ends a tunnel: its opening has cost the client as much as us. One that
        gives up a request, or comes behind our refusal, has cost the client nothing."""
        cdef H2Stream *stream = streams_find(&self.streams, frame.stream)
        self.blocks_left -= 1
        if (stream is NULL or stream.owner is NULL or not stream.flags & STREAM_ANSWERED) and not budgets_spend(
                &self.budgets, SL_H2_ABUSE_RESETS):
            return self.calm(SL_H2_ABUSE_RESETS)
        if stream is NULL:
            return self.late(frame, event)
        event.stream = stream
        event.code = read_u32(frame.payload)
        return EVENT_RESET

    cdef EventKind stream_error(self, uint32_t identifier, uint32_t code, H2Event *event) noexcept:
        """Section 5.4.2: the stream ends, the connection goes on."""
        cdef H2Stream *stream = streams_find(&self.streams, identifier)
        if code != H2_REFUSED_STREAM and not budgets_spend(&self.budgets, SL_H2_ABUSE_ERRORS):
            return self.calm(SL_H2_ABUSE_ERRORS)
        if identifier > self.last_stream or identifier % 2 == 0:
            return self.fail(code, "an error on a stream that was never opened")
        put_number(&self.out, FRAME_RST_STREAM, identifier, code)
        if stream is NULL:
            return EVENT_NONE
        event.stream, event.code = stream, code
        return EVENT_ERROR

    cdef void offer(self) noexcept:
        """Larger frames, once it is known that no sidecar of the Pipy family is there."""
        cdef uint8_t payload[6]
        if self.dialect == DIALECT_RFC and not self.offered:
            self.offered = True
            self.unacknowledged += 1
            settings_write(payload, SETTING_MAX_FRAME_SIZE, FRAME_LARGE)
            put_frame(&self.out, FRAME_SETTINGS, 0, 0, payload, 6)
            self.reader.most = FRAME_LARGE
