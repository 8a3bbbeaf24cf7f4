/* The chain of phases: what a decision still needs, what shows inside, and what a tunnel that stands may be. */
#include "policy_fixture.h"

#define NAME(...) said_and_needs(&f, (struct ask){.port = 443, __VA_ARGS__})

/* "allow name rule_allow host: address protocol". */
static const char *said_and_needs(struct fixture *f, struct ask q)
{
    static char text[8][200];
    static unsigned turn;
    char *out = text[turn++ % 8];
    struct sl_decision d = ask(f, q);
    snprintf(out, sizeof text[0], "%s:%s%s", said(f, d), d.needs & SL_NEEDS_ADDRESS ? " address" : "",
             d.needs & SL_NEEDS_PROTOCOL ? " protocol" : "");
    return out;
}

static uint32_t with(struct fixture *f, uint8_t tier, const char *name, const char *upstream, uint8_t inner,
                     const char *destination)
{
    struct sl_rule rule = {.tier = tier, .inner = inner};
    uint32_t id, who, attachment, mesh, principal;
    CHECK_EQ(sl_builder_string(f->b, name, strlen(name), &rule.name), SL_BUILD_OK);
    if (upstream) CHECK_EQ(sl_builder_string(f->b, upstream, strlen(upstream), &rule.upstream), SL_BUILD_OK);
    CHECK_EQ(sl_builder_rule(f->b, &rule, &id), SL_BUILD_OK);
    CHECK_EQ(sl_builder_principal(f->b, SL_PRINCIPAL_MESH, "", "", 0, &principal), SL_BUILD_OK);
    CHECK_EQ(sl_builder_selector(f->b, principal, NULL, tier == SL_TIER_ALLOW, &mesh), SL_BUILD_OK);
    CHECK_EQ(sl_builder_who(f->b, &mesh, 1, &who), SL_BUILD_OK);
    CHECK_EQ(sl_builder_attach(f->b, id, tier, 0, id, who, &attachment), SL_BUILD_OK);
    if (strchr(destination, '/'))
        cidr(f, attachment, destination);
    else
        host(f, attachment, destination);
    return id;
}

TEST(a_decision_says_what_it_needs)
{
    struct fixture f = fixture_new();
    with(&f, SL_TIER_ALLOW, "host", NULL, 0, "a.com");
    with(&f, SL_TIER_ALLOW, "quiet", NULL, SL_INNER_OFF, "off.com");
    with(&f, SL_TIER_ALLOW, "corp", "parent", 0, "corp.com");
    with(&f, SL_TIER_ALLOW, "net", NULL, 0, "8.0.0.0/8");
    with(&f, SL_TIER_DENY, "no", NULL, 0, "no.com");
    finish(&f);
    CHECK_STR(NAME(.host = "a.com"), "allow name rule_allow host: address protocol");
    CHECK_STR(NAME(.host = "a.com", .inner_mode = SL_INNER_OFF), "allow name rule_allow host: address");
    CHECK_STR(NAME(.host = "off.com"), "allow name rule_allow quiet: address");
    CHECK_STR(NAME(.host = "b.com"), "deny name needs_address pending: address");
    CHECK_STR(NAME(.host = "no.com"), "deny name rule_deny no:");
    CHECK_STR(NAME(.host = "corp.com"), "allow delegated rule_allow corp: protocol");
    CHECK_STR(NAME(.host = "a.com", .address = "8.8.8.8"), "allow name rule_allow host: protocol");
    CHECK_STR(NAME(.host = "b.com", .address = "8.8.8.8"), "allow address rule_allow net: protocol");
    CHECK_STR(NAME(.host = "b.com", .address = "9.9.9.9"), "deny address no_cidr_rule:");
    CHECK_STR(NAME(.host = "corp.com", .address = "127.0.0.1"), "allow delegated rule_allow corp: protocol");
    CHECK_STR(NAME(.address = "9.9.9.9"), "deny address inner_name_missing provisional: protocol");
    CHECK_STR(NAME(.address = "9.9.9.9", .audit = 1),
              "audit address inner_name_missing provisional would_deny: protocol");
    CHECK_STR(NAME(.address = "8.8.8.8"), "allow address rule_allow net look_inside: protocol");
    CHECK_STR(NAME(.address = "127.0.0.1"), "deny address address_loopback guard:");
    CHECK_STR(NAME(.host = "a.com", .inner = "a.com"), "allow name rule_allow host: address");
    CHECK_STR(NAME(.host = "a.com", .address = "8.8.8.8", .inner = "a.com"), "allow name rule_allow host:");
    fixture_free(&f);
}

