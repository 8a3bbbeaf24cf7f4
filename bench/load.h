/* The load generator's shared parts: a known byte stream, a latency histogram, loopback addresses and sockets.
 *
 * Every tunnel carries a stretch of one pattern that begins at the tunnel's own seed, so that a byte that is lost,
 * doubled, out of order or another tunnel's is seen. What a client sends first says what the origin does with the
 * connection:
 *
 *   'e' payload...         echo: the payload comes back, its end too
 *   's' seed(4) payload... sink: the payload is checked; after its end comes a report, 'k' or 'x' and a count(8)
 *   'g' seed(4) limit(8)   source: that many bytes and the end, or bytes without end for 0
 *
 * Numbers are big-endian. An HTTP/1.1 CONNECT head, whatever it asks for, is answered 200 and then forgotten: some peers
 * end no tunnel themselves and ask the next hop for it. */
#ifndef SLUICE_LOAD_H
#define SLUICE_LOAD_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

enum { CHUNK = 262144, PERIOD = 131071, BATCH = 256, TURN = 1 << 20, REPORT = 9, SOURCE_HEADER = 13, SINK_HEADER = 5 };

#define SECOND 1000000000ull

/* ---- the pattern ---- */

struct pattern {
    uint8_t bytes[PERIOD + CHUNK]; /* pseudo-random, of a prime period, so a chunk can be taken from any offset */
};

void pattern_fill(struct pattern *pattern);
/* The bytes of stream `seed` from `offset` on: up to CHUNK of them are there. */
const uint8_t *pattern_at(const struct pattern *pattern, uint32_t seed, uint64_t offset);

/* ---- latencies ---- */

enum { STEPS = 64, OCTAVES = 40 };

/* Log-linear: 64 steps an octave, an error of at most 1.6 %; nanoseconds up to an hour. */
struct histogram {
    uint64_t count, most;
    uint64_t slots[OCTAVES * STEPS];
};

void histogram_add(struct histogram *histogram, uint64_t nanoseconds);
/* The value that `share` of the samples (0 to 1) do not exceed, in microseconds; 0 without samples. */
double histogram_quantile(const struct histogram *histogram, double share);
/* Prints {"count": ..., "p50": ..., "p90": ..., "p99": ..., "max": ...} in microseconds. */
void histogram_print(const struct histogram *histogram);

/* ---- sockets ---- */

/* Reads "127.0.0.1:80" or "[::1]:80". Only loopback is taken. Returns 1, or 0. */
int read_loopback(const char *text, struct sockaddr_storage *address, socklen_t *length);
/* Nanoseconds of the monotonic clock. */
uint64_t now_ns(void);
void write_number(uint8_t *out, size_t width, uint64_t value);
uint64_t read_number(const uint8_t *in, size_t width);
/* Registers a socket once, for everything, edge-triggered. Returns 1, or 0 with errno. */
int watch(int epoll, int fd, void *owner);
/* Closes by a reset: nothing unsent is kept, no TIME_WAIT. */
void close_reset(int fd);
/* Raises the limit of open files to the hard one. Returns it. */
size_t raise_files(void);

/* ---- the two programs ---- */

struct origin_options {
    struct sockaddr_storage listen;
    socklen_t listen_length;
    double seconds; /* then it ends */
};

/* Serves until the time is up or SIGTERM or SIGINT. Prints {"port": N} first and its counts at the end. Returns an exit
 * code: 1 when bytes were wrong. */
int run_origin(const struct origin_options *options);

enum mode { OPEN_CLOSE, PING_PONG, BULK_DOWN, BULK_UP, IDLE };
enum via { DIRECT, SOCKS5, CONNECT, HTTP2 };
enum ending { END_CLOSE, END_RESET, END_HALF };

struct client_options {
    enum mode mode;
    enum via via;
    enum ending ending;
    struct sockaddr_storage proxy, origin; /* the proxy's is unused for DIRECT */
    socklen_t proxy_length, origin_length;
    const char *ask;      /* a host name to ask the proxy for instead of the origin's address; NULL = the address */
    size_t count, at_once;
    size_t size;          /* of one message of an echo */
    uint64_t bytes;       /* of one bulk tunnel; 0 = as many as the time allows */
    double seconds;       /* of the measured phase */
    double timeout;       /* of everything */
    double rate;          /* OPEN_CLOSE: tunnels a second; PING_PONG: messages a second on each; 0 = as fast as can be */
    unsigned sources;     /* addresses to connect from in turn, 127.1.0.1 and following; 0 = whatever the system takes */
    size_t connections;   /* HTTP2: that carry the tunnels, in turn */
    size_t stalled;       /* HTTP2, BULK_DOWN: the first so many tunnels grant nothing beyond their first window */
    uint64_t window;      /* HTTP2: of a stream, towards us */
    uint64_t frame;       /* HTTP2: most payload of one frame, towards us */
    double hold;          /* OPEN_CLOSE: seconds between a first and a second echo; 0 = one echo */
};

/* Runs one load and prints one line of JSON. Returns 0, or 1 when anything went wrong. */
int run_client(const struct client_options *options, const char *mode, const char *via);

/* ---- the way through a proxy ---- */

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
