"""One side of an HTTP/2 connection as bytes (RFC 9113). See core.pxd.

Laws kept here, for both sides:

* A peer is not trusted: what it sends is bounded, and what breaks the rules ends its connection with GOAWAY, or the one
  stream with RST_STREAM (section 5.4).
* Header blocks are decoded to their end whatever becomes of their stream; what ends the decoding ends the connection.
* A stream is forgotten only by drop(): a pointer given out stays good until its owner says so.
"""

from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t

from gateway.c.segment cimport (
    SL_H2_ABUSE_CONTINUATION, SL_H2_ABUSE_EMPTY, SL_H2_ABUSE_ERRORS, SL_H2_ABUSE_HEADERS, SL_H2_ABUSE_PING,
    SL_H2_ABUSE_PRIORITY, SL_H2_ABUSE_RESETS, SL_H2_ABUSE_SETTINGS, SL_H2_ABUSE_UNKNOWN, SL_H2_ABUSE_UNREAD,
    SL_H2_ABUSE_WINDOW,
)
from gateway.proto.http2.blocks cimport PART_TRAILERS, put_message
from gateway.proto.http2.budget cimport budgets_earn, budgets_refill, budgets_spend
from gateway.proto.http2.frames cimport (
    FLAG_ACK, FLAG_END_HEADERS, FLAG_END_STREAM, FLAG_PADDED, FRAME_BROKEN, FRAME_CONTINUATION, FRAME_DATA,
    FRAME_GOAWAY, FRAME_HEADERS, FRAME_MORE, FRAME_PING, FRAME_PRIORITY, FRAME_PUSH_PROMISE, FRAME_RST_STREAM,
    FRAME_SETTINGS, FRAME_WINDOW_UPDATE, H2_COMPRESSION_ERROR, H2_ENHANCE_YOUR_CALM,
    H2_FLOW_CONTROL_ERROR, H2_FRAME_SIZE_ERROR, H2_NO_ERROR, H2_PROTOCOL_ERROR, H2_REFUSED_STREAM, H2_STREAM_CLOSED,
    frames_begin, frames_feed, frames_free, frames_next, put_frame, put_number, read_u32,
)
from gateway.proto.http2.head cimport HEAD_LIST_LAST
from gateway.proto.http2.hpack cimport FIELD_END, FIELD_MORE, FIELD_READY, FieldStatus, field_size
from gateway.proto.http2.outbound cimport CONNECTION_ROOM, PINGS_EARNED, hold
from gateway.proto.http2.settings cimport WINDOW_MAX, settings_read
from gateway.proto.http2.streams cimport STREAM_ANSWERED, STREAM_REMOTE_ENDED, streams_find, streams_next

cdef enum:
    BLOCK_PARTS = 16           # frames of one header block
    BLOCK_BYTES = 256          # of a header block that cost as much as a block does
    STREAMS_A_BLOCK = 64       # streams whose windows are set anew for what a block costs
    OUT_MAX = 524288           # bytes a peer may leave unread and still ask for more

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


