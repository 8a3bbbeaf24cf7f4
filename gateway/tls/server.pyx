"""TLS of one listener, made from gateway.contract.TlsSettings: certificates chosen by SNI, protocols by ALPN, clients
by their certificate. The library's part is csrc/tls/tls_server.h."""

import hashlib

from libc.string cimport memset
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from gateway.c.tls cimport (
    SL_TLS_CLIENT_OFF, SL_TLS_CLIENT_OPTIONAL, SL_TLS_CLIENT_REQUIRED, SL_TLS_DOMAINS_MOST, SL_TLS_PAIRS_MOST,
    SL_TLS_ROLE_CN, SL_TLS_ROLE_NONE, SL_TLS_ROLE_OU, SL_TLS_TICKET_SCOPE, SL_TLS_TICKET_SECRET, TLS1_2_VERSION,
    TLS1_3_VERSION, sl_tls_alert_of, sl_tls_client_certificate, sl_tls_client_mode, sl_tls_domain_text, sl_tls_facts,
    sl_tls_facts_of, sl_tls_leg_begin, sl_tls_pair, sl_tls_result_of, sl_tls_role, sl_tls_server_begin,
    sl_tls_server_client, sl_tls_server_end, sl_tls_server_options, sl_tls_server_verify, sl_tls_text,
    sl_tls_work_begin, sl_tls_work_end,
)

# ALPN as on the wire, by the listener's protocol: what each of them can speak, best first. Static, as the library keeps
# no copy.
cdef const char *BOTH = b"\x02h2\x08http/1.1"
cdef const char *ONLY_HTTP1 = b"\x08http/1.1"
cdef const char *ONLY_HTTP2 = b"\x02h2"
cdef dict CLIENTS = {
    "off": SL_TLS_CLIENT_OFF, "optional": SL_TLS_CLIENT_OPTIONAL, "required": SL_TLS_CLIENT_REQUIRED,
}
cdef dict ROLES = {None: SL_TLS_ROLE_NONE, "CN": SL_TLS_ROLE_CN, "OU": SL_TLS_ROLE_OU}


cdef const char *spoken(str protocol):
    if protocol == "auto":
        return BOTH
    if protocol == "http":
        return ONLY_HTTP1
    return ONLY_HTTP2 if protocol in ("http2tunnel", "hbone") else NULL


cdef sl_tls_text text_of(bytes text):
    cdef sl_tls_text found
    found.text = NULL if text is None else PyBytes_AS_STRING(text)
    found.length = 0 if text is None else <size_t> PyBytes_GET_SIZE(text)
    return found


cdef class TlsWork:
    """See server.pxd."""

    def __cinit__(self):
        if not sl_tls_work_begin(&self.work):
            raise MemoryError

    def __dealloc__(self):
        sl_tls_work_end(&self.work)


cdef bytes digest_of(settings):
    """A digest of all that certificates of clients are judged by."""
    found = hashlib.sha256(repr((settings["client_certificate"], settings["role"])).encode())
    parts = [settings["client_ca"], settings["crl"]]
    for domain in settings["trust_domains"]:
        parts += [domain["name"].encode(), (domain["linkerd"] or "").encode(), domain["ca"]]
    for part in parts:
        found.update(b"-" if part is None else b"%d:" % len(part) + part)
    return found.digest()


cdef class TlsServer:
    """`settings`: a TlsSettings; `protocol`: the listener's; `tickets`: a TicketSettings. Raises ValueError with the
    library's reason."""

    def __init__(self, settings, str protocol, tickets):
        cdef sl_tls_pair pairs[SL_TLS_PAIRS_MOST]
        cdef sl_tls_domain_text domains[SL_TLS_DOMAINS_MOST]
        cdef sl_tls_server_options options
        cdef const char *reason = NULL
        memset(&options, 0, sizeof(options))
        certificates, trusted = settings["certificates"], settings["trust_domains"]
        if len(certificates) > <int> SL_TLS_PAIRS_MOST or len(trusted) > <int> SL_TLS_DOMAINS_MOST:
            raise ValueError("too many certificates or trust domains")
        for pair in certificates:
            pairs[options.pair_count].chain = text_of(pair["chain"])
            pairs[options.pair_count].key = text_of(pair["key"])
            options.pair_count += 1
        self.texts = [(domain["name"].encode("ascii"), (domain["linkerd"] or "").encode("ascii"), domain["ca"])
                      for domain in trusted]
        for name, linkerd, authorities in self.texts:
            domains[options.domain_count].name = PyBytes_AS_STRING(<bytes> name)
            domains[options.domain_count].linkerd = PyBytes_AS_STRING(<bytes> linkerd)
            domains[options.domain_count].authorities = text_of(authorities)
            options.domain_count += 1
        options.pairs, options.domains = pairs, domains
        options.client_ca, options.crl = text_of(settings["client_ca"]), text_of(settings["crl"])
        options.client = <sl_tls_client_mode> <int> CLIENTS[settings["client_certificate"]]
        options.role = <sl_tls_role> <int> ROLES[settings["role"]]
        options.min_version = TLS1_3_VERSION if settings["min_version"] == "1.3" else TLS1_2_VERSION
        options.protocols = spoken(protocol)
        scope, secret = settings["scope"], tickets["secret"]
        if len(scope) != <int> SL_TLS_TICKET_SCOPE or len(secret) != <int> SL_TLS_TICKET_SECRET:
            raise ValueError("the secret of session tickets is not of its size")
        options.scope = <const uint8_t *> PyBytes_AS_STRING(<bytes> scope)
        options.ticket_secret = <const uint8_t *> PyBytes_AS_STRING(<bytes> secret)
        options.ticket_period = tickets["period"]
        if not sl_tls_server_begin(&self.server, &options, &reason):
            raise ValueError((<bytes> reason).decode("ascii"))
        self.trust = digest_of(settings)

    def __dealloc__(self):
        sl_tls_server_end(&self.server)

    cdef bint begin(self, sl_leg *leg, TlsWork work) noexcept:
        return sl_tls_leg_begin(leg, &work.work, self.server.contexts[0], True)

    cdef sl_tls_result result(self, const sl_leg *leg) noexcept:
        return sl_tls_result_of(leg)

    cdef TlsSession finished(self, const sl_leg *leg):
        cdef TlsSession session = TlsSession.__new__(TlsSession)
        cdef sl_tls_client_certificate certificate
        cdef sl_tls_facts facts
        sl_tls_facts_of(leg, &facts)
        session.note(&facts)
        if sl_tls_server_client(&self.server, leg, &certificate):
            session.take(&certificate)
            session.trust = self.trust
        return session

    cdef bint admits(self, TlsSession session) noexcept:
        cdef sl_tls_client_certificate certificate
        if session.trust != self.trust:
            certificate.leaf, certificate.chain = session.leaf, session.chain
            session.standing = sl_tls_server_verify(&self.server, &certificate)
            session.trust = self.trust
            if session.standing:
                session.rename(&certificate)
        return session.standing


cdef TlsSession unfinished(const sl_leg *leg, sl_tls_result why):
    cdef TlsSession session = TlsSession.__new__(TlsSession)
    cdef sl_tls_facts facts
    sl_tls_facts_of(leg, &facts)
    session.note(&facts)
    session.blame(why, sl_tls_alert_of(leg))
    return session
