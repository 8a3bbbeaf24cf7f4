"""The client's side of one HTTP/2 connection as bytes (RFC 9113). See client.pxd.

Its laws are those of core.pyx, and two more:

* No stream is opened before the parent's SETTINGS came, above its MAX_CONCURRENT_STREAMS, or behind its GOAWAY.
* Of an answer only `:status` matters: what its other fields say does not concern a tunnel.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp

from gateway.c.segment cimport SL_H2_ABUSE_EMPTY, SL_H2_ABUSE_WINDOW
from gateway.proto.http2.budget cimport budgets_begin, budgets_earn, budgets_spend
from gateway.proto.http2.core cimport EVENT_ANSWER, EVENT_END, EVENT_NONE, EVENT_SETTINGS, PREFACE, PREFACE_BYTES
from gateway.proto.http2.frames cimport (
    FLAG_END_HEADERS, FLAG_END_STREAM, FRAME_HEADERS, FRAME_PING, FRAME_SETTINGS, FRAME_WINDOW_UPDATE,
    H2_PROTOCOL_ERROR, H2_STREAM_CLOSED, put_bytes, put_frame, put_number,
)
from gateway.proto.http2.head cimport HEAD_LIST_MAX
from gateway.proto.http2.outbound cimport CONNECTION_ROOM, FRAME_LARGE, ROOM_FIRST
from gateway.proto.http2.settings cimport (
    SETTING_ENABLE_PUSH, SETTING_INITIAL_WINDOW_SIZE, SETTING_MAX_FRAME_SIZE, SETTING_MAX_HEADER_LIST_SIZE,
    WINDOW_FIRST, settings_write,
)
from gateway.proto.http2.streams cimport (
    STREAM_ANSWERED, STREAM_CONNECT, STREAM_REMOTE_ENDED, streams_add, streams_find,
)

cdef enum:
    ROOMS_MOST = 16777216      # of all streams' receive windows on a connection together
    LAST_NUMBER = 0x7FFFFFFF   # of a stream


cdef class H2Client(H2Core):
    """One connection to a parent."""

    def __cinit__(self):
        self.growth = ROOMS_MOST - CLIENT_STREAMS * ROOM_FIRST

    cdef bint begin(self, uint64_t now) noexcept:
        cdef uint8_t payload[24]
        budgets_begin(&self.budgets, now)
        settings_write(payload, SETTING_ENABLE_PUSH, 0)
        settings_write(payload + 6, SETTING_INITIAL_WINDOW_SIZE, ROOM_FIRST)
        settings_write(payload + 12, SETTING_MAX_FRAME_SIZE, FRAME_LARGE)
        settings_write(payload + 18, SETTING_MAX_HEADER_LIST_SIZE, HEAD_LIST_MAX)
        self.reader.most = FRAME_LARGE
        self.unacknowledged = 1
        return (put_bytes(&self.out, <const uint8_t *> PREFACE, PREFACE_BYTES)
                and put_frame(&self.out, FRAME_SETTINGS, 0, 0, payload, 24)
                and put_number(&self.out, FRAME_WINDOW_UPDATE, 0, CONNECTION_ROOM - WINDOW_FIRST))

    cdef uint32_t free_streams(self) noexcept:
        cdef uint32_t most = min(self.peer.streams, <uint32_t> CLIENT_STREAMS)
        if not self.greeted or self.going or self.leaving or self.ended or self.last_stream >= LAST_NUMBER - 1:
            return 0
        return most - self.streams.count if self.streams.count < most else 0

    cdef H2Stream *ask(self, bytes block) noexcept:
        cdef H2Stream *stream
        cdef uint32_t number = self.last_stream + 2 if self.last_stream else 1
        if self.free_streams() == 0:
            return NULL
        stream = streams_add(&self.streams, number, self.peer.window, ROOM_FIRST)
        if stream is NULL:
            return NULL
        self.last_stream = number
        stream.flags |= STREAM_CONNECT
        budgets_earn(&self.budgets, SL_H2_ABUSE_WINDOW, 4)  # some open their window for each new stream
        put_frame(&self.out, FRAME_HEADERS, FLAG_END_HEADERS, number, <const uint8_t *> PyBytes_AS_STRING(block),
                  PyBytes_GET_SIZE(block))
        return stream

    cdef void ping(self) noexcept:
        if not self.ended:
            put_frame(&self.out, FRAME_PING, 0, 0, <const uint8_t *> b"sluice-?", 8)

    cdef EventKind settled(self, bint wider) noexcept:
        return EVENT_SETTINGS

    # ---- answers -----------------------------------------------------------------------------------------------------

    cdef EventKind open_block(self, const Frame *frame) noexcept:
        """Of an answer, of trailers, or one that is only decoded."""
        if not self.was_opened(frame.stream):
            return self.fail(H2_PROTOCOL_ERROR, "HEADERS on a stream that was never opened")
        self.status = 0
        self.regular = self.malformed = False
        return EVENT_NONE

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

    cdef EventKind end_block(self, H2Event *event) noexcept:
        cdef H2Stream *stream = streams_find(&self.streams, self.block_stream)
        cdef bint end = self.block_flags & FLAG_END_STREAM
        self.block_stream = 0
        if stream is NULL:
            return EVENT_NONE  # the reset had not reached it yet
        if stream.flags & STREAM_REMOTE_ENDED:
            return self.stream_error(stream.id, H2_STREAM_CLOSED, event)
        if self.malformed or self.list_size > HEAD_LIST_MAX:
            return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
        if stream.flags & STREAM_ANSWERED:
            # Section 8.5 allows nothing but DATA. Some end a stream by trailers all the same.
            if self.status or not end:
                return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
            self.end_remote(stream)
            event.stream, event.end = stream, True
            return EVENT_END
        if self.status < 200:
            # Section 8.1: interim answers. There is none in HTTP/2 that switches protocols.
            if self.status < 100 or self.status == 101 or end:
                return self.stream_error(stream.id, H2_PROTOCOL_ERROR, event)
            return EVENT_NONE if budgets_spend(&self.budgets, SL_H2_ABUSE_EMPTY) else self.calm(SL_H2_ABUSE_EMPTY)
        stream.flags |= STREAM_ANSWERED
        if end:
            self.end_remote(stream)
        event.stream, event.code, event.end = stream, self.status, end
        return EVENT_ANSWER
