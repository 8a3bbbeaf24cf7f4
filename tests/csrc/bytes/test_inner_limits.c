/* ClientHellos over records, and beyond the bytes that are looked at. */
#include "inner_fixture.h"

TEST(records)
{
    static const struct {
        const uint8_t *data;
        size_t length;
        enum sl_inner_status status;
        const char *what;
    } rows[] = {
        {BYTES("\x16\x03\x01\x00\x00"), SL_INNER_MALFORMED, "an empty handshake record"},
        {BYTES("\x16\x03\x01\x40\x01"), SL_INNER_MALFORMED, "a record over 16,384 bytes"},
        {BYTES("\x16\x03\x03\x00\x10\x02"), SL_INNER_MALFORMED, "a ServerHello"},
        {BYTES("\x16\x03\x01\x40\x00\x01\xff\xff\xff\x03\x03"), SL_INNER_MORE, "a hello larger than is looked at"},
        {BYTES("\x16\x00\x00\x00\x09\x01\x01\x00\x00"), SL_INNER_OTHER, "another binary message"},
        {BYTES("\x16\x03\x01\x00\x04\x01\x00\x00\x30\x17"), SL_INNER_MALFORMED, "another record inside the hello"},
        {BYTES("\x16\x03\x01\x00\x02\x01\x00\x16\x03\x01\x00\x00"), SL_INNER_MALFORMED, "an empty record inside"},
        {BYTES("\x16\x03\x01\x00\x04\x01\x00\x00\x00"), SL_INNER_MALFORMED, "a hello of nothing"},
        {BYTES("\x16\x10"), SL_INNER_OTHER, "a version no server takes"},
        {BYTES("\x16\x01\x00\x00\x2a\x00"), SL_INNER_OTHER, "a binary message that begins with 0x16"},
        {BYTES("\x16\x00\x00\x00"), SL_INNER_MORE, "as much of another"},
        {BYTES("\x15\x03\x01\x00\x02\x01"), SL_INNER_MALFORMED, "an alert ahead of the hello"},
        {BYTES("\x15\x03\x03\x00\x02\x02"), SL_INNER_MALFORMED, "a fatal alert"},
        {BYTES("\x15\x03\x03\x00\x02\x03"), SL_INNER_OTHER, "what only looks like an alert"},
        {BYTES("\x14\x03\x03\x00\x01\x01"), SL_INNER_MALFORMED, "a ChangeCipherSpec ahead of the hello"},
        {BYTES("\x14\x03\x00\x00\x2a"), SL_INNER_OTHER, "what only looks like a ChangeCipherSpec"},
        {BYTES("\x17"), SL_INNER_OTHER, "application data"},
        {BYTES("\x80\x2e\x01\x03\x01\x00\x15\x00\x00\x00\x10"), SL_INNER_MALFORMED, "an SSL 2 hello that offers TLS"},
        {BYTES("\x80\x2e\x01\x00\x02\x00\x06\x00\x0f\x00\x10"), SL_INNER_MALFORMED, "an SSL 2 hello"},
        {BYTES("\x80\x2e\x01\x00\x02\x00\x06\x00\x0f\x00\x11"), SL_INNER_OTHER, "its lengths do not add up"},
        {BYTES("\x80\x08"), SL_INNER_OTHER, "too short for an SSL 2 hello"},
        {BYTES("\x80\x2e\x02"), SL_INNER_OTHER, "an SSL 2 message of another type"},
        {BYTES("\x80\x2e\x01\x01"), SL_INNER_OTHER, "an SSL 2 hello of no known version"},
        {BYTES("\x80\x2e\x01\x00\x01"), SL_INNER_OTHER, "another"},
        {BYTES("\x80\x2e\x01\x03\x05"), SL_INNER_OTHER, "a third"},
        {BYTES("\xff\xfb"), SL_INNER_MORE, "telnet, so far"},
        {BYTES("\xff\xfb\x18"), SL_INNER_OTHER, "telnet"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct expectation want = {.status = rows[i].status};
        CHECK_AT(check_vector(rows[i].data, rows[i].length, &want, rows[i].what) == rows[i].length, rows[i].what);
    }
}

TEST(record_versions_are_not_looked_at)
{
    static const size_t versions[] = {0x0300, 0x0301, 0x0304, 0x03ff, 0x0000, 0x0200, 0x0f0f};
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        struct hello h = PLAIN_HELLO;
        struct expectation want = {.status = SL_INNER_TLS_NAME, .name = "a.example"};
        struct bytes message, out = {.length = 0};
        add_name(&h, "a.example");
        build_message(&h, &message);
        put_records(&out, &message, versions[i], 50);
        CHECK_EQ(check_vector(out.data, out.length, &want, "a strange record version"), out.length);
    }
}

