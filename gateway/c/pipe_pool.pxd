# csrc/relay/pipe_pool.h, as Cython sees it.
from libc.stdint cimport uint32_t, uint64_t, uint8_t

cdef extern from "relay/pipe_pool.h" nogil:
    enum:
        SL_PIPE_SIZE
        SL_PIPE_LEAST
    struct sl_pipe_counts:
        uint64_t idle
        uint64_t busy
        uint64_t refused
        uint64_t begun
        uint64_t ended
    struct sl_pipe:
        uint32_t size
        uint32_t held
    struct sl_pipe_pool:
        sl_pipe_counts *counts
        uint32_t most
        uint32_t rest
    void sl_pipe_pool_init(sl_pipe_pool *pool, sl_pipe_counts *counts, uint32_t most)
    void sl_pipe_pool_limit(sl_pipe_pool *pool, uint32_t most)
    void sl_pipe_pool_free(sl_pipe_pool *pool)
    sl_pipe *sl_pipe_take(sl_pipe_pool *pool)
    void sl_pipe_give(sl_pipe_pool *pool, sl_pipe *pipe)
    ssize_t sl_pipe_fill(sl_pipe *pipe, int source, size_t most)
    ssize_t sl_pipe_drain(sl_pipe *pipe, int sink, size_t most, int more)
    ssize_t sl_pipe_read(sl_pipe *pipe, uint8_t *out, size_t most)
    ssize_t sl_pipe_put(sl_pipe_pool *pool, sl_pipe *pipe, const uint8_t *data, size_t length)
    ssize_t sl_pipe_move(sl_pipe *source, sl_pipe *target, size_t most)
    bint sl_pipe_unfit(int error)