TEST(what_shows_inside_is_held_against_the_name)
{
    static const struct {
        uint8_t shows;
        const char *inner;
        const char *enforced;
    } rows[] = {
        {SL_SHOWS_UNKNOWN, NULL, NULL},
        {SL_SHOWS_TLS, "a.com", NULL},
        {SL_SHOWS_TLS, "b.com", "inner_name_mismatch"},
        {SL_SHOWS_HTTP, "a.co", "inner_name_mismatch"},
        {SL_SHOWS_HTTP, "", "inner_name_mismatch"}, /* an address */
        {SL_SHOWS_TLS, NULL, NULL},                 /* without server_name */
        {SL_SHOWS_OTHER, NULL, NULL},
        {SL_SHOWS_MALFORMED, NULL, "inner_name_mismatch"},
        {SL_SHOWS_TOO_LONG, NULL, "inner_too_long"},
        {SL_SHOWS_LATE, NULL, NULL},
    };
    struct fixture f = fixture_new();
    with(&f, SL_TIER_ALLOW, "host", NULL, 0, "a.com");
    finish(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (uint8_t mode = SL_INNER_ENFORCE; mode <= SL_INNER_OFF; mode++)
            for (int audit = 0; audit < 2; audit++) {
                int softened = audit || mode == SL_INNER_AUDIT;
                struct sl_decision d = ask(&f, (struct ask){.host = "a.com",
                                                            .address = "8.8.8.8",
                                                            .port = 443,
                                                            .shows = rows[i].shows,
                                                            .inner = rows[i].inner,
                                                            .inner_mode = mode,
                                                            .audit = audit});
                char wanted[80] = "allow name rule_allow host";
                if (rows[i].enforced && mode != SL_INNER_OFF)
                    snprintf(wanted, sizeof wanted, "%s inner %s host%s", softened ? "audit" : "deny", rows[i].enforced,
                             softened ? " would_deny" : "");
                CHECK_STR(said(&f, d), wanted);
            }
    fixture_free(&f);
}

TEST(what_was_asked_by_address_and_shows_no_name)
{
    struct fixture f = fixture_new();
    with(&f, SL_TIER_ALLOW, "host", NULL, 0, "a.com");
    with(&f, SL_TIER_ALLOW, "net", NULL, 0, "8.0.0.0/8");
    with(&f, SL_TIER_DENY, "bad", NULL, 0, "bad.com");
    finish(&f);
    static const uint8_t nameless[] = {SL_SHOWS_TLS, SL_SHOWS_HTTP, SL_SHOWS_OTHER, SL_SHOWS_MALFORMED, SL_SHOWS_LATE};
    for (size_t i = 0; i < sizeof nameless; i++) {
        CHECK_STR(NAME(.address = "9.9.9.9", .shows = nameless[i]), "deny inner inner_name_missing:");
        CHECK_STR(NAME(.address = "9.9.9.9", .shows = nameless[i], .audit = 1),
                  "audit inner inner_name_missing would_deny:");
        CHECK_STR(NAME(.address = "8.8.8.8", .shows = nameless[i]),
                  nameless[i] == SL_SHOWS_MALFORMED ? "deny inner inner_name_mismatch net look_inside:"
                                                    : "allow address rule_allow net look_inside:");
    }
    CHECK_STR(NAME(.address = "9.9.9.9", .shows = SL_SHOWS_TOO_LONG), "deny inner inner_too_long:");
    CHECK_STR(NAME(.address = "8.8.8.8", .shows = SL_SHOWS_TOO_LONG), "deny inner inner_too_long net look_inside:");
    fixture_free(&f);
}

TEST(a_tunnel_that_stands_cannot_change_its_way)
{
    struct fixture f = fixture_new();
    with(&f, SL_TIER_ALLOW, "direct", NULL, 0, "a.com");
    with(&f, SL_TIER_ALLOW, "corp", "parent", 0, "corp.com");
    with(&f, SL_TIER_ALLOW, "net", NULL, 0, "8.0.0.0/8");
    with(&f, SL_TIER_ALLOW, "behind", "parent", 0, "10.0.0.0/8");
    finish(&f);
    CHECK_STR(NAME(.host = "a.com", .address = "8.8.8.8", .dialed = 1), "allow name rule_allow direct: protocol");
    CHECK_STR(NAME(.host = "a.com", .address = "8.8.8.8", .dialed = 1, .way = "parent"), "deny name other_way direct:");
    CHECK_STR(NAME(.host = "corp.com", .dialed = 1, .way = "parent"), "allow delegated rule_allow corp: protocol");
    CHECK_STR(NAME(.host = "corp.com", .dialed = 1, .way = "other"), "deny delegated other_way corp:");
    CHECK_STR(NAME(.host = "corp.com", .address = "8.8.8.8", .dialed = 1), "deny delegated other_way corp:");
    CHECK_STR(NAME(.address = "10.1.1.1", .dialed = 1, .way = "parent"), "allow address rule_allow behind:");
    CHECK_STR(NAME(.address = "10.1.1.1", .dialed = 1), "deny address other_way behind:");
    /* A parent resolved them: now there is no address that could be judged, or none that the rule allows. */
    CHECK_STR(NAME(.host = "a.com", .dialed = 1, .way = "parent"), "deny name other_way direct:");
    CHECK_STR(NAME(.host = "b.com", .dialed = 1, .way = "parent"), "deny name other_way pending:");
    /* What waits for its name is dialed already, and directly. */
    CHECK_STR(NAME(.address = "9.9.9.9", .dialed = 1), "deny address inner_name_missing provisional: protocol");
    CHECK_STR(NAME(.address = "9.9.9.9", .inner = "a.com"), "allow inner rule_allow direct:");
    CHECK_STR(NAME(.address = "9.9.9.9", .inner = "corp.com"), "deny inner other_way corp:");
    CHECK_STR(NAME(.address = "9.9.9.9", .inner = "corp.com", .audit = 1), "deny inner other_way corp:");
    fixture_free(&f);
}

TEST(a_hard_deny_of_the_address_of_a_tunnel_that_stands_outranks_the_denial_of_its_name)
{
    struct fixture f = fixture_new();
    with(&f, SL_TIER_ALLOW, "direct", NULL, 0, "a.com");
    with(&f, SL_TIER_DENY, "no", NULL, 0, "b.com");
    with(&f, SL_TIER_DENY, "soft", NULL, 0, "7.0.0.0/8");
    with(&f, SL_TIER_HARD_DENY, "hard", NULL, 0, "9.0.0.0/8");
    finish(&f);
    CHECK_STR(NAME(.host = "b.com", .address = "9.9.9.9", .dialed = 1), "deny address rule_hard_deny hard:");
    CHECK_STR(NAME(.host = "other.com", .address = "9.9.9.9", .dialed = 1), "deny address rule_hard_deny hard:");
    CHECK_STR(NAME(.host = "b.com", .address = "7.7.7.7", .dialed = 1), "deny name rule_deny no:");
    CHECK_STR(NAME(.host = "b.com", .address = "10.1.1.1", .dialed = 1), "deny name rule_deny no:");
    CHECK_STR(NAME(.host = "b.com", .address = "9.9.9.9"), "deny name rule_deny no:"); /* never resolved */
    fixture_free(&f);
}

struct routes {
    int asked, by_source;
};

static int routed(void *asked, const struct sl_addr *addr, uint16_t port, const struct sl_decision *by)
{
    struct routes *routes = asked;
    CHECK_EQ(addr->family, 4);
    CHECK_EQ(port, 1080);
    routes->asked++;
    return by ? routes->by_source : 0;
}

TEST(the_kernel_is_asked_for_ports_of_the_gateway_and_by_source)
{
    for (int sourced = 0; sourced < 2; sourced++)
        for (int local = 0; local < 2; local++) {
            struct fixture f = fixture_new();
            struct sl_rule rule = {.tier = SL_TIER_ALLOW};
            const char *sources = "{\"sourceAddress\": [\"192.0.2.1\"]}";
            uint32_t id, who, attachment, mesh, principal;
            struct sl_settings settings = {0};
            if (sourced) CHECK_EQ(sl_builder_string(f.b, sources, strlen(sources), &settings.sources), SL_BUILD_OK);
            CHECK_EQ(sl_builder_settings(f.b, &settings, &rule.settings), SL_BUILD_OK);
            CHECK_EQ(sl_builder_rule(f.b, &rule, &id), SL_BUILD_OK);
            CHECK_EQ(sl_builder_principal(f.b, SL_PRINCIPAL_MESH, "", "", 0, &principal), SL_BUILD_OK);
            CHECK_EQ(sl_builder_selector(f.b, principal, NULL, 1, &mesh), SL_BUILD_OK);
            CHECK_EQ(sl_builder_who(f.b, &mesh, 1, &who), SL_BUILD_OK);
            CHECK_EQ(sl_builder_attach(f.b, id, SL_TIER_ALLOW, 0, 0, who, &attachment), SL_BUILD_OK);
            cidr(&f, attachment, "8.0.0.0/8");
            own_port(&f, 1080);
            finish(&f);
            struct sl_source source;
            struct sl_addr address = fixture_addr("8.8.8.8");
            struct routes routes = {0, local};
            struct sl_question question = {
                .source = &source, .address = &address, .port = 443, .is_local = routed, .asked = &routes};
            struct sl_decision d;
            sl_judge(&f.image, &question, SL_PHASE_ADDRESS, NULL, &d, NULL);
            CHECK_EQ(d.verdict, SL_ALLOW);
            CHECK_EQ(routes.asked, 0);
            question.port = 1080;
            sl_judge(&f.image, &question, SL_PHASE_ADDRESS, NULL, &d, NULL);
            CHECK_EQ(d.verdict, sourced && local ? SL_DENY : SL_ALLOW);
            CHECK_EQ(d.reason, sourced && local ? SL_REASON_OWN_ADDRESS : SL_REASON_RULE_ALLOW);
            CHECK_EQ(routes.asked, 1 + sourced);
            fixture_free(&f);
        }
}

/* 1 where it is asked for the own port. */
static int at_own_port(void *asked, const struct sl_addr *addr, uint16_t port, const struct sl_decision *by)
{
    (void)addr, (void)by;
    ++*(unsigned *)asked;
    return port == 1080;
}

TEST(tls_has_a_port_and_is_a_way)
{
    static const char text[] = "{\"port\":1080}", off[] = "{}";
    struct fixture f = fixture_new();
    struct sl_rule rule = {.tier = SL_TIER_ALLOW, .tls_port = 1080}, plain = {.tier = SL_TIER_ALLOW};
    uint32_t id[2], who, attachment, mesh, principal;
    CHECK_EQ(sl_builder_string(f.b, text, strlen(text), &rule.tls), SL_BUILD_OK);
    CHECK_EQ(sl_builder_string(f.b, off, strlen(off), &plain.tls), SL_BUILD_OK);
    CHECK_EQ(sl_builder_rule(f.b, &rule, &id[0]), SL_BUILD_OK);
    CHECK_EQ(sl_builder_rule(f.b, &plain, &id[1]), SL_BUILD_OK);
    CHECK_EQ(sl_builder_principal(f.b, SL_PRINCIPAL_MESH, "", "", 0, &principal), SL_BUILD_OK);
    CHECK_EQ(sl_builder_selector(f.b, principal, NULL, 1, &mesh), SL_BUILD_OK);
    CHECK_EQ(sl_builder_who(f.b, &mesh, 1, &who), SL_BUILD_OK);
    CHECK_EQ(sl_builder_attach(f.b, id[0], SL_TIER_ALLOW, 0, 0, who, &attachment), SL_BUILD_OK);
    cidr(&f, attachment, "8.0.0.0/8");
    CHECK_EQ(sl_builder_attach(f.b, id[1], SL_TIER_ALLOW, 0, 1, who, &attachment), SL_BUILD_OK);
    cidr(&f, attachment, "8.8.0.0/16");
    own_port(&f, 1080);
    finish(&f);
    struct sl_source source;
    struct sl_addr address = fixture_addr("8.1.1.1");
    unsigned asked = 0;
    struct sl_question question = {
        .source = &source, .address = &address, .port = 80, .is_local = at_own_port, .asked = &asked};
    struct sl_decision d;
    sl_judge(&f.image, &question, SL_PHASE_ADDRESS, NULL, &d, NULL);
    CHECK_EQ(d.verdict, SL_DENY);
    CHECK_EQ(d.reason, SL_REASON_OWN_ADDRESS);
    CHECK_EQ(asked, 1);
    question.is_local = NULL;
    sl_judge(&f.image, &question, SL_PHASE_ADDRESS, NULL, &d, NULL);
    CHECK_EQ(d.verdict, SL_ALLOW);
    CHECK_STR(sl_judged_tls(&f.image, &d), text);
    CHECK_EQ(sl_judged_port(&f.image, &d, 80), 1080);
    question.dialed = 1;
    sl_judge(&f.image, &question, SL_PHASE_ADDRESS, NULL, &d, NULL);
    CHECK_EQ(d.reason, SL_REASON_OTHER_WAY);
    question.tls = text;
    sl_judge(&f.image, &question, SL_PHASE_ADDRESS, NULL, &d, NULL);
    CHECK_EQ(d.verdict, SL_ALLOW);
    address = fixture_addr("8.8.1.1");
    sl_judge(&f.image, &question, SL_PHASE_ADDRESS, NULL, &d, NULL);
    CHECK_EQ(d.reason, SL_REASON_OTHER_WAY);
    question.tls = NULL;
    sl_judge(&f.image, &question, SL_PHASE_ADDRESS, NULL, &d, NULL);
    CHECK_EQ(d.verdict, SL_ALLOW);
    CHECK(!sl_judged_tls(&f.image, &d));
    CHECK_EQ(sl_judged_port(&f.image, &d, 80), 80);
    fixture_free(&f);
}

TEST(a_step_at_a_time_is_the_same_answer)
{
    struct fixture f = fixture_new();
    with(&f, SL_TIER_ALLOW, "host", NULL, 0, "a.com");
    with(&f, SL_TIER_ALLOW, "net", NULL, SL_INNER_AUDIT, "8.0.0.0/8");
    with(&f, SL_TIER_HARD_DENY, "never", NULL, 0, "8.8.4.4/32");
    finish(&f);
    static const char *const hosts[] = {"a.com", "b.com", NULL};
    static const char *const addresses[] = {"8.8.8.8", "8.8.4.4", "9.9.9.9", "127.0.0.1"};
    static const char *const inners[] = {"a.com", "b.com"};
    for (size_t h = 0; h < 3; h++)
        for (size_t a = 0; a < 4; a++)
            for (size_t i = 0; i < 2; i++) {
                struct ask q = {.host = hosts[h], .address = addresses[a], .port = 443, .inner = inners[i]};
                struct sl_source source;
                struct sl_addr address = fixture_addr(q.address);
                struct sl_question question = {.source = &source,
                                               .host = q.host,
                                               .port = 443,
                                               .host_length = q.host ? strlen(q.host) : 0,
                                               .shows = SL_SHOWS_TLS,
                                               .inner = q.inner,
                                               .inner_length = strlen(q.inner)};
                struct sl_decision name, out, inside, whole = ask(&f, q);
                if (q.host) sl_judge(&f.image, &question, SL_PHASE_NAME, NULL, &name, NULL);
                question.address = &address;
                sl_judge(&f.image, &question, SL_PHASE_ADDRESS, q.host ? &name : NULL, &out, NULL);
                sl_judge(&f.image, &question, SL_PHASE_INNER, &out, &inside, NULL);
                CHECK_STR(said(&f, inside), said(&f, whole));
            }
    fixture_free(&f);
}

TEST(nothing_asked_and_a_login_that_is_gone_are_denied)
{
    struct fixture f = fixture_new();
    CHECK_EQ(sl_builder_flags(f.b, SL_IMAGE_PASSTHROUGH | SL_IMAGE_AUDIT), SL_BUILD_OK);
    finish(&f);
    struct sl_source source;
    struct sl_question question = {.source = &source};
    struct sl_decision d;
    CHECK_EQ(sl_judge(&f.image, &question, SL_PHASE_REQUEST, NULL, &d, NULL), 0);
    CHECK_STR(said(&f, d), "deny name internal");
    question.host = "a.com";
    question.host_length = 5;
    question.unauthorized = SL_REASON_UNAUTHORIZED;
    CHECK_EQ(sl_judge(&f.image, &question, SL_PHASE_NAME, NULL, &d, NULL), 0);
    CHECK_STR(said(&f, d), "deny name unauthorized");
    CHECK(sl_refused(&d));
    fixture_free(&f);
}

int main(void)
{
    RUN(a_decision_says_what_it_needs);
    RUN(what_shows_inside_is_held_against_the_name);
    RUN(what_was_asked_by_address_and_shows_no_name);
    RUN(a_tunnel_that_stands_cannot_change_its_way);
    RUN(a_hard_deny_of_the_address_of_a_tunnel_that_stands_outranks_the_denial_of_its_name);
    RUN(the_kernel_is_asked_for_ports_of_the_gateway_and_by_source);
    RUN(tls_has_a_port_and_is_a_way);
    RUN(a_step_at_a_time_is_the_same_answer);
    RUN(nothing_asked_and_a_login_that_is_gone_are_denied);
    return CHECK_REPORT();
}
