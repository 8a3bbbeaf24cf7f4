"""The facts of one HTTP request. See request_record.pxd: rules may ask for all that its head shows, in every phase."""

cimport cython
from libc.stdint cimport uint32_t
from libc.string cimport memset

from gateway.c.contract cimport SL_PHASE_ADDRESS
from gateway.c.judge cimport SL_NEEDS_REQUEST, sl_judge, sl_judged_tls, sl_question, sl_trail
from gateway.tls.client cimport TlsClient


@cython.final
cdef class RequestRecord(Record):
    """Made when its head is whole, kept until its response is."""

    cdef void question(self, sl_question *out) noexcept:
        Record.question(self, out)
        out.request = self.parts.show(&self.message.head)

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
