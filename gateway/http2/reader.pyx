"""The incoming half of an HTTP/2 connection's socket. See reader.pxd."""

cimport cython
from libc.errno cimport EAGAIN, errno
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from gateway.c.leg cimport sl_leg_pending, sl_leg_receive
from gateway.proto.http2.work cimport INPUT_FIRST, INPUT_SIZE

cdef enum:
    LINGER_BYTES = 1048576     # dropped of a connection that has ended, at most


@cython.final
cdef class H2Reader:
    """A part of one connection: it may touch the socket, and the worker's buffers."""

    def __cinit__(self):
        self.appetite = INPUT_FIRST

    def __dealloc__(self):
        free(self.rest)

    cdef Input receive(self, size_t *got) noexcept:
        cdef uint32_t room = self.appetite
        cdef ssize_t size = sl_leg_receive(self.leg, self.work.input, room)
        if size <= 0:
            return INPUT_NOTHING if size < 0 and errno == EAGAIN else INPUT_GONE
        got[0] = size
        if size == <ssize_t> room:
            if not self.session.is_warm():
                self.appetite = INPUT_SIZE
            return INPUT_BYTES
        return INPUT_BYTES if self.hangup or sl_leg_pending(self.leg) else INPUT_LAST

    cdef Input discard(self) noexcept:
        cdef size_t total = 0
        cdef ssize_t got
        while total < LINGER_BYTES:
            got = sl_leg_receive(self.leg, self.work.input, INPUT_SIZE)
            if got < 0 and errno == EAGAIN:
                return INPUT_NOTHING
            if got <= 0:
                break
            total += got
        return INPUT_GONE

    cdef bint keep_rest(self) noexcept:
        cdef H2Core session = self.session
        self.appetite = INPUT_FIRST
        if self.rest is not NULL:
            return True
        self.rest_size = <uint32_t> (session.reader.end - session.reader.data)
        self.rest = <uint8_t *> malloc(self.rest_size)
        if self.rest is NULL:
            return False
        memcpy(self.rest, session.reader.data, self.rest_size)
        self.work.buffered += self.rest_size
        session.keep(self.rest, self.rest_size)
        return True

    cdef void free_rest(self) noexcept:
        if self.rest is not NULL:
            self.work.buffered -= self.rest_size
            free(self.rest)
            self.rest = NULL
