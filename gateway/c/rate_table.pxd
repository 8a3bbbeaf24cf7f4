# csrc/shared/rate_table.h, as Cython sees it.
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "shared/rate_table.h" nogil:
    enum:
        SL_RATES_SIZE
    struct sl_rates:
        pass

    int sl_rates_attach(sl_rates *rates, void *memory, size_t size)
    int sl_rates_take(const sl_rates *rates, uint64_t source, uint32_t per_second, uint64_t now)
