/* HTTP/1.1 on one connection: a request, its response, the next request. See load_requests.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "load_requests.h"

enum { STATUS_AT = 9 }; /* behind "HTTP/1.1 " */

void h1_prepare(struct caller *c)
{
    const struct request_options *o = c->options;

    c->request_length =
        (size_t)snprintf(c->request, sizeof c->request,
                         "GET %s%s/%llu HTTP/1.1\r\nHost: %s\r\nUser-Agent: load\r\nAccept: */*\r\n%s\r\n",
                         o->absolute ? "http://" : "", o->absolute ? o->authority : "", (unsigned long long)o->size,
                         o->authority, o->mode == FRESH ? "Connection: close\r\n" : "");
}

/* Content-Length of a head that ends with a NUL; UINT64_MAX without one. */
static uint64_t told_length(const char *head)
{
    const char *line = head;

    while ((line = strstr(line, "\r\n"))) {
        line += 2;
        if (strncasecmp(line, "content-length:", 15) == 0) return strtoull(line + 15, NULL, 10);
    }
    return UINT64_MAX;
}

/* A whole head. 1, or 0 when the connection has failed over it. */
static int read_head(struct caller *c, struct line *l)
{
    if (strncmp(l->head, "HTTP/1.1 ", STATUS_AT) != 0) {
        line_fail(c, l, REQUEST_PROTOCOL);
        return 0;
    }
    c->code = atoi(l->head + STATUS_AT);
    if (c->code != 200) {
        line_fail(c, l, REQUEST_STATUS);
        return 0;
    }
    if (told_length(l->head) != c->options->size) {
        line_fail(c, l, REQUEST_CONTENT);
        return 0;
    }
    l->in_content = 1;
    l->have = 0;
    return 1;
}

/* Takes what belongs to the head. Returns how many bytes, or more than there are when the connection has failed. */
static size_t take_head(struct caller *c, struct line *l, const uint8_t *data, size_t length)
{
    size_t before = l->have, part = length < RESPONSE_HEAD - 1 - before ? length : RESPONSE_HEAD - 1 - before;
    char *end;

    memcpy(l->head + before, data, part);
    l->head[before + part] = 0;
    end = strstr(l->head + (before < 3 ? 0 : before - 3), "\r\n\r\n");
    if (!end) {
        l->have = before + part;
        if (l->have < RESPONSE_HEAD - 1) return part;
        line_fail(c, l, REQUEST_PROTOCOL);
        return length + 1;
    }
    end[2] = 0;
    return read_head(c, l) ? (size_t)(end + 4 - l->head) - before : length + 1;
}

static void take(struct caller *c, struct line *l, const uint8_t *data, size_t length)
{
    struct asked *a = l->asked;
    size_t used;

    if (!a->busy) {
        line_fail(c, l, REQUEST_CONTENT);
        return;
    }
    if (!l->in_content) {
        used = take_head(c, l, data, length);
        if (used > length || !l->in_content) return;
        data += used;
        length -= used;
    }
    if (length && !request_content(c, l, a, data, length)) return;
    if (a->got < c->options->size) return;
    l->in_content = 0;
    request_done(c, l, a);
}

static void ask(struct caller *c, struct line *l)
{
    if (!l->asked->busy) {
        if (!request_wanted(c, l)) return;
        l->unsent = c->request_length;
        request_begins(c, l, l->asked);
    }
    if (!l->unsent) return;
    struct iovec part = {.iov_base = c->request + c->request_length - l->unsent, .iov_len = l->unsent};
    ssize_t n = wire_send(&l->wire, &c->tls, &part, 1);
    if (n >= 0)
        l->unsent -= (size_t)n;
    else if (errno != EAGAIN && errno != EINTR)
        line_fail(c, l, errno == ECONNREFUSED ? REQUEST_CONNECT : REQUEST_RESET);
}

void h1_serve(struct caller *c, struct line *l)
{
    ask(c, l);
    while (l->open && l->readable && !l->stalled) {
        ssize_t n = wire_recv(&l->wire, c->scratch, sizeof c->scratch);
        if (n > 0) {
            if ((size_t)n < sizeof c->scratch && !l->hangup) l->readable = 0;
            take(c, l, c->scratch, (size_t)n);
            if (l->open) ask(c, l);
        } else if (n == 0)
            line_fail(c, l, REQUEST_END);
        else if (errno == EAGAIN || errno == EINTR)
            l->readable = 0;
        else
            line_fail(c, l, errno == ECONNREFUSED ? REQUEST_CONNECT : REQUEST_RESET);
    }
}
