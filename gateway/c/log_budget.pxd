# csrc/base/log_budget.h, as Cython sees it.
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "base/log_budget.h" nogil:
    struct sl_log_budget:
        pass
    int sl_log_budget_take(sl_log_budget *budget, uint64_t source, uint64_t now_ms, uint32_t *suppressed)
