"""The output of one side of an HTTP/2 connection. See outbound.pxd.

The connection's window is returned as bytes are received, a stream's as its bytes are taken up: a stream that stalls
holds up itself alone. What can wait for slow receivers is what their windows let come. A stream starts with 64 KiB,
grows while its receiver takes what comes, and gives its growth back where it does not and others want to grow: the
growth of all streams of a connection has a limit, `growth`.

What all connections of a worker buffer may have one as well. From WORKER_WARM on a connection's window is returned as
bytes are taken up; from WORKER_MOST on a connection that holds more than WORKER_FAIR is not read. So a connection
buffers at most 64 KiB for each stream and its growth, and a worker WORKER_MOST and WORKER_FAIR for each connection.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from gateway.c.segment cimport SL_H2_ABUSE_PING, SL_H2_ABUSE_WINDOW
from gateway.proto.http2.budget cimport budgets_earn
from gateway.proto.http2.frames cimport (
    FRAME_GOAWAY, FRAME_RST_STREAM, FRAME_SIZE_FIRST, FRAME_WINDOW_UPDATE, H2_NO_ERROR, free_bytes, put_frame,
    put_number, write_u32,
)
from gateway.proto.http2.head cimport DIALECT_PIPY
from gateway.proto.http2.settings cimport WINDOW_FIRST, settings_begin
from gateway.proto.http2.streams cimport (
    STREAM_LOCAL_ENDED, STREAM_REMOTE_ENDED, stream_ends, streams_begin, streams_drop, streams_free,
)

cdef enum:
    GOAWAY_DEBUG = 100


cdef inline void let_go(H2Outbound session, uint64_t size) noexcept:
    """The other end of hold()."""
    if session.worker is not NULL:
        size = min(size, session.buffered)
        session.buffered -= size
        session.worker[0] -= size
        if session.withheld:
            session.return_connection()


cdef class H2Outbound:
    """The sending half of a session; see outbound.pxd."""

    def __cinit__(self):
        self.deflater = Deflater()
        settings_begin(&self.peer)
        self.send_window = WINDOW_FIRST
        self.receive_window = CONNECTION_ROOM
        if not streams_begin(&self.streams):
            raise MemoryError

    def __dealloc__(self):
        streams_free(&self.streams)
        free_bytes(&self.out)

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
        # A peer that receives data has reason to update windows: of the stream and of the connection.
        budgets_earn(&self.budgets, SL_H2_ABUSE_WINDOW, 4 + size // 4096)
        budgets_earn(&self.budgets, SL_H2_ABUSE_PING, PINGS_EARNED)
        if end:
            self.end_local(stream)

    cdef void end_remote(self, H2Stream *stream) noexcept:
        self.missteps += not stream_ends(stream, STREAM_REMOTE_ENDED)

    cdef void end_local(self, H2Stream *stream) noexcept:
        self.missteps += not stream_ends(stream, STREAM_LOCAL_ENDED)

    cdef void reset(self, H2Stream *stream, uint32_t code) noexcept:
        if not self.ended:
            put_number(&self.out, FRAME_RST_STREAM, stream.id, code)

    cdef void drop(self, H2Stream *stream, StreamEnd how) noexcept:
        self.grown -= stream.room - ROOM_FIRST
        streams_drop(&self.streams, stream, how)

    cdef void leave(self, uint32_t code, bytes debug) noexcept:
        cdef uint8_t payload[8 + GOAWAY_DEBUG]
        cdef size_t length = min(<size_t> PyBytes_GET_SIZE(debug), <size_t> GOAWAY_DEBUG)
        if self.leaving and code == H2_NO_ERROR:
            return
        self.leaving = True
        write_u32(payload, self.last_stream if self.serves else 0)  # a client takes no stream that its peer opens
        write_u32(payload + 4, code)
        memcpy(payload + 8, PyBytes_AS_STRING(debug), length)
        put_frame(&self.out, FRAME_GOAWAY, 0, 0, payload, 8 + length)

    # ---- windows -----------------------------------------------------------------------------------------------------

    cdef void consumed(self, H2Stream *stream, uint32_t size) noexcept:
        let_go(self, size)
        stream.returned += size
        if stream.returned >= stream.room // 2:
            self.return_stream(stream)

    cdef void return_stream(self, H2Stream *stream) noexcept:
        cdef uint32_t more
        cdef int64_t held
        if stream.returned == 0 or stream.flags & STREAM_REMOTE_ENDED or self.ended:
            return
        if self.dialect == DIALECT_PIPY and stream.flags & STREAM_LOCAL_ENDED:
            return  # it takes a frame on a stream that this side has ended for an error of the connection
        held = <int64_t> stream.room - stream.receive_window - stream.returned
        if self.wanting and stream.room > ROOM_FIRST and held > stream.room // 4:
            # Its receiver is slower than its sender: the growth goes back, for streams that drain.
            self.wanting = False
            more = min(stream.room - ROOM_FIRST, stream.returned)
            stream.returned -= more
            stream.room -= more
            self.grown -= more
        elif stream.room < ROOM_LAST and not self.is_warm():
            more = min(stream.room, <uint32_t> ROOM_LAST - stream.room)
            self.wanting = self.grown + more > self.growth
            if not self.wanting:
                stream.returned += more
                stream.room += more
                self.grown += more
        if stream.returned:
            put_number(&self.out, FRAME_WINDOW_UPDATE, stream.id, stream.returned)
            stream.receive_window += stream.returned
            stream.returned = 0

    cdef void consumed_late(self, uint64_t size) noexcept:
        let_go(self, size)

    cdef void detach(self) noexcept:
        if self.worker is not NULL:
            self.worker[0] -= self.buffered
        self.worker = NULL
        self.buffered = 0

    cdef bint is_warm(self) noexcept:
        return self.worker is not NULL and self.worker[0] >= WORKER_WARM

    cdef bint is_over(self) noexcept:
        return self.worker is not NULL and self.worker[0] >= WORKER_MOST and self.buffered >= WORKER_FAIR

    cdef void return_connection(self) noexcept:
        cdef int64_t missing = CONNECTION_ROOM - self.receive_window
        self.withheld = self.buffered > 0 and self.is_warm()
        if self.withheld:
            missing -= <int64_t> min(self.buffered, <uint64_t> CONNECTION_ROOM)
        if missing >= CONNECTION_ROOM // 4 and not self.ended:
            put_number(&self.out, FRAME_WINDOW_UPDATE, 0, <uint32_t> missing)
            self.receive_window += missing
