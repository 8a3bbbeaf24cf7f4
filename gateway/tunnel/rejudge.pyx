"""Live tunnels are judged again under a new generation (DECISIONS.md section 5).

Judged is the original question: the same peer, user, target and inner name, the source's identity derived afresh. A
tunnel that the new policy denies ends as its admitting rule said (`onRevoke`), unless the rule that denies it says
otherwise; a hard deny always kills. Requests that are still opening are judged again likewise (opening.pyx), and so are
exchanges that have lasted (gateway/routing/standing.pyx). After the sweep nothing but young exchanges holds the old
generation any more, so its image is unmapped.
"""

cimport cython

from gateway.c.contract cimport (
    SL_DENY, SL_OUTCOME_REVOKED, SL_PHASE_NAME, SL_REASON_SOURCE_GONE, SL_REVOKE_DRAIN, SL_REVOKE_KEEP,
    SL_REVOKE_KILL,
)
from gateway.c.judge cimport SL_DECISION_PROVISIONAL, sl_deny, sl_judged_end
from gateway.c.segment cimport (
    SL_FAMILY_REJUDGED, SL_LOG_DECISION, SL_REJUDGED_ALLOWED, SL_REJUDGED_DRAINING, SL_REJUDGED_KEPT,
    SL_REJUDGED_KILLED,
)
from gateway.io.loop cimport Handler


cdef unsigned judge_standing(Record record, Generation now, sl_decision *decision) noexcept:
    cdef Generation before = record.generation
    record.stand(now, False)
    record.generation = now
    if record.revoked == SL_REASON_SOURCE_GONE:
        sl_deny(decision, SL_PHASE_NAME, SL_REASON_SOURCE_GONE)
        return SL_REVOKE_KILL
    record.pod = record.pod_under(now)
    record.judge_again(before, decision)
    return sl_judged_end(&now.image.image, decision, record.on_revoke)


cdef void take_standing(Record record, const sl_decision *decision, unsigned way) noexcept:
    cdef int result = SL_REJUDGED_KEPT
    record.decided(decision)
    if decision.verdict != SL_DENY:
        result = SL_REJUDGED_ALLOWED
    elif way == SL_REVOKE_KILL:
        result = SL_REJUDGED_KILLED
    else:
        record.write(SL_LOG_DECISION, SL_OUTCOME_REVOKED, 0, 0)
        if way == SL_REVOKE_DRAIN:
            result = SL_REJUDGED_DRAINING
    record.parts.meter.labelled(SL_FAMILY_REJUDGED, result, 0, 0, 0)[0] += 1


@cython.final
cdef class Rejudge(Sweep):
    """One sweep after a load."""

    cdef void visit(self, Tunnel tunnel) noexcept:
        cdef Record record = tunnel.record
        cdef sl_decision decision
        cdef unsigned way
        if record.generation is self.parts.generation:
            return
        way = judge_standing(record, self.parts.generation, &decision)
        if decision.flags & record.decision.flags & SL_DECISION_PROVISIONAL:
            record.decided(&decision)  # still waits for its inner name, now under this generation
            tunnel.rearm()             # whose timeouts may be others
            return
        take_standing(record, &decision, way)
        if decision.verdict != SL_DENY or way == SL_REVOKE_KEEP:
            tunnel.revoke_in(0)
        elif way == SL_REVOKE_DRAIN:
            tunnel.revoke_in(self.parts.settings.drain_time)
        else:
            tunnel.end(SL_OUTCOME_REVOKED, True)

    cdef void visit_opening(self, Handler request) noexcept:
        request.rejudge()
