/* The inner phase of what was asked by address: provisional tunnels, and denied names behind addresses that pass. */
#include "policy_fixture.h"

#define AT .address = "8.8.8.8", .port = 443
#define INSIDE(name) AT, .inner = (name)

TEST(a_deny_reaches_a_name_behind_a_passed_address)
{
    static const struct {
        const char *name;
        uint32_t flags;
        const char *cidr;
    } ways[] = {
        {"passthrough", SL_IMAGE_PASSTHROUGH, NULL},
        {"a CIDR allow of the single address", 0, "8.8.8.8/32"},
    };
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct fixture f = fixture_new();
        CHECK_EQ(sl_builder_flags(f.b, ways[i].flags), SL_BUILD_OK);
        rule_for(&f, "hard", SL_TIER_HARD_DENY, "*.evil.com", "");
        rule_for(&f, "soft", SL_TIER_DENY, "bad.com", "443");
        if (ways[i].cidr) rule_for(&f, "net", SL_TIER_ALLOW, ways[i].cidr, "");
        finish(&f);
        const char *passed =
            ways[i].cidr ? "allow address rule_allow net look_inside" : "allow address passthrough look_inside";
        CHECK_STR(ASK(&f, AT), passed);
        CHECK_STR(ASK(&f, INSIDE("good.com")), passed);
        CHECK_STR(ASK(&f, INSIDE("evil.com")), passed);
        CHECK_STR(ASK(&f, INSIDE("x.evil.com")), "deny inner rule_hard_deny hard look_inside");
        CHECK_STR(ASK(&f, INSIDE("x.evil.com"), .audit = 1), "deny inner rule_hard_deny hard look_inside");
        CHECK_STR(ASK(&f, INSIDE("bad.com")), "deny inner rule_deny soft look_inside");
        CHECK_STR(ASK(&f, INSIDE("bad.com"), .audit = 1), "audit inner rule_deny soft would_deny look_inside");
        CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 80, .inner = "bad.com"), passed);
        fixture_free(&f);
    }
}

TEST(no_rule_about_names_no_look)
{
    struct fixture f = fixture_new();
    rule_for(&f, "net", SL_TIER_ALLOW, "8.0.0.0/8", "");
    rule_for(&f, "allow", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "deny", SL_TIER_DENY, "9.0.0.0/8", "");
    rule_for(&f, "elsewhere", SL_TIER_DENY, "b.com", "80");
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 0);
    rule_for(&f, "others", SL_TIER_DENY, "c.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, AT), "allow address rule_allow net");
    CHECK_STR(ASK(&f, INSIDE("c.com")), "allow address rule_allow net");
    CHECK_STR(ASK(&f, AT, .namespace_ = "shop"), "allow address rule_allow net look_inside");
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 80), "allow address rule_allow net look_inside");
    CHECK_STR(ASK(&f, .address = "9.8.8.8", .port = 80, .inner = "b.com"), "deny address rule_deny deny");
    CHECK_STR(ASK(&f, .host = "a.com", AT), "allow name rule_allow allow"); /* asked by name: innerName's to judge */
    fixture_free(&f);
}

TEST(an_audit_rule_reports_a_name_behind_a_default)
{
    struct fixture f = fixture_new();
    CHECK_EQ(sl_builder_flags(f.b, SL_IMAGE_PASSTHROUGH), SL_BUILD_OK);
    rule_for(&f, "watch", SL_TIER_AUDIT, "odd.com", "");
    rule_for(&f, "seen", SL_TIER_AUDIT, "9.0.0.0/8", "");
    from(&f, SL_PRINCIPAL_MESH, "", "", "10.0.0.0/8", 1);
    rule_for(&f, "net", SL_TIER_ALLOW, "8.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, INSIDE("odd.com")), "audit inner rule_audit watch would_deny look_inside");
    CHECK_STR(ASK(&f, INSIDE("even.com")), "allow address passthrough look_inside");
    CHECK_STR(ASK(&f, INSIDE("odd.com"), .ip = "10.0.0.1"), "allow address rule_allow net look_inside");
    CHECK_STR(ASK(&f, .address = "9.8.8.8", .port = 1, .inner = "odd.com"),
              "audit address rule_audit seen would_deny look_inside"); /* of two audits the earlier phase is named */
    fixture_free(&f);
}

TEST(a_softened_deny_of_the_address_yields_to_a_hard_deny_of_the_name)
{
    struct fixture f = fixture_new();
    rule_for(&f, "net", SL_TIER_DENY, "8.0.0.0/8", "");
    rule_for(&f, "soft", SL_TIER_DENY, "bad.com", "");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "evil.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, INSIDE("bad.com"), .audit = 1), "audit address rule_deny net would_deny look_inside");
    CHECK_STR(ASK(&f, INSIDE("evil.com"), .audit = 1), "deny inner rule_hard_deny hard look_inside");
    CHECK_STR(ASK(&f, INSIDE("evil.com")), "deny address rule_deny net");
    fixture_free(&f);
}

TEST(a_provisional_tunnel_is_judged_by_its_name_alone)
{
    struct fixture f = fixture_new();
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "evil.com", "");
    rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, AT), "deny address inner_name_missing provisional");
    CHECK_STR(ASK(&f, INSIDE("a.com")), "allow inner rule_allow host");
    CHECK_STR(ASK(&f, INSIDE("evil.com")), "deny inner rule_hard_deny hard");
    CHECK_STR(ASK(&f, INSIDE("b.com")), "deny inner no_cidr_rule");
    CHECK_STR(ASK(&f, INSIDE("b.com"), .audit = 1), "audit inner no_cidr_rule would_deny");
    CHECK_STR(ASK(&f, INSIDE("evil.com"), .audit = 1), "deny inner rule_hard_deny hard");
    fixture_free(&f);
    f = fixture_new();
    rule_for(&f, "host", SL_TIER_ALLOW, "a.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, INSIDE("b.com")), "deny inner no_cidr_rule"); /* no CIDR rule at all is the same answer */
    fixture_free(&f);
}

