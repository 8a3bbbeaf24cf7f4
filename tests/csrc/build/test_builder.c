/* The builder: what is shared, what is refused, lists of names, and that running out of memory or of room is said,
 * never papered over with a wrong image. */
#include "build/builder_private.h"
#include "policy_fixture.h"

/* Linked with --wrap: the next `budget` allocations succeed, then all fail. Negative: no limit. */
static long budget = -1;
void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

static int granted(void)
{
    if (budget == 0) return 0;
    if (budget > 0) budget--;
    return 1;
}

void *__wrap_malloc(size_t size)
{
    return granted() ? __real_malloc(size) : NULL;
}

void *__wrap_calloc(size_t count, size_t size)
{
    return granted() ? __real_calloc(count, size) : NULL;
}

void *__wrap_realloc(void *old, size_t size)
{
    return granted() ? __real_realloc(old, size) : NULL;
}

TEST(texts_principals_selectors_and_ports_are_shared)
{
    struct sl_builder *b = sl_builder_new();
    uint32_t one, two;
    CHECK_EQ(sl_builder_string(b, "shop", 4, &one), SL_BUILD_OK);
    CHECK_EQ(sl_builder_string(b, "shopping", 4, &two), SL_BUILD_OK);
    CHECK_EQ(one, two);
    CHECK_EQ(sl_builder_string(b, "", 0, &two), SL_BUILD_OK);
    CHECK_EQ(two, 0);
    CHECK_EQ(sl_builder_string(b, "a\0b", 3, &two), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_principal(b, SL_PRINCIPAL_NAMESPACE, "shop", "", 0, &one), SL_BUILD_OK);
    CHECK_EQ(sl_builder_principal(b, SL_PRINCIPAL_NAMESPACE, "shop", "", 1, &two), SL_BUILD_OK);
    CHECK_EQ(one, two);
    CHECK_EQ(SL_AT(struct sl_principal, b->principals, one).audit, 1);
    struct sl_prefix ten = fixture_prefix("10.0.0.0/8"), ten16 = fixture_prefix("10.0.0.0/16");
    uint32_t any, wide, narrow, again;
    CHECK_EQ(sl_builder_selector(b, one, NULL, 0, &any), SL_BUILD_OK);
    CHECK_EQ(sl_builder_selector(b, one, &ten, 0, &wide), SL_BUILD_OK);
    CHECK_EQ(sl_builder_selector(b, one, &ten16, 0, &narrow), SL_BUILD_OK);
    CHECK_EQ(sl_builder_selector(b, one, &ten, 1, &again), SL_BUILD_OK);
    CHECK(any != wide && wide != narrow && any != narrow);
    CHECK_EQ(wide, again);
    CHECK_EQ(SL_AT(struct sl_selector, b->selectors, wide).flags, SL_SELECTOR_HAS_ALLOW);
    CHECK_EQ(SL_AT(struct sl_selector, b->selectors, any).rank, 3 * 256);
    CHECK_EQ(SL_AT(struct sl_selector, b->selectors, wide).rank, 3 * 256 + 9);
    CHECK_EQ(SL_AT(struct sl_selector, b->selectors, narrow).rank, 3 * 256 + 17);
    sl_builder_free(b);
}

TEST(portsets_are_sorted_merged_and_shared)
{
    static const struct {
        const char *in, *out;
    } rows[] = {
        {"443", "443-443"},     {"443,80", "80-80 443-443"},    {"80,81", "80-80 81-81"},
        {"80-90,85", "80-90"},  {"85,80-90,91", "80-90 91-91"}, {"80-90,90-100", "80-100"},
        {"443,443", "443-443"}, {"1-65535,5,7-9", "1-65535"},   {"0,65535", "0-0 65535-65535"},
        {"5-9,1-3,2-6", "1-9"},
    };
    struct sl_builder *b = sl_builder_new();
    uint32_t id, again;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sl_port_range ranges[16];
        size_t count = fixture_ports(rows[i].in, ranges);
        char text[160] = "";
        CHECK_EQ(sl_builder_portset(b, ranges, count, &id), SL_BUILD_OK);
        const struct sl_portset *set = &SL_AT(struct sl_portset, b->portsets, id);
        for (uint32_t j = 0; j < set->count; j++) {
            const struct sl_port_range *range = &SL_AT(struct sl_port_range, b->ranges, set->first + j);
            snprintf(text + strlen(text), sizeof text - strlen(text), "%s%u-%u", j ? " " : "", range->low, range->high);
        }
        CHECK_STR(text, rows[i].out);
        CHECK_EQ(sl_builder_portset(b, ranges, count, &again), SL_BUILD_OK);
        CHECK_EQ(id, again);
    }
    struct sl_port_range backwards = {9, 8};
    CHECK_EQ(sl_builder_portset(b, &backwards, 1, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_portset(b, NULL, 0, &id), SL_BUILD_OK);
    CHECK_EQ(id, 0);
    sl_builder_free(b);
}

