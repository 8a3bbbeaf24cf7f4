# csrc/bytes/dns_answer.h, as Cython sees it.
from libc.stdint cimport uint32_t, uint8_t
from gateway.c.addr cimport sl_addr

cdef extern from "bytes/dns_answer.h" nogil:
    enum:
        SL_DNS_ADDRESSES
        SL_DNS_A
        SL_DNS_AAAA
    enum sl_dns_status:
        SL_DNS_MALFORMED
        SL_DNS_FOUND
        SL_DNS_NONE
        SL_DNS_REFUSED
    struct sl_dns_answer:
        sl_addr addresses[32]
        unsigned count
        uint32_t ttl

    sl_dns_status sl_dns_answer_read(const uint8_t *data, size_t length, const char *name, size_t name_length,
                                     unsigned type, sl_dns_answer *out)
