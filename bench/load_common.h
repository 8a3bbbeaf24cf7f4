/* Parts of both halves of the load generator: a known byte stream, a latency histogram, loopback addresses, sockets.
 *
 * Every tunnel carries a stretch of one pattern that begins at the tunnel's own seed, so that a byte that is lost,
 * doubled, out of order or another tunnel's is seen. What a client sends first says what the origin does with the
 * connection:
 *
 *   'e' payload...         echo: the payload comes back, and its end
 *   's' seed(4) payload... sink: the payload is checked; after its end comes a report, 'k' or 'x' and a count(8)
 *   'g' seed(4) limit(8)   source: that many bytes and the end, or bytes without end for 0
 *
 * Numbers are big-endian. An HTTP/1.1 CONNECT head, whatever it asks for, is answered 200 and then forgotten: some peers
 * end no tunnel themselves and ask the parent for it. */
#ifndef SLUICE_LOAD_COMMON_H
#define SLUICE_LOAD_COMMON_H

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
/* A socket that listens there, without blocking. Returns it, or -1. */
int listen_loopback(const char *text);
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

#endif
