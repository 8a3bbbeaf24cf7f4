"""Access log lines of one worker: written in C into a buffer for each level, and sent as batches.

A line costs no Python object. Lines leave when a buffer is full, and otherwise a moment after the first of them; what
the supervisor has no room for is dropped and counted by event, never waited for.
"""

from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.stdlib cimport free, malloc
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from gateway.csrc cimport (
    SL_COUNTER_LOG_DROPPED, SL_FAMILY_LOG_DROPPED, SL_LOG_DECISION, SL_LOG_EVENT_COUNT, SL_LOG_INTERVAL,
    SL_LOG_LINE_MOST, sl_label_key, sl_log_event_text, sl_log_line_write, sl_segment_labelled,
)

cdef enum:
    BATCH = 131072             # bytes

cdef double DELAY = 0.05       # seconds; a worker that is killed takes so much with it
cdef tuple NAMES = ("interval", "decision", "tunnel")


cdef inline int level_of(sl_log_event event) noexcept:
    return 0 if event == SL_LOG_INTERVAL else 1 if event == SL_LOG_DECISION else 2


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
        for level in range(LEVELS):
            self.text[level] = <char *> malloc(BATCH + SL_LOG_LINE_MOST)
            if self.text[level] is NULL:
                raise MemoryError
        self.clock = clock(self.flush)

    def __dealloc__(self):
        cdef int level
        for level in range(LEVELS):
            free(self.text[level])

    cdef void write(self, sl_log_event event, sl_log_line *line) noexcept:
        """Adds one line; the time is now."""
        cdef timespec now
        cdef int level = level_of(event)
        cdef size_t length
        clock_gettime(CLOCK_REALTIME, &now)
        line.unix_ms = <unsigned long long> now.tv_sec * 1000 + <unsigned long long> now.tv_nsec // 1000000
        line.event = sl_log_event_text(event)
        length = sl_log_line_write(self.text[level] + self.used[level], SL_LOG_LINE_MOST, &self.stamp, line)
        if length == 0:
            self.drop(event, 1)
            return
        self.used[level] += length
        self.counts[<unsigned> event] += 1
        if self.used[level] >= BATCH:
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
            if not self.used[level]:
                continue
            count = 0
            for event in range(EVENTS):
                if level_of(<sl_log_event> event) == level:
                    count += self.counts[event]
            text = PyBytes_FromStringAndSize(self.text[level], <Py_ssize_t> self.used[level])
            self.used[level] = 0
            sent = self.send(NAMES[level], count, text)
            for event in range(EVENTS):
                if level_of(<sl_log_event> event) == level:
                    if not sent:
                        self.drop(<sl_log_event> event, self.counts[event])
                    self.counts[event] = 0

    cdef void drop(self, sl_log_event event, uint32_t count) noexcept:
        self.segment.counters[<unsigned> SL_COUNTER_LOG_DROPPED] += count
        sl_segment_labelled(self.segment, sl_label_key(SL_FAMILY_LOG_DROPPED, event, 0, 0, 0))[0] += count
