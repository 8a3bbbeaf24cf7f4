/* TLS legs against each other over a socket, and what the laws of relay/leg.h ask of every table. */
#include "check.h"

#include "tls/tls_facts.h"
#include "tls/tls_leg.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENT = 0, SERVER = 1, BULK = 3 << 20 };

static EVP_PKEY *key;
static X509 *certificate;

/* Two ends and what they share. A smaller `room` of their sockets makes sends stop half way. */
struct pair {
    struct sl_tls_work work, outer;
    SSL_CTX *context[2];
    struct sl_leg leg[2];
};

static void name_certificate(X509 *made, const char *name)
{
    X509_NAME *subject = X509_get_subject_name(made);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(made, subject);
}

static void make_certificate(void)
{
    key = EVP_EC_gen("P-256");
    certificate = X509_new();
    X509_set_version(certificate, X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
    X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
    name_certificate(certificate, "test");
    X509_set_pubkey(certificate, key);
    X509_sign(certificate, key, EVP_sha256());
}

static void sockets(int fds[2], int room)
{
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    for (int side = 0; side < 2 && room; side++) setsockopt(fds[side], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
}

/* On two sockets, which need not be connected with each other. */
static struct pair *pair_on(int client, int server, int version)
{
    struct pair *p = calloc(1, sizeof *p);
    sl_tls_work_begin(&p->work);
    sl_tls_work_begin(&p->outer);
    p->leg[CLIENT] = sl_plain_leg(client);
    p->leg[SERVER] = sl_plain_leg(server);
    for (int side = 0; side < 2; side++) {
        p->context[side] = sl_tls_context(side);
        SSL_CTX_set_max_proto_version(p->context[side], version);
        if (side == SERVER) {
            SSL_CTX_use_certificate(p->context[side], certificate);
            SSL_CTX_use_PrivateKey(p->context[side], key);
        }
        CHECK(sl_tls_leg_begin(&p->leg[side], &p->work, p->context[side], side));
    }
    return p;
}

static struct pair *pair_new(int version, int room)
{
    int fds[2];
    sockets(fds, room);
    return pair_on(fds[0], fds[1], version);
}

static void pair_free(struct pair *p)
{
    for (int side = 0; side < 2; side++) sl_leg_close(&p->leg[side]);
    CHECK_EQ(p->work.buffered, 0);
    CHECK_EQ(p->outer.buffered, 0);
    for (int side = 0; side < 2; side++) SSL_CTX_free(p->context[side]);
    sl_tls_work_end(&p->work);
    sl_tls_work_end(&p->outer);
    free(p);
}

/* Both until both are ready; 0 when one fails. */
static int shake(struct pair *p)
{
    for (int i = 0; i < 100; i++) {
        enum sl_leg_progress client = sl_leg_advance(&p->leg[CLIENT]), server = sl_leg_advance(&p->leg[SERVER]);
        if (client == SL_LEG_READY && server == SL_LEG_READY) return 1;
        if (client == SL_LEG_FAILED || server == SL_LEG_FAILED) return 0;
    }
    return 0;
}

static struct pair *ready(int version, int room)
{
    struct pair *p = pair_new(version, room);
    CHECK(shake(p));
    return p;
}

static uint8_t pattern(size_t at)
{
    return (uint8_t)(at * 131 + at / 251);
}

static int is_pattern(const uint8_t *bytes, size_t count, size_t at)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != pattern(at + i)) return 0;
    return 1;
}

/* What arrives when `total` bytes are sent in pieces of `piece` and received in rooms of `most`. */
static void carries(int version, int room, size_t total, size_t piece, size_t most, int stacked)
{
    struct pair *p = ready(version, room);
    uint8_t *from = malloc(total), *to = malloc(most);
    size_t put = 0, got = 0;
    if (stacked) {
        for (int side = 0; side < 2; side++)
            REQUIRE(sl_tls_leg_begin(&p->leg[side], &p->outer, p->context[side], side));
        REQUIRE(shake(p));
    }
    for (size_t i = 0; i < total; i++) from[i] = pattern(i);
    for (int idle = 0; got < total && idle < 200;) {
        size_t length = total - put < piece ? total - put : piece;
        ssize_t n = length ? sl_leg_send(&p->leg[CLIENT], from + put, length, 0) : 0;
        REQUIRE(n >= 0 || errno == EAGAIN);
        REQUIRE(n <= (ssize_t)length);
        if (n > 0) put += (size_t)n;
        idle++;
        while ((n = sl_leg_receive(&p->leg[SERVER], to, most)) > 0) {
            REQUIRE(is_pattern(to, (size_t)n, got));
            got += (size_t)n;
            idle = 0;
        }
        REQUIRE(n < 0 && errno == EAGAIN);
        CHECK(!sl_leg_pending(&p->leg[SERVER]) || got < total);
    }
    CHECK_EQ(put, total);
    CHECK_EQ(got, total);
    free(from);
    free(to);
    pair_free(p);
}

