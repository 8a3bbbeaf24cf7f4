/* The origin of HTTP requests: listeners, connections, HTTP/1.1. See load_web.h. */
#include "load_web.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BAD_ARGUMENTS = 2, DOORS = 4 };

/* A listener: what its connections speak over, or nothing at all. */
struct door {
    int fd;
    struct wire_tls *over; /* NULL: its connections are never read */
};

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

static void leave(struct visit *v)
{
    nghttp2_session_del(v->session);
    wire_close(&v->wire, 0);
    free(v);
}

/* ---- HTTP/1.1 ---- */

/* Value of a field of a head that ends with a NUL; "" without one. */
static const char *field(const char *head, const char *name)
{
    size_t length = strlen(name);

    for (const char *line = head; (line = strstr(line, "\r\n"));) {
        line += 2;
        if (strncasecmp(line, name, length) == 0 && line[length] == ':') return line + length + 1;
    }
    return "";
}

/* A whole head: a response is due. */
static void answer(struct visit *v)
{
    const char *path = strchr(v->head, ' ');
    const char *slash = path ? strchr(path, '/') : NULL;

    if (slash && slash[1] == '/') /* absolute-form */
        slash = strchr(slash + 2, '/');
    v->limit = slash ? strtoull(slash + 1, NULL, 10) : 0;
    v->offset = v->answer_sent = 0;
    v->skip = strtoull(field(v->head, "content-length"), NULL, 10);
    v->closing = strncasecmp(field(v->head, "connection") + 1, "close", 5) == 0;
    v->answer_length = (size_t)snprintf(v->answer, sizeof v->answer,
                                        "HTTP/1.1 200 OK\r\nServer: load\r\nDate: Tue, 01 Jan 2030 00:00:00 GMT\r\n"
                                        "Content-Type: application/octet-stream\r\nContent-Length: %llu\r\n%s\r\n",
                                        (unsigned long long)v->limit, v->closing ? "Connection: close\r\n" : "");
}

static int is_answering(const struct visit *v)
{
    return v->answer_sent < v->answer_length || v->offset < v->limit;
}

/* 1, or 0 when the connection is over. */
static int send_answer(struct visit *v)
{
    while (is_answering(v) && !v->full) {
        uint64_t left = v->limit - v->offset;
        struct iovec parts[2] = {
            {.iov_base = v->answer + v->answer_sent, .iov_len = v->answer_length - v->answer_sent},
            {.iov_base = (void *)(uintptr_t)pattern_at(&v->web->pattern, 0, v->offset),
             .iov_len = left < CHUNK ? (size_t)left : CHUNK},
        };
        ssize_t n = wire_send(&v->wire, v->over, parts, 2);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return 0;
        if (n < 0) {
            v->full = 1;
            return 1;
        }
        size_t of_head = (size_t)n < parts[0].iov_len ? (size_t)n : parts[0].iov_len;
        v->answer_sent += of_head;
        v->offset += (size_t)n - of_head;
    }
    return is_answering(v) || !v->closing;
}

/* Bytes of requests, which are answered one at a time: none comes while an answer is on its way. 1, or 0. */
static int take_requests(struct visit *v, const uint8_t *data, size_t length)
{
    while (length) {
        if (v->skip) {
            size_t part = v->skip < length ? (size_t)v->skip : length;
            v->skip -= part;
            data += part;
            length -= part;
            continue;
        }
        if (is_answering(v) || v->have == REQUEST_HEAD - 1) return 0;
        v->head[v->have++] = (char)*data++;
        length--;
        v->head[v->have] = 0;
        if (v->have < 4 || memcmp(v->head + v->have - 4, "\r\n\r\n", 4) != 0) continue;
        answer(v);
        v->have = 0;
        if (!send_answer(v)) return 0;
    }
    return 1;
}

/* ---- connections ---- */

static int take(struct visit *v, const uint8_t *data, size_t length)
{
    if (!v->begun) {
        v->begun = 1;
        if (length >= 4 && memcmp(data, PREFACE, 4) == 0 && !web_h2_begin(v)) return 0;
    }
    return v->session ? web_h2_take(v, data, length) : take_requests(v, data, length);
}

