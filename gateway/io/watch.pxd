# Python callbacks on the loop, for what is rare: the bus, the channel, a clock.
from gateway.io.loop cimport Handler, Loop

cdef class Watch(Handler):
    cdef Loop loop
    cdef int fd
    cdef object callback

cdef class Word(Handler):
    cdef Loop loop
    cdef object memory         # keeps the word mapped
    cdef object callback

cdef class Clock(Handler):
    cdef Loop loop
    cdef object callback
    cdef double period         # seconds; 0 = once
