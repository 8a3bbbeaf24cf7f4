"""The kernel as the loop sees it: CLOCK_MONOTONIC, and one epoll. They are the loop's arguments (loop.pyx), so that
tests drive time and readiness by hand."""

import os

from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from "<sys/epoll.h>" nogil:
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int op, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int maxevents, int timeout)
    enum:
        EPOLL_CLOEXEC
        EPOLL_CTL_ADD
        EPOLL_CTL_MOD
        EPOLL_CTL_DEL


cdef class MonotonicClock:
    """The machine's."""

    cdef uint64_t now_us(self) noexcept nogil:
        cdef timespec now
        clock_gettime(CLOCK_MONOTONIC, &now)
        return <uint64_t> now.tv_sec * 1000000 + <uint64_t> now.tv_nsec // 1000


cdef class Poller:
    """One epoll."""

    def __cinit__(self):
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        if self.epoll >= 0:
            os.close(self.epoll)

    cdef bint add(self, int fd, uint32_t events, uint64_t datum) noexcept nogil:
        cdef epoll_event event
        event.events = events
        event.data.u64 = datum
        return epoll_ctl(self.epoll, EPOLL_CTL_ADD, fd, &event) == 0

    cdef bint change(self, int fd, uint32_t events, uint64_t datum) noexcept nogil:
        cdef epoll_event event
        event.events = events
        event.data.u64 = datum
        return epoll_ctl(self.epoll, EPOLL_CTL_MOD, fd, &event) == 0

    cdef void remove(self, int fd) noexcept nogil:
        cdef epoll_event event
        epoll_ctl(self.epoll, EPOLL_CTL_DEL, fd, &event)

    cdef int wait(self, epoll_event *events, int most, int timeout) noexcept nogil:
        return epoll_wait(self.epoll, events, most, timeout)
