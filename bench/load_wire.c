/* The parts of load_wire.h. */
#include "load_wire.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load_common.h"

/* ---- what a run shares ---- */

/* The first ticket is kept, and used for all that follow. */
static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    struct wire_tls *tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));

    if (!tls->resume || tls->session) return 0;
    tls->session = session;
    return 1;
}

static int offer(SSL_CTX *context, const char *protocol)
{
    unsigned char wanted[64];
    size_t length = strlen(protocol);

    wanted[0] = (unsigned char)length;
    memcpy(wanted + 1, protocol, length);
    return SSL_CTX_set_alpn_protos(context, wanted, (unsigned)length + 1) == 0;
}

int wire_tls_begin(struct wire_tls *tls, const char *certificate, const char *key, const char *protocol)
{
    SSL_CTX *context = tls->context = SSL_CTX_new(TLS_client_method());

    if (context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") && SSL_CTX_set1_groups_list(context, "X25519") &&
        offer(context, protocol) &&
        (!certificate || (SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
                          SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1))) {
        SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, keep_session);
        SSL_CTX_set_app_data(context, tls);
        return 1;
    }
    fprintf(stderr, "load: TLS: ");
    ERR_print_errors_fp(stderr);
    return 0;
}

/* The first of the own protocols that the client offers. */
static int choose(SSL *ssl, const unsigned char **out, unsigned char *length, const unsigned char *in, unsigned size,
                  void *user)
{
    const struct wire_tls *tls = user;
    unsigned char *chosen;

    (void)ssl;
    if (SSL_select_next_proto(&chosen, length, (const unsigned char *)tls->chooses, (unsigned)strlen(tls->chooses), in,
                              size) != OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_NOACK;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

int wire_tls_serve(struct wire_tls *tls, const char *certificate, const char *key, const char *protocols)
{
    SSL_CTX *context = tls->context = SSL_CTX_new(TLS_server_method());

    tls->serves = 1;
    tls->chooses = protocols;
    if (context && SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) &&
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") &&
        SSL_CTX_use_certificate_chain_file(context, certificate) == 1 &&
        SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1) {
        SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE);
        SSL_CTX_set_read_ahead(context, 1);
        SSL_CTX_set_alpn_select_cb(context, choose, tls);
        return 1;
    }
    fprintf(stderr, "load: TLS: ");
    ERR_print_errors_fp(stderr);
    return 0;
}

void wire_tls_end(struct wire_tls *tls)
{
    SSL_SESSION_free(tls->session);
    SSL_CTX_free(tls->context);
}

/* ---- one connection ---- */

int wire_begin(struct wire *wire, struct wire_tls *tls)
{
    BIO *in, *out;

    if (!tls->context) return 1;
    wire->ssl = SSL_new(tls->context);
    in = BIO_new_socket(wire->fd, BIO_NOCLOSE);
    out = BIO_new(BIO_s_mem());
    if (!wire->ssl || !in || !out) {
        BIO_free(in);
        BIO_free(out);
        return 0;
    }
    SSL_set_bio(wire->ssl, in, out);
    if (tls->serves)
        SSL_set_accept_state(wire->ssl);
    else
        SSL_set_connect_state(wire->ssl);
    if (tls->session) {
        SSL_SESSION *copy = SSL_SESSION_dup(tls->session); /* one that was used is not used again */
        SSL_set_session(wire->ssl, copy);
        SSL_SESSION_free(copy);
    }
    return 1;
}

int wire_flush(struct wire *wire)
{
    char *bytes;
    BIO *out = wire->ssl ? SSL_get_wbio(wire->ssl) : NULL;
    long left = out ? BIO_get_mem_data(out, &bytes) : 0;

    while (left > 0) {
        ssize_t n = send(wire->fd, bytes, (size_t)left, MSG_NOSIGNAL);
        if (n < 0) return 0;
        if (n < left) { /* reading is how the library takes bytes off the front */
            char away[4096];
            for (ssize_t gone = 0, part; gone < n; gone += part)
                part = BIO_read(out, away, (int)(n - gone < (ssize_t)sizeof away ? n - gone : (ssize_t)sizeof away));
        } else
            BIO_reset(out);
        left = BIO_get_mem_data(out, &bytes);
    }
    return 1;
}

/* What a call of the library that did not succeed says, as errno; returns what recv() would. */
static ssize_t failed(struct wire *wire, int status)
{
    int error = SSL_get_error(wire->ssl, status);

    if (error == SSL_ERROR_ZERO_RETURN) return 0;
    errno = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? EAGAIN : ECONNRESET;
    return -1;
}

int wire_advance(struct wire *wire, struct wire_tls *tls)
{
    int status, sent;

    if (!wire->ssl || SSL_is_init_finished(wire->ssl)) return 1;
    ERR_clear_error();
    status = SSL_do_handshake(wire->ssl);
    sent = wire_flush(wire) || errno == EAGAIN || errno == EINTR;
    if (status == 1 && sent) {
        tls->handshakes++;
        tls->resumed += (uint64_t)SSL_session_reused(wire->ssl);
        return 1;
    }
    return sent && failed(wire, status) < 0 && errno == EAGAIN ? 0 : -1;
}

ssize_t wire_recv(struct wire *wire, void *data, size_t length)
{
    int n;

    if (!wire->ssl) return recv(wire->fd, data, length, 0);
    ERR_clear_error();
    n = SSL_read(wire->ssl, data, (int)length);
    return n > 0 ? n : failed(wire, n);
}

/* The pieces as one, so that short ones make no records of their own. */
static size_t put_together(uint8_t *batch, const struct iovec *parts, int count)
{
    size_t have = 0;

    for (int i = 0; i < count && have < WIRE_BATCH; i++) {
        size_t part = parts[i].iov_len < WIRE_BATCH - have ? parts[i].iov_len : WIRE_BATCH - have;
        memcpy(batch + have, parts[i].iov_base, part);
        have += part;
    }
    return have;
}

ssize_t wire_send(struct wire *wire, struct wire_tls *tls, struct iovec *parts, int count)
{
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
    size_t length, sent = 0;
    int done;

    if (!wire->ssl) return sendmsg(wire->fd, &message, MSG_NOSIGNAL);
    if (!wire_flush(wire)) return -1;
    if ((done = wire_advance(wire, tls)) <= 0) {
        errno = done ? ECONNRESET : EAGAIN;
        return -1;
    }
    length = put_together(tls->batch, parts, count);
    ERR_clear_error();
    while (sent < length) {
        int n = SSL_write(wire->ssl, tls->batch + sent, (int)(length - sent));
        if (n <= 0) return sent ? (ssize_t)sent : failed(wire, n);
        sent += (size_t)n;
    }
    wire_flush(wire); /* what waits is tried again, and a failure shows there */
    return (ssize_t)sent;
}

int wire_finish(struct wire *wire)
{
    if (!wire->ssl) return shutdown(wire->fd, SHUT_WR) == 0;
    ERR_clear_error();
    SSL_shutdown(wire->ssl);
    return wire_flush(wire) || errno == EAGAIN || errno == EINTR;
}

void wire_close(struct wire *wire, int reset)
{
    if (wire->fd < 0) return;
    if (wire->ssl && !reset && SSL_is_init_finished(wire->ssl)) wire_finish(wire);
    SSL_free(wire->ssl);
    if (reset)
        close_reset(wire->fd);
    else
        close(wire->fd);
    *wire = (struct wire){.fd = -1};
}
