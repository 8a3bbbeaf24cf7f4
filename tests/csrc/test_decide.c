/* Decisions: how rules of one tier compete, how tiers combine, excepts, ports, sources, audit mode and passthrough.
 * The address guard and embedded addresses are test_decide_address.c. */
#include "policy_fixture.h"

#define A443 "8.8.8.8", .port = 443

TEST(no_policy_at_all_denies_even_in_audit_mode)
{
    struct fixture f = fixture_new();
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443), "deny name no_policy");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 443, .audit = 1), "deny name no_policy");
    CHECK_STR(ASK(&f, .address = A443, .audit = 1), "deny address no_policy");
    fixture_free(&f);
}

TEST(hosts_match_exactly_or_below_a_wildcard_never_its_apex)
{
    struct fixture f = fixture_new();
    rule_for(&f, "exact", SL_TIER_ALLOW, "Api.Example.com.", "");
    rule_for(&f, "below", SL_TIER_ALLOW, "*.example.org", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "api.example.com", .port = 1), "allow name rule_allow exact");
    CHECK_STR(ASK(&f, .host = "www.api.example.com", .port = 1), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "example.com", .port = 1), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "com", .port = 1), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "xapi.example.com", .port = 1), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a.example.org", .port = 1), "allow name rule_allow below");
    CHECK_STR(ASK(&f, .host = "a.b.c.example.org", .port = 1), "allow name rule_allow below");
    CHECK_STR(ASK(&f, .host = "example.org", .port = 1), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "xexample.org", .port = 1), "deny name no_rule");
    fixture_free(&f);
}

