# Content of a known length on its way from a leg to another one through a pipe: no byte leaves the leg that does not
# belong to it. A part of the object that reads the leg; zeroed, it copies.
from libc.stdint cimport uint8_t, uint64_t

from gateway.c.leg cimport sl_leg
from gateway.c.pipe_pool cimport sl_pipe, sl_pipe_pool

cdef enum:
    BULK_LEAST = 262144        # bytes that are left of content for which a pipe is worth its system calls

cdef enum BulkStep:
    BULK_COPIES = 0            # receive as always: there is no pipe, or a receive alone tells how the leg stands
    BULK_FILLED = 1            # the pipe holds some
    BULK_DRY = 2               # an edge follows

cdef struct Bulk:
    sl_pipe *pipe              # NULL: none
    uint8_t on                 # bool: content is to go through a pipe
    uint8_t lean               # fillings in a row that found little

cdef void bulk_begin(Bulk *bulk, sl_pipe_pool *pool) noexcept
# Fills the pipe where it is empty with up to `left` bytes, which are as many fewer, and `total` as many more. `urgent`:
# out-of-band data lie ahead, which a receive alone finds.
cdef BulkStep bulk_load(Bulk *bulk, sl_pipe_pool *pool, sl_leg *leg, uint64_t *left, bint urgent,
                        size_t *total) noexcept
# It copies from now on. A pipe that holds something goes nowhere any more: no other connection gets what is in it.
cdef void bulk_end(Bulk *bulk, sl_pipe_pool *pool) noexcept
# Sends what a pipe holds; how much has left, -1 with errno for a leg that failed. Less than it held: an edge follows.
cdef ssize_t bulk_send(sl_pipe *pipe, sl_leg *leg) noexcept