TEST(a_rule_with_a_parent_is_another_way)
{
    for (int looked = 0; looked < 2; looked++) {
        struct fixture f = fixture_new();
        struct sl_rule rule = {.tier = SL_TIER_AUDIT};
        uint32_t id, who, attachment, mesh, principal;
        CHECK_EQ(sl_builder_flags(f.b, looked ? SL_IMAGE_PASSTHROUGH : 0), SL_BUILD_OK);
        CHECK_EQ(sl_builder_string(f.b, "corp", 4, &rule.upstream), SL_BUILD_OK);
        CHECK_EQ(sl_builder_rule(f.b, &rule, &id), SL_BUILD_OK);
        CHECK_EQ(sl_builder_principal(f.b, SL_PRINCIPAL_MESH, "", "", 0, &principal), SL_BUILD_OK);
        CHECK_EQ(sl_builder_selector(f.b, principal, NULL, 0, &mesh), SL_BUILD_OK);
        CHECK_EQ(sl_builder_who(f.b, &mesh, 1, &who), SL_BUILD_OK);
        CHECK_EQ(sl_builder_attach(f.b, id, SL_TIER_AUDIT, 0, 0, who, &attachment), SL_BUILD_OK);
        host(&f, attachment, "a.com");
        finish(&f);
        /* Provisional: only the parent could carry it. Passed by the default: it is carried, and reported. */
        struct sl_decision said = ask(&f, (struct ask){INSIDE("a.com"), .audit = 1});
        CHECK_EQ(said.verdict, looked ? SL_AUDIT : SL_DENY);
        CHECK_EQ(said.reason, looked ? SL_REASON_RULE_AUDIT : SL_REASON_OTHER_WAY);
        CHECK_EQ(said.rule, id);
        fixture_free(&f);
    }
}

TEST(a_lower_identity_keeps_its_denies_of_names)
{
    struct fixture f = fixture_new();
    struct sl_prefix net = fixture_prefix("10.1.0.0/16");
    CHECK_EQ(sl_builder_flags(f.b, SL_IMAGE_PASSTHROUGH), SL_BUILD_OK);
    CHECK_EQ(sl_builder_network(f.b, &net, "shop", ""), SL_BUILD_OK);
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 0);
    rule_for(&f, "shop", SL_TIER_DENY, "bad.com", "");
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 0);
    rule_for(&f, "watch", SL_TIER_AUDIT, "odd.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, AT, .user = "bot"), "allow address passthrough");
    CHECK_STR(ASK(&f, INSIDE("bad.com"), .user = "bot", .ip = "10.1.2.3"), "deny inner rule_deny shop look_inside");
    CHECK_STR(ASK(&f, INSIDE("odd.com"), .user = "bot", .ip = "10.1.2.3"), "allow address passthrough look_inside");
    fixture_free(&f);
}

TEST(the_trail_tells_of_the_name_inside)
{
    struct fixture f = fixture_new();
    CHECK_EQ(sl_builder_flags(f.b, SL_IMAGE_PASSTHROUGH), SL_BUILD_OK);
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "*.evil.com", "");
    finish(&f);
    struct sl_trail trail = {.count = 0};
    ask_image(&f.image, (struct ask){INSIDE("x.evil.com")}, &trail);
    CHECK_EQ(trail.count, 2);
    CHECK_EQ(trail.steps[0].phase, SL_PHASE_ADDRESS);
    CHECK_EQ(trail.steps[1].phase, SL_PHASE_INNER);
    CHECK_EQ(trail.steps[1].won, 1);
    CHECK_EQ(trail.steps[1].depth, 2);
    fixture_free(&f);
}

int main(void)
{
    RUN(a_deny_reaches_a_name_behind_a_passed_address);
    RUN(no_rule_about_names_no_look);
    RUN(an_audit_rule_reports_a_name_behind_a_default);
    RUN(a_softened_deny_of_the_address_yields_to_a_hard_deny_of_the_name);
    RUN(a_provisional_tunnel_is_judged_by_its_name_alone);
    RUN(a_rule_with_a_parent_is_another_way);
    RUN(a_lower_identity_keeps_its_denies_of_names);
    RUN(the_trail_tells_of_the_name_inside);
    return CHECK_REPORT();
}
