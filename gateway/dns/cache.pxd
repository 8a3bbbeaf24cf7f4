# Answers that are remembered: a bounded map in order of use.
from cpython.object cimport PyObject
from libc.stdint cimport uint64_t

cdef class Answer:
    # One name's answer. Immutable but for `turn`.
    cdef readonly bytes name
    cdef readonly int status           # ResolveStatus of resolver.pxd
    cdef readonly bytes addresses      # packed sl_addr records, IPv6 first
    cdef readonly uint64_t expires     # loop milliseconds
    cdef unsigned turn                 # how often it was given: callers get the addresses rotated by this
    cdef PyObject *newer               # neighbours in order of use, while a cache holds this; borrowed
    cdef PyObject *older

cdef class DnsCache:
    cdef dict answers                  # name -> Answer: the references that keep them
    cdef PyObject *newest
    cdef PyObject *oldest
    cdef readonly Py_ssize_t room

    cpdef Answer find(self, bytes name, uint64_t now)
    cpdef put(self, Answer answer, uint64_t now)
    cdef void link(self, Answer answer) noexcept
    cdef void unlink(self, Answer answer) noexcept
