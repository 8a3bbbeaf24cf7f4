"""Time and readiness by hand, for tests of what stands between codecs and the whole gateway (support/playbook.py).

Nothing here waits: where nothing is ready, time goes on to what the loop waits for, as far as it may, and the loop
stops.
"""

from libc.stdint cimport uint32_t, uint64_t

from gateway.io.loop cimport Loop
from gateway.io.poller cimport MonotonicClock, Poller, epoll_event


cdef class HandClock(MonotonicClock):
    """Stands still until it is moved. `us`: microseconds."""

    cdef public uint64_t us

    cdef uint64_t now_us(self) noexcept nogil:
        return self.us


cdef class SlowClock(MonotonicClock):
    """A tenth of the real one: what is to happen within a delay of the loop's may take ten times as long."""

    cdef uint64_t now_us(self) noexcept nogil:
        return MonotonicClock.now_us(self) // 10


cdef class HandPoller(Poller):
    """An epoll that waits in the time of `clock`, at most until `until` (microseconds). It stops `loop` when it would
    have waited; the clock says whether time has moved.

    Descriptors for which `holds(fd)` is true are not reported until `release(fd)`.
    """

    cdef HandClock clock
    cdef public uint64_t until
    cdef public object loop
    cdef public object holds
    cdef dict held                   # fd -> (events, datum)

    def __init__(self, HandClock clock):
        self.clock = clock
        self.until = clock.us
        self.holds = lambda fd: False
        self.held = {}

    @property
    def held_back(self):
        """Descriptors that are, in the order in which they came."""
        return list(self.held)

    def release(self, int fd):
        """From now on it is reported, also what happened before."""
        events, datum = self.held.pop(fd)
        if not Poller.add(self, fd, events, datum):
            raise OSError("a descriptor that was held back is closed")

    cdef bint add(self, int fd, uint32_t events, uint64_t datum) noexcept nogil:
        with gil:
            self.held.pop(fd, None)
            if self.holds(fd):
                self.held[fd] = (events, datum)
                return True
        return Poller.add(self, fd, events, datum)

    cdef bint change(self, int fd, uint32_t events, uint64_t datum) noexcept nogil:
        with gil:
            if fd in self.held:
                self.held[fd] = (events, datum)
                return True
        return Poller.change(self, fd, events, datum)

    cdef int wait(self, epoll_event *events, int most, int timeout) noexcept nogil:
        cdef int count = Poller.wait(self, events, most, 0)
        cdef uint64_t due
        if count != 0 or timeout == 0:
            return count
        due = self.until if timeout < 0 else self.clock.us + <uint64_t> timeout * 1000
        self.clock.us = max(self.clock.us, min(due, self.until))
        with gil:
            (<Loop> self.loop).stop()
        return 0
