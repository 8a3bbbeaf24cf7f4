"""Header blocks as messages and messages as header blocks. See blocks.pxd.

A message is checked as a whole once its block has ended (sl_message_settle_request and its kin).
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from gateway.c.message cimport (
    SL_FIELD_CONNECTION, SL_FIELD_CONTENT_LENGTH, SL_FIELD_COOKIE, SL_FIELD_HOST, SL_FIELD_KEEP_ALIVE,
    SL_FIELD_PROXY_CONNECTION, SL_FIELD_TE, SL_FIELD_TRANSFER_ENCODING, SL_FIELD_UPGRADE, SL_FORM_ASTERISK,
    SL_FRAMING_CHUNKED, SL_FRAMING_CLOSE, SL_FRAMING_LENGTH, sl_message, sl_message_add, sl_message_at,
    sl_message_field, sl_message_find, sl_message_set, sl_span,
)
from gateway.proto.http2.frames cimport (
    FLAG_END_HEADERS, FLAG_END_STREAM, FRAME_CONTINUATION, FRAME_HEADERS, Outgoing, put_frame,
)
from gateway.proto.http2.hpack cimport Deflater, Field
from gateway.proto.http2.text cimport is_value

cdef extern from "string.h" nogil:
    void explicit_bzero(void *data, size_t length)

cdef enum:
    FIELDS_FEW = 64            # of one block, which need no memory of their own
    PSEUDO_MOST = 6            # fields of a block beside those of its message
    DIGITS = 20                # of a content-length
    NO_CONTENT = 204           # a status

TOO_MANY = b"more fields than a message may have"


# ---- in ------------------------------------------------------------------------------------------------------------

cdef const char *collect_field(sl_message *message, const Field *field) noexcept nogil:
    if not is_value(field.value, field.value_length):
        return "a field value with NUL, CR or LF, or with space around it"
    message.fault = NULL
    if sl_message_add(message, <const char *> field.name, field.name_length, <const char *> field.value,
                      field.value_length) >= 0:
        return NULL
    return message.fault if message.fault is not NULL else TOO_MANY


cdef bint join_cookies(sl_message *message) noexcept nogil:
    cdef int first = sl_message_find(message, SL_FIELD_COOKIE, 0)
    cdef int i = first
    cdef size_t length = 0, used = 0
    cdef sl_span value
    cdef char *joined
    cdef bint kept
    if first < 0 or sl_message_find(message, SL_FIELD_COOKIE, first + 1) < 0:
        return True
    while i >= 0:
        length += message.fields[i].value.length + 2
        i = sl_message_find(message, SL_FIELD_COOKIE, i + 1)
    joined = <char *> malloc(length)
    if joined is NULL:
        return False
    i = first
    while i >= 0:
        if i != first:
            memcpy(joined + used, b"; ", 2)
            used += 2
        value = message.fields[i].value
        memcpy(joined + used, sl_message_at(message, value), value.length)
        used += value.length
        i = sl_message_find(message, SL_FIELD_COOKIE, i + 1)
    kept = sl_message_set(message, "cookie", 6, joined, used)
    free(joined)
    return kept


# ---- out -----------------------------------------------------------------------------------------------------------

# A block that is being put together.
cdef struct Pairs:
    Field *items
    size_t count


cdef inline void pair(Pairs *pairs, const char *name, size_t name_length, const char *value,
                      size_t value_length) noexcept nogil:
    cdef Field *field = &pairs.items[pairs.count]
    field.name, field.name_length = <const uint8_t *> name, name_length
    field.value, field.value_length = <const uint8_t *> value, value_length
    field.secret = False
    pairs.count += 1


cdef inline void pair_span(Pairs *pairs, const char *name, size_t name_length, const sl_message *message,
                           sl_span span) noexcept nogil:
    pair(pairs, name, name_length, sl_message_at(message, span), span.length)


cdef bint put_message(Outgoing *out, Deflater deflater, uint32_t stream, const sl_message *message, BlockPart part,
                      bint secure, bint end, uint32_t most) noexcept:
    cdef Field few[FIELDS_FEW]
    cdef Pairs pairs
    cdef char digits[DIGITS]
    cdef char status[3]
    cdef char *target = NULL
    cdef uint8_t *block = NULL
    cdef size_t length = 0
    cdef bint done = False
    pairs.items, pairs.count = few, 0
    if message.field_count + PSEUDO_MOST > FIELDS_FEW:
        pairs.items = <Field *> malloc((message.field_count + PSEUDO_MOST) * sizeof(Field))
        if pairs.items is NULL:
            return False
    if part == PART_RESPONSE:
        status[0] = <char> (c"0" + message.status // 100)
        status[1] = <char> (c"0" + message.status // 10 % 10)
        status[2] = <char> (c"0" + message.status % 10)
        pair(&pairs, ":status", 7, status, 3)
    if part != PART_REQUEST or begin_request(&pairs, message, secure, &target):
        add_fields(&pairs, message, part, digits)
        if deflater.pack(pairs.items, pairs.count, &block, &length):
            out.secret |= message.secret
            done = put_block(out, stream, block, length, end, most)
            if message.secret:
                explicit_bzero(block, length)
    free(block)
    free(target)
    if pairs.items is not few:
        free(pairs.items)
    return done


cdef bint begin_request(Pairs *pairs, const sl_message *message, bint secure, char **target) noexcept nogil:
    """Section 8.3.1. Path and query may stand apart in the message: *target has them together, malloc'd."""
    cdef size_t length = message.path.length
    pair_span(pairs, ":method", 7, message, message.method)
    if secure:
        pair(pairs, ":scheme", 7, "https", 5)
    elif message.scheme.length:
        pair_span(pairs, ":scheme", 7, message, message.scheme)
    else:
        pair(pairs, ":scheme", 7, "http", 4)
    if message.authority.length:
        pair_span(pairs, ":authority", 10, message, message.authority)
    elif message.host_known and message.host.length:
        pair_span(pairs, ":authority", 10, message, message.host)
    if message.form == SL_FORM_ASTERISK:
        pair(pairs, ":path", 5, "*", 1)
    elif not message.has_query:
        if length:
            pair_span(pairs, ":path", 5, message, message.path)
        else:
            pair(pairs, ":path", 5, "/", 1)
    else:
        target[0] = <char *> malloc(length + message.query.length + 2)
        if target[0] is NULL:
            return False
        memcpy(target[0], sl_message_at(message, message.path), length)
        if length == 0:
            target[0][0] = c"/"
            length = 1
        target[0][length] = c"?"
        memcpy(target[0] + length + 1, sl_message_at(message, message.query), message.query.length)
        pair(pairs, ":path", 5, target[0], length + 1 + message.query.length)
    return True


