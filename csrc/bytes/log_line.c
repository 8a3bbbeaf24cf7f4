/* See log_line.h. Every write goes through one bounded cursor. */
#include "bytes/log_line.h"
#include "base/contract.h"

#include <string.h>
#include <time.h>

struct cursor {
    char *at, *end;
    int full;
};

/* In place at each call: a constant is stored by a few instructions, where a call of memcpy() takes 25. */
static inline __attribute__((always_inline)) void put(struct cursor *c, const char *bytes, size_t length)
{
    if ((size_t)(c->end - c->at) < length) {
        c->full = 1;
        return;
    }
    memcpy(c->at, bytes, length);
    c->at += length;
}

/* A constant of this file. */
#define PUT(c, constant) put(c, constant, sizeof(constant) - 1)

static void put_bytes(struct cursor *c, const char *bytes, size_t length)
{
    put(c, bytes, length);
}

static void put_text(struct cursor *c, const char *text)
{
    put_bytes(c, text, strlen(text));
}

/* 00 to 99. */
static const char PAIRS[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849"
    "5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";

static void put_number(struct cursor *c, uint64_t value)
{
    char digits[20], *at = digits + sizeof digits;

    if (value < 10) {
        digits[0] = (char)('0' + value);
        put(c, digits, 1);
        return;
    }
    for (; value >= 100; value /= 100) {
        at -= 2;
        memcpy(at, PAIRS + 2 * (value % 100), 2);
    }
    if (value >= 10) {
        at -= 2;
        memcpy(at, PAIRS + 2 * value, 2);
    } else
        *--at = (char)('0' + value);
    put_bytes(c, at, (size_t)(digits + sizeof digits - at));
}

static void put_optional(struct cursor *c, int64_t value)
{
    if (value < 0)
        PUT(c, "null");
    else
        put_number(c, (uint64_t)value);
}

/* A constant text, or null. */
static void put_constant(struct cursor *c, const char *text)
{
    if (!text) {
        PUT(c, "null");
        return;
    }
    PUT(c, "\"");
    put_text(c, text);
    PUT(c, "\"");
}

/* Printable ASCII without the quote and the backslash: it stands in a line as it is. */
static const uint8_t PLAIN[256] = {[32 ... 33] = 1, [35 ... 91] = 1, [93 ... 126] = 1};

/* Printable ASCII as it is, everything else, and the backslash, as \xNN; the backslash of that is escaped for JSON. */
static void put_escaped(struct cursor *c, const char *bytes, size_t length)
{
    static const char hex[] = "0123456789abcdef";
    size_t begin = 0; /* of what stands as it is */

    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)bytes[i];
        if (PLAIN[byte]) continue;
        put_bytes(c, bytes + begin, i - begin);
        begin = i + 1;
        if (byte == '"')
            PUT(c, "\\\"");
        else {
            char text[5] = {'\\', '\\', 'x', hex[byte >> 4], hex[byte & 15]};
            put(c, text, sizeof text);
        }
    }
    put_bytes(c, bytes + begin, length - begin);
}

static void put_untrusted(struct cursor *c, const struct sl_log_text *text)
{
    if (!text->bytes) {
        PUT(c, "null");
        return;
    }
    PUT(c, "\"");
    put_escaped(c, text->bytes, text->length);
    PUT(c, "\"");
}

/* Valid UTF-8 of the gateway's own texts stays readable: JSON's own escapes (RFC 8259 section 7), and DEL. */
static void put_utf8(struct cursor *c, const struct sl_log_text *text)
{
    static const char hex[] = "0123456789abcdef";

    if (!text->bytes) {
        PUT(c, "null");
        return;
    }
    size_t begin = 0; /* of what stands as it is */
    PUT(c, "\"");
    for (size_t i = 0; i < text->length; i++) {
        unsigned char byte = (unsigned char)text->bytes[i];
        if (PLAIN[byte] || byte >= 128) continue;
        put_bytes(c, text->bytes + begin, i - begin);
        begin = i + 1;
        if (byte == '"' || byte == '\\') {
            char escaped[2] = {'\\', (char)byte};
            put(c, escaped, sizeof escaped);
        } else {
            char escaped[6] = {'\\', 'u', '0', '0', hex[byte >> 4], hex[byte & 15]};
            put(c, escaped, sizeof escaped);
        }
    }
    put_bytes(c, text->bytes + begin, text->length - begin);
    PUT(c, "\"");
}