TEST(tiers_hard_deny_deny_allow_audit)
{
    struct fixture f = fixture_new();
    rule_for(&f, "audit", SL_TIER_AUDIT, "*", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.b", .port = 1), "audit name rule_audit audit would_deny");
    rule_for(&f, "allow", SL_TIER_ALLOW, "*", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.b", .port = 1), "allow name rule_allow allow");
    rule_for(&f, "deny", SL_TIER_DENY, "*", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.b", .port = 1), "deny name rule_deny deny");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "*", "");
    rule_for(&f, "exact", SL_TIER_ALLOW, "a.b", "1"); /* the more specific allow does not outrank a deny */
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.b", .port = 1), "deny name rule_hard_deny hard");
    fixture_free(&f);
}

TEST(inside_a_tier_exact_beats_longer_suffix_beats_star)
{
    struct fixture f = fixture_new();
    rule_for(&f, "star", SL_TIER_ALLOW, "*", "443");
    rule_for(&f, "short", SL_TIER_ALLOW, "*.com", "443");
    rule_for(&f, "long", SL_TIER_ALLOW, "*.example.com", "");
    rule_for(&f, "exact", SL_TIER_ALLOW, "a.example.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.example.com", .port = 443), "allow name rule_allow exact");
    CHECK_STR(ASK(&f, .host = "b.example.com", .port = 443), "allow name rule_allow long");
    CHECK_STR(ASK(&f, .host = "example.com", .port = 443), "allow name rule_allow short");
    CHECK_STR(ASK(&f, .host = "com", .port = 443), "allow name rule_allow star");
    CHECK_STR(ASK(&f, .host = "b.other", .port = 443), "allow name rule_allow star");
    fixture_free(&f);
}

TEST(then_single_port_beats_range_beats_any)
{
    struct fixture f = fixture_new();
    rule_for(&f, "any", SL_TIER_ALLOW, "*", "");
    rule_for(&f, "range", SL_TIER_ALLOW, "*", "400-500,7");
    rule_for(&f, "single", SL_TIER_ALLOW, "*", "443,8443");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a", .port = 443), "allow name rule_allow single");
    CHECK_STR(ASK(&f, .host = "a", .port = 444), "allow name rule_allow range");
    CHECK_STR(ASK(&f, .host = "a", .port = 400), "allow name rule_allow range");
    CHECK_STR(ASK(&f, .host = "a", .port = 500), "allow name rule_allow range");
    CHECK_STR(ASK(&f, .host = "a", .port = 7), "allow name rule_allow range");
    CHECK_STR(ASK(&f, .host = "a", .port = 399), "allow name rule_allow any");
    CHECK_STR(ASK(&f, .host = "a", .port = 501), "allow name rule_allow any");
    CHECK_STR(ASK(&f, .host = "a", .port = 65535), "allow name rule_allow any");
    fixture_free(&f);
}

TEST(ports_must_match)
{
    struct fixture f = fixture_new();
    rule_for(&f, "r", SL_TIER_ALLOW, "a.com", "80,443,8000-8100");
    finish(&f);
    static const struct {
        uint16_t port;
        int allowed;
    } rows[] = {{80, 1},   {79, 0},   {81, 0},   {443, 1},  {444, 0}, {7999, 0},
                {8000, 1}, {8050, 1}, {8100, 1}, {8101, 0}, {0, 0},   {65535, 0}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        CHECK_EQ(ask(&f, (struct ask){.host = "a.com", .port = rows[i].port}).verdict,
                 rows[i].allowed ? SL_ALLOW : SL_DENY);
    fixture_free(&f);
}

TEST(then_the_strongest_principal_wins)
{
    struct fixture f = fixture_new();
    static const struct { const char *name; uint8_t kind; const char *a, *b, *cidr; } rules[] = {
        {"mesh", SL_PRINCIPAL_MESH, "", "", NULL},
        {"cidr8", SL_PRINCIPAL_MESH, "", "", "10.0.0.0/8"},
        {"cidr16", SL_PRINCIPAL_MESH, "", "", "10.1.0.0/16"},
        {"ns", SL_PRINCIPAL_NAMESPACE, "shop", "", NULL},
        {"ns-cidr", SL_PRINCIPAL_NAMESPACE, "shop", "", "10.1.0.0/16"},
        {"sa", SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", "cart", NULL},
        {"id", SL_PRINCIPAL_IDENTITY, "", "spiffe://x", NULL},
        {"user", SL_PRINCIPAL_USER, "", "bot", "10.0.0.0/8"},
    };
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        from(&f, rules[i].kind, rules[i].a, rules[i].b, rules[i].cidr, 0);
        rule_for(&f, rules[i].name, SL_TIER_ALLOW, "*", "");
    }
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a", .port = 1), "allow name rule_allow mesh");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "10.2.0.1"), "allow name rule_allow cidr8");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "10.1.0.1"), "allow name rule_allow cidr16");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "::ffff:10.1.0.1"), "allow name rule_allow cidr16");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "10.2.0.1", .namespace_ = "shop"), "allow name rule_allow ns");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "10.1.0.1", .namespace_ = "shop"), "allow name rule_allow ns-cidr");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "10.1.0.1", .namespace_ = "shop", .service_account = "cart"),
              "allow name rule_allow sa");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "9.1.0.1", .namespace_ = "shop", .service_account = "cart",
                  .identity = "spiffe://x"), "allow name rule_allow id");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "10.1.0.1", .user = "bot"), "allow name rule_allow user");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "10.1.0.1", .identity = "spiffe://x", .user = "bot"),
              "allow name rule_allow id"); /* the certificate's allows alone */
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .ip = "9.1.0.1", .identity = "spiffe://x", .user = "bot"),
              "allow name rule_allow id");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .namespace_ = "other", .service_account = "cart"),
              "allow name rule_allow mesh");
    fixture_free(&f);
}

TEST(then_the_first_in_order_wins)
{
    struct fixture f = fixture_new();
    rule_for(&f, "first", SL_TIER_DENY, "*.com", "1-5");
    rule_for(&f, "second", SL_TIER_DENY, "*.com", "1-9");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 3), "deny name rule_deny first");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 7), "deny name rule_deny second");
    fixture_free(&f);
    f = fixture_new();
    f.order = 9;
    rule_for(&f, "late", SL_TIER_DENY, "*.com", "");
    f.order = 2;
    rule_for(&f, "early", SL_TIER_DENY, "*.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 3), "deny name rule_deny early");
    fixture_free(&f);
}

