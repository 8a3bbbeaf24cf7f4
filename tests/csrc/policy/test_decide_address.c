/* The address phase: CIDR rules, the guard and what lifts it, own addresses, embedded IPv4, requests for a literal. */
#include "policy_fixture.h"

TEST(cidr_rules_by_longest_prefix)
{
    struct fixture f = fixture_new();
    rule_for(&f, "all", SL_TIER_ALLOW, "0.0.0.0/0", "443");
    rule_for(&f, "eight", SL_TIER_ALLOW, "8.0.0.0/8", "");
    rule_for(&f, "one", SL_TIER_ALLOW, "8.8.8.8/32", "");
    rule_for(&f, "six", SL_TIER_ALLOW, "2a00::/16", "");
    rule_for(&f, "deny", SL_TIER_DENY, "8.9.0.0/16", "");
    finish(&f);
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 443), "allow address rule_allow one");
    CHECK_STR(ASK(&f, .address = "8.8.8.9", .port = 443), "allow address rule_allow eight");
    CHECK_STR(ASK(&f, .address = "9.8.8.9", .port = 443), "allow address rule_allow all");
    CHECK_STR(ASK(&f, .address = "9.8.8.9", .port = 444), "deny address no_rule");
    CHECK_STR(ASK(&f, .address = "8.9.8.9", .port = 443), "deny address rule_deny deny");
    CHECK_STR(ASK(&f, .address = "2a00::1", .port = 443), "allow address rule_allow six");
    CHECK_STR(ASK(&f, .address = "2a01::1", .port = 443), "deny address no_rule");
    fixture_free(&f);
}

TEST(a_name_that_only_an_address_can_allow)
{
    struct fixture f = fixture_new();
    rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "443");
    rule_for(&f, "odd", SL_TIER_AUDIT, "11.0.0.0/8", "443");
    rule_for(&f, "bad", SL_TIER_DENY, "9.9.0.0/16", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443), "deny name needs_address pending");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "9.1.1.1"), "allow address rule_allow net");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "9.9.1.1"), "deny address rule_deny bad");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "11.1.1.1"), "audit address rule_audit odd would_deny");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "12.1.1.1"), "deny address no_cidr_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .address = "9.1.1.1"), "deny name no_rule");
    fixture_free(&f);
}

TEST(only_allow_and_audit_of_this_source_reach)
{
    struct fixture f = fixture_new();
    rule_for(&f, "bad", SL_TIER_DENY, "9.0.0.0/8", "");
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 0);
    rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "1-100");
    from(&f, SL_PRINCIPAL_NAMESPACE, "lab", "", NULL, 0);
    rule_for(&f, "odd", SL_TIER_AUDIT, "9.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 50), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 50, .namespace_ = "shop"), "deny name needs_address pending");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 101, .namespace_ = "shop"), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 101, .namespace_ = "lab"), "deny name needs_address pending");
    fixture_free(&f);
}

TEST(a_host_allow_still_passes_guard_and_cidr_denies)
{
    struct fixture f = fixture_new();
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "443");
    rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "");
    rule_for(&f, "bad", SL_TIER_DENY, "9.9.0.0/16", "");
    rule_for(&f, "worse", SL_TIER_HARD_DENY, "9.8.0.0/16", "");
    rule_for(&f, "odd", SL_TIER_AUDIT, "11.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "8.8.8.8"), "allow name rule_allow host");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "9.1.1.1"), "allow name rule_allow host");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "11.1.1.1"), "allow name rule_allow host");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "9.9.1.1"), "deny address rule_deny bad");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "9.8.1.1"), "deny address rule_hard_deny worse");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "127.0.0.1"), "deny address address_loopback guard");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .address = "::ffff:8.8.8.8"),
              "deny address address_embedded_ipv4 guard");
    fixture_free(&f);
}

TEST(a_cidr_allow_upgrades_a_host_audit)
{
    struct fixture f = fixture_new();
    rule_for(&f, "watch", SL_TIER_AUDIT, "a.com", "");
    rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "");
    rule_for(&f, "odd", SL_TIER_AUDIT, "11.0.0.0/8", "");
    rule_for(&f, "bad", SL_TIER_DENY, "12.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "audit name rule_audit watch would_deny");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .address = "9.1.1.1"), "allow address rule_allow net");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .address = "11.1.1.1"), "audit name rule_audit watch would_deny");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .address = "12.1.1.1"), "deny address rule_deny bad");
    fixture_free(&f);
}