/* An address as sl_addr_format() writes it; of no length: null. */
static void put_formatted(struct cursor *c, const char *text, size_t length)
{
    if (!length) {
        PUT(c, "null");
        return;
    }
    PUT(c, "\"");
    put_bytes(c, text, length);
    PUT(c, "\"");
}

static void put_address(struct cursor *c, const struct sl_addr *address)
{
    char text[SL_ADDR_TEXT];
    put_formatted(c, text, address && address->family ? sl_addr_format(address, text) : 0);
}

/* RFC 3339 in UTC with milliseconds. */
static void put_time(struct cursor *c, struct sl_log_clock *clock, uint64_t unix_ms)
{
    int64_t second = (int64_t)(unix_ms / 1000);
    unsigned rest = (unsigned)(unix_ms % 1000);
    char milliseconds[5] = {'.', (char)('0' + rest / 100), (char)('0' + rest / 10 % 10), (char)('0' + rest % 10), 'Z'};

    if (clock->second != second || !clock->text[0]) {
        time_t when = (time_t)second;
        struct tm tm;
        if (!gmtime_r(&when, &tm) || strftime(clock->text, sizeof clock->text, "%Y-%m-%dT%H:%M:%S", &tm) != 19) {
            c->full = 1;
            return;
        }
        clock->second = second;
    }
    put(c, clock->text, 19);
    put(c, milliseconds, sizeof milliseconds);
}

static void put_source(struct cursor *c, const struct sl_log_line *line)
{
    PUT(c, "\"source\":{\"ip\":");
    put_address(c, line->peer);
    PUT(c, ",\"port\":");
    put_number(c, line->peer_port);
    PUT(c, ",\"identity\":");
    if (line->namespace_) {
        PUT(c, "\"");
        put_escaped(c, line->namespace_, strlen(line->namespace_));
        PUT(c, "/");
        if (line->account) put_escaped(c, line->account, strlen(line->account));
        PUT(c, "\"");
    } else
        put_untrusted(c, &line->identity);
    PUT(c, ",\"identity_source\":");
    put_constant(c, line->identity_source);
    PUT(c, ",\"user\":");
    put_untrusted(c, &line->user);
    PUT(c, "}");
}

static void put_destination(struct cursor *c, const struct sl_log_line *line)
{
    char address[SL_ADDR_TEXT];
    size_t length = line->address && line->address->family ? sl_addr_format(line->address, address) : 0;

    PUT(c, ",\"destination\":{\"host\":");
    if (line->name.bytes)
        put_untrusted(c, &line->name);
    else
        put_formatted(c, address, length);
    PUT(c, ",\"port\":");
    put_number(c, line->port);
    PUT(c, ",\"address\":");
    put_formatted(c, address, length);
    PUT(c, "}");
}

static void put_refused_addresses(struct cursor *c, const struct sl_log_line *line)
{
    PUT(c, ",\"addresses_refused\":");
    if (line->refused_count == 0) {
        PUT(c, "null");
        return;
    }
    for (unsigned i = 0; i < line->refused_count; i++) {
        if (i == 0)
            PUT(c, "[{\"address\":");
        else
            PUT(c, ",{\"address\":");
        put_address(c, &line->refused[i].address);
        PUT(c, ",\"reason\":");
        put_constant(c, sl_reason_text(line->refused[i].reason));
        PUT(c, "}");
    }
    PUT(c, "]");
}

static void put_decision(struct cursor *c, const struct sl_log_line *line)
{
    PUT(c, ",\"verdict\":");
    put_constant(c, line->verdict);
    PUT(c, ",\"rule\":");
    put_utf8(c, &line->rule);
    PUT(c, ",\"rule_item\":");
    put_optional(c, line->rule.bytes ? (int64_t)line->rule_item : -1);
    PUT(c, ",\"list_line\":");
    put_optional(c, line->list_line ? (int64_t)line->list_line : -1);
    PUT(c, ",\"phase\":\"");
    put_text(c, line->phase);
    PUT(c, "\",\"reason\":\"");
    put_text(c, line->reason);
    PUT(c, "\",\"would_deny\":");
    put_text(c, line->would_deny ? "true" : "false");
    PUT(c, ",\"inner\":");
    put_untrusted(c, &line->inner);
    put_refused_addresses(c, line);
}

