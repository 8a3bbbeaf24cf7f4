# csrc/bytes/trace_context.h, as Cython sees it.
from libc.stdint cimport uint64_t, uint8_t

cdef extern from "bytes/trace_context.h" nogil:
    enum:
        SL_TRACE_ID
        SL_SPAN_ID
        SL_TRACEPARENT
        SL_TRACEPARENT_MOST
        SL_TRACE_SAMPLED
        SL_TRACE_RANDOM
    struct sl_trace_context:
        uint8_t trace_id[SL_TRACE_ID]
        uint8_t span_id[SL_SPAN_ID]
        uint8_t flags
    struct sl_tracestate:
        int broken
    struct sl_trace_random:
        uint64_t word[4]
    int sl_traceparent_read(const char *text, size_t length, sl_trace_context *out)
    void sl_traceparent_write(const sl_trace_context *context, char *out)
    int sl_tracestate_add(sl_tracestate *state, const char *text, size_t length)
    void sl_trace_begin(sl_trace_random *random, sl_trace_context *out)
    void sl_trace_new_span(sl_trace_random *random, uint8_t *span_id)
    int sl_trace_is_below(const uint8_t *trace_id, uint64_t bound)
