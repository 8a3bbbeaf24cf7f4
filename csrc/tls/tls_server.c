/* The listener's side of TLS, see tls_server.h. */
#include "tls/tls_server.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <time.h>

#include "tls/tls_leg.h"
#include "tls/tls_session.h"

static int trust_all(SSL_CTX *context, const STACK_OF(X509) * authorities)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    int done = 1;
    for (int i = 0; done && i < sk_X509_num(authorities); i++)
        done = X509_STORE_add_cert(store, sk_X509_value(authorities, i)) == 1 &&
               SSL_CTX_add_client_CA(context, sk_X509_value(authorities, i)) == 1;
    return done;
}

/* Who may sign the certificates of clients. */
static int trust(SSL_CTX *context, const struct sl_tls_server *server, const struct sl_tls_text *client_ca)
{
    STACK_OF(X509) * authorities;
    int done = server->trust.count > 0;
    if (client_ca->text) {
        authorities = sl_tls_text_certificates(client_ca);
        done = authorities && trust_all(context, authorities);
        sk_X509_pop_free(authorities, X509_free);
        return done;
    }
    for (int i = 0; done && i < server->trust.count; i++)
        done = trust_all(context, server->trust.domains[i].authorities);
    return done;
}

static int revoke(SSL_CTX *context, const struct sl_tls_text *text, int64_t *until)
{
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    BIO *bio = sl_tls_text_open(text);
    int count = 0, done = bio != NULL;
    X509_CRL *one;
    while (done && (one = PEM_read_bio_X509_CRL(bio, NULL, sl_tls_no_password, NULL))) {
        int64_t end = X509_CRL_get0_nextUpdate(one) ? sl_tls_seconds(X509_CRL_get0_nextUpdate(one)) : INT64_MAX;
        done = X509_STORE_add_crl(store, one) == 1;
        if (!*until || end < *until) *until = end;
        count++;
        X509_CRL_free(one);
    }
    done = done && sl_tls_text_at_end() && count;
    BIO_free(bio);
    return done && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL) == 1;
}

/* RFC 7301 3.2; our order counts. A client that offers no such protocol goes on without: its first bytes tell. */
static int choose_protocol(SSL *ssl, const unsigned char **chosen, unsigned char *length, const unsigned char *offered,
                           unsigned int count, void *argument)
{
    const struct sl_tls_server *server = argument;
    unsigned char *found;
    int status = SSL_select_next_proto(&found, length, (const unsigned char *)server->protocols,
                                       (unsigned int)strlen(server->protocols), offered, count);
    (void)ssl;
    if (status != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_NOACK;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

/* RFC 6066 3; the first certificate that has the name. */
static int choose_certificate(SSL *ssl, int *alert, void *argument)
{
    const struct sl_tls_server *server = argument;
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    for (int i = 0; name && i < server->count; i++)
        if (X509_check_host(SSL_CTX_get0_certificate(server->contexts[i]), name, 0, 0, NULL) == 1) {
            SSL_set_SSL_CTX(ssl, server->contexts[i]);
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

static const char *fill_context(struct sl_tls_server *server, SSL_CTX *context,
                                const struct sl_tls_server_options *options, const struct sl_tls_pair *pair)
{
    int mode = options->client == SL_TLS_CLIENT_OFF        ? SSL_VERIFY_NONE
               : options->client == SL_TLS_CLIENT_REQUIRED ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT
                                                           : SSL_VERIFY_PEER;
    const char *reason = sl_tls_context_strengthen(context, options->min_version);
    if (reason) return reason;
    if (!sl_tls_sessions(context, server, options->scope)) return "sessions cannot be bound to the listener";
    if ((reason = sl_tls_context_show(context, pair))) return reason;
    if (options->client != SL_TLS_CLIENT_OFF && !trust(context, server, &options->client_ca))
        return "the certificates of the client CA cannot be read";
    if (options->crl.text && !revoke(context, &options->crl, &server->crl_until))
        return "the revocation list cannot be read";
    SSL_CTX_set_verify(context, mode, NULL);
    return NULL;
}

/* What all contexts share. */
static const char *fill_server(struct sl_tls_server *server, const struct sl_tls_server_options *options)
{
    if (options->pair_count < 1 || options->pair_count > SL_TLS_PAIRS_MOST) return "no certificate, or too many";
    if (!sl_tls_trust_begin(&server->trust, options->domains, options->domain_count, options->role))
        return "the certificates of a trust domain cannot be read";
    if (options->ticket_secret &&
        !sl_tls_tickets_begin(&server->tickets, options->ticket_period, options->ticket_secret, options->scope))
        return "the library derives no keys";
    return NULL;
}

int sl_tls_server_begin(struct sl_tls_server *server, const struct sl_tls_server_options *options, const char **reason)
{
    *server = (struct sl_tls_server){.protocols = options->protocols};
    ERR_clear_error();
    *reason = fill_server(server, options);
    for (int i = 0; !*reason && i < options->pair_count; i++) {
        SSL_CTX *context = sl_tls_context(1);
        server->contexts[i] = context;
        server->count = i + (context != NULL);
        ERR_clear_error();
        *reason = context ? fill_context(server, context, options, &options->pairs[i]) : "no memory";
        if (*reason) break;
        if (options->protocols) SSL_CTX_set_alpn_select_cb(context, choose_protocol, server);
        SSL_CTX_set_tlsext_servername_callback(context, choose_certificate);
        SSL_CTX_set_tlsext_servername_arg(context, server);
    }
    ERR_clear_error();
    if (*reason) sl_tls_server_end(server);
    return !*reason;
}

void sl_tls_server_end(struct sl_tls_server *server)
{
    for (int i = 0; i < server->count; i++) SSL_CTX_free(server->contexts[i]);
    server->count = 0;
    sl_tls_trust_end(&server->trust);
    sl_tls_tickets_end(&server->tickets);
}
