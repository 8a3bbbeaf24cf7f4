/* The readers of inner.h: which of TLS and HTTP/1 the bytes are, and the head of an HTTP/1 request. The TLS half is
 * hello.c.
 *
 * It reads strictly left to right and judges a byte by itself and those before it, so the answer over a prefix is MORE
 * or the final one. In doubt it fails closed: what some lenient server would take for HTTP is never "other", for that
 * would carry a name past the check. */
#include "inner.h"

#include <string.h>
#include <strings.h>

#include "hello.h"

struct authority {
    char name[SL_NAME_BUFFER]; /* "" for an address */
    size_t name_length;
    struct sl_addr address;
    int port;  /* -1 when there is none */
    int given; /* it was there, if only empty (Host) */
};

static int is_letter(uint8_t byte)
{
    return (uint8_t)((byte | 0x20) - 'a') < 26;
}

static int is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

/* RFC 9110 section 5.6.2. */
static int is_token_byte(uint8_t byte)
{
    return is_letter(byte) || is_digit(byte) || (byte != 0 && strchr("!#$%&'*+-.^_`|~", byte));
}

/* What a lenient reader takes for the space between words (RFC 9112 section 3); a bare CR is one too. */
static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f' || byte == '\r';
}

static size_t token_length(const uint8_t *data, size_t length)
{
    size_t n = 0;
    while (n < length && is_token_byte(data[n]))
        n++;
    return n;
}

/* ":port", ":" or nothing. */
static int read_port(const uint8_t *text, size_t length, int *port)
{
    *port = -1;
    if (length == 0)
        return 1;
    if (text[0] != ':')
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (!is_digit(text[i]))
            return 0;
        *port = (*port < 0 ? 0 : *port) * 10 + (text[i] - '0');
        if (*port > 65535)
            return 0;
    }
    return 1;
}

/* host [":" port] without user information (RFC 3986 section 3.2); the host in canonical form. */
static int read_authority(const uint8_t *text, size_t length, struct authority *out)
{
    int bracket = length > 0 && text[0] == '[';
    const uint8_t *end = memchr(text, bracket ? ']' : ':', length);
    size_t host = end ? (size_t)(end - text) : length;
    enum sl_name_status status;

    out->given = 1;
    if (bracket && !end)
        return 0;
    status = sl_name_canonical(text + bracket, host - (size_t)bracket, out->name, &out->name_length, &out->address);
    if (status == SL_NAME_ADDRESS && out->address.family == (bracket ? 6 : 4))
        out->name_length = 0;
    else if (status == SL_NAME_OK && !bracket)
        out->address.family = 0;
    else
        return 0;
    host += (size_t)bracket;
    return read_port(text + host, length - host, &out->port);
}

static int same_authority(const struct authority *a, const struct authority *b)
{
    if (a->name_length != b->name_length || a->address.family != b->address.family)
        return 0;
    if (a->port >= 0 && b->port >= 0 && a->port != b->port)
        return 0;
    return a->address.family ? memcmp(a->address.bytes, b->address.bytes, sizeof a->address.bytes) == 0
                             : memcmp(a->name, b->name, a->name_length) == 0;
}

/* The words of a request line. */
struct request_line {
    const uint8_t *method, *target, *version;
    size_t method_length, target_length, version_length;
};

/* Splits a line, its line feed off, by the letter: method SP target SP version CR. Returns 0 when it is not that. */
static int split_line(const uint8_t *line, size_t length, struct request_line *out)
{
    const uint8_t *end = line + length - 1; /* the CR; a line has at least its method */

    if (*end != '\r')
        return 0;
    out->method = line;
    out->method_length = token_length(line, (size_t)(end - line));
    out->target = line + out->method_length + 1;
    if (out->method_length == 0 || out->target >= end || out->target[-1] != ' ')
        return 0;
    for (out->version = out->target; out->version < end && *out->version > ' ' && *out->version != 0x7f; out->version++)
        ;
    out->target_length = (size_t)(out->version - out->target);
    if (out->target_length == 0 || out->version == end || *out->version++ != ' ')
        return 0;
    out->version_length = (size_t)(end - out->version);
    return out->version_length == 8 && memcmp(out->version, "HTTP/", 5) == 0;
}

