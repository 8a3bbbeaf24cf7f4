# Output of one side of an HTTP/2 connection (RFC 9113): frames that wait to be sent, streams, windows both ways.
# Bytes that come are core.pxd's, whose class is one of these.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from gateway.proto.http2.budget cimport Budgets
from gateway.proto.http2.frames cimport Outgoing
from gateway.proto.http2.head cimport Dialect
from gateway.proto.http2.hpack cimport Deflater
from gateway.proto.http2.settings cimport Settings
from gateway.proto.http2.streams cimport H2Stream, StreamEnd, StreamTable

cdef enum:
    ROOM_FIRST = 65535         # of a stream's receive window
    ROOM_LAST = 1048576        # as far as it grows while what comes is taken at once
    CONNECTION_ROOM = 4194304  # of the connection's receive window
    WORKER_WARM = 201326592    # bytes buffered for all connections of a worker, from which windows follow consumption
    WORKER_MOST = 268435456    # and from which a connection that holds more than WORKER_FAIR of them is not read
    WORKER_FAIR = 65536
    PINGS_EARNED = 2           # by each DATA frame, either way: peers measure the path beside what they carry
    FRAME_LARGE = 131072       # MAX_FRAME_SIZE that is offered, and sent at most: 0.6 to 0.8x the CPU of 16 KiB

cdef class H2Outbound:
    cdef StreamTable streams
    cdef Budgets budgets
    cdef Deflater deflater
    cdef Settings peer         # as the peer declared them
    cdef Outgoing out          # frames to send, before any DATA that is not begun
    cdef Dialect dialect
    cdef bint serves           # the server's side
    cdef bint leaving          # the own GOAWAY went out
    cdef bint ended            # by an error: nothing is read any more
    cdef uint32_t last_stream  # highest number that the client has opened
    cdef int64_t send_window   # of the connection
    cdef int64_t receive_window
    cdef uint64_t buffered     # bytes received and not consumed, where `worker` counts them: see consumed()
    cdef uint64_t *worker      # the same of all connections that share a budget; NULL: no budget
    cdef uint64_t grown        # bytes by which the receive windows of streams are larger than ROOM_FIRST, together
    cdef uint64_t growth       # as far as that goes
    cdef bint wanting          # a stream would have grown and found no room
    cdef uint32_t missteps     # transitions of streams that their table does not have: errors of the gateway
    cdef bint withheld         # less of the connection's window was returned than was received

    # Bytes that the stream may send now, at most `most`.
    cdef uint32_t sendable(self, const H2Stream *stream, uint32_t most) noexcept
    # Largest payload of a DATA frame that is sent.
    cdef uint32_t frame_size(self) noexcept
    # Windows and states for DATA whose frames the caller has written.
    cdef void sent(self, H2Stream *stream, uint32_t size, bint end) noexcept
    # END_STREAM came, or went out.
    cdef void end_remote(self, H2Stream *stream) noexcept
    cdef void end_local(self, H2Stream *stream) noexcept
    cdef void reset(self, H2Stream *stream, uint32_t code) noexcept
    # Forgets a stream; see streams_drop.
    cdef void drop(self, H2Stream *stream, StreamEnd how) noexcept
    # Sends GOAWAY: streams that were opened before may end, later ones are refused.
    cdef void leave(self, uint32_t code, bytes debug) noexcept
    # `size` bytes of DATA were taken by their receiver; until then they count as buffered. Returns windows.
    cdef void consumed(self, H2Stream *stream, uint32_t size) noexcept
    # The stream's window for all that was consumed, at once: what follows may have to wait until it is large enough.
    cdef void return_stream(self, H2Stream *stream) noexcept
    # Of a stream that was forgotten.
    cdef void consumed_late(self, uint64_t size) noexcept
    # The connection's window follows what was received.
    cdef void return_connection(self) noexcept
    cdef bint is_warm(self) noexcept
    # The budget of the worker has no room for more of this connection.
    cdef bint is_over(self) noexcept
    # Buffered bytes do not count for the worker any more.
    cdef void detach(self) noexcept


# Bytes of DATA have come, and wait for consumed().
cdef inline void hold(H2Outbound session, uint64_t size) noexcept:
    if session.worker is not NULL:
        session.buffered += size
        session.worker[0] += size
