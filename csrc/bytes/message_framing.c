/* What the fields of a head say of its framing, of its connection and of its host. See message.h. */
#include "bytes/message_private.h"

#include <string.h>

enum { LENGTH_DIGITS = 18, SWITCHING = 101, NO_CONTENT = 204, NOT_MODIFIED = 304 };

/* ---- one field --------------------------------------------------------------------------------------------------- */

static const char *note_length(struct sl_message *message, const char *text, size_t length)
{
    uint64_t value = 0;
    if (message->has_length) return "several fields Content-Length";
    if (length == 0 || length > LENGTH_DIGITS) return "a Content-Length other than 1 to 18 digits";
    for (size_t i = 0; i < length; i++) {
        if (text[i] < '0' || text[i] > '9') return "a Content-Length other than 1 to 18 digits";
        value = value * 10 + (uint64_t)(text[i] - '0');
    }
    message->has_length = 1;
    message->content_length = value;
    return NULL;
}

static const char *note_connection(struct sl_noted *noted, const char *at, size_t size)
{
    const char *end = at + size, *option;
    size_t length;
    while (sl_list_next(&at, end, &option, &length)) {
        if (++noted->options > SL_MESSAGE_OPTIONS_MOST) return "more than 64 options in Connection";
        noted->closes |= (uint8_t)sl_text_is(option, length, "close");
        noted->keeps |= (uint8_t)sl_text_is(option, length, "keep-alive");
        noted->names_upgrade |= (uint8_t)sl_text_is(option, length, "upgrade");
    }
    return NULL;
}

static void note_te(struct sl_message *message, const char *at, size_t size)
{
    const char *end = at + size, *coding;
    size_t length;
    while (sl_list_next(&at, end, &coding, &length)) {
        if (sl_text_is(coding, length, "trailers")) message->takes_trailers = 1;
    }
}

static void note_expect(struct sl_message *message, struct sl_noted *noted, const char *text, size_t length)
{
    if (!noted->expects && sl_text_is(text, length, "100-continue"))
        message->continues = 1;
    else
        message->expects_other = 1;
    noted->expects = 1;
}

const char *sl_message_note(struct sl_message *message, struct sl_noted *noted, const struct sl_message_field *field)
{
    const char *text = sl_message_at(message, field->value);
    switch (field->known) {
    case SL_FIELD_CONTENT_LENGTH: return note_length(message, text, field->value.length);
    case SL_FIELD_TRANSFER_ENCODING:
        if (noted->chunked) return "several fields Transfer-Encoding";
        noted->chunked = 1;
        return sl_text_is(text, field->value.length, "chunked") ? NULL : "a Transfer-Encoding other than chunked";
    case SL_FIELD_CONNECTION: return note_connection(noted, text, field->value.length);
    case SL_FIELD_HOST:
        if (message->host_known) return "several fields Host";
        message->host_known = 1;
        message->host = field->value;
        return NULL;
    case SL_FIELD_UPGRADE:
        if (noted->upgrade_fields < 2) noted->upgrade_fields++;
        noted->upgrade = field->value;
        return NULL;
    case SL_FIELD_TE: note_te(message, text, field->value.length); return NULL;
    case SL_FIELD_EXPECT: note_expect(message, noted, text, field->value.length); return NULL;
    default: return NULL;
    }
}

/* ---- the whole head ---------------------------------------------------------------------------------------------- */

/* One protocol alone, and not one that is HTTP or TLS again: those are asked for in other ways. */
static int is_protocol(const char *text, size_t length)
{
    size_t at = 0;
    while (at < length && SL_TOKEN_BYTES[(uint8_t)text[at]]) at++;
    if (at == 0 || sl_text_is(text, at, "h2c") || sl_text_is(text, at, "http") || sl_text_is(text, at, "tls")) return 0;
    if (at < length && text[at] == '/') {
        size_t version = ++at;
        while (at < length && SL_TOKEN_BYTES[(uint8_t)text[at]]) at++;
        if (at == version) return 0;
    }
    return at == length;
}

static void note_upgrade(struct sl_message *message, const struct sl_noted *noted)
{
    if (!noted->names_upgrade || noted->upgrade_fields != 1 || message->minor == 0) return;
    if (!is_protocol(sl_message_at(message, noted->upgrade), noted->upgrade.length)) return;
    message->protocol = noted->upgrade;
    message->upgrades = 1;
}

