# TLS towards parents and origins, and the settings that generations share.
from gateway.c.contract cimport sl_tls_result
from gateway.c.leg cimport sl_leg
from gateway.c.tls cimport X509_STORE, sl_tls_client
from gateway.tls.server cimport TlsWork
from gateway.tls.session cimport TlsSession

# A store of CAs, shared by all clients that trust them.
cdef class TlsStore:
    cdef X509_STORE *store
    cdef readonly bytes text

cdef class TlsClient:
    cdef sl_tls_client client
    cdef TlsStore authorities
    cdef list texts            # keeps all texts alive
    cdef readonly bytes digest  # equal for equal settings
    cdef readonly bint offers_http2

    # Puts TLS on a leg whose peer listens; False without memory. `name`: the host, or the address as text.
    cdef bint begin(self, sl_leg *leg, TlsWork work, bytes name) noexcept
    # What came of a handshake that is done, or has failed.
    cdef sl_tls_result result(self, const sl_leg *leg) noexcept
    # The facts of a handshake that is done.
    cdef TlsSession finished(self, const sl_leg *leg)
    # Whether the peer has ended the leg by an alert, though its handshake was done: TLS 1.3 refuses certificates so.
    cdef bint was_refused(self, const sl_leg *leg) noexcept

# Those of one generation. They are the ones of the generation before where the settings are the same, with the sessions
# that can be resumed.
cdef class TlsClients:
    cdef dict known            # digest -> TlsClient
    cdef TlsClients before     # until settle()
    cdef TlsStore system       # CAs of the system; None: no settings use them

    cdef TlsClient client(self, settings)
    # No further settings come.
    cdef void settle(self) noexcept
