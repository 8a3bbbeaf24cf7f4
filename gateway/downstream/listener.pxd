# One listening socket: accepts in bounded batches, and rests while descriptors run short.
from libc.stdint cimport uint16_t

from gateway.state.parts cimport WorkerParts
from gateway.c.addr cimport sl_addr
from gateway.io.loop cimport Handler

cdef class Listener(Handler):
    cdef WorkerParts parts
    cdef readonly int fd
    cdef public int index      # place of the listener in the settings
    cdef bint emptying         # bool: every client in the queue is accepted, to be refused, as the worker drains

    cdef bint accept_batch(self) noexcept
    cdef void take(self, int fd, const sl_addr *peer, uint16_t port) noexcept
    cdef void rest(self) noexcept