TEST(excepts_of_cidrs)
{
    struct fixture f = fixture_new();
    uint32_t r = rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "");
    cidr_except(&f, r, "9.1.0.0/16");
    cidr_except(&f, r, "9.2.3.4/32");
    uint32_t deny = rule_for(&f, "deny", SL_TIER_DENY, "2a00::/16", "");
    cidr_except(&f, deny, "2a00:1::/32");
    rule_for(&f, "six", SL_TIER_ALLOW, "::/0", "");
    finish(&f);
    CHECK_STR(ASK(&f, .address = "9.0.0.1", .port = 1), "allow address rule_allow net");
    CHECK_STR(ASK(&f, .address = "9.1.0.1", .port = 1), "deny address no_rule");
    CHECK_STR(ASK(&f, .address = "9.2.3.4", .port = 1), "deny address no_rule");
    CHECK_STR(ASK(&f, .address = "9.2.3.5", .port = 1), "allow address rule_allow net");
    CHECK_STR(ASK(&f, .address = "2a00:2::1", .port = 1), "deny address rule_deny deny");
    CHECK_STR(ASK(&f, .address = "2a00:1::1", .port = 1), "allow address rule_allow six");
    fixture_free(&f);
}

TEST(a_cidr_allow_lifts_the_guard_inside_one_block)
{
    struct fixture f = fixture_new();
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "private", SL_TIER_ALLOW, "10.1.0.0/16", "5432");
    rule_for(&f, "wide", SL_TIER_ALLOW, "0.0.0.0/0", "80");
    rule_for(&f, "cgnat", SL_TIER_ALLOW, "100.64.0.0/10", "80");
    rule_for(&f, "ula", SL_TIER_ALLOW, "fd00::/8", "");
    rule_for(&f, "loop", SL_TIER_ALLOW, "127.0.0.0/8", "");
    rule_for(&f, "watch", SL_TIER_AUDIT, "192.168.0.0/16", "");
    finish(&f);
    CHECK_STR(ASK(&f, .address = "10.1.2.3", .port = 5432), "allow address rule_allow private");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "10.1.2.3", .port = 5432), "allow name rule_allow host");
    CHECK_STR(ASK(&f, .address = "10.1.2.3", .port = 80), "deny address address_special_purpose guard");
    CHECK_STR(ASK(&f, .address = "10.2.2.3", .port = 5432), "deny address address_special_purpose guard");
    CHECK_STR(ASK(&f, .address = "100.64.0.1", .port = 80), "allow address rule_allow cgnat");
    CHECK_STR(ASK(&f, .address = "100.100.100.200", .port = 80), "deny address address_metadata guard");
    CHECK_STR(ASK(&f, .address = "168.63.129.16", .port = 80), "deny address address_metadata guard");
    CHECK_STR(ASK(&f, .address = "fd12::1", .port = 80), "allow address rule_allow ula");
    CHECK_STR(ASK(&f, .address = "fd00:ec2::254", .port = 80), "deny address address_metadata guard");
    CHECK_STR(ASK(&f, .address = "127.0.0.1", .port = 80), "deny address address_loopback guard");
    CHECK_STR(ASK(&f, .address = "0.0.0.0", .port = 80), "deny address address_unspecified guard");
    CHECK_STR(ASK(&f, .address = "169.254.1.1", .port = 80), "deny address address_link_local guard");
    CHECK_STR(ASK(&f, .address = "224.0.0.1", .port = 80), "deny address address_multicast guard");
    CHECK_STR(ASK(&f, .address = "192.168.0.1", .port = 1), "deny address address_special_purpose guard");
    /* The guard is not a deny that audit mode softens. */
    CHECK_STR(ASK(&f, .address = "10.2.2.3", .port = 5432, .audit = 1), "deny address address_special_purpose guard");
    fixture_free(&f);
}

TEST(one_attachment_with_a_liftable_and_a_wide_block)
{
    struct fixture f = fixture_new();
    uint32_t r = rule_for(&f, "both", SL_TIER_ALLOW, "10.0.0.0/8", "");
    cidr(&f, r, "0.0.0.0/0");
    finish(&f);
    CHECK_STR(ASK(&f, .address = "10.0.0.1", .port = 1), "allow address rule_allow both");
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 1), "allow address rule_allow both");
    CHECK_STR(ASK(&f, .address = "192.168.0.1", .port = 1), "deny address address_special_purpose guard");
    fixture_free(&f);
}

