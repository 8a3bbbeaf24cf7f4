# Claims of a source beside its certificate and its password: a token's, and those of a peer that may speak for others.
from libc.stdint cimport int64_t, uint64_t

from gateway.c.addr cimport sl_addr

cdef class Token:
    # A bearer token, as the supervisor has verified it.
    cdef bytes user            # by the claim of its issuer that names one; None: none
    cdef bytes namespace       # of the workload that it stands for; None: none
    cdef bytes account
    cdef bytes subject         # a digest of issuer and subject, which limits count by
    cdef uint64_t credential   # mark of issuer, key and audience: it stands as long as settings have it
    cdef int64_t until         # Unix seconds: `exp`
    cdef int64_t verified      # Unix seconds: of the check

    # Whether its own time is over.
    cdef bint is_over(self) noexcept
    # Whether it is over, and was verified `seconds` ago or earlier.
    cdef bint is_spent(self, int64_t seconds) noexcept

cdef class Forwarded:
    # Claims about a client, of a peer that may speak for others.
    cdef bytes identity        # a SPIFFE ID; None: none
    cdef bytes namespace       # of the first trust domain; None: none
    cdef bytes account
    cdef bytes baggage         # for the log alone; None: none
    cdef sl_addr speaker       # peer whose PROXY header has the identity; family 0: none
    cdef bint addressed        # the client's address is that of a field Forwarded, of a peer with a trusted certificate

    # Fills in what the identity means; False where it is of none of the domains.
    cdef bint rename(self, list domains) noexcept
