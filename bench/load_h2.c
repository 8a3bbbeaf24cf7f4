/* HTTP/2 from the proxy: connections, streams, and the frames that come. See load_h2.h. */
#include "load_h2.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    CONNECTION_WINDOW = 0x7fffffff,
    GRANT_AT = 16 << 20,
    AHEAD = 128, /* of the most that one turn may bring */
    TABLE_LEAST = 64,
    SETTING_WINDOW = 4,
    SETTING_FRAME = 5,
    SETTING_PUSH = 2
};

static const char PREFACE[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

void h2_due(struct client *c, struct carrier *k)
{
    if (k->due || k->broken) return;
    k->due = 1;
    k->next_due = c->due;
    c->due = k;
}

static struct tunnel **place_of(struct carrier *k, uint32_t stream)
{
    return &k->streams[stream / 2 & k->mask];
}

static struct tunnel *tunnel_of(struct carrier *k, uint32_t stream)
{
    struct tunnel *t = *place_of(k, stream);
    return t && t->stream == stream ? t : NULL;
}

/* The end of a connection is the end of all that it carries. */
static void break_carrier(struct client *c, struct carrier *k, enum error error)
{
    if (k->broken) return;
    k->broken = 1;
    for (uint32_t i = 0; i <= k->mask; i++)
        if (k->streams[i]) tunnel_fail(c, k->streams[i], k->connected || error == ERROR_TLS ? error : ERROR_CONNECT);
    wire_close(&k->wire, 1);
}

/* ---- opening ---- */

/* The preface, our settings, and a window for the whole connection that is never in the way. */
static void greet(struct client *c, struct carrier *k)
{
    const uint32_t settings[3][2] = {{SETTING_PUSH, 0},
                                     {SETTING_WINDOW, (uint32_t)c->options->window},
                                     {SETTING_FRAME, (uint32_t)c->options->frame}};
    size_t preface = sizeof PREFACE - 1, length = sizeof settings / sizeof *settings * 6;
    uint8_t *out = h2_small(c, k, preface + H2_HEAD + length);

    if (!out) return;
    memcpy(out, PREFACE, preface);
    h2_write_head(out + preface, length, H2_SETTINGS, 0, 0);
    out += preface + H2_HEAD;
    for (size_t i = 0; i < 3; i++, out += 6) {
        write_number(out, 2, settings[i][0]);
        write_number(out + 2, 4, settings[i][1]);
    }
    h2_say(c, k, H2_WINDOW_UPDATE, 0, CONNECTION_WINDOW - H2_FRESH_WINDOW);
}

static int open_carrier(struct client *c, struct carrier *k, size_t number)
{
    const struct client_options *o = c->options;
    size_t table = TABLE_LEAST;
    const int on = 1;

    while (table < 2 * (c->slots / o->connections + 1)) table *= 2;
    *k = (struct carrier){.mask = (uint32_t)table - 1,
                          .next_stream = 1,
                          .window = H2_FRESH_WINDOW,
                          .initial_window = H2_FRESH_WINDOW,
                          .max_frame = H2_FRAME};
    k->wire.fd = socket(o->proxy.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (k->wire.fd < 0 || setsockopt(k->wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) < 0 ||
        !client_source(c, k->wire.fd, number) || !wire_begin(&k->wire, &c->tls) ||
        (connect(k->wire.fd, (const struct sockaddr *)&o->proxy, o->proxy_length) < 0 && errno != EINPROGRESS) ||
        !watch(c->epoll, k->wire.fd, (uint8_t *)k + 1) || !(k->streams = calloc(table, sizeof *k->streams)) ||
        !(k->block = malloc(o->frame)) || nghttp2_hd_inflate_new(&k->inflater) != 0 ||
        nghttp2_hd_deflate_new(&k->deflater, 4096) != 0)
        return 0;
    greet(c, k);
    return 1;
}

int h2_set_up(struct client *c)
{
    c->carriers = calloc(c->options->connections, sizeof *c->carriers);
    for (size_t i = 0; c->carriers && i < c->options->connections; i++)
        if (!open_carrier(c, &c->carriers[i], i)) return 0;
    return c->carriers != NULL;
}

void h2_close(struct client *c)
{
    for (size_t i = 0; c->carriers && i < c->options->connections; i++) {
        struct carrier *k = &c->carriers[i];
        if (!k->broken && k->inflater && k->deflater) h2_write(c, k);
        if (!k->broken) wire_close(&k->wire, 0);
        nghttp2_hd_inflate_del(k->inflater);
        nghttp2_hd_deflate_del(k->deflater);
        free(k->streams);
        free(k->block);
        free(k->small);
    }
    free(c->carriers);
}

#define FIELD(text, value, size) {(uint8_t *)(uintptr_t)text, (uint8_t *)(uintptr_t)(value), sizeof text - 1, size, 0}

void h2_begin(struct client *c, struct tunnel *t)
{
    struct carrier *k = &c->carriers[(c->began - 1) % c->options->connections];
    const nghttp2_nv fields[2] = {FIELD(":method", "CONNECT", 7),
                                  FIELD(":authority", c->handshake.request, c->handshake.request_length)};
    size_t bound = nghttp2_hd_deflate_bound(k->deflater, fields, 2);
    uint8_t *out;

    t->wire.fd = -1;
    t->state = HANDSHAKE;
    if (k->broken || k->going || k->next_stream > 0x7ffffff0 || !(out = h2_small(c, k, H2_HEAD + bound))) {
        tunnel_fail(c, t, ERROR_CONNECT);
        return;
    }
    while (*place_of(k, k->next_stream)) /* ids may be left out: RFC 9113 section 5.1.1 */
        k->next_stream += 2;
    *place_of(k, k->next_stream) = t;
    t->carrier = k;
    t->stream = k->next_stream;
    t->window = k->initial_window;
    t->stalled = c->began <= c->options->stalled;
    k->next_stream += 2;
    ssize_t length = nghttp2_hd_deflate_hd(k->deflater, out + H2_HEAD, bound, fields, 2);
    h2_write_head(out, length < 0 ? 0 : (size_t)length, H2_HEADERS, H2_END_HEADERS, t->stream);
    k->small_length -= bound - (length < 0 ? 0 : (size_t)length);
}

void h2_release(struct client *c, struct tunnel *t, int reset)
{
    struct carrier *k = t->carrier;

    h2_unlink(k, t);
    *place_of(k, t->stream) = NULL;
    if (k->broken || t->gone) return;
    if (reset && !(t->near_ended && t->far_ended))
        h2_say(c, k, H2_RST_STREAM, t->stream, H2_CANCEL);
    else if (!t->near_ended)
        h2_half_close(c, t);
}

/* ---- frames ---- */

/* Takes note of the status in a header block. Returns 0 for a block that is broken; *status stays 0 without one. */
static int read_block(struct carrier *k, const uint8_t *data, size_t length, int *status)
{
    for (;;) {
        nghttp2_nv field;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(k->inflater, &field, &flags, data, length, 1);
        if (used < 0) return 0;
        data += used;
        length -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT && field.namelen == 7 && memcmp(field.name, ":status", 7) == 0) {
            *status = 0;
            for (size_t i = 0; i < 3 && field.valuelen == 3 && field.value[i] >= '0' && field.value[i] <= '9'; i++)
                *status = *status * 10 + (field.value[i] - '0');
        }
        if (flags & NGHTTP2_HD_INFLATE_FINAL) return nghttp2_hd_inflate_end_headers(k->inflater) == 0;
        if (!(flags & NGHTTP2_HD_INFLATE_EMIT) && length == 0) return 0;
    }
}

static int headers_came(struct client *c, struct carrier *k, struct tunnel *t)
{
    size_t skip = k->flags & H2_PRIORITY ? 5 : 0;
    int status = 0;

    if (!(k->flags & H2_END_HEADERS) || k->flags & H2_PADDED || k->block_have < skip ||
        !read_block(k, k->block + skip, k->block_have - skip, &status))
        return 0;
    if (!t || status / 100 == 1) return 1;
    if (t->state != HANDSHAKE || status < 200 || status > 599) {
        tunnel_fail(c, t, ERROR_PROTOCOL);
    } else if (status > 299) {
        c->code = status;
        tunnel_fail(c, t, ERROR_REFUSED);
    } else
        tunnel_open(c, t);
    return 1;
}

static int settings_came(struct client *c, struct carrier *k)
{
    if (k->flags & H2_ACK) return k->block_have == 0;
    if (k->block_have % 6) return 0;
    for (const uint8_t *at = k->block; at < k->block + k->block_have; at += 6) {
        uint32_t value = (uint32_t)read_number(at + 2, 4);
        if (at[0]) continue;
        if (at[1] == SETTING_FRAME) k->max_frame = value < H2_FRAME ? H2_FRAME : value > CHUNK ? CHUNK : value;
        if (at[1] != SETTING_WINDOW) continue;
        int64_t more = (int64_t)value - k->initial_window;
        k->initial_window = value;
        for (uint32_t i = 0; i <= k->mask; i++)
            if (k->streams[i]) {
                k->streams[i]->window += more;
                h2_window_opened(c, k->streams[i]);
            }
    }
    uint8_t *out = h2_small(c, k, H2_HEAD);
    if (out) h2_write_head(out, 0, H2_SETTINGS, H2_ACK, 0);
    return 1;
}

static int ping_came(struct client *c, struct carrier *k)
{
    if (k->block_have != 8) return 0;
    if (k->flags & H2_ACK) return 1;
    uint8_t *out = h2_small(c, k, H2_HEAD + 8);
    if (out) {
        h2_write_head(out, 8, H2_PING, H2_ACK, 0);
        memcpy(out + H2_HEAD, k->block, 8);
    }
    return 1;
}

static int window_came(struct client *c, struct carrier *k, struct tunnel *t)
{
    if (k->block_have != 4) return 0;
    uint32_t more = (uint32_t)read_number(k->block, 4) & 0x7fffffff;
    if (k->stream == 0) {
        k->window += more;
        h2_due(c, k);
    } else if (t) {
        t->window += more;
        h2_window_opened(c, t);
    }
    return more > 0;
}

/* Part of a DATA frame. */
static void data_came(struct client *c, struct carrier *k, const uint8_t *data, size_t length)
{
    struct tunnel *t = tunnel_of(k, k->stream);

    k->owed += (uint32_t)length;
    if (k->owed >= GRANT_AT) {
        h2_say(c, k, H2_WINDOW_UPDATE, 0, k->owed);
        k->owed = 0;
    }
    if (!t) /* ours to ignore: a stream that we reset */
        return;
    t->owed += (uint32_t)length;
    if (t->owed >= c->options->window / 2 && !t->stalled) {
        h2_say(c, k, H2_WINDOW_UPDATE, t->stream, t->owed);
        t->owed = 0;
    }
    if (t->state < READY)
        tunnel_fail(c, t, ERROR_PROTOCOL);
    else if (t->owed > c->options->window)
        tunnel_fail(c, t, ERROR_PROTOCOL); /* more than the window allows: RFC 9113 section 6.9.1 */
    else
        tunnel_received(c, t, data, length);
}

static int frame_came(struct client *c, struct carrier *k)
{
    struct tunnel *t = k->stream ? tunnel_of(k, k->stream) : NULL;
    int good = 1;

    switch (k->type) {
    case H2_DATA: break;
    case H2_HEADERS: good = headers_came(c, k, t); break;
    case H2_RST_STREAM:
        if (t) {
            t->gone = 1;
            tunnel_fail(c, t, ERROR_RESET);
        }
        return k->block_have == 4;
    case H2_SETTINGS: return settings_came(c, k);
    case H2_PING: return ping_came(c, k);
    case H2_GOAWAY: k->going = 1; return 1;
    case H2_WINDOW_UPDATE: return window_came(c, k, t);
    case H2_PUSH_PROMISE:
    case H2_CONTINUATION: return 0;
    default: /* to be ignored: RFC 9113 section 4.1 */ return 1;
    }
    if (good && k->flags & H2_END_STREAM && k->stream && (t = tunnel_of(k, k->stream))) {
        t->far_ended = 1;
        tunnel_ended(c, t);
    }
    return good;
}

static int frame_begins(const struct client *c, struct carrier *k)
{
    k->left = (uint32_t)read_number(k->head, 3);
    k->type = k->head[3];
    k->flags = k->head[4];
    k->stream = (uint32_t)read_number(k->head + 5, 4) & 0x7fffffff;
    k->block_have = 0;
    if (k->type == H2_DATA && (k->flags & H2_PADDED || k->stream == 0)) return 0;
    return k->left <= c->options->frame;
}

/* Returns 0 when what came is not HTTP/2, or none that this client takes. */
static int take(struct client *c, struct carrier *k, const uint8_t *data, size_t length)
{
    while (length && !k->broken) {
        size_t part;
        if (k->head_have < H2_HEAD) {
            part = H2_HEAD - k->head_have < length ? H2_HEAD - k->head_have : length;
            memcpy(k->head + k->head_have, data, part);
            k->head_have += part;
            if (k->head_have == H2_HEAD && !frame_begins(c, k)) return 0;
        } else {
            part = k->left < length ? k->left : length;
            if (k->type == H2_DATA)
                data_came(c, k, data, part);
            else {
                memcpy(k->block + k->block_have, data, part);
                k->block_have += part;
            }
            k->left -= (uint32_t)part;
        }
        data += part;
        length -= part;
        if (k->head_have == H2_HEAD && k->left == 0) {
            k->head_have = 0;
            if (!frame_came(c, k)) return 0;
        }
    }
    return 1;
}

/* ---- turns ---- */

void h2_event(struct client *c, struct carrier *k, uint32_t events)
{
    if (k->broken) return;
    k->hangup |= (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
    k->readable |= k->hangup || events & EPOLLIN;
    if (events & EPOLLOUT) k->full = 0;
    h2_due(c, k);
}

static void read_carrier(struct client *c, struct carrier *k)
{
    size_t turn = 0;

    int done = k->readable ? wire_advance(&k->wire, &c->tls) : 0;

    if (done < 0) break_carrier(c, k, ERROR_TLS);
    if (done == 0) k->readable = 0;
    while (k->readable && !k->broken && turn < TURN) {
        ssize_t n = wire_recv(&k->wire, c->scratch, sizeof c->scratch);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            k->readable = 0;
            return;
        }
        if (n <= 0) {
            break_carrier(c, k, n < 0 ? ERROR_RESET : ERROR_END);
            return;
        }
        k->connected = 1;
        if ((size_t)n < sizeof c->scratch && !k->hangup && !k->wire.ssl) k->readable = 0;
        turn += (size_t)n;
        if (!take(c, k, c->scratch, (size_t)n)) break_carrier(c, k, ERROR_PROTOCOL);
    }
}

void h2_read(struct client *c)
{
    for (struct carrier *k = c->due; k; k = k->next_due) /* what becomes due meanwhile stands before */
        if (!k->broken) read_carrier(c, k);
}

int h2_flush(struct client *c)
{
    struct carrier *k = c->due;
    int more = 0;

    c->due = NULL;
    while (k) {
        struct carrier *next = k->next_due;
        k->due = 0;
        if (!k->broken && !h2_write(c, k)) k->readable = k->hangup = 1; /* reading tells what it was */
        if (!k->broken && k->readable) {
            h2_due(c, k);
            more = 1;
        }
        k = next;
    }
    return more;
}
