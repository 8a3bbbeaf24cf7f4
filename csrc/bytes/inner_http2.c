/* The HTTP/2 reader of inner_http2.h: preface, the frames ahead of the first request, its header block.
 *
 * Frames ahead of the request name nothing and are harmless: some clients wait for the server's SETTINGS before they
 * ask for anything. They change nothing in how the block is read either, so none of them needs to be kept. */
#include "bytes/inner_http2.h"

#include <nghttp2/nghttp2.h>
#include <string.h>
#include <strings.h>

#include "bytes/inner_authority.h"

enum { PREFACE = 24, LINE = 16, FRAME_HEADER = 9, PRIORITY_FIELDS = 5 };
enum { FRAME_HEADERS = 1, FRAME_PUSH_PROMISE = 5, FRAME_CONTINUATION = 9 };
enum { FLAG_END_HEADERS = 4, FLAG_PADDED = 8, FLAG_PRIORITY = 32 };
/* A server may have allowed a table of more than 4,096 bytes (RFC 9113 section 6.5.2) before the client asked. */
enum { TABLE_MOST = 65536 };

struct frame {
    size_t size;
    uint8_t type, flags;
    uint32_t stream;
    const uint8_t *payload;
};

/* The frame at data[at]. Returns 1 when its header is there; its payload is whole when *whole. */
static int read_frame(const uint8_t *data, size_t length, size_t at, struct frame *out, int *whole)
{
    const uint8_t *header = data + at;

    if (length - at < FRAME_HEADER) return 0;
    out->size = (size_t)header[0] << 16 | (size_t)header[1] << 8 | header[2];
    out->type = header[3];
    out->flags = header[4];
    out->stream =
        ((uint32_t)header[5] << 24 | (uint32_t)header[6] << 16 | (uint32_t)header[7] << 8 | header[8]) & 0x7fffffff;
    out->payload = header + FRAME_HEADER;
    *whole = out->size <= length - at - FRAME_HEADER;
    return 1;
}

/* Takes padding and priority off a HEADERS frame (RFC 9113 section 6.2). Returns 0 when they do not fit into it. */
static int trim(struct frame *frame)
{
    size_t pad = 0, front = 0;

    if (frame->type != FRAME_HEADERS) return 1;
    if (frame->flags & FLAG_PADDED) {
        if (frame->size == 0) return 0;
        pad = frame->payload[0];
        front = 1;
    }
    if (frame->flags & FLAG_PRIORITY) front += PRIORITY_FIELDS;
    if (front + pad > frame->size) return 0;
    frame->payload += front;
    frame->size -= front + pad;
    return 1;
}

/* A header block: the HEADERS frame at `at`, then CONTINUATION frames. */
struct block {
    const uint8_t *data;
    size_t length, at;
    uint32_t stream; /* 0 before the first frame */
    int begun, ended;
};

/* The next fragment of a block. Returns SL_INNER_HTTP_NONE, SL_INNER_MORE or SL_INNER_MALFORMED. */
static enum sl_inner_status next_fragment(struct block *block, struct frame *fragment)
{
    int whole;

    if (!read_frame(block->data, block->length, block->at, fragment, &whole)) return SL_INNER_MORE;
    if (block->begun && (fragment->type != FRAME_CONTINUATION || fragment->stream != block->stream))
        return SL_INNER_MALFORMED;
    if (!whole) return SL_INNER_MORE;
    block->at += FRAME_HEADER + fragment->size;
    block->begun = 1;
    block->stream = fragment->stream;
    block->ended = fragment->flags & FLAG_END_HEADERS;
    return trim(fragment) ? SL_INNER_HTTP_NONE : SL_INNER_MALFORMED;
}

/* The names in a request's fields. */
enum { BY_AUTHORITY, BY_HOST, BY_PATH, WAYS };

static int is_field(const nghttp2_nv *field, const char *name)
{
    return field->namelen == strlen(name) && strncasecmp((const char *)field->name, name, field->namelen) == 0;
}

/* Notes a field. A path does not count when it is a URL, or the target that some CONNECTs carry. Returns 0 when it is
 * malformed. */
static int take_field(const nghttp2_nv *field, struct authority *named)
{
    if (is_field(field, ":authority")) return authority_field(field->value, field->valuelen, &named[BY_AUTHORITY]);
    if (is_field(field, "host")) return authority_field(field->value, field->valuelen, &named[BY_HOST]);
    if (!is_field(field, ":path") || field->valuelen == 0 || field->value[0] == '/' ||
        (field->valuelen == 1 && field->value[0] == '*'))
        return 1;
    return !named[BY_PATH].given && (authority_of_url(field->value, field->valuelen, &named[BY_PATH]) ||
                                     authority_read(field->value, field->valuelen, &named[BY_PATH]));
}

