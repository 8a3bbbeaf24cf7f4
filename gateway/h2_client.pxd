# The client's side of one HTTP/2 connection as bytes (RFC 9113): CONNECT streams that are asked of a parent gateway.
# Bytes come in, events and bytes to send come out; the caller owns sockets, time and what a stream carries.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t

from gateway.h2_budget cimport Budgets
from gateway.h2_frames cimport Frame, FrameReader, Outgoing
from gateway.h2_hpack cimport Deflater, Field, Inflater
from gateway.h2_settings cimport Settings
from gateway.h2_streams cimport H2Stream, StreamEnd, StreamTable

cdef enum:
    CLIENT_STREAMS = 100       # open at once on one connection, or fewer where the parent's SETTINGS say so

cdef enum ClientEvent:
    CLIENT_NONE = 0            # the input is used up, or the turn's share is: see is_stopped()
    CLIENT_FAILED = 1          # the connection has ended: send what is outgoing, then close
    CLIENT_SETTINGS = 2        # limits and windows may be others: of every stream
    CLIENT_ANSWER = 3          # the final answer to `stream`, a status in `code`; `end` when nothing follows
    CLIENT_DATA = 4            # `size` bytes at `data`; `end` with the last ones
    CLIENT_RESET = 5           # by the parent, with `code`
    CLIENT_ERROR = 6           # by us, for what the parent did; the RST_STREAM is outgoing
    CLIENT_WINDOW = 7          # `stream` may send more; NULL: any stream may that could not
    CLIENT_GOAWAY = 8          # no new streams; those above `code` were not looked at

cdef struct ClientNews:
    H2Stream *stream
    const uint8_t *data        # valid until the next call
    uint32_t size
    uint32_t code
    bint end

cdef class H2Client:
    cdef FrameReader reader
    cdef Inflater inflater
    cdef Deflater deflater
    cdef StreamTable streams
    cdef Settings peer         # what the parent has declared
    cdef Budgets budgets
    cdef Outgoing out          # frames to send, before any DATA that is not begun
    cdef bint greeted          # the parent's first SETTINGS came
    cdef bint ended            # by an error: nothing is read any more
    cdef bint going            # the parent's GOAWAY came
    cdef bint leaving          # our GOAWAY went out
    cdef uint32_t last         # highest number we have opened
    cdef uint32_t code         # why it ended
    cdef int abuse             # an sl_h2_abuse that ended it, or -1
    cdef str detail
    cdef int64_t send_window   # of the connection
    cdef int64_t receive_window
    cdef uint32_t returned     # of the connection's window, received and not yet returned
    cdef uint64_t rooms        # receive windows of all streams together: what can wait for slow tunnels at most
    cdef uint32_t block_stream  # a header block of it has begun and not ended; 0: none
    cdef uint8_t block_flags
    cdef uint32_t block_parts
    cdef uint32_t status       # of the block: 0 when it has none
    cdef size_t list_size      # of the block, as MAX_HEADER_LIST_SIZE counts
    cdef bint regular          # of the block: a field that is no pseudo-header was read
    cdef bint malformed        # the block is
    cdef uint32_t unacknowledged   # SETTINGS of ours that the parent has not acknowledged
    cdef int32_t frames_left   # of the turn's share, as in h2_session.pxd
    cdef int32_t blocks_left

    # ---- in ----------------------------------------------------------------------------------------------------------
    # Our preface, SETTINGS and window go out first.
    cdef bint begin(self, uint64_t now) noexcept
    # New input, used up by next() until it answers CLIENT_NONE; `now` in milliseconds.
    cdef void feed(self, const uint8_t *data, size_t length, uint64_t now) noexcept
    # As in h2_session.pxd.
    cdef void allow(self, int32_t frames, int32_t blocks, uint64_t now) noexcept
    cdef bint is_stopped(self) noexcept
    cdef void keep(self, const uint8_t *data, size_t length) noexcept
    cdef ClientEvent next(self, ClientNews *news) noexcept
    # ---- out ---------------------------------------------------------------------------------------------------------
    # How many streams may be opened now.
    cdef uint32_t free_streams(self) noexcept
    # A request by its header block; NULL where none may be opened.
    cdef H2Stream *ask(self, bytes block) noexcept
    # What the stream may send now, at most `most`.
    cdef uint32_t sendable(self, const H2Stream *stream, uint32_t most) noexcept
    # Largest payload of a DATA frame that we send.
    cdef uint32_t frame_size(self) noexcept
    # Windows and states for DATA whose frames the caller has written.
    cdef void sent(self, H2Stream *stream, uint32_t size, bint end) noexcept
    # `size` bytes of DATA were taken up by whoever they were for. Returns the stream's window.
    cdef void consumed(self, H2Stream *stream, uint32_t size) noexcept
    cdef void reset(self, H2Stream *stream, uint32_t code) noexcept
    cdef void ping(self) noexcept
    # Forgets a stream; see streams_drop.
    cdef void drop(self, H2Stream *stream, StreamEnd how) noexcept
    # Says GOAWAY.
    cdef void leave(self, uint32_t code) noexcept
    # Ends the connection for an error: GOAWAY, and nothing is read any more.
    cdef ClientEvent fail(self, uint32_t code, str detail) noexcept
    # The same for too much of something, an sl_h2_abuse.
    cdef ClientEvent calm(self, int abuse) noexcept

    # ---- frame by frame ----------------------------------------------------------------------------------------------
    cdef ClientEvent take(self, const Frame *frame, ClientNews *news) noexcept
    cdef ClientEvent take_data(self, const Frame *frame, ClientNews *news) noexcept
    cdef ClientEvent take_headers(self, const Frame *frame, ClientNews *news) noexcept
    cdef ClientEvent take_fragment(self, const Frame *frame, ClientNews *news) noexcept
    cdef void take_field(self, const Field *field) noexcept
    cdef ClientEvent end_block(self, ClientNews *news) noexcept
    cdef ClientEvent take_settings(self, const Frame *frame) noexcept
    cdef ClientEvent take_window(self, const Frame *frame, ClientNews *news) noexcept
    cdef ClientEvent take_goaway(self, const Frame *frame, ClientNews *news) noexcept
    cdef ClientEvent stream_error(self, H2Stream *stream, uint32_t code, ClientNews *news) noexcept
    cdef bint is_ours(self, uint32_t identifier) noexcept
    cdef void return_connection(self, uint32_t size) noexcept
