/* The way through a proxy: a request for the origin, and the proxy's answers. */
#ifndef SLUICE_LOAD_HANDSHAKE_H
#define SLUICE_LOAD_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum via { DIRECT, SOCKS5, CONNECT, HTTP2 };

struct handshake {
    enum via via;
    uint8_t request[512]; /* the SOCKS5 request, the CONNECT head, or HTTP/2's :authority */
    size_t request_length;
};

enum handshake_status { HANDSHAKE_BROKEN = 0, HANDSHAKE_MORE, HANDSHAKE_ASK, HANDSHAKE_OPEN, HANDSHAKE_REFUSED };

/* Prepares the request for the origin by address, or by name when `ask` is not NULL. Returns 1, or 0 for a name too
 * long. */
int handshake_prepare(struct handshake *handshake, enum via via, const struct sockaddr_storage *origin,
                      const char *ask);
/* Reads the answers so far (RFC 1928 sections 3 and 6; RFC 9112): more are needed; send the request (SOCKS5, after the
 * method); the tunnel is open; it was refused, with *code the reply code or status; or the answer is broken. `asked`
 * says whether the request was sent. */
enum handshake_status handshake_read(const struct handshake *handshake, int asked, const uint8_t *data, size_t length,
                                     int *code);

#endif