TEST(sets_of_attachments_do_not_depend_on_the_order_of_adding)
{
    struct sl_builder *b = sl_builder_new();
    static const uint32_t orders[][5] = {{2, 4, 6, 8, 10}, {10, 8, 6, 4, 2}, {6, 2, 10, 4, 8}, {8, 10, 2, 6, 4}};
    uint32_t want = 0;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        uint32_t set = 0;
        for (size_t j = 0; j < 5; j++) {
            CHECK_EQ(sl_set_add(b, &set, orders[i][j]), SL_BUILD_OK);
            uint32_t same = set;
            for (size_t k = 0; k <= j; k++) CHECK_EQ(sl_set_add(b, &same, orders[i][k]), SL_BUILD_OK);
            CHECK_EQ(same, set); /* what is there is not added again */
        }
        if (i == 0) want = set;
        CHECK_EQ(set, want);
    }
    sl_builder_free(b);
}

TEST(names_under_the_same_rules_share_one_list)
{
    struct fixture f = fixture_new();
    uint32_t first = item(&f, "first", SL_TIER_ALLOW, ""), second = item(&f, "second", SL_TIER_ALLOW, "");
    char name[32];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "n%u.example.com", i);
        host(&f, first, name);
    }
    for (unsigned i = 500; i < 1000; i++) {
        snprintf(name, sizeof name, "n%u.example.com", i);
        host(&f, second, name);
        host(&f, second, name);
    }
    for (unsigned i = 0; i < 10; i++) { /* out of order */
        snprintf(name, sizeof name, "m%u.example.com", i);
        host(&f, second, name);
        host(&f, first, name);
    }
    finish(&f);
    CHECK_EQ(f.image.header->sections[SL_SEC_NODES].count, 1 + 2 + 1010);
    CHECK_EQ(f.image.header->sections[SL_SEC_LISTS].count, 1 + 2 + 1); /* {first}, {first, second}, host_reach */
    CHECK_EQ(f.image.header->sections[SL_SEC_ENTRIES].count, 1 + 2 + 1);
    CHECK_STR(ASK(&f, .host = "n7.example.com", .port = 1), "allow name rule_allow first");
    CHECK_STR(ASK(&f, .host = "n1000.example.com", .port = 1), "deny name no_rule");
    fixture_free(&f);
}

TEST(labels_are_stored_once_while_they_are_recent)
{
    struct fixture f = fixture_new();
    uint32_t r = item(&f, "r", SL_TIER_ALLOW, "");
    char name[32];
    for (unsigned i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "www.a%02u.com", i);
        host(&f, r, name);
    }
    finish(&f);
    CHECK_EQ(f.image.header->sections[SL_SEC_LABELS].count, 4 + 4 + 100 * 4);
    CHECK_STR(ASK(&f, .host = "www.a99.com", .port = 1), "allow name rule_allow r");
    fixture_free(&f);
}

static enum sl_build_status add_list(struct fixture *f, uint32_t r, const char *text, uint64_t *names, uint64_t *line,
                                     enum sl_name_status *why)
{
    size_t length = strlen(text);
    uint8_t *copy = malloc(length ? length : 1); /* exactly as long, so that a read past the end is found */
    memcpy(copy, text, length);
    enum sl_build_status status = sl_builder_host_list(f->b, r, copy, length, names, line, why);
    free(copy);
    return status;
}

