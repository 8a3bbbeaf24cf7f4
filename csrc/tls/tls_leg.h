/* The TLS table of relay/leg.h: a leg whose bytes are records of TLS on another leg, by the system's libssl.
 *
 *   leg { fd, transport } ──▶ sl_tls { SSL, ciphertext that waits each way } ──▶ the leg below: a socket, or TLS again
 *
 * One recv() below feeds as many records as it brought, and the records of one send() leave by one call below. Between
 * calls a leg owns no buffer but for bytes that wait: those come from and go to the worker's two.
 *
 *   receiving   ciphertext behind the last record that was asked for stays, in memory of the leg's own
 *   sending     a record that the socket took half of is owed: send() says EAGAIN, and its payload counts as sent by
 *               the call that puts the rest out. The bytes must be offered again, as every owner of a leg does.
 *
 * close_notify is the end of the peer's bytes (RFC 8446 section 6.1); an end of the leg below without it is a reset. */
#ifndef SLUICE_TLS_LEG_H
#define SLUICE_TLS_LEG_H

#include <openssl/ssl.h>

#include "relay/leg.h"

enum {
    SL_TLS_RECORD = 16384,                        /* bytes of payload in one, at most (RFC 8446 5.1) */
    SL_TLS_RECORD_MOST = SL_TLS_RECORD + 256 + 5, /* on the wire, TLS 1.3 (RFC 8446 5.2) */
    SL_TLS_RECORDS = 4,                           /* of one call of send() */
    SL_TLS_INPUT = 65536,                         /* one recv() below */
    SL_TLS_OUTPUT = (SL_TLS_RECORDS + 1) * (SL_TLS_RECORD_MOST + 64), /* and what else a call may say */
};

/* What the TLS legs of one thread share. Zero it, then sl_tls_work_begin(). */
struct sl_tls_work {
    BIO_METHOD *method;
    uint8_t *input;  /* SL_TLS_INPUT bytes */
    uint8_t *output; /* SL_TLS_OUTPUT bytes */
    size_t buffered; /* bytes of memory that legs hold for what waits */
};

/* 1, or 0 without memory. */
int sl_tls_work_begin(struct sl_tls_work *work);
void sl_tls_work_end(struct sl_tls_work *work);

/* A context with what legs rely on: partial writes, moving buffers, buffers released when idle, TLS 1.2 or later, no
 * renegotiation, no compression, no early data. NULL without memory. The caller adds certificates and how peers are
 * verified, and frees it. */
SSL_CTX *sl_tls_context(int server);

/* Puts TLS on `leg`, for good: a plain leg, or one that is TLS already, with another `work` than this one's. `server`:
 * the peer speaks first. 1, or 0 without memory, which leaves the leg as it was. The handshake is what sl_leg_advance()
 * does; until it says READY there is neither payload nor room for it: EAGAIN. */
int sl_tls_leg_begin(struct sl_leg *leg, struct sl_tls_work *work, SSL_CTX *context, int server);

/* Takes TLS off again: the leg is as the one below it, and no word is sent. */
void sl_tls_leg_take_off(struct sl_leg *leg);

/* The library's object, for names, certificates and versions; NULL for a leg without TLS. */
SSL *sl_tls_leg_ssl(const struct sl_leg *leg);

#endif
