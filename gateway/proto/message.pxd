# One HTTP message, request or response, as its sides hand it on (csrc/bytes/message.h).
from libc.string cimport memcmp

from gateway.c.message cimport SL_FRAMING_LENGTH, SL_FRAMING_NONE, sl_message, sl_message_at

cdef class Message:
    cdef sl_message head

# Whether nothing follows the head.
cdef inline bint has_no_content(const sl_message *head) noexcept:
    return head.framing == SL_FRAMING_NONE or (head.framing == SL_FRAMING_LENGTH and head.content_length == 0)

cdef inline bint is_method(const sl_message *head, const char *method, size_t length) noexcept:
    return head.method.length == length and memcmp(sl_message_at(head, head.method), method, length) == 0
