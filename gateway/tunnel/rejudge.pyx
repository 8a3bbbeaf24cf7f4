"""Live tunnels are judged again under a new generation (DECISIONS.md section 5).

Judged is the original question: the same peer, user, target and inner name, the source's identity derived afresh. A
tunnel that the new policy denies ends as its admitting rule said (`onRevoke`), unless the rule that denies it says
otherwise; a hard deny always kills. Requests that are still opening are judged again likewise (opening.pyx), and so are
exchanges that have lasted (gateway/routing/standing.pyx). After the sweep nothing but young exchanges holds the old
generation any more, so its image is unmapped.
"""

cimport cython

from gateway.c.contract cimport (
    SL_DENY, SL_OUTCOME_REVOKED, SL_PHASE_NAME, SL_REASON_SOURCE_GONE, SL_REVOKE_DRAIN, SL_REVOKE_KILL,
)
from gateway.c.judge cimport SL_DECISION_PROVISIONAL, sl_deny, sl_judged_end
from gateway.c.segment cimport (
    SL_FAMILY_REJUDGED, SL_LOG_DECISION, SL_REJUDGED_ALLOWED, SL_REJUDGED_DRAINING, SL_REJUDGED_KEPT,
    SL_REJUDGED_KILLED,
)
from gateway.io.loop cimport Handler
from gateway.state.generation cimport Generation
from gateway.state.record cimport Record


cdef void note_rejudged(WorkerParts parts, int result) noexcept:
    parts.meter.labelled(SL_FAMILY_REJUDGED, result, 0, 0, 0)[0] += 1


@cython.final
cdef class Rejudge(Sweep):
    """One sweep after a load."""

    cdef void visit(self, Tunnel tunnel) noexcept:
        cdef Record record = tunnel.record
        cdef Generation before
        cdef sl_decision decision
        if record.generation is self.parts.generation:
            return
        before = record.generation
        record.stand(self.parts.generation, False)
        record.generation = self.parts.generation
        if record.revoked == SL_REASON_SOURCE_GONE:
            self.lose(tunnel)
            return
        record.pod = record.pod_under(record.generation)
        record.judge_again(before, &decision)
        if decision.flags & record.decision.flags & SL_DECISION_PROVISIONAL:
            record.decided(&decision)  # still waits for its inner name, now under this generation
            tunnel.rearm()             # whose timeouts may be others
        elif decision.verdict == SL_DENY:
            self.revoke(tunnel, &decision)
        else:
            note_rejudged(self.parts, SL_REJUDGED_ALLOWED)
            record.decided(&decision)
            tunnel.revoke_in(0)

    cdef void visit_opening(self, Handler request) noexcept:
        request.rejudge()

    cdef void lose(self, Tunnel tunnel) noexcept:
        """Ends a tunnel whose address is another pod's now, or none's, whatever its rule says of revocation."""
        cdef sl_decision gone
        sl_deny(&gone, SL_PHASE_NAME, SL_REASON_SOURCE_GONE)
        tunnel.record.decided(&gone)
        note_rejudged(self.parts, SL_REJUDGED_KILLED)
        tunnel.end(SL_OUTCOME_REVOKED, True)

    cdef void revoke(self, Tunnel tunnel, const sl_decision *decision) noexcept:
        """Ends a tunnel that is denied now, at once or later, or lets it be; each way leaves a log line."""
        cdef Record record = tunnel.record
        cdef unsigned way = sl_judged_end(&record.generation.image.image, decision, record.on_revoke)
        record.decided(decision)
        if way == SL_REVOKE_KILL:
            note_rejudged(self.parts, SL_REJUDGED_KILLED)
            tunnel.end(SL_OUTCOME_REVOKED, True)
            return
        record.write(SL_LOG_DECISION, SL_OUTCOME_REVOKED, 0, 0)
        if way == SL_REVOKE_DRAIN:
            note_rejudged(self.parts, SL_REJUDGED_DRAINING)
            tunnel.revoke_in(self.parts.settings.drain_time)
        else:
            note_rejudged(self.parts, SL_REJUDGED_KEPT)
            tunnel.revoke_in(0)
