# One inherited listening socket: accepts in bounded batches, and rests while descriptors run short.
from libc.stdint cimport uint16_t

from gateway.context cimport Context
from gateway.csrc cimport sl_addr
from gateway.loop cimport Handler

cdef class Listener(Handler):
    cdef Context context
    cdef readonly int fd
    cdef readonly int index    # of the listener in the settings
    cdef bint emptying         # draining: everybody in the queue is accepted, to be refused

    cdef bint accept_batch(self) noexcept
    cdef void take(self, int fd, const sl_addr *peer, uint16_t port) noexcept
    cdef void rest(self) noexcept
