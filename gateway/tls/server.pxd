# What a TLS listener shows and asks, and the memory that the TLS legs of one worker share.
from gateway.c.contract cimport sl_tls_result
from gateway.c.leg cimport sl_leg
from gateway.c.tls cimport sl_tls_server, sl_tls_work
from gateway.tls.session cimport TlsSession

cdef class TlsWork:
    cdef sl_tls_work work

cdef class TlsServer:
    cdef sl_tls_server server
    cdef object texts          # keeps the texts of trust domains alive
    cdef bytes trust           # a digest of all that certificates of clients are judged by

    # Puts TLS on a leg whose peer speaks first; False without memory. The server has to live as long as the handshake.
    cdef bint begin(self, sl_leg *leg, TlsWork work) noexcept
    # What came of a handshake that is done, or has failed: FULL, RESUMED, or why.
    cdef sl_tls_result result(self, const sl_leg *leg) noexcept
    # The facts of a handshake that is done, with the client's certificate.
    cdef TlsSession finished(self, const sl_leg *leg)
    # Whether the certificate of a session stands under this server's CAs and CRLs; its identity is derived anew.
    cdef bint admits(self, TlsSession session) noexcept

# The facts of a handshake that is not done, and why.
cdef TlsSession unfinished(const sl_leg *leg, sl_tls_result why)
