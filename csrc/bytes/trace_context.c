/* See trace_context.h. */
#include "bytes/trace_context.h"

#include <string.h>

enum { VERSION_AT = 0, TRACE_AT = 3, SPAN_AT = 36, FLAGS_AT = 53, KEY_MOST = 256, VALUE_MOST = 256 };

/* The number of a digit; -1 for any other byte, upper-case ones among them (section 3.2.2.1 of the recommendation). */
static int digit(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `count` bytes of two digits each. Returns 0 where one is no digit. */
static int read_hex(const char *text, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        int high = digit(text[2 * i]), low = digit(text[2 * i + 1]);
        if (high < 0 || low < 0) return 0;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 1;
}

static int is_zero(const uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i]) return 0;
    return 1;
}

static int read_parts(const char *text, size_t length, struct sl_trace_context *out)
{
    uint8_t version;

    if (length < SL_TRACEPARENT || length > SL_TRACEPARENT_MOST) return 0;
    if (!read_hex(text + VERSION_AT, 1, &version) || version == 0xff) return 0;
    if (length > SL_TRACEPARENT && (version == 0 || text[SL_TRACEPARENT] != '-')) return 0;
    if (text[TRACE_AT - 1] != '-' || text[SPAN_AT - 1] != '-' || text[FLAGS_AT - 1] != '-') return 0;
    return read_hex(text + TRACE_AT, SL_TRACE_ID, out->trace_id) &&
           read_hex(text + SPAN_AT, SL_SPAN_ID, out->span_id) && read_hex(text + FLAGS_AT, 1, &out->flags) &&
           !is_zero(out->trace_id, SL_TRACE_ID) && !is_zero(out->span_id, SL_SPAN_ID);
}

int sl_traceparent_read(const char *text, size_t length, struct sl_trace_context *out)
{
    int read;

    memset(out, 0, sizeof *out);
    read = read_parts(text, length, out);
    if (!read) memset(out, 0, sizeof *out);
    out->flags &= SL_TRACE_SAMPLED | SL_TRACE_RANDOM;
    return read;
}

void sl_trace_hex(const uint8_t *bytes, size_t count, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < count; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
}

void sl_traceparent_write(const struct sl_trace_context *context, char out[SL_TRACEPARENT])
{
    memcpy(out, "00-", 3);
    sl_trace_hex(context->trace_id, SL_TRACE_ID, out + TRACE_AT);
    out[SPAN_AT - 1] = '-';
    sl_trace_hex(context->span_id, SL_SPAN_ID, out + SPAN_AT);
    out[FLAGS_AT - 1] = '-';
    sl_trace_hex(&context->flags, 1, out + FLAGS_AT);
}

/* ---- tracestate --------------------------------------------------------------------------------------------------- */

static int is_key_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static int is_key_char(char c)
{
    return is_key_start(c) || c == '_' || c == '-' || c == '*' || c == '/' || c == '@';
}

/* Section 3.3.1.3: key "=" value, without space around them; a value may have spaces, and ends in none. */
static int is_member(const char *text, size_t length)
{
    const char *equals = memchr(text, '=', length);
    size_t key = equals ? (size_t)(equals - text) : 0, value;

    if (!equals || key == 0 || key > KEY_MOST || !is_key_start(text[0])) return 0;
    for (size_t i = 1; i < key; i++)
        if (!is_key_char(text[i])) return 0;
    value = length - key - 1;
    if (value == 0 || value > VALUE_MOST) return 0;
    for (size_t i = key + 1; i < length; i++)
        if (text[i] < ' ' || text[i] > '~' || text[i] == '=') return 0;
    return 1;
}

static int is_space(char c)
{
    return c == ' ' || c == '\t';
}

/* Counts the members of one value; 0 where one is not valid, or they become too many. */
static int count_members(struct sl_tracestate *state, const char *text, size_t length)
{
    size_t start = 0;

    while (start < length) {
        const char *comma = memchr(text + start, ',', length - start);
        size_t end = comma ? (size_t)(comma - text) : length, first = start, last = end;

        while (first < last && is_space(text[first])) first++;
        while (last > first && is_space(text[last - 1])) last--;
        if (last > first) {
            if (++state->members > SL_TRACESTATE_MEMBERS || !is_member(text + first, last - first)) return 0;
        }
        start = end + 1;
    }
    return 1;
}

int sl_tracestate_add(struct sl_tracestate *state, const char *text, size_t length)
{
    if (state->broken) return 0;
    if (length > SL_TRACESTATE_MOST)
        state->broken = 1;
    else {
        state->length += length + (state->length > 0);
        state->broken = state->length > SL_TRACESTATE_MOST || !count_members(state, text, length);
    }
    return !state->broken;
}

/* ---- ids ---------------------------------------------------------------------------------------------------------- */

static uint64_t rotated(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

uint64_t sl_trace_draw(struct sl_trace_random *random)
{
    uint64_t *word = random->word, drawn = rotated(word[1] * 5, 7) * 9, shifted = word[1] << 17;

    word[2] ^= word[0];
    word[3] ^= word[1];
    word[1] ^= word[2];
    word[0] ^= word[3];
    word[2] ^= shifted;
    word[3] = rotated(word[3], 45);
    return drawn;
}

void sl_trace_new_span(struct sl_trace_random *random, uint8_t span_id[SL_SPAN_ID])
{
    uint64_t drawn = 0;

    while (drawn == 0) drawn = sl_trace_draw(random);
    memcpy(span_id, &drawn, SL_SPAN_ID);
}

void sl_trace_begin(struct sl_trace_random *random, struct sl_trace_context *out)
{
    sl_trace_new_span(random, out->trace_id);
    sl_trace_new_span(random, out->trace_id + SL_TRACE_ID / 2);
    sl_trace_new_span(random, out->span_id);
    out->flags = SL_TRACE_RANDOM;
}

int sl_trace_is_below(const uint8_t trace_id[SL_TRACE_ID], uint64_t bound)
{
    uint64_t number = 0;

    if (bound == UINT64_MAX) return 1;
    for (int i = SL_TRACE_ID / 2; i < SL_TRACE_ID; i++) number = number << 8 | trace_id[i];
    return number < bound;
}
