/* Rules about requests: paths by their trie, methods, fields and parameters, what is unknown, and forged tries. */
#include "policy/paths.h"
#include "policy_fixture.h"

static uint32_t text_id(struct fixture *f, const char *text)
{
    uint32_t id;
    CHECK_EQ(sl_builder_string(f->b, text, strlen(text), &id), SL_BUILD_OK);
    return id;
}

static uint32_t literal(struct fixture *f, uint16_t kind, const char *name, const char *text, uint32_t regex)
{
    struct sl_literal wanted = {.name = text_id(f, name), .text = text_id(f, text), .regex = regex, .kind = kind};
    uint32_t id;
    CHECK_EQ(sl_builder_literal(f->b, &wanted, &id), SL_BUILD_OK);
    return id;
}

/* Texts of any length that begin with a byte; regardless of `first`, "" does not match. */
static uint32_t begins_with(struct fixture *f, uint8_t first)
{
    uint16_t cells[SL_REGEX_CLASS_CELLS + 6] = {0};
    static const uint16_t next[6] = {0, 0, 0, 2, 2, 2};
    struct sl_regex regex = {.states = 3, .width = 2, .start = 1, .accepting = 2, .certain = 2};
    uint32_t id;
    ((uint8_t *)cells)[first] = 1;
    memcpy(cells + SL_REGEX_CLASS_CELLS, next, sizeof next);
    CHECK_EQ(sl_builder_regex(f->b, &regex, cells, SL_REGEX_CLASS_CELLS + 6, &id), SL_BUILD_OK);
    return id;
}

/* A rule about a host that wants a path and, with `also`, one thing more of the request; 0 = neither. */
static void rule_wants(struct fixture *f, const char *name, uint8_t tier, const char *to, uint32_t path, uint32_t also)
{
    struct sl_condition condition = {.path = path};
    struct sl_step step = {SL_STEP_REQUEST, also};
    if (also) CHECK_EQ(sl_builder_program(f->b, &step, 1, &condition.when), SL_BUILD_OK);
    uint32_t attachment = item(f, name, tier, "");
    CHECK_EQ(sl_builder_condition(f->b, attachment, &condition), SL_BUILD_OK);
    if (strchr(to, '/'))
        cidr(f, attachment, to);
    else
        host(f, attachment, to);
}

static uint32_t exact(struct fixture *f, const char *path)
{
    return literal(f, SL_LITERAL_PATH_EXACT, "", path, 0);
}

static uint32_t prefix(struct fixture *f, const char *path)
{
    return literal(f, SL_LITERAL_PATH_PREFIX, "", path, 0);
}

static struct sl_text text(const char *at)
{
    return (struct sl_text){at, at ? strlen(at) : 0};
}

#define REQUEST(method_, path_, query_) \
    (&(const struct sl_request){.method = text(method_), .path = text(path_), .query = text(query_)})

/* Who decides about GET of a path. */
static const char *by_path(struct fixture *f, const char *path)
{
    return ASK(f, .host = "a.com", .port = 80, .request = REQUEST("GET", path, NULL));
}