static int serve(struct visit *v)
{
    struct web *web = v->web;
    int done = wire_advance(&v->wire, v->over);

    if (done <= 0) return done == 0;
    if (!wire_flush(&v->wire) && errno != EAGAIN && errno != EINTR) return 0;
    while (v->readable) {
        ssize_t n = wire_recv(&v->wire, web->scratch, sizeof web->scratch);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            v->readable = 0;
            break;
        }
        if (n <= 0) return 0;
        if ((size_t)n < sizeof web->scratch && !v->hangup && !v->wire.ssl) v->readable = 0;
        if (!take(v, web->scratch, (size_t)n)) return 0;
    }
    return v->session ? web_h2_send(v) : send_answer(v);
}

static void welcome(struct web *web, const struct door *door)
{
    const int on = 1;
    int fd;

    while ((fd = accept4(door->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct visit *v;
        if (!door->over) continue; /* stays open, and is never read */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        if (!(v = calloc(1, sizeof *v))) {
            close(fd);
            continue;
        }
        v->web = web;
        v->over = door->over;
        v->wire.fd = fd;
        if (!wire_begin(&v->wire, v->over) || !watch(web->epoll, fd, v)) leave(v);
    }
}

static void loop(struct web *web, struct door *doors, uint64_t until)
{
    struct epoll_event events[BATCH];

    while (now_ns() < until) {
        int count = epoll_wait(web->epoll, events, BATCH, 1000);
        for (int i = 0; i < count; i++) {
            struct visit *v = events[i].data.ptr;
            struct door *door = events[i].data.ptr;
            if (door >= doors && door < doors + DOORS) {
                welcome(web, door);
                continue;
            }
            v->hangup |= (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
            v->readable |= v->hangup || events[i].events & EPOLLIN;
            if (events[i].events & EPOLLOUT) v->full = 0;
            if (!serve(v)) leave(v);
        }
    }
}

static unsigned open_door(const struct web *web, struct door *door)
{
    struct sockaddr_in bound;
    socklen_t length = sizeof bound;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = door};

    door->fd = listen_loopback("127.0.0.1:0");
    if (door->fd < 0 || getsockname(door->fd, (struct sockaddr *)&bound, &length) < 0 ||
        epoll_ctl(web->epoll, EPOLL_CTL_ADD, door->fd, &event) < 0)
        return 0;
    return ntohs(bound.sin_port);
}

/* `load web [CERTIFICATE KEY]`: prints its ports, and serves an hour at most. */
int web_main(int argc, char **argv)
{
    struct web *web = calloc(1, sizeof *web);
    struct door doors[DOORS];
    unsigned ports[DOORS];

    if (!web || (argc != 1 && argc != 3)) {
        fprintf(stderr, "load: web: a certificate and its key, or nothing\n");
        free(web);
        return BAD_ARGUMENTS;
    }
    raise_files();
    signal(SIGPIPE, SIG_IGN);
    pattern_fill(&web->pattern);
    web->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!web_h2_prepare(web) ||
        (argc == 3 && !(wire_tls_serve(&web->tls, argv[1], argv[2], "\x08http/1.1\x02h2") &&
                        wire_tls_serve(&web->tls_http2, argv[1], argv[2], "\x02h2\x08http/1.1"))))
        return 1;
    doors[0].over = &web->clear;
    doors[1].over = &web->tls;
    doors[2].over = &web->tls_http2;
    doors[3].over = NULL;
    for (unsigned i = 0; i < DOORS; i++)
        if (!(ports[i] = open_door(web, &doors[i]))) return 1;
    printf("{\"port\": %u, \"tls\": %u, \"tls_http2\": %u, \"silent\": %u}\n", ports[0], ports[1], ports[2], ports[3]);
    fflush(stdout);
    loop(web, doors, now_ns() + 3600 * SECOND);
    return 0;
}
