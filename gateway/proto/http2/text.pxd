# Texts of header blocks (RFC 9113 section 8.2.1, RFC 9110 section 5): names, values and numbers as they have to be.
from libc.stdint cimport int64_t, uint8_t
from libc.string cimport memcmp, strlen

from gateway.proto.http2.hpack cimport Field

cdef inline bint named(const Field *field, const char *name) noexcept nogil:
    return field.name_length == strlen(name) and memcmp(field.name, name, field.name_length) == 0

# RFC 9110 section 5.6.2: tchar.
cdef inline bint is_token_byte(uint8_t byte) noexcept nogil:
    return 0x20 < byte < 0x7F and byte not in (
        c'"', c"(", c")", c",", c"/", c":", c";", c"<", c"=", c">", c"?", c"@", c"[", c"\\", c"]", c"{", c"}"
    )

cdef inline bint is_token(const uint8_t *data, size_t length) noexcept nogil:
    cdef size_t i
    for i in range(length):
        if not is_token_byte(data[i]):
            return False
    return length > 0

# RFC 9113 section 8.2.1: a token without upper case.
cdef inline bint is_name(const uint8_t *data, size_t length) noexcept nogil:
    cdef size_t i
    for i in range(length):
        if c"A" <= data[i] <= c"Z":
            return False
    return is_token(data, length)

# RFC 9113 section 8.2.1.
cdef inline bint is_value(const uint8_t *data, size_t length) noexcept nogil:
    cdef size_t i
    for i in range(length):
        if data[i] == 0 or data[i] == c"\r" or data[i] == c"\n":
            return False
    return length == 0 or not (data[0] in (c" ", c"\t") or data[length - 1] in (c" ", c"\t"))

# A Content-Length of at most 18 digits; -1 for anything else.
cdef inline int64_t read_length(const Field *field) noexcept nogil:
    cdef int64_t number = 0
    cdef size_t i
    if field.value_length == 0 or field.value_length > 18:
        return -1
    for i in range(field.value_length):
        if not c"0" <= field.value[i] <= c"9":
            return -1
        number = number * 10 + (field.value[i] - c"0")
    return number
