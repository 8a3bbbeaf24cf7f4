# One tunnel's way through a connection to a parent gateway: a CONNECT stream on one side, one end of a pair of local
# sockets on the other. The pair's other end is the tunnel's upstream.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.state.parts cimport WorkerParts
from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg
from gateway.http2.carrier cimport H2Carrier
from gateway.proto.http2.frames cimport Outgoing
from gateway.proto.http2.streams cimport H2Stream
from gateway.io.loop cimport Handler
from gateway.parent.parent cimport ParentStream

# The connections to one parent, as those on them see it: streams, which wait for a connection, and connections.
# Nothing of a connection is called before its start() has returned.
cdef class ParentConnections(Handler):
    cdef void queue(self, ConnectStream stream) noexcept
    cdef void unqueue(self, ConnectStream stream) noexcept
    # The parent's SETTINGS came, or a stream has become free.
    cdef void on_room(self, Handler connection) noexcept
    # The first answer came: it works.
    cdef void on_proved(self, Handler connection) noexcept
    # It takes no new streams any more; `outcome` of those that wait for it, should there be no other. `detail` says why
    # where that is the parent's fault, else it is None.
    cdef void on_gone(self, Handler connection, int outcome, str detail) noexcept

cdef class ConnectStream(ParentStream):
    cdef WorkerParts parts
    cdef ParentConnections pool  # None once it is over
    cdef Handler owner         # of the request, which waits; None once it is answered
    cdef Handler front         # the tunnel; None before it begins, and once it has ended
    cdef list request          # fields of the request
    cdef H2Carrier carrier  # None while it waits for a connection
    cdef H2Stream *stream      # NULL before it is asked, and once it is forgotten
    cdef uint64_t asked        # loop milliseconds
    cdef sl_leg leg            # this end of the pair
    cdef Outgoing waiting      # DATA that the pair did not take
    cdef bint retried
    cdef bint readable         # the pair may have bytes
    cdef bint hangup           # EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported: an end may lie behind bytes
    cdef bint ended            # END_STREAM came
    cdef bint shut             # and was carried through

    # Goes out on `carrier`, which has a free stream; False when it could not.
    cdef bint go(self, H2Carrier carrier) noexcept
    # The parent's final answer; `end` with END_STREAM.
    cdef void take_answer(self, uint32_t status, bint end) noexcept
    # DATA; gone after the call.
    cdef void received(self, const uint8_t *data, uint32_t size, bint end) noexcept
    # The parent has not looked at the request, as it says: asked once more, on another connection.
    cdef void returned(self) noexcept
    # The stream was reset, or its connection is gone. The carrier has forgotten it.
    cdef void lost(self) noexcept
    # No connection can be found for it.
    cdef void refused(self, int outcome, int reason) noexcept
    # Frames of what the tunnel says, at most `room` bytes of them and `most` of payload; the bytes written. Takes the
    # stream out of the ring when there is nothing more now.
    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept

    cdef int connected(self) noexcept
    cdef bint put(self) noexcept
    cdef void answer(self, int fd, int outcome, int reason) noexcept
    cdef void close_untaken(self) noexcept
    cdef void settle(self) noexcept
    cdef void finish(self, uint32_t code) noexcept
