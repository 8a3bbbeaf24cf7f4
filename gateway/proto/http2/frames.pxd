# HTTP/2 frames (RFC 9113 sections 4 and 6) as bytes: a bounded reader fed in any pieces, and writers into memory.
# It knows neither streams nor settings beyond the current frame size; it serves clients and servers alike.
from libc.stdint cimport uint8_t, uint32_t

cdef enum FrameType:
    FRAME_DATA = 0
    FRAME_HEADERS = 1
    FRAME_PRIORITY = 2
    FRAME_RST_STREAM = 3
    FRAME_SETTINGS = 4
    FRAME_PUSH_PROMISE = 5
    FRAME_PING = 6
    FRAME_GOAWAY = 7
    FRAME_WINDOW_UPDATE = 8
    FRAME_CONTINUATION = 9

cdef enum FrameFlag:
    FLAG_END_STREAM = 0x1
    FLAG_ACK = 0x1
    FLAG_END_HEADERS = 0x4
    FLAG_PADDED = 0x8
    FLAG_PRIORITY = 0x20

# RFC 9113 section 7.
cdef enum ErrorCode:
    H2_NO_ERROR = 0x0
    H2_PROTOCOL_ERROR = 0x1
    H2_INTERNAL_ERROR = 0x2
    H2_FLOW_CONTROL_ERROR = 0x3
    H2_SETTINGS_TIMEOUT = 0x4
    H2_STREAM_CLOSED = 0x5
    H2_FRAME_SIZE_ERROR = 0x6
    H2_REFUSED_STREAM = 0x7
    H2_CANCEL = 0x8
    H2_COMPRESSION_ERROR = 0x9
    H2_CONNECT_ERROR = 0xa
    H2_ENHANCE_YOUR_CALM = 0xb
    H2_INADEQUATE_SECURITY = 0xc
    H2_HTTP_1_1_REQUIRED = 0xd

cdef enum:
    FRAME_HEADER = 9           # bytes
    FRAME_SIZE_FIRST = 16384   # MAX_FRAME_SIZE of both sides until SETTINGS say otherwise
    FRAME_SIZE_LAST = 16777215
    FRAME_WHOLE_MAX = 65536    # longest payload of a frame that is gathered; DATA and unknown frames never are

cdef enum FrameStatus:
    FRAME_BROKEN = 0           # `code` and `detail` of the reader say how; nothing more is read
    FRAME_MORE = 1             # the input is used up
    FRAME_READY = 2

cdef struct Frame:
    uint8_t type               # FrameType, or an unknown number
    uint8_t flags
    bint first                 # of DATA: this piece begins the frame
    bint last                  # of DATA: this piece ends the frame; always so for the others
    uint32_t stream
    uint32_t length            # of the payload as its header says: what flow control counts
    uint32_t depends           # HEADERS and PRIORITY: the stream it says to depend on; 0 for none
    const uint8_t *payload     # less padding and priority; valid until the next call; NULL in an unknown frame
    uint32_t size              # bytes at `payload`

cdef struct FrameReader:
    uint32_t most              # current MAX_FRAME_SIZE of received frames
    uint32_t code              # ErrorCode once broken
    const char *detail         # the rule that was broken
    const uint8_t *data        # input not used yet
    const uint8_t *end
    uint8_t head[9]
    uint8_t head_size
    uint32_t count             # frames that have begun
    uint8_t pad                # bytes of padding at the end of the DATA frame being read
    bint inside                # a header was read; its payload is coming
    bint fresh                 # nothing of that frame was reported yet
    bint pad_wanted            # the byte that tells the padding is still to come
    bint skipping              # the rest of the payload is of no interest
    uint32_t left              # bytes of the payload to come
    Frame frame
    uint8_t *held              # a payload that comes in parts, malloc'd
    uint32_t held_size

cdef void frames_begin(FrameReader *reader) noexcept nogil
# New input; what was given before must be used up. It has to stay valid until it is used up.
cdef void frames_feed(FrameReader *reader, const uint8_t *data, size_t length) noexcept nogil
cdef FrameStatus frames_next(FrameReader *reader, Frame *frame) noexcept nogil
# Whether a frame has begun and has not ended.
cdef bint frames_inside(const FrameReader *reader) noexcept nogil
cdef void frames_free(FrameReader *reader) noexcept nogil

# Bytes that wait to be sent, in order. `data` is NULL when there are none.
cdef struct Outgoing:
    uint8_t *data
    size_t begin
    size_t end
    size_t room
    bint secret                # wiped before it is given back

# Adds one frame. False without memory, with nothing added.
cdef bint put_frame(Outgoing *out, int type, int flags, uint32_t stream, const uint8_t *payload,
                    size_t length) noexcept nogil
cdef bint put_number(Outgoing *out, int type, uint32_t stream, uint32_t number) noexcept nogil
cdef bint put_bytes(Outgoing *out, const uint8_t *data, size_t length) noexcept nogil
# The first `length` bytes have been sent.
cdef void sent_bytes(Outgoing *out, size_t length) noexcept nogil
cdef void free_bytes(Outgoing *out) noexcept nogil
# The 9 bytes of a frame header.
cdef void write_header(uint8_t *at, size_t length, int type, int flags, uint32_t stream) noexcept nogil
cdef void write_u32(uint8_t *at, uint32_t number) noexcept nogil
cdef uint32_t read_u32(const uint8_t *at) noexcept nogil
