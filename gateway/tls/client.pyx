"""TLS towards parents and origins, made from gateway.contract.TlsClientSettings: CAs, names, a certificate to show. The
library's part is csrc/tls/tls_client.h.

Each set of settings is one client for all legs, so that sessions are resumed; a reload that leaves it alone keeps it.
"""

import hashlib

cimport cython
from libc.stdint cimport uint8_t
from libc.string cimport memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from gateway.c.tls cimport (
    SL_TLS_CLIENT_NAMES, TLS1_2_VERSION, TLS1_3_VERSION, X509_STORE_free, sl_tls_alert_of, sl_tls_client_begin,
    sl_tls_client_end, sl_tls_client_leg, sl_tls_client_options, sl_tls_client_peer, sl_tls_context_store,
    sl_tls_facts, sl_tls_facts_of, sl_tls_pair, sl_tls_result_of, sl_tls_text,
)


cdef sl_tls_text text_of(bytes text):
    cdef sl_tls_text found
    found.text = NULL if text is None else PyBytes_AS_STRING(text)
    found.length = 0 if text is None else <size_t> PyBytes_GET_SIZE(text)
    return found


cdef bytes digest_of(settings, bytes authorities):
    """A digest of all that a client is made from."""
    pair = settings["certificate"]
    parts = [
        repr((settings["server_name"], list(settings["sans"]), settings["min_version"],
              list(settings["alpn"]))).encode(),
        authorities, pair["chain"] if pair else b"", pair["key"] if pair else b"",
    ]
    found = hashlib.sha256()
    for part in parts:
        found.update(b"%d:" % len(part) + part)
    return found.digest()


@cython.final
cdef class TlsStore:
    """All CAs of a PEM text. Raises ValueError where one cannot be read."""

    def __init__(self, bytes text):
        cdef sl_tls_text given = text_of(text)
        self.text = text
        self.store = sl_tls_context_store(&given)
        if self.store is NULL:
            raise ValueError("the certificates of a CA cannot be read")

    def __dealloc__(self):
        if self.store is not NULL:
            X509_STORE_free(self.store)


@cython.final
cdef class TlsClient:
    """`settings`: a TlsClientSettings. Raises ValueError with the library's reason."""

    def __init__(self, settings, TlsStore authorities, bytes digest):
        cdef const char *names[SL_TLS_CLIENT_NAMES]
        cdef sl_tls_client_options options
        cdef sl_tls_pair pair
        cdef const char *reason = NULL
        cdef bytes text
        memset(&options, 0, sizeof(options))
        self.authorities, self.digest = authorities, digest
        if len(settings["sans"]) > <int> SL_TLS_CLIENT_NAMES:
            raise ValueError("too many names")
        self.texts = [name.encode("ascii") for name in settings["sans"]]
        for text in self.texts:
            names[options.name_count] = PyBytes_AS_STRING(text)
            options.name_count += 1
        # The client keeps the array as well as the texts.
        text = (<const char *> names)[:<size_t> options.name_count * sizeof(names[0])]
        self.texts.append(text)
        options.names = <const char *const *> <const void *> PyBytes_AS_STRING(text)
        if settings["server_name"] is not None:
            text = settings["server_name"].encode("ascii")
            self.texts.append(text)
            options.server_name = PyBytes_AS_STRING(text)
        if settings["certificate"] is not None:
            pair.chain, pair.key = text_of(settings["certificate"]["chain"]), text_of(settings["certificate"]["key"])
            options.pair = &pair
        text = b"".join([bytes((len(one),)) + one.encode("ascii") for one in settings["alpn"]])
        options.protocols = <const uint8_t *> PyBytes_AS_STRING(text)
        options.protocols_length = <unsigned> PyBytes_GET_SIZE(text)
        self.offers_http2 = "h2" in settings["alpn"]
        options.min_version = TLS1_3_VERSION if settings["min_version"] == "1.3" else TLS1_2_VERSION
        options.authorities = authorities.store
        if not sl_tls_client_begin(&self.client, &options, &reason):
            raise ValueError((<bytes> reason).decode("ascii"))

    def __dealloc__(self):
        sl_tls_client_end(&self.client)

    cdef bint begin(self, sl_leg *leg, TlsWork work, bytes name) noexcept:
        return sl_tls_client_leg(&self.client, leg, &work.work, PyBytes_AS_STRING(name))

    cdef sl_tls_result result(self, const sl_leg *leg) noexcept:
        return sl_tls_result_of(leg)

    cdef TlsSession finished(self, const sl_leg *leg):
        cdef TlsSession session = TlsSession.__new__(TlsSession)
        cdef const char *peer = sl_tls_client_peer(&self.client, leg)
        cdef sl_tls_facts facts
        sl_tls_facts_of(leg, &facts)
        session.note(&facts)
        if peer is not NULL:
            session.identity = peer
        return session

    cdef bint was_refused(self, const sl_leg *leg) noexcept:
        return sl_tls_alert_of(leg) is not NULL


@cython.final
cdef class TlsClients:
    """`system_ca`: the system's CAs as PEM text, None where no settings use them. Raises ValueError."""

    def __init__(self, TlsClients before, bytes system_ca):
        self.known = {}
        self.before = before
        if system_ca is not None:
            self.system = before.system if before is not None else None
            if self.system is None or self.system.text != system_ca:
                self.system = TlsStore(system_ca)

    cdef TlsClient client(self, settings):
        cdef bytes authorities = settings["ca"] if settings["ca"] is not None else self.system.text
        cdef bytes digest = digest_of(settings, authorities)
        found = self.known.get(digest)
        if found is None and self.before is not None:
            found = self.before.known.get(digest)
        if found is None:
            store = self.system if settings["ca"] is None else TlsStore(authorities)
            found = TlsClient(settings, store, digest)
        self.known[digest] = found
        return found

    cdef void settle(self) noexcept:
        self.before = None
