/* Sessions and certificates of clients, see tls_session.h and tls_server.h. */
#include "tls/tls_session.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <string.h>
#include <time.h>

#include "tls/tls_leg.h"

/* What a ticket says of the chain that was verified when its session began: the chain itself is not in it. The keys are
 * those of the CAs and CRLs of today, else the ticket could not be read; so only times are left to be judged again. */
struct verified {
    uint64_t domains; /* as sl_tls_domains_of() says */
    int64_t until;    /* Unix seconds: the first end among the times of its certificates */
};

int64_t sl_tls_seconds(const ASN1_TIME *time)
{
    struct tm tm;
    memset(&tm, 0, sizeof tm);
    return time && ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static struct verified of_chain(const struct sl_tls_server *server, const STACK_OF(X509) * chain)
{
    struct verified found = {.domains = sl_tls_domains_of(&server->trust, chain), .until = INT64_MAX};
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t end = sl_tls_seconds(X509_get0_notAfter(sk_X509_value(chain, i)));
        if (end < found.until) found.until = end;
    }
    return found;
}

/* What is known of the session's chain: verified in this handshake, or when the session began. 1, or 0. */
static int of_session(const struct sl_tls_server *server, SSL *ssl, SSL_SESSION *session, struct verified *out)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    void *data = NULL;
    size_t length = 0;
    if (chain && sk_X509_num(chain) > 0) {
        *out = of_chain(server, chain);
        return 1;
    }
    if (!session || SSL_SESSION_get0_ticket_appdata(session, &data, &length) != 1 || length != sizeof *out) return 0;
    memcpy(out, data, sizeof *out);
    return 1;
}

/* ---- tickets ----------------------------------------------------------------------------------------------------- */

static int seal_or_open(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
                        int sealing)
{
    struct sl_tls_server *server = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    if (!sl_tls_tickets_advance(&server->tickets, (uint64_t)time(NULL))) return -1;
    return sl_tls_tickets_apply(&server->tickets, name, iv, cipher, mac, sealing);
}

static int write_verified(SSL *ssl, void *argument)
{
    SSL_SESSION *session = SSL_get_session(ssl);
    struct verified known;
    if (!SSL_SESSION_get0_peer(session)) return 1;
    return of_session(argument, ssl, session, &known) &&
           SSL_SESSION_set1_ticket_appdata(session, &known, sizeof known) == 1;
}

/* A session whose certificates or revocation lists have run out begins anew, and the full handshake says why. */
static SSL_TICKET_RETURN read_verified(SSL *ssl, SSL_SESSION *session, const unsigned char *name, size_t name_length,
                                       SSL_TICKET_STATUS status, void *argument)
{
    const struct sl_tls_server *server = argument;
    int64_t now = (int64_t)time(NULL);
    struct verified known;
    (void)name, (void)name_length;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW) return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (SSL_SESSION_get0_peer(session) && (!of_session(server, ssl, session, &known) || known.until <= now ||
                                           (server->crl_until && server->crl_until <= now)))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

int sl_tls_sessions(SSL_CTX *context, struct sl_tls_server *server, const uint8_t *scope)
{
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    if (!server->tickets.period) {
        SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
        return SSL_CTX_set_num_tickets(context, 0) == 1;
    }
    SSL_CTX_set_app_data(context, server);
    SSL_CTX_set_timeout(context, SL_TLS_TICKET_PERIOD);
    return SSL_CTX_set_num_tickets(context, 1) == 1 &&
           SSL_CTX_set_session_id_context(context, scope, SL_TLS_TICKET_SCOPE) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(context, seal_or_open) == 1 &&
           SSL_CTX_set_session_ticket_cb(context, write_verified, read_verified, server) == 1;
}

/* ---- certificates of clients ------------------------------------------------------------------------------------- */

int sl_tls_server_client(const struct sl_tls_server *server, const struct sl_leg *leg,
                         struct sl_tls_client_certificate *certificate)
{
    SSL *ssl = sl_tls_leg_ssl(leg);
    STACK_OF(X509) *chain = ssl ? SSL_get_peer_cert_chain(ssl) : NULL;
    struct verified known = {0};
    certificate->leaf = ssl ? SSL_get1_peer_certificate(ssl) : NULL;
    certificate->chain = NULL;
    if (!certificate->leaf) return 0;
    if (chain && sk_X509_num(chain) > 0) certificate->chain = X509_chain_up_ref(chain);
    of_session(server, ssl, SSL_get_session(ssl), &known);
    certificate->until = sl_tls_seconds(X509_get0_notAfter(certificate->leaf));
    sl_tls_identify(&server->trust, certificate->leaf, known.domains, &certificate->identity);
    ERR_clear_error();
    return 1;
}

int sl_tls_server_verify(const struct sl_tls_server *server, struct sl_tls_client_certificate *certificate)
{
    X509_STORE_CTX *look = X509_STORE_CTX_new();
    int stands = look && SSL_CTX_get_verify_mode(server->contexts[0]) != SSL_VERIFY_NONE &&
                 X509_STORE_CTX_init(look, SSL_CTX_get_cert_store(server->contexts[0]), certificate->leaf,
                                     certificate->chain) == 1 &&
                 X509_STORE_CTX_set_default(look, "ssl_client") == 1;
    if (stands) {
        X509_STORE_CTX_set_flags(look, X509_V_FLAG_NO_CHECK_TIME);
        stands = X509_verify_cert(look) == 1;
    }
    if (stands)
        sl_tls_identify(&server->trust, certificate->leaf,
                        sl_tls_domains_of(&server->trust, X509_STORE_CTX_get0_chain(look)), &certificate->identity);
    X509_STORE_CTX_free(look);
    ERR_clear_error();
    return stands;
}
