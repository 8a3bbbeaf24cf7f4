"""The facts of one handshake with a client: what was agreed on, for logs, and the certificate with its identity, for
decisions. All requests of a connection share one. The certificate is kept as it came: it can be judged again."""

cimport cython
from libc.stdint cimport int64_t
from libc.time cimport time

from gateway.c.tls cimport (
    SL_TLS_IDENTITY_FOUND, sl_tls_client_certificate_free, sl_tls_facts, sl_tls_identity_fault,
)

cdef dict GROUPS = {}  # the names of the library's groups, each once

# ALPN that listeners choose from (server.pyx).
cdef const char *H2 = b"h2"
cdef const char *HTTP1 = b"http/1.1"


@cython.final
cdef class TlsSession:
    """See session.pxd."""

    def __dealloc__(self):
        cdef sl_tls_client_certificate held
        held.leaf, held.chain = self.leaf, self.chain
        sl_tls_client_certificate_free(&held)

    cdef void note(self, const sl_tls_facts *facts) noexcept:
        self.version, self.cipher = facts.version, facts.cipher
        if facts.group is not NULL:
            self.group = GROUPS.setdefault(<bytes> facts.group, <bytes> facts.group)
        if facts.alpn_length:
            self.alpn = H2 if facts.alpn_length == 2 else HTTP1
        if facts.sni is not NULL:
            self.sni = facts.sni
        self.verified = time(NULL)

    cdef void take(self, sl_tls_client_certificate *certificate) noexcept:
        self.leaf, self.chain = certificate.leaf, certificate.chain
        self.until = certificate.until
        self.standing = True
        self.rename(certificate)

    cdef void rename(self, const sl_tls_client_certificate *certificate) noexcept:
        self.identity = self.namespace = self.account = None
        self.fault = sl_tls_identity_fault(certificate.identity.status)
        if certificate.identity.status == SL_TLS_IDENTITY_FOUND:
            self.identity = certificate.identity.text
            if certificate.identity.namespace_[0]:
                self.namespace, self.account = certificate.identity.namespace_, certificate.identity.account

    cdef bint is_over(self) noexcept:
        return self.leaf is not NULL and self.until <= time(NULL)

    cdef bint is_spent(self, int64_t seconds) noexcept:
        return self.is_over() and self.verified + seconds <= time(NULL)
