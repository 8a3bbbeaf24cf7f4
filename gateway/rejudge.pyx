"""Live tunnels are judged again under a new generation (DECISIONS.md section 5).

Judged is what was asked then: the same peer, user, target and inner name, the source's identity derived afresh. A
tunnel that the new policy denies ends as its admitting rule said (`onRevoke`), unless the rule that denies it says
otherwise; a hard deny always kills. Requests that are still opening are judged again likewise (opening.pyx). After the
sweep nothing holds the old generation any more, so its image is unmapped.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memset

from gateway.csrc cimport (
    SL_DECISION_LOOK_INSIDE, SL_DECISION_PENDING, SL_DECISION_PROVISIONAL, SL_DENY, SL_FAMILY_REJUDGED,
    SL_LOG_DECISION, SL_NO_RULE, SL_OUTCOME_REVOKED, SL_PHASE_DELEGATED, SL_PHASE_INNER, SL_PHASE_NAME,
    SL_REASON_OTHER_WAY, SL_REASON_UNAUTHORIZED,
    SL_REJUDGED_ALLOWED, SL_REJUDGED_DRAINING, SL_REJUDGED_KEPT, SL_REJUDGED_KILLED, SL_REVOKE_DRAIN, SL_REVOKE_KILL,
    SL_SEC_RULES, SL_TIER_HARD_DENY, sl_decide_address, sl_decide_inner, sl_decide_name, sl_decision_upstream,
    sl_image, sl_image_record, sl_rule, sl_source_user,
)


cdef class Rejudge(Sweep):
    """One sweep after a load."""

    cdef void visit(self, Tunnel tunnel) noexcept:
        cdef Record record = tunnel.record
        cdef sl_decision decision
        cdef bint same
        if record.generation is self.context.generation:
            return
        same = record.same_login(self.context.generation)
        record.generation = self.context.generation
        self.judge(record, &decision)
        if not same:
            memset(&decision, 0, sizeof(decision))
            decision.phase, decision.reason = SL_PHASE_NAME, SL_REASON_UNAUTHORIZED
        self.compare_ways(record, &decision)
        if decision.flags & record.decision.flags & SL_DECISION_PROVISIONAL:
            record.decided(&decision)  # still waits for its inner name, now under this generation
            tunnel.rearm()             # whose timeouts may be others
        elif decision.verdict == SL_DENY:
            self.revoke(tunnel, &decision)
        else:
            self.note(SL_REJUDGED_ALLOWED)
            record.decided(&decision)
            tunnel.revoke_in(0)

    cdef void visit_opening(self, Tunnel request) noexcept:
        request.rejudge_opening()

    cdef void note(self, int result) noexcept:
        self.context.labelled(SL_FAMILY_REJUDGED, result, 0, 0, 0)[0] += 1

    cdef void judge(self, Record record, sl_decision *out) noexcept:
        """What a request like this one would be answered now."""
        cdef const sl_image *image = &record.generation.image.image
        cdef sl_decision by_name, by_address
        cdef const char *namespace = NULL
        cdef const char *account = NULL
        cdef bint own = False
        cdef bint audit = self.context.listener_audits(record.listener)
        if record.user is not None and not sl_source_user(image, PyBytes_AS_STRING(record.user), &namespace, &account):
            memset(out, 0, sizeof(out[0]))
            out.phase, out.reason = SL_PHASE_NAME, SL_REASON_UNAUTHORIZED
            return
        record.resolve_source()
        if record.address.family:
            own = self.context.routes.is_own(image, &record.address, record.port, None)
        if record.name is not None:
            sl_decide_name(image, &self.context.source, PyBytes_AS_STRING(record.name), PyBytes_GET_SIZE(record.name),
                           record.port, audit, &by_name, NULL)
            if by_name.verdict == SL_DENY and not by_name.flags & SL_DECISION_PENDING:
                out[0] = by_name
                return
            if record.address.family == 0 and by_name.phase != SL_PHASE_DELEGATED:
                out[0] = by_name  # a parent resolved it: there is no address that could be judged
                out.verdict, out.reason = SL_DENY, SL_REASON_OTHER_WAY
                return
            sl_decide_address(image, &self.context.source, &by_name, &record.address, record.port, own, audit, out,
                              NULL)
            return
        sl_decide_address(image, &self.context.source, NULL, &record.address, record.port, own, audit, out, NULL)
        if record.names_itself:
            by_address = out[0]
            sl_decide_inner(image, &self.context.source, &by_address, PyBytes_AS_STRING(record.inner),
                            PyBytes_GET_SIZE(record.inner), record.port, audit, out, NULL)

    cdef void compare_ways(self, Record record, sl_decision *decision) noexcept:
        """A tunnel cannot change its way: what is allowed only through another parent, or none, is denied to it."""
        cdef const char *upstream = sl_decision_upstream(&record.generation.image.image, decision)
        if decision.verdict == SL_DENY:
            return
        if decision.phase == SL_PHASE_INNER and decision.flags & SL_DECISION_LOOK_INSIDE:
            return  # the address passed by a default, which leads directly; the rule only reports the name
        if (record.upstream is None) != (upstream is NULL) or (upstream is not NULL and record.upstream != upstream):
            decision.verdict, decision.reason, decision.would_deny = SL_DENY, SL_REASON_OTHER_WAY, False

    cdef void revoke(self, Tunnel tunnel, const sl_decision *decision) noexcept:
        """Ends a tunnel that is denied now, at once or later, or lets it be; each way leaves a log line."""
        cdef Record record = tunnel.record
        cdef const sl_rule *rule = NULL
        cdef int way = record.on_revoke
        if decision.rule != SL_NO_RULE:
            rule = <const sl_rule *> sl_image_record(&record.generation.image.image, SL_SEC_RULES, decision.rule)
        if decision.tier == SL_TIER_HARD_DENY:
            way = SL_REVOKE_KILL
        elif rule is not NULL and rule.on_revoke_set:
            way = rule.on_revoke
        record.decided(decision)
        if way == SL_REVOKE_KILL:
            self.note(SL_REJUDGED_KILLED)
            tunnel.end(SL_OUTCOME_REVOKED, True)
            return
        record.write(SL_LOG_DECISION, SL_OUTCOME_REVOKED, 0, 0)
        if way == SL_REVOKE_DRAIN:
            self.note(SL_REJUDGED_DRAINING)
            tunnel.revoke_in(self.context.drain_time)
        else:
            self.note(SL_REJUDGED_KEPT)
            tunnel.revoke_in(0)
