/* Fuzzes the reader of inner names. The law: over a growing stream the answer is MORE until it is known, and then it
 * never changes; a name is canonical; what may be dropped changes no answer. The first byte says what the rest is: raw
 * bytes, a ClientHello's body, the body from the extensions on, the inside of its server_name, what follows "Host: " in a
 * request, frames of HTTP/2, or a header block in one. */
#include "bytes/inner.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(int condition)
{
    if (!condition) abort();
}

/* A ClientHello up to its extensions. */
static const uint8_t FIELDS[41] = {[0] = 3, [1] = 3, [36] = 2, [39] = 1};

/* Writes `head` and the rest as a ClientHello in records of `cut` bytes. Returns the length. */
static size_t wrap(const uint8_t *head, size_t head_length, const uint8_t *rest, size_t length, size_t cut,
                   uint8_t *out)
{
    size_t body = head_length + length, total = body + 4, at = 0;
    for (size_t i = 0; i < total; i++) {
        if (i % cut == 0) {
            size_t n = total - i < cut ? total - i : cut;
            const uint8_t header[5] = {22, 3, 1, (uint8_t)(n >> 8), (uint8_t)n};
            memcpy(out + at, header, 5);
            at += 5;
        }
        if (i < 4)
            out[at++] = (uint8_t)(i == 0 ? 1 : body >> 8 * (3 - i));
        else
            out[at++] = i - 4 < head_length ? head[i - 4] : rest[i - 4 - head_length];
    }
    return at;
}

static void put_16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

/* The preface, then frames, or one HEADERS frame with them as its payload. */
static size_t lay_out_http2(const uint8_t *rest, size_t length, int block, uint8_t *out)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    size_t at = sizeof preface - 1;
    memcpy(out, preface, at);
    if (block) {
        const uint8_t header[9] = {0, (uint8_t)(length >> 8), (uint8_t)length, 1, 4, 0, 0, 0, 1};
        memcpy(out + at, header, sizeof header);
        at += sizeof header;
    }
    memcpy(out + at, rest, length);
    return at + length;
}

/* Lays the vector out as its first two bytes say. Returns its length. */
static size_t lay_out(const uint8_t *data, size_t size, uint8_t *out)
{
    static const char line[] = "GET / HTTP/1.1\r\nHost: ", end[] = "\r\n\r\n";
    const uint8_t *rest = data + 2;
    size_t length = size - 2, cut = data[1] + 1u;
    uint8_t head[sizeof FIELDS + 8];

    if (data[0] >= 250) return lay_out_http2(rest, length, data[0] & 1, out);
    memcpy(head, FIELDS, sizeof FIELDS);
    switch (data[0] % 5) {
    case 0: memcpy(out, rest, length); return length;
    case 1: return wrap(NULL, 0, rest, length, cut, out);
    case 2: put_16(head + sizeof FIELDS, length); return wrap(head, sizeof FIELDS + 2, rest, length, cut, out);
    case 3: /* extensions, server_name, its length, its list */
        put_16(head + sizeof FIELDS, length + 6);
        put_16(head + sizeof FIELDS + 2, 0);
        put_16(head + sizeof FIELDS + 4, length + 2);
        put_16(head + sizeof FIELDS + 6, length);
        return wrap(head, sizeof head, rest, length, cut, out);
    default:
        memcpy(out, line, sizeof line - 1);
        memcpy(out + sizeof line - 1, rest, length);
        memcpy(out + sizeof line - 1 + length, end, sizeof end - 1);
        return sizeof line + length + sizeof end - 2;
    }
}

/* Without the bytes that may be dropped of a prefix, the whole is answered alike. */
static void check_dropped(const uint8_t *data, size_t size, const struct sl_inner *part, enum sl_inner_status final,
                          const struct sl_inner *whole)
{
    struct sl_inner rest;
    size_t length = size - part->harmless + part->kept;
    uint8_t *shorter = malloc(length + SL_INNER_TAIL);

    if (!shorter) return;
    memcpy(shorter, data, part->kept);
    memcpy(shorter + part->kept, data + part->harmless, size - part->harmless);
    require(sl_inner_read(shorter, length, &rest) == final);
    require(rest.name_length == whole->name_length && memcmp(rest.name, whole->name, rest.name_length) == 0);
    require(sl_inner_ended(shorter, length, &rest) != SL_INNER_MORE);
    free(shorter);
}

static void check(const uint8_t *data, size_t size)
{
    struct sl_inner whole, part, again;
    enum sl_inner_status final = sl_inner_read(data, size, &whole), status;
    size_t step = size < 600 ? 1 : size / 300;

    require(final > SL_INNER_INTERNAL && final <= SL_INNER_TOO_LONG);
    for (size_t n = 0; n < size; n += step) {
        status = sl_inner_read(data, n, &part);
        require(part.kept <= part.harmless && part.harmless <= n);
        if (status == SL_INNER_MORE && part.kept < part.harmless) check_dropped(data, size, &part, final, &whole);
        require(status == SL_INNER_MORE || (status == final && memcmp(&part, &whole, sizeof part) == 0));
    }
    if (final == SL_INNER_TLS_NAME) require(whole.name_length > 0 && whole.address.family == 0);
    if (final == SL_INNER_HTTP_NAME) require((whole.name_length > 0) != (whole.address.family != 0));
    if (whole.name_length == 0) return;
    status = (enum sl_inner_status)sl_name_canonical((const uint8_t *)whole.name, whole.name_length, again.name,
                                                     &again.name_length, &again.address);
    require((int)status == SL_NAME_OK && strcmp(again.name, whole.name) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy, *exact;
    size_t length;

    if (size < 2 || size > 4096 || !(copy = malloc(6 * size + 512))) return 0;
    length = lay_out(data, size, copy);
    if ((exact = malloc(length ? length : 1))) { /* of exactly that size: overreads are seen */
        memcpy(exact, copy, length);
        check(exact, length);
    }
    free(exact);
    free(copy);
    return 0;
}