TEST(bytes_arrive)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    for (int v = 0; v < 2; v++) {
        carries(versions[v], 0, 1, 1, 10, 0);
        carries(versions[v], 0, 100000, 7, 65536, 0);
        carries(versions[v], 0, 100000, 100000, 3, 0);
        carries(versions[v], 0, BULK, 200000, 65536, 0);
        carries(versions[v], 4096, BULK, 200000, 65536, 0);
        carries(versions[v], 4096, 200000, 50000, 1000, 0);
    }
}

TEST(tls_stands_on_tls)
{
    struct pair *p = ready(TLS1_3_VERSION, 0);
    CHECK(!sl_tls_leg_begin(&p->leg[CLIENT], &p->work, p->context[CLIENT], CLIENT)); /* the same buffers */
    CHECK(sl_leg_send(&p->leg[CLIENT], "x", 1, 0) == 1);
    pair_free(p);
    carries(TLS1_3_VERSION, 0, BULK, 200000, 65536, 1);
    carries(TLS1_3_VERSION, 4096, 300000, 70000, 5000, 1);
}

TEST(gathered_and_scattered)
{
    struct pair *p = ready(TLS1_3_VERSION, 0);
    uint8_t bytes[300], low[100], high[150];
    struct iovec out[3] = {{.iov_base = bytes, .iov_len = 0},
                           {.iov_base = bytes, .iov_len = 120},
                           {.iov_base = bytes + 120, .iov_len = 100}};
    struct iovec in[2] = {{.iov_base = low, .iov_len = 100}, {.iov_base = high, .iov_len = 150}};
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = pattern(i);
    CHECK_EQ(sl_leg_send_parts(&p->leg[SERVER], out, 3), 220);
    CHECK_EQ(sl_leg_receive_parts(&p->leg[CLIENT], in, 2), 220);
    CHECK(is_pattern(low, 100, 0) && is_pattern(high, 120, 100));
    pair_free(p);
}

TEST(what_is_peeked_at_stays)
{
    struct pair *p = ready(TLS1_3_VERSION, 0);
    uint8_t bytes[64];
    CHECK(sl_leg_peek(&p->leg[SERVER], bytes, 64) == -1 && errno == EAGAIN);
    CHECK_EQ(sl_leg_send(&p->leg[CLIENT], "hello", 5, 0), 5);
    CHECK_EQ(sl_leg_peek(&p->leg[SERVER], bytes, 3), 3);
    CHECK_EQ(sl_leg_send(&p->leg[CLIENT], " world", 6, 0), 6);
    CHECK_EQ(sl_leg_peek(&p->leg[SERVER], bytes, 64), 11);
    CHECK(memcmp(bytes, "hello world", 11) == 0);
    CHECK(sl_leg_pending(&p->leg[SERVER]));
    CHECK_EQ(sl_leg_receive(&p->leg[SERVER], bytes, 4), 4);
    CHECK_EQ(sl_leg_receive(&p->leg[SERVER], bytes, 64), 7);
    CHECK(memcmp(bytes, "o world", 7) == 0);
    CHECK(!sl_leg_pending(&p->leg[SERVER]));
    CHECK_EQ(sl_leg_send(&p->leg[CLIENT], "end", 3, 0), 3);
    CHECK_EQ(sl_leg_end_writing(&p->leg[CLIENT]), 0);
    CHECK_EQ(sl_leg_peek(&p->leg[SERVER], bytes, 64), 3);
    CHECK_EQ(sl_leg_receive(&p->leg[SERVER], bytes, 64), 3);
    CHECK_EQ(sl_leg_peek(&p->leg[SERVER], bytes, 64), 0);
    pair_free(p);
}

TEST(an_end_is_close_notify)
{
    struct pair *p = ready(TLS1_3_VERSION, 0);
    uint8_t bytes[8];
    CHECK_EQ(sl_leg_end_writing(&p->leg[CLIENT]), 0);
    CHECK_EQ(sl_leg_receive(&p->leg[SERVER], bytes, 8), 0);
    CHECK_EQ(sl_leg_receive(&p->leg[SERVER], bytes, 8), 0);
    CHECK_EQ(sl_leg_send(&p->leg[SERVER], "late", 4, 0), 4); /* half closed */
    CHECK_EQ(sl_leg_receive(&p->leg[CLIENT], bytes, 8), 4);
    CHECK_EQ(sl_leg_end_writing(&p->leg[SERVER]), 0);
    CHECK_EQ(sl_leg_receive(&p->leg[CLIENT], bytes, 8), 0);
    pair_free(p);
}

