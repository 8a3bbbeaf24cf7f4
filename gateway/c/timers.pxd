# csrc/base/timers.h, as Cython sees it.
from libc.stdint cimport uint64_t

cdef extern from "base/timers.h" nogil:
    enum:
        SL_TIMER_TICK_MS
    struct sl_timer:
        sl_timer *next
        sl_timer **link
        uint64_t at
        void *owner
    struct sl_wheel:
        uint64_t tick
        uint64_t count

    void sl_wheel_init(sl_wheel *wheel, uint64_t now)
    void sl_wheel_set(sl_wheel *wheel, sl_timer *timer, uint64_t at)
    void sl_wheel_cancel(sl_wheel *wheel, sl_timer *timer)
    sl_timer *sl_wheel_take(sl_wheel *wheel, uint64_t now)
    int sl_wheel_wait(const sl_wheel *wheel, uint64_t now)
