"""The sum of several decisions about one request. See verdicts.pxd."""

from libc.string cimport strcmp

from gateway.c.judge cimport SL_DECISION_PROVISIONAL, sl_judged_tls, sl_judged_upstream
from gateway.c.refusals cimport sl_refusals_add, sl_refusals_outcome
from gateway.parent.source_pool cimport SourcePool


cdef void add_refusal(Refusals *refusals, const sl_decision *decision) noexcept:
    sl_refusals_add(refusals, decision)


cdef int refusal_outcome(const Refusals *refusals) noexcept:
    return sl_refusals_outcome(refusals)


cdef bint same_way(Generation before, const sl_decision *one, Generation after, const sl_decision *other):
    cdef const char *old = sl_judged_upstream(&before.image.image, one)
    cdef const char *new = sl_judged_upstream(&after.image.image, other)
    cdef const char *old_tls = sl_judged_tls(&before.image.image, one)
    cdef const char *new_tls = sl_judged_tls(&after.image.image, other)
    cdef SourcePool source = before.pool(one), other_source = after.pool(other)
    if (old is NULL) != (new is NULL) or (old is not NULL and strcmp(old, new) != 0):
        return False
    if (old_tls is NULL) != (new_tls is NULL) or (old_tls is not NULL and strcmp(old_tls, new_tls) != 0):
        return False
    if (one.flags ^ other.flags) & SL_DECISION_PROVISIONAL or (source is None) != (other_source is None):
        return False
    return source is None or source.addresses == other_source.addresses