TEST(an_excepted_allow_lifts_nothing)
{
    struct fixture f = fixture_new();
    uint32_t r = rule_for(&f, "net", SL_TIER_ALLOW, "10.0.0.0/8", "");
    cidr_except(&f, r, "10.1.0.0/16");
    finish(&f);
    CHECK_STR(ASK(&f, .address = "10.1.0.1", .port = 1), "deny address address_special_purpose guard");
    fixture_free(&f);
}

TEST(addresses_allow_lifts_but_grants_nothing)
{
    struct fixture f = fixture_new();
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "443");
    guard(&f, "127.0.0.0/8", 1);
    guard(&f, "::1/128", 1);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .address = "127.0.0.1", .port = 1), "allow name rule_allow host");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "::1", .port = 1), "allow name rule_allow host");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "10.0.0.1", .port = 1), "deny address address_special_purpose guard");
    CHECK_STR(ASK(&f, .host = "b.com", .address = "127.0.0.1", .port = 443), "deny address no_cidr_rule");
    fixture_free(&f);
}

TEST(order_own_deny_hard_guard_soft)
{
    struct fixture f = fixture_new();
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "10.0.0.0/8", "");
    rule_for(&f, "soft", SL_TIER_DENY, "172.16.0.0/12", "");
    guard(&f, "10.0.0.0/8", 1);
    guard(&f, "10.9.0.0/16", 0);
    guard(&f, "8.8.8.8/32", 0);
    own(&f, "10.9.0.1/32", 1080);
    own(&f, "192.0.2.0/24", 0);
    own(&f, "2a00::/16", 1080);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .address = "10.9.0.1", .port = 1080), "deny address own_address guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "10.9.0.1", .port = 1081), "deny address address_denied guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "10.9.0.1", .port = 1080, .audit = 1),
              "deny address own_address guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "8.8.8.8", .port = 1, .audit = 1),
              "deny address address_denied guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "10.8.0.1", .port = 1, .audit = 1),
              "deny address rule_hard_deny hard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "172.16.0.1", .port = 1),
              "deny address address_special_purpose guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "192.0.2.9", .port = 1), "deny address own_address guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "2a00::1", .port = 1080), "deny address own_address guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "2a00::1", .port = 1081), "allow name rule_allow host");
    fixture_free(&f);
}

TEST(own_ports_count_where_the_kernel_says_local)
{
    struct fixture f = fixture_new();
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "9.0.0.0/8", "");
    guard(&f, "64:ff9b::/96", 1);
    guard(&f, "64:ff9b:1::/48", 1);
    own_port(&f, 1080);
    own_port(&f, 9901);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .address = "8.8.8.8", .port = 1080, .local = 1),
              "deny address own_address guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "2a00::1", .port = 9901, .local = 1, .audit = 1),
              "deny address own_address guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "9.9.9.9", .port = 1080, .local = 1),
              "deny address own_address guard");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "8.8.8.8", .port = 1080), "allow name rule_allow host");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "8.8.8.8", .port = 1081, .local = 1), "allow name rule_allow host");
    /* Of which addresses the kernel is asked: none for other ports; also the embedded IPv4 address. */
    static const struct {
        const char *address, *inner;
        uint16_t port;
        unsigned count;
    } rows[] = {
        {"8.8.8.8", NULL, 1081, 0},
        {"8.8.8.8", NULL, 1080, 1},
        {"2a00::1", NULL, 9901, 1},
        {"::ffff:10.1.2.3", "10.1.2.3", 1080, 2},
        {"64:ff9b::10.1.2.3", "10.1.2.3", 1080, 2},
        {"64:ff9b:1:a01:2:300::", "10.1.2.3", 1080, 2},
        {"2002:a01:203::", "10.1.2.3", 1080, 2},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_addr at = fixture_addr(rows[i].address), inner = fixture_addr(rows[i].inner), asked[2];
        CHECK_EQ(sl_own_asked(&f.image, &at, rows[i].port, asked), rows[i].count);
        if (rows[i].count) CHECK(memcmp(asked[0].bytes, at.bytes, 16) == 0 && asked[0].family == at.family);
        if (rows[i].count == 2) CHECK(asked[1].family == 4 && memcmp(asked[1].bytes, inner.bytes, 4) == 0);
    }
    fixture_free(&f);
}

