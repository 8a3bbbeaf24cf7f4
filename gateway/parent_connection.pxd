# One HTTP/2 connection to a parent gateway, which many tunnels share: the socket side of an H2Client.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.h2_client cimport ClientEvent, ClientNews
from gateway.h2_streams cimport H2Stream
from gateway.parent_socket cimport ParentSocket
from gateway.parent_stream cimport ParentKeeper, ParentStream

# Whoever made it. None of these is called before start() has returned.
cdef class ParentHome(ParentKeeper):
    # The parent's SETTINGS came, or a stream has become free.
    cdef void on_room(self, ParentConnection connection) noexcept
    # The first answer came: it works.
    cdef void on_proved(self, ParentConnection connection) noexcept
    # It takes no new streams any more; `outcome` of those that wait for it, should there be no other. `detail` says why
    # where that is the parent's fault, else it is None.
    cdef void on_gone(self, ParentConnection connection, int outcome, str detail) noexcept

cdef class ParentConnection(ParentSocket):
    cdef ParentHome home       # None once it was told that this is gone
    cdef uint8_t silence       # what was seen of its acknowledgements (silence.h)
    cdef bint readable         # was stopped by its budget
    cdef bint hangup           # EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported
    cdef bint proved           # has answered a request
    cdef bint asked            # was given one
    cdef bint doubted          # has left one unanswered and said nothing since
    cdef bint retired          # ends with its last stream
    cdef bint finished         # our side of the socket is shut
    cdef uint8_t *rest         # input that the turn's share did not reach, malloc'd; NULL: none
    # What is awaited, and since when; loop milliseconds, 0: it is not.
    cdef uint64_t armed        # the timer is armed for that time
    cdef uint64_t began        # the connection
    cdef uint64_t idle_since   # without a stream
    cdef uint64_t unfinished   # which frame or header block has begun and not ended: a number for each
    cdef uint64_t unfinished_since

    # With a connected socket that the loop watches already. Says hello; False: it has ended at once.
    cdef bint start(self) noexcept
    # How many streams may be asked of it now.
    cdef uint32_t room(self) noexcept
    # No new streams; ends with the last one.
    cdef void retire(self) noexcept

    cdef void read(self) noexcept
    cdef void read_on(self) noexcept
    cdef void linger_read(self) noexcept
    cdef void process(self, size_t length) noexcept
    cdef void work_through(self) noexcept
    cdef void keep_rest(self) noexcept
    cdef void free_rest(self) noexcept
    cdef void act(self, ClientEvent kind, ClientNews *news) noexcept
    cdef void answer(self, ParentStream stream, ClientNews *news) noexcept
    cdef void end_stream(self, H2Stream *stream, uint32_t code, int side) noexcept
    cdef void go_away(self, uint32_t last) noexcept
    cdef void opened_window(self, H2Stream *stream) noexcept
    cdef void count_reset(self, int side, uint32_t code) noexcept

    cdef uint64_t what_is_unfinished(self) noexcept
    cdef uint64_t due(self) noexcept
    cdef void wait_for(self) noexcept
    cdef void tell_gone(self, int outcome, str detail) noexcept
    cdef void leave(self) noexcept
    cdef void end_streams(self) noexcept
