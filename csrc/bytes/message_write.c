/* Messages as HTTP/1.1. See message.h. */
#include "bytes/message_private.h"

#include <stdlib.h>
#include <string.h>

enum { OUT_FIRST = 1024, FIXED_MOST = 256 }; /* FIXED_MOST: what is written besides texts of the message */

int sl_out_room(struct sl_out *out, size_t bytes)
{
    size_t room = out->room ? out->room : OUT_FIRST;
    uint8_t *grown;
    if (out->room - out->length >= bytes) return 1;
    while (room - out->length < bytes) {
        if (room > SIZE_MAX / 2) return 0;
        room *= 2;
    }
    grown = out->secret ? sl_secret_move(out->bytes, out->length, room) : realloc(out->bytes, room);
    if (!grown) return 0;
    out->bytes = grown;
    out->room = room;
    return 1;
}

void sl_out_clear(struct sl_out *out, size_t most)
{
    if (out->secret) explicit_bzero(out->bytes, out->length);
    if (out->room > most || most == 0) {
        free(out->bytes);
        out->bytes = NULL;
        out->room = 0;
    }
    out->length = 0;
    out->secret = 0;
}

/* ---- pieces; there is room for all of them ----------------------------------------------------------------------- */

static void put(struct sl_out *out, const char *text, size_t length)
{
    if (length) memcpy(out->bytes + out->length, text, length);
    out->length += length;
}

static void put_text(struct sl_out *out, const char *text)
{
    put(out, text, strlen(text));
}

static void put_span(struct sl_out *out, const struct sl_message *message, struct sl_span span)
{
    put(out, sl_message_at(message, span), span.length);
}

static void put_number(struct sl_out *out, uint64_t number)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number);
    put(out, digits + at, sizeof digits - at);
}

static size_t fields_size(const struct sl_message *message)
{
    size_t size = FIXED_MOST;
    for (uint32_t i = 0; i < message->field_count; i++)
        size += (size_t)message->fields[i].name.length + message->fields[i].value.length + 4;
    return size;
}

/* Fields that the writer puts itself, or leaves out: they are the connection's. */
static int is_written(const struct sl_message_field *field)
{
    switch (field->known) {
    case SL_FIELD_CONNECTION:
    case SL_FIELD_CONTENT_LENGTH:
    case SL_FIELD_HOST:
    case SL_FIELD_KEEP_ALIVE:
    case SL_FIELD_PROXY_CONNECTION:
    case SL_FIELD_TE:
    case SL_FIELD_TRANSFER_ENCODING:
    case SL_FIELD_UPGRADE: return 0;
    default: return !field->removed;
    }
}

static void put_fields(struct sl_out *out, const struct sl_message *message)
{
    for (uint32_t i = 0; i < message->field_count; i++) {
        const struct sl_message_field *field = &message->fields[i];
        if (!is_written(field)) continue;
        put_span(out, message, field->name);
        put(out, ": ", 2);
        put_span(out, message, field->value);
        put(out, "\r\n", 2);
    }
}

static void put_length(struct sl_out *out, const struct sl_message *message)
{
    put_text(out, "content-length: ");
    put_number(out, message->content_length);
    put(out, "\r\n", 2);
}

static void put_framing(struct sl_out *out, const struct sl_message *message)
{
    if (message->framing == SL_FRAMING_CHUNKED)
        put_text(out, "transfer-encoding: chunked\r\n");
    else if (message->framing == SL_FRAMING_LENGTH)
        put_length(out, message);
}

/* Connection, and the fields that it names. */
static void put_connection(struct sl_out *out, const struct sl_message *message, enum sl_keep keep, int trailers)
{
    if (message->upgrades && message->protocol.length) {
        put_text(out, trailers ? "connection: upgrade, te\r\nupgrade: " : "connection: upgrade\r\nupgrade: ");
        put_span(out, message, message->protocol);
        put(out, "\r\n", 2);
    } else if (keep == SL_KEEP_CLOSE) {
        put_text(out, trailers ? "connection: close, te\r\n" : "connection: close\r\n");
    } else if (keep == SL_KEEP_SAID) {
        put_text(out, trailers ? "connection: keep-alive, te\r\n" : "connection: keep-alive\r\n");
    } else if (trailers) {
        put_text(out, "connection: te\r\n");
    }
    if (trailers) put_text(out, "te: trailers\r\n");
}

