/* HTTP requests through a proxy: connections that each have one request under way, or several streams.
 *
 *   load_requests.c      options, phases (RAMP: one answer on each, MEASURE, WIND_DOWN), report
 *   load_requests_h1.c   one request after the other on a connection, HTTP/1.1
 *   load_requests_h2.c   streams of a connection, HTTP/2 by libnghttp2, in clear with prior knowledge
 *
 * Every response has to be a 200 with a stretch of the pattern of load_common.h, from its beginning, of the size that
 * was asked for. */
#ifndef SLUICE_LOAD_REQUESTS_H
#define SLUICE_LOAD_REQUESTS_H

#include <nghttp2/nghttp2.h>

#include "load_common.h"
#include "load_wire.h"

enum request_mode { KEPT, FRESH, QUIET, STALLED };

struct request_options {
    enum request_mode mode;
    struct sockaddr_storage proxy;
    socklen_t proxy_length;
    char authority[128];
    int http2, unary, absolute; /* unary: a gRPC call, by its outer form; absolute: the target has scheme and host */
    size_t count, streams;      /* connections, of FRESH requests in all; requests at once on each, HTTP/2 */
    size_t at_once;             /* FRESH: connections at a time */
    uint64_t size, total;       /* of a response's content; KEPT: requests in all, 0 = as many as the time allows */
    double seconds, timeout;
    unsigned sources; /* addresses to connect from in turn, 127.1.0.1 and following; 0 = one */
};

#define REQUEST_ERRORS(X)                                                      \
    X(CONNECT, "connect")   /* the connection to the proxy failed */           \
    X(STATUS, "status")     /* another status than 200, or than gRPC's 0 */    \
    X(PROTOCOL, "protocol") /* not a response */                               \
    X(RESET, "reset")       /* a reset, or a failed read or write */           \
    X(END, "end")           /* an end within a response, or ahead of it */     \
    X(CONTENT, "content")   /* a wrong byte, or more or fewer than were due */ \
    X(TIMEOUT, "timeout")   /* unfinished when the time was up */
#define ENUM_REQUEST_ERROR(name, text) REQUEST_##name,
enum request_error { REQUEST_ERRORS(ENUM_REQUEST_ERROR) REQUEST_ERROR_COUNT };

enum { RESPONSE_HEAD = 4096 };

/* One request under way. */
struct asked {
    uint64_t began, got; /* nanoseconds; bytes of content that came */
    uint8_t busy, status, trailed;
};

struct caller;

struct line {
    struct wire wire;
    struct caller *caller;
    uint8_t open, readable, hangup, full; /* full: the socket took no more */
    uint8_t answered;                     /* has had a whole response */
    uint8_t in_content;                   /* HTTP/1: the head is whole */
    uint8_t stalled;                      /* is not read at present */
    size_t have, unsent;                  /* bytes of the head; of the request that is leaving */
    char *head;                           /* HTTP/1: the response's, as far as it came */
    struct asked *asked;                  /* one, or as many as streams */
    nghttp2_session *session;             /* NULL: HTTP/1 */
    const uint8_t *out;                   /* of the session, not sent yet */
    size_t out_length;
};

enum request_phase { REQUEST_RAMP, REQUEST_MEASURE, REQUEST_WIND_DOWN };

struct caller {
    const struct request_options *options;
    struct wire_tls tls; /* no context: in clear */
    enum request_phase phase;
    int epoll;
    struct line *lines;
    size_t slots, open, ramped, woken;   /* connections; of them open, and with a whole response; asked again */
    uint64_t begun, completed, measured; /* requests; whole responses, and those of the measured phase */
    uint64_t down;                       /* bytes of content in the measured phase */
    uint64_t errors[REQUEST_ERROR_COUNT];
    int code; /* of the last response that was not 200 */
    uint64_t from, to, deadline;
    struct histogram times;
    struct pattern pattern;
    char request[1024]; /* HTTP/1: the whole request */
    size_t request_length;
    uint8_t scratch[CHUNK];
};

/* Whether the connection is to begin another request. */
int request_wanted(const struct caller *c, const struct line *l);
/* A request leaves: its time begins. */
void request_begins(struct caller *c, struct line *l, struct asked *a);
/* Content came: counted and checked. 1, or 0 when the connection has failed over it. */
int request_content(struct caller *c, struct line *l, struct asked *a, const uint8_t *data, size_t length);
/* A response is whole. */
void request_done(struct caller *c, struct line *l, struct asked *a);
/* The connection is given up. */
void line_fail(struct caller *c, struct line *l, enum request_error error);
void line_close(struct caller *c, struct line *l);

/* A line that has just connected, or may have more to do: sends, and reads what came. */
void h1_prepare(struct caller *c);
void h1_serve(struct caller *c, struct line *l);
int h2_line_open(struct caller *c, struct line *l);
void h2_serve(struct caller *c, struct line *l);
/* Its session goes; not while that calls. */
void h2_line_close(struct line *l);

#endif
