/* The inside of TLS legs, shared by tls_leg.c and tls_wire.c: one leg's state, and the way of its ciphertext. */
#ifndef SLUICE_TLS_WIRE_H
#define SLUICE_TLS_WIRE_H

#include "tls/tls_leg.h"

/* Bytes that wait, in memory of their own; none, no memory. */
struct sl_tls_waiting {
    uint8_t *bytes;
    uint32_t from, to;
};

struct sl_tls {
    struct sl_transport transport;
    struct sl_tls_work *work;
    SSL *ssl;
    struct sl_leg below;
    struct sl_tls_waiting in;   /* ciphertext that the library has not read */
    struct sl_tls_waiting out;  /* ciphertext that the leg below has not taken */
    struct sl_tls_waiting seen; /* payload that was peeked at */
    const uint8_t *given;       /* during a call: what the library may read */
    size_t given_left;          /* of it */
    size_t put;                 /* during a call: bytes of work->output */
    uint32_t owed;              /* payload of records in `out`, not counted as sent yet */
    char const *reason;         /* why it failed */
    int error;                  /* errno of the failure; 0: none */
    uint8_t result;             /* sl_tls_result of a handshake that failed */
    uint8_t alert;              /* of the peer, by which it failed; close_notify, 0: none */
    unsigned ready : 1;         /* the handshake is done */
    unsigned more : 1;          /* the leg below may have more: its last recv() filled the buffer */
    unsigned below_ended : 1;   /* it had its end */
    unsigned peer_ended : 1;    /* close_notify was read */
    unsigned ended : 1;         /* close_notify was written */
};

static inline size_t sl_tls_left(const struct sl_tls_waiting *w)
{
    return w->to - w->from;
}

/* Gives the memory back. */
void sl_tls_forget(struct sl_tls *tls, struct sl_tls_waiting *w);
/* The first `count` bytes have been used. */
void sl_tls_took(struct sl_tls *tls, struct sl_tls_waiting *w, size_t count);
/* Appends; 0 without memory. What was taken from the front is given back on the way. */
int sl_tls_keep(struct sl_tls *tls, struct sl_tls_waiting *w, const uint8_t *bytes, size_t count);

/* The leg has failed, for good; the first failure counts. -1, with its errno. */
int sl_tls_fail(struct sl_tls *tls, int error, const char *reason);
/* Sends what waits. 0; -1 with errno, EAGAIN where some is left. */
int sl_tls_flush(struct sl_tls *tls);
/* Sends what the call has written, behind what waits; the rest waits. Returns as sl_tls_flush(). */
int sl_tls_send_put(struct sl_tls *tls);
/* One recv() below, for the library to read. 1: something came; 0: the end; -1 with errno. */
int sl_tls_fill(struct sl_tls *tls);

#endif
