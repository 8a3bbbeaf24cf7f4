# One client's HTTP/2 connection: what it reads, what it waits for, and its end.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from gateway.h2_requests cimport H2Requests
from gateway.h2_session cimport EventKind, H2Event
from gateway.h2_streams cimport H2Stream
from gateway.loop cimport Handler

cdef class H2Connection(H2Requests):
    cdef uint8_t silence       # what was seen of its acknowledgements (silence.h)
    cdef bint readable         # the socket may have bytes, and its turn is still to come
    cdef bint hangup           # EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported
    cdef bint finished         # our side of the socket is shut
    cdef uint32_t appetite     # bytes of one recv()
    cdef uint8_t *rest         # input that the turn's share did not reach, malloc'd; NULL: none
    cdef uint32_t rest_size
    cdef H2Remains remains     # ends the streams; None before there are too many for one turn

    # What is awaited, and since when; loop milliseconds, 0: it is not.
    cdef uint64_t armed        # the timer is armed for that time
    cdef uint64_t unfinished   # which frame, header block or greeting has begun and not ended: a number for each
    cdef uint64_t unfinished_since
    cdef uint64_t unacknowledged_since   # SETTINGS of ours
    cdef uint64_t idle_since   # without a stream
    cdef uint64_t room_asked   # the worker's budget has no room: another look a moment later

    # Takes over a socket whose first bytes are `data`.
    cdef void enter(self, const uint8_t *data, size_t length) noexcept
    cdef ssize_t receive(self, uint8_t *buffer, size_t room) noexcept

    cdef void read(self) noexcept
    # With what is left of the share that it has.
    cdef void read_on(self) noexcept
    cdef void take_share(self) noexcept
    cdef void linger_read(self) noexcept
    # All frames in new input, as far as the turn's share of this connection goes.
    cdef void process(self, const uint8_t *data, size_t length) noexcept
    cdef void work_through(self) noexcept
    # Puts aside what the share did not reach.
    cdef void keep_rest(self) noexcept
    cdef void free_rest(self) noexcept
    cdef void act(self, EventKind kind, H2Event *event) noexcept
    cdef void take_data(self, H2Event *event) noexcept
    cdef void hand_out(self) noexcept
    cdef void hand_out_to(self, H2Stream *stream) noexcept
    cdef void ended_stream(self, H2Stream *stream, uint32_t code, int side) noexcept
    cdef void end_streams(self) noexcept
    # Ends a few of them; False when none is left.
    cdef bint end_some(self) noexcept

    cdef uint64_t what_is_unfinished(self) noexcept
    # When the first of all that is awaited is late; 0: nothing is awaited.
    cdef uint64_t due(self) noexcept
    cdef void timed_out(self, uint32_t code) noexcept

# The streams of a connection that has ended: they end in turns, a few in each.
cdef class H2Remains(Handler):
    cdef H2Connection connection
