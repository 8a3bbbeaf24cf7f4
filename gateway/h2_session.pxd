# One HTTP/2 connection as bytes (RFC 9113): settings, streams, flow control, header blocks, errors, abuse. Bytes come
# in, events and bytes to send come out; the caller owns sockets, time and what a request means.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from gateway.h2_frames cimport Frame, FrameReader
from gateway.h2_head cimport H2Head
from gateway.h2_hpack cimport Inflater
from gateway.h2_outbound cimport H2Outbound
from gateway.h2_streams cimport H2Stream

cdef enum:
    STREAMS_FIRST = 1000       # limits.streamsPerConnection of a session that was told nothing else
    FRAMES_SHARE = 2048        # frames of one connection in one turn
    BLOCKS_SHARE = 64          # and what costs as much as that many header blocks

cdef enum EventKind:
    EVENT_NONE = 0             # the input is used up, or the turn's share is: see is_stopped()
    EVENT_FAILED = 1           # the connection has ended: send what is outgoing, then close
    EVENT_REQUEST = 2          # `stream` is new; `head` holds its request, `status` is what head.finish() answered
    EVENT_DATA = 3             # `size` bytes at `data`; `end` with the last ones
    EVENT_END = 4              # the peer has ended its side without DATA: trailers
    EVENT_RESET = 5            # by the peer, with `code`
    EVENT_ERROR = 6            # by us, for what the peer did; the RST_STREAM is outgoing
    EVENT_WINDOW = 7           # `stream` may send more; NULL: any stream may that could not
    EVENT_SHUTDOWN = 8         # the peer's GOAWAY: no new streams will come
    EVENT_REFUSED = 9          # as EVENT_REQUEST, but without a stream: one too many, or behind our GOAWAY

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
    BLOCK_REFUSED = 4          # a request that is refused, and reported

cdef class H2Session(H2Outbound):
    cdef FrameReader reader
    cdef Inflater inflater
    cdef H2Head head
    cdef uint8_t preface       # bytes of it that came
    cdef bint greeted          # the peer's first SETTINGS came
    cdef bint offered          # our second SETTINGS went out
    cdef uint32_t code         # why it ended
    cdef int abuse             # an sl_h2_abuse that ended it, or -1
    cdef str detail
    cdef BlockKind block       # a header block has begun and not ended
    cdef uint32_t block_stream
    cdef uint8_t block_flags
    cdef uint32_t block_error  # ErrorCode the stream ends with when the block has ended; 0: none
    cdef uint32_t block_parts
    cdef uint64_t now
    cdef uint32_t streams_most  # open at once on a connection of RFC form: what our SETTINGS say
    cdef uint32_t unacknowledged   # SETTINGS of ours that the peer has not acknowledged
    cdef int32_t frames_left   # of the turn's share
    cdef int32_t blocks_left

    # ---- in ----------------------------------------------------------------------------------------------------------
    # Our SETTINGS and window go out first.
    cdef bint begin(self, uint64_t now) noexcept
    # New input, used up by next() until it answers EVENT_NONE; `now` in milliseconds.
    cdef void feed(self, const uint8_t *data, size_t length, uint64_t now) noexcept
    # What next() may use up before it stops. No session has a share that was not given one: it never stops.
    cdef void allow(self, int32_t frames, int32_t blocks, uint64_t now) noexcept
    # Whether input is left that waits for another share. It must stay valid; keep() says where it is now.
    cdef bint is_stopped(self) noexcept
    cdef void keep(self, const uint8_t *data, size_t length) noexcept
    cdef EventKind next(self, H2Event *event) noexcept
    # Ends the connection for an error: GOAWAY, and nothing is read any more.
    cdef EventKind fail(self, uint32_t code, str detail) noexcept
    # The same for too much of something, an sl_h2_abuse.
    cdef EventKind calm(self, int abuse) noexcept

    # ---- frame by frame ----------------------------------------------------------------------------------------------
    cdef EventKind greet(self) noexcept
    cdef bint is_costly(self) noexcept
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
    cdef void offer(self) noexcept
