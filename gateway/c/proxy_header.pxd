# csrc/bytes/proxy_header.h, as Cython sees it.
from libc.stdint cimport uint8_t, uint16_t

from gateway.c.addr cimport sl_addr

cdef extern from "bytes/proxy_header.h" nogil:
    enum:
        SL_PROXY_HEADER_MOST
        SL_PROXY_OUT_MOST
    enum sl_proxy_status:
        SL_PROXY_BROKEN
        SL_PROXY_MORE
        SL_PROXY_DONE
    struct sl_proxy_header:
        sl_addr source
        uint16_t port
        size_t length
    size_t sl_proxy_header_write(const sl_addr *source, uint16_t source_port, const sl_addr *target,
                                 uint16_t target_port, uint8_t *out)
    int sl_proxy_header_identity(const uint8_t *header, size_t length, const char **identity, size_t *identity_length)
    sl_proxy_status sl_proxy_header_read(const uint8_t *data, size_t length, sl_proxy_header *out)