static void put_leg_tls(struct cursor *c, const struct sl_log_tls *tls)
{
    if (!tls) {
        PUT(c, "null");
        return;
    }
    PUT(c, "{\"version\":");
    put_constant(c, tls->version);
    PUT(c, ",\"cipher\":");
    put_constant(c, tls->cipher);
    PUT(c, ",\"group\":");
    put_constant(c, tls->group);
    PUT(c, ",\"alpn\":");
    put_constant(c, tls->alpn);
    PUT(c, ",\"sni\":");
    put_untrusted(c, &tls->sni);
    PUT(c, ",\"peer\":");
    put_untrusted(c, &tls->peer);
    PUT(c, ",\"failure\":");
    put_constant(c, tls->failure);
    PUT(c, "}");
}

static void put_tls(struct cursor *c, const struct sl_log_line *line)
{
    PUT(c, ",\"tls\":");
    if (!line->client_tls && !line->upstream_tls) {
        PUT(c, "null");
        return;
    }
    PUT(c, "{\"client\":");
    put_leg_tls(c, line->client_tls);
    PUT(c, ",\"upstream\":");
    put_leg_tls(c, line->upstream_tls);
    PUT(c, "}");
}

/* The last member of a request line: it is cut to what there is room for, so that a long one costs no line. */
static void put_path(struct cursor *c, const struct sl_log_request *request)
{
    enum { TAIL = 32, EXPANDED = 5 }; /* bytes behind it; of one escaped byte */
    const char *query = request->query.bytes ? request->query.bytes : "(redacted)";
    size_t room = (size_t)(c->end - c->at), most = room > TAIL ? (room - TAIL) / EXPANDED : 0;
    size_t path = request->path.length, rest = request->query.bytes ? request->query.length : strlen(query);

    PUT(c, ",\"path\":\"");
    if (most > SL_LOG_PATH_MOST) most = SL_LOG_PATH_MOST;
    if (path > most) path = most;
    put_escaped(c, request->path.bytes, path);
    if (request->has_query && path < most) {
        PUT(c, "?");
        put_escaped(c, query, rest < most - path ? rest : most - path);
    }
    PUT(c, "\"");
}

static void put_request(struct cursor *c, const struct sl_log_request *request)
{
    PUT(c, ",\"method\":");
    put_untrusted(c, &request->method);
    PUT(c, ",\"status\":");
    put_optional(c, request->status ? (int64_t)request->status : -1);
    PUT(c, ",\"route\":");
    put_utf8(c, &request->route);
    PUT(c, ",\"backend\":");
    put_utf8(c, &request->backend);
    PUT(c, ",\"tries\":");
    put_number(c, request->tries);
    PUT(c, ",\"mirrored\":");
    put_number(c, request->mirrored);
    PUT(c, ",\"first_byte_ms\":");
    put_optional(c, request->first_byte_ms);
    PUT(c, ",\"downgraded\":");
    put_text(c, request->downgraded ? "true" : "false");
    put_path(c, request);
}

static void put_id(struct cursor *c, const uint8_t *id, size_t count)
{
    char text[2 * SL_TRACE_ID];

    if (!id) {
        PUT(c, "null");
        return;
    }
    sl_trace_hex(id, count, text);
    put_formatted(c, text, 2 * count);
}

static void put_try(struct cursor *c, const struct sl_log_try *one)
{
    PUT(c, "{\"span_id\":");
    put_id(c, one->span_id, SL_SPAN_ID);
    PUT(c, ",\"start_us\":");
    put_number(c, one->start_us);
    PUT(c, ",\"end_us\":");
    put_number(c, one->end_us);
    PUT(c, ",\"address\":");
    put_address(c, &one->address);
    PUT(c, ",\"port\":");
    put_optional(c, one->port ? (int64_t)one->port : -1);
    PUT(c, ",\"reused\":");
    put_text(c, one->reused ? "true" : "false");
    PUT(c, ",\"dns_ms\":");
    put_optional(c, one->dns_ms);
    PUT(c, ",\"dial_ms\":");
    put_optional(c, one->dial_ms);
    PUT(c, ",\"tls_ms\":");
    put_optional(c, one->tls_ms);
    PUT(c, ",\"first_byte_ms\":");
    put_optional(c, one->first_byte_ms);
    PUT(c, ",\"status\":");
    put_optional(c, one->status ? (int64_t)one->status : -1);
    PUT(c, ",\"outcome\":");
    put_constant(c, one->outcome);
    PUT(c, "}");
}