/* Gateway API's path precedence: policy-model.md, example 1; and 3. */
TEST(the_better_path_wins)
{
    struct fixture f = fixture_new();
    rule_wants(&f, "prefix", SL_TIER_ALLOW, "a.com", prefix(&f, "/match"), 0);
    rule_wants(&f, "longer", SL_TIER_ALLOW, "a.com", prefix(&f, "/match/prefix/one"), 0);
    rule_wants(&f, "exact", SL_TIER_ALLOW, "a.com", exact(&f, "/match/exact/one"), 0);
    rule_wants(&f, "regex", SL_TIER_ALLOW, "a.com", literal(&f, SL_LITERAL_PATH_REGEX, "", "/.*", begins_with(&f, '/')),
               0);
    finish(&f);
    static const char *const rows[][2] = {{"/match/exact/one", "exact"},
                                          {"/match/exact", "prefix"},
                                          {"/match", "prefix"},
                                          {"/match/", "prefix"},
                                          {"/match/prefix/one/any", "longer"},
                                          {"/match/prefix/one", "longer"},
                                          {"/match/prefix/oneself", "prefix"},
                                          {"/match/prefix/any", "prefix"},
                                          {"/match/exact/one/", "prefix"},
                                          {"/matched", "regex"},
                                          {"/", "regex"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char want[64];
        snprintf(want, sizeof want, "allow name rule_allow %s", rows[i][1]);
        CHECK_STR(by_path(&f, rows[i][0]), want);
    }
    fixture_free(&f);
}

TEST(a_path_goes_before_ports_and_behind_the_host)
{
    struct fixture f = fixture_new();
    rule_wants(&f, "path", SL_TIER_ALLOW, "*.com", exact(&f, "/x"), 0);
    rule_for(&f, "port", SL_TIER_ALLOW, "*.com", "80");
    rule_wants(&f, "host", SL_TIER_ALLOW, "a.com", prefix(&f, "/y"), 0);
    finish(&f);
    CHECK_STR(by_path(&f, "/x"), "allow name rule_allow path");
    CHECK_STR(by_path(&f, "/y"), "allow name rule_allow host");
    CHECK_STR(by_path(&f, "/z"), "allow name rule_allow port");
    fixture_free(&f);
}

TEST(the_root_is_a_path)
{
    struct fixture f = fixture_new();
    rule_wants(&f, "root", SL_TIER_ALLOW, "a.com", exact(&f, "/"), 0);
    rule_wants(&f, "slash", SL_TIER_ALLOW, "a.com", exact(&f, "/a/"), 0);
    rule_wants(&f, "all", SL_TIER_ALLOW, "b.com", prefix(&f, "/"), 0);
    finish(&f);
    CHECK_STR(by_path(&f, "/"), "allow name rule_allow root");
    CHECK_STR(by_path(&f, "/a/"), "allow name rule_allow slash");
    CHECK_STR(by_path(&f, "/a"), "deny name no_rule");
    CHECK_STR(by_path(&f, "//"), "deny name no_rule");
    CHECK_STR(by_path(&f, ""), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 80, .request = REQUEST("GET", "/a/b/c", NULL)),
              "allow name rule_allow all");
    fixture_free(&f);
}

TEST(requests_are_asked)
{
    struct fixture f = fixture_new();
    uint32_t x = begins_with(&f, 'x');
    const struct {
        const char *name;
        uint32_t literal;
    } wanted[] = {{"method", literal(&f, SL_LITERAL_METHOD, "", "PUT", 0)},
                  {"field", literal(&f, SL_LITERAL_FIELD, "x-team", "shop", 0)},
                  {"fields", literal(&f, SL_LITERAL_FIELD, "x-any", "x.*", x)},
                  {"query", literal(&f, SL_LITERAL_QUERY, "a", "b c", 0)},
                  {"queries", literal(&f, SL_LITERAL_QUERY, "q", "x.*", x)}};
    for (size_t i = 0; i < 5; i++) rule_wants(&f, wanted[i].name, SL_TIER_ALLOW, "a.com", 0, wanted[i].literal);
    finish(&f);
    const struct sl_field fields[] = {
        {text("X-Team"), text("shop")}, {text("x-any"), text("y")}, {text("X-ANY"), text("x")}};
    const struct sl_field late[] = {
        {text("X-Team"), text("pay")}, {text("X-Team"), text("shop")}, {text("x-any"), text("xy")}};
    struct sl_request request = {.method = text("GET"), .path = text("/"), .fields = fields, .field_count = 3};
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = &request), "allow name rule_allow field");
    request.fields = late; /* the first field of a name counts */
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = &request), "allow name rule_allow fields");
    request.field_count = 2;
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = &request), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = REQUEST("PUT", "/", NULL)),
              "allow name rule_allow method");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = REQUEST("put", "/", NULL)), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = REQUEST("GET", "/", "z&a=b+c")),
              "allow name rule_allow query");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = REQUEST("GET", "/", "a=b&a=b+c")), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = REQUEST("GET", "/", "q=%78")),
              "allow name rule_allow queries");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = REQUEST("GET", "/", "q=")), "deny name no_rule");
    fixture_free(&f);
}

