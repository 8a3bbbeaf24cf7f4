# The trace that one request or tunnel belongs to: its own span, and one for each upstream try.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.log_line cimport sl_log_span, sl_log_trace, sl_log_try
from gateway.c.message cimport sl_message
from gateway.c.trace_context cimport SL_SPAN_ID, sl_trace_context, sl_trace_random

cdef enum:
    TRIES_MOST = 8             # tries with a span of their own; a further one takes the place of the last

# Numbers for ids, of one worker.
cdef class Numbers:
    cdef sl_trace_random random

cdef class Trace:
    cdef Numbers numbers
    cdef sl_trace_context context  # id of the trace, and of the request's own span
    cdef sl_log_trace ids      # the same, as log lines have it
    cdef uint8_t parent[SL_SPAN_ID]  # span that asked
    cdef uint8_t has_parent    # bool: another process began the trace
    cdef uint8_t recording     # bool: its spans are exported
    cdef uint8_t trying        # bool: the last try is under way
    cdef uint8_t count         # of tries
    cdef int32_t tls_ms        # TLS handshakes with the upstream, of this try; -1: none
    cdef uint64_t offset       # Unix microseconds at 0 of the loop's clock
    cdef sl_log_try *tries     # malloc'd; NULL: none yet

    # `now`, here and below: loop milliseconds. `asked`: of the peer; None: a trace begins here.
    cdef void begin(self, Numbers numbers, const sl_trace_context *asked, bint recording, uint64_t now) noexcept
    # The request's span has been written, and a tunnel goes on in its place, as a child of that span.
    cdef void go_on(self) noexcept
    # traceparent of a request as it leaves. False without memory.
    cdef bint leave(self, sl_message *head) noexcept
    # A request is about to be sent, over a connection that is looked for. Nothing happens where one is under way.
    cdef void try_begins(self, uint64_t now) noexcept
    cdef void try_connects(self, const sl_addr *address, uint16_t port, int32_t dns_ms, int32_t dial_ms,
                           bint reused) noexcept
    cdef void try_answers(self, uint16_t status, uint64_t now) noexcept
    # `outcome`: static text.
    cdef void try_ends(self, const char *outcome, uint64_t now) noexcept
    # Nothing was asked of an upstream: the try is forgotten.
    cdef void try_vanishes(self) noexcept
    # The span of what began at `asked` and ends now; as long as this.
    cdef void describe(self, sl_log_span *out, uint64_t asked, uint64_t now) noexcept
