# Access log lines of one worker, on their way to the supervisor.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.log_budget cimport sl_log_budget
from gateway.c.log_line cimport sl_log_clock, sl_log_line
from gateway.c.segment cimport sl_log_event, sl_pending_log, sl_segment

cdef enum:
    LEVELS = 4                 # interval, decision, tunnel: what is dropped first first; and spans
    EVENTS = 6                 # SL_LOG_EVENT_COUNT

cdef class AccessLog:
    cdef object wake           # called when lines wait
    cdef object clock          # of the next call
    cdef sl_segment *segment
    cdef object mapping        # keeps the segment mapped
    cdef sl_pending_log *lines[LEVELS]   # in the segment
    cdef sl_log_clock stamp
    cdef bint waiting          # the clock is set
    cdef sl_log_budget budget  # `refused` lines of each source

    # Whether a `refused` line of this source may be written; *suppressed: how many were not since the last one. Those
    # are counted as dropped.
    cdef bint may_refuse(self, uint64_t source, uint64_t now, uint32_t *suppressed) noexcept
    cdef void write(self, sl_log_event event, sl_log_line *line) noexcept
    # The same with a span in it, to be exported.
    cdef void write_span(self, sl_log_event event, sl_log_line *line) noexcept
    cdef size_t put(self, sl_pending_log *lines, sl_log_event event, sl_log_line *line) noexcept
    cdef void drop(self, sl_log_event event, uint32_t count) noexcept
