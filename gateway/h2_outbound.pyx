"""What one side of an HTTP/2 connection says. See h2_outbound.pxd.

The connection's window is returned as soon as bytes are received, as long as little is buffered: one slow stream does
not hold up the others. A stream's window is returned as its bytes are taken up.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gateway.csrc cimport SL_H2_ABUSE_WINDOW
from gateway.h2_budget cimport budgets_earn
from gateway.h2_frames cimport (
    FLAG_END_HEADERS, FLAG_END_STREAM, FRAME_GOAWAY, FRAME_HEADERS, FRAME_RST_STREAM, FRAME_SIZE_FIRST,
    FRAME_WINDOW_UPDATE, H2_NO_ERROR, free_bytes, put_frame, put_number, write_u32,
)
from gateway.h2_head cimport DIALECT_PIPY
from gateway.h2_settings cimport WINDOW_FIRST, settings_begin
from gateway.h2_streams cimport (
    STREAM_ANSWERED, STREAM_LOCAL_ENDED, STREAM_REMOTE_ENDED, streams_begin, streams_drop, streams_free,
)

cdef enum:
    GOAWAY_DEBUG = 100


cdef class H2Outbound:
    """The sending half of a session; see h2_outbound.pxd."""

    def __cinit__(self):
        self.deflater = Deflater()
        settings_begin(&self.peer)
        self.send_window = WINDOW_FIRST
        self.receive_window = self.connection_room = CONNECTION_ROOM
        if not streams_begin(&self.streams):
            raise MemoryError

    def __dealloc__(self):
        free_bytes(&self.out)
        streams_free(&self.streams)

    cdef bint respond(self, H2Stream *stream, bytes block, bint end) noexcept:
        stream.flags |= STREAM_ANSWERED
        if end:
            stream.flags |= STREAM_LOCAL_ENDED
        return put_frame(&self.out, FRAME_HEADERS, FLAG_END_HEADERS | (FLAG_END_STREAM if end else 0), stream.id,
                         <const uint8_t *> PyBytes_AS_STRING(block), PyBytes_GET_SIZE(block))

    cdef uint32_t sendable(self, const H2Stream *stream, uint32_t most) noexcept:
        cdef int64_t size = min(min(stream.send_window, self.send_window), <int64_t> most)
        return <uint32_t> size if size > 0 else 0

    cdef uint32_t frame_size(self) noexcept:
        if self.dialect == DIALECT_PIPY:
            return FRAME_SIZE_FIRST
        return min(self.peer.frame, <uint32_t> FRAME_LARGE)

    cdef void sent(self, H2Stream *stream, uint32_t size, bint end) noexcept:
        stream.send_window -= size
        self.send_window -= size
        # Whoever is sent data has reason to update windows: of the stream and of the connection.
        budgets_earn(&self.budgets, SL_H2_ABUSE_WINDOW, 4 + size // 4096)
        if end:
            stream.flags |= STREAM_LOCAL_ENDED

    cdef void consumed(self, H2Stream *stream, uint32_t size) noexcept:
        self.consumed_late(size)
        stream.returned += size
        if stream.returned >= stream.room // 2:
            self.return_stream(stream)

    cdef void return_stream(self, H2Stream *stream) noexcept:
        cdef uint32_t most
        if stream.returned == 0 or stream.flags & STREAM_REMOTE_ENDED:
            return
        if self.dialect == DIALECT_PIPY and stream.flags & STREAM_LOCAL_ENDED:
            return  # it takes a frame on a stream that we have ended for an error of the connection
        if stream.room < ROOM_LAST and self.buffered < CONNECTION_ROOM // 8:
            most = min(<uint32_t> (stream.room * 2), <uint32_t> ROOM_LAST)
            stream.returned += most - stream.room
            stream.room = most
        put_number(&self.out, FRAME_WINDOW_UPDATE, stream.id, stream.returned)
        stream.receive_window += stream.returned
        stream.returned = 0

    cdef void consumed_late(self, uint64_t size) noexcept:
        self.buffered -= min(size, self.buffered)
        self.return_connection()

    cdef void return_connection(self) noexcept:
        """The connection's window follows what is received, less what is still buffered."""
        cdef int64_t most = <int64_t> self.connection_room - <int64_t> self.buffered
        cdef int64_t missing = most - self.receive_window
        if missing >= <int64_t> self.connection_room // 4 and not self.ended:
            put_number(&self.out, FRAME_WINDOW_UPDATE, 0, <uint32_t> missing)
            self.receive_window += missing

    cdef void reset(self, H2Stream *stream, uint32_t code) noexcept:
        if not self.ended:
            put_number(&self.out, FRAME_RST_STREAM, stream.id, code)

    cdef void drop(self, H2Stream *stream, StreamEnd how) noexcept:
        streams_drop(&self.streams, stream, how)

    cdef void leave(self, uint32_t code, bytes debug) noexcept:
        cdef uint8_t payload[8 + GOAWAY_DEBUG]
        cdef size_t length = min(<size_t> PyBytes_GET_SIZE(debug), <size_t> GOAWAY_DEBUG)
        cdef size_t i
        if self.leaving and code == H2_NO_ERROR:
            return
        self.leaving = True
        self.leaving_at = self.last_stream
        write_u32(payload, self.last_stream)
        write_u32(payload + 4, code)
        for i in range(length):
            payload[8 + i] = <uint8_t> PyBytes_AS_STRING(debug)[i]
        put_frame(&self.out, FRAME_GOAWAY, 0, 0, payload, 8 + length)
