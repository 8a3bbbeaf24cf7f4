# csrc/tls, as Cython sees it. Objects of libssl stay behind it.
from libc.stdint cimport int64_t, uint8_t, uint64_t

from gateway.c.contract cimport sl_tls_result
from gateway.c.leg cimport sl_leg

cdef extern from "<openssl/ssl.h>" nogil:
    struct SSL_CTX:
        pass
    ctypedef struct X509:
        pass
    struct stack_st_X509:
        pass
    ctypedef struct X509_STORE:
        pass
    void X509_STORE_free(X509_STORE *store)
    enum:
        TLS1_2_VERSION
        TLS1_3_VERSION

cdef extern from "tls/tls_leg.h" nogil:
    struct sl_tls_work:
        size_t buffered
    int sl_tls_work_begin(sl_tls_work *work)
    void sl_tls_work_end(sl_tls_work *work)
    int sl_tls_leg_begin(sl_leg *leg, sl_tls_work *work, SSL_CTX *parts, int server)

cdef extern from "tls/tls_facts.h" nogil:
    struct sl_tls_facts:
        const char *version
        const char *cipher
        const char *group
        const unsigned char *alpn
        unsigned alpn_length
        const char *sni
    void sl_tls_facts_of(const sl_leg *leg, sl_tls_facts *out)
    sl_tls_result sl_tls_result_of(const sl_leg *leg)
    const char *sl_tls_alert_of(const sl_leg *leg)

cdef extern from "tls/tls_text.h" nogil:
    struct sl_tls_text:
        const char *text
        size_t length

cdef extern from "tls/tls_context.h" nogil:
    struct sl_tls_pair:
        sl_tls_text chain
        sl_tls_text key
    X509_STORE *sl_tls_context_store(const sl_tls_text *authorities)

cdef extern from "tls/tls_client.h" nogil:
    enum:
        SL_TLS_CLIENT_NAMES
    struct sl_tls_client_options:
        X509_STORE *authorities
        const sl_tls_pair *pair
        const char *server_name
        const char *const *names
        int name_count
        int min_version
        const uint8_t *protocols
        unsigned protocols_length
    struct sl_tls_client:
        SSL_CTX *context
    int sl_tls_client_begin(sl_tls_client *client, const sl_tls_client_options *options, const char **reason)
    void sl_tls_client_end(sl_tls_client *client)
    int sl_tls_client_leg(sl_tls_client *client, sl_leg *leg, sl_tls_work *work, const char *name)
    const char *sl_tls_client_peer(const sl_tls_client *client, const sl_leg *leg)

cdef extern from "tls/tls_peer.h" nogil:
    enum:
        SL_TLS_DOMAINS_MOST
    enum sl_tls_role:
        SL_TLS_ROLE_NONE
        SL_TLS_ROLE_CN
        SL_TLS_ROLE_OU
    struct sl_tls_domain_text:
        const char *name
        const char *linkerd
        sl_tls_text authorities
    enum sl_tls_identity_status:
        SL_TLS_IDENTITY_NONE
        SL_TLS_IDENTITY_FOUND
        SL_TLS_IDENTITY_AMBIGUOUS
        SL_TLS_IDENTITY_INVALID
    struct sl_tls_identity:
        sl_tls_identity_status status
        const char *text
        const char *namespace_
        const char *account
    struct sl_tls_client_certificate:
        X509 *leaf
        stack_st_X509 *chain
        int64_t until
        sl_tls_identity identity
    void sl_tls_client_certificate_free(sl_tls_client_certificate *certificate)
    const char *sl_tls_identity_fault(sl_tls_identity_status status)

cdef extern from "tls/tls_server.h" nogil:
    enum:
        SL_TLS_PAIRS_MOST
        SL_TLS_TICKET_SCOPE
        SL_TLS_TICKET_SECRET
    enum sl_tls_client_mode:
        SL_TLS_CLIENT_OFF
        SL_TLS_CLIENT_OPTIONAL
        SL_TLS_CLIENT_REQUIRED
    struct sl_tls_server_options:
        const sl_tls_pair *pairs
        int pair_count
        sl_tls_text client_ca
        sl_tls_text crl
        sl_tls_client_mode client
        const sl_tls_domain_text *domains
        int domain_count
        sl_tls_role role
        int min_version
        const char *protocols
        const uint8_t *scope
        const uint8_t *ticket_secret
        uint64_t ticket_period
    struct sl_tls_server:
        SSL_CTX *contexts[SL_TLS_PAIRS_MOST]
        int count
        const char *protocols
    int sl_tls_server_begin(sl_tls_server *server, const sl_tls_server_options *options, const char **reason)
    void sl_tls_server_end(sl_tls_server *server)
    int sl_tls_server_client(const sl_tls_server *server, const sl_leg *leg, sl_tls_client_certificate *certificate)
    int sl_tls_server_verify(const sl_tls_server *server, sl_tls_client_certificate *certificate)
