# One HTTP/2 connection as bytes (RFC 9113): settings, streams, flow control, header blocks, errors, abuse. Bytes come
# in, events and bytes to send come out; the caller owns sockets, time and what a request means.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from gateway.h2_budget cimport Budgets
from gateway.h2_frames cimport Frame, FrameReader, Outgoing
from gateway.h2_head cimport Dialect, H2Head
from gateway.h2_hpack cimport Deflater, Inflater
from gateway.h2_settings cimport Settings
from gateway.h2_streams cimport H2Stream, StreamEnd, StreamTable

cdef enum:
    STREAMS_MAX = 1000         # open at once on one connection: what our SETTINGS say
    ROOM_FIRST = 65535         # of a stream's receive window
    ROOM_LAST = 1048576        # as far as it grows while what comes is taken at once
    CONNECTION_ROOM = 4194304  # of the connection's: no more than this is ever buffered for one connection
    FRAME_LARGE = 131072       # MAX_FRAME_SIZE that clients of RFC form are offered: 0.6 to 0.8x the CPU of 16 KiB

cdef enum EventKind:
    EVENT_NONE = 0             # the input is used up
    EVENT_FAILED = 1           # the connection has ended: send what is outgoing, then close
    EVENT_REQUEST = 2          # `stream` is new; `head` holds its request, `status` is what head.finish() answered
    EVENT_DATA = 3             # `size` bytes at `data`; `end` with the last ones
    EVENT_END = 4              # the peer has ended its side without DATA: trailers
    EVENT_RESET = 5            # by the peer, with `code`
    EVENT_ERROR = 6            # by us, for what the peer did; the RST_STREAM is outgoing
    EVENT_WINDOW = 7           # `stream` may send more; NULL: any stream may that could not
    EVENT_SHUTDOWN = 8         # the peer's GOAWAY: no new streams will come

cdef struct H2Event:
    H2Stream *stream
    const uint8_t *data        # valid until the next call
    uint32_t size
    uint32_t code
    int status                 # CodecStatus
    bint end

cdef enum BlockKind:
    BLOCK_NONE = 0
    BLOCK_REQUEST = 1
    BLOCK_TRAILERS = 2
    BLOCK_IGNORED = 3          # decoded, and nothing else

cdef class H2Session:
    cdef FrameReader reader
    cdef Inflater inflater
    cdef Deflater deflater
    cdef H2Head head
    cdef StreamTable streams
    cdef Settings peer         # what the peer has declared
    cdef Budgets budgets
    cdef Outgoing out          # frames to send, before any DATA that is not begun
    cdef Dialect dialect
    cdef uint8_t preface       # bytes of it that came
    cdef bint greeted          # the peer's first SETTINGS came
    cdef bint ended            # by an error: nothing is read any more
    cdef bint leaving          # our GOAWAY went out
    cdef bint offered          # our second SETTINGS went out
    cdef uint32_t last_stream  # highest number the peer has opened
    cdef uint32_t leaving_at   # the highest one our GOAWAY lets live
    cdef uint32_t code         # why it ended
    cdef int abuse             # an sl_h2_abuse that ended it, or -1
    cdef str detail
    cdef int64_t send_window   # of the connection
    cdef int64_t receive_window
    cdef uint64_t buffered     # received by us and not consumed: the owner's count, see consumed()
    cdef uint32_t connection_room   # what the connection's receive window is filled up to, less `buffered`
    cdef BlockKind block       # a header block has begun and not ended
    cdef uint32_t block_stream
    cdef uint8_t block_flags
    cdef uint32_t block_error  # ErrorCode the stream ends with when the block has ended; 0: none
    cdef uint32_t block_parts
    cdef uint64_t now

    # ---- in ----------------------------------------------------------------------------------------------------------
    # Our SETTINGS and window go out first.
    cdef bint begin(self, uint64_t now) noexcept
    # New input, used up by next() until it answers EVENT_NONE; `now` in milliseconds.
    cdef void feed(self, const uint8_t *data, size_t length, uint64_t now) noexcept
    cdef EventKind next(self, H2Event *event) noexcept
    # ---- out ---------------------------------------------------------------------------------------------------------
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
    # Of a stream that is no more.
    cdef void consumed_late(self, uint64_t size) noexcept
    cdef void reset(self, H2Stream *stream, uint32_t code) noexcept
    # Forgets a stream; see streams_drop.
    cdef void drop(self, H2Stream *stream, StreamEnd how) noexcept
    # Says GOAWAY: streams up to `last_stream` may end, later ones are refused.
    cdef void leave(self, uint32_t code, bytes debug) noexcept
    # Ends the connection for an error: GOAWAY, and nothing is read any more.
    cdef EventKind fail(self, uint32_t code, str detail) noexcept
    # The same for too much of something, an sl_h2_abuse.
    cdef EventKind calm(self, int abuse) noexcept

    # ---- frame by frame ----------------------------------------------------------------------------------------------
    cdef EventKind greet(self) noexcept
    cdef EventKind take(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_data(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_headers(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind open_block(self, const Frame *frame) noexcept
    cdef EventKind take_fragment(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind end_block(self, H2Event *event) noexcept
    cdef EventKind end_request(self, H2Event *event) noexcept
    cdef EventKind end_trailers(self, H2Event *event) noexcept
    cdef EventKind take_settings(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_window(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_reset(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind stream_error(self, uint32_t identifier, uint32_t code, H2Event *event) noexcept
    cdef EventKind late(self, const Frame *frame, H2Event *event) noexcept
    cdef bint length_holds(self, H2Stream *stream, uint32_t size, bint end) noexcept
    cdef void return_connection(self) noexcept
    cdef void offer(self) noexcept
