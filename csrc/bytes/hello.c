/* The ClientHello reader of hello.h. It reads strictly left to right and judges a byte by itself and those before it,
 * so the answer over a prefix is MORE or the final one. In doubt it fails closed: what some lenient server would take
 * for TLS is never "other", for that would carry a name past the check. */
#include "bytes/hello.h"

#include <string.h>

enum { RECORD_HEADER = 5, RECORD_MAX = 16384, HELLO_MAX = SL_INNER_MAX - RECORD_HEADER - 4 };
enum { EXT_SERVER_NAME = 0, EXT_ECH = 0xfe0d };
enum { CHANGE_CIPHER_SPEC = 20, ALERT = 21, HANDSHAKE = 22 }; /* record types */
enum { CLIENT_HELLO = 1 };                                    /* a handshake type; the same number in SSL 2 */
enum { SSL2_FIELDS = 9 }; /* bytes of an SSL 2 hello behind its length, ahead of what they count */

/* A cursor over handshake bytes that steps over record headers. */
struct hello {
    const uint8_t *data;
    size_t length;
    size_t at;                 /* the next byte of data */
    size_t record;             /* bytes left in this record */
    enum sl_inner_status stop; /* why reading stopped: MORE or MALFORMED */
};

static int stop(struct hello *h, enum sl_inner_status why)
{
    h->stop = why;
    return 0;
}

/* Reads a record header (RFC 8446 section 5.1): only handshake records, none empty; the version is not looked at. */
static int next_record(struct hello *h)
{
    const uint8_t *header = h->data + h->at;

    if (h->at < h->length && header[0] != HANDSHAKE) return stop(h, SL_INNER_MALFORMED);
    if (h->length - h->at < RECORD_HEADER) return stop(h, SL_INNER_MORE);
    h->record = (size_t)header[3] << 8 | header[4];
    h->at += RECORD_HEADER;
    return h->record > 0 && h->record <= RECORD_MAX ? 1 : stop(h, SL_INNER_MALFORMED);
}

/* Takes `count` bytes of a vector that has *left, into `out` unless that is NULL. Returns 1, or 0 with h->stop. */
static int take(struct hello *h, size_t *left, size_t count, uint8_t *out)
{
    if (count > *left) return stop(h, SL_INNER_MALFORMED);
    *left -= count;
    while (count > 0) {
        if (h->record == 0 && !next_record(h)) return 0;
        size_t n = count < h->record ? count : h->record;
        if (n > h->length - h->at) n = h->length - h->at;
        if (n == 0) return stop(h, SL_INNER_MORE);
        if (out) {
            memcpy(out, h->data + h->at, n);
            out += n;
        }
        h->at += n;
        h->record -= n;
        count -= n;
    }
    return 1;
}

/* A big-endian number of 1 to 3 bytes. */
static int number(struct hello *h, size_t *left, size_t width, size_t *value)
{
    uint8_t bytes[3];

    if (!take(h, left, width, bytes)) return 0;
    *value = 0;
    for (size_t i = 0; i < width; i++) *value = *value << 8 | bytes[i];
    return 1;
}

/* A vector inside another: its length prefix is read and its bytes are moved from the outer count to *inner. */
static int vector(struct hello *h, size_t *outer, size_t width, size_t *inner)
{
    if (!number(h, outer, width, inner)) return 0;
    if (*inner > *outer) return stop(h, SL_INNER_MALFORMED);
    *outer -= *inner;
    return 1;
}

static int skip(struct hello *h, size_t *left)
{
    return take(h, left, *left, NULL);
}

/* ServerNameList (RFC 6066 section 3): exactly one host_name; other name types, if there ever are any, are stepped
 * over. */
static int server_name(struct hello *h, size_t left, struct sl_inner *out)
{
    size_t list, kind, length;
    uint8_t name[SL_NAME_BUFFER];
    int names = 0;

    if (!vector(h, &left, 2, &list)) return 0;
    if (left > 0) return stop(h, SL_INNER_MALFORMED);
    while (list > 0) {
        if (!number(h, &list, 1, &kind) || !vector(h, &list, 2, &length)) return 0;
        if (kind != 0) {
            if (!skip(h, &length)) return 0;
            continue;
        }
        size_t count = length;
        names++;
        if (count > sizeof name) return stop(h, SL_INNER_MALFORMED);
        if (!take(h, &length, count, name)) return 0;
        if (sl_name_canonical(name, count, out->name, &out->name_length, &out->address) != SL_NAME_OK)
            return stop(h, SL_INNER_MALFORMED); /* address literals are not permitted either */
    }
    return names == 1 ? 1 : stop(h, SL_INNER_MALFORMED);
}

enum { NAME_BEGUN = 1, NAME_READ = 2 };

static int extensions(struct hello *h, size_t left, struct sl_inner *out, int *named)
{
    size_t type, length;

    while (left > 0) {
        if (!number(h, &left, 2, &type) || !vector(h, &left, 2, &length)) return 0;
        if (type == EXT_SERVER_NAME) {
            if (*named) return stop(h, SL_INNER_MALFORMED);
            *named = NAME_BEGUN;
            if (!server_name(h, length, out)) return 0;
            *named = NAME_READ;
            continue;
        }
        if (type == EXT_ECH) out->ech = 1;
        if (!skip(h, &length)) return 0;
    }
    return 1;
}

