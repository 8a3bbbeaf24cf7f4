"""Content of a known length on its way from a leg through a pipe. See bulk.pxd, and csrc/relay/relay.h for tunnels."""

from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint64_t

from gateway.c.leg cimport sl_leg_into_pipe, sl_leg_out_of_pipe
from gateway.c.pipe_pool cimport sl_pipe_give, sl_pipe_take

cdef enum:
    LEAN = 16384               # bytes: to splice fewer costs more than to copy them
    LEAN_MOST = 2              # in a row before it copies


cdef void bulk_begin(Bulk *bulk, sl_pipe_pool *pool) noexcept:
    bulk.on = True
    bulk.lean = 0
    pool.counts.begun += 1


cdef BulkStep bulk_load(Bulk *bulk, sl_pipe_pool *pool, sl_leg *leg, uint64_t *left, bint urgent,
                        size_t *total) noexcept:
    cdef ssize_t filled
    if bulk.pipe is not NULL and bulk.pipe.held:
        return BULK_FILLED
    if urgent:
        bulk_end(bulk, pool)
        return BULK_COPIES
    if bulk.pipe is NULL:
        bulk.pipe = sl_pipe_take(pool)
    if bulk.pipe is NULL:
        bulk_end(bulk, pool)
        return BULK_COPIES
    filled = sl_leg_into_pipe(leg, bulk.pipe, <size_t> min(left[0], <uint64_t> bulk.pipe.size))
    if filled > 0:
        bulk.lean = 0 if filled >= LEAN else bulk.lean + 1
        left[0] -= <uint64_t> filled
        total[0] += <size_t> filled
        return BULK_FILLED
    if filled < 0 and errno == EAGAIN and bulk.lean < LEAN_MOST:
        sl_pipe_give(pool, bulk.pipe)  # none is held while nothing comes
        bulk.pipe = NULL
        return BULK_DRY
    bulk_end(bulk, pool)
    return BULK_COPIES


cdef void bulk_end(Bulk *bulk, sl_pipe_pool *pool) noexcept:
    if bulk.on:
        pool.counts.ended += 1
    bulk.on = False
    if bulk.pipe is not NULL:
        sl_pipe_give(pool, bulk.pipe)
        bulk.pipe = NULL


cdef ssize_t bulk_send(sl_pipe *pipe, sl_leg *leg) noexcept:
    cdef ssize_t total = 0, sent
    while pipe.held:
        sent = sl_leg_out_of_pipe(leg, pipe, pipe.held, False)
        if sent < 0:
            return total if errno == EAGAIN else -1
        total += sent
    return total
