/* Authorities of requests; see inner_authority.h. */
#include "bytes/inner_authority.h"

#include <string.h>

static int is_letter(uint8_t byte)
{
    return (uint8_t)((byte | 0x20) - 'a') < 26;
}

static int is_digit(uint8_t byte)
{
    return (uint8_t)(byte - '0') < 10;
}

/* ":port", ":" or nothing. */
static int read_port(const uint8_t *text, size_t length, int *port)
{
    *port = -1;
    if (length == 0) return 1;
    if (text[0] != ':') return 0;
    for (size_t i = 1; i < length; i++) {
        if (!is_digit(text[i])) return 0;
        *port = (*port < 0 ? 0 : *port) * 10 + (text[i] - '0');
        if (*port > 65535) return 0;
    }
    return 1;
}

int authority_read(const uint8_t *text, size_t length, struct authority *out)
{
    int bracket = length > 0 && text[0] == '[';
    const uint8_t *end = length > 0 ? memchr(text, bracket ? ']' : ':', length) : NULL;
    size_t host = end ? (size_t)(end - text) : length;
    enum sl_name_status status;

    out->given = 1;
    if (bracket && !end) return 0;
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

int authority_field(const uint8_t *text, size_t length, struct authority *out)
{
    if (out->given || (length > 0 && !authority_read(text, length, out))) return 0;
    out->given = 1;
    return 1;
}

int authority_of_url(const uint8_t *text, size_t length, struct authority *out)
{
    size_t scheme = 0, end;

    if (length == 0 || !is_letter(text[0])) return 0;
    while (scheme < length &&
           (is_letter(text[scheme]) || is_digit(text[scheme]) || (text[scheme] != 0 && strchr("+-.", text[scheme]))))
        scheme++;
    if (length - scheme < 3 || memcmp(text + scheme, "://", 3) != 0) return 0;
    text += scheme + 3;
    length -= scheme + 3;
    for (end = 0; end < length && (text[end] == 0 || !strchr("/?#", text[end])); end++);
    return authority_read(text, end, out);
}

static int same(const struct authority *a, const struct authority *b)
{
    if (a->name_length != b->name_length || a->address.family != b->address.family) return 0;
    if (a->port >= 0 && b->port >= 0 && a->port != b->port) return 0;
    return a->address.family ? memcmp(a->address.bytes, b->address.bytes, sizeof a->address.bytes) == 0
                             : memcmp(a->name, b->name, a->name_length) == 0;
}

enum sl_inner_status authority_agreed(const struct authority *given, size_t count, struct sl_inner *out)
{
    const struct authority *named = NULL;

    for (size_t i = 0; i < count; i++) {
        if (!given[i].given) continue;
        if (named && !same(named, &given[i])) return SL_INNER_MALFORMED;
        if (!named) named = &given[i];
    }
    if (!named || (named->name_length == 0 && named->address.family == 0)) return SL_INNER_HTTP_NONE;
    memcpy(out->name, named->name, named->name_length);
    out->name[named->name_length] = 0;
    out->name_length = named->name_length;
    out->address = named->address;
    return SL_INNER_HTTP_NAME;
}
