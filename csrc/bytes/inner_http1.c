/* The HTTP/1 reader of inner_http1.h. It reads strictly left to right and judges a byte by itself and those before it,
 * so the answer over a prefix is MORE or the final one. In doubt it fails closed: what some lenient server would take
 * for HTTP is never "other", for that would carry a name past the check.
 *
 * A prefix that is not decided is not guilty: many protocols begin with a word, an id or a line without an end. What
 * they say passes as long as it could only become a request, and names no host (`harmless`); the request line of a
 * request that looks like one, and all fields, are held. */
#include "bytes/inner_http1.h"

#include <string.h>
#include <strings.h>

#include "bytes/inner_authority.h"
#include "bytes/inner_http2.h"

enum {
    WORD_KEPT = 64,  /* bytes of a first word that are enough to judge what follows it */
    BLANKS_KEPT = 2, /* blanks ahead of it: a packet of MySQL may begin with one, and has no second */
    WORD_MOST = 256, /* bytes of a second word that is not a target: more are no request of any server */
};

/* RFC 9110 section 5.6.2. */
static const uint8_t TOKEN[256] = {
    ['a' ... 'z'] = 1, ['A' ... 'Z'] = 1, ['0' ... '9'] = 1, ['!'] = 1, ['#'] = 1, ['$'] = 1,
    ['%'] = 1,         ['&'] = 1,         ['\''] = 1,        ['*'] = 1, ['+'] = 1, ['-'] = 1,
    ['.'] = 1,         ['^'] = 1,         ['_'] = 1,         ['`'] = 1, ['|'] = 1, ['~'] = 1,
};

static int is_letter(uint8_t byte)
{
    return (uint8_t)((byte | 0x20) - 'a') < 26;
}

static int is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

/* The space between words as a lenient reader takes it (RFC 9112 section 3), and a bare CR. */
static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\v' || byte == '\f' || byte == '\r';
}

static size_t token_length(const uint8_t *data, size_t length)
{
    size_t n = 0;
    while (n < length && TOKEN[data[n]]) n++;
    return n;
}

/* ---- a complete request line ---- */

/* The words of a request line. */
struct request_line {
    const uint8_t *method, *target, *version;
    size_t method_length, target_length, version_length;
};

/* Splits a line, its line feed off, by the letter: method SP target SP version CR. Returns 0 when it is not that. */
static int split_line(const uint8_t *line, size_t length, struct request_line *out)
{
    const uint8_t *end = line + length - 1; /* the CR; a line has at least its method */

    if (*end != '\r') return 0;
    out->method = line;
    out->method_length = token_length(line, (size_t)(end - line));
    out->target = line + out->method_length + 1;
    if (out->method_length == 0 || out->target >= end || out->target[-1] != ' ') return 0;
    for (out->version = out->target; out->version < end && *out->version > ' ' && *out->version != 0x7f;
         out->version++);
    out->target_length = (size_t)(out->version - out->target);
    if (out->target_length == 0 || out->version == end || *out->version++ != ' ') return 0;
    out->version_length = (size_t)(end - out->version);
    return out->version_length == 8 && memcmp(out->version, "HTTP/", 5) == 0;
}

/* The target in the form its method asks for (RFC 9112 section 3.2). Returns 0 when it has none of the forms. */
static int read_target(const struct request_line *line, struct authority *out)
{
    const uint8_t *target = line->target;
    size_t length = line->target_length;

    if (line->method_length == 7 && memcmp(line->method, "CONNECT", 7) == 0)
        return authority_read(target, length, out) && out->port > 0;
    if (target[0] == '/') return 1;
    if (length == 1 && target[0] == '*') return line->method_length == 7 && memcmp(line->method, "OPTIONS", 7) == 0;
    return authority_of_url(target, length, out);
}

/* HTTP/0.9, which has neither version nor Host: dead (RFC 9112 appendix C), and still answered by some. */
static int is_simple_request(const uint8_t *line, size_t method, const uint8_t *target, size_t length)
{
    return method == 3 && memcmp(line, "GET", 3) == 0 &&
           (target[0] == '/' || (length > 4 && strncasecmp((const char *)target, "http", 4) == 0));
}

/* ---- a line as it comes ---- */

/* Forms that the second word of a line may begin. */
enum second {
    NO_TARGET, /* of nothing that a server takes for a request */
    ANY_WORD,  /* a request only if a version follows: it names no host, or not yet */
    A_TARGET,  /* a path, or the authority that CONNECT names */
};

