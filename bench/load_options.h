/* The options of a load, and the client that runs one. */
#ifndef SLUICE_LOAD_OPTIONS_H
#define SLUICE_LOAD_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "load_handshake.h"

enum mode { OPEN_CLOSE, PING_PONG, BULK_DOWN, BULK_UP, IDLE };
enum ending { END_CLOSE, END_RESET, END_HALF };

struct client_options {
    enum mode mode;
    enum via via;
    enum ending ending;
    struct sockaddr_storage proxy, origin; /* the proxy's is unused for DIRECT */
    socklen_t proxy_length, origin_length;
    const char *ask; /* a host name to ask the proxy for instead of the origin's address; NULL = the address */
    size_t count, at_once;
    size_t size;        /* of one message of an echo */
    uint64_t bytes;     /* of one bulk tunnel; 0 = as many as the time allows */
    double seconds;     /* of the measured phase */
    double timeout;     /* of everything */
    double rate;        /* OPEN_CLOSE: tunnels a second; PING_PONG: messages a second on each; 0 = as fast as can be */
    unsigned sources;   /* addresses to connect from in turn, 127.1.0.1 and following; 0 = whatever the system takes */
    size_t connections; /* HTTP2: that carry the tunnels, in turn */
    size_t stalled;     /* HTTP2, BULK_DOWN: the first so many tunnels grant nothing beyond their first window */
    uint64_t window;    /* HTTP2: of a stream, towards us */
    uint64_t frame;     /* HTTP2: most payload of one frame, towards us */
    int tls, resume;    /* TLS towards the proxy; connections go on with the first one's session */
    const char *certificate, *key; /* PEM files that the client shows; NULL = none */
    double hold;                   /* OPEN_CLOSE: seconds between a first and a second echo; 0 = one echo */
};

/* Runs one load and prints one line of JSON. Returns 0, or 1 when anything went wrong. */
int run_client(const struct client_options *options, const char *mode, const char *via);

#endif