TEST(nat64_judges_the_embedded_address_too)
{
    struct fixture f = fixture_new();
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "deny4", SL_TIER_DENY, "9.0.0.0/8", "");
    rule_for(&f, "hard4", SL_TIER_HARD_DENY, "11.0.0.0/8", "");
    rule_for(&f, "deny6", SL_TIER_DENY, "64:ff9b::12.0.0.0/104", "");
    rule_for(&f, "net4", SL_TIER_ALLOW, "13.0.0.0/8", "443");
    guard(&f, "64:ff9b::/96", 1);
    guard(&f, "64:ff9b:1::/48", 1);
    guard(&f, "64:ff9b:1:77::/64", 1);
    guard(&f, "8.8.4.4/32", 0);
    own(&f, "8.8.8.8/32", 1080);
    finish(&f);
    static const struct {
        const char *address;
        uint16_t port;
        const char *want;
    } rows[] = {
        {"64:ff9b::8.8.8.8", 443, "allow name rule_allow host"},
        {"64:ff9b::8.8.8.8", 1080, "deny address own_address guard"},
        {"64:ff9b::8.8.4.4", 443, "deny address address_denied guard"},
        {"64:ff9b::9.0.0.1", 443, "deny address rule_deny deny4"},
        {"64:ff9b::11.0.0.1", 443, "deny address rule_hard_deny hard4"},
        {"64:ff9b::12.0.0.1", 443, "deny address rule_deny deny6"},
        {"64:ff9b::10.0.0.1", 443, "deny address address_special_purpose guard"},
        {"64:ff9b::127.0.0.1", 443, "deny address address_loopback guard"},
        {"64:ff9b::169.254.169.254", 80, "deny address address_metadata guard"},
        {"64:ff9b:1:808:8:800::", 443, "allow name rule_allow host"},                  /* /48: 8.8.8.8 */
        {"64:ff9b:1:a00:0:100::", 443, "deny address address_special_purpose guard"},  /* /48: 10.0.0.1 */
        {"64:ff9b:1:77:a:0:100::", 443, "deny address address_special_purpose guard"}, /* /64: 10.0.0.1 */
        {"64:ff9b:1:77:8:808:800::", 443, "allow name rule_allow host"},               /* /64: 8.8.8.8 */
        {"64:ff9b:1:808:100::", 443, "deny address address_embedded_ipv4 guard"},      /* bits 64..71 */
        {"64:ff9b:2::8.8.8.8", 443, "deny address address_special_purpose guard"},
        {"2002:808:808::1", 443, "deny address address_embedded_ipv4 guard"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_decision d = ask(&f, (struct ask){.host = "a.com", .address = rows[i].address, .port = rows[i].port});
        if (strcmp(said(&f, d), rows[i].want))
            CHECK_FAIL("%s: %s, want %s", rows[i].address, said(&f, d), rows[i].want);
    }
    CHECK_STR(ASK(&f, .host = "b.com", .address = "64:ff9b::13.0.0.1", .port = 443), "allow address rule_allow net4");
    CHECK_STR(ASK(&f, .host = "b.com", .address = "64:ff9b::14.0.0.1", .port = 443), "deny address no_cidr_rule");
    fixture_free(&f);
}

/* Whatever lifts the guard from an address that carries an IPv4 address, the carried one stays guarded: connect(2) to
 * ::ffff:127.0.0.1 is one to 127.0.0.1. */
static void nat64(struct fixture *f, const char *text)
{
    struct sl_prefix prefix = fixture_prefix(text);
    CHECK_EQ(sl_builder_nat64(f->b, &prefix), SL_BUILD_OK);
}