cdef class H2Core(H2Outbound):
    """The base of H2Server and H2Client; see core.pxd."""

    def __cinit__(self):
        frames_begin(&self.reader)
        self.inflater = Inflater()
        self.frames_left = self.blocks_left = INT32_MAX
        self.abuse = -1

    def __dealloc__(self):
        frames_free(&self.reader)

    # ---- in ----------------------------------------------------------------------------------------------------------

    cdef void feed(self, const uint8_t *data, size_t length, uint64_t now) noexcept:
        if now > self.budgets.when:
            budgets_refill(&self.budgets, now)
        frames_feed(&self.reader, data, length)

    cdef void allow(self, int32_t frames, int32_t blocks, uint64_t now) noexcept:
        if now > self.budgets.when:
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
        cdef EventKind kind
        cdef int status
        event.stream = NULL
        event.end = False
        if self.ended:
            return EVENT_NONE
        if self.preface:
            kind = self.greet()
            if kind != EVENT_NONE or self.preface:
                return kind
        while True:
            if self.frames_left <= 0 or (self.blocks_left <= 0 and self.is_costly()):
                return EVENT_NONE
            if self.out.end - self.out.begin > OUT_MAX:
                return self.calm(SL_H2_ABUSE_UNREAD)
            status = frames_next(&self.reader, &self.frame)
            if status == FRAME_MORE:
                return EVENT_NONE
            self.frames_left -= 1
            if status == FRAME_BROKEN:
                if self.reader.code == H2_ENHANCE_YOUR_CALM:
                    return self.calm(SL_H2_ABUSE_HEADERS)
                return self.fail(self.reader.code, self.reader.detail.decode("ascii"))
            kind = self.take(&self.frame, event)
            if kind != EVENT_NONE:
                return kind

    cdef bint put_trailers(self, H2Stream *stream, const sl_message *trailers, Outgoing *out) noexcept:
        self.end_local(stream)
        return put_message(out, self.deflater, stream.id, trailers, PART_TRAILERS, False, True, self.peer.frame)

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
        return self.fail(H2_ENHANCE_YOUR_CALM, "too many frames of a kind")

    cdef EventKind stream_error(self, uint32_t identifier, uint32_t code, H2Event *event) noexcept:
        """Section 5.4.2: the stream ends, the connection goes on."""
        if code != H2_REFUSED_STREAM and not budgets_spend(&self.budgets, SL_H2_ABUSE_ERRORS):
            return self.calm(SL_H2_ABUSE_ERRORS)
        if not self.was_opened(identifier):
            return self.fail(code, "an error on a stream that was never opened")
        put_number(&self.out, FRAME_RST_STREAM, identifier, code)
        event.stream, event.code = streams_find(&self.streams, identifier), code
        return EVENT_NONE if event.stream is NULL else EVENT_ERROR

    cdef bint was_opened(self, uint32_t identifier) noexcept:
        """Whether a stream of that number is or was open (section 5.1.1)."""
        return identifier % 2 == 1 and identifier <= self.last_stream

    cdef EventKind without_stream(self, const Frame *frame, H2Event *event) noexcept:
        """A frame on a stream that is not open (section 5.1)."""
        if not self.was_opened(frame.stream):
            return self.fail(H2_PROTOCOL_ERROR, "a frame on a stream that was never opened")
        return self.late(frame, event) if frame.type == FRAME_DATA else EVENT_NONE

    # ---- frame by frame ----------------------------------------------------------------------------------------------

    cdef EventKind take(self, const Frame *frame, H2Event *event) noexcept:
        cdef int kind = frame.type
        if not self.greeted and (kind != FRAME_SETTINGS or frame.flags & FLAG_ACK):
            return self.fail(H2_PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self.block_stream and (kind != FRAME_CONTINUATION or frame.stream != self.block_stream):
            return self.fail(H2_PROTOCOL_ERROR, "a frame within a header block")
        if kind == FRAME_DATA:
            return self.take_data(frame, event)
        if kind == FRAME_HEADERS:
            return self.take_headers(frame, event)
        if kind == FRAME_CONTINUATION:
            if self.block_stream == 0:
                return self.fail(H2_PROTOCOL_ERROR, "CONTINUATION without HEADERS")
            return self.take_fragment(frame, event)
        if kind == FRAME_SETTINGS:
            return self.take_settings(frame)
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
            return self.fail(H2_PROTOCOL_ERROR, "PUSH_PROMISE, which was not allowed")
        if kind == FRAME_GOAWAY:
            # Section 6.8. It may come again, as a warning is followed by the real one.
            if not budgets_spend(&self.budgets, SL_H2_ABUSE_PING):
                return self.calm(SL_H2_ABUSE_PING)
            self.going = True
            event.code = read_u32(frame.payload) & 0x7FFFFFFF
            return EVENT_GOAWAY
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
            if self.receive_window <= CONNECTION_ROOM - CONNECTION_ROOM // 4:
                self.return_connection()
        stream = streams_find(&self.streams, frame.stream)
        if stream is NULL or stream.flags & STREAM_REMOTE_ENDED:
            if not frame.first:
                return EVENT_NONE
            return self.without_stream(frame, event) if stream is NULL \
                else self.stream_error(frame.stream, H2_STREAM_CLOSED, event)
        if not self.serves and not stream.flags & STREAM_ANSWERED:
            return self.stream_error(frame.stream, H2_PROTOCOL_ERROR, event)
        if frame.first:
            if frame.length > stream.receive_window:
                return self.stream_error(frame.stream, H2_FLOW_CONTROL_ERROR, event)
            stream.receive_window -= frame.length
            stream.returned += padding
            if stream.expected >= 0 and <int64_t> (frame.length - padding) > stream.expected:
                return self.stream_error(frame.stream, H2_PROTOCOL_ERROR, event)
        if stream.expected >= 0 and not self.length_holds(stream, frame.size, end):
            return self.stream_error(frame.stream, H2_PROTOCOL_ERROR, event)
        if end:
            self.end_remote(stream)
        hold(self, frame.size)
        if frame.size == 0 and not end:
            return EVENT_NONE
        event.stream, event.data, event.size, event.end = stream, frame.payload, frame.size, end
        return EVENT_DATA

    cdef EventKind take_headers(self, const Frame *frame, H2Event *event) noexcept:
        """Section 6.2: a request or an answer, trailers, or a block that is only decoded."""
        cdef EventKind kind
        self.block_stream = frame.stream
        self.block_flags = frame.flags
        self.block_parts = 0
        self.list_size = 0
        kind = self.open_block(frame)
        return self.take_fragment(frame, event) if kind == EVENT_NONE else kind

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
            self.list_size += field_size(&field)
            if self.list_size > HEAD_LIST_LAST:
                return self.calm(SL_H2_ABUSE_HEADERS)
            self.take_field(&field)
        if status == FIELD_MORE and not final:
            return EVENT_NONE
        if status != FIELD_END:
            return self.fail(H2_COMPRESSION_ERROR, "a header block that is not HPACK")
        return self.end_block(event)

    cdef EventKind take_settings(self, const Frame *frame) noexcept:
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
        code = settings_read(&self.peer, frame.payload, frame.size, not self.serves, &detail)
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
        return self.settled(self.peer.window > before)

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
            return self.without_stream(frame, event)
        if more == 0:
            return self.stream_error(frame.stream, H2_PROTOCOL_ERROR, event)
        if stream.send_window + more > WINDOW_MAX:
            return self.stream_error(frame.stream, H2_FLOW_CONTROL_ERROR, event)
        stream.send_window += more
        event.stream = stream
        return EVENT_WINDOW

    cdef EventKind take_reset(self, const Frame *frame, H2Event *event) noexcept:
        """Section 6.4."""
        cdef H2Stream *stream = streams_find(&self.streams, frame.stream)
        self.blocks_left -= 1
        if self.is_idle_reset(stream) and not budgets_spend(&self.budgets, SL_H2_ABUSE_RESETS):
            return self.calm(SL_H2_ABUSE_RESETS)
        if stream is NULL:
            return self.without_stream(frame, event)
        event.stream, event.code = stream, read_u32(frame.payload)
        return EVENT_RESET

    # ---- of each side ------------------------------------------------------------------------------------------------

    cdef EventKind greet(self) noexcept:
        return EVENT_NONE

    cdef EventKind open_block(self, const Frame *frame) noexcept:
        return EVENT_NONE

    cdef void take_field(self, const Field *field) noexcept:
        pass

    cdef EventKind end_block(self, H2Event *event) noexcept:
        return EVENT_NONE

    cdef EventKind settled(self, bint wider) noexcept:
        return EVENT_NONE

    cdef bint length_holds(self, H2Stream *stream, uint32_t size, bint end) noexcept:
        """RFC 9113 section 8.1.1: the content is as long as Content-Length has said."""
        if stream.expected < 0:
            return True
        stream.expected -= size
        return stream.expected == 0 if end else stream.expected >= 0

    cdef EventKind late(self, const Frame *frame, H2Event *event) noexcept:
        return EVENT_NONE

    cdef bint is_idle_reset(self, const H2Stream *stream) noexcept:
        return False
