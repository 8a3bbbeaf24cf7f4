# The facts of one handshake, and the certificate that a client has shown in it.
from libc.stdint cimport int64_t

from gateway.c.contract cimport sl_tls_result
from gateway.c.tls cimport X509, sl_tls_client_certificate, sl_tls_facts, stack_st_X509

cdef class TlsSession:
    cdef const char *version    # these three: texts for good, NULL where nothing was agreed on
    cdef const char *cipher
    cdef const char *alpn
    cdef bytes group            # of the key exchange; None: none. The library's text ends with its context
    cdef bytes sni              # asked for; a client's is untrusted; None: no name
    cdef const char *fault      # why the handshake failed, or why the certificate names nothing; NULL: neither
    cdef X509 *leaf             # the client's certificate; NULL: none
    cdef stack_st_X509 *chain   # the intermediate ones that came with it; NULL: none
    cdef int64_t until          # Unix seconds: the end of the certificate's own time
    cdef int64_t verified       # Unix seconds: of the handshake
    cdef bytes identity         # a SPIFFE ID or a role, of a parent or origin the name that was verified; None: none
    cdef bytes namespace        # of the first trust domain; None: none
    cdef bytes account
    cdef bytes settings         # of a tunnel to an origin: the policy's text for this TLS; None: it is no rule's
    cdef bytes trust            # under which the certificate was judged last (server.pyx)
    cdef bint standing          # it stands under that

    # What is known of a leg, whether its handshake is done or has failed.
    cdef void note(self, const sl_tls_facts *facts) noexcept
    # Why the handshake failed; `alert`: by the peer's, NULL where it sent none.
    cdef void blame(self, sl_tls_result why, const char *alert) noexcept
    # Takes over the references of a certificate, and what it stands for.
    cdef void take(self, sl_tls_client_certificate *certificate) noexcept
    # The identity alone; it may be another one under other trust.
    cdef void rename(self, const sl_tls_client_certificate *certificate) noexcept
    # Whether the certificate's own time is over.
    cdef bint is_over(self) noexcept
    # Whether it is over, and was verified `seconds` ago or earlier.
    cdef bint is_spent(self, int64_t seconds) noexcept
