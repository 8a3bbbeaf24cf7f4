# csrc/bytes/spiffe.h, as Cython sees it.

cdef extern from "bytes/spiffe.h" nogil:
    struct sl_spiffe:
        const char *domain
        size_t domain_length
        const char *namespace_
        size_t namespace_length
        const char *account
        size_t account_length
    int sl_spiffe_read(const char *id, size_t length, sl_spiffe *out)
