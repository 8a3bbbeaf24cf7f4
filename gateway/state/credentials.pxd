# Credentials that the gateway sets in requests: their values, and where these may go.
from libc.stdint cimport uint8_t

# A value in memory of its own, which no core file has; wiped with its last reference.
cdef class SecretValue:
    cdef uint8_t *memory       # mapped; NULL: none
    cdef size_t room           # bytes mapped
    cdef size_t length

cdef class Credential:
    cdef readonly str name
    cdef readonly object number  # that its values come by
    cdef frozenset hosts       # names in bytes, canonical
    cdef list suffixes         # ".example.com" of *.example.com
    cdef bint insecure         # it may go anywhere, over clear text as well
    cdef SecretValue value     # None: it cannot be used
    cdef bytes last            # the name that is_for() has agreed to last; None: none

    # Whether a peer whose certificate was verified by that name may have it.
    cdef bint is_for(self, bytes name) noexcept

cdef class Credentials:
    cdef dict values           # number -> SecretValue or None
    cdef dict known            # name -> Credential, of the active generation; another one with each
    cdef bint complete         # each of them has a value

    cdef Credential find(self, str name)
    cdef void bind(self)
    # Those of a generation that becomes active; values of others are forgotten.
    cdef void settle(self, list wanted)
