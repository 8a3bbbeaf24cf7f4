/* TLS towards a parent or an origin, see tls_client.h. */
#include "tls/tls_client.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls/tls_leg.h"
#include "tls/tls_session.h"

enum { HOST_FLAGS = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT };

static int is_address(const char *name)
{
    unsigned char bytes[16];
    return inet_pton(AF_INET, name, bytes) == 1 || inet_pton(AF_INET6, name, bytes) == 1;
}

/* ---- names ------------------------------------------------------------------------------------------------------- */

static int has_uri(X509 *leaf, const char *uri)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t length = strlen(uri);
    int found = 0;
    for (int i = 0; !found && i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(names, i);
        found = one->type == GEN_URI && (size_t)ASN1_STRING_length(one->d.uniformResourceIdentifier) == length &&
                memcmp(ASN1_STRING_get0_data(one->d.uniformResourceIdentifier), uri, length) == 0;
    }
    GENERAL_NAMES_free(names);
    return found;
}

static int has_name(X509 *leaf, const char *name)
{
    if (strstr(name, "://")) return has_uri(leaf, name);
    if (is_address(name)) return X509_check_ip_asc(leaf, name, 0) == 1;
    return X509_check_host(leaf, name, 0, HOST_FLAGS, NULL) == 1;
}

static const char *name_of(const struct sl_tls_client *client, X509 *leaf)
{
    for (int i = 0; i < client->name_count; i++)
        if (has_name(leaf, client->names[i])) return client->names[i];
    return NULL;
}

/* The chain as always, then the list of names. */
static int verify(X509_STORE_CTX *look, void *argument)
{
    X509 *leaf;
    int named;
    if (X509_verify_cert(look) != 1) return 0;
    leaf = X509_STORE_CTX_get0_cert(look);
    ERR_set_mark();
    named = leaf && name_of(argument, leaf);
    ERR_pop_to_mark();
    if (named) return 1;
    X509_STORE_CTX_set_error(look, X509_V_ERR_HOSTNAME_MISMATCH);
    return 0;
}

/* The name that sessions are kept by, as it is verified; "": by the list of names. 1, or 0 for one that is too long. */
static int session_name(SSL *ssl, char *out, size_t room)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), *found;
    char *address;
    int fits;
    ERR_set_mark(); /* no address is an error to the library, and would be taken for one of the call around this */
    address = name ? NULL : X509_VERIFY_PARAM_get1_ip_asc(SSL_get0_param(ssl));
    ERR_pop_to_mark();
    found = name ? name : address ? address : "";
    fits = strlen(found) < room;
    if (fits) memcpy(out, found, strlen(found) + 1);
    OPENSSL_free(address);
    return fits;
}

const char *sl_tls_client_peer(const struct sl_tls_client *client, const struct sl_leg *leg)
{
    SSL *ssl = sl_tls_leg_ssl(leg);
    X509 *leaf = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
    if (!leaf) return NULL;
    if (client->name_count) return name_of(client, leaf);
    return client->server_name ? client->server_name : SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
}

/* ---- sessions ---------------------------------------------------------------------------------------------------- */

static struct sl_tls_kept *place_of(const struct sl_tls_client *client, const char *name)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (const char *at = name; *at; at++) hash = (hash ^ (uint8_t)*at) * 16777619u;
    return &client->kept[hash % SL_TLS_CLIENT_SESSIONS];
}

static void drop(struct sl_tls_kept *place)
{
    SSL_SESSION_free(place->session);
    place->session = NULL;
}

/* The first end among the times of the chain that was verified when the session began: Unix seconds, in the session. A
 * resumed session has no chain, and the end of the one that it came from. The library copies such data with a session;
 * of application data it can copy none before an index was registered for the whole process. */
static void note_end(SSL *ssl, SSL_SESSION *session)
{
    STACK_OF(X509) *chain = SSL_get0_verified_chain(ssl);
    int64_t until = INT64_MAX;
    if (!chain || sk_X509_num(chain) == 0) return;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int64_t end = sl_tls_seconds(X509_get0_notAfter(sk_X509_value(chain, i)));
        if (end < until) until = end;
    }
    SSL_SESSION_set1_ticket_appdata(session, &until, sizeof until);
}

static int is_current(SSL_SESSION *session)
{
    int64_t now = (int64_t)time(NULL), until = 0;
    void *data = NULL;
    size_t length = 0;
    if (SSL_SESSION_get0_ticket_appdata(session, &data, &length) == 1 && length == sizeof until)
        memcpy(&until, data, sizeof until);
    if (!SSL_SESSION_is_resumable(session)) return 0;
    return until > now && SSL_SESSION_get_time(session) + SSL_SESSION_get_timeout(session) > now;
}

