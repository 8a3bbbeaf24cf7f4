# One tunnel's way through a connection to a parent gateway: a CONNECT stream on one side, one end of a pair of local
# sockets on the other. The pair's other end is the tunnel's upstream.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.context cimport Context
from gateway.csrc cimport sl_addr
from gateway.h2_client cimport H2Client
from gateway.h2_frames cimport Outgoing
from gateway.h2_streams cimport H2Stream, StreamEnd
from gateway.loop cimport Handler
from gateway.opening cimport Requester
from gateway.parent cimport Introduced, Passage

# What a stream needs of its connection.
cdef class ParentCarrier(Handler):
    cdef H2Client session
    cdef sl_addr here          # its own address; family 0 when unknown
    cdef uint64_t heard        # loop milliseconds when the parent said something last
    # The stream may have something to send; it gets its turn.
    cdef void schedule(self, H2Stream *stream) noexcept
    # Frames are outgoing.
    cdef void write_later(self) noexcept
    # Says RST_STREAM and forgets the stream.
    cdef void reset_stream(self, H2Stream *stream, uint32_t code) noexcept
    cdef void drop_stream(self, H2Stream *stream, StreamEnd how) noexcept
    # It has left a request unanswered for long.
    cdef void doubt(self) noexcept

# Who finds it a connection.
cdef class ParentKeeper(Handler):
    cdef void queue(self, ParentStream stream) noexcept
    cdef void unqueue(self, ParentStream stream) noexcept

cdef class ParentStream(Passage):
    cdef Context context
    cdef ParentKeeper keeper
    cdef Introduced owner      # who waits; None once told
    cdef Requester front       # whose tunnel it is; None before, and when that has ended
    cdef list request          # fields of the request
    cdef ParentCarrier carrier  # None while it waits for a connection
    cdef H2Stream *stream      # NULL before it is asked, and once it is forgotten
    cdef uint64_t asked        # loop milliseconds
    cdef int fd                # our end of the pair; -1: none
    cdef Outgoing waiting      # DATA that the pair did not take
    cdef bint retried
    cdef bint readable         # the pair may have bytes
    cdef bint hangup           # EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported: an end may lie behind bytes
    cdef bint ended            # END_STREAM came
    cdef bint shut             # and was carried through

    # Goes out on `carrier`, which has a free stream; False when it could not.
    cdef bint go(self, ParentCarrier carrier) noexcept
    # The parent's final answer; `end` with END_STREAM.
    cdef void answered(self, uint32_t status, bint end) noexcept
    # DATA; gone after the call.
    cdef void received(self, const uint8_t *data, uint32_t size, bint end) noexcept
    # The parent has not looked at the request, as it says: asked once more, on another connection.
    cdef void returned(self) noexcept
    # The stream was reset, or its connection is gone. The carrier has forgotten it.
    cdef void lost(self) noexcept
    # Nobody finds it a connection.
    cdef void refused(self, int outcome, int reason) noexcept
    # Frames of what the tunnel says, at most `room` bytes of them and `most` of payload; the bytes written. Takes the
    # stream out of the ring when there is nothing more now.
    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept
    cdef size_t fill_end(self, uint8_t *at) noexcept

    cdef int connected(self) noexcept
    cdef bint put(self) noexcept
    cdef void tell(self, int fd, int outcome, int reason) noexcept
    cdef void settle(self) noexcept
    cdef void finish(self, uint32_t code) noexcept
