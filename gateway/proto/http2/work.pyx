"""Buffers that all HTTP/2 connections of a worker share. See work.pxd."""

from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from gateway.proto.http2.budget cimport Budgets, budgets_are_low, budgets_floor, budgets_refill
from gateway.proto.http2.core cimport BLOCKS_SHARE, FRAMES_SHARE


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

    cdef void share(self, uint64_t turn, int32_t *frames, int32_t *blocks) noexcept:
        if turn != self.turn:
            self.turn, self.frames, self.blocks = turn, TURN_FRAMES, TURN_BLOCKS
        frames[0] = min(<int32_t> FRAMES_SHARE, max(self.frames, <int32_t> TURN_FRAMES_SURE))
        blocks[0] = min(<int32_t> BLOCKS_SHARE, max(self.blocks, <int32_t> TURN_BLOCKS_SURE))

    cdef void recall(self, uint64_t source, Budgets *budgets, uint64_t now) noexcept:
        cdef Remembered *known = &self.sources[source % SOURCES]
        if known.source == source:
            budgets[0] = known.budgets
            budgets_refill(budgets, now)
            budgets_floor(budgets)

    cdef void remember(self, uint64_t source, const Budgets *budgets) noexcept:
        cdef Remembered *known = &self.sources[source % SOURCES]
        if budgets_are_low(budgets):
            known.source, known.budgets = source, budgets[0]

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

    cdef int take(self, H2Stream *stream, Piece *pieces, uint32_t *total) noexcept:
        cdef uint32_t i = stream.first_slice
        cdef int count = 0
        stream.first_slice = stream.last_slice = 0
        while i:
            if self.slices[i].size:
                pieces[count].base = <void *> self.slices[i].data
                pieces[count].size = self.slices[i].size
                total[0] += self.slices[i].size
                count += 1
            i = self.slices[i].next
        return count

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
