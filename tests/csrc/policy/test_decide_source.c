/* Decisions by who asks: users, networks and lower identities, passthrough, audit mode, and the largest source. */
#include "policy_fixture.h"

#define A443 "8.8.8.8", .port = 443

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
    CHECK(sl_source_credential(&f.image, "bare") == 0 && sl_source_credential(&f.image, "stranger") == 0);
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
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.1.2.3", .user = "stranger"}).verdict, SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.1.2.3", .identity = "spiffe://x"}).verdict,
             SL_DENY);
    CHECK_EQ(ask(&f, (struct ask){.host = "a", .port = 1, .ip = "10.1.2.3", .namespace_ = "x"}).verdict, SL_DENY);
    const char *space, *account;
    struct sl_addr at = fixture_addr("10.1.9.9");
    CHECK(sl_source_network(&f.image, &at, &space, &account));
    CHECK_STR(space, "shop");
    CHECK_STR(account, "cart");
    CHECK(!sl_source_user(&f.image, "stranger", &space, &account));
    CHECK_STR(space, "");
    fixture_free(&f);
}

TEST(tokens_and_forwarded_identities_have_their_ranks)
{
    struct fixture f = fixture_new();
    from(&f, SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", "cart", NULL, 0);
    rule_for(&f, "cart", SL_TIER_ALLOW, "a", "");
    from(&f, SL_PRINCIPAL_NAMESPACE, "pay", "", NULL, 0);
    rule_for(&f, "pay", SL_TIER_DENY, "a", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .token_namespace = "shop", .token_account = "cart"),
              "allow name rule_allow cart");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .token_namespace = "shop"), "deny name no_rule");
    CHECK_STR(
        ASK(&f, .host = "a", .port = 1, .identity = "spiffe://x", .token_namespace = "shop", .token_account = "cart"),
        "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .token_namespace = "shop", .token_account = "cart",
                  .workload_namespace = "pay"),
              "deny name rule_deny pay");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .forwarded = "spiffe://x", .forwarded_namespace = "shop",
                  .forwarded_account = "cart", .identity = "spiffe://proxy"),
              "allow name rule_allow cart");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .forwarded = "spiffe://x", .namespace_ = "shop",
                  .service_account = "cart", .identity = "spiffe://y"),
              "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a", .port = 1, .forwarded = "spiffe://x", .forwarded_namespace = "shop",
                  .forwarded_account = "cart", .identity = "spiffe://proxy", .namespace_ = "pay"),
              "deny name rule_deny pay");
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
    CHECK_EQ(
        ask(&f, (struct ask){.host = "b", .port = 1, .namespace_ = "shop", .user = "bot", .ip = "2001:db8::1"}).verdict,
        SL_ALLOW);
    CHECK_EQ(
        ask(&f, (struct ask){.host = "b", .port = 1, .namespace_ = "shop", .user = "bot", .ip = "2001:db9::1"}).verdict,
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
    static const struct {
        const char *name, *a, *b;
        uint8_t kind, tier;
    } rules[] = {
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
    struct sl_asked asked = {.image = &f.image, .source = &source, .port = 1, .audit = 1};
    sl_decide_name(&asked, "a", 1, &d, NULL);
    CHECK_STR(said(&f, d), "deny name internal");
    CHECK(d.flags & SL_DECISION_NO_SOFTEN);
    sl_decide_address(&asked, NULL, NULL, 0, &at, 0, &d, NULL);
    CHECK_STR(said(&f, d), "deny address internal");
    fixture_free(&f);
}

/* Six principals hold, and each prefix length of the source selects each of them. */
TEST(the_largest_source_fits)
{
    struct fixture f = fixture_new();
    for (unsigned length = 0; length <= 128; length++) {
        static const struct {
            uint8_t kind;
            const char *a, *b;
        } kinds[] = {
            {SL_PRINCIPAL_MESH, "", ""},
            {SL_PRINCIPAL_NAMESPACE, "n", ""},
            {SL_PRINCIPAL_SERVICE_ACCOUNT, "n", "s"},
            {SL_PRINCIPAL_IDENTITY, "", "i"},
            {SL_PRINCIPAL_USER, "", "u"},
            {SL_PRINCIPAL_NAMESPACE_IDENTITY, "n", "i"},
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

TEST(labels_select_workloads_and_addresses_of_pods_have_no_network)
{
    struct fixture f = fixture_new();
    from(&f, SL_PRINCIPAL_PODS, "", "pods of shop with app=web", NULL, 1);
    uint32_t web = f.selectors[0];
    rule_for(&f, "web", SL_TIER_ALLOW, "a", "");
    from(&f, SL_PRINCIPAL_NAMESPACES, "", "namespaces with tier=low", NULL, 0);
    uint32_t low = f.selectors[0];
    rule_for(&f, "low", SL_TIER_DENY, "b", "");
    from(&f, SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", "cart", NULL, 0);
    rule_for(&f, "cart", SL_TIER_ALLOW, "b", "");
    struct sl_prefix block = fixture_prefix("10.0.0.0/8");
    CHECK_EQ(sl_builder_network(f.b, &block, "shop", "cart"), SL_BUILD_OK);
    finish(&f);
    const uint32_t both[] = {web, low}, broken[] = {1000};
#define WORKLOAD .port = 1, .workload_namespace = "shop", .workload_account = "cart"
    CHECK_STR(ASK(&f, .host = "a", WORKLOAD), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a", WORKLOAD, .workload_selectors = both, .workload_selector_count = 2),
              "allow name rule_allow web");
    CHECK_STR(ASK(&f, .host = "b", WORKLOAD), "allow name rule_allow cart");
    CHECK_STR(ASK(&f, .host = "b", WORKLOAD, .workload_selectors = both, .workload_selector_count = 2),
              "deny name rule_deny low");
    /* Below a certificate only their denies hold. */
    CHECK_STR(ASK(&f, .host = "a", WORKLOAD, .workload_selectors = both, .workload_selector_count = 2,
                  .identity = "spiffe://x"),
              "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "b", WORKLOAD, .workload_selectors = both, .workload_selector_count = 2,
                  .namespace_ = "shop", .service_account = "cart", .identity = "spiffe://x"),
              "deny name rule_deny low");
    /* A selector that the image does not have closes everything. */
    CHECK_STR(ASK(&f, .host = "b", WORKLOAD, .workload_selectors = broken, .workload_selector_count = 1),
              "deny name internal");
    CHECK_STR(ASK(&f, .host = "b", .port = 1, .ip = "10.1.2.3"), "allow name rule_allow cart");
    CHECK_STR(ASK(&f, .host = "b", .port = 1, .ip = "10.1.2.3", .workload_unknown = 1), "deny name no_rule");
    fixture_free(&f);
}

int main(void)
{
    RUN(users_and_networks_give_identities);
    RUN(tokens_and_forwarded_identities_have_their_ranks);
    RUN(every_kind_of_principal);
    RUN(passthrough_is_for_sources_that_no_allow_selects);
    RUN(a_lower_identity_denies_and_never_allows);
    RUN(what_a_lower_identity_closes_stays_closed);
    RUN(audit_mode_softens_what_it_may);
    RUN(audit_mode_of_mesh_and_namespace);
    RUN(more_selectors_than_fit_is_an_internal_deny);
    RUN(the_largest_source_fits);
    RUN(labels_select_workloads_and_addresses_of_pods_have_no_network);
    return CHECK_REPORT();
}
