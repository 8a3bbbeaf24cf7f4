/* Canonical names and policy patterns: every form that is one, every form that is broken. */
#include "check.h"
#include "bytes/name.h"

struct row {
    const char *in;
    enum sl_name_status status;
    const char *out;
};

static enum sl_name_status canonical(const char *in, char out[SL_NAME_BUFFER], struct sl_addr *address)
{
    size_t length;
    enum sl_name_status status = sl_name_canonical((const uint8_t *)in, strlen(in), out, &length, address);
    if (status == SL_NAME_OK) CHECK_EQ(length, strlen(out));
    return status;
}

TEST(names)
{
    static const struct row rows[] = {
        {"example.com", SL_NAME_OK, "example.com"},
        {"EXAMPLE.Com", SL_NAME_OK, "example.com"},
        {"example.com.", SL_NAME_OK, "example.com"},
        {"localhost", SL_NAME_OK, "localhost"},
        {"a", SL_NAME_OK, "a"},
        {"_dmarc.example.com", SL_NAME_OK, "_dmarc.example.com"},
        {"xn--bcher-kva.example", SL_NAME_OK, "xn--bcher-kva.example"},
        {"-a-.example.com", SL_NAME_OK, "-a-.example.com"},
        {"1.2.3.4.example", SL_NAME_OK, "1.2.3.4.example"},
        {"123.a1", SL_NAME_OK, "123.a1"},
        {"a.0xg", SL_NAME_OK, "a.0xg"},
        {"a.x0", SL_NAME_OK, "a.x0"},
        {"a.1-2", SL_NAME_OK, "a.1-2"},
        {"", SL_NAME_EMPTY, NULL},
        {".", SL_NAME_EMPTY, NULL},
        {"..", SL_NAME_EMPTY_LABEL, NULL},
        {"a..", SL_NAME_EMPTY_LABEL, NULL},
        {".a", SL_NAME_EMPTY_LABEL, NULL},
        {"a..b", SL_NAME_EMPTY_LABEL, NULL},
        {"a b", SL_NAME_BAD_BYTE, NULL},
        {"a.b ", SL_NAME_BAD_BYTE, NULL},
        {"a\tb", SL_NAME_BAD_BYTE, NULL},
        {"a\r\n", SL_NAME_BAD_BYTE, NULL},
        {"a%b", SL_NAME_BAD_BYTE, NULL},
        {"a/b", SL_NAME_BAD_BYTE, NULL},
        {"a@b", SL_NAME_BAD_BYTE, NULL},
        {"a:80", SL_NAME_BAD_BYTE, NULL},
        {"a\\b", SL_NAME_BAD_BYTE, NULL},
        {"*.a", SL_NAME_BAD_BYTE, NULL},
        {"*", SL_NAME_BAD_BYTE, NULL},
        {"[::1]", SL_NAME_BAD_BYTE, NULL},
        {"::1%lo", SL_NAME_BAD_BYTE, NULL},
        {"::1.", SL_NAME_BAD_BYTE, NULL},
        {"a\x7f", SL_NAME_BAD_BYTE, NULL},
        {"b\xc3\xbc"
         "cher.example",
         SL_NAME_NON_ASCII, NULL},
        {"a\x80", SL_NAME_NON_ASCII, NULL},
        {"a.1", SL_NAME_NUMERIC, NULL},
        {"1", SL_NAME_NUMERIC, NULL},
        {"127.1", SL_NAME_NUMERIC, NULL},
        {"2130706433", SL_NAME_NUMERIC, NULL},
        {"0x7f000001", SL_NAME_NUMERIC, NULL},
        {"0X7F.1", SL_NAME_NUMERIC, NULL},
        {"a.0x", SL_NAME_NUMERIC, NULL},
        {"a.0xAf", SL_NAME_NUMERIC, NULL},
        {"0177.0.0.1", SL_NAME_NUMERIC, NULL},
        {"1.2.3.4.5", SL_NAME_NUMERIC, NULL},
        {"1.2.3.256", SL_NAME_NUMERIC, NULL},
        {"1.2.3.4.", SL_NAME_NUMERIC, NULL},
        {"01.2.3.4", SL_NAME_NUMERIC, NULL},
        {"1.2.3.4", SL_NAME_ADDRESS, NULL},
        {"255.255.255.255", SL_NAME_ADDRESS, NULL},
        {"::1", SL_NAME_ADDRESS, NULL},
        {"2001:DB8::1", SL_NAME_ADDRESS, NULL},
        {"abcd:ef01::1", SL_NAME_ADDRESS, NULL},
        {"::ffff:1.2.3.4", SL_NAME_ADDRESS, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[SL_NAME_BUFFER];
        struct sl_addr address;
        enum sl_name_status status = canonical(rows[i].in, out, &address);
        if (status != rows[i].status)
            CHECK_FAIL("%s: %s, want %s", rows[i].in, sl_name_status_text(status), sl_name_status_text(rows[i].status));
        if (status == SL_NAME_OK) CHECK_STR(out, rows[i].out);
        CHECK_AT((address.family != 0) == (status == SL_NAME_ADDRESS), rows[i].in);
    }
}

TEST(a_nul_ends_nothing)
{
    char out[SL_NAME_BUFFER];
    size_t length;
    struct sl_addr address;
    CHECK_EQ(sl_name_canonical((const uint8_t *)"a.com\0.b", 8, out, &length, &address), SL_NAME_BAD_BYTE);
    CHECK_EQ(sl_name_canonical((const uint8_t *)"1.2.3.4\0", 8, out, &length, &address), SL_NAME_BAD_BYTE);
}

TEST(every_byte_is_decided)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t in[3] = {'a', (uint8_t)byte, 'a'};
        char out[SL_NAME_BUFFER];
        size_t length;
        struct sl_addr address;
        enum sl_name_status status = sl_name_canonical(in, 3, out, &length, &address);
        int upper = byte >= 'A' && byte <= 'Z', fine = upper || (byte >= 'a' && byte <= 'z') ||
                                                       (byte >= '0' && byte <= '9') || byte == '-' || byte == '_' ||
                                                       byte == '.';
        CHECK_EQ(status, fine ? SL_NAME_OK : byte < 0x80 ? SL_NAME_BAD_BYTE : SL_NAME_NON_ASCII);
        if (fine) CHECK_EQ((uint8_t)out[1], upper ? byte + 32 : byte);
    }
}

