/* Addresses: strict parsing, prefixes, embedded IPv4. The guard is test_addr_guard.c. */
#include "addr_fixture.h"

#include <arpa/inet.h>
#include <netinet/in.h>

TEST(reads_and_writes_addresses)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"192.0.2.1", "192.0.2.1"},
        {"::", "::"},
        {"::1", "::1"},
        {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"2001:db8::1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"},
        {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"},
        {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_addr got = addr(rows[i].in);
        char text[SL_ADDR_TEXT];
        CHECK_EQ(sl_addr_format(&got, text), strlen(rows[i].out));
        CHECK_STR(text, rows[i].out);
        CHECK_EQ(got.family, strchr(rows[i].in, ':') ? 6 : 4);
    }
    struct sl_addr none = {.family = 0};
    char text[SL_ADDR_TEXT];
    CHECK_EQ(sl_addr_format(&none, text), 0);
    CHECK_STR(text, "");
}

TEST(refuses_what_is_no_address)
{
    static const char *const rows[] = {
        "",
        "1",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.04",
        "0x1.2.3.4",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4.",
        "1..3.4",
        "-1.2.3.4",
        "1.2.3.4/32",
        "[::1]",
        "::1%lo",
        "fe80::1%1",
        ":::",
        "1::2::3",
        "1:2:3:4:5:6:7",
        ":1",
        "1:2:3:4:5:6:7:8:9",
        "12345::",
        "g::",
        "::1.2.3",
        "::01.2.3.4",
        "1.2.3.4::",
        "2001:db8::1:",
        "0000000000000000000000000000000000000000000000000000001",
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_addr out;
        CHECK_AT(!sl_addr_parse(rows[i], strlen(rows[i]), &out), rows[i]);
    }
    struct sl_addr out;
    CHECK(!sl_addr_parse("1.2.3.4\0x", 9, &out));
}

TEST(converts_sockaddrs_both_ways)
{
    static const char *const rows[] = {"192.0.2.9", "2001:db8::9", "::ffff:192.0.2.9"};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_addr in = addr(rows[i]), back;
        struct sockaddr_storage storage;
        uint16_t port;
        socklen_t length = sl_addr_to_sockaddr(&in, 8443, &storage);
        CHECK_EQ(length, in.family == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        CHECK(sl_addr_from_sockaddr((struct sockaddr *)&storage, &back, &port));
        CHECK_EQ(memcmp(&in, &back, sizeof in), 0);
        CHECK_EQ(port, 8443);
    }
    struct sockaddr_storage storage = {.ss_family = AF_UNIX};
    struct sl_addr out, none = {.family = 0};
    uint16_t port;
    CHECK(!sl_addr_from_sockaddr((struct sockaddr *)&storage, &out, &port));
    CHECK_EQ(sl_addr_to_sockaddr(&none, 1, &storage), 0);
}