TEST(excepts_take_names_out)
{
    struct fixture f = fixture_new();
    uint32_t r = rule_for(&f, "aws", SL_TIER_ALLOW, "*.aws.com", "443");
    host_except(&f, r, "evil.aws.com");
    host_except(&f, r, "*.bad.aws.com");
    rule_for(&f, "other", SL_TIER_ALLOW, "evil.aws.com", "80");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "s3.aws.com", .port = 443), "allow name rule_allow aws");
    CHECK_STR(ASK(&f, .host = "evil.aws.com", .port = 443), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "evil.aws.com", .port = 80), "allow name rule_allow other");
    CHECK_STR(ASK(&f, .host = "x.evil.aws.com", .port = 443), "allow name rule_allow aws");
    CHECK_STR(ASK(&f, .host = "bad.aws.com", .port = 443), "allow name rule_allow aws");
    CHECK_STR(ASK(&f, .host = "x.bad.aws.com", .port = 443), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "x.y.bad.aws.com", .port = 443), "deny name no_rule");
    fixture_free(&f);
}

TEST(excepts_of_a_deny_let_the_next_rule_speak)
{
    struct fixture f = fixture_new();
    uint32_t r = rule_for(&f, "deny", SL_TIER_DENY, "*", "");
    host_except(&f, r, "*.example.com");
    uint32_t list = rule_for(&f, "list", SL_TIER_ALLOW, "a.example.com", "");
    host(&f, list, "b.example.com");
    host_except(&f, list, "*.example.com"); /* above what it takes out, too */
    rule_for(&f, "allow", SL_TIER_ALLOW, "b.example.com", "443");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "c.other", .port = 443), "deny name rule_deny deny");
    CHECK_STR(ASK(&f, .host = "a.example.com", .port = 443), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "b.example.com", .port = 443), "allow name rule_allow allow");
    fixture_free(&f);
}

TEST(an_except_concerns_its_own_rule_and_selector_only)
{
    struct fixture f = fixture_new();
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 0);
    from(&f, SL_PRINCIPAL_NAMESPACE, "bank", "", NULL, 0);
    uint32_t r = rule_for(&f, "r", SL_TIER_ALLOW, "*", "");
    host_except(&f, r, "x.com");
    from(&f, SL_PRINCIPAL_NAMESPACE, "bank", "", NULL, 0);
    rule_for(&f, "bank", SL_TIER_ALLOW, "*.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "x.com", .port = 1, .namespace_ = "shop"), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "x.com", .port = 1, .namespace_ = "bank"), "allow name rule_allow bank");
    CHECK_STR(ASK(&f, .host = "y.com", .port = 1, .namespace_ = "shop"), "allow name rule_allow r");
    CHECK_STR(ASK(&f, .host = "y.com", .port = 1), "deny name no_rule");
    fixture_free(&f);
}

