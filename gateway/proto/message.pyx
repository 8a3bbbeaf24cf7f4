"""One HTTP message, request or response, as its sides hand it on. See message.pxd."""

cimport cython

from gateway.c.message cimport sl_message_free


@cython.final
cdef class Message:
    """An empty one; its owner reads into it, or adds fields."""

    def __dealloc__(self):
        sl_message_free(&self.head)
