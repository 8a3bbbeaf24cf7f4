# A policy image as memory: mapped, checked, unmapped.
from gateway.c.image cimport sl_image, sl_image_opening, sl_image_status

cdef class MappedImage:
    cdef sl_image image        # the argument of C functions; base is NULL once closed
    cdef sl_image_opening opening
    cdef void *mapping
    cdef size_t mapped         # bytes

    cdef void unmap(self) noexcept
    cdef bint unmap_step(self, size_t most) noexcept
    cdef int map(self, int fd, bint sealed) except -1
    cdef int refuse(self, sl_image_status status, str place) except -1
    cdef bint open_step(self, size_t most) except -1
    cdef int need_open(self) except -1
