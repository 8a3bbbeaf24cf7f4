/* The TLS legs of tls_leg.h: calls into the library, and the table's functions. Its ciphertext goes by tls_wire.c. */
#include "tls/tls_leg.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "tls/tls_facts.h"
#include "tls/tls_wire.h"

static const char NO_RECORD[] = "not a record of the session";

enum { FILLS_MOST = 64 }; /* calls of recv() below in one that brings no payload */

static struct sl_tls *tls_of(const struct sl_leg *leg)
{
    return (struct sl_tls *)(void *)leg->transport;
}

/* Before each call into the library: its queue of errors belongs to the thread. */
static void enter(struct sl_tls *tls)
{
    ERR_clear_error();
    tls->put = 0;
    tls->given_left = 0;
}

/* After it: ciphertext that it has not read waits in memory of the leg's own. */
static int leave(struct sl_tls *tls)
{
    size_t left = tls->given_left;
    tls->given_left = 0;
    return sl_tls_keep(tls, &tls->in, tls->given, left) ? 0 : sl_tls_fail(tls, ENOMEM, NULL);
}

/* What went wrong, by the library's word for it. */
static int broken(struct sl_tls *tls, int code)
{
    unsigned long last = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(last);
    if (ERR_GET_LIB(last) == ERR_LIB_SSL && ERR_GET_REASON(last) == SSL_R_CERTIFICATE_VERIFY_FAILED)
        reason = X509_verify_cert_error_string(SSL_get_verify_result(tls->ssl));
    if (tls->ready && ERR_GET_REASON(last) == ERR_R_INTERNAL_ERROR) reason = NO_RECORD; /* of one that is too short */
    if (!tls->error) {
        tls->result = (uint8_t)sl_tls_result_for(last, SSL_get_verify_result(tls->ssl));
        tls->alert = sl_tls_alert_in(last);
    }
    sl_tls_fail(tls, code == SSL_ERROR_SSL ? EPROTO : ECONNRESET, reason);
    sl_tls_send_put(tls); /* the alert, where the socket takes it */
    errno = tls->error;
    return -1;
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static enum sl_leg_progress tls_advance(struct sl_leg *leg)
{
    struct sl_tls *tls = tls_of(leg);
    enum sl_leg_progress below = sl_leg_advance(&tls->below);
    int done, code, got;
    if (below != SL_LEG_READY) return below;
    if (tls->error) return SL_LEG_FAILED;
    if (tls->ready) return SL_LEG_READY;
    if (sl_tls_flush(tls) < 0) return errno == EAGAIN ? SL_LEG_WAITS : SL_LEG_FAILED;
    enter(tls);
    for (;;) {
        done = SSL_do_handshake(tls->ssl);
        if (done == 1) break;
        code = SSL_get_error(tls->ssl, done);
        if (code != SSL_ERROR_WANT_READ) return broken(tls, code), SL_LEG_FAILED;
        if (sl_tls_send_put(tls) < 0 && errno != EAGAIN) return SL_LEG_FAILED;
        got = sl_tls_fill(tls);
        if (got < 0 && errno == EAGAIN) return SL_LEG_WAITS;
        if (got <= 0) {
            if (!tls->error) tls->result = SL_TLS_RESULT_ENDED;
            return sl_tls_fail(tls, got ? errno : ECONNRESET, got ? NULL : "it ended in the handshake"), SL_LEG_FAILED;
        }
    }
    if (leave(tls) < 0 || (sl_tls_send_put(tls) < 0 && errno != EAGAIN)) return SL_LEG_FAILED;
    tls->ready = 1;
    return SL_LEG_READY;
}

/* No further ciphertext comes: 0 from the leg below is an end, -1 an error. The library stands at the head of a record, or
 * has read a part of one. */
static void fail_at_end(struct sl_tls *tls, int below)
{
    int within = SSL_has_pending(tls->ssl) || strcmp(SSL_rstate_string(tls->ssl), "RB") == 0;
    if (below)
        sl_tls_fail(tls, errno, NULL);
    else if (within)
        sl_tls_fail(tls, EPROTO, "it ended within a record");
    else
        sl_tls_fail(tls, ECONNRESET, "it ended without close_notify");
}

/* Payload of one record or more: from what waits, else of one recv() below. */
static ssize_t read_records(struct sl_tls *tls, uint8_t *to, size_t most)
{
    size_t got = 0, n;
    int filled = 0, code, below;
    sl_tls_flush(tls);
    if (sl_tls_left(&tls->out) > SL_TLS_OUTPUT) { /* more than one send() leaves: answers that the peer does not read */
        errno = EAGAIN;
        return -1;
    }
    enter(tls);
    while (got < most && !tls->peer_ended) {
        if (SSL_read_ex(tls->ssl, to + got, most - got, &n)) {
            got += n;
            continue;
        }
        code = SSL_get_error(tls->ssl, 0);
        if (code == SSL_ERROR_ZERO_RETURN) {
            tls->peer_ended = 1;
        } else if (code != SSL_ERROR_WANT_READ) {
            broken(tls, code);
            break;
        } else if (filled && (got || filled == FILLS_MOST)) {
            tls->more |= !got;
            break;
        } else if ((below = sl_tls_fill(tls)) > 0) {
            filled++; /* once at least, as the edge that led here is not repeated: an end may stand behind half a record */
        } else if (below < 0 && errno == EAGAIN) {
            break;
        } else {
            fail_at_end(tls, below);
            break; /* bytes before it still count */
        }
    }
    if (leave(tls) < 0) return -1;
    sl_tls_send_put(tls); /* an answer to a key update; what the socket does not take waits */
    if (got || tls->peer_ended) return (ssize_t)got;
    if (tls->error) return errno = tls->error, -1;
    errno = EAGAIN;
    return -1;
}

static ssize_t tls_receive(struct sl_leg *leg, void *to, size_t most)
{
    struct sl_tls *tls = tls_of(leg);
    size_t seen = sl_tls_left(&tls->seen);
    ssize_t n;
    if (!tls->ready) return errno = tls->error ? tls->error : EAGAIN, -1;
    if (seen) {
        if (seen > most) seen = most;
        memcpy(to, tls->seen.bytes + tls->seen.from, seen);
        sl_tls_took(tls, &tls->seen, seen);
    }
    if (tls->peer_ended || seen == most) return (ssize_t)seen;
    if (tls->error) return seen ? (ssize_t)seen : (errno = tls->error, -1);
    n = read_records(tls, (uint8_t *)to + seen, most - seen);
    if (n < 0) return seen ? (ssize_t)seen : -1;
    return (ssize_t)seen + n;
}

static ssize_t tls_receive_parts(struct sl_leg *leg, const struct iovec *parts, int count)
{
    size_t got = 0;
    for (int i = 0; i < count; i++) {
        ssize_t n = tls_receive(leg, parts[i].iov_base, parts[i].iov_len);
        if (n < 0 && !got) return -1;
        if (n <= 0) break;
        got += (size_t)n;
        if ((size_t)n < parts[i].iov_len) break;
    }
    return (ssize_t)got;
}

static ssize_t tls_peek(struct sl_leg *leg, void *to, size_t most)
{
    struct sl_tls *tls = tls_of(leg);
    size_t seen = sl_tls_left(&tls->seen), length = seen < most ? seen : most;
    ssize_t n = 0;
    if (!tls->ready) return errno = tls->error ? tls->error : EAGAIN, -1;
    if (length) memcpy(to, tls->seen.bytes + tls->seen.from, length);
    if (length == most) return (ssize_t)length;
    if (!tls->peer_ended && !tls->error) n = read_records(tls, (uint8_t *)to + length, most - length);
    if (n > 0 && !sl_tls_keep(tls, &tls->seen, (uint8_t *)to + length, (size_t)n))
        return sl_tls_fail(tls, ENOMEM, NULL);
    if (n > 0) length += (size_t)n;
    if (length || tls->peer_ended) return (ssize_t)length;
    if (tls->error) errno = tls->error;
    return -1;
}

/* Ends a call of send(): `fresh` bytes of payload are in records of this call. */
static ssize_t sent(struct sl_tls *tls, size_t before, size_t fresh)
{
    if (sl_tls_send_put(tls) < 0) {
        if (errno != EAGAIN) return -1;
        tls->owed = (uint32_t)fresh;
        if (before) return (ssize_t)before;
        errno = EAGAIN;
        return -1;
    }
    tls->owed = 0;
    return (ssize_t)(before + fresh);
}

static ssize_t tls_send_parts(struct sl_leg *leg, const struct iovec *parts, int count)
{
    struct sl_tls *tls = tls_of(leg);
    size_t skip, paid, fresh = 0, n;
    int records = 0;
    if (!tls->ready || tls->error) return errno = tls->error ? tls->error : EAGAIN, -1;
    if (sl_tls_flush(tls) < 0) return -1;
    paid = skip = tls->owed; /* all of it has left now */
    tls->owed = 0;
    enter(tls);
    for (int i = 0; i < count && records < SL_TLS_RECORDS; i++) {
        const uint8_t *from = parts[i].iov_base;
        size_t length = parts[i].iov_len, at = skip < length ? skip : length;
        for (skip -= at; at < length && records < SL_TLS_RECORDS; at += n, fresh += n, records++) {
            size_t piece = length - at < SL_TLS_RECORD ? length - at : SL_TLS_RECORD;
            if (!SSL_write_ex(tls->ssl, from + at, piece, &n)) return broken(tls, SSL_get_error(tls->ssl, 0));
        }
    }
    return sent(tls, paid - skip, fresh); /* an owner that offers less than is owed is told of no more than that */
}

static ssize_t tls_send(struct sl_leg *leg, const void *from, size_t length, int more)
{
    struct iovec part = {.iov_base = (void *)(uintptr_t)from, .iov_len = length};
    (void)more; /* records are complete by themselves */
    return tls_send_parts(leg, &part, 1);
}

static int tls_end_writing(struct sl_leg *leg)
{
    struct sl_tls *tls = tls_of(leg);
    if (tls->error) return errno = tls->error, -1;
    if (sl_tls_flush(tls) < 0) return -1;
    tls->owed = 0;
    if (tls->ready && !tls->ended) {
        enter(tls);
        tls->ended = 1;
        if (SSL_shutdown(tls->ssl) < 0) return broken(tls, SSL_get_error(tls->ssl, -1));
        if (sl_tls_send_put(tls) < 0) return -1;
    }
    return sl_leg_end_writing(&tls->below);
}

/* The leg is as the one below from here on. */
void sl_tls_leg_take_off(struct sl_leg *leg)
{
    struct sl_tls *tls = tls_of(leg);
    sl_tls_forget(tls, &tls->in);
    sl_tls_forget(tls, &tls->out);
    sl_tls_forget(tls, &tls->seen);
    SSL_free(tls->ssl);
    *leg = tls->below;
    free(tls);
}

static void tls_close(struct sl_leg *leg)
{
    struct sl_tls *tls = tls_of(leg);
    if (tls->ready && !tls->error && sl_tls_flush(tls) == 0 && !tls->ended) {
        enter(tls);
        if (SSL_shutdown(tls->ssl) >= 0) sl_tls_send_put(tls);
    }
    sl_tls_leg_take_off(leg);
    sl_leg_close(leg);
}

static void tls_reset(struct sl_leg *leg)
{
    sl_tls_leg_take_off(leg);
    sl_leg_reset(leg);
}

static unsigned tls_wants(const struct sl_leg *leg)
{
    const struct sl_tls *tls = tls_of(leg);
    unsigned below = tls->below.transport ? sl_leg_table(&tls->below)->wants(&tls->below) : 0;
    return below | (sl_tls_left(&tls->out) ? SL_RECEIVE_WANTS_WRITE : 0);
}

static int tls_pending(const struct sl_leg *leg)
{
    const struct sl_tls *tls = tls_of(leg);
    if (sl_tls_left(&tls->seen) || sl_tls_left(&tls->in) || SSL_has_pending(tls->ssl) || tls->more) return 1;
    return tls->peer_ended || tls->below_ended || tls->error;
}

static int tls_ended(const struct sl_leg *leg)
{
    const struct sl_tls *tls = tls_of(leg);
    return tls->peer_ended || tls->error;
}

static const char *tls_reason(const struct sl_leg *leg)
{
    const struct sl_tls *tls = tls_of(leg);
    return tls->reason ? tls->reason : sl_leg_reason(&tls->below);
}

static const char *tls_broken(const struct sl_leg *leg)
{
    const struct sl_tls *tls = tls_of(leg);
    if (!tls->ready || tls->error != EPROTO || tls->alert) return NULL;
    return tls->reason ? tls->reason : NO_RECORD;
}

static const struct sl_leg_table TLS = {
    .receive = tls_receive,
    .receive_parts = tls_receive_parts,
    .send = tls_send,
    .send_parts = tls_send_parts,
    .peek = tls_peek,
    .end_writing = tls_end_writing,
    .close = tls_close,
    .reset = tls_reset,
    .advance = tls_advance,
    .wants = tls_wants,
    .pending = tls_pending,
    .ended = tls_ended,
    .reason = tls_reason,
    .broken = tls_broken,
};

/* ---- beginning --------------------------------------------------------------------------------------------------- */

SSL_CTX *sl_tls_context(int server)
{
    SSL_CTX *context = SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
    if (!context) return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_max_early_data(context, 0);
    SSL_CTX_set_read_ahead(context, 0);
    return context;
}

SSL *sl_tls_leg_ssl(const struct sl_leg *leg)
{
    return leg->transport && leg->transport->table == &TLS ? tls_of(leg)->ssl : NULL;
}

int sl_tls_leg_begin(struct sl_leg *leg, struct sl_tls_work *work, SSL_CTX *context, int server)
{
    struct sl_tls *tls, *lower = sl_tls_leg_ssl(leg) ? tls_of(leg) : NULL;
    BIO *bio;
    if (lower && lower->work == work) return 0;
    tls = calloc(1, sizeof *tls);
    bio = tls ? BIO_new(work->method) : NULL;
    if (!bio || !(tls->ssl = SSL_new(context))) {
        BIO_free(bio);
        free(tls);
        return 0;
    }
    BIO_set_data(bio, tls);
    BIO_set_init(bio, 1);
    SSL_set_bio(tls->ssl, bio, bio);
    if (server)
        SSL_set_accept_state(tls->ssl);
    else
        SSL_set_connect_state(tls->ssl);
    tls->transport.table = &TLS;
    tls->work = work;
    tls->below = *leg;
    leg->transport = &tls->transport;
    return 1;
}
