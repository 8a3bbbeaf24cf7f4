# csrc/net/silence.h, as Cython sees it.
from libc.stdint cimport uint32_t, uint8_t

cdef extern from "net/silence.h" nogil:
    int sl_tcp_silent(int fd, uint32_t since, uint8_t *state)
