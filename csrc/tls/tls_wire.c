/* Ciphertext between the library and the leg below: what waits, what is sent and received, and the BIO. */
#include "tls/tls_wire.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- bytes that wait --------------------------------------------------------------------------------------------- */

void sl_tls_forget(struct sl_tls *tls, struct sl_tls_waiting *w)
{
    tls->work->buffered -= w->to;
    free(w->bytes);
    *w = (struct sl_tls_waiting){0};
}

void sl_tls_took(struct sl_tls *tls, struct sl_tls_waiting *w, size_t count)
{
    w->from += (uint32_t)count;
    if (w->from == w->to) sl_tls_forget(tls, w);
}

int sl_tls_keep(struct sl_tls *tls, struct sl_tls_waiting *w, const uint8_t *bytes, size_t count)
{
    size_t before = sl_tls_left(w);
    uint8_t *joined;
    if (!count) return 1;
    if (!(joined = malloc(before + count))) return 0;
    if (before) memcpy(joined, w->bytes + w->from, before);
    memcpy(joined + before, bytes, count);
    sl_tls_forget(tls, w);
    *w = (struct sl_tls_waiting){.bytes = joined, .to = (uint32_t)(before + count)};
    tls->work->buffered += w->to;
    return 1;
}

/* ---- the leg below ----------------------------------------------------------------------------------------------- */

int sl_tls_fail(struct sl_tls *tls, int error, const char *reason)
{
    if (!tls->error) tls->error = error, tls->reason = reason;
    errno = tls->error;
    return -1;
}

int sl_tls_flush(struct sl_tls *tls)
{
    while (sl_tls_left(&tls->out)) {
        ssize_t n = sl_leg_send(&tls->below, tls->out.bytes + tls->out.from, sl_tls_left(&tls->out), 0);
        if (n < 0) return errno == EAGAIN ? -1 : sl_tls_fail(tls, errno, NULL);
        sl_tls_took(tls, &tls->out, (size_t)n);
    }
    return 0;
}

int sl_tls_send_put(struct sl_tls *tls)
{
    size_t sent = 0;
    if (sl_tls_flush(tls) == 0)
        while (sent < tls->put) {
            ssize_t n = sl_leg_send(&tls->below, tls->work->output + sent, tls->put - sent, 0);
            if (n < 0 && errno == EAGAIN) break;
            if (n < 0) return sl_tls_fail(tls, errno, NULL);
            sent += (size_t)n;
        }
    if (sent < tls->put && !sl_tls_keep(tls, &tls->out, tls->work->output + sent, tls->put - sent))
        return sl_tls_fail(tls, ENOMEM, NULL);
    tls->put = 0;
    if (!sl_tls_left(&tls->out)) return 0;
    if (tls->error) return errno = tls->error, -1;
    errno = EAGAIN;
    return -1;
}

int sl_tls_fill(struct sl_tls *tls)
{
    ssize_t n;
    if (tls->below_ended) return 0;
    n = sl_leg_receive(&tls->below, tls->work->input, SL_TLS_INPUT);
    tls->more = n == SL_TLS_INPUT || (n > 0 && sl_leg_pending(&tls->below));
    tls->below_ended = n == 0;
    if (n <= 0) return (int)n;
    tls->given = tls->work->input;
    tls->given_left = (size_t)n;
    return 1;
}

/* ---- between the library and the two buffers --------------------------------------------------------------------- */

static int bio_read(BIO *bio, char *to, int most)
{
    struct sl_tls *tls = BIO_get_data(bio);
    size_t count = (size_t)most;
    const uint8_t *from;
    BIO_clear_retry_flags(bio);
    if (sl_tls_left(&tls->in)) {
        if (count > sl_tls_left(&tls->in)) count = sl_tls_left(&tls->in);
        from = tls->in.bytes + tls->in.from;
        memcpy(to, from, count);
        sl_tls_took(tls, &tls->in, count);
        return (int)count;
    }
    if (!tls->given_left) {
        BIO_set_retry_read(bio);
        return -1;
    }
    if (count > tls->given_left) count = tls->given_left;
    memcpy(to, tls->given, count);
    tls->given += count;
    tls->given_left -= count;
    return (int)count;
}

static int bio_write(BIO *bio, const char *from, int length)
{
    struct sl_tls *tls = BIO_get_data(bio);
    size_t count = (size_t)length;
    BIO_clear_retry_flags(bio);
    if (count > SL_TLS_OUTPUT - tls->put) { /* a long chain of certificates */
        if (!sl_tls_keep(tls, &tls->out, tls->work->output, tls->put)) return -1;
        tls->put = 0;
        if (count > SL_TLS_OUTPUT) return sl_tls_keep(tls, &tls->out, (const uint8_t *)from, count) ? length : -1;
    }
    memcpy(tls->work->output + tls->put, from, count);
    tls->put += count;
    return length;
}

static long bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; /* calls of the table flush, once each */
}

/* ---- what the legs of one thread share --------------------------------------------------------------------------- */

int sl_tls_work_begin(struct sl_tls_work *work)
{
    work->method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "sluice leg");
    work->input = malloc(SL_TLS_INPUT);
    work->output = malloc(SL_TLS_OUTPUT);
    if (!work->method || !work->input || !work->output) return sl_tls_work_end(work), 0;
    BIO_meth_set_read(work->method, bio_read);
    BIO_meth_set_write(work->method, bio_write);
    BIO_meth_set_ctrl(work->method, bio_control);
    return 1;
}

void sl_tls_work_end(struct sl_tls_work *work)
{
    BIO_meth_free(work->method);
    free(work->input);
    free(work->output);
    *work = (struct sl_tls_work){0};
}