static void put_span(struct cursor *c, const struct sl_log_span *span)
{
    PUT(c, ",\"span\":{\"parent\":");
    put_id(c, span->parent, SL_SPAN_ID);
    PUT(c, ",\"start_us\":");
    put_number(c, span->start_us);
    PUT(c, ",\"end_us\":");
    put_number(c, span->end_us);
    PUT(c, ",\"secure\":");
    put_text(c, span->secure ? "true" : "false");
    PUT(c, ",\"tls_ms\":");
    put_optional(c, span->tls_ms);
    PUT(c, ",\"tries\":[");
    for (unsigned i = 0; i < span->try_count; i++) {
        if (i) PUT(c, ",");
        put_try(c, &span->tries[i]);
    }
    PUT(c, "]}");
}

static void put_trace(struct cursor *c, const struct sl_log_trace *trace)
{
    PUT(c, ",\"trace_id\":");
    put_id(c, trace->trace_id, SL_TRACE_ID);
    PUT(c, ",\"span_id\":");
    put_id(c, trace->span_id, SL_SPAN_ID);
    if (trace->span) put_span(c, trace->span);
}

static void put_end(struct cursor *c, const struct sl_log_line *line)
{
    PUT(c, ",\"dns_ms\":");
    put_optional(c, line->dns_ms);
    PUT(c, ",\"dial_ms\":");
    put_optional(c, line->dial_ms);
    PUT(c, ",\"source_address\":");
    put_address(c, line->source_address);
    put_tls(c, line);
    if (line->trace) put_trace(c, line->trace);
    if (line->baggage.bytes) {
        PUT(c, ",\"baggage\":");
        put_untrusted(c, &line->baggage);
    }
    if (line->is_refused || line->detail.bytes) {
        PUT(c, ",\"detail\":");
        put_untrusted(c, &line->detail);
    }
    if (line->is_refused) {
        PUT(c, ",\"suppressed\":");
        put_number(c, line->suppressed);
    }
    if (line->outcome) {
        PUT(c, ",\"outcome\":\"");
        put_text(c, line->outcome);
        PUT(c, "\"");
    } else if (line->carried) {
        PUT(c, ",\"outcome\":null"); /* an interval: it has not ended */
    }
    if (line->carried) {
        PUT(c, ",\"bytes_up\":");
        put_number(c, line->bytes_up);
        PUT(c, ",\"bytes_down\":");
        put_number(c, line->bytes_down);
        PUT(c, ",\"duration_ms\":");
        put_number(c, line->duration_ms);
    }
    if (line->request) put_request(c, line->request);
    PUT(c, "}\n");
}

size_t sl_log_line_write(char *out, size_t room, struct sl_log_clock *clock, const struct sl_log_line *line)
{
    struct cursor cursor = {.at = out, .end = out + room}, *c = &cursor;

    PUT(c, "{\"ts\":\"");
    put_time(c, clock, line->unix_ms);
    PUT(c, "\",\"event\":\"");
    put_text(c, line->event);
    PUT(c, "\",\"id\":\"");
    put_text(c, line->id_prefix);
    put_number(c, line->sequence);
    PUT(c, "\",\"generation\":");
    put_number(c, line->generation);
    PUT(c, ",\"worker\":");
    put_number(c, line->worker);
    PUT(c, ",\"listener\":");
    put_untrusted(c, &line->listener);
    PUT(c, ",\"protocol\":\"");
    put_text(c, line->protocol);
    PUT(c, "\",");
    put_source(c, line);
    put_destination(c, line);
    put_decision(c, line);
    put_end(c, line);
    return c->full ? 0 : (size_t)(c->at - out);
}
