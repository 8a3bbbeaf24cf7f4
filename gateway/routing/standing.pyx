"""Whether a request that is at its origin still stands under a generation that has come. See standing.pxd.

As for tunnels (gateway/tunnel/rejudge.pyx): the rule that admitted it says what its denial comes to, unless the rule
that denies it says otherwise; a hard deny always ends it, and so does another pod at the source's address.
"""

from gateway.c.contract cimport (
    SL_DENY, SL_OUTCOME_REVOKED, SL_PHASE_NAME, SL_REASON_SOURCE_GONE, SL_REVOKE_DRAIN, SL_REVOKE_KILL,
)
from gateway.c.judge cimport sl_decision, sl_deny, sl_judged_end
from gateway.c.segment cimport (
    SL_LOG_DECISION, SL_REJUDGED_ALLOWED, SL_REJUDGED_DRAINING, SL_REJUDGED_KEPT, SL_REJUDGED_KILLED,
)
from gateway.state.generation cimport Generation
from gateway.state.request_record cimport RequestRecord
from gateway.tunnel.rejudge cimport note_rejudged


cdef Standing standing_of(Approach approach) noexcept:
    cdef RequestRecord record = approach.record
    cdef Generation before = record.generation
    cdef sl_decision decision
    cdef unsigned way
    if not record.weighed:  # as it was admitted
        record.weighed = True
        record.admitted()
    record.stand(approach.parts.generation, False)
    record.generation = approach.parts.generation
    if record.revoked == SL_REASON_SOURCE_GONE:
        sl_deny(&decision, SL_PHASE_NAME, SL_REASON_SOURCE_GONE)
        way = SL_REVOKE_KILL
    else:
        record.pod = record.pod_under(record.generation)
        record.judge_again(before, &decision)
        way = sl_judged_end(&record.generation.image.image, &decision, record.on_revoke)
    record.decided(&decision)
    if decision.verdict != SL_DENY:
        note_rejudged(approach.parts, SL_REJUDGED_ALLOWED)
        return STANDING_STAYS
    if way == SL_REVOKE_KILL:
        note_rejudged(approach.parts, SL_REJUDGED_KILLED)
        return STANDING_ENDS
    record.write(SL_LOG_DECISION, SL_OUTCOME_REVOKED, 0, 0)
    note_rejudged(approach.parts, SL_REJUDGED_DRAINING if way == SL_REVOKE_DRAIN else SL_REJUDGED_KEPT)
    return STANDING_DRAINS if way == SL_REVOKE_DRAIN else STANDING_STAYS
