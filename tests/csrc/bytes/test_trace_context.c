/* traceparent and tracestate: what names a trace, what is as if it were not there, and ids of our own. */
#include <stdlib.h>
#include <string.h>

#include "bytes/trace_context.h"
#include "check.h"

#define TRACE "4bf92f3577b34da6a3ce929d0e0e4736"
#define SPAN "00f067aa0ba902b7"
#define PARENT "00-" TRACE "-" SPAN

static const struct {
    const char *value;
    int read;
    unsigned flags;
} PARENTS[] = {
    {PARENT "-01", 1, 1},
    {PARENT "-00", 1, 0},
    {PARENT "-03", 1, 3},
    {PARENT "-02", 1, 2},
    {PARENT "-ff", 1, 3}, /* flags that are not known are not kept */
    {"00-00000000000000000000000000000001-0000000000000001-01", 1, 1},
    /* Versions to come: the same parts, and maybe more behind a dash. */
    {"cc-" TRACE "-" SPAN "-01", 1, 1},
    {"cc-" TRACE "-" SPAN "-01-what-the-future-will-be-like", 1, 1},
    {"fe-" TRACE "-" SPAN "-01-", 1, 1},
    {"cc-" TRACE "-" SPAN "-01.what-the-future-will-be-like", 0, 0},
    {"cc-" TRACE "-" SPAN "-011", 0, 0},
    {"ff-" TRACE "-" SPAN "-01", 0, 0},
    {"ff-" TRACE "-" SPAN "-01-x", 0, 0},
    {"FF-" TRACE "-" SPAN "-01", 0, 0},
    {"0-" TRACE "-" SPAN "-01x", 0, 0},
    {".0-" TRACE "-" SPAN "-01", 0, 0},
    {PARENT "-01-", 0, 0},
    {PARENT "-01-x", 0, 0},
    {PARENT "-1", 0, 0},
    {PARENT "-.0", 0, 0},
    {PARENT "-0G", 0, 0},
    {PARENT, 0, 0},
    {PARENT "_01", 0, 0},
    {"00_" TRACE "-" SPAN "-01", 0, 0},
    {"00-" TRACE "_" SPAN "-01", 0, 0},
    {"00-00000000000000000000000000000000-" SPAN "-01", 0, 0},
    {"00-" TRACE "-0000000000000000-01", 0, 0},
    {"00-4BF92F3577B34DA6A3CE929D0E0E4736-" SPAN "-01", 0, 0},
    {"00-" TRACE "-00F067AA0BA902B7-01", 0, 0},
    {"00-4bf92f3577b34da6a3ce929d0e0e473-" SPAN "-001", 0, 0},
    {"00-.bf92f3577b34da6a3ce929d0e0e4736-" SPAN "-01", 0, 0},
    {" " PARENT "-01", 0, 0},
    {PARENT "-01 ", 0, 0},
    {"", 0, 0},
    {"00", 0, 0},
};

/* Memory that ends with the value: a byte read behind it is the sanitizer's to find. */
static char *copied(const char *value, size_t length)
{
    char *copy = malloc(length ? length : 1);
    memcpy(copy, value, length);
    return copy;
}

static int read_exactly(const char *value, size_t length, struct sl_trace_context *out)
{
    char *copy = copied(value, length);
    int read = sl_traceparent_read(copy, length, out);
    free(copy);
    return read;
}

TEST(every_traceparent)
{
    static const struct sl_trace_context nothing;
    for (size_t i = 0; i < sizeof PARENTS / sizeof PARENTS[0]; i++) {
        struct sl_trace_context found;
        const char *value = PARENTS[i].value;
        int read = read_exactly(value, strlen(value), &found);
        char text[SL_TRACEPARENT + 1] = {0};
        CHECK_AT(read == PARENTS[i].read, value);
        CHECK_AT(found.flags == PARENTS[i].flags, value);
        if (!read) {
            CHECK_AT(memcmp(&found, &nothing, sizeof found) == 0, value);
            continue;
        }
        sl_traceparent_write(&found, text);
        CHECK_AT(strncmp(text + 3, value + 3, 50) == 0 && strncmp(text, "00-", 3) == 0, value);
        CHECK_EQ(text[54] - '0', found.flags);
    }
}

TEST(every_beginning_of_one_is_none)
{
    const char *value = PARENT "-01";
    for (size_t length = 0; length < strlen(value); length++) {
        struct sl_trace_context found;
        CHECK(!read_exactly(value, length, &found));
    }
}

TEST(every_byte_counts)
{
    for (size_t at = 0; at < SL_TRACEPARENT; at++)
        for (unsigned byte = 0; byte < 256; byte++) {
            char value[] = PARENT "-01";
            struct sl_trace_context found;
            int digit = (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'f');
            int dash = at == 2 || at == 35 || at == 52, read;
            value[at] = (char)byte;
            read = read_exactly(value, SL_TRACEPARENT, &found);
            CHECK_EQ(read, dash ? byte == '-' : digit);
        }
}