/* The target in the form its method asks for (RFC 9112 section 3.2). Returns 0 when it has none of the forms. */
static int read_target(const struct request_line *line, struct authority *out)
{
    const uint8_t *target = line->target;
    size_t length = line->target_length, scheme = 0, end;
    int connect = line->method_length == 7 && memcmp(line->method, "CONNECT", 7) == 0;

    if (connect)
        return read_authority(target, length, out) && out->port > 0;
    if (target[0] == '/')
        return 1;
    if (length == 1 && target[0] == '*')
        return line->method_length == 7 && memcmp(line->method, "OPTIONS", 7) == 0;
    if (!is_letter(target[0]))
        return 0;
    while (scheme < length && (is_letter(target[scheme]) || is_digit(target[scheme]) || strchr("+-.", target[scheme])))
        scheme++;
    if (length - scheme < 3 || memcmp(target + scheme, "://", 3) != 0)
        return 0;
    target += scheme + 3;
    length -= scheme + 3;
    for (end = 0; end < length && !strchr("/?#", target[end]); end++)
        ;
    return read_authority(target, end, out);
}

/* HTTP/0.9, which has neither version nor Host: dead (RFC 9112 appendix C), and still answered by some. */
static int is_simple_request(const uint8_t *line, size_t length)
{
    return length > 4 && memcmp(line, "GET", 3) == 0 && is_blank(line[3]) &&
           (line[4] == '/' || (length > 8 && strncasecmp((const char *)line + 4, "http", 4) == 0));
}

/* Whether the byte at `at` ends a blank and "HTTP/", in letters of any case. */
static int ends_version(const uint8_t *line, size_t at)
{
    return line[at] == '/' && at >= 5 && is_blank(line[at - 5]) &&
           strncasecmp((const char *)line + at - 4, "http", 4) == 0;
}

/* Reads the first line. Returns SL_INNER_HTTP_NONE when it is a request line, with what follows it at *used. */
static enum sl_inner_status read_line(const uint8_t *line, size_t length, size_t *used, struct authority *target)
{
    struct request_line words;
    size_t blanks = 0, method, at;
    int capitals = 1, version = 0;

    while (blanks < length && is_blank(line[blanks]) && line[blanks] != '\r')
        blanks++;
    method = token_length(line + blanks, length - blanks);
    at = blanks + method;
    for (size_t i = blanks; i < at; i++)
        capitals &= line[i] >= 'A' && line[i] <= 'Z';
    if (at == length)
        return SL_INNER_MORE;
    if (method == 0 || !is_blank(line[at]))
        return SL_INNER_OTHER;
    for (;; at++) {
        if (at == length)
            return SL_INNER_MORE;
        if (line[at] == '\n')
            break;
        if ((line[at] < ' ' && !is_blank(line[at])) || line[at] == 0x7f) /* binary, unless it began like a request */
            return version || (capitals && method >= 3) ? SL_INNER_MALFORMED : SL_INNER_OTHER;
        version |= ends_version(line, at);
    }
    *used = at + 1;
    if (!version)
        return is_simple_request(line, at) ? SL_INNER_MALFORMED : SL_INNER_OTHER;
    if (!split_line(line, at, &words))
        return SL_INNER_MALFORMED;
    if (at == 15 && memcmp(line, "PRI * HTTP/2.0\r", 15) == 0)
        return SL_INNER_OTHER; /* the HTTP/2 preface, RFC 9113 section 3.4 */
    if (memcmp(words.version, "HTTP/1.", 7) != 0 || !is_digit(words.version[7]) || !read_target(&words, target))
        return SL_INNER_MALFORMED;
    return SL_INNER_HTTP_NONE;
}

