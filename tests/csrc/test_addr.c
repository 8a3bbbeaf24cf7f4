/* Addresses: strict parsing, prefixes, every block of the guard and its neighbours, embedded IPv4. */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "addr.h"
#include "check.h"
#include "contract.h"

static struct sl_addr addr(const char *text)
{
    struct sl_addr out;
    CHECK_AT(sl_addr_parse(text, strlen(text), &out), text);
    return out;
}

static struct sl_prefix prefix(const char *text)
{
    struct sl_prefix out;
    CHECK_AT(sl_prefix_parse(text, strlen(text), &out) == 1, text);
    return out;
}

TEST(reads_and_writes_addresses)
{
    static const struct { const char *in, *out; } rows[] = {
        {"0.0.0.0", "0.0.0.0"}, {"255.255.255.255", "255.255.255.255"}, {"192.0.2.1", "192.0.2.1"},
        {"::", "::"}, {"::1", "::1"}, {"2001:DB8:0:0:0:0:0:1", "2001:db8::1"},
        {"2001:db8::1:0:0:1", "2001:db8::1:0:0:1"},
        {"2001:0db8:0000:0000:0001:0000:0000:0001", "2001:db8::1:0:0:1"}, {"::ffff:192.0.2.1", "::ffff:192.0.2.1"},
        {"64:ff9b::192.0.2.33", "64:ff9b::c000:221"}, {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"},
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
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.256", "01.2.3.4", "1.2.3.04", "0x1.2.3.4", "1.2.3.4 ", " 1.2.3.4",
        "1.2.3.4.",
        "1..3.4", "-1.2.3.4", "1.2.3.4/32", "[::1]", "::1%lo", "fe80::1%1", ":::", "1::2::3", "1:2:3:4:5:6:7", ":1",
        "1:2:3:4:5:6:7:8:9", "12345::", "g::", "::1.2.3", "::01.2.3.4", "1.2.3.4::", "2001:db8::1:",
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
    static const struct { const char *text; int status; } rows[] = {
        {"10.0.0.0/8", 1}, {"0.0.0.0/0", 1}, {"::/0", 1}, {"192.0.2.1/32", 1}, {"2001:db8::/32", 1},
        {"2001:db8::1/128", 1},
        {"2001:db8:8000::/33", 1}, {"2001:db8::8000:0:0:0/65", 1}, {"fe80::/64", 1}, {"10.0.0.1/8", -1},
        {"128.0.0.0/0", -1},
        {"2001:db8::1/64", -1}, {"2001:db8::1/127", -1}, {"2001:db8::4000:0:0:0/65", -1}, {"8000::/0", -1},
        {"10.0.0.0", 0}, {"10.0.0.0/", 0}, {"10.0.0.0/33", 0}, {"::/129", 0}, {"10.0.0.0/08", 0}, {"10.0.0.0/+8", 0},
        {"10.0.0.0/8 ", 0}, {"10.0.0.0/1000", 0}, {"/8", 0}, {"", 0}, {"10.0.0.0/8/8", 0}, {"10.0.0/8", 0},
        {"::/00", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_prefix out;
        CHECK_AT(sl_prefix_parse(rows[i].text, strlen(rows[i].text), &out) == rows[i].status, rows[i].text);
    }
}

TEST(prefixes_contain_their_edges_and_no_more)
{
    static const struct { const char *prefix, *first, *last, *before, *after; } rows[] = {
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
enum {
    PUBLIC = -1,
    SPECIAL = SL_REASON_SPECIAL_PURPOSE,
    EMBEDDED = SL_REASON_EMBEDDED_IPV4,
    LINK = SL_REASON_LINK_LOCAL,
    LOOP = SL_REASON_LOOPBACK,
    MULTI = SL_REASON_MULTICAST,
    META = SL_REASON_METADATA,
    NONE = SL_REASON_UNSPECIFIED
};
static const struct { const char *text; int reason; } GUARD[] = {
    {"0.0.0.0", NONE}, {"0.0.0.1", SPECIAL}, {"0.255.255.255", SPECIAL}, {"1.0.0.0", PUBLIC},
    {"9.255.255.255", PUBLIC}, {"10.0.0.0", SPECIAL}, {"10.255.255.255", SPECIAL}, {"11.0.0.0", PUBLIC},
    {"100.63.255.255", PUBLIC}, {"100.64.0.0", SPECIAL}, {"100.127.255.255", SPECIAL}, {"100.128.0.0", PUBLIC},
    {"100.100.100.199", SPECIAL}, {"100.100.100.200", META}, {"100.100.100.201", SPECIAL},
    {"126.255.255.255", PUBLIC}, {"127.0.0.0", LOOP}, {"127.0.0.1", LOOP}, {"127.255.255.255", LOOP},
    {"128.0.0.0", PUBLIC},
    {"168.63.129.15", PUBLIC}, {"168.63.129.16", META}, {"168.63.129.17", PUBLIC},
    {"169.253.255.255", PUBLIC}, {"169.254.0.0", LINK}, {"169.254.169.253", LINK}, {"169.254.169.254", META},
    {"169.254.170.2", LINK}, {"169.254.255.255", LINK}, {"169.255.0.0", PUBLIC},
    {"172.15.255.255", PUBLIC}, {"172.16.0.0", SPECIAL}, {"172.31.255.255", SPECIAL}, {"172.32.0.0", PUBLIC},
    {"191.255.255.255", PUBLIC}, {"192.0.0.0", SPECIAL}, {"192.0.0.8", SPECIAL}, {"192.0.0.9", PUBLIC},
    {"192.0.0.10", PUBLIC}, {"192.0.0.11", SPECIAL}, {"192.0.0.170", SPECIAL}, {"192.0.0.255", SPECIAL},
    {"192.0.1.0", PUBLIC}, {"192.0.1.255", PUBLIC}, {"192.0.2.0", SPECIAL}, {"192.0.2.255", SPECIAL},
    {"192.0.3.0", PUBLIC},
    {"192.31.196.1", PUBLIC}, {"192.52.193.1", PUBLIC}, {"192.175.48.1", PUBLIC},
    {"192.88.98.255", PUBLIC}, {"192.88.99.0", SPECIAL}, {"192.88.99.255", SPECIAL}, {"192.88.100.0", PUBLIC},
    {"192.167.255.255", PUBLIC}, {"192.168.0.0", SPECIAL}, {"192.168.255.255", SPECIAL}, {"192.169.0.0", PUBLIC},
    {"198.17.255.255", PUBLIC}, {"198.18.0.0", SPECIAL}, {"198.19.255.255", SPECIAL}, {"198.20.0.0", PUBLIC},
    {"198.51.99.255", PUBLIC}, {"198.51.100.0", SPECIAL}, {"198.51.100.255", SPECIAL}, {"198.51.101.0", PUBLIC},
    {"203.0.112.255", PUBLIC}, {"203.0.113.0", SPECIAL}, {"203.0.113.255", SPECIAL}, {"203.0.114.0", PUBLIC},
    {"223.255.255.255", PUBLIC}, {"224.0.0.0", MULTI}, {"239.255.255.255", MULTI},
    {"240.0.0.0", SPECIAL}, {"255.255.255.254", SPECIAL}, {"255.255.255.255", SPECIAL}, {"8.8.8.8", PUBLIC},
    {"::", NONE}, {"::1", LOOP}, {"::2", EMBEDDED}, {"::8.8.8.8", EMBEDDED}, {"::ffff:ffff", EMBEDDED},
    {"::1:0:0", SPECIAL},
    {"::fffe:ffff:ffff", SPECIAL}, {"::ffff:0:0", EMBEDDED}, {"::ffff:8.8.8.8", EMBEDDED},
    {"::ffff:ffff:ffff", EMBEDDED},
    {"::1:0:0:0", SPECIAL}, {"64:ff9a:ffff::", SPECIAL}, {"64:ff9b::", EMBEDDED}, {"64:ff9b::ffff:ffff", EMBEDDED},
    {"64:ff9b::1:0:0", SPECIAL}, {"64:ff9b:0:ffff::", SPECIAL}, {"64:ff9b:1::", EMBEDDED},
    {"64:ff9b:1:ffff:ffff:ffff:ffff:ffff", EMBEDDED}, {"64:ff9b:2::", SPECIAL},
    {"100::", SPECIAL}, {"100::ffff:ffff:ffff:ffff", SPECIAL}, {"100:0:0:1::", SPECIAL}, {"100:0:0:2::", SPECIAL},
    {"1fff:ffff::", SPECIAL}, {"2000::", PUBLIC}, {"2000:ffff::", PUBLIC}, {"2001::", EMBEDDED},
    {"2001:0:ffff:ffff:ffff:ffff:ffff:ffff", EMBEDDED}, {"2001:1::", SPECIAL}, {"2001:1::1", PUBLIC},
    {"2001:1::2", PUBLIC},
    {"2001:1::3", PUBLIC}, {"2001:1::4", SPECIAL}, {"2001:2::", SPECIAL}, {"2001:2:0:ffff::", SPECIAL},
    {"2001:3::", PUBLIC}, {"2001:3:ffff::", PUBLIC}, {"2001:4::", SPECIAL}, {"2001:4:111:ffff::", SPECIAL},
    {"2001:4:112::", PUBLIC}, {"2001:4:113::", SPECIAL}, {"2001:10::", SPECIAL}, {"2001:1f:ffff::", SPECIAL},
    {"2001:20::", PUBLIC}, {"2001:2f:ffff::", PUBLIC}, {"2001:30::", PUBLIC}, {"2001:3f:ffff::", PUBLIC},
    {"2001:40::", SPECIAL}, {"2001:1ff:ffff::", SPECIAL}, {"2001:200::", PUBLIC},
    {"2001:db7:ffff::", PUBLIC}, {"2001:db8::", SPECIAL}, {"2001:db8:ffff::", SPECIAL}, {"2001:db9::", PUBLIC},
    {"2001:ffff::", PUBLIC}, {"2002::", EMBEDDED}, {"2002:ffff::", EMBEDDED}, {"2003::", PUBLIC},
    {"2620:4f:8000::1", PUBLIC}, {"2a00:1450::1", PUBLIC}, {"3ffe:ffff::", PUBLIC}, {"3fff::", SPECIAL},
    {"3fff:fff:ffff::", SPECIAL}, {"3fff:1000::", PUBLIC}, {"3fff:ffff::", PUBLIC}, {"4000::", SPECIAL},
    {"5eff:ffff::", SPECIAL}, {"5f00::", SPECIAL}, {"5f00:ffff::", SPECIAL}, {"5f01::", SPECIAL}, {"7fff::", SPECIAL},
    {"8000::", SPECIAL}, {"fbff:ffff::", SPECIAL}, {"fc00::", SPECIAL}, {"fdff:ffff::", SPECIAL},
    {"fd00:ec2::253", SPECIAL}, {"fd00:ec2::254", META}, {"fd00:ec2::255", SPECIAL}, {"fe00::", SPECIAL},
    {"fe7f:ffff::", SPECIAL}, {"fe80::", LINK}, {"fe80::1", LINK}, {"febf:ffff::", LINK}, {"fec0::", SPECIAL},
    {"feff:ffff::", SPECIAL}, {"ff00::", MULTI}, {"ff02::1", MULTI}, {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", MULTI},
};

TEST(guard_knows_every_block_and_its_neighbours)
{
    for (size_t i = 0; i < sizeof GUARD / sizeof *GUARD; i++) {
        struct sl_addr a = addr(GUARD[i].text);
        struct sl_prefix block;
        int reason = sl_guard_reason(&a, &block);
        if (reason != GUARD[i].reason) CHECK_FAIL("%s: reason %d, want %d", GUARD[i].text, reason, GUARD[i].reason);
        CHECK_EQ(sl_guard_reason(&a, NULL), reason);
        if (reason >= 0) CHECK_AT(sl_prefix_contains(&block, &a), GUARD[i].text);
        else CHECK_AT(block.addr.family == 0, GUARD[i].text);
    }
    struct sl_addr none = {.family = 0};
    CHECK_EQ(sl_guard_reason(&none, NULL), NONE);
}

TEST(guard_lifts_only_inside_one_block)
{
    static const struct { const char *prefix; int liftable; } rows[] = {
        {"10.0.0.0/8", 1}, {"10.1.2.0/24", 1}, {"10.1.2.3/32", 1}, {"8.0.0.0/6", 0}, {"0.0.0.0/0", 0}, {"::/0", 0},
        {"172.16.0.0/12", 1}, {"172.0.0.0/11", 0}, {"192.168.0.0/16", 1}, {"192.168.0.0/15", 0}, {"100.64.0.0/10", 1},
        {"100.100.100.200/32", 0}, {"100.100.100.0/24", 1}, {"127.0.0.0/8", 0}, {"127.0.0.1/32", 0},
        {"169.254.0.0/16", 0},
        {"169.254.169.254/32", 0}, {"168.63.129.16/32", 0}, {"224.0.0.0/4", 0}, {"240.0.0.0/4", 1}, {"0.0.0.0/8", 1},
        {"0.0.0.0/32", 0}, {"8.8.8.0/24", 0}, {"192.0.0.9/32", 0}, {"192.0.0.0/24", 1}, {"192.0.0.0/23", 0},
        {"fc00::/7", 1}, {"fd00::/8", 1}, {"fd00:ec2::254/128", 0}, {"fe80::/10", 0}, {"fec0::/10", 1}, {"ff00::/8", 0},
        {"::1/128", 0}, {"::/128", 0}, {"::/96", 1}, {"64:ff9b::/96", 1}, {"64:ff9b:1::/48", 1}, {"2001:db8::/32", 1},
        {"2002::/16", 1}, {"2001::/23", 1}, {"2001::/22", 0}, {"2001:3::/32", 0}, {"2000::/3", 0}, {"4000::/3", 0},
        {"8000::/1", 0}, {"f000::/4", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_prefix p = prefix(rows[i].prefix);
        CHECK_AT(sl_guard_liftable(&p) == rows[i].liftable, rows[i].prefix);
    }
    for (int reason = -1; reason < SL_REASON_COUNT; reason++)
        CHECK_EQ(sl_guard_reason_liftable(reason), reason == SPECIAL || reason == EMBEDDED);
}

/* The examples of RFC 6052 section 2.4. */
TEST(finds_ipv4_in_nat64_addresses)
{
    static const struct { const char *text; uint8_t length; } rows[] = {
        {"2001:db8:c000:221::", 32}, {"2001:db8:1c0:2:21::", 40}, {"2001:db8:122:c000:2:2100::", 48},
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
    static const struct { const char *text, *embedded; } rows[] = {
        {"::ffff:127.0.0.1", "127.0.0.1"}, {"::10.1.2.3", "10.1.2.3"}, {"64:ff9b::169.254.169.254", "169.254.169.254"},
        {"2002:7f00:1::1", "127.0.0.1"}, {"2001:0:4136:e378:8000:63bf:3fff:fdd2", "192.0.2.45"},
        {"64:ff9b:1::7f00:1", NULL},
        {"2001:db8::1", NULL}, {"::1", NULL}, {"::", NULL}, {"127.0.0.1", NULL}, {"fc00::1", NULL},
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
    static const struct { const char *prefix; int nat64; } rows[] = {
        {"64:ff9b::/96", 1}, {"64:ff9b::10.0.0.0/104", 1}, {"64:ff9b::/95", 0}, {"64:ff9b:1::/48", 1},
        {"64:ff9b:1::/96", 1},
        {"64:ff9b::/47", 0}, {"64:ff9b:2::/48", 0}, {"2001:db8::/96", 0}, {"::/0", 0}, {"10.0.0.0/8", 0},
        {"64:ff9b:0:1::/96", 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_prefix p = prefix(rows[i].prefix);
        CHECK_AT(sl_prefix_is_nat64(&p) == rows[i].nat64, rows[i].prefix);
    }
}

int main(void)
{
    RUN(reads_and_writes_addresses);
    RUN(refuses_what_is_no_address);
    RUN(converts_sockaddrs_both_ways);
    RUN(reads_prefixes);
    RUN(prefixes_contain_their_edges_and_no_more);
    RUN(guard_knows_every_block_and_its_neighbours);
    RUN(guard_lifts_only_inside_one_block);
    RUN(finds_ipv4_in_nat64_addresses);
    RUN(finds_ipv4_in_other_addresses);
    RUN(knows_nat64_prefixes);
    return CHECK_REPORT();
}