TEST(an_end_without_it_is_a_reset)
{
    struct pair *p = ready(TLS1_3_VERSION, 0);
    uint8_t bytes[8];
    CHECK_EQ(sl_leg_send(&p->leg[CLIENT], "half", 4, 0), 4);
    shutdown(p->leg[CLIENT].fd, SHUT_WR);
    CHECK_EQ(sl_leg_receive(&p->leg[SERVER], bytes, 8), 4);
    CHECK(sl_leg_receive(&p->leg[SERVER], bytes, 8) == -1 && errno == ECONNRESET);
    CHECK(sl_leg_receive(&p->leg[SERVER], bytes, 8) == -1 && errno == ECONNRESET);
    CHECK_STR(sl_leg_reason(&p->leg[SERVER]), "it ended without close_notify");
    CHECK(!sl_leg_broken(&p->leg[SERVER]));
    pair_free(p);
}

/* Both come with one edge, which is not repeated: the end shows in the call that had nothing else. */
TEST(an_end_within_a_record_is_a_reset)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    uint8_t bytes[8];
    for (size_t length = 1; length <= 9; length++) {
        struct pair *p = ready(versions[length & 1], 0);
        CHECK_EQ(sl_leg_send(&p->leg[CLIENT], "payload", 7, 0), 7);
        CHECK_EQ(sl_leg_receive(&p->leg[SERVER], bytes, 8), 7);
        CHECK(write(p->leg[CLIENT].fd, "\x17\x03\x03\x01\x00half", length) == (ssize_t)length);
        shutdown(p->leg[CLIENT].fd, SHUT_WR);
        CHECK(sl_leg_receive(&p->leg[SERVER], bytes, 8) == -1 && errno == EPROTO);
        CHECK_STR(sl_leg_reason(&p->leg[SERVER]), "it ended within a record");
        CHECK_STR(sl_leg_broken(&p->leg[SERVER]), "it ended within a record");
        pair_free(p);
    }
}

/* It is not the peer's, whose records are sealed. */
TEST(a_cleartext_alert_breaks_the_session)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    uint8_t bytes[8];
    for (size_t i = 0; i < 2; i++) {
        struct pair *p = ready(versions[i], 0);
        CHECK(write(p->leg[CLIENT].fd, "\x15\x03\x03\x00\x02\x02\x28", 7) == 7);
        CHECK(sl_leg_receive(&p->leg[SERVER], bytes, 8) == -1 && errno == EPROTO);
        CHECK_STR(sl_leg_broken(&p->leg[SERVER]), i ? "bad record type" : "not a record of the session");
        CHECK(sl_leg_broken(&p->leg[SERVER]) == sl_leg_reason(&p->leg[SERVER]));
        pair_free(p);
    }
}

/* It breaks nothing: the peer gives the session up. */
TEST(an_alert_of_the_peer_is_an_end)
{
    struct pair *p = ready(TLS1_2_VERSION, 0);
    uint8_t bytes[8];
    CHECK(write(p->leg[SERVER].fd, "\x17\x03\x03\x00\x20garbage that is no record at all", 37) > 0);
    CHECK(sl_leg_receive(&p->leg[CLIENT], bytes, 8) == -1 && errno == EPROTO);
    CHECK_STR(sl_leg_broken(&p->leg[CLIENT]), "decryption failed or bad record mac");
    CHECK(sl_leg_receive(&p->leg[SERVER], bytes, 8) == -1);
    CHECK(sl_tls_alert_of(&p->leg[SERVER]) && !sl_leg_broken(&p->leg[SERVER]));
    pair_free(p);
}

TEST(garbage_is_an_error_with_a_reason)
{
    struct pair *p = pair_new(TLS1_3_VERSION, 0);
    uint8_t bytes[8];
    CHECK(write(p->leg[CLIENT].fd, "GET / HTTP/1.1\r\n\r\n", 18) == 18);
    CHECK_EQ(sl_leg_advance(&p->leg[SERVER]), SL_LEG_FAILED);
    CHECK_STR(sl_leg_reason(&p->leg[SERVER]), "http request");
    CHECK_EQ(sl_leg_advance(&p->leg[SERVER]), SL_LEG_FAILED);
    CHECK(!sl_leg_broken(&p->leg[SERVER]));
    pair_free(p);
    p = ready(TLS1_3_VERSION, 0);
    CHECK(write(p->leg[CLIENT].fd, "\x17\x03\x03\x00\x20garbage that is no record at all", 37) > 0);
    CHECK(sl_leg_receive(&p->leg[SERVER], bytes, 8) == -1 && errno == EPROTO);
    CHECK(sl_leg_reason(&p->leg[SERVER]) != NULL && sl_leg_broken(&p->leg[SERVER]) == sl_leg_reason(&p->leg[SERVER]));
    CHECK(sl_leg_send(&p->leg[SERVER], "x", 1, 0) == -1 && errno == EPROTO);
    pair_free(p);
}