/* A tunnel has no request: what lets pass does not count, what denies does (DECISIONS.md section 3). */
TEST(what_is_not_known)
{
    struct fixture f = fixture_new();
    rule_wants(&f, "allow", SL_TIER_ALLOW, "a.com", prefix(&f, "/v1"), 0);
    rule_wants(&f, "get", SL_TIER_ALLOW, "b.com", 0, literal(&f, SL_LITERAL_METHOD, "", "GET", 0));
    rule_for(&f, "c", SL_TIER_ALLOW, "c.com", "");
    rule_wants(&f, "admin", SL_TIER_DENY, "c.com", prefix(&f, "/admin"), 0);
    rule_wants(&f, "audit", SL_TIER_AUDIT, "d.com", prefix(&f, "/v1"), 0);
    rule_wants(&f, "net", SL_TIER_ALLOW, "203.0.113.0/24", exact(&f, "/"), 0);
    finish(&f);
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .address = "198.51.99.1"), "deny address needs_http");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 80, .address = "198.51.99.1"), "deny address needs_http");
    CHECK_STR(ASK(&f, .host = "c.com", .port = 80), "deny name needs_http admin");
    CHECK_STR(ASK(&f, .host = "d.com", .port = 80, .address = "198.51.99.1"), "deny address needs_http");
    CHECK_STR(ASK(&f, .host = "e.com", .port = 80, .address = "198.51.99.1"), "deny address no_cidr_rule");
    CHECK_STR(ASK(&f, .host = "c.com", .port = 80, .request = REQUEST("GET", "/", NULL)), "allow name rule_allow c");
    CHECK_STR(ASK(&f, .host = "c.com", .port = 80, .request = REQUEST("GET", "/admin/x", NULL)),
              "deny name rule_deny admin");
    CHECK_STR(ASK(&f, .host = "d.com", .port = 80, .request = REQUEST("GET", "/v1", NULL)),
              "audit name rule_audit audit would_deny");
    fixture_free(&f);
}

/* Routes are group 1; their host's denial is of the least class, and for requests alone. */
TEST(no_route_matches)
{
    struct fixture f = fixture_new();
    struct sl_condition routed = {.path = prefix(&f, "/v1")}, unmatched = {.flags = SL_CONDITION_NO_ROUTE};
    uint32_t route = item_in(&f, "route", SL_TIER_ALLOW, "", 1, 1);
    CHECK_EQ(sl_builder_condition(f.b, route, &routed), SL_BUILD_OK);
    host(&f, route, "*.com");
    uint32_t otherwise = item_in(&f, "otherwise", SL_TIER_DEFAULT_DENY, "", 1, 0);
    CHECK_EQ(sl_builder_condition(f.b, otherwise, &unmatched), SL_BUILD_OK);
    host(&f, otherwise, "a.com");
    rule_for(&f, "net", SL_TIER_ALLOW, "203.0.113.0/24", "");
    finish(&f);
    CHECK_STR(by_path(&f, "/v1/x"), "allow name rule_allow route");
    CHECK_STR(by_path(&f, "/v2"), "deny name needs_address otherwise pending");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .request = REQUEST("GET", "/v2", NULL), .address = "198.51.99.1"),
              "deny name no_route otherwise");
    CHECK_STR(ASK(&f, .host = "b.com", .port = 80, .request = REQUEST("GET", "/v2", NULL), .address = "198.51.99.1"),
              "deny address no_cidr_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80, .address = "198.51.99.1"), "deny address needs_http");
    fixture_free(&f);
}

TEST(the_trail_has_every_rule_of_the_host)
{
    struct fixture f = fixture_new();
    rule_wants(&f, "v1", SL_TIER_ALLOW, "a.com", prefix(&f, "/v1"), 0);
    rule_wants(&f, "v2", SL_TIER_ALLOW, "a.com", prefix(&f, "/v2"), 0);
    finish(&f);
    struct sl_trail trail = {.count = 0};
    struct ask asked = {.host = "a.com", .port = 80, .request = REQUEST("GET", "/v2", NULL)};
    CHECK_STR(said(&f, ask_image(&f.image, asked, &trail)), "allow name rule_allow v2");
    REQUIRE(trail.count == 2);
    CHECK_EQ(trail.steps[0].unmet + trail.steps[1].unmet, 1);
    fixture_free(&f);
}