TEST(users_and_networks_give_identities)
{
    struct fixture f = fixture_new();
    from(&f, SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", "cart", NULL, 0);
    rule_for(&f, "cart", SL_TIER_ALLOW, "*", "");
    struct sl_prefix wide = fixture_prefix("10.0.0.0/8"), narrow = fixture_prefix("10.1.0.0/16"),
                     six = fixture_prefix("fd00::/8");
    CHECK_EQ(sl_builder_network(f.b, &wide, "other", "x"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_network(f.b, &narrow, "shop", "cart"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_network(f.b, &six, "shop", "cart"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_user(f.b, "bot", "shop", "cart"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_user(f.b, "bare", "", ""), SL_BUILD_OK);
    CHECK_EQ(sl_builder_credential(f.b, "bot", 0xfedcba9876543210u), SL_BUILD_OK);
    finish(&f);
    CHECK(sl_source_credential(&f.image, "bot") == 0xfedcba9876543210u);
    CHECK(sl_source_credential(&f.image, "bare") == 0 && sl_source_credential(&f.image, "nobody") == 0);
    CHECK(sl_source_credential(&f.image, "") == 0 && sl_source_credential(&f.image, NULL) == 0);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.1.2.3"}).verdict, SL_ALLOW);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "::ffff:10.1.2.3"}).verdict, SL_ALLOW);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "fd12::1"}).verdict, SL_ALLOW);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.2.2.3"}).verdict, SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "11.1.2.3"}).verdict, SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .user = "bot"}).verdict, SL_ALLOW);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .user = "bot", .namespace_ = "other"}).verdict, SL_DENY);
    /* A lower source of identity never widens a higher one. */
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.1.2.3", .user = "bare"}).verdict, SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.1.2.3", .user = "nobody"}).verdict, SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.1.2.3", .identity = "spiffe://x"}).verdict,
             SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.1.2.3", .namespace_ = "x"}).verdict, SL_DENY);
    const char *space, *account;
    struct sl_addr at = fixture_addr("10.1.9.9");
    CHECK(sl_source_network(&f.image, &at, &space, &account));
    CHECK_STR(space, "shop");
    CHECK_STR(account, "cart");
    CHECK(!sl_source_user(&f.image, "nobody", &space, &account));
    CHECK_STR(space, "");
    fixture_free(&f);
}

TEST(every_kind_of_principal)
{
    struct fixture f = fixture_new();
    from(&f, SL_PRINCIPAL_NAMESPACE_IDENTITY, "shop", "spiffe://x", NULL, 0);
    rule_for(&f, "nsid", SL_TIER_ALLOW, "a", "");
    from(&f, SL_PRINCIPAL_NAMESPACE_USER, "shop", "bot", "2001:db8::/32", 0);
    rule_for(&f, "nsuser", SL_TIER_ALLOW, "b", "");
    finish(&f);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .namespace_ = "shop", .identity = "spiffe://x"}).verdict,
             SL_ALLOW);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .namespace_ = "bank", .identity = "spiffe://x"}).verdict,
             SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .identity = "spiffe://x"}).verdict, SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "b", .port = 1, .namespace_ = "shop", .user = "bot", .ip = "2001:db8::1"})
                 .verdict,
             SL_ALLOW);
    CHECK_EQ(ask(&f, (struct ask){.host = "b", .port = 1, .namespace_ = "shop", .user = "bot", .ip = "2001:db9::1"})
                 .verdict,
             SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "b", .port = 1, .namespace_ = "shop", .user = "bot"}).verdict, SL_DENY);
    fixture_free(&f);
}

TEST(passthrough_is_for_sources_that_no_allow_selects)
{
    struct fixture f = fixture_new();
    CHECK_EQ(sl_builder_flags(f.b, SL_IMAGE_PASSTHROUGH), SL_BUILD_OK);
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 1);
    rule_for(&f, "shop", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "deny", SL_TIER_DENY, "bad.com", "");
    rule_for(&f, "audit", SL_TIER_AUDIT, "odd.com", "");
    rule_for(&f, "net", SL_TIER_AUDIT, "9.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "b.com", .port = 1), "allow name passthrough");
    CHECK_STR(ASK(&f, .host = "b.com", .address = A443), "allow name passthrough");
    CHECK_STR(ASK(&f, .host = "b.com", .address = "9.9.9.9", .port = 1), "audit address rule_audit net would_deny");
    CHECK_STR(ASK(&f, .host = "b.com", .address = "10.0.0.1", .port = 1), "deny address address_special_purpose guard");
    CHECK_STR(ASK(&f, .host = "bad.com", .port = 1), "deny name rule_deny deny");
    CHECK_STR(ASK(&f, .host = "odd.com", .port = 1), "audit name rule_audit audit would_deny");
    CHECK_STR(ASK(&f, .address = A443), "allow address passthrough look_inside");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 1, .namespace_ = "shop"), "deny name needs_address pending");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .namespace_ = "shop"), "allow name rule_allow shop");
    fixture_free(&f);
    f = fixture_new();
    CHECK_EQ(sl_builder_flags(f.b, SL_IMAGE_PASSTHROUGH), SL_BUILD_OK);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "b.com", .port = 1), "allow name passthrough");
    fixture_free(&f);
}

