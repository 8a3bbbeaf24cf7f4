/* Groups: the rules that a dialect reduces to one verdict, its classes and defaults, and how the verdicts of groups combine
 * (DECISIONS.md section 4). */
#include "policy_fixture.h"

/* A rule of group 1 for hosts, or for a CIDR; `star`: for everything, by name and by address. */
static uint32_t grouped(struct fixture *f, const char *name, uint8_t tier, const char *destination, uint8_t group,
                        uint8_t class)
{
    uint32_t attachment = item_in(f, name, tier, "", group, class);
    if (strchr(destination, '/'))
        cidr(f, attachment, destination);
    else
        host(f, attachment, destination);
    return attachment;
}

static void fallback(struct fixture *f, const char *name, uint8_t tier, uint8_t group)
{
    cidr(f, grouped(f, name, tier, "*", group, 0), "0.0.0.0/0");
}

TEST(inside_a_group_the_class_decides_before_all_else)
{
    struct fixture f = fixture_new();
    grouped(&f, "deny", SL_TIER_DENY, "a.com", 1, 2);
    grouped(&f, "allow", SL_TIER_ALLOW, "*.com", 1, 3);
    grouped(&f, "other", SL_TIER_ALLOW, "b.com", 1, 1);
    grouped(&f, "no", SL_TIER_DENY, "*", 1, 2);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "allow name rule_allow allow");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 1), "allow name rule_allow allow");
    CHECK_STR(ASK(&f, .host = "b.net", .port = 1), "deny name rule_deny no");
    fixture_free(&f);
}

TEST(inside_a_class_the_deeper_match_wins_whatever_its_tier)
{
    struct fixture f = fixture_new();
    grouped(&f, "deny", SL_TIER_DENY, "*.com", 1, 1);
    grouped(&f, "allow", SL_TIER_ALLOW, "a.com", 1, 1);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "allow name rule_allow allow");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 1), "deny name rule_deny deny");
    fixture_free(&f);
}

TEST(between_groups_the_stronger_tier_wins_then_the_better_match)
{
    struct fixture f = fixture_new();
    grouped(&f, "one", SL_TIER_ALLOW, "*.com", 1, 0);
    grouped(&f, "two", SL_TIER_ALLOW, "a.com", 2, 0);
    rule_for(&f, "mine", SL_TIER_ALLOW, "*", "");
    rule_for(&f, "never", SL_TIER_HARD_DENY, "h.com", "");
    grouped(&f, "three", SL_TIER_DENY, "b.com", 3, 0);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "allow name rule_allow two");
    CHECK_STR(ASK(&f, .host = "c.com", .port = 1), "allow name rule_allow one");
    CHECK_STR(ASK(&f, .host = "c.net", .port = 1), "allow name rule_allow mine");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 1), "deny name rule_deny three");
    CHECK_STR(ASK(&f, .host = "h.com", .port = 1), "deny name rule_hard_deny never");
    fixture_free(&f);
}

TEST(of_equal_matches_of_groups_the_older_rule_is_named)
{
    struct fixture f = fixture_new();
    grouped(&f, "older", SL_TIER_ALLOW, "a.com", 2, 0);
    grouped(&f, "younger", SL_TIER_ALLOW, "a.com", 1, 0);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "allow name rule_allow older");
    fixture_free(&f);
}

TEST(defaults_deny_before_audit_before_allow)
{
    struct fixture f = fixture_new();
    fallback(&f, "open", SL_TIER_DEFAULT_ALLOW, 1);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "allow name default_allow open");
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 1), "allow address default_allow open");
    fallback(&f, "report", SL_TIER_DEFAULT_AUDIT, 2);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "audit name default_audit report would_deny");
    fallback(&f, "enforce", SL_TIER_DEFAULT_DENY, 3);
    rule_for(&f, "mine", SL_TIER_ALLOW, "b.com", "");
    rule_for(&f, "watch", SL_TIER_AUDIT, "c.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "deny name default_deny enforce");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .audit = 1), "audit name default_deny enforce would_deny");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 1), "allow name rule_allow mine");
    CHECK_STR(ASK(&f, .host = "c.com", .port = 1), "audit name rule_audit watch would_deny");
    fixture_free(&f);
}

TEST(a_default_deny_of_a_name_waits_for_an_address_that_a_rule_may_allow)
{
    struct fixture f = fixture_new();
    grouped(&f, "enforce", SL_TIER_DEFAULT_DENY, "*", 1, 0);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "deny name default_deny enforce");
    rule_for(&f, "net", SL_TIER_ALLOW, "9.0.0.0/8", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .address = "9.1.1.1"), "allow address rule_allow net");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .address = "8.1.1.1"), "deny name default_deny enforce");
    fixture_free(&f);
}

TEST(a_default_of_an_address_counts_over_one_of_the_name)
{
    struct fixture f = fixture_new();
    grouped(&f, "open", SL_TIER_DEFAULT_ALLOW, "*", 1, 0);
    grouped(&f, "closed", SL_TIER_DEFAULT_DENY, "9.0.0.0/8", 2, 0);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .address = "8.1.1.1"), "allow name default_allow open");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1, .address = "9.1.1.1"), "deny address default_deny closed");
    fixture_free(&f);
}