cdef void add_fields(Pairs *pairs, const sl_message *message, BlockPart part, char *digits) noexcept nogil:
    """All but those of one connection. Content-Length stands where it frames the content, or is told of none; 204 has
    none (RFC 9110 section 8.6)."""
    cdef const sl_message_field *field
    cdef bint unsized = part != PART_TRAILERS and (
        message.framing in (SL_FRAMING_CHUNKED, SL_FRAMING_CLOSE) or message.status == NO_CONTENT)
    cdef bint sized = False
    cdef uint32_t i
    for i in range(message.field_count):
        field = &message.fields[i]
        if field.removed or field.known in (
                SL_FIELD_CONNECTION, SL_FIELD_PROXY_CONNECTION, SL_FIELD_KEEP_ALIVE, SL_FIELD_TRANSFER_ENCODING,
                SL_FIELD_UPGRADE, SL_FIELD_TE):
            continue
        if field.known == SL_FIELD_HOST and part == PART_REQUEST:
            continue
        if field.known == SL_FIELD_CONTENT_LENGTH:
            if unsized or sized:
                continue
            sized = True
        pair(pairs, sl_message_at(message, field.name), field.name.length, sl_message_at(message, field.value),
             field.value.length)
        pairs.items[pairs.count - 1].secret = field.secret
    if part == PART_REQUEST and message.takes_trailers:
        pair(pairs, "te", 2, "trailers", 8)
    if part != PART_TRAILERS and message.framing == SL_FRAMING_LENGTH and not sized:
        i = DIGITS - decimal(message.content_length, digits)
        pair(pairs, "content-length", 14, digits + i, DIGITS - i)


cdef uint32_t decimal(unsigned long long number, char *digits) noexcept nogil:
    """Digits at the end of DIGITS bytes; how many."""
    cdef uint32_t count = 0
    while True:
        count += 1
        digits[DIGITS - count] = <char> (c"0" + number % 10)
        number //= 10
        if number == 0:
            return count


cdef bint put_block(Outgoing *out, uint32_t stream, const uint8_t *block, size_t length, bint end,
                    uint32_t most) noexcept nogil:
    cdef size_t part = min(length, <size_t> most)
    cdef int flags = FLAG_END_STREAM if end else 0
    cdef int type = FRAME_HEADERS
    while True:
        if part == length:
            return put_frame(out, type, flags | FLAG_END_HEADERS, stream, block, part)
        if not put_frame(out, type, flags, stream, block, part):
            return False
        block += part
        length -= part
        part = min(length, <size_t> most)
        type, flags = FRAME_CONTINUATION, 0