TEST(own_nat64_prefixes_are_judged_by_the_embedded_address)
{
    /* 9.8.7.6 and 10.8.7.6 at the places of RFC 6052 section 2.2, in prefixes in public and in special space. */
    static const struct {
        const char *prefix, *outside, *inside;
    } places[] = {
        {"2a0a::/32", "2a0a:0:908:706::", "2a0a:0:a08:706::"},
        {"2a0b:0:100::/40", "2a0b:0:109:807:6::", "2a0b:0:10a:807:6::"},
        {"2a0c::/48", "2a0c:0:0:908:7:600::", "2a0c:0:0:a08:7:600::"},
        {"2a0d:0:0:1100::/56", "2a0d:0:0:1109:8:706::", "2a0d:0:0:110a:8:706::"},
        {"2a0e::/64", "2a0e::9:807:600:0", "2a0e::a:807:600:0"},
        {"64:ff9b:1:7::/96", "64:ff9b:1:7::908:706", "64:ff9b:1:7::a08:706"},
        {"2001:db8:64::/96", "2001:db8:64::908:706", "2001:db8:64::a08:706"},
    };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct fixture f = fixture_new();
        nat64(&f, places[i].prefix);
        rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "443");
        rule_for(&f, "bad", SL_TIER_DENY, "9.9.0.0/16", "");
        rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "443");
        guard(&f, "9.7.0.0/16", 0);
        finish(&f);
        CHECK_STR(ASK(&f, .address = places[i].outside, .port = 443), "allow address rule_allow net");
        CHECK_STR(ASK(&f, .host = "a.com", .address = places[i].outside, .port = 443), "allow name rule_allow host");
        CHECK_STR(ASK(&f, .host = "a.com", .address = places[i].inside, .port = 443),
                  "deny address address_special_purpose guard");
        fixture_free(&f);
    }
}

TEST(own_nat64_prefixes_open_nothing_else)
{
    struct fixture f = fixture_new();
    struct sl_prefix wrong[] = {fixture_prefix("2a0a::/33"), fixture_prefix("9.0.0.0/8"), fixture_prefix("2a0a::/128"),
                                fixture_prefix("2a0a:0:0:0:100::/96")};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQ(sl_builder_nat64(f.b, &wrong[i]), SL_BUILD_BAD_ARGUMENT);
    nat64(&f, "2a0a::/96");
    nat64(&f, "2a0b::/32");
    rule_for(&f, "all", SL_TIER_ALLOW, "::/0", "");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "9.9.0.0/16", "");
    own(&f, "9.8.7.6/32", 1080);
    guard(&f, "9.7.0.0/16", 0);
    finish(&f);
    CHECK_STR(ASK(&f, .address = "2a0a::908:706", .port = 443), "allow address rule_allow all");
    CHECK_STR(ASK(&f, .address = "2a0a::908:706", .port = 1080), "deny address own_address guard");
    CHECK_STR(ASK(&f, .address = "2a0a::907:1", .port = 443), "deny address address_denied guard");
    CHECK_STR(ASK(&f, .address = "2a0a::909:1", .port = 443), "deny address rule_hard_deny hard");
    CHECK_STR(ASK(&f, .address = "2a0a::7f00:1", .port = 443), "deny address address_loopback guard");
    CHECK_STR(ASK(&f, .address = "2a0a::a9fe:a9fe", .port = 443), "deny address address_metadata guard");
    /* Bits 64 to 71 are set: no translator reads an address from that. */
    CHECK_STR(ASK(&f, .address = "2a0b:0:908:706:100::", .port = 443), "deny address address_embedded_ipv4 guard");
    fixture_free(&f);
}

