"""Claims of a source: a token's, and those of a peer that may speak for others. See claims.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.time cimport time

from gateway.c.spiffe cimport sl_spiffe, sl_spiffe_read


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
    """Made by the entrance of a connection, or by a request with such fields (speakers.pyx)."""

    cdef bint rename(self, list domains) noexcept:
        cdef sl_spiffe parts
        cdef int at
        self.namespace = self.account = None
        if not sl_spiffe_read(PyBytes_AS_STRING(self.identity), PyBytes_GET_SIZE(self.identity), &parts):
            return False
        domain = parts.domain[:parts.domain_length]
        for at in range(len(domains)):
            if domains[at] == domain:
                if at == 0 and parts.namespace_ is not NULL:
                    self.namespace = parts.namespace_[:parts.namespace_length]
                    self.account = parts.account[:parts.account_length]
                return True
        return False