TEST(a_lower_identity_denies_and_never_allows)
{
    struct fixture f = fixture_new();
    struct sl_prefix net = fixture_prefix("10.1.0.0/16");
    static const struct { const char *name, *a, *b; uint8_t kind, tier; } rules[] = {
        {"net.com", "shop", "", SL_PRINCIPAL_NAMESPACE, SL_TIER_DENY},
        {"hard.com", "shop", "cart", SL_PRINCIPAL_SERVICE_ACCOUNT, SL_TIER_HARD_DENY},
        {"work.com", "till", "", SL_PRINCIPAL_NAMESPACE, SL_TIER_DENY},
        {"user.com", "", "bot", SL_PRINCIPAL_USER, SL_TIER_DENY},
        {"own.com", "pay", "bot", SL_PRINCIPAL_NAMESPACE_USER, SL_TIER_DENY},
        {"ok.com", "shop", "", SL_PRINCIPAL_NAMESPACE, SL_TIER_ALLOW},
        {"watch.com", "shop", "", SL_PRINCIPAL_NAMESPACE, SL_TIER_AUDIT},
        {"bot.com", "", "bot", SL_PRINCIPAL_USER, SL_TIER_ALLOW},
        {"pay.com", "pay", "", SL_PRINCIPAL_NAMESPACE, SL_TIER_ALLOW},
    };
    CHECK_EQ(sl_builder_network(f.b, &net, "shop", "cart"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_user(f.b, "bot", "pay", ""), SL_BUILD_OK);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        from(&f, rules[i].kind, rules[i].a, rules[i].b, NULL, 0);
        rule_for(&f, rules[i].name, rules[i].tier, rules[i].name, "");
    }
    finish(&f);
#define BOT .port = 1, .user = "bot", .ip = "10.1.2.3"
#define CERTIFICATE .port = 1, .identity = "spiffe://x", .namespace_ = "x", .user = "bot", .ip = "10.1.2.3"
    CHECK_STR(ASK(&f, .host = "net.com", BOT), "deny name rule_deny net.com");
    CHECK_STR(ASK(&f, .host = "hard.com", BOT), "deny name rule_hard_deny hard.com");
    CHECK_STR(ASK(&f, .host = "hard.com", BOT, .audit = 1), "deny name rule_hard_deny hard.com");
    CHECK_STR(ASK(&f, .host = "work.com", BOT, .workload_namespace = "till"), "deny name rule_deny work.com");
    CHECK_STR(ASK(&f, .host = "work.com", BOT), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "ok.com", BOT), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "watch.com", BOT), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "pay.com", BOT), "allow name rule_allow pay.com");
    CHECK_STR(ASK(&f, .host = "bot.com", BOT), "allow name rule_allow bot.com");
    CHECK_STR(ASK(&f, .host = "net.com", CERTIFICATE), "deny name rule_deny net.com");
    CHECK_STR(ASK(&f, .host = "user.com", CERTIFICATE), "deny name rule_deny user.com");
    CHECK_STR(ASK(&f, .host = "own.com", CERTIFICATE), "deny name rule_deny own.com");
    CHECK_STR(ASK(&f, .host = "bot.com", CERTIFICATE), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "pay.com", CERTIFICATE), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "ok.com", .port = 1, .ip = "10.1.2.3"), "allow name rule_allow ok.com");
    fixture_free(&f);
}

