# csrc/bytes/hello.h, as Cython sees it.
from libc.stdint cimport uint8_t

from gateway.c.inner cimport sl_inner, sl_inner_status

cdef extern from "bytes/hello.h" nogil:
    sl_inner_status sl_hello_read(const uint8_t *data, size_t length, int last, sl_inner *out)