/* Ten thousand paths: each is found, by a walk. */
TEST(many_paths)
{
    struct fixture f = fixture_new();
    char path[64], want[64];
    for (int i = 0; i < 10000; i++) {
        snprintf(path, sizeof path, "/%d/%d/%d", i % 10, i / 10 % 10, i);
        snprintf(want, sizeof want, "r%d", i);
        rule_wants(&f, want, SL_TIER_ALLOW, "a.com", i % 2 ? exact(&f, path) : prefix(&f, path), 0);
    }
    finish(&f);
    for (int i = 0; i < 10000; i += 7) {
        snprintf(path, sizeof path, "/%d/%d/%d%s", i % 10, i / 10 % 10, i, i % 2 ? "" : "/more");
        snprintf(want, sizeof want, "allow name rule_allow r%d", i);
        CHECK_STR(by_path(&f, path), want);
    }
    CHECK_STR(by_path(&f, "/1/1"), "deny name no_rule");
    CHECK_STR(ASK(&f, .host = "a.com", .port = 80), "deny name needs_http");
    fixture_free(&f);
}

static struct fixture some_of_each(void)
{
    struct fixture f = fixture_new();
    sl_builder_layout(f.b, 0, 1);
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, 0);
    rule_wants(&f, "shop", SL_TIER_ALLOW, "a.com", prefix(&f, "/a/b"), literal(&f, SL_LITERAL_METHOD, "", "GET", 0));
    rule_wants(&f, "exact", SL_TIER_DENY, "a.com", exact(&f, "/a"), literal(&f, SL_LITERAL_FIELD, "n", "v", 0));
    rule_wants(&f, "regex", SL_TIER_ALLOW, "*.com",
               literal(&f, SL_LITERAL_PATH_SEARCH, "/a", "x", begins_with(&f, '/')),
               literal(&f, SL_LITERAL_QUERY, "q", "x", begins_with(&f, 'x')));
    rule_wants(&f, "net", SL_TIER_AUDIT, "203.0.113.0/24", prefix(&f, "/"), 0);
    finish(&f);
    return f;
}

static void ask_all(const struct sl_image *image)
{
    const struct sl_field fields[] = {{text("N"), text("v")}};
    const struct sl_request requests[] = {
        {.method = text("GET"), .path = text("/a/b/c"), .query = text("q=x"), .fields = fields, .field_count = 1},
        {.method = text("GET"), .path = text("/a"), .fields = fields, .field_count = 1},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct ask asked = {.host = "a.com", .port = 80, .namespace_ = "shop", .address = "203.0.113.1"};
        struct sl_trail trail = {.count = 0};
        if (i < 2) asked.request = &requests[i];
        CHECK(ask_image(image, asked, NULL).verdict <= SL_AUDIT);
        CHECK(ask_image(image, asked, &trail).verdict <= SL_AUDIT);
        sl_paths_have_rule(image, 1, 0, 1);
    }
}

TEST(no_forged_byte_makes_a_bad_read)
{
    struct fixture f = some_of_each();
    uint8_t *copy = malloc(f.size);
    const struct sl_image_header *header = f.image.header;
    static const uint8_t sections[] = {SL_SEC_LISTS,    SL_SEC_CONDITIONS, SL_SEC_PROGRAMS,  SL_SEC_STEPS,
                                       SL_SEC_LITERALS, SL_SEC_PATHS,      SL_SEC_PATH_SLOTS};
    unsigned opened = 0, valid = 0;
    for (size_t s = 0; s < sizeof sections; s++) {
        const struct sl_section_ref *section = &header->sections[sections[s]];
        size_t end = (size_t)(section->offset + section->count * sl_section_record_size(sections[s]));
        for (size_t at = (size_t)section->offset; at < end; at++) {
            static const uint8_t changes[] = {1, 2, 4, 0x80, 0xff};
            for (size_t c = 0; c < sizeof changes; c++) {
                struct sl_image image;
                memcpy(copy, f.data, f.size);
                copy[at] ^= changes[c];
                ((struct sl_image_header *)(void *)copy)->checksum = sl_image_checksum(copy, f.size);
                valid += sl_image_validate(copy, f.size, &image, NULL) == SL_IMAGE_OK;
                if (sl_image_open(copy, f.size, &image) != SL_IMAGE_OK) continue;
                opened++;
                ask_all(&image);
            }
        }
    }
    CHECK(opened > 1000 && valid < opened / 2);
    free(copy);
    fixture_free(&f);
}

