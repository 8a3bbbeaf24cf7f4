# csrc/bytes/addr.h, as Cython sees it.
from libc.stdint cimport uint16_t, uint8_t
from gateway.c.socket cimport sockaddr, sockaddr_storage, socklen_t

cdef extern from "bytes/addr.h" nogil:
    enum:
        SL_ADDR_TEXT
    struct sl_addr:
        uint8_t bytes[16]
        uint8_t family
    struct sl_prefix:
        sl_addr addr
        uint8_t length

    int sl_addr_parse(const char *text, size_t length, sl_addr *out)
    size_t sl_addr_format(const sl_addr *addr, char *out)
    int sl_addr_from_sockaddr(const sockaddr *sa, sl_addr *out, uint16_t *port)
    socklen_t sl_addr_to_sockaddr(const sl_addr *addr, uint16_t port, sockaddr_storage *out)
    int sl_prefix_contains(const sl_prefix *prefix, const sl_addr *addr)
    int sl_prefix_parse(const char *text, size_t length, sl_prefix *out)
    int sl_guard_reason(const sl_addr *addr, sl_prefix *block)
    int sl_guard_block(unsigned i, sl_prefix *out, int *reason)
    int sl_guard_reason_liftable(int reason)
    int sl_guard_liftable(const sl_prefix *prefix)
    int sl_nat64_embedded(const sl_addr *addr, uint8_t prefix_length, sl_addr *out)
    int sl_addr_embedded(const sl_addr *addr, sl_addr *out)
    int sl_prefix_is_nat64(const sl_prefix *prefix)
