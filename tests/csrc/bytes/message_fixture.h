/* Messages read from texts, whole, byte by byte and with bytes behind them, out of memory that ends with them. */
#ifndef SLUICE_MESSAGE_FIXTURE_H
#define SLUICE_MESSAGE_FIXTURE_H

#include <stdlib.h>
#include <string.h>

#include "bytes/message.h"
#include "check.h"

enum reader { REQUEST, RESPONSE, RESPONSE_TO_HEAD, TRAILERS };

static inline enum sl_message_status read_once(enum reader reader, struct sl_message *message, const char *text,
                                               size_t length, size_t *seen, size_t *used)
{
    uint8_t *copy = malloc(length ? length : 1);
    enum sl_message_status status;
    memcpy(copy, text, length);
    if (reader == REQUEST)
        status = sl_message_read_request(message, copy, length, seen, used);
    else if (reader == TRAILERS)
        status = sl_message_read_trailers(message, copy, length, seen, used);
    else
        status = sl_message_read_response(message, copy, length, reader == RESPONSE_TO_HEAD, seen, used);
    free(copy);
    return status;
}

/* The status that all ways agree on; the message is as it was read last. */
static inline enum sl_message_status read_sized(enum reader reader, struct sl_message *message, const char *text,
                                                size_t length)
{
    static const char BEHIND[] = "GET / HTTP/1.1\r\n\r\n\n\r x";
    size_t seen = 0, used = 0, more = length + sizeof BEHIND - 1, step = length > 4096 ? 997 : 1;
    enum sl_message_status whole = read_once(reader, message, text, length, &seen, &used), status = SL_MESSAGE_MORE;
    char fault[128] = "", *both = malloc(more);
    if (whole == SL_MESSAGE_DONE) CHECK_EQ(used, length);
    if (message->fault) strncpy(fault, message->fault, sizeof fault - 1);
    seen = 0;
    for (size_t i = 0; i <= length && status == SL_MESSAGE_MORE;
         i = i + step > length && i < length ? length : i + step)
        status = read_once(reader, message, text, i, &seen, &used);
    CHECK_EQ(status, whole);
    CHECK_STR(message->fault ? message->fault : "", fault);
    if (whole != SL_MESSAGE_DONE) CHECK_EQ(message->field_count, 0);
    if (whole != SL_MESSAGE_MORE) {
        memcpy(both, text, length);
        memcpy(both + length, BEHIND, sizeof BEHIND - 1);
        seen = 0;
        CHECK_EQ(read_once(reader, message, both, more, &seen, &used), whole);
        if (whole == SL_MESSAGE_DONE) CHECK_EQ(used, length);
    }
    free(both);
    return whole;
}

static inline enum sl_message_status read_text(enum reader reader, struct sl_message *message, const char *text)
{
    return read_sized(reader, message, text, strlen(text));
}

/* A piece of the message as a text; the buffer is one of four, in turn. */
static inline const char *text_of(const struct sl_message *message, struct sl_span span)
{
    static char texts[4][256];
    static unsigned turn;
    char *text = texts[turn++ % 4];
    size_t length = span.length < 255 ? span.length : 255;
    if (length) memcpy(text, sl_message_at(message, span), length);
    text[length] = 0;
    return text;
}

#endif
