# TLS handshakes of one worker that are under way: one step of one of them in a turn of the loop.
from libc.stdint cimport uint64_t

from gateway.io.loop cimport Handler, Loop

cdef class Handshakes(Handler):
    cdef Loop loop
    cdef object waiting        # deque of connections
    cdef uint64_t turn         # in which a step was taken last

    # Whether a connection may take a step of its handshake now; False: it gets on_turn when it may.
    cdef bint may_step(self, Handler connection) noexcept