TEST(a_stranger_is_refused_with_the_verifiers_word)
{
    struct pair *p = pair_new(TLS1_3_VERSION, 0);
    SSL_set_verify(sl_tls_leg_ssl(&p->leg[CLIENT]), SSL_VERIFY_PEER, NULL);
    CHECK(!shake(p));
    CHECK_STR(sl_leg_reason(&p->leg[CLIENT]), "self-signed certificate");
    CHECK(sl_leg_advance(&p->leg[SERVER]) == SL_LEG_FAILED);
    CHECK_STR(sl_leg_reason(&p->leg[SERVER]), "tlsv1 alert unknown ca");
    pair_free(p);
}

/* Both ways through a middle that hands over one byte at a time. */
static void byte_by_byte(int version)
{
    int client[2], server[2], done = 0;
    uint8_t byte;
    struct pair *p;
    sockets(client, 0);
    sockets(server, 0);
    p = pair_on(client[0], server[0], version);
    for (int i = 0; i < 20000 && done != 2; i++) {
        enum sl_leg_progress one = sl_leg_advance(&p->leg[CLIENT]), other = sl_leg_advance(&p->leg[SERVER]);
        REQUIRE(one != SL_LEG_FAILED && other != SL_LEG_FAILED);
        done = (one == SL_LEG_READY) + (other == SL_LEG_READY);
        if (recv(client[1], &byte, 1, 0) == 1) CHECK(send(server[1], &byte, 1, 0) == 1);
        if (recv(server[1], &byte, 1, 0) == 1) CHECK(send(client[1], &byte, 1, 0) == 1);
    }
    CHECK_EQ(done, 2);
    pair_free(p);
    close(client[1]);
    close(server[1]);
}

TEST(a_handshake_byte_by_byte)
{
    byte_by_byte(TLS1_2_VERSION);
    byte_by_byte(TLS1_3_VERSION);
}

/* RFC 8446 4.6.3: each asks for an answer, and this peer reads none. */
TEST(answers_that_nothing_reads_are_bounded)
{
    struct pair *p = ready(TLS1_3_VERSION, 4096);
    SSL *client = sl_tls_leg_ssl(&p->leg[CLIENT]);
    uint8_t bytes[64];
    size_t most = 0;
    for (int i = 0; i < 200000; i++) {
        SSL_key_update(client, SSL_KEY_UPDATE_REQUESTED);
        if (sl_leg_send(&p->leg[CLIENT], "x", 1, 0) != 1 && errno != EAGAIN) break;
        sl_leg_receive(&p->leg[SERVER], bytes, sizeof bytes);
        if (p->work.buffered > most) most = p->work.buffered;
    }
    CHECK(most < 4 * SL_TLS_OUTPUT);
    pair_free(p);
}

TEST(an_idle_leg_holds_no_buffer)
{
    struct pair *p = ready(TLS1_3_VERSION, 0);
    uint8_t bytes[8];
    CHECK_EQ(sl_leg_send(&p->leg[CLIENT], "hello", 5, 0), 5);
    CHECK_EQ(sl_leg_receive(&p->leg[SERVER], bytes, 8), 5);
    CHECK(sl_leg_receive(&p->leg[SERVER], bytes, 8) == -1 && errno == EAGAIN);
    CHECK(sl_leg_receive(&p->leg[CLIENT], bytes, 8) == -1 && errno == EAGAIN); /* its tickets are read */
    CHECK_EQ(p->work.buffered, 0);
    pair_free(p);
}

int main(void)
{
    make_certificate();
    RUN(bytes_arrive);
    RUN(tls_stands_on_tls);
    RUN(gathered_and_scattered);
    RUN(what_is_peeked_at_stays);
    RUN(an_end_is_close_notify);
    RUN(an_end_without_it_is_a_reset);
    RUN(an_end_within_a_record_is_a_reset);
    RUN(an_alert_of_the_peer_is_an_end);
    RUN(a_cleartext_alert_breaks_the_session);
    RUN(garbage_is_an_error_with_a_reason);
    RUN(a_stranger_is_refused_with_the_verifiers_word);
    RUN(a_handshake_byte_by_byte);
    RUN(answers_that_nothing_reads_are_bounded);
    RUN(an_idle_leg_holds_no_buffer);
    X509_free(certificate);
    EVP_PKEY_free(key);
    return CHECK_REPORT();
}
