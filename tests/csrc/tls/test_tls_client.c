/* TLS towards a parent or an origin: names that count, sessions that are resumed, and alerts of the peer. */
#include "check.h"

#include "tls/tls_client.h"
#include "tls/tls_facts.h"
#include "tls/tls_leg.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { CLIENT = 0, SERVER = 1 };

/* A certificate that is its own CA, with these names. */
struct shown {
    EVP_PKEY *key;
    X509 *certificate;
    char *pem;
    struct sl_tls_text text;
};

static void add(X509 *to, int kind, const char *value)
{
    X509_EXTENSION *made = X509V3_EXT_conf_nid(NULL, NULL, kind, value);
    CHECK(made && X509_add_ext(to, made, -1) == 1);
    X509_EXTENSION_free(made);
}

static struct shown shown_new(const char *names, long from, long until)
{
    struct shown s = {.key = EVP_EC_gen("P-256"), .certificate = X509_new()};
    BIO *bio = BIO_new(BIO_s_mem());
    X509_set_version(s.certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(s.certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(s.certificate), from);
    X509_gmtime_adj(X509_getm_notAfter(s.certificate), until);
    X509_NAME_add_entry_by_txt(X509_get_subject_name(s.certificate), "CN", MBSTRING_ASC,
                               (const unsigned char *)"cn.test", -1, -1, 0);
    X509_set_issuer_name(s.certificate, X509_get_subject_name(s.certificate));
    X509_set_pubkey(s.certificate, s.key);
    add(s.certificate, NID_basic_constraints, "critical,CA:TRUE");
    add(s.certificate, NID_subject_alt_name, names);
    X509_sign(s.certificate, s.key, EVP_sha256());
    PEM_write_bio_X509(bio, s.certificate);
    s.text.length = (size_t)BIO_get_mem_data(bio, &s.pem);
    s.pem = memcpy(malloc(s.text.length), s.pem, s.text.length);
    s.text.text = s.pem;
    BIO_free(bio);
    return s;
}

static void shown_free(struct shown *s)
{
    EVP_PKEY_free(s->key);
    X509_free(s->certificate);
    free(s->pem);
}

/* A client of the certificate's CA, and a server that shows it. */
struct meeting {
    struct sl_tls_work work;
    struct sl_tls_client client;
    SSL_CTX *server;
    X509_STORE *store;
    struct sl_leg leg[2];
};

static void meeting_begin(struct meeting *m, const struct shown *s, struct sl_tls_client_options *options, int version)
{
    const char *reason = NULL;
    memset(m, 0, sizeof *m);
    CHECK(sl_tls_work_begin(&m->work));
    options->authorities = m->store = sl_tls_context_store(&s->text);
    options->min_version = TLS1_2_VERSION;
    CHECK(sl_tls_client_begin(&m->client, options, &reason));
    m->server = sl_tls_context(1);
    SSL_CTX_set_max_proto_version(m->server, version);
    SSL_CTX_use_certificate(m->server, s->certificate);
    SSL_CTX_use_PrivateKey(m->server, s->key);
    SSL_CTX_set_session_id_context(m->server, (const unsigned char *)"test", 4);
}

static void meeting_end(struct meeting *m)
{
    sl_tls_client_end(&m->client);
    SSL_CTX_free(m->server);
    X509_STORE_free(m->store);
    CHECK_EQ(m->work.buffered, 0);
    sl_tls_work_end(&m->work);
}

/* One connection; the result on the client's side. Payload each way takes up the tickets. */
static enum sl_tls_result meet(struct meeting *m, const char *name, const char *peer)
{
    enum sl_leg_progress here = SL_LEG_WAITS, there = SL_LEG_WAITS;
    enum sl_tls_result found;
    char byte;
    int fds[2];
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    for (int side = 0; side < 2; side++) m->leg[side] = sl_plain_leg(fds[side]);
    CHECK(sl_tls_client_leg(&m->client, &m->leg[CLIENT], &m->work, name));
    CHECK(sl_tls_leg_begin(&m->leg[SERVER], &m->work, m->server, 1));
    for (int i = 0; i < 20 && here != SL_LEG_FAILED && (here != SL_LEG_READY || there != SL_LEG_READY); i++) {
        here = sl_leg_advance(&m->leg[CLIENT]);
        there = sl_leg_advance(&m->leg[SERVER]);
    }
    found = sl_tls_result_of(&m->leg[CLIENT]);
    if (here == SL_LEG_READY && there == SL_LEG_READY) {
        const char *has = sl_tls_client_peer(&m->client, &m->leg[CLIENT]);
        CHECK(peer ? has && strcmp(has, peer) == 0 : !has);
        CHECK(sl_leg_receive(&m->leg[CLIENT], &byte, 1) == -1 && errno == EAGAIN); /* the tickets of TLS 1.3 */
        CHECK_EQ(sl_leg_send(&m->leg[SERVER], "x", 1, 0), 1);
        CHECK_EQ(sl_leg_receive(&m->leg[CLIENT], &byte, 1), 1);
    }
    for (int side = 0; side < 2; side++) sl_leg_close(&m->leg[side]);
    return found;
}

/* The result of a first connection to a certificate with `names`. */
static enum sl_tls_result asked(const char *names, const char *dialed, const char *server_name,
                                const char *const *listed, int count, const char *peer)
{
    struct shown s = shown_new(names, -60, 3600);
    struct sl_tls_client_options options = {.server_name = server_name, .names = listed, .name_count = count};
    struct meeting m;
    enum sl_tls_result found;
    meeting_begin(&m, &s, &options, TLS1_3_VERSION);
    found = meet(&m, dialed, peer);
    meeting_end(&m);
    shown_free(&s);
    return found;
}

TEST(the_host_that_is_dialed_has_to_be_named)
{
    CHECK_EQ(asked("DNS:a.test", "a.test", NULL, NULL, 0, "a.test"), SL_TLS_RESULT_FULL);
    CHECK_EQ(asked("DNS:*.a.test", "b.a.test", NULL, NULL, 0, "b.a.test"), SL_TLS_RESULT_FULL);
    CHECK_EQ(asked("DNS:*.a.test", "c.b.a.test", NULL, NULL, 0, NULL), SL_TLS_RESULT_NAME_MISMATCH);
    CHECK_EQ(asked("DNS:a*.b.test", "ab.b.test", NULL, NULL, 0, NULL), SL_TLS_RESULT_NAME_MISMATCH);
    CHECK_EQ(asked("DNS:a.test", "cn.test", NULL, NULL, 0, NULL), SL_TLS_RESULT_NAME_MISMATCH); /* only its CN */
    CHECK_EQ(asked("DNS:b.test", "a.test", "b.test", NULL, 0, "b.test"), SL_TLS_RESULT_FULL);
    CHECK_EQ(asked("DNS:a.test", "a.test", "b.test", NULL, 0, NULL), SL_TLS_RESULT_NAME_MISMATCH);
}

TEST(an_address_has_to_be_named_as_one)
{
    CHECK_EQ(asked("IP:192.0.2.1", "192.0.2.1", NULL, NULL, 0, NULL), SL_TLS_RESULT_FULL);
    CHECK_EQ(asked("IP:2001:db8::1", "2001:db8::1", NULL, NULL, 0, NULL), SL_TLS_RESULT_FULL);
    CHECK_EQ(asked("IP:192.0.2.1", "192.0.2.2", NULL, NULL, 0, NULL), SL_TLS_RESULT_NAME_MISMATCH);
    CHECK_EQ(asked("DNS:192.0.2.1", "192.0.2.1", NULL, NULL, 0, NULL), SL_TLS_RESULT_NAME_MISMATCH);
}

TEST(one_of_the_listed_names_is_enough)
{
    static const char *const names[] = {"x.test", "192.0.2.1", "spiffe://d/a"};
    CHECK_EQ(asked("URI:spiffe://d/a", "a.test", NULL, names, 3, "spiffe://d/a"), SL_TLS_RESULT_FULL);
    CHECK_EQ(asked("IP:192.0.2.1", "a.test", NULL, names, 3, "192.0.2.1"), SL_TLS_RESULT_FULL);
    CHECK_EQ(asked("DNS:x.test", "192.0.2.9", NULL, names, 3, "x.test"), SL_TLS_RESULT_FULL);
    CHECK_EQ(asked("DNS:a.test", "a.test", NULL, names, 3, NULL), SL_TLS_RESULT_NAME_MISMATCH);
    CHECK_EQ(asked("URI:spiffe://d/ab", "a.test", NULL, names, 3, NULL), SL_TLS_RESULT_NAME_MISMATCH);
    CHECK_EQ(asked("DNS:spiffe.d", "a.test", "a.test", names, 3, NULL), SL_TLS_RESULT_NAME_MISMATCH);
}

static void resumes(int version)
{
    struct shown s = shown_new("DNS:a.test, DNS:b.test", -60, 3600);
    struct sl_tls_client_options options = {0};
    struct meeting m;
    meeting_begin(&m, &s, &options, version);
    CHECK_EQ(meet(&m, "a.test", "a.test"), SL_TLS_RESULT_FULL);
    CHECK_EQ(meet(&m, "a.test", "a.test"), SL_TLS_RESULT_RESUMED);
    CHECK_EQ(meet(&m, "b.test", "b.test"), SL_TLS_RESULT_FULL); /* a session is of one name */
    CHECK_EQ(meet(&m, "a.test", "a.test"), SL_TLS_RESULT_RESUMED);
    CHECK_EQ(meet(&m, "b.test", "b.test"), SL_TLS_RESULT_RESUMED);
    CHECK_EQ(meet(&m, "c.test", NULL), SL_TLS_RESULT_NAME_MISMATCH);
    meeting_end(&m);
    shown_free(&s);
}

TEST(sessions_are_resumed_by_name)
{
    resumes(TLS1_2_VERSION);
    resumes(TLS1_3_VERSION);
}

TEST(a_session_ends_with_its_certificate)
{
    struct shown s = shown_new("DNS:a.test", -60, 3600);
    struct sl_tls_client_options options = {0};
    struct meeting m;
    int64_t past = 1;
    meeting_begin(&m, &s, &options, TLS1_3_VERSION);
    CHECK_EQ(meet(&m, "a.test", "a.test"), SL_TLS_RESULT_FULL);
    for (int i = 0; i < SL_TLS_CLIENT_SESSIONS; i++)
        if (m.client.kept[i].session) SSL_SESSION_set1_ticket_appdata(m.client.kept[i].session, &past, sizeof past);
    CHECK_EQ(meet(&m, "a.test", "a.test"), SL_TLS_RESULT_FULL);
    meeting_end(&m);
    shown_free(&s);
}

TEST(an_alert_has_its_name)
{
    struct shown s = shown_new("DNS:a.test", -60, 3600);
    struct sl_tls_client_options options = {0};
    struct meeting m;
    const char *alert = NULL;
    int fds[2];
    meeting_begin(&m, &s, &options, TLS1_2_VERSION);
    SSL_CTX_set_min_proto_version(m.client.context, TLS1_3_VERSION);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    for (int side = 0; side < 2; side++) m.leg[side] = sl_plain_leg(fds[side]);
    CHECK(sl_tls_client_leg(&m.client, &m.leg[CLIENT], &m.work, "a.test"));
    CHECK(sl_tls_leg_begin(&m.leg[SERVER], &m.work, m.server, 1));
    CHECK_EQ(sl_leg_advance(&m.leg[CLIENT]), SL_LEG_WAITS);
    CHECK(!sl_tls_alert_of(&m.leg[CLIENT]));
    CHECK_EQ(sl_leg_advance(&m.leg[SERVER]), SL_LEG_FAILED);
    CHECK_EQ(sl_leg_advance(&m.leg[CLIENT]), SL_LEG_FAILED);
    alert = sl_tls_alert_of(&m.leg[CLIENT]);
    CHECK(alert != NULL);
    CHECK_STR(alert ? alert : "", "protocol version");
    CHECK_EQ(sl_tls_result_of(&m.leg[CLIENT]), SL_TLS_RESULT_ALERT);
    CHECK(!sl_tls_alert_of(&m.leg[SERVER]));
    for (int side = 0; side < 2; side++) sl_leg_close(&m.leg[side]);
    meeting_end(&m);
    shown_free(&s);
}

TEST(what_cannot_be_used_is_refused)
{
    struct sl_tls_client client;
    struct sl_tls_client_options options = {.min_version = TLS1_2_VERSION};
    const char *reason = NULL;
    static const struct sl_tls_text broken = {"no certificate", 14};
    CHECK(!sl_tls_context_store(&broken));
    CHECK(!sl_tls_client_begin(&client, &options, &reason));
    CHECK_STR(reason, "no CAs");
}

int main(void)
{
    RUN(the_host_that_is_dialed_has_to_be_named);
    RUN(an_address_has_to_be_named_as_one);
    RUN(one_of_the_listed_names_is_enough);
    RUN(sessions_are_resumed_by_name);
    RUN(a_session_ends_with_its_certificate);
    RUN(an_alert_has_its_name);
    RUN(what_cannot_be_used_is_refused);
    return CHECK_REPORT();
}