/* The ClientHello's fields (RFC 8446 section 4.1.2); without extensions it may end after the compression methods. */
static int fields(struct hello *h, size_t left, struct sl_inner *out, int *named)
{
    size_t part;

    if (!take(h, &left, 2 + 32, NULL)) /* legacy_version, random */
        return 0;
    if (!vector(h, &left, 1, &part)) return 0;
    if (part > 32) /* legacy_session_id */
        return stop(h, SL_INNER_MALFORMED);
    if (!skip(h, &part) || !vector(h, &left, 2, &part)) return 0;
    if (part < 2 || part % 2 != 0) /* cipher_suites */
        return stop(h, SL_INNER_MALFORMED);
    if (!skip(h, &part) || !vector(h, &left, 1, &part)) return 0;
    if (part < 1) /* legacy_compression_methods */
        return stop(h, SL_INNER_MALFORMED);
    if (!skip(h, &part)) return 0;
    if (left == 0) return 1;
    if (!vector(h, &left, 2, &part)) return 0;
    if (left > 0) return stop(h, SL_INNER_MALFORMED);
    return extensions(h, part, out, named);
}

/* Bytes that begin with a handshake record's type. With a record version of SSL 3 or TLS it is TLS whatever follows.
 * Lenient servers also take other versions below 16.0, so those are TLS if a ClientHello begins in them, and otherwise
 * not: until then they may be any binary message, which names nothing. */
static enum sl_inner_status read_handshake(const uint8_t *data, size_t length, int last, struct sl_inner *out)
{
    struct hello h = {.data = data, .length = length};
    size_t header = 4, type, body;
    int named = 0, is_tls = length > 1 && data[1] == 3, started;

    if (length > 1 && data[1] >= 16) return SL_INNER_OTHER;
    started = number(&h, &header, 1, &type) && (type == CLIENT_HELLO || stop(&h, SL_INNER_MALFORMED)) &&
              number(&h, &header, 3, &body) && (body <= HELLO_MAX || is_tls || stop(&h, SL_INNER_MALFORMED));
    if (!started) {
        out->harmless = out->kept = is_tls ? 0 : length;
        return h.stop == SL_INNER_MALFORMED && !is_tls ? SL_INNER_OTHER : h.stop;
    }
    if (fields(&h, body, out, &named)) return named ? SL_INNER_TLS_NAME : SL_INNER_TLS_NONE;
    if (h.stop == SL_INNER_MORE && last) return named == NAME_READ ? SL_INNER_TLS_NAME : SL_INNER_TOO_LONG;
    return h.stop;
}

/* An alert or a ChangeCipherSpec ahead of the hello, which some servers step over: a way around the check, and nothing
 * a client does. */
static enum sl_inner_status read_stray_record(const uint8_t *data, size_t length, struct sl_inner *out)
{
    const uint8_t size = data[0] == ALERT ? 2 : 1; /* of the content; an alert's first byte is its level, 1 or 2 */
    const uint8_t least[] = {data[0], 3, 0, 0, size, 1}, most[] = {data[0], 3, 4, 0, size, size};

    for (size_t i = 0; i < sizeof least; i++) {
        if (i == length) {
            out->harmless = out->kept = length;
            return SL_INNER_MORE;
        }
        if (data[i] < least[i] || data[i] > most[i]) return SL_INNER_OTHER;
    }
    return SL_INNER_MALFORMED;
}

/* An SSL 2 ClientHello (RFC 6176 forbids them, some servers still answer): length with its top bit set, type 1, a
 * version of SSL 2 or later, the lengths of cipher specs, session id and challenge, which add up. It has no room for a
 * name, so what is not decided yet may leave. Telnet, TACACS+ and memcached begin alike and do not add up. */
static enum sl_inner_status read_ssl2(const uint8_t *data, size_t length, struct sl_inner *out)
{
    size_t size, ciphers, session, challenge;

    if (length >= 2 && ((data[0] & 0x7fu) << 8 | data[1]) < SSL2_FIELDS) return SL_INNER_OTHER;
    if ((length > 2 && data[2] != CLIENT_HELLO) || (length > 3 && data[3] != 0 && data[3] != 3) ||
        (length > 4 && (data[3] == 0 ? data[4] != 2 : data[4] > 4)))
        return SL_INNER_OTHER;
    if (length < 2 + SSL2_FIELDS) {
        out->harmless = out->kept = length;
        return SL_INNER_MORE;
    }
    size = (data[0] & 0x7fu) << 8 | data[1];
    ciphers = (size_t)data[5] << 8 | data[6];
    session = (size_t)data[7] << 8 | data[8];
    challenge = (size_t)data[9] << 8 | data[10];
    return SSL2_FIELDS + ciphers + session + challenge == size ? SL_INNER_MALFORMED : SL_INNER_OTHER;
}

enum sl_inner_status sl_hello_read(const uint8_t *data, size_t length, int last, struct sl_inner *out)
{
    if (length == 0) return SL_INNER_MORE;
    if (data[0] == HANDSHAKE) return read_handshake(data, length, last, out);
    if (data[0] == CHANGE_CIPHER_SPEC || data[0] == ALERT) return read_stray_record(data, length, out);
    return data[0] & 0x80 ? read_ssl2(data, length, out) : SL_INNER_OTHER;
}
