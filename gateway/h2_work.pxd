# Buffers that all HTTP/2 connections of a worker share: what one of them reads or writes in one step.
from libc.stdint cimport uint8_t, uint32_t

from gateway.h2_streams cimport H2Stream

cdef enum:
    INPUT_SIZE = 262144        # one recv() from a client: the larger, the fewer sendmsg() to the origins
    OUTPUT_SIZE = 327680       # frames of one send() to a client
    SLICES = 1024              # pieces of DATA in one input that are not put out yet; number 0 is none

# A piece of one stream's DATA, where it lies in the input.
cdef struct Slice:
    const uint8_t *data
    uint32_t size
    uint32_t next              # of the same stream; 0 for none

cdef class H2Work:
    cdef uint8_t *input
    cdef uint8_t *output
    cdef Slice slices[SLICES]
    cdef uint32_t used         # slices
    cdef H2Stream *touched[SLICES]  # streams with slices, or with an end to be carried through
    cdef uint32_t touches

    # Adds a piece to what waits for `stream`; False when there is no room. A size of 0 only touches it.
    cdef bint add(self, H2Stream *stream, const uint8_t *data, uint32_t size) noexcept
    # `stream` is no more. Answers the bytes that waited for it.
    cdef uint32_t forget(self, H2Stream *stream) noexcept
