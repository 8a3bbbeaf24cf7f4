/* One connection of the client: a socket, and TLS 1.3 on it where that was asked for.
 *
 * TLS is libssl's own on the socket, not the gateway's, so that a mistake of the one is not hidden by the other:
 * AES-128-GCM and X25519, whatever certificate the proxy shows, records of 16 KiB, at most four for each write. */
#ifndef SLUICE_LOAD_WIRE_H
#define SLUICE_LOAD_WIRE_H

#include <openssl/ssl.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

enum { WIRE_BATCH = 65536 }; /* bytes of one write over TLS, at most */

/* What the TLS connections of a run share. */
struct wire_tls {
    SSL_CTX *context;     /* NULL: cleartext */
    SSL_SESSION *session; /* to go on with; NULL until a ticket came, or where none is used */
    int resume;           /* sessions are gone on with */
    int serves;           /* this is the server's side */
    const char *chooses;  /* the server's protocols for ALPN, each behind its length, best first */
    uint64_t handshakes, resumed;
    uint8_t batch[WIRE_BATCH]; /* pieces of one write, put together */
};

struct wire {
    int fd;   /* -1: none */
    SSL *ssl; /* NULL: cleartext */
};

/* `certificate` and `key`: PEM files of the client's, or NULL; `protocol`: the one that ALPN offers. 1, or 0 with a
 * message. */
int wire_tls_begin(struct wire_tls *tls, const char *certificate, const char *key, const char *protocol);
/* The server's side, with the protocols that it chooses from, each behind its length. 1, or 0 with a message. */
int wire_tls_serve(struct wire_tls *tls, const char *certificate, const char *key, const char *protocols);
void wire_tls_end(struct wire_tls *tls);

/* The socket is connected, or about to be: TLS goes on it where the run has TLS. 1, or 0 without memory. */
int wire_begin(struct wire *wire, struct wire_tls *tls);
/* The handshake's next step. 1: there is none or it is done, 0: it waits for the socket, -1: it failed. */
int wire_advance(struct wire *wire, struct wire_tls *tls);
/* As recv(); over TLS only EAGAIN says that there is no more for now, and 0 is close_notify. */
ssize_t wire_recv(struct wire *wire, void *data, size_t length);
/* As sendmsg(); over TLS what it takes may wait for wire_flush(). */
ssize_t wire_send(struct wire *wire, struct wire_tls *tls, struct iovec *parts, int count);
/* Sends what waits. 1: all of it is out, 0 with errno. */
int wire_flush(struct wire *wire);
/* Ends this side's bytes. 1, or 0 with errno. */
int wire_finish(struct wire *wire);
/* Closes, by a reset or with an end. */
void wire_close(struct wire *wire, int reset);

#endif
