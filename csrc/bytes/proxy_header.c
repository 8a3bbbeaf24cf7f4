/* The PROXY protocol, see proxy_header.h. */
#include "bytes/proxy_header.h"

#include <string.h>

enum { LINE_MOST = 107, SIGNATURE = 12, FIXED = 16, PORT_DIGITS = 5 };

/* Addresses of version 2: source, destination, source port, destination port. */
enum { IPV4 = 0x11, IPV6 = 0x21, IPV4_LENGTH = 12, IPV6_LENGTH = 36, LOCAL = 0x20, PROXY = 0x21, IDENTITY = 0xd0 };

static const uint8_t SIGNED[SIGNATURE] = {'\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q', 'U', 'I', 'T', '\n'};
static const char WORD[] = "PROXY ";

/* ---- version 1 --------------------------------------------------------------------------------------------------- */

/* The field that begins at `*at` and ends before a blank or the end of the line; `*at` moves behind the blank. */
static size_t take_field(const uint8_t *line, size_t end, size_t *at, const char **field)
{
    size_t from = *at, to = from;
    while (to < end && line[to] != ' ') to++;
    *field = (const char *)line + from;
    *at = to < end ? to + 1 : to;
    return to - from;
}

/* 0 to 65535 in decimal, without a sign or leading zeros; -1 for anything else. */
static int read_port(const char *text, size_t length)
{
    int port = 0;
    if (length == 0 || length > PORT_DIGITS || (length > 1 && text[0] == '0')) return -1;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        port = port * 10 + (text[i] - '0');
    }
    return port <= UINT16_MAX ? port : -1;
}

static int read_line(const uint8_t *line, size_t end, struct sl_proxy_header *out)
{
    const char *family, *source, *target, *from, *to;
    struct sl_addr other;
    size_t at = sizeof WORD - 1, length = take_field(line, end, &at, &family), source_length, target_length, digits;
    int port;
    if (length == 7 && memcmp(family, "UNKNOWN", 7) == 0) return 1;
    if (length != 4 || (memcmp(family, "TCP4", 4) != 0 && memcmp(family, "TCP6", 4) != 0)) return 0;
    source_length = take_field(line, end, &at, &source);
    target_length = take_field(line, end, &at, &target);
    if (!sl_addr_parse(source, source_length, &out->source) || !sl_addr_parse(target, target_length, &other)) return 0;
    if (out->source.family != family[3] - '0' || other.family != out->source.family) return 0;
    digits = take_field(line, end, &at, &from);
    port = read_port(from, digits);
    digits = take_field(line, end, &at, &to);
    if (port < 0 || read_port(to, digits) < 0 || at != end || line[end - 1] == ' ') return 0;
    out->port = (uint16_t)port;
    return 1;
}

static enum sl_proxy_status read_first(const uint8_t *bytes, size_t length, struct sl_proxy_header *out)
{
    size_t most = length < LINE_MOST ? length : LINE_MOST;
    for (size_t i = sizeof WORD - 1; i < most; i++) {
        if (bytes[i] == '\n') return SL_PROXY_BROKEN; /* without its CR */
        if (bytes[i] != '\r') continue;
        if (i + 1 == length) return i + 1 < LINE_MOST ? SL_PROXY_MORE : SL_PROXY_BROKEN;
        if (bytes[i + 1] != '\n' || i + 2 > LINE_MOST || !read_line(bytes, i, out)) return SL_PROXY_BROKEN;
        out->length = i + 2;
        return SL_PROXY_DONE;
    }
    return length < LINE_MOST ? SL_PROXY_MORE : SL_PROXY_BROKEN;
}

/* ---- version 2 --------------------------------------------------------------------------------------------------- */

static enum sl_proxy_status read_second(const uint8_t *bytes, size_t length, struct sl_proxy_header *out)
{
    size_t rest, need;
    if (length > SIGNATURE && bytes[SIGNATURE] != LOCAL && bytes[SIGNATURE] != PROXY) return SL_PROXY_BROKEN;
    if (length < FIXED) return SL_PROXY_MORE;
    rest = (size_t)bytes[14] << 8 | bytes[15];
    if (FIXED + rest > SL_PROXY_HEADER_MOST) return SL_PROXY_BROKEN;
    need = bytes[13] == IPV4 ? IPV4_LENGTH : bytes[13] == IPV6 ? IPV6_LENGTH : 0;
    if (bytes[SIGNATURE] == PROXY && rest < need) return SL_PROXY_BROKEN;
    if (length < FIXED + rest) return SL_PROXY_MORE;
    out->length = FIXED + rest;
    if (bytes[SIGNATURE] == LOCAL || need == 0) return SL_PROXY_DONE;
    out->source.family = bytes[13] == IPV4 ? 4 : 6;
    memcpy(out->source.bytes, bytes + FIXED, bytes[13] == IPV4 ? 4 : 16);
    out->port = (uint16_t)(bytes[FIXED + need - 4] << 8 | bytes[FIXED + need - 3]);
    return SL_PROXY_DONE;
}

size_t sl_proxy_header_write(const struct sl_addr *source, uint16_t source_port, const struct sl_addr *target,
                             uint16_t target_port, uint8_t out[SL_PROXY_OUT_MOST])
{
    size_t size = source->family == 4 ? 4 : 16, rest = 2 * size + 4;
    uint8_t *at = out + FIXED;
    memcpy(out, SIGNED, SIGNATURE);
    out[SIGNATURE] = PROXY;
    out[13] = source->family == 4 ? IPV4 : IPV6;
    out[14] = 0;
    out[15] = (uint8_t)rest;
    memset(at, 0, rest);
    memcpy(at, source->bytes, size);
    if (target->family == source->family) memcpy(at + size, target->bytes, size);
    at[2 * size] = (uint8_t)(source_port >> 8);
    at[2 * size + 1] = (uint8_t)source_port;
    at[2 * size + 2] = (uint8_t)(target_port >> 8);
    at[2 * size + 3] = (uint8_t)target_port;
    return FIXED + rest;
}

/* A type, a length of two bytes, a value (section 2.2). */
int sl_proxy_header_identity(const uint8_t *header, size_t length, const char **identity, size_t *identity_length)
{
    size_t at, size;
    *identity = NULL;
    *identity_length = 0;
    if (length < FIXED || memcmp(header, SIGNED, SIGNATURE) != 0 || header[SIGNATURE] != PROXY) return 1;
    if (header[13] != IPV4 && header[13] != IPV6) return 1;
    for (at = FIXED + (header[13] == IPV4 ? IPV4_LENGTH : IPV6_LENGTH); at < length; at += 3 + size) {
        if (length - at < 3) return 0;
        size = (size_t)header[at + 1] << 8 | header[at + 2];
        if (size > length - at - 3) return 0;
        if (header[at] != IDENTITY) continue;
        if (*identity) return 0;
        *identity = (const char *)header + at + 3;
        *identity_length = size;
    }
    return 1;
}

enum sl_proxy_status sl_proxy_header_read(const uint8_t *bytes, size_t length, struct sl_proxy_header *out)
{
    size_t word = sizeof WORD - 1;
    memset(out, 0, sizeof *out);
    if (length == 0) return SL_PROXY_MORE;
    if (memcmp(bytes, SIGNED, length < SIGNATURE ? length : SIGNATURE) == 0)
        return length < SIGNATURE ? SL_PROXY_MORE : read_second(bytes, length, out);
    if (memcmp(bytes, WORD, length < word ? length : word) != 0) return SL_PROXY_BROKEN;
    return length < word ? SL_PROXY_MORE : read_first(bytes, length, out);
}
