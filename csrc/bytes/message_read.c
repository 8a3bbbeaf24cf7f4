/* Heads and trailers of HTTP/1 into a message: where they end, and their fields. See message.h. */
#include "bytes/message_private.h"

#include <string.h>

enum { TEXT_MORE = 192 }; /* room for what is usually added to a head */

/* The first byte in memory that is marked by its highest bit; one is. */
static size_t first_marked(uint64_t marks)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    return (size_t)__builtin_ctzll(marks) / 8;
#else
    return (size_t)__builtin_clzll(marks) / 8;
#endif
}

size_t sl_value_span(const uint8_t *text)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    size_t at = 0;
    for (;;) {
        uint64_t word, low, del;
        /* Eight bytes at once: below a space, or DEL. A borrow may mark a byte too many, never one too few: what is
         * marked is looked at. */
        for (;; at += 8) {
            memcpy(&word, text + at, 8);
            low = (word - ones * 0x20) & ~word & highs;
            del = word ^ (ones * 0x7f);
            del = (del - ones) & ~del & highs;
            if (low | del) break;
        }
        at += first_marked(low | del);
        if ((text[at] < ' ' && text[at] != '\t') || text[at] == 0x7f) return at;
        at++;
    }
}

/* The bytes up to the end of the first empty line from `start` on, or to a bare LF before that, which its reader finds.
 * 0: neither is there; *seen bytes need not be looked at again. */
static size_t find_end(const uint8_t *data, size_t length, size_t start, size_t *seen)
{
    size_t at = *seen > start ? *seen : start;
    const uint8_t *found;
    while (at < length && (found = memchr(data + at, '\n', length - at))) {
        size_t lf = (size_t)(found - data);
        if (lf == start || data[lf - 1] != '\r') return lf + 1;
        if (lf - 1 == start || data[lf - 2] == '\n') return lf + 1;
        at = lf + 1;
    }
    *seen = length;
    return 0;
}

/* One byte of a line that it cannot hold there. */
static const char *byte_fault(uint8_t byte, const char *otherwise)
{
    switch (byte) {
    case '\n': return "a line that ends without CR";
    case '\r': return "a bare CR";
    default: return otherwise;
    }
}

/* One field whose line begins at *at; *at moves behind it. */
static const char *take_field(struct sl_message *message, uint32_t *at, struct sl_message_field *field)
{
    uint8_t *text = message->text, lower;
    uint32_t i = *at, to;
    while ((lower = SL_TOKEN_BYTES[text[i]])) text[i++] = lower;
    if (text[i] != ':') {
        if (text[i] == '\r' && text[i + 1] == '\n') return "a line without a colon";
        if (text[i] != ' ' && text[i] != '\t') return byte_fault(text[i], "a field name that is not a token");
        return i == *at ? "a line that continues the one before (obs-fold)"
                        : "space in a field name, or before its colon";
    }
    if (i == *at) return "an empty field name";
    field->name = (struct sl_span){*at, i - *at};
    i++;
    while (text[i] == ' ' || text[i] == '\t') i++;
    to = i + (uint32_t)sl_value_span(text + i);
    if (text[to] != '\r' || text[to + 1] != '\n') return byte_fault(text[to], "a control byte in a field value");
    *at = to + 2;
    while (to > i && (text[to - 1] == ' ' || text[to - 1] == '\t')) to--;
    field->value = (struct sl_span){i, to - i};
    field->known = (uint8_t)sl_field_known((const char *)text + field->name.at, field->name.length);
    field->removed = 0;
    return NULL;
}

/* Fields from *at to the empty line. `noted` is NULL for trailers. */
static enum sl_message_status take_fields(struct sl_message *message, uint32_t at, struct sl_noted *noted)
{
    while (message->text[at] != '\r' || message->text[at + 1] != '\n') {
        struct sl_message_field *field;
        if (message->field_count == SL_MESSAGE_FIELDS_MOST) return SL_MESSAGE_TOO_LARGE;
        if (message->field_count == message->field_room && !sl_message_room(message, 0, 1)) return SL_MESSAGE_NO_MEMORY;
        field = &message->fields[message->field_count];
        message->fault = take_field(message, &at, field);
        if (!message->fault && noted && field->known) message->fault = sl_message_note(message, noted, field);
        if (message->fault) return SL_MESSAGE_BROKEN;
        message->field_count++;
    }
    return SL_MESSAGE_DONE;
}

