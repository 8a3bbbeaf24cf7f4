"""The facts of one handshake: what was agreed on, for logs. With a client, its certificate and identity as well, for
decisions: all requests of a connection share one, and the certificate is kept as it came: it can be judged again."""

cimport cython
from libc.stdint cimport int64_t
from libc.time cimport time
from cpython.bytes cimport PyBytes_AS_STRING

from gateway.c.contract cimport sl_tls_result, sl_tls_result_text
from gateway.c.tls cimport (
    SL_TLS_IDENTITY_FOUND, sl_tls_client_certificate_free, sl_tls_facts, sl_tls_identity_fault,
)

cdef dict GROUPS = {}  # the names of the library's groups, each once

cdef dict PROTOCOLS = {}  # that ALPN has chosen, likewise: all of them are of the configuration
cdef dict FAULTS = {}  # of handshakes that an alert has ended, likewise


cdef const char *interned(dict known, bytes text):
    return PyBytes_AS_STRING(<bytes> known.setdefault(text, text))


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
            self.alpn = interned(PROTOCOLS, (<const char *> facts.alpn)[:facts.alpn_length])
        if facts.sni is not NULL:
            self.sni = facts.sni
        self.verified = time(NULL)

    cdef void blame(self, sl_tls_result why, const char *alert) noexcept:
        if alert is NULL:
            self.fault = sl_tls_result_text(why)
        else:
            self.fault = interned(FAULTS, b"alert_" + (<bytes> alert).replace(b" ", b"_"))

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
