/* Streams of one HTTP/2 connection: GET, or gRPC's unary form (a message each way, and trailers). libnghttp2 frames. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_requests.h"

enum { WINDOW = 4 << 20, CONNECTION = 0x7fffffff, MESSAGE = 64 };

#define FIELD(name, value, length) \
    {(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, length, NGHTTP2_NV_FLAG_NONE}
#define TEXT(name, value) FIELD(name, value, sizeof(value) - 1)

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t length, uint8_t flags, void *user)
{
    struct asked *a = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    struct line *l = user;

    (void)flags;
    if (!a) return 0;
    if (name_length == 7 && memcmp(name, ":status", 7) == 0) {
        a->status = length == 3 && memcmp(value, "200", 3) == 0;
        if (!a->status) l->caller->code = atoi((const char *)value);
    } else if (name_length == 11 && memcmp(name, "grpc-status", 11) == 0)
        a->trailed = length == 1 && value[0] == '0';
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data, size_t length,
                   void *user)
{
    struct asked *a = nghttp2_session_get_stream_user_data(session, stream);
    struct line *l = user;

    (void)flags;
    return !a || request_content(l->caller, l, a, data, length) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
    struct asked *a = nghttp2_session_get_stream_user_data(session, stream);
    struct line *l = user;
    const struct request_options *o = l->caller->options;

    if (!a) return 0;
    if (!a->status || (o->unary && !a->trailed))
        line_fail(l->caller, l, code ? REQUEST_RESET : REQUEST_STATUS);
    else if (a->got != o->size)
        line_fail(l->caller, l, REQUEST_END);
    else
        request_done(l->caller, l, a);
    return l->open ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static ssize_t give_message(nghttp2_session *session, int32_t stream, uint8_t *out, size_t length, uint32_t *flags,
                            nghttp2_data_source *source, void *user)
{
    (void)session, (void)stream, (void)source, (void)user;
    if (length < MESSAGE) return NGHTTP2_ERR_DEFERRED;
    memset(out, 0, MESSAGE);
    out[4] = MESSAGE - 5; /* the length behind the flag */
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return MESSAGE;
}

static int submit(struct caller *c, struct line *l, struct asked *a)
{
    const struct request_options *o = c->options;
    char path[32];
    size_t length = (size_t)snprintf(path, sizeof path, "/%llu", (unsigned long long)o->size);
    const nghttp2_data_provider message = {.read_callback = give_message};
    const nghttp2_nv fields[] = {
        o->unary ? (nghttp2_nv)TEXT(":method", "POST") : (nghttp2_nv)TEXT(":method", "GET"),
        TEXT(":scheme", "http"),
        FIELD(":authority", o->authority, strlen(o->authority)),
        FIELD(":path", path, length),
        TEXT("user-agent", "load"),
        TEXT("te", "trailers"),
        TEXT("content-type", "application/grpc"),
    };

    a->status = a->trailed = 0;
    request_begins(c, l, a);
    return nghttp2_submit_request(l->session, NULL, fields, o->unary ? 7 : 5, o->unary ? &message : NULL, a) > 0;
}

int h2_line_open(struct caller *c, struct line *l)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW}};
    nghttp2_session_callbacks *callbacks;

    l->caller = c;
    if (nghttp2_session_callbacks_new(&callbacks) != 0) return 0;
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    int made = nghttp2_session_client_new(&l->session, callbacks, l) == 0;
    nghttp2_session_callbacks_del(callbacks);
    return made && nghttp2_submit_settings(l->session, NGHTTP2_FLAG_NONE, settings, 2) == 0 &&
           nghttp2_session_set_local_window_size(l->session, NGHTTP2_FLAG_NONE, 0, CONNECTION) == 0;
}

void h2_line_close(struct line *l)
{
    nghttp2_session_del(l->session);
    l->session = NULL;
}

static void send_out(struct caller *c, struct line *l)
{
    while (l->open && !l->full) {
        if (!l->out_length) {
            ssize_t n = nghttp2_session_mem_send(l->session, &l->out);
            if (n < 0) line_fail(c, l, REQUEST_PROTOCOL);
            if (n <= 0) return;
            l->out_length = (size_t)n;
        }
        struct iovec part = {.iov_base = (void *)(uintptr_t)l->out, .iov_len = l->out_length};
        ssize_t n = wire_send(&l->wire, &c->tls, &part, 1);
        if (n >= 0) {
            l->out += n;
            l->out_length -= (size_t)n;
        } else if (errno == EAGAIN || errno == EINTR)
            l->full = 1;
        else
            line_fail(c, l, REQUEST_RESET);
    }
}

void h2_serve(struct caller *c, struct line *l)
{
    while (l->open && l->readable && !l->stalled) {
        ssize_t n = wire_recv(&l->wire, c->scratch, sizeof c->scratch);
        if (n > 0) {
            if ((size_t)n < sizeof c->scratch && !l->hangup) l->readable = 0;
            if (nghttp2_session_mem_recv(l->session, c->scratch, (size_t)n) < 0 && l->open)
                line_fail(c, l, REQUEST_PROTOCOL);
        } else if (n == 0)
            line_fail(c, l, REQUEST_END);
        else if (errno == EAGAIN || errno == EINTR)
            l->readable = 0;
        else
            line_fail(c, l, REQUEST_RESET);
    }
    for (size_t i = 0; l->open && i < c->options->streams && request_wanted(c, l); i++)
        if (!l->asked[i].busy && !submit(c, l, &l->asked[i])) line_fail(c, l, REQUEST_PROTOCOL);
    send_out(c, l);
}