/* ---- requests ---------------------------------------------------------------------------------------------------- */

static void put_target(struct sl_out *out, const struct sl_message *message, int absolute)
{
    if (message->form == SL_FORM_AUTHORITY) {
        put_span(out, message, message->authority);
        return;
    }
    if (absolute) {
        if (message->scheme.length)
            put_span(out, message, message->scheme);
        else
            put_text(out, "http");
        put(out, "://", 3);
        put_span(out, message, message->authority);
        if (message->form == SL_FORM_ASTERISK) return; /* RFC 9112 section 3.2.4 */
    }
    if (message->path.length)
        put_span(out, message, message->path);
    else
        put(out, "/", 1);
    if (message->has_query) {
        put(out, "?", 1);
        put_span(out, message, message->query);
    }
}

int sl_message_write_request(const struct sl_message *message, int absolute, enum sl_keep keep, struct sl_out *out)
{
    size_t line = (size_t)message->method.length + message->scheme.length + 2 * (size_t)message->authority.length +
                  message->path.length + message->query.length + message->protocol.length;
    if (!sl_out_room(out, line + fields_size(message))) return 0;
    out->secret |= message->secret;
    put_span(out, message, message->method);
    put(out, " ", 1);
    put_target(out, message, absolute);
    put_text(out, " HTTP/1.1\r\nhost: ");
    put_span(out, message, message->authority);
    put(out, "\r\n", 2);
    put_fields(out, message);
    put_framing(out, message);
    put_connection(out, message, keep, message->takes_trailers);
    put(out, "\r\n", 2);
    return 1;
}

/* ---- responses --------------------------------------------------------------------------------------------------- */

static const char *reason(unsigned status)
{
    switch (status) {
    case 100: return "Continue";
    case 101: return "Switching Protocols";
    case 103: return "Early Hints";
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 203: return "Non-Authoritative Information";
    case 204: return "No Content";
    case 205: return "Reset Content";
    case 206: return "Partial Content";
    case 207: return "Multi-Status";
    case 300: return "Multiple Choices";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 304: return "Not Modified";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 402: return "Payment Required";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 406: return "Not Acceptable";
    case 407: return "Proxy Authentication Required";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 410: return "Gone";
    case 411: return "Length Required";
    case 412: return "Precondition Failed";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 416: return "Range Not Satisfiable";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 422: return "Unprocessable Content";
    case 425: return "Too Early";
    case 426: return "Upgrade Required";
    case 428: return "Precondition Required";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 451: return "Unavailable For Legal Reasons";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 508: return "Loop Detected";
    case 511: return "Network Authentication Required";
    default: return "";
    }
}

int sl_message_write_response(const struct sl_message *message, enum sl_keep keep, struct sl_out *out)
{
    int interim = message->status < 200;
    if (!sl_out_room(out, (size_t)message->protocol.length + fields_size(message))) return 0;
    put_text(out, "HTTP/1.1 ");
    put_number(out, message->status);
    put(out, " ", 1);
    put_text(out, reason(message->status));
    put(out, "\r\n", 2);
    put_fields(out, message);
    put_framing(out, message);
    if (message->framing == SL_FRAMING_NONE && message->has_length && !interim && message->status != 204)
        put_length(out, message);
    if (message->framing == SL_FRAMING_CLOSE) keep = SL_KEEP_CLOSE;
    if (!interim || message->upgrades) put_connection(out, message, keep, 0);
    put(out, "\r\n", 2);
    return 1;
}

int sl_message_write_trailers(const struct sl_message *message, struct sl_out *out)
{
    if (!sl_out_room(out, fields_size(message))) return 0;
    put_fields(out, message);
    put(out, "\r\n", 2);
    return 1;
}
