# One client's HTTP/2 connection: what it reads, what it waits for, and its end.
from libc.stdint cimport uint8_t, uint32_t

from gateway.h2_requests cimport H2Requests
from gateway.h2_session cimport EventKind, H2Event
from gateway.h2_streams cimport H2Stream

# What the timer is armed for.
cdef enum Waiting:
    WAIT_NONE = 0
    WAIT_GREETING = 1          # the client's SETTINGS
    WAIT_BLOCK = 2             # the rest of a header block
    WAIT_IDLE = 3              # a stream
    WAIT_LINGER = 4            # the client's end, after ours

cdef class H2Connection(H2Requests):
    cdef uint8_t waiting       # Waiting
    cdef uint8_t silence       # what was seen of its acknowledgements (silence.h)
    cdef bint readable         # was stopped by its budget
    cdef bint hangup           # EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported
    cdef bint finished         # our side of the socket is shut

    # Takes over a socket whose first bytes are `data`.
    cdef void enter(self, const uint8_t *data, size_t length) noexcept
    cdef ssize_t receive(self, uint8_t *buffer, size_t room) noexcept

    cdef void read(self) noexcept
    cdef void linger_read(self) noexcept
    cdef void process(self, const uint8_t *data, size_t length) noexcept
    cdef void act(self, EventKind kind, H2Event *event) noexcept
    cdef void take_data(self, H2Event *event) noexcept
    cdef void hand_out(self) noexcept
    cdef void hand_out_to(self, H2Stream *stream) noexcept
    cdef void ended_stream(self, H2Stream *stream, uint32_t code, int side) noexcept
    cdef void end_streams(self) noexcept
