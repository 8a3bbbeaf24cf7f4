"""Buffers that all HTTP/2 connections of a worker share. See h2_work.pxd."""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc


cdef class H2Work:
    """Made with the first HTTP/2 connection of a worker. What is never touched of it takes no memory."""

    def __cinit__(self):
        self.input = <uint8_t *> malloc(INPUT_SIZE)
        self.output = <uint8_t *> malloc(OUTPUT_SIZE)
        if self.input is NULL or self.output is NULL:
            raise MemoryError
        self.used = 1

    def __dealloc__(self):
        free(self.input)
        free(self.output)

    cdef bint add(self, H2Stream *stream, const uint8_t *data, uint32_t size) noexcept:
        cdef Slice *slice
        if self.used == SLICES or self.touches == SLICES:
            return False
        slice = &self.slices[self.used]
        slice.data, slice.size, slice.next = data, size, 0
        if stream.first_slice:
            self.slices[stream.last_slice].next = self.used
        else:
            stream.first_slice = self.used
            self.touched[self.touches] = stream
            self.touches += 1
        stream.last_slice = self.used
        self.used += 1
        return True

    cdef uint32_t forget(self, H2Stream *stream) noexcept:
        cdef uint32_t i = stream.first_slice
        cdef uint32_t size = 0
        if i == 0:
            return 0
        while i:
            size += self.slices[i].size
            i = self.slices[i].next
        for i in range(self.touches):
            if self.touched[i] is stream:
                self.touched[i] = NULL
        stream.first_slice = stream.last_slice = 0
        return size
