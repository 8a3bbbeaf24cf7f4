# One side of an HTTP/2 connection as bytes (RFC 9113), as far as both sides are alike: settings, streams, flow control,
# budgets, header blocks, errors and the end. Bytes come in, events and bytes to send come out; the caller owns sockets,
# time and what a stream carries. server.pxd and client.pxd are the two sides.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from gateway.c.message cimport sl_message
from gateway.proto.http2.frames cimport Frame, FrameReader, Outgoing
from gateway.proto.http2.hpack cimport Field, Inflater
from gateway.proto.http2.outbound cimport H2Outbound
from gateway.proto.http2.streams cimport H2Stream

cdef enum:
    PREFACE_BYTES = 24
    FRAMES_SHARE = 2048        # frames of one connection in one turn
    BLOCKS_SHARE = 64          # and what costs as much as that many header blocks

cdef const char *PREFACE       # of the client, section 3.4

cdef enum EventKind:
    EVENT_NONE = 0             # the input is used up, or the turn's share is: see is_stopped()
    EVENT_FAILED = 1           # the connection has ended: send what is outgoing, then close
    EVENT_REQUEST = 2          # server: `stream` is new; `head` holds its request, `status` is head.finish()'s
    EVENT_DATA = 3             # `size` bytes at `data`; `end` with the last ones
    EVENT_END = 4              # the peer has ended its side of `stream` without DATA: trailers
    EVENT_RESET = 5            # by the peer, with `code`
    EVENT_ERROR = 6            # by this side, for what the peer did; the RST_STREAM is outgoing
    EVENT_WINDOW = 7           # `stream` may send more; NULL: any stream may that could not
    EVENT_GOAWAY = 8           # the peer's: no new streams; those above `code` were not looked at
    EVENT_REFUSED = 9          # server: as EVENT_REQUEST without a stream: one too many, or behind the own GOAWAY
    EVENT_ANSWER = 10          # client: the final answer to `stream`, a status in `code`; `end` when nothing follows
    EVENT_SETTINGS = 11        # client: limits and windows may be others, of every stream
    EVENT_INTERIM = 12         # client that collects messages: a 1xx, not the final answer, in `message`

cdef struct H2Event:
    H2Stream *stream
    const uint8_t *data        # valid until the next call
    uint32_t size
    uint32_t code
    int status                 # CodecStatus
    bint end

cdef class H2Core(H2Outbound):
    cdef FrameReader reader
    cdef Frame frame           # the last one that was read
    cdef Inflater inflater
    cdef uint8_t preface       # bytes of the client's preface that are still to come
    cdef bint greeted          # the peer's first SETTINGS came
    cdef bint going            # the peer's GOAWAY came
    cdef int abuse             # an sl_h2_abuse that ended it, or -1
    cdef str detail            # why it ended
    cdef uint32_t code         # the same as an ErrorCode
    cdef uint32_t block_stream  # a header block of it has begun and not ended; 0: none
    cdef uint32_t block_parts
    cdef uint8_t block_flags
    cdef size_t list_size      # of the block, as MAX_HEADER_LIST_SIZE counts
    cdef uint32_t unacknowledged   # own SETTINGS that the peer has not acknowledged
    cdef int32_t frames_left   # of the turn's share
    cdef int32_t blocks_left

    # ---- in ----------------------------------------------------------------------------------------------------------
    # New input, used up by next() until it answers that there is nothing; `now` in milliseconds.
    cdef void feed(self, const uint8_t *data, size_t length, uint64_t now) noexcept
    # The share that next() may use up before it stops. A session that was not given one never stops.
    cdef void allow(self, int32_t frames, int32_t blocks, uint64_t now) noexcept
    cdef EventKind next(self, H2Event *event) noexcept
    # Whether input is left that waits for another share. It must stay valid; keep() says where it is now.
    cdef bint is_stopped(self) noexcept
    cdef void keep(self, const uint8_t *data, size_t length) noexcept
    # Trailers, to `out`: this side of the stream has ended. False without memory.
    cdef bint put_trailers(self, H2Stream *stream, const sl_message *trailers, Outgoing *out) noexcept
    # Ends the connection for an error: GOAWAY, and nothing is read any more.
    cdef EventKind fail(self, uint32_t code, str detail) noexcept
    # The same for too much of something, an sl_h2_abuse.
    cdef EventKind calm(self, int abuse) noexcept

    # ---- frame by frame ----------------------------------------------------------------------------------------------
    cdef bint is_costly(self) noexcept
    cdef EventKind take(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_data(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_headers(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_fragment(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_settings(self, const Frame *frame) noexcept
    cdef EventKind take_window(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind take_reset(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind without_stream(self, const Frame *frame, H2Event *event) noexcept
    cdef EventKind stream_error(self, uint32_t identifier, uint32_t code, H2Event *event) noexcept
    cdef bint was_opened(self, uint32_t identifier) noexcept
    # ---- of each side ------------------------------------------------------------------------------------------------
    # The peer's first bytes; EVENT_NONE while they are right.
    cdef EventKind greet(self) noexcept
    # A header block begins; EVENT_NONE: it is decoded, whatever its stream becomes.
    cdef EventKind open_block(self, const Frame *frame) noexcept
    cdef void take_field(self, const Field *field) noexcept
    cdef EventKind end_block(self, H2Event *event) noexcept
    # The peer's SETTINGS have changed; `wider`: the windows of streams have grown.
    cdef EventKind settled(self, bint wider) noexcept
    # The content of a message goes on; False when it is longer or shorter than it was said to be.
    cdef bint length_holds(self, H2Stream *stream, uint32_t size, bint end) noexcept
    # DATA on a stream that has ended (section 5.1).
    cdef EventKind late(self, const Frame *frame, H2Event *event) noexcept
    # A reset of `stream`, which may be NULL, that costs its peer nothing.
    cdef bint is_idle_reset(self, const H2Stream *stream) noexcept
