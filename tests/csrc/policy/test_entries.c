/* Lists of entries: however an image is laid out, with clauses and indexes or without, a source meets the same items.
 * The yardstick is the layout that has neither: each selector's items, one after the other. */
#include "policy/entries.h"

#include "policy/lookup.h"
#include "policy_fixture.h"

enum { SOURCES = 6, PORTS = 12, SETS = 5 };

static uint32_t next_number(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* ---- random policies --------------------------------------------------------------------------------------------- */

static uint32_t draw_ports(struct fixture *f, uint32_t *state)
{
    struct sl_port_range ranges[4];
    uint32_t id;
    size_t count = next_number(state) % 4;
    for (size_t i = 0; i < count; i++) {
        uint32_t low = next_number(state) % 40 + (next_number(state) % 9 ? 0 : 65490);
        uint32_t high = low + (next_number(state) % 2 ? next_number(state) % 20 : 0);
        ranges[i] = (struct sl_port_range){(uint16_t)low, (uint16_t)(high < 65535 ? high : 65535)};
    }
    CHECK_EQ(sl_builder_portset(f->b, ranges, count, &id), SL_BUILD_OK);
    return id;
}

static uint32_t draw_rule(struct fixture *f, uint32_t *state, uint8_t tier)
{
    struct sl_rule rule = {.tier = tier};
    uint32_t id, dice = next_number(state);
    if (dice % 3 == 0) rule.inner = SL_INNER_AUDIT;
    if (dice % 5 == 0) rule.on_revoke_set = 1;
    if (dice % 7 == 0) rule.protocol = SL_INNER_PROTOCOL_TLS;
    if (dice % 11 == 0) CHECK_EQ(sl_builder_string(f->b, "corp", 4, &rule.upstream), SL_BUILD_OK);
    CHECK_EQ(sl_builder_rule(f->b, &rule, &id), SL_BUILD_OK);
    return id;
}

static void hang(struct fixture *f, uint32_t *state, uint32_t attachment)
{
    uint32_t dice = next_number(state);
    if (dice % 3) host(f, attachment, dice % 2 ? "*.example.com" : "api.example.com");
    if (dice % 3 && dice % 5 == 0) host_except(f, attachment, "api.example.com");
    if (dice % 3 != 1) cidr(f, attachment, dice % 2 ? "10.0.0.0/8" : "10.1.0.0/16");
    if (dice % 7 == 0) cidr(f, attachment, "8.0.0.0/7");
    if (dice % 3 != 1 && dice % 5 == 0) cidr_except(f, attachment, "10.1.2.0/24");
}

/* The same policy for the same seed; only its layout differs. */
static struct fixture draw(uint32_t seed, unsigned items, uint32_t spread, uint32_t walked)
{
    struct fixture f = fixture_new();
    uint32_t state = seed, sets[SETS], who;
    static const char *const accounts[] = {"a", "b", "c", "d"};
    from_mesh(&f);
    from(&f, SL_PRINCIPAL_MESH, "", "", "10.0.0.0/8", 0);
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 1);
    for (unsigned i = 0; i < 4; i++) from(&f, SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", accounts[i], NULL, 1);
    for (unsigned i = 0; i < SETS; i++) {
        uint32_t members[7];
        size_t count = 0;
        for (unsigned j = 0; j < 7; j++)
            if (next_number(&state) % 2 || (j == 6 && count == 0)) members[count++] = f.selectors[j];
        CHECK_EQ(sl_builder_who(f.b, members, count, &sets[i]), SL_BUILD_OK);
    }
    for (unsigned i = 0; i < items; i++) {
        uint8_t group = (uint8_t)(next_number(&state) % 3), class = group ? (uint8_t)(next_number(&state) % 3) : 0;
        uint8_t tier = (uint8_t)(group ? SL_TIER_DEFAULT_ALLOW + next_number(&state) % 7
                                       : SL_TIER_AUDIT + next_number(&state) % 4);
        uint32_t one = f.selectors[next_number(&state) % 7], attachment, order = (i * 7919u) % 10007u;
        CHECK_EQ(sl_builder_who(f.b, &one, 1, &who), SL_BUILD_OK);
        if (next_number(&state) % 2) who = sets[next_number(&state) % SETS];
        uint32_t rule = draw_rule(&f, &state, tier);
        uint32_t portset = draw_ports(&f, &state);
        CHECK_EQ(sl_builder_attach_in(f.b, rule, tier, portset, order, who, group, class, &attachment), SL_BUILD_OK);
        hang(&f, &state, attachment);
    }
    sl_builder_network(f.b, &(struct sl_prefix){.addr = fixture_addr("10.2.0.0"), .length = 16}, "shop", "d");
    sl_builder_layout(f.b, spread, walked);
    CHECK_EQ(sl_builder_finish(f.b, &f.data, &f.size), SL_BUILD_OK);
    char where[64];
    CHECK_EQ(sl_image_validate(f.data, f.size, &f.image, where), SL_IMAGE_OK);
    return f;
}

static struct sl_source source(const struct fixture *f, unsigned number)
{
    struct sl_source out;
    static const char *const addresses[] = {"10.1.1.1", "10.2.1.1", "192.0.2.1"};
    struct sl_source_key key = {.addr = fixture_addr(addresses[number % 3])};
    static const char *const accounts[SOURCES] = {"a", "b", NULL, "c", "d", "x"};
    key.namespace_ = accounts[number] ? "shop" : NULL;
    key.service_account = accounts[number];
    sl_source_resolve(&f->image, &key, &out);
    return out;
}

/* ---- comparison -------------------------------------------------------------------------------------------------- */

/* Attachments of one policy have the same numbers in every layout. */
static void check_match(const struct fixture *a, const struct sl_match *x, const struct fixture *b,
                        const struct sl_match *y)
{
    CHECK_EQ(x->attachment != NULL, y->attachment != NULL);
    if (!x->attachment) return;
    const struct sl_attachment *first = sl_image_record(&a->image, SL_SEC_ATTACHMENTS, 0);
    const struct sl_attachment *other = sl_image_record(&b->image, SL_SEC_ATTACHMENTS, 0);
    CHECK_EQ(x->attachment - first, y->attachment - other);
    CHECK_EQ(x->selector, y->selector);
    CHECK_EQ(x->depth, y->depth);
    CHECK_EQ(x->port_class, y->port_class);
}

static void check_matches(const struct fixture *a, const struct sl_path *at, const struct fixture *b,
                          const struct sl_path *bt, unsigned who, uint16_t port, struct sl_trail *trail)
{
    struct sl_matches x, y;
    struct sl_source from_a = source(a, who), from_b = source(b, who);
    struct sl_asked ask_a = {.image = &a->image, .source = &from_a, .port = port};
    struct sl_asked ask_b = {.image = &b->image, .source = &from_b, .port = port};
    sl_match_path(&ask_a, at, SL_PHASE_NAME, &x, NULL);
    sl_match_path(&ask_b, bt, SL_PHASE_NAME, &y, trail);
    CHECK_EQ(x.broken + y.broken, 0);
    CHECK_EQ(x.lifts, y.lifts);
    CHECK_EQ(x.lower, y.lower);
    for (unsigned tier = SL_TIER_DEFAULT_ALLOW; tier <= SL_TIER_HARD_DENY; tier++)
        check_match(a, &x.best[tier], b, &y.best[tier]);
    CHECK_EQ(x.sets_any, y.sets_any); /* without one there is nothing in `sets` */
    for (unsigned sets = 0; x.sets_any && sets <= SL_SETS(SL_TIER_DENY); sets++)
        for (unsigned i = 0; i < SL_ATTR_COUNT; i++) check_match(a, &x.sets[sets][i], b, &y.sets[sets][i]);
    const uint32_t *lists[2][3] = {
        {&a->image.header->cidr_reach, &a->image.header->host_reach, &a->image.header->host_deny_reach},
        {&b->image.header->cidr_reach, &b->image.header->host_reach, &b->image.header->host_deny_reach},
    };
    int broken = 0;
    for (unsigned i = 0; i < 3; i++)
        CHECK_EQ(sl_reaches(&ask_a, *lists[0][i], 0, &broken), sl_reaches(&ask_b, *lists[1][i], 0, &broken));
    CHECK_EQ(broken, 0);
}

static void check_layouts(uint32_t seed, const struct fixture *plain, const struct fixture *other)
{
    static const char *const names[] = {"api.example.com", "x.example.com"};
    static const char *const addresses[] = {"10.1.2.3", "10.1.9.9", "10.9.9.9", "8.8.8.8"};
    uint32_t state = seed;
    for (unsigned i = 0; i < PORTS * SOURCES; i++) {
        struct sl_path at, bt;
        struct sl_trail trail = {.count = 0};
        uint16_t port = (uint16_t)(i % 5 ? next_number(&state) % 64 : 65480 + next_number(&state) % 56);
        struct sl_addr addr = fixture_addr(addresses[i % 4]);
        sl_path_name(&plain->image, names[i % 2], strlen(names[i % 2]), &at);
        sl_path_name(&other->image, names[i % 2], strlen(names[i % 2]), &bt);
        check_matches(plain, &at, other, &bt, i % SOURCES, port, i % 3 ? NULL : &trail);
        sl_path_address(&plain->image, SL_TRIE_DEST, &addr, &at);
        sl_path_address(&other->image, SL_TRIE_DEST, &addr, &bt);
        check_matches(plain, &at, other, &bt, i % SOURCES, port, i % 3 ? NULL : &trail);
    }
}

static void check_policies(uint32_t spread, uint32_t walked)
{
    for (uint32_t seed = 1; seed <= 24; seed++) {
        unsigned items = 4 + seed * seed % 160;
        struct fixture plain = draw(seed, items, UINT32_MAX, UINT32_MAX), other = draw(seed, items, spread, walked);
        check_layouts(seed, &plain, &other);
        fixture_free(&plain);
        fixture_free(&other);
    }
}

TEST(sources_meet_the_same_items_through_clauses)
{
    check_policies(0, UINT32_MAX);
}

TEST(sources_meet_the_same_items_through_an_index)
{
    check_policies(UINT32_MAX, 0);
}

TEST(sources_meet_the_same_items_in_the_layout_of_images)
{
    check_policies(8, 16);
    check_policies(0, 2);
}

/* ---- layouts ----------------------------------------------------------------------------------------------------- */

/* `count` accounts of one rule with as many hosts. */
static struct fixture product(unsigned count)
{
    struct fixture f = fixture_new();
    uint32_t selectors[64], who, rule, attachment, principal;
    struct sl_rule record = {.tier = SL_TIER_ALLOW};
    char text[32];
    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, "sa%u", i);
        CHECK_EQ(sl_builder_principal(f.b, SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", text, 0, &principal), SL_BUILD_OK);
        CHECK_EQ(sl_builder_selector(f.b, principal, NULL, 1, &selectors[i]), SL_BUILD_OK);
    }
    CHECK_EQ(sl_builder_who(f.b, selectors, count, &who), SL_BUILD_OK);
    for (unsigned i = 0; i < count; i++) {
        snprintf(text, sizeof text, "h%u.example.com", i);
        CHECK_EQ(sl_builder_rule(f.b, &record, &rule), SL_BUILD_OK);
        CHECK_EQ(sl_builder_attach(f.b, rule, SL_TIER_ALLOW, 0, i, who, &attachment), SL_BUILD_OK);
        host(&f, attachment, text);
    }
    CHECK_EQ(sl_builder_finish(f.b, &f.data, &f.size), SL_BUILD_OK);
    CHECK_EQ(sl_image_validate(f.data, f.size, &f.image, NULL), SL_IMAGE_OK);
    return f;
}

TEST(many_sources_with_many_destinations_are_not_multiplied)
{
    struct fixture few = product(6), many = product(60);
    CHECK_EQ(few.image.header->clauses, 0);
    CHECK_EQ(few.image.header->sections[SL_SEC_ENTRIES].count, 6 * 6 + 6); /* and the reach list */
    CHECK_EQ(many.image.header->clauses, 1);
    CHECK_EQ(many.image.header->sections[SL_SEC_ENTRIES].count, 60 + 1);
    CHECK_EQ(many.image.header->sections[SL_SEC_CLAUSES].count, 1); /* all are in the same ones */
    fixture_free(&few);
    fixture_free(&many);
}

/* `count` rules for the mesh at one name. */
static struct fixture crowd(unsigned count, int same_port)
{
    struct fixture f = fixture_new();
    char ports[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(ports, sizeof ports, "%u", same_port ? 443 : 1000 + i);
        host(&f, item(&f, "r", SL_TIER_ALLOW, ports), "api.example.com");
    }
    CHECK_EQ(sl_builder_finish(f.b, &f.data, &f.size), SL_BUILD_OK);
    CHECK_EQ(sl_image_validate(f.data, f.size, &f.image, NULL), SL_IMAGE_OK);
    return f;
}

TEST(long_runs_alone_have_an_index)
{
    struct fixture f[] = {crowd(16, 0), crowd(17, 0), crowd(300, 1)};
    CHECK_EQ(f[0].image.header->sections[SL_SEC_RUNS].count, 0);
    CHECK_EQ(f[1].image.header->sections[SL_SEC_RUNS].count, 2); /* of the name, and of the reach list */
    CHECK_EQ(f[1].image.header->sections[SL_SEC_CANDIDATES].count, 2 * 17);
    CHECK_EQ(f[2].image.header->sections[SL_SEC_RUNS].count, 1);
    CHECK_EQ(f[2].image.header->sections[SL_SEC_CANDIDATES].count, 1); /* the first outdoes all others */
    for (unsigned i = 0; i < 3; i++) fixture_free(&f[i]);
}

int main(void)
{
    RUN(sources_meet_the_same_items_through_clauses);
    RUN(sources_meet_the_same_items_through_an_index);
    RUN(sources_meet_the_same_items_in_the_layout_of_images);
    RUN(many_sources_with_many_destinations_are_not_multiplied);
    RUN(long_runs_alone_have_an_index);
    return CHECK_REPORT();
}
