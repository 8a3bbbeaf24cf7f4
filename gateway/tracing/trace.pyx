"""The trace that one request or tunnel belongs to. See trace.pxd.

Times come from the loop's clock, and stand beside one reading of the wall clock: spans of one trace lie within each
other, also where the wall clock is set between them.
"""

import os

cimport cython
from libc.stdint cimport int32_t, uint16_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy, memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from gateway.c.message cimport sl_message_set
from gateway.c.trace_context cimport (
    SL_TRACEPARENT, SL_TRACE_SAMPLED, sl_trace_new_span, sl_traceparent_write,
)


cdef uint64_t unix_us() noexcept:
    cdef timespec now
    clock_gettime(CLOCK_REALTIME, &now)
    return <uint64_t> now.tv_sec * 1000000 + <uint64_t> now.tv_nsec // 1000


@cython.final
cdef class Numbers:
    """Seeded by the system."""

    def __cinit__(self):
        cdef bytes seed = os.urandom(sizeof(self.random))
        memcpy(&self.random, <const char *> seed, sizeof(self.random))
        self.random.word[0] |= 1  # not all zero


@cython.final
@cython.freelist(64)
cdef class Trace:
    """Made by a Tracer, where a request belongs to a trace or begins one that is recorded."""

    def __dealloc__(self):
        free(self.tries)

    cdef void begin(self, Numbers numbers, const sl_trace_context *asked, bint recording, uint64_t now) noexcept:
        self.numbers, self.recording, self.tls_ms = numbers, recording, -1
        self.offset = unix_us() - now * 1000
        self.ids.trace_id, self.ids.span_id = self.context.trace_id, self.context.span_id
        if asked is not NULL:
            self.has_parent = True
            self.context = asked[0]
            memcpy(self.parent, asked.span_id, SL_SPAN_ID)
            sl_trace_new_span(&numbers.random, self.context.span_id)
        self.context.flags &= ~<unsigned> SL_TRACE_SAMPLED
        if recording:
            self.context.flags |= SL_TRACE_SAMPLED

    cdef void go_on(self) noexcept:
        memcpy(self.parent, self.context.span_id, SL_SPAN_ID)
        self.has_parent, self.count, self.trying = True, 0, False
        sl_trace_new_span(&self.numbers.random, self.context.span_id)

    cdef bint leave(self, sl_message *head) noexcept:
        cdef sl_trace_context said = self.context
        cdef char text[SL_TRACEPARENT]
        if self.trying:
            memcpy(said.span_id, self.tries[self.count - 1].span_id, SL_SPAN_ID)
        sl_traceparent_write(&said, text)
        return sl_message_set(head, b"traceparent", 11, text, SL_TRACEPARENT)

    # ---- tries -------------------------------------------------------------------------------------------------------

    cdef void try_begins(self, uint64_t now) noexcept:
        cdef sl_log_try *one
        if not self.recording or self.trying:
            return
        if self.tries is NULL:
            self.tries = <sl_log_try *> calloc(TRIES_MOST, sizeof(sl_log_try))
            if self.tries is NULL:
                return
        if self.count < TRIES_MOST:
            self.count += 1
        one = &self.tries[self.count - 1]
        memset(one, 0, sizeof(one[0]))
        sl_trace_new_span(&self.numbers.random, one.span_id)
        one.start_us = self.offset + now * 1000
        one.dns_ms = one.dial_ms = one.tls_ms = one.first_byte_ms = self.tls_ms = -1
        self.trying = True

    cdef void try_connects(self, const sl_addr *address, uint16_t port, int32_t dns_ms, int32_t dial_ms,
                           bint reused) noexcept:
        cdef sl_log_try *one
        if self.trying:
            one = &self.tries[self.count - 1]
            one.address, one.port, one.reused = address[0], port, reused
            one.dns_ms, one.dial_ms, one.tls_ms = dns_ms, dial_ms, self.tls_ms

    cdef void try_answers(self, uint16_t status, uint64_t now) noexcept:
        cdef sl_log_try *one
        if self.trying:
            one = &self.tries[self.count - 1]
            one.status = status
            one.first_byte_ms = <int32_t> ((self.offset + now * 1000 - one.start_us) // 1000)

    cdef void try_ends(self, const char *outcome, uint64_t now) noexcept:
        cdef sl_log_try *one
        if self.trying:
            one = &self.tries[self.count - 1]
            one.outcome, one.end_us = outcome, self.offset + now * 1000
            self.trying = False

    cdef void try_vanishes(self) noexcept:
        if self.trying:
            self.trying = False
            self.count -= 1

    # ---- the record --------------------------------------------------------------------------------------------------

    cdef void describe(self, sl_log_span *out, uint64_t asked, uint64_t now) noexcept:
        memset(out, 0, sizeof(out[0]))
        out.parent = self.parent if self.has_parent else NULL
        out.start_us, out.end_us = self.offset + asked * 1000, self.offset + now * 1000
        out.tls_ms, out.tries, out.try_count = self.tls_ms, self.tries, self.count
