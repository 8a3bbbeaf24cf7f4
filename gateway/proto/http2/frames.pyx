"""HTTP/2 frames (RFC 9113 sections 4 and 6) as bytes. frames.pxd is the contract.

* DATA is handed out in the pieces it comes in, where it lies: nothing of it is copied. Unknown frames are passed over.
* Every other frame is handed out whole: where it lies when it lies whole in the input, else gathered, bounded.
* What a frame's header alone shows to be wrong is reported at once, before its payload comes.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy, memmove, memset

cdef extern from "string.h" nogil:
    void explicit_bzero(void *data, size_t length)

cdef enum:
    OUT_ROOM = 256             # first size of an outgoing buffer; it doubles


# ---- reading -----------------------------------------------------------------------------------------------------

cdef void frames_begin(FrameReader *reader) noexcept nogil:
    memset(reader, 0, sizeof(reader[0]))
    reader.most = FRAME_SIZE_FIRST


cdef void frames_feed(FrameReader *reader, const uint8_t *data, size_t length) noexcept nogil:
    reader.data = data
    reader.end = data + length


cdef bint frames_inside(const FrameReader *reader) noexcept nogil:
    return reader.inside or reader.head_size > 0


cdef void frames_free(FrameReader *reader) noexcept nogil:
    free(reader.held)
    reader.held = NULL
    reader.held_size = 0


cdef FrameStatus broken(FrameReader *reader, ErrorCode code, const char *detail) noexcept nogil:
    reader.code = code
    reader.detail = detail
    frames_free(reader)
    return FRAME_BROKEN


cdef FrameStatus frames_next(FrameReader *reader, Frame *frame) noexcept nogil:
    cdef FrameStatus status
    if reader.code:
        return FRAME_BROKEN
    if not reader.inside:
        frames_free(reader)  # the last frame's payload
    while True:
        if not reader.inside:
            status = read_head(reader)
            if status != FRAME_READY:
                return status
        if reader.skipping:
            if not skip(reader):
                return FRAME_MORE
        elif reader.frame.type == FRAME_DATA:
            return data_piece(reader, frame)
        elif reader.frame.type > FRAME_CONTINUATION:
            reader.skipping = True
            frame[0] = reader.frame
            return FRAME_READY
        else:
            return whole(reader, frame)


cdef bint skip(FrameReader *reader) noexcept nogil:
    """Passes over the rest of a payload; False when it has not come whole."""
    cdef size_t take = min(<size_t> reader.left, <size_t> (reader.end - reader.data))
    reader.data += take
    reader.left -= <uint32_t> take
    if reader.left:
        return False
    reader.inside = reader.skipping = False
    return True


cdef FrameStatus read_head(FrameReader *reader) noexcept nogil:
    """The nine bytes of section 4.1."""
    cdef size_t take = min(<size_t> (FRAME_HEADER - reader.head_size), <size_t> (reader.end - reader.data))
    cdef Frame *frame = &reader.frame
    cdef const uint8_t *head = reader.head
    cdef const char *wrong
    cdef ErrorCode code = H2_PROTOCOL_ERROR
    if reader.head_size == 0 and take:
        reader.count += 1
    if take == FRAME_HEADER:
        head = reader.data  # most lie whole in the input
    else:
        memcpy(reader.head + reader.head_size, reader.data, take)
    reader.data += take
    reader.head_size += <uint8_t> take
    if reader.head_size < FRAME_HEADER:
        return FRAME_MORE
    memset(frame, 0, sizeof(frame[0]))
    frame.length = <uint32_t> head[0] << 16 | <uint32_t> head[1] << 8 | head[2]
    frame.type = head[3]
    frame.flags = head[4]
    frame.stream = read_u32(head + 5) & 0x7FFFFFFF  # the reserved bit is ignored
    frame.first = frame.last = True
    reader.head_size = 0
    wrong = wrong_head(frame, reader.most, &code)
    if wrong is not NULL:
        return broken(reader, code, wrong)
    reader.left = frame.length
    reader.inside = True
    reader.skipping = False
    reader.fresh = True
    reader.pad = 0
    reader.pad_wanted = frame.type == FRAME_DATA and (frame.flags & FLAG_PADDED) != 0
    return FRAME_READY


cdef const char *wrong_head(const Frame *frame, uint32_t most, ErrorCode *code) noexcept nogil:
    """The connection error that a header shows, or NULL. The code is PROTOCOL_ERROR unless changed."""
    cdef bint on_stream = frame.type in (
        FRAME_DATA, FRAME_HEADERS, FRAME_PRIORITY, FRAME_RST_STREAM, FRAME_PUSH_PROMISE, FRAME_CONTINUATION
    )
    if frame.length > most:
        code[0] = H2_FRAME_SIZE_ERROR
        return "a frame longer than MAX_FRAME_SIZE"
    if on_stream and frame.stream == 0:
        return "a frame that needs a stream, on stream 0"
    if frame.stream and frame.type in (FRAME_SETTINGS, FRAME_PING, FRAME_GOAWAY):
        return "a frame of the connection, on a stream"
    if not size_fits(frame):
        code[0] = H2_FRAME_SIZE_ERROR
        return "a frame of a length that its type cannot have"
    if frame.type <= FRAME_CONTINUATION and frame.type != FRAME_DATA and frame.length > FRAME_WHOLE_MAX:
        code[0] = H2_ENHANCE_YOUR_CALM
        return "a frame that is too long to be gathered"
    return NULL


cdef bint size_fits(const Frame *frame) noexcept nogil:
    """Lengths that section 6 fixes. PRIORITY is not here: a wrong one is an error of its stream alone."""
    if frame.type == FRAME_RST_STREAM or frame.type == FRAME_WINDOW_UPDATE:
        return frame.length == 4
    if frame.type == FRAME_PING:
        return frame.length == 8
    if frame.type == FRAME_GOAWAY:
        return frame.length >= 8
    if frame.type == FRAME_SETTINGS:
        return frame.length == 0 if frame.flags & FLAG_ACK else frame.length % 6 == 0
    return not (frame.type == FRAME_DATA and frame.flags & FLAG_PADDED and frame.length == 0)


cdef FrameStatus data_piece(FrameReader *reader, Frame *frame) noexcept nogil:
    """The bytes of a DATA frame that are there (section 6.1)."""
    cdef uint32_t body
    cdef size_t there
    if reader.pad_wanted:
        if reader.data == reader.end:
            return FRAME_MORE
        reader.pad = reader.data[0]
        reader.data += 1
        reader.left -= 1
        reader.pad_wanted = False
        if reader.pad > reader.left:
            return broken(reader, H2_PROTOCOL_ERROR, "more padding than payload")
    body = reader.left - reader.pad
    there = reader.end - reader.data
    if body and not there:
        return FRAME_MORE
    frame[0] = reader.frame
    frame.first = reader.fresh
    frame.payload = reader.data
    frame.size = <uint32_t> min(<size_t> body, there)
    frame.last = frame.size == body
    reader.fresh = False
    reader.data += frame.size
    reader.left -= frame.size
    if frame.last:
        reader.skipping = True
        if reader.left == 0:
            reader.inside = reader.skipping = False
    return FRAME_READY


cdef FrameStatus whole(FrameReader *reader, Frame *frame) noexcept nogil:
    """A frame that is of use only whole."""
    cdef size_t there = reader.end - reader.data
    frame[0] = reader.frame
    if reader.held is NULL and there >= reader.left:
        frame.payload = reader.data
        reader.data += reader.left
    else:
        if reader.held is NULL:
            reader.held = <uint8_t *> malloc(reader.left)
            if reader.held is NULL:
                return broken(reader, H2_INTERNAL_ERROR, "no memory")
        there = min(there, <size_t> reader.left)
        memcpy(reader.held + reader.held_size, reader.data, there)
        reader.data += there
        reader.held_size += <uint32_t> there
        reader.left -= <uint32_t> there
        if reader.left:
            return FRAME_MORE
        frame.payload = reader.held
    reader.inside = False
    frame.size = frame.length
    return strip(reader, frame)


cdef FrameStatus strip(FrameReader *reader, Frame *frame) noexcept nogil:
    """Takes padding and priority away (sections 6.2, 6.3 and 6.6)."""
    cdef uint32_t pad = 0
    if frame.type in (FRAME_HEADERS, FRAME_PUSH_PROMISE) and frame.flags & FLAG_PADDED:
        if frame.size == 0:
            return broken(reader, H2_FRAME_SIZE_ERROR, "no room for the padding")
        pad = frame.payload[0]
        frame.payload += 1
        frame.size -= 1
        if pad > frame.size:
            return broken(reader, H2_PROTOCOL_ERROR, "more padding than payload")
        frame.size -= pad
    if frame.type == FRAME_HEADERS and frame.flags & FLAG_PRIORITY:
        if frame.size < 5:
            return broken(reader, H2_FRAME_SIZE_ERROR, "no room for the priority")
        frame.depends = read_u32(frame.payload) & 0x7FFFFFFF
        frame.payload += 5
        frame.size -= 5
    elif frame.type == FRAME_PRIORITY and frame.size == 5:
        frame.depends = read_u32(frame.payload) & 0x7FFFFFFF
    return FRAME_READY


# ---- writing -----------------------------------------------------------------------------------------------------

cdef uint32_t read_u32(const uint8_t *at) noexcept nogil:
    return <uint32_t> at[0] << 24 | <uint32_t> at[1] << 16 | <uint32_t> at[2] << 8 | at[3]


cdef void write_u32(uint8_t *at, uint32_t number) noexcept nogil:
    at[0] = <uint8_t> (number >> 24)
    at[1] = <uint8_t> (number >> 16)
    at[2] = <uint8_t> (number >> 8)
    at[3] = <uint8_t> number


cdef void write_header(uint8_t *at, size_t length, int type, int flags, uint32_t stream) noexcept nogil:
    at[0] = <uint8_t> (length >> 16)
    at[1] = <uint8_t> (length >> 8)
    at[2] = <uint8_t> length
    at[3] = <uint8_t> type
    at[4] = <uint8_t> flags
    write_u32(at + 5, stream)


cdef bint reserve(Outgoing *out, size_t length) noexcept nogil:
    """Room for so many more bytes."""
    cdef size_t waiting = out.end - out.begin
    cdef size_t room = out.room if out.room else OUT_ROOM
    cdef uint8_t *data
    if out.begin and out.end + length > out.room:
        memmove(out.data, out.data + out.begin, waiting)
        out.begin, out.end = 0, waiting
    if out.end + length <= out.room:
        return True
    while room < out.end + length:
        room *= 2
    if not out.secret:
        data = <uint8_t *> realloc(out.data, room)
        if data is NULL:
            return False
    else:
        data = <uint8_t *> malloc(room)
        if data is NULL:
            return False
        memcpy(data, out.data, out.end)
        explicit_bzero(out.data, out.room)
        free(out.data)
    out.data, out.room = data, room
    return True


cdef bint put_bytes(Outgoing *out, const uint8_t *data, size_t length) noexcept nogil:
    if not reserve(out, length):
        return False
    memcpy(out.data + out.end, data, length)
    out.end += length
    return True


cdef bint put_frame(Outgoing *out, int type, int flags, uint32_t stream, const uint8_t *payload,
                    size_t length) noexcept nogil:
    if not reserve(out, FRAME_HEADER + length):
        return False
    write_header(out.data + out.end, length, type, flags, stream)
    out.end += FRAME_HEADER
    if length:
        memcpy(out.data + out.end, payload, length)
        out.end += length
    return True


cdef bint put_number(Outgoing *out, int type, uint32_t stream, uint32_t number) noexcept nogil:
    """WINDOW_UPDATE and RST_STREAM: a frame that is one number."""
    cdef uint8_t payload[4]
    write_u32(payload, number)
    return put_frame(out, type, 0, stream, payload, 4)


cdef void sent_bytes(Outgoing *out, size_t length) noexcept nogil:
    out.begin += length
    if out.begin == out.end:
        free_bytes(out)


cdef void free_bytes(Outgoing *out) noexcept nogil:
    if out.secret:
        explicit_bzero(out.data, out.room)
    free(out.data)
    memset(out, 0, sizeof(out[0]))
