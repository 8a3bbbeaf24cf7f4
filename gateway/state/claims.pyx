"""Claims of a source: a token's, and those of a peer that may speak for others. See claims.pxd."""

cimport cython
from libc.time cimport time


@cython.final
cdef class Token:
    """Made from gateway.contract.TokenFacts, as the supervisor answers them."""

    def __init__(self, facts):
        self.user, self.namespace, self.account = facts["user"], facts["namespace"], facts["account"]
        self.subject, self.credential, self.until = facts["subject"], facts["credential"], facts["until"]
        self.verified = time(NULL)

    cdef bint is_over(self) noexcept:
        return self.until <= time(NULL)

    cdef bint is_spent(self, int64_t seconds) noexcept:
        return self.is_over() and self.verified + seconds <= time(NULL)


@cython.final
cdef class Forwarded:
    """Made by the entrance of a connection, or by a request with such fields."""