/* Logging in sheds neither a closed default nor a deny through the user's audit mode. */
TEST(what_a_lower_identity_closes_stays_closed)
{
    for (int audits = 0; audits < 2; audits++) {
        struct fixture f = fixture_new();
        struct sl_prefix net = fixture_prefix("10.1.0.0/16");
        uint32_t principal;
        CHECK_EQ(sl_builder_flags(f.b, SL_IMAGE_PASSTHROUGH), SL_BUILD_OK);
        CHECK_EQ(sl_builder_network(f.b, &net, "shop", ""), SL_BUILD_OK);
        CHECK_EQ(sl_builder_user(f.b, "bot", "pay", ""), SL_BUILD_OK);
        CHECK_EQ(sl_builder_principal(f.b, SL_PRINCIPAL_NAMESPACE, "pay", "", 1, &principal), SL_BUILD_OK);
        CHECK_EQ(sl_builder_principal(f.b, SL_PRINCIPAL_NAMESPACE, "shop", "", audits, &principal), SL_BUILD_OK);
        from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 0);
        rule_for(&f, "shop", SL_TIER_DENY, "*.bad.com", "");
        from(&f, SL_PRINCIPAL_NAMESPACE, "pay", "", NULL, 0);
        rule_for(&f, "pay", SL_TIER_DENY, "a.bad.com", "");
        from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 1);
        rule_for(&f, "ok", SL_TIER_ALLOW, "ok.com", "");
        finish(&f);
        CHECK_STR(ASK(&f, .host = "a.bad.com", .port = 1, .user = "bot"), "audit name rule_deny pay would_deny");
        CHECK_STR(ASK(&f, .host = "a.bad.com", .port = 1, .user = "bot", .ip = "10.1.2.3"),
                  audits ? "audit name rule_deny pay would_deny" : "deny name rule_deny pay");
        CHECK_STR(ASK(&f, .host = "b.com", .port = 1, .user = "bot"), "allow name passthrough");
        CHECK_STR(ASK(&f, .host = "b.com", .port = 1, .user = "bot", .ip = "10.1.2.3"),
                  "audit name no_rule would_deny");
        fixture_free(&f);
    }
}

TEST(audit_mode_softens_what_it_may)
{
    struct fixture f = fixture_new();
    rule_for(&f, "deny", SL_TIER_DENY, "bad.com", "");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "worse.com", "");
    rule_for(&f, "allow", SL_TIER_ALLOW, "good.com", "");
    rule_for(&f, "net", SL_TIER_DENY, "9.0.0.0/8", "");
    rule_for(&f, "hardnet", SL_TIER_HARD_DENY, "11.0.0.0/8", "");
    rule_for(&f, "up", SL_TIER_ALLOW, "12.0.0.0/8", "443");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "bad.com", .port = 1, .audit = 1), "audit name rule_deny deny would_deny");
    CHECK_STR(ASK(&f, .host = "none.com", .port = 1, .audit = 1), "audit name no_rule would_deny");
    CHECK_STR(ASK(&f, .host = "worse.com", .port = 1, .audit = 1), "deny name rule_hard_deny hard");
    CHECK_STR(ASK(&f, .host = "good.com", .port = 1, .audit = 1), "allow name rule_allow allow");
    /* Afterwards the address is judged all the same. */
    CHECK_STR(ASK(&f, .host = "bad.com", .address = "12.0.0.1", .port = 443, .audit = 1),
              "audit name rule_deny deny would_deny");
    CHECK_STR(ASK(&f, .host = "bad.com", .address = "11.0.0.1", .port = 443, .audit = 1),
              "deny address rule_hard_deny hardnet");
    CHECK_STR(ASK(&f, .host = "bad.com", .address = "10.0.0.1", .port = 443, .audit = 1),
              "deny address address_special_purpose guard");
    CHECK_STR(ASK(&f, .host = "good.com", .address = "9.0.0.1", .port = 1, .audit = 1),
              "audit address rule_deny net would_deny");
    CHECK_STR(ASK(&f, .host = "good.com", .address = "9.0.0.1", .port = 1), "deny address rule_deny net");
    CHECK_STR(ASK(&f, .host = "none.com", .port = 443, .audit = 1), "deny name needs_address pending");
    CHECK_STR(ASK(&f, .host = "none.com", .address = "12.0.0.1", .port = 443, .audit = 1),
              "allow address rule_allow up");
    CHECK_STR(ASK(&f, .host = "none.com", .address = A443, .audit = 1), "audit address no_cidr_rule would_deny");
    CHECK_STR(ASK(&f, .host = "none.com", .address = A443), "deny address no_cidr_rule");
    CHECK_STR(ASK(&f, .address = A443, .audit = 1), "audit address inner_name_missing provisional would_deny");
    fixture_free(&f);
}

