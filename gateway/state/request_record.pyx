"""The facts of one HTTP request. See request_record.pxd: rules may ask for all that its head shows, in every phase."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.string cimport memset, strcmp

from gateway.c.contract cimport (
    SL_DENY, SL_PHASE_ADDRESS, SL_PHASE_NAME, SL_REASON_OTHER_WAY, SL_REASON_SPECIAL_PURPOSE,
)
from gateway.c.image cimport sl_image
from gateway.c.judge cimport (
    SL_DECISION_GUARD, SL_NEEDS_ADDRESS, SL_NEEDS_REQUEST, sl_denied_hard, sl_judge, sl_judged_tls,
    sl_judged_upstream, sl_question, sl_refused, sl_trail,
)
from gateway.state.generation cimport Generation
from gateway.tls.client cimport TlsClient


cdef bint is_same(const char *one, const char *other) noexcept:
    """Two texts of which each may be none."""
    if one is NULL or other is NULL:
        return one == other
    return strcmp(one, other) == 0


@cython.final
cdef class RequestRecord(Record):
    """Made when its head is whole, kept until its response is."""

    cdef void question(self, sl_question *out) noexcept:
        Record.question(self, out)
        out.request = self.parts.show(&self.message.head)

    cdef void stand(self, Generation now, bint opens) noexcept:
        Record.stand(self, now, opens)
        if self.inside is None or self.revoked:
            return
        if not self.inside.revoked:
            self.inside.stand(now, opens)
        self.revoked = self.inside.revoked

    cdef void aim(self, bytes name, const sl_addr *address, uint16_t port) noexcept:
        self.asked_name, self.asked_address, self.asked_port = self.name, self.address, self.port
        self.name, self.address, self.port = name, address[0], port

    cdef void judge_again(self, Generation before, sl_decision *out) noexcept:
        """The request that was asked, and the connection that it goes by: that leads to an address by now."""
        cdef const sl_image *image = &self.generation.image.image
        cdef sl_decision by_name, behind
        cdef sl_question question
        if self.asked_port and not self.may_still_ask(out):
            return
        self.question(&question)
        if self.name is None:
            sl_judge(image, &question, SL_PHASE_ADDRESS, NULL, out, NULL)
        else:
            sl_judge(image, &question, SL_PHASE_NAME, NULL, &by_name, NULL)
            out[0] = by_name
            if self.address.family and by_name.needs & SL_NEEDS_ADDRESS:
                sl_judge(image, &question, SL_PHASE_ADDRESS, &by_name, out, NULL)
                if (self.lifted and sl_refused(out) and out.flags & SL_DECISION_GUARD
                        and out.reason == SL_REASON_SPECIAL_PURPOSE):
                    out[0] = by_name
            elif self.address.family and sl_refused(out):  # a hard deny where it leads outranks that
                question.host, question.host_length = NULL, 0
                sl_judge(image, &question, SL_PHASE_ADDRESS, NULL, &behind, NULL)
                if sl_denied_hard(&behind):
                    out[0] = behind
        if out.verdict != SL_DENY and not self.keeps_way(before, out):
            out.verdict, out.reason, out.would_deny, out.needs = SL_DENY, SL_REASON_OTHER_WAY, False, 0

    cdef bint may_still_ask(self, sl_decision *out) noexcept:
        """Whether what was asked for before a route led elsewhere may be asked for still."""
        cdef sl_question question
        self.question(&question)
        question.host, question.host_length, question.address = NULL, 0, NULL
        question.port = self.asked_port
        if self.asked_name is None:
            question.address = &self.asked_address
            sl_judge(&self.generation.image.image, &question, SL_PHASE_ADDRESS, NULL, out, NULL)
        else:
            question.host = PyBytes_AS_STRING(self.asked_name)
            question.host_length = PyBytes_GET_SIZE(self.asked_name)
            sl_judge(&self.generation.image.image, &question, SL_PHASE_NAME, NULL, out, NULL)
        return not sl_refused(out)

    cdef bint keeps_way(self, Generation before, const sl_decision *now) noexcept:
        """A connection carries nothing that leads elsewhere: by another parent, or by other TLS."""
        cdef const sl_image *old = &before.image.image
        cdef const sl_image *new = &self.generation.image.image
        return (is_same(sl_judged_upstream(old, &self.decision), sl_judged_upstream(new, now))
                and is_same(sl_judged_tls(old, &self.decision), sl_judged_tls(new, now)))

    cdef void count_decision(self) noexcept:
        if not self.quiet:
            Record.count_decision(self)

    cdef TlsClient origination(self, const sl_decision *decision):
        if self.backend_tls is not None:
            return self.generation.backend_origination(self.backend_tls, self.message.head.upgrades)
        return self.generation.request_origination(decision, self.secure, self.message.head.upgrades)

    cdef bint originates(self, const sl_decision *decision) noexcept:
        if self.backend_tls is not None:
            return len(self.backend_tls) > 0
        return self.secure or sl_judged_tls(&self.generation.image.image, decision) is not NULL

    cdef bytes tls_mark(self, const sl_decision *decision):
        cdef TlsClient client = self.origination(decision)
        if client is None:  # without settings for TLS no connection in cleartext stands in for it
            return b"-" if self.secure or self.backend_tls else b""
        return client.digest

    cdef bint offers_http2(self, const sl_decision *decision) noexcept:
        cdef TlsClient client = self.origination(decision)
        return client is not None and client.offers_http2

    cdef bint asks_for_more(self) noexcept:
        cdef sl_question question
        cdef sl_decision decision
        cdef sl_trail trail
        cdef uint32_t i
        self.question(&question)
        question.request = NULL
        memset(&trail, 0, sizeof(trail))
        sl_judge(&self.generation.image.image, &question, SL_PHASE_ADDRESS, NULL, &decision, &trail)
        for i in range(trail.count):
            if trail.steps[i].unmet or trail.steps[i].condition:
                return True
        return decision.needs & SL_NEEDS_REQUEST or trail.total > trail.count

    cdef void begin_again(self) noexcept:
        self.upstream = self.upstream_tls = None
        if self.name is not None:
            self.address.family = 0
        self.dns_ms = self.dial_ms = -1