TEST(lists_of_names)
{
    struct fixture f = fixture_new();
    uint32_t r = item(&f, "r", SL_TIER_ALLOW, "");
    uint64_t names, line;
    enum sl_name_status why;
    CHECK_EQ(add_list(&f, r,
                      "\xef\xbb\xbf"
                      "a.com\r\n\r\n# all\n  *.B.com. # below\n\t\nc.com#\nc.com\n#\xff\nlast.com",
                      &names, &line, &why),
             SL_BUILD_OK);
    CHECK_EQ(names, 5);
    CHECK_EQ(line, 9);
    CHECK_EQ(add_list(&f, r, "", &names, &line, &why), SL_BUILD_OK);
    CHECK_EQ(names, 0);
    CHECK_EQ(add_list(&f, r, "\n\n#\n", &names, &line, &why), SL_BUILD_OK);
    CHECK_EQ(names, 0);
    static const struct {
        const char *text;
        uint64_t line;
        enum sl_name_status why;
    } bad[] = {
        {"a b", 1, SL_NAME_BAD_BYTE},
        {"ok.com\n\n*x.com\n", 3, SL_NAME_BAD_WILDCARD},
        {"a\n1.2.3.4\n", 2, SL_NAME_ADDRESS},
        {"a\n\xc3\xbc.com", 2, SL_NAME_NON_ASCII},
        {"..", 1, SL_NAME_EMPTY_LABEL},
        {"\n10", 2, SL_NAME_NUMERIC},
        {".", 1, SL_NAME_EMPTY},
        {"https://a.com", 1, SL_NAME_BAD_BYTE},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_AT(add_list(&f, r, bad[i].text, &names, &line, &why) == SL_BUILD_BAD_NAME, bad[i].text);
        CHECK_AT(line == bad[i].line && why == bad[i].why, bad[i].text);
    }
    finish(&f); /* a bad name does not spoil the builder */
    CHECK_STR(ASK(&f, .host = "last.com", .port = 1), "allow name rule_allow r");
    CHECK_STR(ASK(&f, .host = "x.b.com", .port = 1), "allow name rule_allow r");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 1), "deny name no_rule");
    fixture_free(&f);
}