TEST(one_that_is_too_long_is_none)
{
    char value[SL_TRACEPARENT_MOST + 2];
    struct sl_trace_context found;
    memset(value, 'x', sizeof value);
    memcpy(value, "cc-" TRACE "-" SPAN "-01-", 56);
    CHECK(read_exactly(value, SL_TRACEPARENT_MOST, &found));
    CHECK(!read_exactly(value, SL_TRACEPARENT_MOST + 1, &found));
}

static int sound(const char *value)
{
    struct sl_tracestate state = {0};
    char *copy = copied(value, strlen(value));
    int answer = sl_tracestate_add(&state, copy, strlen(value));
    free(copy);
    CHECK_EQ(answer, !state.broken);
    return answer;
}

TEST(every_tracestate)
{
    static const char *const good[] = {
        "congo=t61rcWkgMzE",
        "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
        "foo=1 \t , \t bar=2, \t baz=3",
        "foo=1,",
        ",foo=1",
        "foo=1,,bar=2",
        "",
        ",",
        " ",
        "foo@bar=1,bar=2",
        "0foo=1",
        "fw529a3039@dt=FfAAAA",
        "a-_*/@z=!\"#$%&'()*+-./0123456789:;<>?@[]^_`{|}~",
        "foo=a b",
        "foo=1,foo=1",
        "t/a=x",
        "foo= 1",
    };
    static const char *const bad[] = {
        "foo",      "foo=",         "=1",        "foo =1",     "FOO=1",      "foo.bar=1",
        "@foo=1",   "-foo=1",       "_foo=1",    "foo=1=2",    "foo@=bar=1", "foo=\x7f",
        "foo=\x01", "foo=\xc3\xa9", "foo=1,bar", "foo=1,bar=", "foo=a\tb",   "foo=1,=2",
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) CHECK_AT(sound(good[i]), good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) CHECK_AT(!sound(bad[i]), bad[i]);
}

TEST(a_tracestate_has_its_bounds)
{
    char value[700], *at = value;
    for (int i = 0; i < SL_TRACESTATE_MEMBERS; i++) at += sprintf(at, "%sbar%02d=1", i ? "," : "", i);
    CHECK(sound(value));
    strcpy(at, ",bar=2");
    CHECK(!sound(value));
    memset(value, 'a', sizeof value);
    value[256] = '=';
    value[258] = 0;
    CHECK(sound(value)); /* a key of 256 bytes */
    memset(value, 'a', 258);
    value[257] = '=';
    value[258] = 'a';
    value[259] = 0;
    CHECK(!sound(value));
    memset(value, 'a', sizeof value);
    value[1] = '=';
    value[2 + 256] = 0;
    CHECK(sound(value)); /* a value of 256 bytes */
    value[2 + 256] = 'a';
    value[2 + 257] = 0;
    CHECK(!sound(value));
}

TEST(several_values_are_one_list)
{
    struct sl_tracestate state = {0};
    char half[256], *huge = malloc(10000);
    memset(half, 'a', sizeof half);
    half[1] = '=';
    CHECK(sl_tracestate_add(&state, half, 256));
    CHECK(sl_tracestate_add(&state, half, 255)); /* 512 bytes with the comma */
    CHECK(!sl_tracestate_add(&state, half, 0));
    CHECK(!sl_tracestate_add(&state, half, 4)); /* once too long, for good */
    memset(&state, 0, sizeof state);
    memset(huge, 'a', 10000);
    huge[1] = '=';
    CHECK(!sl_tracestate_add(&state, huge, 10000));
    free(huge);
}

TEST(traces_and_spans_begin)
{
    struct sl_trace_random random = {{1, 2, 3, 4}}, other = {{5, 0, 0, 0}};
    struct sl_trace_context first, second;
    unsigned below = 0;
    sl_trace_begin(&random, &first);
    sl_trace_begin(&random, &second);
    CHECK(memcmp(first.trace_id, second.trace_id, SL_TRACE_ID) != 0);
    CHECK(memcmp(first.span_id, second.span_id, SL_SPAN_ID) != 0);
    CHECK_EQ(first.flags, SL_TRACE_RANDOM);
    for (int i = 0; i < 100000; i++) {
        sl_trace_begin(&other, &first);
        below += (unsigned)sl_trace_is_below(first.trace_id, UINT64_MAX / 10);
    }
    CHECK(below > 9500 && below < 10500);
    CHECK(!sl_trace_is_below(first.trace_id, 0));
    CHECK(sl_trace_is_below(first.trace_id, UINT64_MAX));
    memset(first.trace_id, 0xff, SL_TRACE_ID);
    CHECK(sl_trace_is_below(first.trace_id, UINT64_MAX));
    CHECK(!sl_trace_is_below(first.trace_id, UINT64_MAX - 1));
}

int main(void)
{
    RUN(every_traceparent);
    RUN(every_beginning_of_one_is_none);
    RUN(every_byte_counts);
    RUN(one_that_is_too_long_is_none);
    RUN(every_tracestate);
    RUN(a_tracestate_has_its_bounds);
    RUN(several_values_are_one_list);
    RUN(traces_and_spans_begin);
    return CHECK_REPORT();
}
