# One policy image, mapped read-only, and the answers it gives.
from libc.stdint cimport uint32_t

from gateway.csrc cimport (
    sl_addr, sl_image, sl_image_opening, sl_image_status, sl_source, sl_trail, sl_trail_step,
)

cdef class PolicyImage:
    cdef sl_image image        # what C functions take; base is NULL once closed
    cdef sl_image_opening opening
    cdef void *mapping
    cdef size_t mapped         # bytes

    cdef void unmap(self) noexcept
    cdef int map(self, int fd, bint sealed) except -1
    cdef int refuse(self, sl_image_status status, str place) except -1
    cdef bint open_step(self, size_t most) except -1
    cdef int need_open(self) except -1
    cdef object rule_brief(self, uint32_t index)
    cdef object source_addresses(self, uint32_t index)
    cdef object resolve(self, sl_source *out, const sl_addr *peer, namespace, service_account, identity, user)
    cdef object trail(self, const sl_trail *trail, str host, const sl_addr *addr)
    cdef str match_text(self, const sl_trail_step *step, str host, const sl_addr *addr)
    cdef str selector_text(self, uint32_t index)