/* Reads a field's value up to and including its line end. Returns SL_INNER_HTTP_NONE with the value in place, its
 * blanks off. */
static enum sl_inner_status read_value(const uint8_t *data, size_t length, const uint8_t **value, size_t *value_length,
                                       size_t *used)
{
    size_t n = 0;

    while (n < length && (data[n] == '\t' || (data[n] >= ' ' && data[n] != 0x7f)))
        n++;
    if (n < length && data[n] != '\r')
        return SL_INNER_MALFORMED;
    if (length - n < 2)
        return SL_INNER_MORE;
    if (data[n + 1] != '\n')
        return SL_INNER_MALFORMED;
    *used = n + 2;
    while (n > 0 && (data[n - 1] == ' ' || data[n - 1] == '\t'))
        n--;
    while (n > 0 && (*data == ' ' || *data == '\t'))
        data++, n--;
    *value = data;
    *value_length = n;
    return SL_INNER_HTTP_NONE;
}

/* Reads the fields to the empty line. Returns SL_INNER_HTTP_NONE with the one Host, if there is one, in *host. */
static enum sl_inner_status read_fields(const uint8_t *data, size_t length, struct authority *host)
{
    const uint8_t *value;
    size_t name, value_length, used;

    for (;;) {
        if (length > 0 && data[0] == '\r')
            return length == 1 ? SL_INNER_MORE : data[1] == '\n' ? SL_INNER_HTTP_NONE : SL_INNER_MALFORMED;
        name = token_length(data, length);
        if (name == length)
            return SL_INNER_MORE;
        if (name == 0 || data[name] != ':') /* a folded line, a space before the colon, a bare line feed, NUL */
            return SL_INNER_MALFORMED;
        enum sl_inner_status status = read_value(data + name + 1, length - name - 1, &value, &value_length, &used);
        if (status != SL_INNER_HTTP_NONE)
            return status;
        if (name == 4 && strncasecmp((const char *)data, "host", 4) == 0) {
            if (host->given || (value_length > 0 && !read_authority(value, value_length, host)))
                return SL_INNER_MALFORMED;
            host->given = 1;
        }
        data += name + 1 + used;
        length -= name + 1 + used;
    }
}

static enum sl_inner_status read_http(const uint8_t *data, size_t length, struct sl_inner *out)
{
    struct authority target = {.given = 0}, host = {.given = 0};
    enum sl_inner_status status;
    size_t used = 0;

    while (length > 0 && (*data == '\r' || *data == '\n')) /* empty lines ahead of the request, RFC 9112 section 2.2 */
        data++, length--;
    status = read_line(data, length, &used, &target);
    if (status == SL_INNER_HTTP_NONE)
        status = read_fields(data + used, length - used, &host);
    if (status != SL_INNER_HTTP_NONE)
        return status;
    if (target.given && host.given && !same_authority(&target, &host))
        return SL_INNER_MALFORMED;
    const struct authority *named = target.given ? &target : &host;
    if (named->name_length == 0 && named->address.family == 0)
        return SL_INNER_HTTP_NONE;
    memcpy(out->name, named->name, named->name_length);
    out->name_length = named->name_length;
    out->address = named->address;
    return SL_INNER_HTTP_NAME;
}

enum sl_inner_status sl_inner_read(const uint8_t *data, size_t length, struct sl_inner *out)
{
    size_t seen = length < SL_INNER_MAX ? length : SL_INNER_MAX;
    enum sl_inner_status status;

    memset(out, 0, sizeof *out);
    status = sl_hello_read(data, seen, out);
    if (status == SL_INNER_OTHER) /* no byte begins both */
        status = read_http(data, seen, out);
    if (status == SL_INNER_MORE && seen == SL_INNER_MAX)
        status = SL_INNER_MALFORMED;
    if (status != SL_INNER_TLS_NAME && status != SL_INNER_TLS_NONE && status != SL_INNER_HTTP_NAME)
        memset(out, 0, sizeof *out);
    return status;
}
