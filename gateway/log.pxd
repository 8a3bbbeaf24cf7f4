# Access log lines of one worker, gathered into batches for the supervisor.
from libc.stdint cimport uint32_t

from gateway.csrc cimport sl_log_clock, sl_log_event, sl_log_line, sl_pending_log, sl_segment

cdef enum:
    LEVELS = 3                 # interval, decision, tunnel: what is dropped first first
    EVENTS = 4                 # SL_LOG_EVENT_COUNT

cdef class AccessLog:
    cdef object send           # called with a level, a number of lines and their text; False: no room
    cdef object clock          # of the next flush
    cdef sl_segment *segment
    cdef object mapping        # keeps the segment mapped
    cdef sl_pending_log *lines[LEVELS]   # in the segment: what waits when we are killed is written by the supervisor
    cdef uint32_t counts[EVENTS]   # lines that wait, by event
    cdef sl_log_clock stamp
    cdef bint waiting          # the clock is set

    cdef void write(self, sl_log_event event, sl_log_line *line) noexcept
    cdef void drop(self, sl_log_event event, uint32_t count) noexcept