TEST(audit_mode_of_mesh_and_namespace)
{
    struct fixture f = fixture_new();
    uint32_t principal;
    rule_for(&f, "allow", SL_TIER_ALLOW, "good.com", "");
    CHECK_EQ(sl_builder_principal(f.b, SL_PRINCIPAL_NAMESPACE, "lab", "", 1, &principal), SL_BUILD_OK);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .namespace_ = "lab"), "audit name no_rule would_deny");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .namespace_ = "shop"), "deny name no_rule");
    CHECK_EQ(sl_builder_flags(f.b, SL_IMAGE_AUDIT), SL_BUILD_OK);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .namespace_ = "shop"), "audit name no_rule would_deny");
    fixture_free(&f);
}

TEST(more_selectors_than_fit_is_an_internal_deny)
{
    struct fixture f = fixture_new();
    rule_for(&f, "allow", SL_TIER_ALLOW, "*", "");
    finish(&f);
    struct sl_source source = {.count = 0, .overflow = 1};
    struct sl_decision d;
    struct sl_addr at = fixture_addr("8.8.8.8");
    sl_decide_name(&f.image, &source, "a", 1, 1, 1, &d, NULL);
    CHECK_STR(said(&f, d), "deny name internal");
    CHECK(d.flags & SL_DECISION_NO_SOFTEN);
    sl_decide_address(&f.image, &source, NULL, &at, 1, 0, 1, &d, NULL);
    CHECK_STR(said(&f, d), "deny address internal");
    fixture_free(&f);
}

/* Six principals hold, and each prefix length of the source selects each of them. */
TEST(the_largest_source_fits)
{
    struct fixture f = fixture_new();
    for (unsigned length = 0; length <= 128; length++) {
        static const struct { uint8_t kind; const char *a, *b; } kinds[] = {
            {SL_PRINCIPAL_MESH, "", ""}, {SL_PRINCIPAL_NAMESPACE, "n", ""}, {SL_PRINCIPAL_SERVICE_ACCOUNT, "n", "s"},
            {SL_PRINCIPAL_IDENTITY, "", "i"}, {SL_PRINCIPAL_USER, "", "u"}, {SL_PRINCIPAL_NAMESPACE_IDENTITY, "n", "i"},
            {SL_PRINCIPAL_NAMESPACE_USER, "n", "u"},
        };
        char text[8];
        snprintf(text, sizeof text, "::/%u", length);
        for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
            f.selector_count = 0;
            from(&f, kinds[i].kind, kinds[i].a, kinds[i].b, text, 0);
            f.selector_count = 0;
            from(&f, kinds[i].kind, kinds[i].a, kinds[i].b, NULL, 0);
        }
    }
    f.selector_count = 0;
    rule_for(&f, "allow", SL_TIER_ALLOW, "*", "");
    CHECK_EQ(sl_builder_user(f.b, "u", "n", ""), SL_BUILD_OK);
    finish(&f);
    struct sl_source_key key = {
        .addr = fixture_addr("::"), .namespace_ = "n", .service_account = "s", .identity = "i", .user = "u"};
    struct sl_source source;
    sl_source_resolve(&f.image, &key, &source);
    CHECK_EQ(source.overflow, 0);
    CHECK_EQ(source.count, 7 * 130);
    unsigned lower = 0; /* the user's, below the certificate's */
    for (uint32_t i = 0; i < source.count; i++) {
        uint32_t at = source.selectors[i] & ~SL_SELECTOR_DENY_ONLY;
        if (i) CHECK((source.selectors[i - 1] & ~SL_SELECTOR_DENY_ONLY) < at);
        lower += source.selectors[i] >= SL_SELECTOR_DENY_ONLY;
    }
    CHECK_EQ(lower, 2 * 130);
    CHECK_STR(ASK(&f, .host = "x", .port = 1), "allow name rule_allow allow");
    fixture_free(&f);
}