/* Where host and port of an authority part; the port is the scheme's where there is none, and NULL for other schemes. */
static size_t split_port(const char *text, size_t length, const char *usual, const char **port, size_t *digits)
{
    size_t at = length;
    while (at && text[at - 1] >= '0' && text[at - 1] <= '9') at--;
    if (at == 0 || text[at - 1] != ':') {
        *port = usual;
        *digits = usual ? strlen(usual) : 0;
        return length;
    }
    *port = text + at;
    *digits = length - at;
    return at - 1;
}

/* Whether both name one host and port; both are sound. */
static int is_same(const struct sl_message *message, struct sl_span first, struct sl_span second)
{
    const char *a = sl_message_at(message, first), *b = sl_message_at(message, second), *a_port, *b_port, *usual = NULL;
    const char *scheme = sl_message_at(message, message->scheme);
    size_t a_digits, b_digits, a_host, b_host;
    if (sl_text_is(scheme, message->scheme.length, "http")) usual = "80";
    if (sl_text_is(scheme, message->scheme.length, "https")) usual = "443";
    a_host = split_port(a, first.length, usual, &a_port, &a_digits);
    b_host = split_port(b, second.length, usual, &b_port, &b_digits);
    if (a_host != b_host || a_digits != b_digits || (a_digits && memcmp(a_port, b_port, a_digits) != 0)) return 0;
    for (size_t i = 0; i < a_host; i++) {
        uint8_t x = (uint8_t)a[i], y = (uint8_t)b[i];
        /* A colon and brackets of an IPv6 address are no token bytes. */
        if (x != y && (SL_TOKEN_BYTES[x] == 0 || SL_TOKEN_BYTES[x] != SL_TOKEN_BYTES[y])) return 0;
    }
    return 1;
}

const char *sl_message_host_fault(struct sl_message *message)
{
    const char *host = sl_message_at(message, message->host);
    if (message->authority.length && message->authority.length == message->host.length &&
        memcmp(host, sl_message_at(message, message->authority), message->host.length) == 0)
        return NULL; /* byte by byte what the target has, which was looked at */
    if (message->host.length && sl_authority_fault(host, message->host.length))
        return "a Host other than HOST or HOST:PORT";
    if (message->form == SL_FORM_AUTHORITY) return NULL; /* the target alone is judged */
    if (message->authority.length == 0)
        message->authority = message->host;
    else if (!is_same(message, message->authority, message->host))
        return "a Host other than the target's";
    return NULL;
}

const char *sl_message_end_request(struct sl_message *message, const struct sl_noted *noted)
{
    if (noted->chunked && message->has_length) return "Transfer-Encoding and Content-Length in one head";
    if (noted->chunked && message->minor == 0) return "Transfer-Encoding in HTTP/1.0";
    if (message->form == SL_FORM_AUTHORITY && (noted->chunked || message->has_length)) return "CONNECT with content";
    message->framing = noted->chunked ? SL_FRAMING_CHUNKED : message->has_length ? SL_FRAMING_LENGTH : SL_FRAMING_NONE;
    message->keeps_alive = !noted->closes && (message->minor || noted->keeps);
    if (message->minor == 0) message->continues = message->expects_other = 0; /* RFC 9110 section 10.1.1 */
    note_upgrade(message, noted);
    if (message->host_known) return sl_message_host_fault(message);
    return message->minor ? "HTTP/1.1 without a field Host" : NULL;
}

const char *sl_message_end_response(struct sl_message *message, const struct sl_noted *noted, int to_head)
{
    int empty = message->status < 200 || message->status == NO_CONTENT;
    message->continues = message->expects_other = message->takes_trailers = 0;
    if (noted->chunked && message->has_length) return "Transfer-Encoding and Content-Length in one head";
    if (noted->chunked && message->minor == 0) return "Transfer-Encoding in HTTP/1.0";
    if (empty && (noted->chunked || message->content_length)) return "content in a 1xx or 204";
    if (empty || message->status == NOT_MODIFIED || to_head)
        message->framing = SL_FRAMING_NONE;
    else if (noted->chunked)
        message->framing = SL_FRAMING_CHUNKED;
    else
        message->framing = message->has_length ? SL_FRAMING_LENGTH : SL_FRAMING_CLOSE;
    message->keeps_alive = !noted->closes && (message->minor || noted->keeps) && message->framing != SL_FRAMING_CLOSE;
    if (message->status != SWITCHING) return NULL;
    note_upgrade(message, noted);
    message->keeps_alive = 0;
    return message->upgrades ? NULL : "a 101 without one protocol in Upgrade that Connection names";
}
