# csrc/bytes/inner.h, as Cython sees it.
from libc.stdint cimport uint8_t
from gateway.c.addr cimport sl_addr

cdef extern from "bytes/inner.h" nogil:
    enum:
        SL_INNER_MAX
        SL_INNER_TAIL
    enum sl_inner_status:
        SL_INNER_INTERNAL
        SL_INNER_MORE
        SL_INNER_OTHER
        SL_INNER_TLS_NAME
        SL_INNER_TLS_NONE
        SL_INNER_HTTP_NAME
        SL_INNER_HTTP_NONE
        SL_INNER_MALFORMED
        SL_INNER_TOO_LONG
    struct sl_inner:
        char name[256]
        size_t name_length
        sl_addr address
        size_t harmless
        size_t kept
        uint8_t word
        uint8_t ech
        uint8_t ssh
        uint8_t dialog

    sl_inner_status sl_inner_read(const uint8_t *data, size_t length, sl_inner *out)
    sl_inner_status sl_inner_ended(uint8_t *data, size_t length, sl_inner *out)
