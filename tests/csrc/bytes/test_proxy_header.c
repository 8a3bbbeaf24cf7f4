/* PROXY headers: both versions whole, byte by byte and with bytes behind them, and what is none. */
#include "check.h"

#include "bytes/proxy_header.h"

#include <stdlib.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define TEXT(literal) literal, sizeof(literal) - 1

struct row {
    const char *bytes;
    size_t length;
    const char *source; /* NULL: the connection's own */
    unsigned port;
};

static const struct row GOOD[] = {
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), "192.0.2.1", 56324},
    {TEXT("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "2001:db8::1", 1},
    {TEXT("PROXY TCP4 0.0.0.0 0.0.0.0 0 0\r\n"), "0.0.0.0", 0},
    {TEXT("PROXY UNKNOWN\r\n"), NULL, 0},
    {TEXT("PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n"), NULL, 0},
    {TEXT(SIGNATURE "\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"), "192.0.2.1", 56324},
    {TEXT(SIGNATURE "\x21\x21\0\x24"
                    "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02"
                    "\x00\x07\x01\xbb"),
     "2001:db8::1", 7},
    /* a TLV behind the addresses, LOCAL with and without any, families that are not IP */
    {TEXT(SIGNATURE "\x21\x11\0\x10\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb\x04\0\x01x"), "192.0.2.1", 56324},
    {TEXT(SIGNATURE "\x20\0\0\0"), NULL, 0},
    {TEXT(SIGNATURE "\x20\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"), NULL, 0},
    {TEXT(SIGNATURE "\x21\0\0\0"), NULL, 0},
    {TEXT(SIGNATURE "\x21\x12\0\x01x"), NULL, 0},
};

static const struct row BAD[] = {
    {TEXT("GET / HTTP/1.1\r\n"), NULL, 0},
    {TEXT("\x05\x01\0"), NULL, 0},
    {TEXT("\x16\x03\x01"), NULL, 0},
    {TEXT("proxy TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), NULL, 0},
    {TEXT("PROXY  TCP4 192.0.2.1 198.51.100.1 56324 443\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 \r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 56324 443 1\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 56324\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 056324 443\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 198.51.100.1 -1 443\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), NULL, 0},
    {TEXT("PROXY TCP6 192.0.2.1 198.51.100.1 1 2\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.1 2001:db8::2 1 2\r\n"), NULL, 0},
    {TEXT("PROXY TCP4 192.0.2.01 198.51.100.1 1 2\r\n"), NULL, 0},
    {TEXT("PROXY UDP4 192.0.2.1 198.51.100.1 1 2\r\n"), NULL, 0},
    {TEXT("PROXY \r\n"), NULL, 0},
    {TEXT(SIGNATURE "\x11\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"), NULL, 0},
    {TEXT(SIGNATURE "\x22\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"), NULL, 0},
    {TEXT(SIGNATURE "\x21\x11\0\x0b\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01"), NULL, 0},
    {TEXT(SIGNATURE "\x21\x21\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x01\xdc\x04\x01\xbb"), NULL, 0},
    {TEXT(SIGNATURE "\x21\x11\xff\xff"), NULL, 0},
    {TEXT("\r\n\r\n\0\r\nQUIX\n"), NULL, 0},
};

/* At the end of memory of its own: a read beyond it is found. */
static enum sl_proxy_status read_exactly(const char *bytes, size_t length, struct sl_proxy_header *out)
{
    uint8_t *copy = malloc(length ? length : 1);
    enum sl_proxy_status status;
    memcpy(copy, bytes, length);
    status = sl_proxy_header_read(copy, length, out);
    free(copy);
    return status;
}

TEST(headers_are_read_whole_and_byte_by_byte)
{
    struct sl_proxy_header found;
    char text[SL_ADDR_TEXT];
    for (size_t i = 0; i < sizeof GOOD / sizeof *GOOD; i++) {
        const struct row *row = &GOOD[i];
        char more[256];
        for (size_t length = 0; length < row->length; length++)
            CHECK_AT(read_exactly(row->bytes, length, &found) == SL_PROXY_MORE, row->bytes);
        memcpy(more, row->bytes, row->length);
        memset(more + row->length, 'P', 16);
        for (size_t behind = 0; behind <= 16; behind += 8) {
            CHECK_AT(read_exactly(more, row->length + behind, &found) == SL_PROXY_DONE, row->bytes);
            CHECK_EQ(found.length, row->length);
            CHECK_EQ(found.port, row->port);
            CHECK_EQ(found.source.family != 0, row->source != NULL);
            if (!row->source) continue;
            text[sl_addr_format(&found.source, text)] = 0;
            CHECK_STR(text, row->source);
        }
    }
}

TEST(what_is_no_header_is_broken_once_that_is_known)
{
    struct sl_proxy_header found;
    for (size_t i = 0; i < sizeof BAD / sizeof *BAD; i++) {
        int broken = 0;
        for (size_t length = 0; length <= BAD[i].length; length++) {
            enum sl_proxy_status status = read_exactly(BAD[i].bytes, length, &found);
            CHECK_AT(status != SL_PROXY_DONE, BAD[i].bytes);
            CHECK_AT(!broken || status == SL_PROXY_BROKEN, BAD[i].bytes);
            broken = status == SL_PROXY_BROKEN;
        }
        CHECK_AT(broken, BAD[i].bytes);
    }
}

TEST(a_header_that_does_not_end_is_broken)
{
    struct sl_proxy_header found;
    char line[200], second[SL_PROXY_HEADER_MOST + 1];
    memset(line, 'x', sizeof line);
    memcpy(line, "PROXY UNKNOWN ", 14);
    CHECK_EQ(read_exactly(line, 106, &found), SL_PROXY_MORE);
    CHECK_EQ(read_exactly(line, 107, &found), SL_PROXY_BROKEN);
    memcpy(line + 105, "\r\n", 2);
    CHECK_EQ(read_exactly(line, 107, &found), SL_PROXY_DONE);
    memset(second, 0, sizeof second);
    memcpy(second, SIGNATURE "\x20\0", 14);
    second[14] = (SL_PROXY_HEADER_MOST - 16) >> 8;
    second[15] = (char)((SL_PROXY_HEADER_MOST - 16) & 0xff);
    CHECK_EQ(read_exactly(second, SL_PROXY_HEADER_MOST, &found), SL_PROXY_DONE);
    second[15]++;
    CHECK_EQ(read_exactly(second, SL_PROXY_HEADER_MOST, &found), SL_PROXY_BROKEN);
}

/* A header of version 2 for an IPv4 client, with these TLVs; its length. */
static size_t with_tlvs(const char *tlvs, size_t length, uint8_t out[256])
{
    struct sl_addr client = {.family = 4, .bytes = {10, 9, 0, 7}}, target = {0};
    size_t at = sl_proxy_header_write(&client, 4711, &target, 443, out);
    memcpy(out + at, tlvs, length);
    out[15] = (uint8_t)(out[15] + length);
    return at + length;
}

TEST(an_identity_is_found_among_tlvs)
{
    static const struct {
        const char *tlvs;
        size_t length;
        int read;
        const char *identity; /* NULL: none */
    } rows[] = {
        {"", 0, 1, NULL},
        {"\x04\0\2ab", 5, 1, NULL},
        {"\xd0\0\2id", 5, 1, "id"},
        {"\x04\0\2ab\xd0\0\2id", 10, 1, "id"},
        {"\xd0\0\0", 3, 1, ""},
        {"\xd0\0\2id\xd0\0\2id", 10, 0, NULL},
        {"\xd0", 1, 0, NULL},
        {"\xd0\0\3id", 5, 0, NULL},
        {"\x04\xff\xffxy", 5, 0, NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        uint8_t header[256], *copy;
        size_t length = with_tlvs(rows[i].tlvs, rows[i].length, header), size = 0;
        const char *identity = NULL, *told = rows[i].identity;
        copy = malloc(length);
        memcpy(copy, header, length);
        CHECK_EQ(sl_proxy_header_identity(copy, length, &identity, &size), rows[i].read);
        if (rows[i].read) CHECK_EQ(identity != NULL, told != NULL);
        if (told && identity) CHECK(size == strlen(told) && memcmp(identity, told, size) == 0);
        free(copy);
    }
}

TEST(what_is_written_is_read)
{
    static const struct sl_addr four = {.family = 4, .bytes = {10, 9, 0, 7}}, six = {.family = 6, .bytes = {32, 1, 13}};
    const struct sl_addr *addresses[] = {&four, &six};
    for (int i = 0; i < 4; i++) {
        uint8_t out[SL_PROXY_OUT_MOST];
        struct sl_proxy_header found;
        size_t length = sl_proxy_header_write(addresses[i & 1], 4711, addresses[i >> 1], 443, out);
        CHECK_EQ(sl_proxy_header_read(out, length, &found), SL_PROXY_DONE);
        CHECK(memcmp(&found.source, addresses[i & 1], sizeof found.source) == 0);
        CHECK_EQ(found.port, 4711);
        CHECK_EQ(found.length, length);
    }
}

int main(void)
{
    RUN(headers_are_read_whole_and_byte_by_byte);
    RUN(what_is_no_header_is_broken_once_that_is_known);
    RUN(a_header_that_does_not_end_is_broken);
    RUN(an_identity_is_found_among_tlvs);
    RUN(what_is_written_is_read);
    return CHECK_REPORT();
}
