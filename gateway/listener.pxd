# One inherited listening socket: accepts in bounded batches, and rests when descriptors run out.
from gateway.context cimport Context
from gateway.loop cimport Handler

cdef class Listener(Handler):
    cdef Context context
    cdef readonly int fd
    cdef readonly int index    # of the listener in the settings
    cdef bint resting

    cdef bint accept_batch(self) noexcept
    cdef void rest(self) noexcept