static enum second second_word(const uint8_t *method, size_t method_length, uint8_t first)
{
    int connect = method_length == 7 && strncasecmp((const char *)method, "CONNECT", 7) == 0;

    if (first == '/') return A_TARGET;
    if (is_letter(first) || is_digit(first) || first == '[') return connect ? A_TARGET : ANY_WORD;
    return first != 0 && strchr("*%.-_~?:@#\\", first) ? ANY_WORD : NO_TARGET;
}

/* Whether a third word, of which `length` bytes are there, may be a version. */
static int may_be_version(const uint8_t *word, size_t length)
{
    return strncasecmp((const char *)word, "HTTP/", length < 5 ? length : 5) == 0;
}

/* Whether the byte at `at` ends a blank and "HTTP/", in letters of any case. */
static int ends_version(const uint8_t *line, size_t at)
{
    return line[at] == '/' && at >= 5 && is_blank(line[at - 5]) &&
           strncasecmp((const char *)line + at - 4, "http", 4) == 0;
}

/* A line of which the words behind the first are read; its line feed is not. */
struct line {
    size_t method; /* where it begins */
    size_t method_length;
    size_t target;     /* where the second word begins */
    size_t target_end; /* and ends; 0 while it has not */
    enum second second;
    int url;     /* "://" is in the second word */
    int version; /* a version has begun */
};

/* Judges the byte at `at`, behind the first word. Returns SL_INNER_MORE to go on. */
static enum sl_inner_status read_byte(const uint8_t *data, size_t at, struct line *line, int capitals)
{
    uint8_t byte = data[at];

    if ((byte < ' ' && !is_blank(byte)) || byte == 0x7f) { /* binary, unless it began like a request */
        int begun = capitals && line->method_length >= 3 && (line->second == A_TARGET || line->url);
        return line->version || begun ? SL_INNER_MALFORMED : SL_INNER_OTHER;
    }
    line->version |= ends_version(data, at);
    if (line->target_end == 0) {
        if (is_blank(byte))
            line->target_end = at;
        else if (byte == '/' && at >= line->target + 3 && data[at - 1] == '/' && data[at - 2] == ':')
            line->url = 1;
        if (line->second == ANY_WORD && !line->url && at - line->target >= WORD_MOST) return SL_INNER_OTHER;
    } else if (line->second == ANY_WORD && !line->url && !line->version && !is_blank(byte)) {
        size_t word = at;
        while (!is_blank(data[word - 1])) word--;
        if (!may_be_version(data + word, at + 1 - word)) return SL_INNER_OTHER;
    }
    return SL_INNER_MORE;
}

/* How much of an unfinished line may leave: all of a line that would need a version to be a request. What may be the
 * "://" of a target is held. */
static size_t harmless_part(const uint8_t *data, size_t length, const struct line *line)
{
    if (line->second != ANY_WORD || line->url || line->version) return 0;
    if (line->target_end == 0 && length > line->target) {
        if (data[length - 1] == '/' && data[length - 2] == ':') return length - 2;
        if (data[length - 1] == ':') return length - 1;
    }
    return length;
}

/* Reads the first line. Returns SL_INNER_HTTP_NONE when it is a request line, with what follows it at *used; with
 * SL_INNER_MORE, out->harmless counts from the line's beginning. */
static enum sl_inner_status read_line(const uint8_t *data, size_t length, size_t *used, struct authority *target,
                                      struct sl_inner *out)
{
    struct line line = {.method = 0};
    struct request_line words;
    size_t at;
    int capitals = 1;