/* `labels` labels of `size` bytes, joined by dots. */
static void long_name(char *out, unsigned labels, unsigned size)
{
    for (unsigned i = 0; i < labels; i++) {
        if (i) *out++ = '.';
        memset(out, 'a', size);
        out += size;
    }
    *out = 0;
}

TEST(lengths)
{
    char in[2048], out[SL_NAME_BUFFER];
    struct sl_addr address;
    long_name(in, 1, 63);
    CHECK_EQ(canonical(in, out, &address), SL_NAME_OK);
    long_name(in, 1, 64);
    CHECK_EQ(canonical(in, out, &address), SL_NAME_LABEL_TOO_LONG);
    long_name(in, 2, 64);
    CHECK_EQ(canonical(in, out, &address), SL_NAME_LABEL_TOO_LONG);
    long_name(in, 127, 1); /* 253 bytes */
    CHECK_EQ(strlen(in), SL_NAME_MAX);
    CHECK_EQ(canonical(in, out, &address), SL_NAME_OK);
    strcat(in, ".");
    CHECK_EQ(canonical(in, out, &address), SL_NAME_OK);
    CHECK_EQ(strlen(out), SL_NAME_MAX);
    long_name(in, 127, 1);
    strcat(in, "a");
    CHECK_EQ(canonical(in, out, &address), SL_NAME_TOO_LONG);
    strcat(in, ".");
    CHECK_EQ(canonical(in, out, &address), SL_NAME_TOO_LONG);
    long_name(in, 500, 3);
    CHECK_EQ(canonical(in, out, &address), SL_NAME_TOO_LONG);
}

TEST(patterns)
{
    static const struct row rows[] = {
        {"example.com", SL_NAME_OK, "example.com"},
        {"*.Example.com.", SL_NAME_OK, "example.com"},
        {"*.com", SL_NAME_OK, "com"},
        {"*", SL_NAME_OK, ""},
        {"", SL_NAME_EMPTY, NULL},
        {"*.", SL_NAME_EMPTY, NULL},
        {"**", SL_NAME_BAD_WILDCARD, NULL},
        {"*a.com", SL_NAME_BAD_WILDCARD, NULL},
        {"a*.com", SL_NAME_BAD_WILDCARD, NULL},
        {"a.*.com", SL_NAME_BAD_WILDCARD, NULL},
        {"a.*", SL_NAME_BAD_WILDCARD, NULL},
        {"*.*", SL_NAME_BAD_WILDCARD, NULL},
        {"*.*.com", SL_NAME_BAD_WILDCARD, NULL},
        {"*..com", SL_NAME_EMPTY_LABEL, NULL},
        {"*.a b", SL_NAME_BAD_BYTE, NULL},
        {"*.1", SL_NAME_NUMERIC, NULL},
        {"*.1.2.3.4", SL_NAME_NUMERIC, NULL},
        {"*.\xc3\xbc", SL_NAME_NON_ASCII, NULL},
        {"1.2.3.4", SL_NAME_ADDRESS, NULL},
        {"::1", SL_NAME_ADDRESS, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char out[SL_NAME_BUFFER];
        size_t length;
        int wildcard;
        enum sl_name_status status =
            sl_name_pattern((const uint8_t *)rows[i].in, strlen(rows[i].in), out, &length, &wildcard);
        CHECK_AT(status == rows[i].status, rows[i].in);
        if (status != SL_NAME_OK) continue;
        CHECK_STR(out, rows[i].out);
        CHECK_EQ(length, strlen(rows[i].out));
        CHECK_EQ(wildcard, rows[i].in[0] == '*');
    }
}

TEST(every_status_has_a_text)
{
    for (unsigned i = 0; i < SL_NAME_STATUS_COUNT; i++) CHECK(sl_name_status_text((enum sl_name_status)i)[0] != 0);
    CHECK_STR(sl_name_status_text((enum sl_name_status)1000), sl_name_status_text(SL_NAME_INTERNAL));
}

int main(void)
{
    RUN(names);
    RUN(a_nul_ends_nothing);
    RUN(every_byte_is_decided);
    RUN(lengths);
    RUN(patterns);
    RUN(every_status_has_a_text);
    return CHECK_REPORT();
}