static void *records(uint8_t *base, enum sl_section section)
{
    struct sl_image_header *header = (struct sl_image_header *)(void *)base;
    return base + header->sections[section].offset;
}

static void expect(struct fixture *f, uint8_t *copy, enum sl_image_status want, const char *what)
{
    struct sl_image image;
    char where[64];
    ((struct sl_image_header *)(void *)copy)->checksum = sl_image_checksum(copy, f->size);
    enum sl_image_status status = sl_image_validate(copy, f->size, &image, where);
    if (status != want || strncmp(where, what, strlen(what)) != 0)
        CHECK_FAIL("%s: %s at %s", what, sl_image_status_text(status), where);
    memcpy(copy, f->data, f->size);
}

TEST(validate_names_what_is_wrong)
{
    struct fixture f = some_of_each();
    uint8_t *copy = malloc(f.size);
    memcpy(copy, f.data, f.size);
    struct sl_image_header *header = (struct sl_image_header *)(void *)copy;
    struct sl_literal *literals = records(copy, SL_SEC_LITERALS);
    struct sl_path_node *paths = records(copy, SL_SEC_PATHS);
    expect(&f, copy, SL_IMAGE_OK, "");
    literals[1].kind = SL_LITERAL_KIND_COUNT;
    expect(&f, copy, SL_IMAGE_BOUNDS, "literal 1");
    literals[1].length++;
    expect(&f, copy, SL_IMAGE_BOUNDS, "literal 1");
    literals[1].regex = 99;
    expect(&f, copy, SL_IMAGE_BOUNDS, "literal 1");
    uint32_t method = 1;
    while (literals[method].kind != SL_LITERAL_METHOD) method++;
    ((struct sl_condition *)records(copy, SL_SEC_CONDITIONS))[1].path = method;
    expect(&f, copy, SL_IMAGE_BOUNDS, "condition 1");
    paths[1].length--; /* a node of no trie */
    expect(&f, copy, SL_IMAGE_ORDER, "paths");
    paths[2].parent = 2; /* its own */
    expect(&f, copy, SL_IMAGE_ORDER, "paths");
    paths[2].text = UINT32_MAX;
    expect(&f, copy, SL_IMAGE_ORDER, "paths");
    paths[2].prefix = 99;
    expect(&f, copy, SL_IMAGE_ORDER, "paths");
    header->flags &= ~(uint32_t)SL_IMAGE_PATHS;
    expect(&f, copy, SL_IMAGE_ORDER, "paths 0");
    uint32_t *slots = records(copy, SL_SEC_PATH_SLOTS);
    for (uint64_t i = 0; i < header->sections[SL_SEC_PATH_SLOTS].count; i++) slots[i] = slots[i] ? slots[i] : 2;
    expect(&f, copy, SL_IMAGE_ORDER, "path slot");
    free(copy);
    fixture_free(&f);
}

int main(void)
{
    RUN(the_better_path_wins);
    RUN(a_path_goes_before_ports_and_behind_the_host);
    RUN(the_root_is_a_path);
    RUN(requests_are_asked);
    RUN(what_is_not_known);
    RUN(no_route_matches);
    RUN(the_trail_has_every_rule_of_the_host);
    RUN(many_paths);
    RUN(no_forged_byte_makes_a_bad_read);
    RUN(validate_names_what_is_wrong);
    return CHECK_REPORT();
}
