/* The field Forwarded, see forwarded.h. */
#include "bytes/forwarded.h"

#include <string.h>

enum { NODE_MOST = 64, PORT_DIGITS = 5 };

struct cursor {
    const uint8_t *at, *end;
};

/* A text without quotes: a token (RFC 9110 section 5.6.2), and what addresses have beside one, as senders leave the
 * quotes out. */
static int in_text(uint8_t c)
{
    static const char others[] = "!#$%&'*+-.^_`|~[]:";
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr(others, c) != NULL);
}

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t')) c->at++;
}

/* A token or a quoted text into `out`, cut at its room; `*length` is its own. Returns 1, or 0 where there is none. */
static int take_text(struct cursor *c, char out[NODE_MOST], size_t *length)
{
    int quoted = c->at < c->end && *c->at == '"';
    *length = 0;
    if (quoted) c->at++;
    while (c->at < c->end && (quoted ? *c->at != '"' : in_text(*c->at))) {
        if (quoted && *c->at == '\\' && ++c->at == c->end) return 0;
        if (*c->at < 0x20 || *c->at == 0x7f) return 0;
        if (*length < NODE_MOST) out[*length] = (char)*c->at;
        ++*length;
        c->at++;
    }
    if (quoted && c->at++ == c->end) return 0;
    return quoted || *length > 0;
}

static int read_port(const char *text, size_t length, uint16_t *port)
{
    unsigned number = 0;
    if (length == 0 || length > PORT_DIGITS) return 0;
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return 0;
        number = number * 10 + (unsigned)(text[i] - '0');
    }
    *port = (uint16_t)number;
    return number <= UINT16_MAX;
}

/* Section 6: an address with or without a port, "unknown", or an obfuscated name. */
static int take_node(const char *text, size_t length, struct sl_forwarded *out)
{
    const char *end, *port;
    int bracketed = length && text[0] == '[';
    memset(out, 0, sizeof *out);
    if (length == 0 || length > NODE_MOST) return 0;
    if (text[0] == '_' || (length == 7 && memcmp(text, "unknown", 7) == 0)) return 1;
    if (!bracketed && sl_addr_parse(text, length, &out->client)) return 1;
    end = memchr(text, bracketed ? ']' : ':', length);
    if (!end || !sl_addr_parse(text + bracketed, (size_t)(end - text) - (size_t)bracketed, &out->client)) return 0;
    if (out->client.family != (bracketed ? 6 : 4)) return 0;
    port = end + bracketed;
    length -= (size_t)(port - text);
    return length == 0 || (*port == ':' && read_port(port + 1, length - 1, &out->port));
}

/* One element: pairs of a name and a value, with semicolons between. */
static int take_element(struct cursor *c, struct sl_forwarded *out)
{
    char name[NODE_MOST], value[NODE_MOST];
    size_t length, value_length;
    int found = 0;
    memset(out, 0, sizeof *out);
    for (;;) {
        skip_blanks(c);
        if (c->at < c->end && *c->at == '"') return 0;
        if (!take_text(c, name, &length) || c->at == c->end || *c->at++ != '=') return 0;
        if (!take_text(c, value, &value_length)) return 0;
        if (length == 3 && (name[0] | 32) == 'f' && (name[1] | 32) == 'o' && (name[2] | 32) == 'r') {
            if (found++ || !take_node(value, value_length, out)) return 0;
        }
        skip_blanks(c);
        if (c->at == c->end || *c->at != ';') return 1;
        c->at++;
    }
}

enum sl_forwarded_status sl_forwarded_read(const uint8_t *bytes, size_t length, struct sl_forwarded *out)
{
    struct cursor c = {bytes, bytes + length};
    memset(out, 0, sizeof *out);
    for (;;) {
        if (!take_element(&c, out)) break;
        if (c.at == c.end) return out->client.family ? SL_FORWARDED_FOUND : SL_FORWARDED_NONE;
        if (*c.at++ != ',') break;
    }
    memset(out, 0, sizeof *out);
    return SL_FORWARDED_BROKEN;
}
