"""Decides which requests and tunnels are recorded (W3C Trace Context; OpenTelemetry's ParentBased and
TraceIdRatioBased). See tracer.pxd.

The trace that a client names is believed where the field is valid. A field that is not, or that stands there twice, is
taken out of the request: the next reader is not to find another trace in it.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.string cimport memset

from gateway.c.message cimport sl_message_at, sl_message_find_name, sl_message_remove
from gateway.c.trace_context cimport (
    SL_TRACE_SAMPLED, sl_trace_begin, sl_trace_is_below, sl_traceparent_read, sl_tracestate, sl_tracestate_add,
)


@cython.final
cdef class Tracer:
    """Made from gateway.contract.TracingSettings."""

    def __init__(self, settings, Numbers numbers):
        cdef double sample = settings["sample"]
        self.numbers = numbers
        self.parent_based = settings["parent_based"]
        self.bound = UINT64_MAX if sample >= 1 else <uint64_t> (sample * 18446744073709551616.0)

    cdef Trace decide(self, const sl_trace_context *asked, uint64_t now):
        cdef sl_trace_context begun
        cdef Trace made
        cdef bint recording
        if asked is NULL:
            sl_trace_begin(&self.numbers.random, &begun)
            if not sl_trace_is_below(begun.trace_id, self.bound):
                return None
            made = Trace.__new__(Trace)
            made.context = begun
            made.begin(self.numbers, NULL, True, now)
            return made
        recording = (asked.flags & SL_TRACE_SAMPLED if self.parent_based
                     else sl_trace_is_below(asked.trace_id, self.bound))
        made = Trace.__new__(Trace)
        made.begin(self.numbers, asked, recording, now)
        return made

    cdef Trace of_text(self, bytes traceparent, uint64_t now):
        cdef sl_trace_context asked
        if traceparent is not None and sl_traceparent_read(PyBytes_AS_STRING(traceparent),
                                                           PyBytes_GET_SIZE(traceparent), &asked):
            return self.decide(&asked, now)
        return self.decide(NULL, now)

    cdef Trace of_message(self, sl_message *head, uint64_t now):
        cdef sl_trace_context asked
        cdef bint valid = False
        cdef int at = sl_message_find_name(head, b"traceparent", 11, 0)
        if at >= 0:
            valid = (sl_message_find_name(head, b"traceparent", 11, <uint32_t> at + 1) < 0
                     and sl_traceparent_read(sl_message_at(head, head.fields[at].value), head.fields[at].value.length,
                                             &asked))
            if not valid:
                sl_message_remove(head, b"traceparent", 11)
        if not valid or not has_sound_state(head):
            sl_message_remove(head, b"tracestate", 10)
        return self.decide(&asked if valid else NULL, now)


cdef bint has_sound_state(const sl_message *head) noexcept:
    """Whether all fields tracestate are one valid list; none is."""
    cdef sl_tracestate state
    cdef int at = sl_message_find_name(head, b"tracestate", 10, 0)
    memset(&state, 0, sizeof(state))
    while at >= 0:
        if not sl_tracestate_add(&state, sl_message_at(head, head.fields[at].value), head.fields[at].value.length):
            return False
        at = sl_message_find_name(head, b"tracestate", 10, <uint32_t> at + 1)
    return True
