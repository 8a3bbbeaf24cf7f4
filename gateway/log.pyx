"""Access log lines of one worker: written in C into a buffer for each level, and sent as batches.

A line costs no Python object. It waits in the slot's segment, where the supervisor finds what a killed worker had not
sent. Lines leave when a buffer is full, and otherwise a moment after the first of them; what
the supervisor has no room for is dropped and counted by event, never waited for.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from gateway.csrc cimport (
    SL_COUNTER_LOG_DROPPED, SL_FAMILY_LOG_DROPPED, SL_LOG_DECISION, SL_LOG_EVENT_COUNT, SL_LOG_INTERVAL,
    SL_LOG_LINE_MOST, SL_LOG_REFUSED, SL_PENDING_LOG_ROOM, SL_PENDING_LOGS, sl_label_key, sl_log_budget_take,
    sl_log_event_text,
    sl_log_line_write,
    sl_pending_log, sl_segment_labelled, sl_segment_log,
)

cdef enum:
    BATCH = 131072             # bytes

cdef double DELAY = 0.05       # seconds
cdef tuple NAMES = ("interval", "decision", "tunnel")


cdef inline int level_of(sl_log_event event) noexcept:
    return 0 if event == SL_LOG_INTERVAL else 1 if event == SL_LOG_DECISION or event == SL_LOG_REFUSED else 2


cdef class AccessLog:
    """`segment`: a writable memoryview of the slot's segment, which is open. `clock(callback)` makes the clock of the
    next flush; `send(level, count, text)` takes a batch, or answers False."""

    def __cinit__(self, segment, clock, send):
        cdef unsigned char[::1] view = segment
        cdef int level
        if <int> EVENTS != <int> SL_LOG_EVENT_COUNT:
            raise ValueError("events of the access log without a count of their own")
        self.segment, self.mapping = <sl_segment *> &view[0], segment
        self.send = send
        if <int> LEVELS != <int> SL_PENDING_LOGS or <int> BATCH + <int> SL_LOG_LINE_MOST > <int> SL_PENDING_LOG_ROOM:
            raise ValueError("levels or batches of the access log without room of their own")
        for level in range(LEVELS):
            self.lines[level] = sl_segment_log(self.segment, level)
            self.lines[level].used = 0
        self.clock = clock(self.flush)

    cdef bint may_refuse(self, uint64_t source, uint64_t now, uint32_t *suppressed) noexcept:
        if sl_log_budget_take(&self.budget, source, now, suppressed):
            return True
        self.drop(SL_LOG_REFUSED, 1)
        return False

    cdef void write(self, sl_log_event event, sl_log_line *line) noexcept:
        """Adds one line; the time is now."""
        cdef timespec now
        cdef int level = level_of(event)
        cdef size_t length
        cdef sl_pending_log *lines = self.lines[level]
        clock_gettime(CLOCK_REALTIME, &now)
        line.unix_ms = <unsigned long long> now.tv_sec * 1000 + <unsigned long long> now.tv_nsec // 1000000
        line.event = sl_log_event_text(event)
        length = sl_log_line_write(lines.text + lines.used, SL_LOG_LINE_MOST, &self.stamp, line)
        if length == 0:
            self.drop(event, 1)
            return
        lines.used += length
        self.counts[<unsigned> event] += 1
        if lines.used >= BATCH:
            self.flush()
        elif not self.waiting:
            self.waiting = True
            self.clock.start(DELAY)

    def flush(self):
        """Sends what waits."""
        cdef int level
        cdef int event
        cdef uint32_t count
        cdef bint sent
        self.waiting = False
        for level in range(LEVELS):
            if not self.lines[level].used:
                continue
            count = 0
            for event in range(EVENTS):
                if level_of(<sl_log_event> event) == level:
                    count += self.counts[event]
            text = PyBytes_FromStringAndSize(self.lines[level].text, <Py_ssize_t> self.lines[level].used)
            self.lines[level].used = 0
            sent = self.send(NAMES[level], count, text)
            for event in range(EVENTS):
                if level_of(<sl_log_event> event) == level:
                    if not sent:
                        self.drop(<sl_log_event> event, self.counts[event])
                    self.counts[event] = 0

    cdef void drop(self, sl_log_event event, uint32_t count) noexcept:
        self.segment.counters[<unsigned> SL_COUNTER_LOG_DROPPED] += count
        sl_segment_labelled(self.segment, sl_label_key(SL_FAMILY_LOG_DROPPED, event, 0, 0, 0))[0] += count
