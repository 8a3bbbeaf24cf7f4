# Decides which requests and tunnels are recorded. None in its place: tracing is off.
from libc.stdint cimport uint64_t, uint8_t

from gateway.c.message cimport sl_message
from gateway.c.trace_context cimport sl_trace_context
from gateway.tracing.trace cimport Numbers, Trace

cdef class Tracer:
    cdef Numbers numbers
    cdef uint64_t bound        # trace ids below it are recorded; UINT64_MAX: all
    cdef uint8_t parent_based  # bool: a trace of another process is recorded where that one records it

    # All three: None where the request belongs to no trace, and none is recorded.
    cdef Trace decide(self, const sl_trace_context *asked, uint64_t now)
    # `traceparent`: the value of the field; None: none, or several.
    cdef Trace of_text(self, bytes traceparent, uint64_t now)
    # Of a request, out of whose head fields are taken that are not valid.
    cdef Trace of_message(self, sl_message *head, uint64_t now)
