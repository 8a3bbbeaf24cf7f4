# What one side of an HTTP/2 connection says (RFC 9113): frames that wait to be sent, windows both ways, GOAWAY. Bytes
# that come are the session's (h2_session.pxd), which is one of these.
from libc.stdint cimport int64_t, uint32_t, uint64_t

from gateway.h2_budget cimport Budgets
from gateway.h2_frames cimport Outgoing
from gateway.h2_head cimport Dialect
from gateway.h2_hpack cimport Deflater
from gateway.h2_settings cimport Settings
from gateway.h2_streams cimport H2Stream, StreamEnd, StreamTable

cdef enum:
    ROOM_FIRST = 65535         # of a stream's receive window
    ROOM_LAST = 1048576        # as far as it grows while what comes is taken at once
    GROWTH_MOST = 4194304      # by which the streams of a connection may have grown, together
    CONNECTION_ROOM = 4194304  # of the connection's receive window
    WORKER_WARM = 201326592    # bytes buffered for all connections of a worker, from which windows follow consumption
    WORKER_MOST = 268435456    # and from which a connection that holds more than WORKER_FAIR of them is not read
    WORKER_FAIR = 65536
    PINGS_EARNED = 2           # by each DATA frame, either way: peers measure the path beside what they carry
    FRAME_LARGE = 131072       # MAX_FRAME_SIZE that clients of RFC form are offered: 0.6 to 0.8x the CPU of 16 KiB

cdef class H2Outbound:
    cdef Deflater deflater
    cdef StreamTable streams
    cdef Settings peer         # what the peer has declared
    cdef Budgets budgets
    cdef Outgoing out          # frames to send, before any DATA that is not begun
    cdef Dialect dialect
    cdef bint ended            # by an error: nothing is read any more
    cdef bint leaving          # our GOAWAY went out
    cdef uint32_t last_stream  # highest number the peer has opened
    cdef uint32_t leaving_at   # the highest one our GOAWAY lets live
    cdef int64_t send_window   # of the connection
    cdef int64_t receive_window
    cdef uint64_t buffered     # bytes received by us and not consumed: the owner's count, see consumed()
    cdef uint64_t *worker      # the same of all connections that share a budget; NULL: no budget
    cdef uint64_t grown        # bytes by which the receive windows of streams are larger than ROOM_FIRST, together
    cdef bint wanting          # a stream would have grown and found no room
    cdef bint withheld         # less of the connection's window was returned than was received

    # A response header block; with `end` our side of the stream has ended.
    cdef bint respond(self, H2Stream *stream, bytes block, bint end) noexcept
    # What the stream may send now, at most `most`.
    cdef uint32_t sendable(self, const H2Stream *stream, uint32_t most) noexcept
    # Largest payload of a DATA frame that we send.
    cdef uint32_t frame_size(self) noexcept
    # Windows and states for DATA whose frames the caller has written.
    cdef void sent(self, H2Stream *stream, uint32_t size, bint end) noexcept
    # `size` bytes of DATA were taken up by whoever they were for; until then they count as buffered. Returns windows.
    cdef void consumed(self, H2Stream *stream, uint32_t size) noexcept
    # The stream's window for all that was consumed, at once: what follows may have to wait until there is enough of it.
    cdef void return_stream(self, H2Stream *stream) noexcept
    # Of a stream that is no more.
    cdef void consumed_late(self, uint64_t size) noexcept
    # The connection's window follows what was received.
    cdef void return_connection(self) noexcept
    # Bytes of DATA have come, and wait for consumed().
    cdef void hold(self, uint64_t size) noexcept
    cdef bint is_warm(self) noexcept
    # The budget of the worker has no room for more of this connection.
    cdef bint is_over(self) noexcept
    # What is still buffered is no longer the worker's business.
    cdef void detach(self) noexcept
    cdef void reset(self, H2Stream *stream, uint32_t code) noexcept
    # Forgets a stream; see streams_drop.
    cdef void drop(self, H2Stream *stream, StreamEnd how) noexcept
    # Says GOAWAY: streams up to `last_stream` may end, later ones are refused.
    cdef void leave(self, uint32_t code, bytes debug) noexcept
