"""The client's side of one HTTP/2 connection as bytes (RFC 9113). See h2_client.pxd.

Laws kept here:

* A parent is configured, not trusted: whatever it sends is bounded, and what breaks the rules ends its connection with
  GOAWAY, or the one stream with RST_STREAM (section 5.4).
* No stream is opened before its SETTINGS came, above its MAX_CONCURRENT_STREAMS, or behind its GOAWAY.
* The connection's window is returned on receipt, a stream's as its bytes are taken up: a tunnel that is not read holds
  up itself alone. What can wait is the sum of the streams' windows, which has a limit.
* Header blocks are decoded to their end whatever becomes of their stream. Of an answer only `:status` matters: what its
  other fields say is no tunnel's business.
* A stream is forgotten only by drop(): a pointer given out stays good until its owner says so.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport INT32_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from gateway.csrc cimport (
    SL_H2_ABUSE_CONTINUATION, SL_H2_ABUSE_EMPTY, SL_H2_ABUSE_ERRORS, SL_H2_ABUSE_HEADERS, SL_H2_ABUSE_PING,
    SL_H2_ABUSE_PRIORITY, SL_H2_ABUSE_SETTINGS, SL_H2_ABUSE_UNKNOWN, SL_H2_ABUSE_UNREAD, SL_H2_ABUSE_WINDOW,
)
from gateway.h2_budget cimport budgets_begin, budgets_earn, budgets_refill, budgets_spend
from gateway.h2_frames cimport (
    FLAG_ACK, FLAG_END_HEADERS, FLAG_END_STREAM, FLAG_PADDED, FRAME_BROKEN, FRAME_CONTINUATION, FRAME_DATA,
    FRAME_GOAWAY, FRAME_HEADERS, FRAME_MORE, FRAME_PING, FRAME_PRIORITY, FRAME_PUSH_PROMISE, FRAME_RST_STREAM,
    FRAME_SETTINGS, FRAME_WINDOW_UPDATE, H2_COMPRESSION_ERROR, H2_ENHANCE_YOUR_CALM, H2_FLOW_CONTROL_ERROR,
    H2_FRAME_SIZE_ERROR, H2_PROTOCOL_ERROR, H2_STREAM_CLOSED, free_bytes, frames_begin, frames_feed, frames_free,
    frames_next, put_bytes, put_frame, put_number, read_u32, write_u32,
)
from gateway.h2_hpack cimport FIELD_END, FIELD_MORE, FIELD_READY, FieldStatus
from gateway.h2_outbound cimport PINGS_EARNED
from gateway.h2_settings cimport (
    SETTING_ENABLE_PUSH, SETTING_INITIAL_WINDOW_SIZE, SETTING_MAX_FRAME_SIZE, SETTING_MAX_HEADER_LIST_SIZE,
    WINDOW_FIRST, WINDOW_MAX, settings_begin, settings_read, settings_write,
)
from gateway.h2_streams cimport (
    STREAM_ANSWERED, STREAM_CONNECT, STREAM_LOCAL_ENDED, STREAM_REMOTE_ENDED, streams_add, streams_begin, streams_drop,
    streams_find, streams_free, streams_next,
)

cdef enum:
    ROOM_FIRST = 65535         # of a stream's receive window
    ROOM_LAST = 1048576        # as far as it grows while what comes is taken up
    ROOMS_MOST = 16777216      # of all streams' windows on a connection together
    CONNECTION_ROOM = 4194304  # of the connection's window
    FRAME_LARGE = 131072       # MAX_FRAME_SIZE, both ways
    LIST_MAX = 16384           # MAX_HEADER_LIST_SIZE (section 6.5.2)
    LIST_LAST = 131072         # what is decoded at all: beyond it the connection ends
    FIELD_EXTRA = 32           # what each field counts beyond its bytes
    BLOCK_PARTS = 16           # frames of one header block
    BLOCK_BYTES = 256          # of a header block that cost as much as a block does
    OUT_MAX = 524288           # bytes a parent may leave unread and still ask for more
    LAST_NUMBER = 0x7FFFFFFF   # of a stream

cdef const char *PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


cdef class H2Client:
    """One connection to a parent."""

    def __cinit__(self):
        self.inflater = Inflater()
        self.deflater = Deflater()
        frames_begin(&self.reader)
        settings_begin(&self.peer)
        self.abuse = -1
        self.send_window = WINDOW_FIRST
        self.receive_window = CONNECTION_ROOM
        self.frames_left = self.blocks_left = INT32_MAX
        if not streams_begin(&self.streams):
            raise MemoryError

    def __dealloc__(self):
        frames_free(&self.reader)
        free_bytes(&self.out)
        streams_free(&self.streams)

    # ---- in ----------------------------------------------------------------------------------------------------------

    cdef bint begin(self, uint64_t now) noexcept:
        cdef uint8_t payload[24]
        budgets_begin(&self.budgets, now)
        settings_write(payload, SETTING_ENABLE_PUSH, 0)
        settings_write(payload + 6, SETTING_INITIAL_WINDOW_SIZE, ROOM_FIRST)
        settings_write(payload + 12, SETTING_MAX_FRAME_SIZE, FRAME_LARGE)
        settings_write(payload + 18, SETTING_MAX_HEADER_LIST_SIZE, LIST_MAX)
        self.reader.most = FRAME_LARGE
        self.unacknowledged = 1
        return (put_bytes(&self.out, <const uint8_t *> PREFACE, 24)
                and put_frame(&self.out, FRAME_SETTINGS, 0, 0, payload, 24)
                and put_number(&self.out, FRAME_WINDOW_UPDATE, 0, CONNECTION_ROOM - WINDOW_FIRST))

    cdef void feed(self, const uint8_t *data, size_t length, uint64_t now) noexcept:
        budgets_refill(&self.budgets, now)
        frames_feed(&self.reader, data, length)

    cdef void allow(self, int32_t frames, int32_t blocks, uint64_t now) noexcept:
        budgets_refill(&self.budgets, now)
        self.frames_left, self.blocks_left = frames, blocks

    cdef bint is_stopped(self) noexcept:
        return self.reader.data < self.reader.end and not self.ended

    cdef void keep(self, const uint8_t *data, size_t length) noexcept:
        frames_feed(&self.reader, data, length)

    cdef ClientEvent next(self, ClientNews *news) noexcept:
        cdef Frame frame
        cdef ClientEvent kind
        cdef int status
        news.stream = NULL
        news.data = NULL
        news.size = news.code = 0
        news.end = False
        while not self.ended and self.frames_left > 0 and self.blocks_left > 0:
            if self.out.end - self.out.begin > OUT_MAX:
                return self.calm(SL_H2_ABUSE_UNREAD)
            status = frames_next(&self.reader, &frame)
            if status == FRAME_MORE:
                return CLIENT_NONE
            self.frames_left -= 1
            if status == FRAME_BROKEN:
                if self.reader.code == H2_ENHANCE_YOUR_CALM:
                    return self.calm(SL_H2_ABUSE_HEADERS)
                return self.fail(self.reader.code, self.reader.detail.decode("ascii"))
            kind = self.take(&frame, news)
            if kind != CLIENT_NONE:
                return kind
        return CLIENT_NONE

    # ---- out ---------------------------------------------------------------------------------------------------------

    cdef uint32_t free_streams(self) noexcept:
        cdef uint32_t most = min(self.peer.streams, <uint32_t> CLIENT_STREAMS)
        if not self.greeted or self.going or self.leaving or self.ended or self.last >= LAST_NUMBER - 1:
            return 0
        return most - self.streams.count if self.streams.count < most else 0

    cdef H2Stream *ask(self, bytes block) noexcept:
        cdef H2Stream *stream
        cdef uint32_t number = self.last + 2 if self.last else 1
        if self.free_streams() == 0:
            return NULL
        stream = streams_add(&self.streams, number, self.peer.window, ROOM_FIRST)
        if stream is NULL:
            return NULL
        self.last = number
        self.rooms += ROOM_FIRST
        stream.flags |= STREAM_CONNECT
        budgets_earn(&self.budgets, SL_H2_ABUSE_WINDOW, 4)  # some open their window for each new stream
        put_frame(&self.out, FRAME_HEADERS, FLAG_END_HEADERS, number, <const uint8_t *> PyBytes_AS_STRING(block),
                  PyBytes_GET_SIZE(block))
        return stream

    cdef uint32_t sendable(self, const H2Stream *stream, uint32_t most) noexcept:
        cdef int64_t size = min(min(stream.send_window, self.send_window), <int64_t> most)
        return <uint32_t> size if size > 0 else 0

    cdef uint32_t frame_size(self) noexcept:
        return min(self.peer.frame, <uint32_t> FRAME_LARGE)

    cdef void sent(self, H2Stream *stream, uint32_t size, bint end) noexcept:
        stream.send_window -= size
        self.send_window -= size
        # Whoever is sent data has reason to update windows: of the stream and of the connection.
        budgets_earn(&self.budgets, SL_H2_ABUSE_WINDOW, 4 + size // 4096)
        budgets_earn(&self.budgets, SL_H2_ABUSE_PING, PINGS_EARNED)
        if end:
            stream.flags |= STREAM_LOCAL_ENDED

    cdef void consumed(self, H2Stream *stream, uint32_t size) noexcept:
        cdef uint32_t more
        stream.returned += size
        if stream.flags & STREAM_REMOTE_ENDED or stream.returned < stream.room // 2 or self.ended:
            return
        more = min(stream.room, <uint32_t> ROOM_LAST - stream.room)
        if self.rooms + more <= ROOMS_MOST:
            stream.returned += more
            stream.room += more
            self.rooms += more
        put_number(&self.out, FRAME_WINDOW_UPDATE, stream.id, stream.returned)
        stream.receive_window += stream.returned
        stream.returned = 0

    cdef void return_connection(self, uint32_t size) noexcept:
        self.returned += size
        if self.returned >= CONNECTION_ROOM // 4 and not self.ended:
            put_number(&self.out, FRAME_WINDOW_UPDATE, 0, self.returned)
            self.receive_window += self.returned
            self.returned = 0

    cdef void reset(self, H2Stream *stream, uint32_t code) noexcept:
        if not self.ended:
            put_number(&self.out, FRAME_RST_STREAM, stream.id, code)

    cdef void ping(self) noexcept:
        if not self.ended:
            put_frame(&self.out, FRAME_PING, 0, 0, <const uint8_t *> b"sluice-?", 8)

    cdef void drop(self, H2Stream *stream, StreamEnd how) noexcept:
        self.rooms -= stream.room
        streams_drop(&self.streams, stream, how)

    cdef void leave(self, uint32_t code) noexcept:
        cdef uint8_t payload[8]
        if self.leaving:
            return
        self.leaving = True
        write_u32(payload, 0)  # no stream of the parent's was ever taken
        write_u32(payload + 4, code)
        put_frame(&self.out, FRAME_GOAWAY, 0, 0, payload, 8)

    cdef ClientEvent fail(self, uint32_t code, str detail) noexcept:
        self.code = code
        self.detail = detail
        self.leave(code)
        self.ended = True
        return CLIENT_FAILED

    cdef ClientEvent calm(self, int abuse) noexcept:
        self.abuse = abuse
        return self.fail(H2_ENHANCE_YOUR_CALM, "too much of what costs little to send")

    # ---- frame by frame ----------------------------------------------------------------------------------------------

    cdef ClientEvent take(self, const Frame *frame, ClientNews *news) noexcept:
        cdef int kind = frame.type
        if not self.greeted and (kind != FRAME_SETTINGS or frame.flags & FLAG_ACK):
            return self.fail(H2_PROTOCOL_ERROR, "the first frame is not SETTINGS")
        if self.block_stream and (kind != FRAME_CONTINUATION or frame.stream != self.block_stream):
            return self.fail(H2_PROTOCOL_ERROR, "another frame inside a header block")
        if kind == FRAME_DATA:
            return self.take_data(frame, news)
        if kind == FRAME_HEADERS:
            return self.take_headers(frame, news)
        if kind == FRAME_CONTINUATION:
            if not self.block_stream:
                return self.fail(H2_PROTOCOL_ERROR, "CONTINUATION without a header block")
            return self.take_fragment(frame, news)
        if kind == FRAME_SETTINGS:
            return self.take_settings(frame)
        if kind == FRAME_WINDOW_UPDATE:
            return self.take_window(frame, news)
        if kind == FRAME_RST_STREAM:
            self.blocks_left -= 1
            if not self.is_ours(frame.stream):
                return self.fail(H2_PROTOCOL_ERROR, "RST_STREAM on a stream that was never opened")
            news.stream = streams_find(&self.streams, frame.stream)
            news.code = read_u32(frame.payload)
            return CLIENT_RESET if news.stream is not NULL else CLIENT_NONE
        if kind == FRAME_PING:
            if not budgets_spend(&self.budgets, SL_H2_ABUSE_PING):
                return self.calm(SL_H2_ABUSE_PING)
            if not frame.flags & FLAG_ACK:
                put_frame(&self.out, FRAME_PING, FLAG_ACK, 0, frame.payload, 8)
            return CLIENT_NONE
        if kind == FRAME_GOAWAY:
            return self.take_goaway(frame, news)
        if kind == FRAME_PUSH_PROMISE:
            return self.fail(H2_PROTOCOL_ERROR, "PUSH_PROMISE, which was switched off")
        if kind == FRAME_PRIORITY:
            if frame.length != 5:
                return self.fail(H2_FRAME_SIZE_ERROR, "PRIORITY of another length than 5")
            return CLIENT_NONE if budgets_spend(&self.budgets, SL_H2_ABUSE_PRIORITY) else self.calm(
                SL_H2_ABUSE_PRIORITY)
        return CLIENT_NONE if budgets_spend(&self.budgets, SL_H2_ABUSE_UNKNOWN) else self.calm(SL_H2_ABUSE_UNKNOWN)

    cdef bint is_ours(self, uint32_t identifier) noexcept:
        """Whether a stream of that number is or was open (section 5.1.1)."""
        return identifier % 2 == 1 and identifier <= self.last

    cdef ClientEvent take_data(self, const Frame *frame, ClientNews *news) noexcept:
        """Section 6.1. Windows are charged with the whole frame when its first piece comes (section 6.9.1)."""
        cdef H2Stream *stream = streams_find(&self.streams, frame.stream)
        cdef bint end = frame.last and frame.flags & FLAG_END_STREAM
        if frame.first:
            if not self.is_ours(frame.stream):
                return self.fail(H2_PROTOCOL_ERROR, "DATA on a stream that was never opened")
            if frame.length > self.receive_window:
                return self.fail(H2_FLOW_CONTROL_ERROR, "more DATA than the connection's window")
            self.receive_window -= frame.length
            self.return_connection(frame.length)
            if frame.length == 0 and not end and not budgets_spend(&self.budgets, SL_H2_ABUSE_EMPTY):
                return self.calm(SL_H2_ABUSE_EMPTY)
            budgets_earn(&self.budgets, SL_H2_ABUSE_PING, PINGS_EARNED)
        if stream is NULL:
            return CLIENT_NONE  # it had not heard of our reset yet
        if stream.flags & STREAM_REMOTE_ENDED:
            return self.stream_error(stream, H2_STREAM_CLOSED, news)
        if not stream.flags & STREAM_ANSWERED:
            return self.stream_error(stream, H2_PROTOCOL_ERROR, news)
        if frame.first:
            if frame.length > stream.receive_window:
                return self.stream_error(stream, H2_FLOW_CONTROL_ERROR, news)
            stream.receive_window -= frame.length
            if frame.flags & FLAG_PADDED:
                self.consumed(stream, <uint32_t> self.reader.pad + 1)
        if end:
            stream.flags |= STREAM_REMOTE_ENDED
        if frame.size == 0 and not end:
            return CLIENT_NONE
        news.stream, news.data, news.size, news.end = stream, frame.payload, frame.size, end
        return CLIENT_DATA

    cdef ClientEvent take_headers(self, const Frame *frame, ClientNews *news) noexcept:
        """Section 6.2: an answer, trailers, or a block that is only decoded."""
        if not self.is_ours(frame.stream):
            return self.fail(H2_PROTOCOL_ERROR, "HEADERS on a stream that was never opened")
        self.block_stream = frame.stream
        self.block_flags = frame.flags
        self.block_parts = 0
        self.status = 0
        self.list_size = 0
        self.regular = self.malformed = False
        return self.take_fragment(frame, news)

    cdef ClientEvent take_fragment(self, const Frame *frame, ClientNews *news) noexcept:
        """A part of a header block."""
        cdef Field field
        cdef FieldStatus status
        cdef bint final = frame.flags & FLAG_END_HEADERS
        self.block_parts += 1
        self.blocks_left -= 1 + <int32_t> (frame.size // BLOCK_BYTES)
        if self.block_parts > BLOCK_PARTS or (
                self.block_parts > 1 and not budgets_spend(&self.budgets, SL_H2_ABUSE_CONTINUATION)):
            return self.calm(SL_H2_ABUSE_CONTINUATION)
        self.inflater.feed(frame.payload, frame.size, final)
        while True:
            status = self.inflater.next(&field)
            if status != FIELD_READY:
                break
            self.list_size += field.name_length + field.value_length + FIELD_EXTRA
            if self.list_size > LIST_LAST:
                return self.calm(SL_H2_ABUSE_HEADERS)
            self.take_field(&field)
        if status == FIELD_MORE and not final:
            return CLIENT_NONE
        if status != FIELD_END:
            return self.fail(H2_COMPRESSION_ERROR, "a header block that is not HPACK")
        return self.end_block(news)

    cdef void take_field(self, const Field *field) noexcept:
        """Section 8.3.2: `:status`, once, before all others."""
        cdef size_t i
        if field.name_length == 0 or field.name[0] != c":":
            self.regular = True
            return
        if (self.regular or self.status or field.value_length != 3 or field.name_length != 7
                or memcmp(field.name, b":status", 7) != 0):
            self.malformed = True
            return
        for i in range(3):
            if not c"0" <= field.value[i] <= c"9":
                self.malformed = True
                return
            self.status = self.status * 10 + field.value[i] - c"0"
        if self.status < 100:
            self.malformed = True

    cdef ClientEvent end_block(self, ClientNews *news) noexcept:
        cdef H2Stream *stream = streams_find(&self.streams, self.block_stream)
        cdef bint end = self.block_flags & FLAG_END_STREAM
        self.block_stream = 0
        if stream is NULL:
            return CLIENT_NONE  # it had not heard of our reset yet
        if stream.flags & STREAM_REMOTE_ENDED:
            return self.stream_error(stream, H2_STREAM_CLOSED, news)
        if self.malformed or self.list_size > LIST_MAX:
            return self.stream_error(stream, H2_PROTOCOL_ERROR, news)
        if stream.flags & STREAM_ANSWERED:
            # Section 8.5 allows nothing but DATA. Some end a stream by trailers all the same.
            if self.status or not end:
                return self.stream_error(stream, H2_PROTOCOL_ERROR, news)
            stream.flags |= STREAM_REMOTE_ENDED
            news.stream, news.end = stream, True
            return CLIENT_DATA
        if self.status < 200:
            # Section 8.1: interim answers. There is none in HTTP/2 that switches protocols.
            if self.status < 100 or self.status == 101 or end:
                return self.stream_error(stream, H2_PROTOCOL_ERROR, news)
            return CLIENT_NONE if budgets_spend(&self.budgets, SL_H2_ABUSE_EMPTY) else self.calm(SL_H2_ABUSE_EMPTY)
        stream.flags |= STREAM_ANSWERED
        if end:
            stream.flags |= STREAM_REMOTE_ENDED
        news.stream, news.code, news.end = stream, self.status, end
        return CLIENT_ANSWER

    cdef ClientEvent take_settings(self, const Frame *frame) noexcept:
        """Section 6.5. New windows hold for open streams at once, and may be negative (section 6.9.2)."""
        cdef int64_t before = self.peer.window
        cdef uint32_t table = self.peer.table
        cdef H2Stream *stream
        cdef const char *detail = NULL
        cdef int code
        if not budgets_spend(&self.budgets, SL_H2_ABUSE_SETTINGS):
            return self.calm(SL_H2_ABUSE_SETTINGS)
        if frame.flags & FLAG_ACK:
            self.unacknowledged -= min(self.unacknowledged, <uint32_t> 1)
            return CLIENT_NONE
        self.blocks_left -= 1
        code = settings_read(&self.peer, frame.payload, frame.size, True, &detail)
        if code:
            return self.fail(code, detail.decode("ascii"))
        if self.peer.least_table < table:
            self.deflater.resize(self.peer.least_table)
        if self.peer.table != self.peer.least_table:
            self.deflater.resize(self.peer.table)
        if self.peer.window != before:
            stream = streams_next(&self.streams, NULL)
            while stream is not NULL:
                stream.send_window += <int64_t> self.peer.window - before
                if stream.send_window > WINDOW_MAX:
                    return self.fail(H2_FLOW_CONTROL_ERROR, "INITIAL_WINDOW_SIZE makes a window too large")
                stream = streams_next(&self.streams, stream)
        put_frame(&self.out, FRAME_SETTINGS, FLAG_ACK, 0, NULL, 0)
        self.greeted = True
        return CLIENT_SETTINGS

    cdef ClientEvent take_window(self, const Frame *frame, ClientNews *news) noexcept:
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
            return CLIENT_WINDOW if self.send_window - more <= 0 < self.send_window else CLIENT_NONE
        if not self.is_ours(frame.stream):
            return self.fail(H2_PROTOCOL_ERROR, "WINDOW_UPDATE on a stream that was never opened")
        stream = streams_find(&self.streams, frame.stream)
        if stream is NULL:
            return CLIENT_NONE
        if more == 0:
            return self.stream_error(stream, H2_PROTOCOL_ERROR, news)
        if stream.send_window + more > WINDOW_MAX:
            return self.stream_error(stream, H2_FLOW_CONTROL_ERROR, news)
        stream.send_window += more
        news.stream = stream
        return CLIENT_WINDOW

    cdef ClientEvent take_goaway(self, const Frame *frame, ClientNews *news) noexcept:
        """Section 6.8. It may come again, as a warning is followed by the real one."""
        if not budgets_spend(&self.budgets, SL_H2_ABUSE_PING):
            return self.calm(SL_H2_ABUSE_PING)
        self.going = True
        news.code = read_u32(frame.payload) & 0x7FFFFFFF
        return CLIENT_GOAWAY

    cdef ClientEvent stream_error(self, H2Stream *stream, uint32_t code, ClientNews *news) noexcept:
        """Section 5.4.2: the stream ends, the connection goes on."""
        if not budgets_spend(&self.budgets, SL_H2_ABUSE_ERRORS):
            return self.calm(SL_H2_ABUSE_ERRORS)
        put_number(&self.out, FRAME_RST_STREAM, stream.id, code)
        news.stream, news.code = stream, code
        return CLIENT_ERROR
