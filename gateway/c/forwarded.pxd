# csrc/bytes/forwarded.h, as Cython sees it.
from libc.stdint cimport uint16_t, uint8_t
from gateway.c.addr cimport sl_addr

cdef extern from "bytes/forwarded.h" nogil:
    enum sl_forwarded_status:
        SL_FORWARDED_BROKEN
        SL_FORWARDED_NONE
        SL_FORWARDED_FOUND
    struct sl_forwarded:
        sl_addr client
        uint16_t port
    sl_forwarded_status sl_forwarded_read(const uint8_t *bytes, size_t length, sl_forwarded *out)