TEST(the_trail_names_every_match_and_the_winner)
{
    struct fixture f = fixture_new();
    rule_for(&f, "star", SL_TIER_ALLOW, "*", "");
    uint32_t r = rule_for(&f, "deny", SL_TIER_DENY, "*.com", "443");
    host_except(&f, r, "a.com");
    rule_for(&f, "exact", SL_TIER_ALLOW, "a.com", "440-450");
    finish(&f);
    struct sl_trail trail = {.count = 0};
    struct sl_decision d =
        ask_image(&f.image, (struct ask){.host = "a.com", .port = 443, .address = "10.1.1.1"}, &trail);
    CHECK_STR(said(&f, d), "deny address address_special_purpose guard");
    CHECK_EQ(trail.count, 4);
    CHECK_EQ(trail.total, 4);
    static const struct { uint8_t tier, won, excepted, depth, class; uint32_t rule; } want[] = {
        {SL_TIER_ALLOW, 1, 0, 255, 1, 3}, {SL_TIER_DENY, 0, 1, 1, 2, 2}, {SL_TIER_ALLOW, 0, 0, 0, 0, 1},
        {0, 1, 0, 0, 0, 0},
    };
    for (unsigned i = 0; i < 4; i++) {
        const struct sl_trail_step *step = &trail.steps[i];
        CHECK_EQ(step->tier, want[i].tier);
        CHECK_EQ(step->won, want[i].won);
        CHECK_EQ(step->excepted, want[i].excepted);
        CHECK_EQ(step->depth, want[i].depth);
        CHECK_EQ(step->port_class, want[i].class);
        CHECK_EQ(step->rule, want[i].rule);
    }
    fixture_free(&f);
}

TEST(a_full_trail_still_shows_the_winner)
{
    struct fixture f = fixture_new();
    for (int i = 0; i < 100; i++) rule_for(&f, "allow", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "*", "");
    finish(&f);
    struct sl_trail trail = {.count = 0};
    struct sl_decision d = ask_image(&f.image, (struct ask){.host = "a.com", .port = 443}, &trail);
    CHECK_STR(said(&f, d), "deny name rule_hard_deny hard");
    CHECK_EQ(trail.count, 64);
    CHECK(trail.total >= 101);
    CHECK(trail.steps[63].won && trail.steps[63].rule == d.rule);
    fixture_free(&f);
}

int main(void)
{
    RUN(no_policy_at_all_denies_even_in_audit_mode);
    RUN(hosts_match_exactly_or_below_a_wildcard_never_its_apex);
    RUN(tiers_hard_deny_deny_allow_audit);
    RUN(inside_a_tier_exact_beats_longer_suffix_beats_star);
    RUN(then_single_port_beats_range_beats_any);
    RUN(ports_must_match);
    RUN(then_the_strongest_principal_wins);
    RUN(then_the_first_in_order_wins);
    RUN(excepts_take_names_out);
    RUN(excepts_of_a_deny_let_the_next_rule_speak);
    RUN(an_except_concerns_its_own_rule_and_selector_only);
    RUN(users_and_networks_give_identities);
    RUN(every_kind_of_principal);
    RUN(passthrough_is_for_sources_that_no_allow_selects);
    RUN(a_lower_identity_denies_and_never_allows);
    RUN(what_a_lower_identity_closes_stays_closed);
    RUN(audit_mode_softens_what_it_may);
    RUN(audit_mode_of_mesh_and_namespace);
    RUN(more_selectors_than_fit_is_an_internal_deny);
    RUN(the_largest_source_fits);
    RUN(the_trail_names_every_match_and_the_winner);
    RUN(a_full_trail_still_shows_the_winner);
    return CHECK_REPORT();
}
