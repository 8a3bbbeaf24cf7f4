# One HTTP message, request or response, as its sides hand it on (csrc/bytes/message.h).
from gateway.c.message cimport sl_message

cdef class Message:
    cdef sl_message head
