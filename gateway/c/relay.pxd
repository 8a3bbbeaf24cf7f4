# csrc/relay/relay.h, as Cython sees it.
from libc.stdint cimport uint32_t, uint64_t, uint8_t
from gateway.c.leg cimport sl_leg
from gateway.c.pipe_pool cimport sl_pipe, sl_pipe_pool

cdef extern from "relay/relay.h" nogil:
    enum sl_pump_status:
        SL_PUMP_INTERNAL
        SL_PUMP_DRY
        SL_PUMP_FULL
        SL_PUMP_BUDGET
        SL_PUMP_DONE
        SL_PUMP_SOURCE_RESET
        SL_PUMP_SINK_RESET
    enum sl_way:
        SL_COPYING
        SL_SPLICING
        SL_COPY_ONLY
    struct sl_direction:
        sl_pipe_pool *pool
        sl_pipe *pipe
        uint8_t *pending
        uint32_t pending_from
        uint32_t pending_to
        uint64_t bytes
        uint32_t answers
        uint8_t ended
        uint8_t done
        uint8_t hangup
        uint8_t urgent
        uint8_t last
        uint8_t way
        uint8_t lean

    bint sl_direction_waits(const sl_direction *direction)
    int sl_direction_preload(sl_direction *direction, const uint8_t *data, size_t length)
    int sl_direction_answer(sl_direction *direction, const uint8_t *data, size_t length)
    sl_pump_status sl_pump(sl_direction *direction, sl_leg *source, sl_leg *sink, uint8_t *scratch, size_t scratch_size,
                           size_t budget)
    int sl_direction_unpipe(sl_direction *direction)
    void sl_direction_free(sl_direction *direction)