    while (line.method < length && is_blank(data[line.method]) && data[line.method] != '\r') line.method++;
    line.method_length = token_length(data + line.method, length - line.method);
    at = line.method + line.method_length;
    if (at == length) {
        size_t enough = line.method_length ? line.method + WORD_KEPT : BLANKS_KEPT;
        out->harmless = length;
        out->kept = length < enough ? length : enough;
        out->word = line.method_length > 0;
        return SL_INNER_MORE;
    }
    if (line.method_length == 0 || !is_blank(data[at])) return SL_INNER_OTHER;
    for (size_t i = line.method; i < at && i < line.method + WORD_KEPT; i++)
        capitals &= data[i] >= 'A' && data[i] <= 'Z';
    while (at < length && is_blank(data[at])) at++;
    if (at == length) {
        out->harmless = out->kept = length;
        return SL_INNER_MORE;
    }
    if (data[at] == '\n') return SL_INNER_OTHER;
    line.target = at;
    line.second = second_word(data + line.method, line.method_length, data[at]);
    if (line.second == NO_TARGET) return SL_INNER_OTHER;
    for (; at < length && data[at] != '\n'; at++) {
        enum sl_inner_status status = read_byte(data, at, &line, capitals);
        if (status != SL_INNER_MORE) return status;
    }
    if (at == length) {
        out->harmless = out->kept = harmless_part(data, length, &line);
        return SL_INNER_MORE;
    }
    *used = at + 1;
    if (!line.version)
        return is_simple_request(data + line.method, line.method_length, data + line.target, at - line.target)
                   ? SL_INNER_MALFORMED
                   : SL_INNER_OTHER;
    if (!split_line(data, at, &words)) return SL_INNER_MALFORMED;
    if (sl_inner_is_http2(data, length)) return SL_INNER_HTTP_NONE; /* the preface, RFC 9113 section 3.4 */
    if (memcmp(words.version, "HTTP/1.", 7) != 0 || !is_digit(words.version[7]) || !read_target(&words, target))
        return SL_INNER_MALFORMED;
    return SL_INNER_HTTP_NONE;
}

/* ---- fields ---- */

/* Reads a field's value up to and including its line end. Returns SL_INNER_HTTP_NONE with the value in place, its
 * blanks off. */
static enum sl_inner_status read_value(const uint8_t *data, size_t length, const uint8_t **value, size_t *value_length,
                                       size_t *used)
{
    size_t n = 0;

    while (n < length && (data[n] == '\t' || (data[n] >= ' ' && data[n] != 0x7f))) n++;
    if (n < length && data[n] != '\r') return SL_INNER_MALFORMED;
    if (length - n < 2) return SL_INNER_MORE;
    if (data[n + 1] != '\n') return SL_INNER_MALFORMED;
    *used = n + 2;
    while (n > 0 && (data[n - 1] == ' ' || data[n - 1] == '\t')) n--;
    while (n > 0 && (*data == ' ' || *data == '\t')) data++, n--;
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
        if (name == length) return SL_INNER_MORE;
        if (name == 0 || data[name] != ':') /* a folded line, a space before the colon, a bare line feed, NUL */
            return SL_INNER_MALFORMED;
        enum sl_inner_status status = read_value(data + name + 1, length - name - 1, &value, &value_length, &used);
        if (status != SL_INNER_HTTP_NONE) return status;
        if (name == 4 && strncasecmp((const char *)data, "host", 4) == 0 && !authority_field(value, value_length, host))
            return SL_INNER_MALFORMED;
        data += name + 1 + used;
        length -= name + 1 + used;
    }
}

enum sl_inner_status sl_inner_http1(const uint8_t *data, size_t length, int last, struct sl_inner *out)
{
    struct authority named[2] = {{.given = 0}, {.given = 0}}; /* by the target, by Host */
    enum sl_inner_status status, agreed;
    size_t used = 0, empty = 0;

    while (empty < length && (data[empty] == '\r' || data[empty] == '\n')) /* empty lines, RFC 9112 section 2.2 */
        empty++;
    if (empty == length) {
        out->harmless = length;
        out->kept = length > 0; /* one tells what the others do */
        return SL_INNER_MORE;
    }
    status = read_line(data + empty, length - empty, &used, &named[0], out);
    if (status == SL_INNER_MORE && out->harmless) {
        out->harmless += empty;
        out->kept += empty;
    }
    if (status == SL_INNER_HTTP_NONE && sl_inner_is_http2(data + empty, length - empty))
        return empty ? SL_INNER_MALFORMED : sl_inner_http2(data, length, last, out);
    if (status == SL_INNER_HTTP_NONE) status = read_fields(data + empty + used, length - empty - used, &named[1]);
    if (status != SL_INNER_HTTP_NONE && (status != SL_INNER_MORE || !last || out->kept < out->harmless)) return status;
    agreed = authority_agreed(named, 2, out);
    return status == SL_INNER_MORE && agreed == SL_INNER_HTTP_NONE ? SL_INNER_TOO_LONG : agreed;
}
