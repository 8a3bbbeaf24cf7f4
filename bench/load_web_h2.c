/* The origin's HTTP/2: each request is answered as soon as its head is there. See load_web.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load_web.h"

struct reply {
    uint64_t limit, offset;
    int unary;
};

#define FIELD(name, value, length) \
    {(uint8_t *)(uintptr_t)(name), (uint8_t *)(uintptr_t)(value), sizeof(name) - 1, length, NGHTTP2_NV_FLAG_NONE}
#define TEXT(name, value) FIELD(name, value, sizeof(value) - 1)

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct reply *r;

    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    if (!(r = calloc(1, sizeof *r))) return NGHTTP2_ERR_CALLBACK_FAILURE;
    return nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, r);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_length,
                     const uint8_t *value, size_t length, uint8_t flags, void *user)
{
    struct reply *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags, (void)user;
    if (r && name_length == 5 && memcmp(name, ":path", 5) == 0 && length > 1)
        r->limit = strtoull((const char *)value + 1, NULL, 10);
    else if (r && name_length == 12 && memcmp(name, "content-type", 12) == 0)
        r->unary = length >= 16 && memcmp(value, "application/grpc", 16) == 0;
    return 0;
}

static ssize_t give(nghttp2_session *session, int32_t stream, uint8_t *out, size_t length, uint32_t *flags,
                    nghttp2_data_source *source, void *user)
{
    static const nghttp2_nv trailers[] = {TEXT("grpc-status", "0"), TEXT("grpc-message", "OK")};
    struct reply *r = source->ptr;
    struct visit *v = user;
    size_t part = r->limit - r->offset < length ? (size_t)(r->limit - r->offset) : length;

    memcpy(out, pattern_at(&v->web->pattern, 0, r->offset), part);
    r->offset += part;
    if (r->offset == r->limit) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (r->unary) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            nghttp2_submit_trailer(session, stream, trailers, 2);
        }
    }
    return (ssize_t)part;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct reply *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    char size[24];
    nghttp2_data_provider content = {.source.ptr = r, .read_callback = give};

    (void)user;
    if (!r || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) return 0;
    size_t length = (size_t)snprintf(size, sizeof size, "%llu", (unsigned long long)r->limit);
    const nghttp2_nv plain[] = {TEXT(":status", "200"), TEXT("content-type", "application/octet-stream"),
                                TEXT("server", "load"), FIELD("content-length", size, length)};
    const nghttp2_nv unary[] = {TEXT(":status", "200"), TEXT("content-type", "application/grpc"),
                                TEXT("server", "load")};
    return nghttp2_submit_response(session, frame->hd.stream_id, r->unary ? unary : plain, r->unary ? 3 : 4, &content);
}

static int on_close(nghttp2_session *session, int32_t stream, uint32_t code, void *user)
{
    (void)code, (void)user;
    free(nghttp2_session_get_stream_user_data(session, stream));
    return 0;
}

int web_h2_prepare(struct web *web)
{
    if (nghttp2_session_callbacks_new(&web->callbacks) != 0) return 0;
    nghttp2_session_callbacks_set_on_begin_headers_callback(web->callbacks, on_begin);
    nghttp2_session_callbacks_set_on_header_callback(web->callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(web->callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(web->callbacks, on_close);
    return 1;
}

int web_h2_begin(struct visit *v)
{
    const nghttp2_settings_entry settings[] = {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, 1000},
                                               {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 1 << 20}};

    return nghttp2_session_server_new(&v->session, v->web->callbacks, v) == 0 &&
           nghttp2_submit_settings(v->session, NGHTTP2_FLAG_NONE, settings, 2) == 0 &&
           nghttp2_session_set_local_window_size(v->session, NGHTTP2_FLAG_NONE, 0, 0x7fffffff) == 0;
}

int web_h2_take(struct visit *v, const uint8_t *data, size_t length)
{
    return nghttp2_session_mem_recv(v->session, data, length) == (ssize_t)length;
}

int web_h2_send(struct visit *v)
{
    while (!v->full) {
        if (!v->out_length) {
            ssize_t n = nghttp2_session_mem_send(v->session, &v->out);
            if (n <= 0) return n == 0;
            v->out_length = (size_t)n;
        }
        struct iovec part = {.iov_base = (void *)(uintptr_t)v->out, .iov_len = v->out_length};
        ssize_t n = wire_send(&v->wire, v->over, &part, 1);
        if (n < 0 && errno != EAGAIN && errno != EINTR) return 0;
        if (n < 0) v->full = 1;
        if (n > 0) {
            v->out += n;
            v->out_length -= (size_t)n;
        }
    }
    return 1;
}