TEST(wrong_arguments_are_refused)
{
    struct fixture f = fixture_new();
    uint32_t id, mesh, selector, who;
    enum sl_name_status why;
    struct sl_builder *b = f.b;
    struct sl_rule rule = {.tier = 0};
    CHECK_EQ(sl_builder_rule(b, &rule, &id), SL_BUILD_BAD_ARGUMENT);
    rule = (struct sl_rule){.tier = SL_TIER_DENY, .name = 5000};
    CHECK_EQ(sl_builder_rule(b, &rule, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_principal(b, 0, "", "", 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_principal(b, SL_PRINCIPAL_KIND_COUNT, "", "", 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_principal(b, SL_PRINCIPAL_MESH, "x", "", 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_principal(b, SL_PRINCIPAL_NAMESPACE, "", "", 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_principal(b, SL_PRINCIPAL_SERVICE_ACCOUNT, "x", "", 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_principal(b, SL_PRINCIPAL_IDENTITY, "x", "y", 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_selector(b, 1, NULL, 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_principal(b, SL_PRINCIPAL_MESH, "", "", 0, &mesh), SL_BUILD_OK);
    struct sl_prefix bad = {.addr = {.family = 5}, .length = 1}, ten = fixture_prefix("10.0.0.0/8"),
                     nine = fixture_prefix("9.0.0.0/8");
    CHECK_EQ(sl_builder_selector(b, mesh, &bad, 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_who(b, &mesh, 1, &who), SL_BUILD_BAD_ARGUMENT); /* not a selector yet */
    CHECK_EQ(sl_builder_selector(b, mesh, NULL, 0, &selector), SL_BUILD_OK);
    CHECK_EQ(sl_builder_who(b, &selector, 1, &who), SL_BUILD_OK);
    CHECK_EQ(sl_builder_who(b, &selector, 0, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_attach(b, 0, SL_TIER_DENY, 0, 0, who, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_host(b, 0, "a.com", 5, &why), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_cidr(b, 0, &ten), SL_BUILD_BAD_ARGUMENT);
    uint32_t r = item(&f, "r", SL_TIER_ALLOW, "");
    CHECK_EQ(sl_builder_attach(b, 1, SL_TIER_DENY, 0, 0, who + 1, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_attach(b, 1, SL_TIER_DENY, 9, 0, who, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_attach(b, 1, 0, 0, 0, who, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_host(b, r, "1.2.3.4", 7, &why), SL_BUILD_BAD_NAME);
    CHECK_EQ(why, SL_NAME_ADDRESS);
    CHECK_EQ(sl_builder_host_except(b, r, "a..b", 4, &why), SL_BUILD_BAD_NAME);
    CHECK_EQ(sl_builder_cidr(b, r, &bad), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_guard(b, &bad, 1), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_own(b, &bad, 1), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_own(b, NULL, 0), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_flags(b, 128), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_user(b, "", "a", "b"), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_user(b, "u", "a", "b"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_user(b, "u", "a", "b"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_user(b, "u", "a", "c"), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_credential(b, "u", 7), SL_BUILD_OK);
    CHECK_EQ(sl_builder_user(b, "u", "a", "b"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_credential(b, "v", 7), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_network(b, &ten, "a", "b"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_network(b, &ten, "a", "b"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_network(b, &ten, "a", "c"), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_network(b, &nine, "a", "c"), SL_BUILD_OK);
    finish(&f);
    fixture_free(&f);
}

/* A policy that touches every part of the builder; the first failure ends it. */
static enum sl_build_status build_some(struct sl_builder *b)
{
    struct sl_rule rule = {.tier = SL_TIER_ALLOW};
    struct sl_port_range ports[] = {{443, 443}, {80, 90}};
    struct sl_prefix ten = fixture_prefix("10.0.0.0/8"), ten1 = fixture_prefix("10.1.0.0/16"),
                     six = fixture_prefix("fd00::/8");
    uint32_t principal, selector, who, id, portset, attachment[2];
    uint64_t names, line;
    enum sl_name_status why;
    enum sl_build_status status;
    char list[4096], text[64];
    size_t used = 0;
    for (unsigned i = 0; i < 100; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "name%u.%c.example.com\n", i, 'a' + (int)(i % 7));
#define STEP(call) \
    if ((status = (call)) != SL_BUILD_OK) return status
    for (unsigned i = 0; i < 20; i++) {
        int length = snprintf(text, sizeof text, "namespace-%u", i);
        STEP(sl_builder_string(b, text, (size_t)length, &rule.name));
        STEP(sl_builder_principal(b, SL_PRINCIPAL_NAMESPACE, text, "", 0, &principal));
        STEP(sl_builder_selector(b, principal, i % 2 ? &ten : NULL, 1, &selector));
        STEP(sl_builder_user(b, text, "a", text));
        ports[1].high = (uint16_t)(100 + i);
        STEP(sl_builder_portset(b, ports, 2, &portset));
    }
    STEP(sl_builder_rule(b, &rule, &id));
    const uint32_t both[] = {selector, 1};
    STEP(sl_builder_who(b, both, 2, &who));
    sl_builder_layout(b, 0, 0);
    for (unsigned i = 0; i < 2; i++) STEP(sl_builder_attach(b, id, SL_TIER_ALLOW, portset, i, who, &attachment[i]));
    STEP(sl_builder_host_list(b, attachment[1], (const uint8_t *)list, used, &names, &line, &why));
    STEP(sl_builder_host_list(b, attachment[0], (const uint8_t *)list, used, &names, &line, &why));
    STEP(sl_builder_host_except(b, attachment[0], "*.a.example.com", 15, &why));
    STEP(sl_builder_cidr(b, attachment[0], &ten));
    STEP(sl_builder_cidr_except(b, attachment[0], &ten1));
    STEP(sl_builder_network(b, &ten, "n", "s"));
    STEP(sl_builder_guard(b, &six, 1));
    STEP(sl_builder_own(b, &ten, 80));
    return SL_BUILD_OK;
}

/* Builds and checks; the image, when there is one, must be a valid one that answers. */
static enum sl_build_status build_and_check(struct sl_builder *b)
{
    struct fixture f = {.b = b};
    enum sl_build_status status = build_some(b);
    if (status == SL_BUILD_OK) status = sl_builder_finish(b, &f.data, &f.size);
    budget = -1;
    if (status == SL_BUILD_OK) {
        CHECK_EQ(sl_image_validate(f.data, f.size, &f.image, NULL), SL_IMAGE_OK);
        struct ask q = {.host = "name7.a.example.com", .port = 443, .namespace_ = "namespace-19", .ip = "10.0.0.1"};
        CHECK_EQ(ask(&f, q).verdict, SL_ALLOW);
    } else {
        uint32_t id;
        CHECK(f.data == NULL && f.size == 0);
        CHECK_EQ(sl_builder_string(b, "more", 4, &id), status); /* and it stays failed */
        CHECK_EQ(sl_builder_finish(b, &f.data, &f.size), status);
        CHECK(f.data == NULL);
    }
    free(f.data);
    return status;
}

TEST(every_failing_allocation_is_reported)
{
    unsigned failures = 0;
    enum sl_build_status status = SL_BUILD_NOMEM;
    for (long allowed = 0; status == SL_BUILD_NOMEM && allowed < 10000; allowed++) {
        budget = allowed;
        struct sl_builder *b = sl_builder_new();
        if (b) status = build_and_check(b);
        budget = -1;
        sl_builder_free(b);
        failures += status == SL_BUILD_NOMEM;
    }
    CHECK_EQ(status, SL_BUILD_OK);
    CHECK(failures > 50);
}

TEST(every_overflow_of_an_index_is_reported)
{
    unsigned failures = 0;
    enum sl_build_status status = SL_BUILD_TOO_LARGE;
    for (uint64_t limit = 1; status == SL_BUILD_TOO_LARGE && limit < 100000; limit += 1 + limit / 16) {
        struct sl_builder *b = sl_builder_new();
        b->limit = limit;
        status = build_and_check(b);
        sl_builder_free(b);
        failures += status == SL_BUILD_TOO_LARGE;
    }
    CHECK_EQ(status, SL_BUILD_OK);
    CHECK(failures > 20);
}

TEST(an_image_can_be_finished_again)
{
    struct fixture f = fixture_new();
    rule_for(&f, "one", SL_TIER_ALLOW, "a.com", "");
    finish(&f);
    size_t size = f.size;
    uint8_t *first = f.data;
    f.data = NULL;
    finish(&f);
    CHECK(f.size == size && memcmp(first, f.data, size) == 0);
    rule_for(&f, "two", SL_TIER_DENY, "a.com", "");
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 1), "deny name rule_deny two");
    free(first);
    fixture_free(&f);
}

/* Random prefixes: the trie's answer against comparing with each of them. */
TEST(prefix_tries_agree_with_a_linear_search)
{
    uint32_t state = 12345;
    unsigned allowed = 0;
    struct fixture f = fixture_new();
    struct sl_prefix prefixes[400];
    uint32_t r = item(&f, "r", SL_TIER_ALLOW, "");
    for (unsigned i = 0; i < 400; i++) {
        struct sl_prefix *p = &prefixes[i];
        memset(p, 0, sizeof *p);
        p->addr.family = i % 2 ? 4 : 6;
        for (unsigned j = 0; j < 4; j++) {
            state = state * 1664525 + 1013904223;
            p->addr.bytes[j] = (uint8_t)(state >> 28 | 0x20); /* few distinct bytes: prefixes nest */
        }
        p->length = (uint8_t)(12 + (state >> 8) % 21);
        for (unsigned bit = p->length; bit < 32; bit++) p->addr.bytes[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
        CHECK_EQ(sl_builder_cidr(f.b, r, p), SL_BUILD_OK);
    }
    finish(&f);
    for (unsigned i = 0; i < 4000; i++) {
        struct sl_addr at = {.family = i % 2 ? 4 : 6};
        int expected = 0;
        for (unsigned j = 0; j < 4; j++) {
            state = state * 1664525 + 1013904223;
            at.bytes[j] = (uint8_t)(state >> 28 | 0x20);
        }
        for (unsigned j = 0; j < 400; j++) expected |= sl_prefix_contains(&prefixes[j], &at);
        struct sl_source_key key = {.addr = {.family = 0}};
        struct sl_source source;
        struct sl_decision d;
        sl_source_resolve(&f.image, &key, &source);
        struct sl_asked asked = {.image = &f.image, .source = &source, .port = 1};
        sl_decide_address(&asked, NULL, NULL, 0, &at, 0, &d, NULL);
        CHECK_EQ(d.verdict == SL_ALLOW, expected);
        allowed += d.verdict == SL_ALLOW;
    }
    CHECK(allowed > 400 && allowed < 3600); /* both answers were tried */
    fixture_free(&f);
}

int main(void)
{
    RUN(texts_principals_selectors_and_ports_are_shared);
    RUN(portsets_are_sorted_merged_and_shared);
    RUN(sets_of_attachments_do_not_depend_on_the_order_of_adding);
    RUN(names_under_the_same_rules_share_one_list);
    RUN(labels_are_stored_once_while_they_are_recent);
    RUN(lists_of_names);
    RUN(wrong_arguments_are_refused);
    RUN(every_failing_allocation_is_reported);
    RUN(every_overflow_of_an_index_is_reported);
    RUN(an_image_can_be_finished_again);
    RUN(prefix_tries_agree_with_a_linear_search);
    return CHECK_REPORT();
}
