/* `load web`: the origin of HTTP requests, HTTP/1.1 and HTTP/2, in clear and over TLS.
 *
 *   load_web.c      listeners, connections, HTTP/1.1
 *   load_web_h2.c   HTTP/2 by libnghttp2
 *
 * A request's path says how many bytes of the pattern its response has: `GET /1024`. Whatever content it has is read
 * and dropped. A request of application/grpc gets trailers. */
#ifndef SLUICE_LOAD_WEB_H
#define SLUICE_LOAD_WEB_H

#include <nghttp2/nghttp2.h>

#include "load_common.h"
#include "load_wire.h"

enum { REQUEST_HEAD = 4096, SESSION_OUT = 65536 };

struct web {
    int epoll;
    struct wire_tls clear, tls, tls_http2; /* which takes HTTP/2 where it is offered */
    struct pattern pattern;
    nghttp2_session_callbacks *callbacks;
    uint8_t scratch[CHUNK];
    char answer[256];
};

struct visit {
    struct wire wire;
    struct web *web;
    struct wire_tls *over;
    uint8_t readable, hangup, full, begun, closing; /* closing: the last response is on its way */
    char head[REQUEST_HEAD];
    size_t have, answer_length, answer_sent;
    uint64_t skip; /* bytes of content to drop */
    uint64_t limit, offset;
    char answer[256];
    nghttp2_session *session; /* NULL: HTTP/1.1 */
    const uint8_t *out;
    size_t out_length;
};

/* `load web` and `load requests`: their own command lines. Return exit codes. */
int web_main(int argc, char **argv);
int requests_main(int argc, char **argv);

/* HTTP/2: the callbacks of all sessions, a connection that begins, what came, and what is to be sent. 1, or 0 when it
 * is over. */
int web_h2_prepare(struct web *web);
int web_h2_begin(struct visit *v);
int web_h2_take(struct visit *v, const uint8_t *data, size_t length);
int web_h2_send(struct visit *v);

#endif
