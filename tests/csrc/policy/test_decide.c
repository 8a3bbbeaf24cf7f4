/* Decisions: how rules of one tier compete, how tiers combine, excepts, ports, and the trail. Sources are
 * test_decide_source.c, the address guard and embedded addresses test_decide_address.c. */
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
    static const struct {
        const char *name;
        uint8_t kind;
        const char *a, *b, *cidr;
    } rules[] = {
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
                  .identity = "spiffe://x"),
              "allow name rule_allow id");
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
    host_except(&f, list, "*.example.com"); /* also above what it takes out */
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
    static const struct {
        uint8_t tier, won, excepted, depth, class;
        uint32_t rule;
    } want[] = {
        {SL_TIER_ALLOW, 1, 0, 255, 1, 3},
        {SL_TIER_DENY, 0, 1, 1, 2, 2},
        {SL_TIER_ALLOW, 0, 0, 0, 0, 1},
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
    RUN(the_trail_names_every_match_and_the_winner);
    RUN(a_full_trail_still_shows_the_winner);
    return CHECK_REPORT();
}
