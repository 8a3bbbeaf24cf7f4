/* The fields of W3C Trace Context (Level 1, and Level 2 where it says more): traceparent and tracestate.
 *
 *   traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
 *                version, trace id, id of the span that asks, flags
 *   tracestate:  congo=t61rcWkgMzE,rojo=00f067aa0ba902b7
 *
 * A value that breaks the rules is as if it were not there. Version ff is invalid; of a version above 00 the parts that
 * version 00 has are read, whatever stands behind a further dash. Flags that version 00 does not define are not kept. */
#ifndef SLUICE_TRACE_CONTEXT_H
#define SLUICE_TRACE_CONTEXT_H

#include <stddef.h>
#include <stdint.h>

enum {
    SL_TRACE_ID = 16,          /* bytes */
    SL_SPAN_ID = 8,            /* bytes */
    SL_TRACEPARENT = 55,       /* bytes of a value as it is written */
    SL_TRACEPARENT_MOST = 512, /* bytes of one that is read */
    SL_TRACESTATE_MOST = 512,  /* bytes of all values, with a comma between two of them */
    SL_TRACESTATE_MEMBERS = 32,
};

enum sl_trace_flags {
    SL_TRACE_SAMPLED = 1, /* the one that asks may have recorded it */
    SL_TRACE_RANDOM = 2,  /* the last 7 bytes of the trace id are random (Level 2) */
};

struct sl_trace_context {
    uint8_t trace_id[SL_TRACE_ID]; /* never all zero */
    uint8_t span_id[SL_SPAN_ID];   /* of the span that asks; never all zero */
    uint8_t flags;                 /* sl_trace_flags */
};

/* Reads the value of traceparent, without space around it. Returns 1, or 0 with `out` all zero for an invalid one. */
int sl_traceparent_read(const char *text, size_t length, struct sl_trace_context *out);
/* Writes a value of version 00; no NUL is behind it. */
void sl_traceparent_write(const struct sl_trace_context *context, char out[SL_TRACEPARENT]);
/* `count` bytes as twice as many lower-case digits. */
void sl_trace_hex(const uint8_t *bytes, size_t count, char *out);

/* What was seen of tracestate; all zero to begin with. */
struct sl_tracestate {
    size_t length;
    unsigned members;
    int broken; /* bool: it is too long, has too many members, or one that is not valid */
};
/* One value of tracestate, of which there may be several; they are one list, in their order. Keys that stand there twice
 * are let go, as are empty members. Returns whether the list is valid up to here. */
int sl_tracestate_add(struct sl_tracestate *state, const char *text, size_t length);

/* Numbers for ids and samples (xoshiro256**). The seed is the caller's, and not all zero. */
struct sl_trace_random {
    uint64_t word[4];
};
uint64_t sl_trace_draw(struct sl_trace_random *random);
/* A new trace: its id is random, its span id is that of its first span. */
void sl_trace_begin(struct sl_trace_random *random, struct sl_trace_context *out);
void sl_trace_new_span(struct sl_trace_random *random, uint8_t span_id[SL_SPAN_ID]);
/* The ratio of a trace: whether its id is below `bound`, as OpenTelemetry's TraceIdRatioBased has it. UINT64_MAX: always. */
int sl_trace_is_below(const uint8_t trace_id[SL_TRACE_ID], uint64_t bound);

#endif