/* The last byte that is looked at may still decide; without an answer there a name that was read counts. */
TEST(no_more_than_the_limit_is_looked_at)
{
    static const uint8_t filler[SL_INNER_MAX];
    struct sl_inner inner;
    struct bytes out, message;
    for (size_t room = 0; room < 3; room++) { /* the last record's header is not split by chance */
        struct hello h = PLAIN_HELLO;
        add_name(&h, "a.example");
        build(&h, &out);
        add_extension(&h, 21, filler, 65000);
        build_message(&h, &message);
        out.length = 0;
        put_records(&out, &message, 0x0301, 16384 - room);
        CHECK(out.length < SL_INNER_MAX);
        CHECK_EQ(read_copy(out.data, out.length - 1, &inner), SL_INNER_MORE);
        CHECK_EQ(inner.harmless, 0);
        CHECK_EQ(read_copy(out.data, out.length, &inner), SL_INNER_TLS_NAME);
        CHECK_STR(inner.name, "a.example");
    }
    static const struct {
        const char *head;
        enum sl_inner_status status;
        const char *name;
    } rows[] = {
        {"GET /", SL_INNER_TOO_LONG, ""},
        {"GET / HTTP/1.1\r\nCookie: ", SL_INNER_TOO_LONG, ""},
        {"GET / HTTP/1.1\r\nHost: a", SL_INNER_TOO_LONG, ""},
        {"GET / HTTP/1.1\r\nHost: a.example\r\nCookie: ", SL_INNER_HTTP_NAME, "a.example"},
        {"GET http://a.example/ HTTP/1.1\r\nCookie: ", SL_INNER_HTTP_NAME, "a.example"},
        {"GET http://a.example/ HTTP/1.1\r\nHost: b.example\r\nCookie: ", SL_INNER_MALFORMED, ""},
        {"CONNECT ", SL_INNER_TOO_LONG, ""},
        {"SAY xyz\t", SL_INNER_OTHER, ""},
        {"a-word", SL_INNER_MORE, ""},
        {"SAY ", SL_INNER_OTHER, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t length = strlen(rows[i].head);
        memcpy(out.data, rows[i].head, length);
        memset(out.data + length, 'x', sizeof out.data - length);
        if (rows[i].status != SL_INNER_OTHER) CHECK_EQ(read_copy(out.data, SL_INNER_MAX - 1, &inner), SL_INNER_MORE);
        for (size_t n = SL_INNER_MAX; n <= sizeof out.data; n += sizeof out.data - SL_INNER_MAX) {
            CHECK_EQ(read_copy(out.data, n, &inner), rows[i].status);
            CHECK_STR(inner.name, rows[i].name);
        }
    }
}

/* A hello larger than is looked at: its name counts if it is among the first extensions. */
TEST(a_hello_beyond_the_limit)
{
    static const uint8_t filler[40000];
    for (int named = 0; named < 2; named++) {
        struct hello h = PLAIN_HELLO;
        struct sl_inner inner;
        struct bytes message, out = {.length = 0};
        if (named) add_name(&h, "a.example");
        add_extension(&h, 21, filler, sizeof filler);
        add_extension(&h, 22, filler, 65000 - sizeof filler);
        build_message(&h, &message);
        put_records(&out, &message, 0x0301, 60); /* headers make it longer */
        CHECK(out.length > SL_INNER_MAX);
        CHECK_EQ(read_copy(out.data, SL_INNER_MAX - 1, &inner), SL_INNER_MORE);
        CHECK_EQ(read_copy(out.data, SL_INNER_MAX, &inner), named ? SL_INNER_TLS_NAME : SL_INNER_TOO_LONG);
        CHECK_STR(inner.name, named ? "a.example" : "");
    }
}

int main(void)
{
    RUN(records);
    RUN(record_versions_are_not_looked_at);
    RUN(no_more_than_the_limit_is_looked_at);
    RUN(a_hello_beyond_the_limit);
    return CHECK_REPORT();
}