TEST(lifting_never_hides_an_embedded_address)
{
    struct fixture f = fixture_new();
    rule_for(&f, "mapped", SL_TIER_ALLOW, "::ffff:0:0/96", "");
    rule_for(&f, "nat64", SL_TIER_ALLOW, "64:ff9b::/96", "");
    rule_for(&f, "local", SL_TIER_ALLOW, "64:ff9b:1::/48", "");
    rule_for(&f, "sixtofour", SL_TIER_ALLOW, "2002::/16", "");
    rule_for(&f, "deny", SL_TIER_DENY, "9.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, .address = "::ffff:8.8.8.8", .port = 1), "allow address rule_allow mapped");
    CHECK_STR(ASK(&f, .address = "::ffff:127.0.0.1", .port = 1), "deny address address_loopback guard");
    CHECK_STR(ASK(&f, .address = "::ffff:9.0.0.1", .port = 1), "deny address rule_deny deny");
    CHECK_STR(ASK(&f, .address = "64:ff9b::169.254.169.254", .port = 1), "deny address address_metadata guard");
    CHECK_STR(ASK(&f, .address = "64:ff9b::8.8.8.8", .port = 1), "allow address rule_allow nat64");
    CHECK_STR(ASK(&f, .address = "2002:7f00:1::1", .port = 1), "deny address address_loopback guard");
    CHECK_STR(ASK(&f, .address = "2002:808:808::1", .port = 1), "allow address rule_allow sixtofour");
    /* Local NAT64: only addresses.allow says where the address lies. */
    CHECK_STR(ASK(&f, .address = "64:ff9b:1::8.8.8.8", .port = 1), "deny address address_embedded_ipv4 guard");
    fixture_free(&f);
    f = fixture_new();
    rule_for(&f, "all", SL_TIER_ALLOW, "::/0", "");
    guard(&f, "::/0", 1);
    finish(&f);
    CHECK_STR(ASK(&f, .address = "64:ff9b::127.0.0.1", .port = 1), "deny address address_loopback guard");
    CHECK_STR(ASK(&f, .address = "64:ff9b:1::127.0.0.1", .port = 1), "deny address address_embedded_ipv4 guard");
    CHECK_STR(ASK(&f, .address = "fd00::1", .port = 1), "allow address rule_allow all");
    CHECK_STR(ASK(&f, .address = "::1", .port = 1), "allow address rule_allow all");
    fixture_free(&f);
}

TEST(a_literal_waits_for_the_inner_name_where_host_rules_exist)
{
    struct fixture f = fixture_new();
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 0);
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "443");
    rule_for(&f, "watch", SL_TIER_AUDIT, "b.com", "8443");
    rule_for(&f, "deny", SL_TIER_DENY, "c.com", "9443");
    rule_for(&f, "net", SL_TIER_DENY, "9.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 443, .namespace_ = "shop"),
              "deny address inner_name_missing provisional");
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 443), "deny address no_rule");
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 8443), "deny address inner_name_missing provisional");
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 9443), "deny address no_rule");
    CHECK_STR(ASK(&f, .address = "9.8.8.8", .port = 443, .namespace_ = "shop"), "deny address rule_deny net");
    CHECK_STR(ASK(&f, .address = "10.8.8.8", .port = 443, .namespace_ = "shop"),
              "deny address address_special_purpose guard");
    fixture_free(&f);
}

TEST(what_was_denied_by_name_stays_denied)
{
    struct fixture f = fixture_new();
    rule_for(&f, "host", SL_TIER_DENY, "a.com", "");
    rule_for(&f, "net", SL_TIER_ALLOW, "0.0.0.0/0", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .address = "8.8.8.8", .port = 443), "deny name rule_deny host");
    struct sl_source_key key = {.addr = {.family = 0}};
    struct sl_source source;
    struct sl_decision d;
    struct sl_addr none = {.family = 0};
    sl_source_resolve(&f.image, &key, &source);
    struct sl_asked asked = {.image = &f.image, .source = &source, .port = 443};
    sl_decide_address(&asked, NULL, NULL, 0, &none, 0, &d, NULL); /* no address at all */
    CHECK_STR(said(&f, d), "deny address address_unspecified guard");
    fixture_free(&f);
}

int main(void)
{
    RUN(cidr_rules_by_longest_prefix);
    RUN(a_name_that_only_an_address_can_allow);
    RUN(only_allow_and_audit_of_this_source_reach);
    RUN(a_host_allow_still_passes_guard_and_cidr_denies);
    RUN(a_cidr_allow_upgrades_a_host_audit);
    RUN(excepts_of_cidrs);
    RUN(a_cidr_allow_lifts_the_guard_inside_one_block);
    RUN(one_attachment_with_a_liftable_and_a_wide_block);
    RUN(an_excepted_allow_lifts_nothing);
    RUN(addresses_allow_lifts_but_grants_nothing);
    RUN(order_own_deny_hard_guard_soft);
    RUN(own_ports_count_where_the_kernel_says_local);
    RUN(nat64_judges_the_embedded_address_too);
    RUN(own_nat64_prefixes_are_judged_by_the_embedded_address);
    RUN(own_nat64_prefixes_open_nothing_else);
    RUN(lifting_never_hides_an_embedded_address);
    RUN(a_literal_waits_for_the_inner_name_where_host_rules_exist);
    RUN(what_was_denied_by_name_stays_denied);
    return CHECK_REPORT();
}
