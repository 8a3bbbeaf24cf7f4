# The socket of a connection to a parent gateway: the transport, and what leaves by it.
from libc.stdint cimport uint8_t

from gateway.context cimport Context
from gateway.h2_frames cimport Outgoing
from gateway.parent_stream cimport ParentCarrier

cdef enum:
    INPUT_SIZE = 262144        # one recv()

# Buffers that all of a worker's share: what one of them reads or writes in one step.
cdef class ParentBuffers:
    cdef uint8_t *input
    cdef uint8_t *output

cdef class ParentSocket(ParentCarrier):
    cdef Context context
    cdef ParentBuffers buffers
    cdef int fd
    cdef Outgoing partial      # frames the socket did not take whole: they go before anything else
    cdef bint blocked          # until EPOLLOUT
    cdef bint leaving          # ends when everything outgoing is out

    # The transport: everything above speaks of frames.
    cdef ssize_t receive(self, uint8_t *buffer, size_t room) noexcept
    cdef ssize_t transmit(self, const uint8_t *data, size_t length) noexcept
    cdef void serve(self) noexcept
    cdef size_t gather(self, size_t used) noexcept
    cdef bint put(self, const uint8_t *data, size_t length) noexcept
    cdef bint flush_partial(self) noexcept

    # ---- for subclasses ----------------------------------------------------------------------------------------------
    # The last frame is out.
    cdef void finish(self) noexcept
    # The connection is gone.
    cdef void drop(self) noexcept
