# Names from a hosts(5) file, read again when it changes; parsed in slices, so that a long file delays no request.
from libc.stdint cimport uint64_t

from gateway.io.loop cimport Handler, Loop

cdef class HostsFile(Handler):
    cdef Loop loop
    cdef object path
    cdef object stamp          # (mtime_ns, size, inode) of what was read
    cdef uint64_t checked      # loop milliseconds of the last stat
    cdef dict names            # canonical name -> packed sl_addr records, IPv6 first
    cdef bytes text            # being parsed; None when all is
    cdef Py_ssize_t at         # where in it
    cdef dict fresh            # the names given so far: takes the place of `names` at its end

    cdef bytes find(self, bytes name)
