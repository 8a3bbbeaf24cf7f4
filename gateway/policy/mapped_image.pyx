"""A policy image as memory: mapped read-only from a sealed descriptor, and checked before any look-up.

What it says is image.pyx's. A large image can be checked in steps, so that no turn of a worker grows long.
"""

import fcntl
import os

from libc.string cimport memset
from posix.mman cimport MAP_FAILED, MAP_SHARED, PROT_READ, mmap

from gateway.c.image cimport (
    SL_IMAGE_INTERNAL, SL_IMAGE_OK, sl_image_open, sl_image_open_begin, sl_image_open_end, sl_image_open_step,
    sl_image_status, sl_image_status_text, sl_image_validate,
)
from gateway.policy.mapping cimport give_back, give_back_some


class PolicyImageError(ValueError):
    """A policy image that cannot be used; the text says why."""


cdef class MappedImage:
    """A mapped image. Make one with from_fd(); close() unmaps it, as does the end of the object."""

    def __dealloc__(self):
        self.unmap()

    cdef void unmap(self) noexcept:
        memset(&self.image, 0, sizeof(self.image))
        give_back(&self.mapping, self.mapped)

    cdef bint unmap_step(self, size_t most) noexcept:
        """Unmaps `most` bytes more, a multiple of a page's; True once nothing is left. It answers nothing more."""
        memset(&self.image, 0, sizeof(self.image))
        return give_back_some(&self.mapping, &self.mapped, most)

    @classmethod
    def from_fd(cls, int fd, *, bint sealed=True, bint validate=False):
        """Maps the image a descriptor holds; the descriptor may be closed afterwards.

        `sealed`: refuse one that could still be changed. `validate`: check every record, not only header and checksum.
        Raises PolicyImageError, OSError.
        """
        cdef MappedImage self = cls.__new__(cls)
        cdef sl_image_status status = SL_IMAGE_INTERNAL
        cdef char where[64]
        self.map(fd, sealed)
        where[0] = 0
        with nogil:
            if validate:
                status = sl_image_validate(self.mapping, self.mapped, &self.image, where)
            else:
                status = sl_image_open(self.mapping, self.mapped, &self.image)
        if status != SL_IMAGE_OK:
            self.refuse(status, where.decode("ascii"))
        return self

    @classmethod
    def begin(cls, int fd):
        """As from_fd, but what takes time is left to open_step: nothing can be asked before it says that it is done."""
        cdef MappedImage self = cls.__new__(cls)
        cdef sl_image_status status
        self.map(fd, True)
        status = sl_image_open_begin(self.mapping, self.mapped, &self.opening)
        if status != SL_IMAGE_OK:
            self.refuse(status, "")
        return self

    cdef bint open_step(self, size_t most) except -1:
        """Checks about `most` bytes more; True once the image can be asked. Raises PolicyImageError."""
        cdef sl_image_status status
        if not sl_image_open_step(&self.opening, most):
            return False
        status = sl_image_open_end(&self.opening, &self.image)
        if status != SL_IMAGE_OK:
            self.refuse(status, "")
        return True

    cdef int map(self, int fd, bint sealed) except -1:
        cdef int seals
        cdef int wanted = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
        if sealed:
            try:
                seals = fcntl.fcntl(fd, fcntl.F_GET_SEALS)
            except OSError:
                raise PolicyImageError("the policy image is not in a memfd") from None
            if seals & wanted != wanted:
                raise PolicyImageError("the policy image is not sealed")
        size = os.fstat(fd).st_size
        if size == 0:
            raise PolicyImageError("the policy image is empty")
        self.mapped = size
        self.mapping = mmap(NULL, self.mapped, PROT_READ, MAP_SHARED, fd, 0)
        if self.mapping == MAP_FAILED:
            self.mapping = NULL
            raise OSError("the policy image cannot be mapped")
        return 0

    cdef int refuse(self, sl_image_status status, str place) except -1:
        """Unmaps, and raises what `status` means."""
        self.unmap()
        text = sl_image_status_text(status).decode("ascii")
        raise PolicyImageError(f"the policy image is not usable: {text}{f' ({place})' if place else ''}")

    def close(self):
        """Unmaps the image; nothing can be asked afterwards."""
        self.unmap()

    @property
    def closed(self):
        return self.image.base is NULL

    @property
    def size(self):
        """Bytes of the image."""
        return self.image.size

    cdef int need_open(self) except -1:
        if self.image.base is NULL:
            raise PolicyImageError("the policy image is closed")
        return 0