/* Decodes one fragment. Returns SL_INNER_HTTP_NONE, SL_INNER_MALFORMED for a field, or SL_INNER_OTHER when it is not
 * HPACK, or more of it than the library takes. */
static enum sl_inner_status inflate(nghttp2_hd_inflater *inflater, const struct frame *fragment, int final,
                                    struct authority *named)
{
    const uint8_t *data = fragment->payload;
    size_t left = fragment->size;

    for (;;) {
        nghttp2_nv field;
        int flags = 0;
        ssize_t used = nghttp2_hd_inflate_hd2(inflater, &field, &flags, data, left, final);
        if (used < 0) return SL_INNER_OTHER;
        data += used;
        left -= (size_t)used;
        if (flags & NGHTTP2_HD_INFLATE_EMIT) {
            if (!take_field(&field, named)) return SL_INNER_MALFORMED;
        } else if (flags & NGHTTP2_HD_INFLATE_FINAL || left == 0) {
            return SL_INNER_HTTP_NONE;
        } else if (used == 0) {
            return SL_INNER_OTHER;
        }
    }
}

/* Reads the block's names, as far as its frames are there and can be decoded; returns as inflate(), or SL_INNER_MORE. */
static enum sl_inner_status read_block(struct block block, struct authority *named)
{
    nghttp2_hd_inflater *inflater;
    struct frame fragment;
    enum sl_inner_status status = SL_INNER_HTTP_NONE;

    if (nghttp2_hd_inflate_new(&inflater) != 0) return SL_INNER_MALFORMED;
    if (nghttp2_hd_inflate_change_table_size(inflater, TABLE_MOST) != 0) status = SL_INNER_MALFORMED;
    while (status == SL_INNER_HTTP_NONE && !block.ended) {
        status = next_fragment(&block, &fragment);
        if (status == SL_INNER_HTTP_NONE) status = inflate(inflater, &fragment, block.ended, named);
    }
    nghttp2_hd_inflate_del(inflater);
    return status;
}

/* The request whose HEADERS frame is at `at`. A block is decoded once: when it is whole, or when no more is looked at. */
static enum sl_inner_status read_request(const uint8_t *data, size_t length, size_t at, int last, struct sl_inner *out)
{
    struct authority named[WAYS] = {{.given = 0}, {.given = 0}, {.given = 0}};
    struct block block = {.data = data, .length = length, .at = at}, first = block;
    struct frame fragment;
    enum sl_inner_status status, agreed;
    int whole;

    do status = next_fragment(&block, &fragment);
    while (status == SL_INNER_HTTP_NONE && !block.ended);
    whole = status == SL_INNER_HTTP_NONE;
    if (status == SL_INNER_MALFORMED || (!whole && (!last || at > PREFACE))) return status;
    status = read_block(first, named);
    if (status == SL_INNER_MALFORMED || (status == SL_INNER_OTHER && whole)) return SL_INNER_MALFORMED;
    agreed = authority_agreed(named, WAYS, out);
    return !whole && agreed == SL_INNER_HTTP_NONE ? SL_INNER_TOO_LONG : agreed;
}

int sl_inner_is_http2(const uint8_t *data, size_t length)
{
    return length >= LINE && memcmp(data, "PRI * HTTP/2.0\r\n", LINE) == 0;
}

enum sl_inner_status sl_inner_http2(const uint8_t *data, size_t length, int last, struct sl_inner *out)
{
    static const char rest[PREFACE - LINE + 1] = "\r\nSM\r\n\r\n";
    size_t at = LINE;
    struct frame frame;
    int whole;

    for (; at < PREFACE; at++) {
        if (at == length) return SL_INNER_MORE;
        if (data[at] != (uint8_t)rest[at - LINE]) return SL_INNER_MALFORMED;
    }
    for (;; at += FRAME_HEADER + frame.size) {
        out->harmless = at;
        out->kept = PREFACE;
        if (!read_frame(data, length, at, &frame, &whole)) break;
        if (frame.type == FRAME_HEADERS) return read_request(data, length, at, last, out);
        if (frame.type == FRAME_PUSH_PROMISE || frame.type == FRAME_CONTINUATION)
            return SL_INNER_MALFORMED; /* header blocks that no client begins with */
        if (!whole) break;
    }
    return last && at == PREFACE ? SL_INNER_TOO_LONG : SL_INNER_MORE;
}