/* Copies the part that begins at `start` once it is whole; *used says its end. DONE: it is in the message's text. */
static enum sl_message_status take_text(struct sl_message *message, const uint8_t *data, size_t length, size_t start,
                                        size_t *seen, size_t *used)
{
    size_t end = find_end(data, length, start, seen), size;
    sl_message_clear(message);
    *used = 0;
    if (!end) return length >= SL_MESSAGE_HEAD_MOST ? SL_MESSAGE_TOO_LARGE : SL_MESSAGE_MORE;
    if (end > SL_MESSAGE_HEAD_MOST) return SL_MESSAGE_TOO_LARGE;
    size = end - start;
    if (!sl_message_room(message, size + TEXT_MORE, 1)) return SL_MESSAGE_NO_MEMORY;
    memcpy(message->text, data + start, size);
    memset(message->text + size, 0, SL_MESSAGE_SLACK);
    message->text_length = (uint32_t)size;
    *used = end;
    return SL_MESSAGE_DONE;
}

/* Nothing of a message that is not whole is left, but why. */
static enum sl_message_status ended(struct sl_message *message, enum sl_message_status status)
{
    const char *fault = message->fault;
    if (status == SL_MESSAGE_DONE) return status;
    sl_message_clear(message);
    if (status == SL_MESSAGE_BROKEN) message->fault = fault;
    return status;
}

enum sl_message_status sl_message_read_request(struct sl_message *message, const uint8_t *data, size_t length,
                                               size_t *seen, size_t *used)
{
    size_t start = length >= 2 && data[0] == '\r' && data[1] == '\n' ? 2 : 0;
    enum sl_message_status status = take_text(message, data, length, start, seen, used);
    struct sl_noted noted = {.is_request = 1};
    uint32_t at = 0;
    if (status != SL_MESSAGE_DONE) return status;
    message->fault = sl_message_request_line(message, &at);
    status = message->fault ? SL_MESSAGE_BROKEN : take_fields(message, at, &noted);
    if (status == SL_MESSAGE_DONE && (message->fault = sl_message_end_request(message, &noted)))
        status = SL_MESSAGE_BROKEN;
    return ended(message, status);
}

enum sl_message_status sl_message_read_response(struct sl_message *message, const uint8_t *data, size_t length,
                                                int to_head, size_t *seen, size_t *used)
{
    enum sl_message_status status = take_text(message, data, length, 0, seen, used);
    struct sl_noted noted = {0};
    uint32_t at = 0;
    if (status != SL_MESSAGE_DONE) return status;
    message->fault = sl_message_status_line(message, &at);
    status = message->fault ? SL_MESSAGE_BROKEN : take_fields(message, at, &noted);
    if (status == SL_MESSAGE_DONE && (message->fault = sl_message_end_response(message, &noted, to_head)))
        status = SL_MESSAGE_BROKEN;
    return ended(message, status);
}

/* ---- trailers ---------------------------------------------------------------------------------------------------- */

/* RFC 9110 section 6.5.1: what frames, routes, authenticates, or says how content is read. */
static int is_of_heads(const struct sl_message *message, const struct sl_message_field *field)
{
    static const char *const names[] = {
        "authentication-info", "authorization", "cache-control", "content-encoding",
        "content-range",       "date",          "location",      "range",
        "set-cookie",
    };
    const char *name = sl_message_at(message, field->name);
    if (field->known != SL_FIELD_OTHER) return 1;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (sl_text_is(name, field->name.length, names[i])) return 1;
    }
    return field->name.length > 6 && memcmp(name, "proxy-", 6) == 0;
}

const char *sl_message_trailer_fault(const struct sl_message *message)
{
    for (uint32_t i = 0; i < message->field_count; i++) {
        if (is_of_heads(message, &message->fields[i])) return "a trailer that only a head may have";
    }
    return NULL;
}

enum sl_message_status sl_message_read_trailers(struct sl_message *message, const uint8_t *data, size_t length,
                                                size_t *seen, size_t *used)
{
    enum sl_message_status status = take_text(message, data, length, 0, seen, used);
    if (status != SL_MESSAGE_DONE) return status;
    status = take_fields(message, 0, NULL);
    if (status == SL_MESSAGE_DONE && (message->fault = sl_message_trailer_fault(message))) status = SL_MESSAGE_BROKEN;
    return ended(message, status);
}
