# csrc/policy/refusals.h, as Cython sees it.
from libc.stdint cimport uint8_t

from gateway.c.judge cimport sl_decision

cdef extern from "policy/refusals.h" nogil:
    struct sl_refusals:
        sl_decision told
        uint8_t any
        uint8_t guarded

    bint sl_refusals_add(sl_refusals *refusals, const sl_decision *decision)
    unsigned sl_refusals_outcome(const sl_refusals *refusals)
