"""Access log lines of one worker: written in C into the slot's segment, a ring for each level.

A line costs no Python object and no system call. The supervisor takes lines from there, also those of a killed worker;
a moment after the first of them it is told that some wait. What finds no room in its ring is dropped and counted by
event, never waited for.
"""

from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from gateway.c.log_budget cimport sl_log_budget_take
from gateway.c.log_line cimport SL_LOG_LINE_MOST, sl_log_line_write
from gateway.c.segment cimport (
    SL_COUNTER_LOG_DROPPED, SL_FAMILY_LOG_DROPPED, SL_FAMILY_SPANS, SL_LOG_DECISION, SL_LOG_EVENT_COUNT,
    SL_LOG_INTERVAL, SL_LOG_REFUSED, SL_LOG_REQUEST, SL_PENDING_LOGS, SL_PENDING_SPANS, SL_SPAN_DROPPED,
    sl_label_key, sl_log_event_text, sl_pending_log_add, sl_pending_log_room, sl_pending_log_waits,
    sl_segment_labelled, sl_segment_log,
)

cdef double DELAY = 0.05       # seconds


cdef inline int level_of(sl_log_event event) noexcept:
    if event == SL_LOG_INTERVAL:
        return 0
    return 1 if event == SL_LOG_DECISION or event == SL_LOG_REFUSED or event == SL_LOG_REQUEST else 2


cdef class AccessLog:
    """`segment`: a writable memoryview of the slot's segment, which is open. `clock(callback)` makes the clock of the
    next flush; `wake()` tells the supervisor that lines wait."""

    def __cinit__(self, segment, clock, wake):
        cdef unsigned char[::1] view = segment
        cdef int level
        if <int> EVENTS != <int> SL_LOG_EVENT_COUNT:
            raise ValueError("events of the access log without a count of their own")
        self.segment, self.mapping = <sl_segment *> &view[0], segment
        self.wake = wake
        if <int> LEVELS != <int> SL_PENDING_LOGS:
            raise ValueError("levels of the access log without room of their own")
        for level in range(LEVELS):
            self.lines[level] = sl_segment_log(self.segment, level)
        self.clock = clock(self.flush)

    cdef bint may_refuse(self, uint64_t source, uint64_t now, uint32_t *suppressed) noexcept:
        if sl_log_budget_take(&self.budget, source, now, suppressed):
            return True
        self.drop(SL_LOG_REFUSED, 1)
        return False

    cdef void write(self, sl_log_event event, sl_log_line *line) noexcept:
        """Adds one line; the time is now."""
        if not self.put(self.lines[level_of(event)], event, line):
            self.drop(event, 1)

    cdef void write_span(self, sl_log_event event, sl_log_line *line) noexcept:
        if not self.put(self.lines[<int> SL_PENDING_SPANS], event, line):
            sl_segment_labelled(self.segment, sl_label_key(SL_FAMILY_SPANS, SL_SPAN_DROPPED, 0, 0, 0))[0] += (
                1 + line.trace.span.try_count)

    cdef size_t put(self, sl_pending_log *lines, sl_log_event event, sl_log_line *line) noexcept:
        """Bytes of the line; 0: there is no room for it."""
        cdef timespec now
        cdef size_t length = 0
        cdef char *room = sl_pending_log_room(lines)
        clock_gettime(CLOCK_REALTIME, &now)
        line.unix_ms = <unsigned long long> now.tv_sec * 1000 + <unsigned long long> now.tv_nsec // 1000000
        line.event = sl_log_event_text(event)
        if room is not NULL:
            length = sl_log_line_write(room, SL_LOG_LINE_MOST, &self.stamp, line)
        if length == 0:
            return 0
        sl_pending_log_add(lines, length)
        if not self.waiting:
            self.waiting = True
            self.clock.start(DELAY)
        return length

    def flush(self):
        """Tells of what waits."""
        cdef int level
        self.waiting = False
        for level in range(LEVELS):
            if sl_pending_log_waits(self.lines[level]):
                self.wake()
                return

    cdef void drop(self, sl_log_event event, uint32_t count) noexcept:
        self.segment.counters[<unsigned> SL_COUNTER_LOG_DROPPED] += count
        sl_segment_labelled(self.segment, sl_label_key(SL_FAMILY_LOG_DROPPED, event, 0, 0, 0))[0] += count
