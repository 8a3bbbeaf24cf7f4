# The kernel as the loop sees it: the monotonic clock, and epoll. Tests put others in their place.
from libc.stdint cimport uint32_t, uint64_t

cdef extern from "<sys/epoll.h>" nogil:
    ctypedef union epoll_data_t:
        uint64_t u64
    struct epoll_event:
        uint32_t events
        epoll_data_t data

cdef class MonotonicClock:
    # Microseconds that never go back.
    cdef uint64_t now_us(self) noexcept nogil

cdef class Poller:
    cdef int epoll

    # Reports `events` of a descriptor with `datum`. False with errno set where the kernel refuses.
    cdef bint add(self, int fd, uint32_t events, uint64_t datum) noexcept nogil
    # Other events, or another datum, for one that is reported already.
    cdef bint change(self, int fd, uint32_t events, uint64_t datum) noexcept nogil
    # For a descriptor that stays open; closing the last copy of one removes it by itself.
    cdef void remove(self, int fd) noexcept nogil
    # What is ready, `most` at once, after at most `timeout` milliseconds; -1: without an end. Negative after an error.
    cdef int wait(self, epoll_event *events, int most, int timeout) noexcept nogil