TEST(reads_prefixes)
{
    static const struct {
        const char *text;
        int status;
    } rows[] = {
        {"10.0.0.0/8", 1},
        {"0.0.0.0/0", 1},
        {"::/0", 1},
        {"192.0.2.1/32", 1},
        {"2001:db8::/32", 1},
        {"2001:db8::1/128", 1},
        {"2001:db8:8000::/33", 1},
        {"2001:db8::8000:0:0:0/65", 1},
        {"fe80::/64", 1},
        {"10.0.0.1/8", -1},
        {"128.0.0.0/0", -1},
        {"2001:db8::1/64", -1},
        {"2001:db8::1/127", -1},
        {"2001:db8::4000:0:0:0/65", -1},
        {"8000::/0", -1},
        {"10.0.0.0", 0},
        {"10.0.0.0/", 0},
        {"10.0.0.0/33", 0},
        {"::/129", 0},
        {"10.0.0.0/08", 0},
        {"10.0.0.0/+8", 0},
        {"10.0.0.0/8 ", 0},
        {"10.0.0.0/1000", 0},
        {"/8", 0},
        {"", 0},
        {"10.0.0.0/8/8", 0},
        {"10.0.0/8", 0},
        {"::/00", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_prefix out;
        CHECK_AT(sl_prefix_parse(rows[i].text, strlen(rows[i].text), &out) == rows[i].status, rows[i].text);
    }
}

TEST(prefixes_contain_their_edges_and_no_more)
{
    static const struct {
        const char *prefix, *first, *last, *before, *after;
    } rows[] = {
        {"10.0.0.0/8", "10.0.0.0", "10.255.255.255", "9.255.255.255", "11.0.0.0"},
        {"192.0.2.128/25", "192.0.2.128", "192.0.2.255", "192.0.2.127", "192.0.3.0"},
        {"192.0.2.7/32", "192.0.2.7", "192.0.2.7", "192.0.2.6", "192.0.2.8"},
        {"2001:db8::/33", "2001:db8::", "2001:db8:7fff:ffff:ffff:ffff:ffff:ffff", "2001:db7:ffff::", "2001:db8:8000::"},
        {"2001:db8::/64", "2001:db8::", "2001:db8::ffff:ffff:ffff:ffff", "2001:db7::", "2001:db8:0:1::"},
        {"2001:db8::8000:0:0:0/65", "2001:db8::8000:0:0:0", "2001:db8::ffff:ffff:ffff:ffff", "2001:db8::7fff:0:0:0",
         "2001:db8:0:1::"},
        {"2001:db8::7/128", "2001:db8::7", "2001:db8::7", "2001:db8::6", "2001:db8::8"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_prefix p = prefix(rows[i].prefix);
        struct sl_addr first = addr(rows[i].first), last = addr(rows[i].last), before = addr(rows[i].before);
        struct sl_addr after = addr(rows[i].after);
        CHECK_AT(sl_prefix_contains(&p, &first) && sl_prefix_contains(&p, &last), rows[i].prefix);
        CHECK_AT(!sl_prefix_contains(&p, &before) && !sl_prefix_contains(&p, &after), rows[i].prefix);
    }
    struct sl_prefix all = prefix("0.0.0.0/0"), all6 = prefix("::/0");
    struct sl_addr v4 = addr("1.2.3.4"), v6 = addr("ffff::");
    CHECK(sl_prefix_contains(&all, &v4) && !sl_prefix_contains(&all, &v6));
    CHECK(sl_prefix_contains(&all6, &v6) && !sl_prefix_contains(&all6, &v4));
}

/* For each block: its first and last address, and the addresses right outside, with what the guard says of each. */
TEST(finds_ipv4_in_nat64_addresses)
{
    static const struct {
        const char *text;
        uint8_t length;
    } rows[] = {
        {"2001:db8:c000:221::", 32},      {"2001:db8:1c0:2:21::", 40},          {"2001:db8:122:c000:2:2100::", 48},
        {"2001:db8:122:3c0:0:221::", 56}, {"2001:db8:122:344:c0:2:2100::", 64}, {"2001:db8:122:344::192.0.2.33", 96},
        {"64:ff9b::192.0.2.33", 96},
    };
    char text[SL_ADDR_TEXT];
    struct sl_addr out;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_addr a = addr(rows[i].text);
        CHECK_AT(sl_nat64_embedded(&a, rows[i].length, &out), rows[i].text);
        sl_addr_format(&out, text);
        CHECK_STR(text, "192.0.2.33");
    }
    static const uint8_t wrong[] = {0, 8, 24, 31, 33, 41, 72, 80, 88, 95, 97, 104, 128, 255};
    struct sl_addr a = addr("64:ff9b::192.0.2.33"), u = addr("64:ff9b:0:0:100::c000:221"), v4 = addr("192.0.2.33");
    for (size_t i = 0; i < sizeof wrong; i++) CHECK_EQ(sl_nat64_embedded(&a, wrong[i], &out), 0);
    CHECK_EQ(sl_nat64_embedded(&u, 96, &out), 0); /* bits 64..71 must be zero */
    CHECK_EQ(sl_nat64_embedded(&v4, 96, &out), 0);
}

TEST(finds_ipv4_in_other_addresses)
{
    static const struct {
        const char *text, *embedded;
    } rows[] = {
        {"::ffff:127.0.0.1", "127.0.0.1"},
        {"::10.1.2.3", "10.1.2.3"},
        {"64:ff9b::169.254.169.254", "169.254.169.254"},
        {"2002:7f00:1::1", "127.0.0.1"},
        {"2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45"},
        {"64:ff9b:1::7f00:1", NULL},
        {"2001:db8::1", NULL},
        {"::1", NULL},
        {"::", NULL},
        {"127.0.0.1", NULL},
        {"fc00::1", NULL},
        {"64:ff9b::1:0:0", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_addr a = addr(rows[i].text), out;
        char text[SL_ADDR_TEXT];
        CHECK_AT(sl_addr_embedded(&a, &out) == (rows[i].embedded != NULL), rows[i].text);
        sl_addr_format(&out, text);
        CHECK_STR(text, rows[i].embedded ? rows[i].embedded : "");
    }
}

TEST(knows_nat64_prefixes)
{
    static const struct {
        const char *prefix;
        int nat64;
    } rows[] = {
        {"64:ff9b::/96", 1},   {"64:ff9b::10.0.0.0/104", 1}, {"64:ff9b::/95", 0},
        {"64:ff9b:1::/48", 1}, {"64:ff9b:1::/96", 1},        {"64:ff9b::/47", 0},
        {"64:ff9b:2::/48", 0}, {"2001:db8::/96", 0},         {"::/0", 0},
        {"10.0.0.0/8", 0},     {"64:ff9b:0:1::/96", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_prefix p = prefix(rows[i].prefix);
        CHECK_AT(sl_prefix_is_nat64(&p) == rows[i].nat64, rows[i].prefix);
    }
}

/* Each value of a byte at each place, beside others: what inet_ntop() writes. */
TEST(writes_ipv4_as_the_library_does)
{
    static const uint8_t others[] = {0, 9, 10, 99, 100, 255};
    for (size_t other = 0; other < sizeof others; other++)
        for (int place = 0; place < 4; place++)
            for (int value = 0; value < 256; value++) {
                struct sl_addr a = {.family = 4};
                char text[SL_ADDR_TEXT], expected[INET_ADDRSTRLEN];
                memset(a.bytes, others[other], 4);
                a.bytes[place] = (uint8_t)value;
                inet_ntop(AF_INET, a.bytes, expected, sizeof expected);
                CHECK(sl_addr_format(&a, text) == strlen(expected));
                CHECK_STR(text, expected);
            }
}

int main(void)
{
    RUN(reads_and_writes_addresses);
    RUN(refuses_what_is_no_address);
    RUN(converts_sockaddrs_both_ways);
    RUN(reads_prefixes);
    RUN(prefixes_contain_their_edges_and_no_more);
    RUN(finds_ipv4_in_nat64_addresses);
    RUN(finds_ipv4_in_other_addresses);
    RUN(knows_nat64_prefixes);
    RUN(writes_ipv4_as_the_library_does);
    return CHECK_REPORT();
}