/* 1: the reference is kept. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct sl_tls_client *client = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    char name[SL_TLS_SESSION_NAME];
    struct sl_tls_kept *place;
    if (!client || !session_name(ssl, name, sizeof name)) return 0;
    if (!client->kept && !(client->kept = calloc(SL_TLS_CLIENT_SESSIONS, sizeof *client->kept))) return 0;
    note_end(ssl, session);
    place = place_of(client, name);
    drop(place);
    place->session = session;
    memcpy(place->name, name, strlen(name) + 1);
    return 1;
}

/* A ticket of TLS 1.3 is shown once (RFC 8446 C.4); the connection brings new ones. */
static void resume(struct sl_tls_client *client, SSL *ssl)
{
    char name[SL_TLS_SESSION_NAME];
    struct sl_tls_kept *place;
    if (!client->kept || !session_name(ssl, name, sizeof name)) return;
    place = place_of(client, name);
    if (!place->session || strcmp(place->name, name) != 0) return;
    if (!is_current(place->session)) {
        drop(place);
        return;
    }
    SSL_set_session(ssl, place->session);
    if (SSL_SESSION_get_protocol_version(place->session) >= TLS1_3_VERSION) drop(place);
}

/* ---- legs -------------------------------------------------------------------------------------------------------- */

static int expect(const struct sl_tls_client *client, SSL *ssl, const char *name)
{
    X509_VERIFY_PARAM *verified = SSL_get0_param(ssl);
    if (client->server_name) name = client->server_name;
    if (is_address(name)) {
        if (client->name_count) return 1; /* no SNI is sent for an address (RFC 6066 section 3) */
        return X509_VERIFY_PARAM_set1_ip_asc(verified, name) == 1;
    }
    if (SSL_set_tlsext_host_name(ssl, name) != 1) return 0;
    if (client->name_count) return 1;
    X509_VERIFY_PARAM_set_hostflags(verified, HOST_FLAGS);
    return X509_VERIFY_PARAM_set1_host(verified, name, 0) == 1;
}

int sl_tls_client_leg(struct sl_tls_client *client, struct sl_leg *leg, struct sl_tls_work *work, const char *name)
{
    struct sl_leg wrapped = *leg;
    int done;
    ERR_clear_error();
    if (!name || !*name || !sl_tls_leg_begin(&wrapped, work, client->context, 0)) return 0;
    done = expect(client, sl_tls_leg_ssl(&wrapped), name);
    if (done) resume(client, sl_tls_leg_ssl(&wrapped));
    ERR_clear_error();
    if (done)
        *leg = wrapped;
    else
        sl_tls_leg_take_off(&wrapped);
    return done;
}

/* ---- the client -------------------------------------------------------------------------------------------------- */

static const char *fill(struct sl_tls_client *client, const struct sl_tls_client_options *options)
{
    SSL_CTX *context = client->context = sl_tls_context(0);
    const char *reason = context ? sl_tls_context_strengthen(context, options->min_version) : "no memory";
    if (reason) return reason;
    if (options->pair && (reason = sl_tls_context_show(context, options->pair))) return reason;
    if (options->protocols_length && SSL_CTX_set_alpn_protos(context, options->protocols, options->protocols_length))
        return "the protocols of ALPN cannot be set";
    SSL_CTX_set1_cert_store(context, options->authorities);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    if (options->name_count) SSL_CTX_set_cert_verify_callback(context, verify, client);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_set_app_data(context, client);
    SSL_CTX_sess_set_new_cb(context, keep_session);
    return NULL;
}

int sl_tls_client_begin(struct sl_tls_client *client, const struct sl_tls_client_options *options, const char **reason)
{
    *client = (struct sl_tls_client){
        .server_name = options->server_name, .names = options->names, .name_count = options->name_count};
    ERR_clear_error();
    *reason = options->authorities ? fill(client, options) : "no CAs";
    ERR_clear_error();
    if (*reason) sl_tls_client_end(client);
    return !*reason;
}

void sl_tls_client_end(struct sl_tls_client *client)
{
    if (client->context) SSL_CTX_set_app_data(client->context, NULL); /* legs may outlive it */
    SSL_CTX_free(client->context);
    for (int i = 0; client->kept && i < SL_TLS_CLIENT_SESSIONS; i++) drop(&client->kept[i]);
    free(client->kept);
    *client = (struct sl_tls_client){0};
}
