# The incoming half of an HTTP/2 connection's socket: bytes as they come, and the rest that a share did not reach. It
# calls nothing of its connection.
from libc.stdint cimport uint8_t, uint32_t

from gateway.c.leg cimport sl_leg
from gateway.proto.http2.core cimport H2Core
from gateway.proto.http2.work cimport H2Work

cdef enum Input:
    INPUT_NOTHING = 0          # nothing now
    INPUT_GONE = 1             # the end, or an error
    INPUT_BYTES = 2            # and there may be more
    INPUT_LAST = 3             # all that was reported: new bytes make a new edge

cdef class H2Reader:
    cdef sl_leg *leg           # of the connection, which this is a part of; borrowed
    cdef H2Core session
    cdef H2Work work
    cdef uint8_t *rest         # input that the turn's share did not reach, malloc'd; NULL: none
    cdef uint32_t rest_size
    cdef uint32_t appetite     # bytes of one recv()
    cdef bint readable         # the socket may have bytes, and its turn is still to come
    cdef bint hangup           # EPOLLRDHUP, EPOLLHUP or EPOLLERR was reported

    # One recv() into the worker's input; `got` are its bytes.
    cdef Input receive(self, size_t *got) noexcept
    # Drops what comes; INPUT_GONE at its end, or behind more than a peer is given the time for.
    cdef Input discard(self) noexcept
    # Puts aside what is left of the input, unless it lies there already; False without memory.
    cdef bint keep_rest(self) noexcept
    cdef void free_rest(self) noexcept