TEST(a_default_lifts_no_guard_and_a_beaten_allow_neither)
{
    struct fixture f = fixture_new();
    fallback(&f, "open", SL_TIER_DEFAULT_ALLOW, 1);
    grouped(&f, "lifts", SL_TIER_ALLOW, "10.0.0.0/8", 2, 0);
    grouped(&f, "beats", SL_TIER_DEFAULT_ALLOW, "10.1.0.0/16", 2, 1);
    finish(&f);
    CHECK_STR(ASK(&f, .address = "192.168.0.1", .port = 1), "deny address address_special_purpose guard");
    CHECK_STR(ASK(&f, .address = "10.1.0.1", .port = 1), "deny address address_special_purpose guard");
    CHECK_STR(ASK(&f, .address = "10.2.0.1", .port = 1), "allow address rule_allow lifts");
    fixture_free(&f);
}

TEST(behind_an_address_that_a_default_passed_a_denied_name_is_found)
{
    struct fixture f = fixture_new();
    fallback(&f, "open", SL_TIER_DEFAULT_ALLOW, 1);
    grouped(&f, "bad", SL_TIER_DENY, "*.bad.com", 1, 2);
    grouped(&f, "good", SL_TIER_ALLOW, "x.bad.com", 1, 3);
    finish(&f);
#define BEHIND(name) .address = "8.8.8.8", .port = 1, .inner = (name)
    CHECK_STR(ASK(&f, BEHIND("a.bad.com")), "deny inner rule_deny bad look_inside");
    CHECK_STR(ASK(&f, BEHIND("x.bad.com")), "allow address default_allow open look_inside");
    CHECK_STR(ASK(&f, BEHIND("a.com")), "allow address default_allow open look_inside");
    fixture_free(&f);
}

TEST(an_address_that_a_default_denies_is_held_where_a_name_may_be_allowed)
{
    struct fixture f = fixture_new();
    fallback(&f, "enforce", SL_TIER_DEFAULT_DENY, 1);
    finish(&f);
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 1), "deny address default_deny enforce");
    grouped(&f, "good", SL_TIER_ALLOW, "good.com", 1, 3);
    finish(&f);
    CHECK_STR(ASK(&f, .address = "8.8.8.8", .port = 1), "deny address inner_name_missing enforce provisional");
    CHECK_STR(ASK(&f, BEHIND("good.com")), "allow inner rule_allow good");
    CHECK_STR(ASK(&f, BEHIND("a.com")), "deny inner default_deny enforce");
    fixture_free(&f);
}

TEST(what_denies_holds_for_lower_identities_defaults_as_well)
{
    struct fixture f = fixture_new();
    from(&f, SL_PRINCIPAL_USER, "", "bot", NULL, 0);
    grouped(&f, "enforce", SL_TIER_DEFAULT_DENY, "*", 1, 0);
    from(&f, SL_PRINCIPAL_USER, "", "bot", NULL, 0);
    grouped(&f, "good", SL_TIER_ALLOW, "good.com", 1, 3);
    from_mesh(&f);
    fallback(&f, "open", SL_TIER_DEFAULT_ALLOW, 2);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "good.com", .port = 1, .user = "bot"), "allow name rule_allow good");
    CHECK_STR(ASK(&f, .host = "good.com", .port = 1, .user = "bot", .identity = "spiffe://x/y"),
              "deny name default_deny enforce");
    CHECK_STR(ASK(&f, .host = "good.com", .port = 1, .identity = "spiffe://x/y"), "allow name default_allow open");
    fixture_free(&f);
}

TEST(group_0_has_no_defaults_and_no_classes)
{
    struct fixture f = fixture_new();
    uint32_t one = item(&f, "a", SL_TIER_ALLOW, ""), out;
    host(&f, one, "a.com");
    CHECK_EQ(sl_builder_attach_in(f.b, 1, SL_TIER_DEFAULT_DENY, 0, 9, 1, 0, 0, &out), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_attach_in(f.b, 1, SL_TIER_DENY, 0, 9, 1, 0, 1, &out), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_attach_in(f.b, 1, SL_TIER_DENY, 0, 9, 1, SL_GROUPS, 0, &out), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_attach_in(f.b, 1, SL_TIER_DENY, 0, 9, 1, 1, SL_CLASSES, &out), SL_BUILD_BAD_ARGUMENT);
    finish(&f);
    CHECK_EQ(f.image.header->flags & SL_IMAGE_GROUPS, 0);
    fixture_free(&f);
}

int main(void)
{
    RUN(inside_a_group_the_class_decides_before_all_else);
    RUN(inside_a_class_the_deeper_match_wins_whatever_its_tier);
    RUN(between_groups_the_stronger_tier_wins_then_the_better_match);
    RUN(of_equal_matches_of_groups_the_older_rule_is_named);
    RUN(defaults_deny_before_audit_before_allow);
    RUN(a_default_deny_of_a_name_waits_for_an_address_that_a_rule_may_allow);
    RUN(a_default_of_an_address_counts_over_one_of_the_name);
    RUN(a_default_lifts_no_guard_and_a_beaten_allow_neither);
    RUN(behind_an_address_that_a_default_passed_a_denied_name_is_found);
    RUN(an_address_that_a_default_denies_is_held_where_a_name_may_be_allowed);
    RUN(what_denies_holds_for_lower_identities_defaults_as_well);
    RUN(group_0_has_no_defaults_and_no_classes);
    return CHECK_REPORT();
}
