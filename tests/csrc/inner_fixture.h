/* Readings of first bytes, each at every prefix and with bytes behind it: MORE until the answer, and the answer never
 * changes. And ClientHellos, built field by field. Each reading has the bytes in memory of exactly their size. */
#ifndef SLUICE_INNER_FIXTURE_H
#define SLUICE_INNER_FIXTURE_H

#include "check.h"
#include "bytes/inner.h"

#include <stdlib.h>

struct bytes {
    size_t length;
    uint8_t data[80000];
};

struct expectation {
    enum sl_inner_status status;
    const char *name;    /* canonical; NULL = none */
    const char *address; /* of an HTTP host that is a literal */
    int ech;
};

static const char *const STATUS[] = {"internal",  "more",      "other",     "tls_name", "tls_none",
                                     "http_name", "http_none", "malformed", "too_long"};

static inline enum sl_inner_status read_copy(const uint8_t *data, size_t length, struct sl_inner *out)
{
    uint8_t *copy = malloc(length ? length : 1);
    enum sl_inner_status status;
    if (!copy) abort();
    memcpy(copy, data, length);
    memset(out, 0xff, sizeof *out);
    status = sl_inner_read(copy, length, out);
    free(copy);
    return status;
}

static inline void check_answer(const struct expectation *want, enum sl_inner_status status, const struct sl_inner *got,
                                const char *what)
{
    char address[SL_ADDR_TEXT] = "";
    if (status != want->status) CHECK_FAIL("%s: %s, want %s", what, STATUS[status], STATUS[want->status]);
    CHECK_AT(got->name_length == strlen(got->name), what);
    if (strcmp(got->name, want->name ? want->name : "") != 0) CHECK_FAIL("%s: the name is \"%s\"", what, got->name);
    if (got->address.family) sl_addr_format(&got->address, address);
    if (strcmp(address, want->address ? want->address : "") != 0)
        CHECK_FAIL("%s: the address is \"%s\"", what, address);
    CHECK_AT(got->ech == want->ech, what);
}

/* Reads a vector whole, at every prefix and with bytes behind it. Returns the length at which the answer was known. */
static inline size_t check_vector(const uint8_t *data, size_t length, const struct expectation *want, const char *what)
{
    static const char *const behind[] = {"\r\n\r\n", "GET / HTTP/1.1\r\nHost: other.example\r\n\r\n",
                                         "\x16\x03\x01\x01\x05", "\xff\xff\xff"};
    static const struct expectation more = {.status = SL_INNER_MORE};
    struct sl_inner inner;
    struct bytes longer;
    size_t known = SIZE_MAX;

    for (size_t n = 0; n <= length; n++) {
        enum sl_inner_status status = read_copy(data, n, &inner);
        if (known == SIZE_MAX && status != SL_INNER_MORE) known = n;
        check_answer(known == SIZE_MAX ? &more : want, status, &inner, what);
    }
    if (want->status == SL_INNER_MORE) return length;
    for (size_t i = 0; i < sizeof behind / sizeof *behind; i++) {
        memcpy(longer.data, data, length);
        memcpy(longer.data + length, behind[i], strlen(behind[i]));
        enum sl_inner_status status = read_copy(longer.data, length + strlen(behind[i]), &inner);
        check_answer(want, status, &inner, what);
    }
    return known;
}

/* ---- building hellos ---- */

static inline void put(struct bytes *b, const void *data, size_t length)
{
    if (length > sizeof b->data - b->length) abort();
    memcpy(b->data + b->length, data, length);
    b->length += length;
}

static inline void put_number(struct bytes *b, size_t width, size_t value)
{
    while (width--) put(b, &(uint8_t){(uint8_t)(value >> 8 * width)}, 1);
}

/* Opens a vector with a length prefix; close_vector writes the length of what was put since. */
static inline size_t open_vector(struct bytes *b, size_t width)
{
    put_number(b, width, 0);
    return b->length;
}

static inline void close_vector(struct bytes *b, size_t width, size_t from)
{
    size_t end = b->length, length = end - from;
    b->length = from - width;
    put_number(b, width, length);
    b->length = end;
}

struct hello {
    size_t session_id, cipher_bytes, compressions;
    int no_extensions;
    struct bytes extensions;
};

static inline void add_extension(struct hello *h, size_t type, const void *data, size_t length)
{
    put_number(&h->extensions, 2, type);
    put_number(&h->extensions, 2, length);
    put(&h->extensions, data, length);
}

/* One entry of a ServerNameList. */
static inline void put_name(struct bytes *list, size_t type, const char *name, size_t length)
{
    put_number(list, 1, type);
    put_number(list, 2, length);
    put(list, name, length);
}

static inline void add_names(struct hello *h, const struct bytes *list)
{
    struct bytes data = {.length = 0};
    put_number(&data, 2, list->length);
    put(&data, list->data, list->length);
    add_extension(h, 0, data.data, data.length);
}

static inline void add_name(struct hello *h, const char *name)
{
    struct bytes list = {.length = 0};
    put_name(&list, 0, name, strlen(name));
    add_names(h, &list);
}

/* The handshake message alone. */
static inline void build_message(const struct hello *h, struct bytes *out)
{
    static const uint8_t zeros[512];
    size_t message, part;
    out->length = 0;
    put_number(out, 1, 1);
    message = open_vector(out, 3);
    put_number(out, 2, 0x0303);
    put(out, zeros, 32);
    put_number(out, 1, h->session_id);
    put(out, zeros, h->session_id);
    put_number(out, 2, h->cipher_bytes);
    put(out, zeros, h->cipher_bytes);
    put_number(out, 1, h->compressions);
    put(out, zeros, h->compressions);
    if (!h->no_extensions) {
        part = open_vector(out, 2);
        put(out, h->extensions.data, h->extensions.length);
        close_vector(out, 2, part);
    }
    close_vector(out, 3, message);
}

/* Cuts a message into records of at most `size` bytes. */
static inline void put_records(struct bytes *out, const struct bytes *message, size_t version, size_t size)
{
    for (size_t at = 0; at < message->length; at += size) {
        size_t n = message->length - at < size ? message->length - at : size;
        put_number(out, 1, 22);
        put_number(out, 2, version);
        put_number(out, 2, n);
        put(out, message->data + at, n);
    }
}

static inline void build(const struct hello *h, struct bytes *out)
{
    struct bytes message;
    build_message(h, &message);
    out->length = 0;
    put_records(out, &message, 0x0301, 16384);
}

static inline void check_hello(const struct hello *h, enum sl_inner_status status, const char *name, const char *what)
{
    struct expectation want = {.status = status, .name = name};
    struct bytes out;
    size_t known;
    build(h, &out);
    known = check_vector(out.data, out.length, &want, what);
    if (status != SL_INNER_MALFORMED) CHECK_AT(known == out.length, what);
}

#define PLAIN_HELLO {.session_id = 32, .cipher_bytes = 6, .compressions = 1}
#define BYTES(text) (const uint8_t *)(text), sizeof(text) - 1

#endif
