"""Whether a request that is at its origin still stands under a generation that has come. See standing.pxd.

As for tunnels (gateway/tunnel/rejudge.pyx): the rule that admitted it says what its denial comes to, unless the rule
that denies it says otherwise; a hard deny always ends it, and so does another pod at the source's address.
"""

from gateway.c.contract cimport SL_DENY, SL_REVOKE_DRAIN, SL_REVOKE_KILL
from gateway.c.judge cimport sl_decision
from gateway.state.request_record cimport RequestRecord
from gateway.tunnel.rejudge cimport judge_standing, take_standing


cdef Standing standing_of(Approach approach) noexcept:
    cdef RequestRecord record = approach.record
    cdef sl_decision decision
    cdef unsigned way
    if not record.weighed:  # as it was admitted
        record.weighed = True
        record.admitted()
    way = judge_standing(record, approach.parts.generation, &decision)
    take_standing(record, &decision, way)
    if decision.verdict == SL_DENY and way == SL_REVOKE_KILL:
        return STANDING_ENDS
    return STANDING_DRAINS if decision.verdict == SL_DENY and way == SL_REVOKE_DRAIN else STANDING_STAYS
