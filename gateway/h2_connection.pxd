# One client's HTTP/2 connection: what it reads, what its requests become, and its end.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.csrc cimport sl_addr
from gateway.h2_session cimport EventKind, H2Event
from gateway.h2_streams cimport H2Stream
from gateway.h2_writer cimport H2Writer

# What the timer is armed for.
cdef enum Waiting:
    WAIT_NONE = 0
    WAIT_GREETING = 1          # the client's SETTINGS
    WAIT_BLOCK = 2             # the rest of a header block
    WAIT_IDLE = 3              # a stream
    WAIT_LINGER = 4            # the client's end, after ours

cdef class H2Connection(H2Writer):
    cdef uint8_t listener      # index into context.listeners
    cdef uint16_t peer_port
    cdef sl_addr peer
    cdef uint64_t source       # the peer, as limits know it
    cdef uint32_t place        # among the source's connections that are no tunnels; held while this carries none
    cdef uint32_t tunnels
    cdef uint32_t asking       # requests that were begun and not answered
    cdef list queue            # requests that wait for those
    cdef bint starting         # within start_next
    cdef uint8_t waiting       # Waiting
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
    cdef void request(self, H2Event *event) noexcept
    cdef void plain(self, H2Stream *stream) noexcept
    cdef void not_found(self, H2Stream *stream) noexcept
    cdef void connect(self, H2Stream *stream, int status) noexcept
    cdef void take_data(self, H2Event *event) noexcept
    cdef void hand_out(self) noexcept
    cdef void hand_out_to(self, H2Stream *stream) noexcept
    cdef void respond(self, H2Stream *stream, list block, bytes body) noexcept
    cdef void protocol_error(self, int outcome) noexcept
    cdef void count_reset(self, int side, uint32_t code) noexcept
    cdef void ended_stream(self, H2Stream *stream, uint32_t code, int side) noexcept

    cdef void wait_for(self) noexcept
    cdef void leave(self) noexcept
    cdef void end_streams(self) noexcept
