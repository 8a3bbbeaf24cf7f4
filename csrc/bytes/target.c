/* The normal form of request targets. */
#include "bytes/target.h"

#include <string.h>

static int digit_value(uint8_t byte)
{
    if (byte >= '0' && byte <= '9') return byte - '0';
    if (byte >= 'A' && byte <= 'F') return byte - 'A' + 10;
    if (byte >= 'a' && byte <= 'f') return byte - 'a' + 10;
    return -1;
}

/* The byte that an escape at `at` stands for; -1: there is none. */
static int escaped(const uint8_t *at, const uint8_t *end)
{
    if (end - at < 3) return -1;
    int high = digit_value(at[1]), low = digit_value(at[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* RFC 3986 section 2.3. */
static int is_unreserved(int byte)
{
    int letter = byte | 0x20;
    return (letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9') || byte == '-' || byte == '.' ||
           byte == '_' || byte == '~';
}

/* What a path may hold beside them and escapes (section 3.3). */
static int is_plain(int byte)
{
    return byte && strchr("/!$&'()*+,;=:@", byte) != NULL;
}

struct writer {
    char *out;
    size_t room, used;
};

static void put(struct writer *writer, int byte)
{
    if (writer->used < writer->room) writer->out[writer->used] = (char)byte;
    writer->used++;
}

static void put_escaped(struct writer *writer, int byte)
{
    static const char digits[] = "0123456789ABCDEF";
    put(writer, '%');
    put(writer, digits[byte >> 4 & 15]);
    put(writer, digits[byte & 15]);
}

/* What one segment of the normal form is. */
enum segment { SEGMENT_PLAIN, SEGMENT_EMPTY, SEGMENT_DOTS, SEGMENT_DOTS_WITH_PARAMETERS };

static enum segment segment_of(const char *segment, size_t length)
{
    size_t dots = 0;
    if (length == 0) return SEGMENT_EMPTY;
    while (dots < length && segment[dots] == '.') dots++;
    if (dots != 1 && dots != 2) return SEGMENT_PLAIN;
    if (dots == length) return SEGMENT_DOTS;
    return segment[dots] == ';' ? SEGMENT_DOTS_WITH_PARAMETERS : SEGMENT_PLAIN;
}

/* The segments of a normal form, which begins with a slash. */
static enum sl_target_status check_segments(const char *path, size_t length, int *doubtful)
{
    for (size_t start = 1, end; start <= length; start = end + 1) {
        for (end = start; end < length && path[end] != '/'; end++) {
        }
        enum segment kind = segment_of(path + start, end - start);
        if (kind == SEGMENT_DOTS) return SL_TARGET_DOT_SEGMENT;
        if (kind == SEGMENT_DOTS_WITH_PARAMETERS || (kind == SEGMENT_EMPTY && end < length)) *doubtful = 1;
    }
    return SL_TARGET_OK;
}

enum sl_target_status sl_path_normal(const uint8_t *path, size_t length, char *out, size_t room, size_t *out_length,
                                     int *doubtful)
{
    struct writer writer = {out, room, 0};
    const uint8_t *at = path, *end = path + length;
    *out_length = 0;
    *doubtful = 0;
    if (length == 0) put(&writer, '/');
    if (length && *at != '/') return SL_TARGET_NO_SLASH;
    while (at < end) {
        int byte = *at, value = byte;
        if (byte == '%') {
            value = escaped(at, end);
            if (value < 0) return SL_TARGET_BAD_ESCAPE;
            at += 2;
        } else if (byte <= ' ' || byte == 0x7f || byte == '?' || byte == '#') {
            return SL_TARGET_BAD_BYTE;
        }
        at++;
        if (value == '\\' || (byte == '%' && (value == '/' || value == 0))) *doubtful = 1;
        if (is_unreserved(value) || (byte != '%' && is_plain(value)))
            put(&writer, value);
        else
            put_escaped(&writer, value);
    }
    if (writer.used > room) return SL_TARGET_TOO_LONG;
    enum sl_target_status status = check_segments(out, writer.used, doubtful);
    if (status == SL_TARGET_OK) *out_length = writer.used;
    return status;
}

const char *sl_target_status_text(enum sl_target_status status)
{
    static const char *const texts[] = {
        [SL_TARGET_INTERNAL] = "internal error",
        [SL_TARGET_OK] = "ok",
        [SL_TARGET_NO_SLASH] = "a path begins with a slash",
        [SL_TARGET_BAD_BYTE] = "a path has no space, control byte, ? or #",
        [SL_TARGET_BAD_ESCAPE] = "% wants two hexadecimal digits",
        [SL_TARGET_DOT_SEGMENT] = "a path has no segment . or ..",
        [SL_TARGET_TOO_LONG] = "the path is too long",
    };
    return texts[(unsigned)status < sizeof texts / sizeof *texts ? status : 0];
}

int sl_query_next(struct sl_query_value *value)
{
    if (value->at >= value->end) return -1;
    int byte = *value->at, decoded = byte == '%' ? escaped(value->at, value->end) : -1;
    value->at += decoded < 0 ? 1 : 3;
    if (decoded >= 0) return decoded;
    return byte == '+' ? ' ' : byte;
}

static int has_text(struct sl_query_value value, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (sl_query_next(&value) != (uint8_t)text[i]) return 0;
    return sl_query_next(&value) < 0;
}

int sl_query_find(const uint8_t *query, size_t length, const char *name, size_t name_length,
                  struct sl_query_value *value)
{
    const uint8_t *at = query, *end = query + length;
    while (at < end) {
        const uint8_t *stop = memchr(at, '&', (size_t)(end - at));
        if (!stop) stop = end;
        const uint8_t *equals = memchr(at, '=', (size_t)(stop - at));
        struct sl_query_value found = {at, equals ? equals : stop};
        if (stop > at && has_text(found, name, name_length)) {
            *value = (struct sl_query_value){equals ? equals + 1 : stop, stop};
            return 1;
        }
        at = stop + 1;
    }
    return 0;
}
