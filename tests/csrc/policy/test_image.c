/* Opening and validating images: honest ones, cut ones, and every one-byte and one-word forgery of a small one. */
#include "policy/image.h"
#include "policy_fixture.h"

/* A bit of everything that an image can hold; `deep`: with clauses and indexes wherever there can be any. */
static struct fixture policy(int deep)
{
    struct fixture f = fixture_new();
    if (deep) sl_builder_layout(f.b, 0, 0);
    from(&f, SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", "cart", NULL, 1);
    from(&f, SL_PRINCIPAL_USER, "", "bot", "10.0.0.0/8", 1);
    uint32_t aws = rule_for(&f, "aws", SL_TIER_ALLOW, "*.aws.com", "443,8000-8100");
    host_except(&f, aws, "evil.aws.com");
    host(&f, aws, "api.example.com");
    from(&f, SL_PRINCIPAL_NAMESPACE, "shop", "", "2001:db8::/32", 0);
    uint32_t net = rule_for(&f, "net", SL_TIER_ALLOW, "10.0.0.0/8", "");
    cidr(&f, net, "fd00::/8");
    cidr_except(&f, net, "10.1.0.0/16");
    rule_for(&f, "deny", SL_TIER_DENY, "*.com", "80");
    rule_for(&f, "hard", SL_TIER_HARD_DENY, "10.2.0.0/16", "");
    rule_for(&f, "audit", SL_TIER_AUDIT, "*", "");
    struct sl_prefix block = fixture_prefix("10.3.0.0/16");
    CHECK_EQ(sl_builder_network(f.b, &block, "shop", "cart"), SL_BUILD_OK);
    CHECK_EQ(sl_builder_user(f.b, "bot", "shop", ""), SL_BUILD_OK);
    guard(&f, "64:ff9b::/96", 1);
    guard(&f, "127.0.0.0/8", 1);
    guard(&f, "10.4.0.0/16", 0);
    own(&f, "127.0.0.1/32", 1080);
    finish(&f);
    return f;
}

static struct fixture full_policy(void)
{
    return policy(0);
}

static void ask_everything(const struct sl_image *image)
{
    static const struct ask questions[] = {
        {.host = "s3.aws.com", .address = "8.8.8.8", .port = 443, .namespace_ = "shop", .service_account = "cart"},
        {.host = "evil.aws.com", .address = "10.1.2.3", .port = 8050, .user = "bot", .ip = "10.3.0.1"},
        {.host = "api.example.com", .address = "fd00::1", .port = 80, .identity = "spiffe://x", .ip = "2001:db8::1"},
        {.host = "a.b.c.d.com", .address = "64:ff9b::10.2.0.1", .port = 1, .ip = "10.3.4.5", .audit = 1},
        {.address = "10.2.0.1", .port = 443, .ip = "10.3.4.5"},
        {.address = "127.0.0.1", .port = 1080},
        {.address = "10.4.0.1", .port = 1080, .namespace_ = "shop", .ip = "2001:db8::1"},
    };
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        struct sl_trail trail = {.count = 0};
        struct sl_decision d = ask_image(image, questions[i], &trail);
        CHECK(d.verdict <= SL_AUDIT && d.reason < SL_REASON_COUNT && d.phase < SL_PHASE_COUNT);
        for (uint32_t step = 0; step < trail.count; step++)
            sl_image_record(image, SL_SEC_RULES, trail.steps[step].rule);
        d = ask_image(image, questions[i], NULL); /* by the indexes of runs */
        CHECK(d.verdict <= SL_AUDIT && d.reason < SL_REASON_COUNT && d.phase < SL_PHASE_COUNT);
    }
}

static void seal(uint8_t *base, size_t size)
{
    struct sl_image_header *header = (struct sl_image_header *)(void *)base;
    if (header->size >= sizeof *header && header->size <= size && header->size % 8 == 0)
        header->checksum = sl_image_checksum(base, (size_t)header->size);
}

/* Whatever a forged image says, opening it, validating it and asking it reads nothing outside, and ends. */
static void try_forged(uint8_t *copy, size_t size, unsigned *opened, unsigned *valid)
{
    struct sl_image image;
    char where[64];
    seal(copy, size);
    if (sl_image_validate(copy, size, &image, where) == SL_IMAGE_OK)
        ++*valid;
    else
        CHECK(image.base == NULL && where[0] != 0);
    if (sl_image_open(copy, size, &image) != SL_IMAGE_OK) return;
    ++*opened;
    ask_everything(&image);
}

TEST(an_honest_image_opens)
{
    struct fixture f = full_policy();
    struct sl_image image;
    CHECK_EQ(sl_image_open(f.data, f.size, &image), SL_IMAGE_OK);
    CHECK_EQ(image.size, f.size);
    CHECK_EQ(image.header->flags, SL_IMAGE_HAS_POLICY);
    ask_everything(&image);
    CHECK(sl_image_record(&image, SL_SEC_RULES, 5) != NULL);
    CHECK(sl_image_record(&image, SL_SEC_RULES, 6) == NULL);
    CHECK(sl_image_record(&image, SL_SEC_RULES, UINT64_MAX) == NULL);
    CHECK_STR(sl_image_string(&image, UINT32_MAX), "");
    CHECK_STR(sl_image_string(&image, 0), "");
    fixture_free(&f);
}

TEST(a_longer_mapping_is_fine)
{
    struct fixture f = full_policy();
    uint8_t *more = calloc(1, f.size + 4096);
    struct sl_image image;
    memcpy(more, f.data, f.size);
    CHECK_EQ(sl_image_validate(more, f.size + 4096, &image, NULL), SL_IMAGE_OK);
    CHECK_EQ(image.size, f.size);
    free(more);
    fixture_free(&f);
}

TEST(every_cut_image_is_refused)
{
    struct fixture f = full_policy();
    struct sl_image image;
    for (size_t size = 0; size < f.size; size++) {
        uint8_t *cut = malloc(size ? size : 1); /* of its own, so that a read past the end is found */
        memcpy(cut, f.data, size);
        CHECK(sl_image_open(cut, size, &image) == SL_IMAGE_SHORT);
        free(cut);
    }
    CHECK_EQ(sl_image_open(NULL, 0, &image), SL_IMAGE_INTERNAL);
    CHECK_EQ(sl_image_open(f.data + 4, f.size - 4, &image), SL_IMAGE_INTERNAL); /* not aligned */
    fixture_free(&f);
}

TEST(opening_in_pieces_is_opening)
{
    struct fixture f = full_policy();
    struct sl_image_opening opening;
    struct sl_image whole, image;
    static const size_t pieces[] = {0, 1, 31, 32, 33, 64, 1000, 1 << 20, SIZE_MAX};
    CHECK_EQ(sl_image_open(f.data, f.size, &whole), SL_IMAGE_OK);
    for (unsigned i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        CHECK_EQ(sl_image_open_begin(f.data, f.size, &opening), SL_IMAGE_OK);
        if (pieces[i] < 1000) CHECK_EQ(sl_image_open_end(&opening, &image), SL_IMAGE_INTERNAL);
        while (!sl_image_open_step(&opening, pieces[i])) {
        }
        CHECK_EQ(sl_image_open_end(&opening, &image), SL_IMAGE_OK);
        CHECK(memcmp(&image, &whole, sizeof image) == 0);
        CHECK_EQ(sl_image_open_step(&opening, pieces[i]), 1); /* once more changes nothing */
        CHECK_EQ(sl_image_open_end(&opening, &image), SL_IMAGE_OK);
    }
    f.data[f.size - 1] ^= 1;
    CHECK_EQ(sl_image_open_begin(f.data, f.size, &opening), SL_IMAGE_OK);
    while (!sl_image_open_step(&opening, 64)) {
    }
    CHECK_EQ(sl_image_open_end(&opening, &image), SL_IMAGE_CHECKSUM_BAD);
    CHECK(image.base == NULL);
    CHECK_EQ(sl_image_open_begin(f.data, 3, &opening), SL_IMAGE_SHORT);
    CHECK_EQ(sl_image_open_end(&opening, &image), SL_IMAGE_INTERNAL);
    fixture_free(&f);
}

TEST(the_checksum_finds_every_changed_byte)
{
    struct fixture f = full_policy();
    struct sl_image image;
    for (size_t i = 0; i < f.size; i++) {
        for (unsigned bit = 1; bit < 256; bit <<= 1) {
            f.data[i] ^= (uint8_t)bit;
            enum sl_image_status status = sl_image_open(f.data, f.size, &image);
            if (status == SL_IMAGE_OK) CHECK_FAIL("byte %zu, bit %u", i, bit);
            f.data[i] ^= (uint8_t)bit;
        }
    }
    CHECK_EQ(sl_image_open(f.data, f.size, &image), SL_IMAGE_OK);
    fixture_free(&f);
}

static void forge_bytes(struct fixture f)
{
    uint8_t *copy = malloc(f.size);
    unsigned opened = 0, valid = 0;
    for (size_t i = 0; i < f.size; i++) {
        static const uint8_t changes[] = {0x01, 0x80, 0xff};
        for (size_t c = 0; c < sizeof changes; c++) {
            memcpy(copy, f.data, f.size);
            copy[i] ^= changes[c];
            try_forged(copy, f.size, &opened, &valid);
        }
    }
    CHECK(opened > f.size); /* most forgeries pass open(): the look-ups were tried */
    CHECK(valid < opened / 2);
    free(copy);
    fixture_free(&f);
}

static void forge_words(struct fixture f)
{
    uint8_t *copy = malloc(f.size);
    unsigned opened = 0, valid = 0;
    for (size_t i = 0; i + 4 <= f.size; i += 4) {
        uint32_t old;
        memcpy(&old, f.data + i, 4);
        const uint32_t changes[] = {0, 1, old + 1, old - 1, 0x7fffffff, 0x80000000, UINT32_MAX, (uint32_t)f.size};
        for (size_t c = 0; c < sizeof changes / sizeof *changes; c++) {
            memcpy(copy, f.data, f.size);
            memcpy(copy + i, &changes[c], 4);
            try_forged(copy, f.size, &opened, &valid);
        }
    }
    CHECK(opened > f.size / 4);
    free(copy);
    fixture_free(&f);
}

TEST(no_forged_byte_makes_a_bad_read)
{
    forge_bytes(policy(0));
    forge_bytes(policy(1));
}

TEST(no_forged_word_makes_a_bad_read)
{
    forge_words(policy(0));
    forge_words(policy(1));
}

/* Forgeries that validate() must name. Each sets one field of a fresh copy. */
static void *records(uint8_t *base, enum sl_section section)
{
    struct sl_image_header *header = (struct sl_image_header *)(void *)base;
    return base + header->sections[section].offset;
}

static void expect(struct fixture *f, uint8_t *copy, enum sl_image_status want, const char *what)
{
    struct sl_image image;
    char where[64];
    seal(copy, f->size);
    enum sl_image_status status = sl_image_validate(copy, f->size, &image, where);
    if (status != want || strncmp(where, what, strlen(what)) != 0)
        CHECK_FAIL("%s: %s at %s", what, sl_image_status_text(status), where);
    memcpy(copy, f->data, f->size);
}

TEST(validate_names_what_is_wrong)
{
    struct fixture f = full_policy();
    uint8_t *copy = malloc(f.size);
    memcpy(copy, f.data, f.size);
    struct sl_image_header *header = (struct sl_image_header *)(void *)copy;
    expect(&f, copy, SL_IMAGE_OK, "");
    header->magic ^= 1;
    expect(&f, copy, SL_IMAGE_MAGIC_BAD, "header");
    header->version++;
    expect(&f, copy, SL_IMAGE_VERSION_BAD, "header");
    header->flags = 1u << 30;
    expect(&f, copy, SL_IMAGE_BOUNDS, "flags");
    header->sections[SL_SEC_NODES].count = UINT64_MAX / 16;
    expect(&f, copy, SL_IMAGE_BOUNDS, "header");
    header->sections[SL_SEC_NODES].offset -= 8;
    expect(&f, copy, SL_IMAGE_ORDER, "section");
    header->sections[SL_SEC_EDGES].count--;
    expect(&f, copy, SL_IMAGE_ORDER, "header");
    header->sections[SL_SEC_STRINGS].count--;
    expect(&f, copy, SL_IMAGE_BOUNDS, "header"); /* no NUL at the end */
    header->sections[SL_SEC_RULES].count = 0;
    expect(&f, copy, SL_IMAGE_BOUNDS, "section");
    header->roots[SL_TRIE_DEST][0] = 10000;
    expect(&f, copy, SL_IMAGE_BOUNDS, "root");
    header->roots[SL_TRIE_SOURCE][0] = header->roots[SL_TRIE_DEST][0]; /* one trie under two roots */
    expect(&f, copy, SL_IMAGE_ORDER, "prefix");
    header->cidr_reach = 10000;
    expect(&f, copy, SL_IMAGE_BOUNDS, "reach");
    ((struct sl_rule *)records(copy, SL_SEC_RULES))[1].tier = 9;
    expect(&f, copy, SL_IMAGE_BOUNDS, "rule 1");
    ((struct sl_rule *)records(copy, SL_SEC_RULES))[2].file = 1u << 30;
    expect(&f, copy, SL_IMAGE_BOUNDS, "rule 2");
    ((struct sl_rule *)records(copy, SL_SEC_RULES))[1].settings = 7;
    expect(&f, copy, SL_IMAGE_BOUNDS, "rule 1");
    ((struct sl_settings *)records(copy, SL_SEC_SETTINGS))[0].route = 1;
    expect(&f, copy, SL_IMAGE_BOUNDS, "settings 0");
    ((struct sl_port_range *)records(copy, SL_SEC_RANGES))[1].low = 1;
    expect(&f, copy, SL_IMAGE_ORDER, "portset 1");
    ((struct sl_attachment *)records(copy, SL_SEC_ATTACHMENTS))[0].rule = 0;
    expect(&f, copy, SL_IMAGE_BOUNDS, "attachment 0");
    ((struct sl_attachment *)records(copy, SL_SEC_ATTACHMENTS))[1].portset = 99;
    expect(&f, copy, SL_IMAGE_BOUNDS, "attachment 1");
    ((struct sl_list *)records(copy, SL_SEC_LISTS))[1].first = 1;
    expect(&f, copy, SL_IMAGE_BOUNDS, "list 1");
    const struct sl_list *list = records(copy, SL_SEC_LISTS);
    while (list->count < 2) list++;
    ((struct sl_entry *)records(copy, SL_SEC_ENTRIES))[list->first].who = 4; /* not sorted any more */
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    ((struct sl_entry *)records(copy, SL_SEC_ENTRIES))[0].attachment = 77;
    expect(&f, copy, SL_IMAGE_BOUNDS, "list");
    ((struct sl_node *)records(copy, SL_SEC_NODES))[1].parent = 1; /* its own */
    expect(&f, copy, SL_IMAGE_ORDER, "node 1");
    ((struct sl_node *)records(copy, SL_SEC_NODES))[2].label = UINT32_MAX;
    expect(&f, copy, SL_IMAGE_BOUNDS, "node 2");
    ((struct sl_node *)records(copy, SL_SEC_NODES))[2].exact = 99;
    expect(&f, copy, SL_IMAGE_BOUNDS, "node 2");
    ((uint8_t *)records(copy, SL_SEC_LABELS))[1] ^= 1; /* another name than its hash */
    expect(&f, copy, SL_IMAGE_ORDER, "node");
    uint32_t *edges = records(copy, SL_SEC_EDGES);
    for (uint64_t i = 0; i < header->sections[SL_SEC_EDGES].count; i++) edges[i] = 1; /* no free slot */
    expect(&f, copy, SL_IMAGE_ORDER, "edge");
    struct sl_prefix_node *prefixes = records(copy, SL_SEC_PREFIXES);
    prefixes[header->roots[SL_TRIE_DEST][0]].child[0] = header->roots[SL_TRIE_DEST][0]; /* a loop */
    expect(&f, copy, SL_IMAGE_ORDER, "prefix");
    prefixes[header->roots[SL_TRIE_GUARD_ALLOW][0]].value = 2;
    expect(&f, copy, SL_IMAGE_BOUNDS, "prefix");
    prefixes[header->roots[SL_TRIE_DEST][0]].bits[15] = 1; /* a host bit */
    expect(&f, copy, SL_IMAGE_ORDER, "prefix");
    ((struct sl_principal *)records(copy, SL_SEC_PRINCIPALS))[1].kind = 0;
    expect(&f, copy, SL_IMAGE_BOUNDS, "principal 1");
    ((struct sl_principal *)records(copy, SL_SEC_PRINCIPALS))[1].selector = 2;
    expect(&f, copy, SL_IMAGE_ORDER, "principal 1");
    ((struct sl_selector *)records(copy, SL_SEC_SELECTORS))[1].principal = 0;
    expect(&f, copy, SL_IMAGE_ORDER, "principal"); /* no longer found under its principal */
    ((struct sl_user *)records(copy, SL_SEC_USERS))[1].name = 0;
    expect(&f, copy, SL_IMAGE_ORDER, "user 1");
    ((struct sl_network *)records(copy, SL_SEC_NETWORKS))[1].namespace_ = UINT32_MAX;
    expect(&f, copy, SL_IMAGE_BOUNDS, "network 1");
    ((struct sl_own *)records(copy, SL_SEC_OWN))[0].length = 33;
    expect(&f, copy, SL_IMAGE_BOUNDS, "own address 0");
    *(struct sl_own *)records(copy, SL_SEC_OWN) = (struct sl_own){.family = 0, .port = 0};
    expect(&f, copy, SL_IMAGE_BOUNDS, "own address 0");
    free(copy);
    fixture_free(&f);
}

TEST(validate_names_what_is_wrong_with_clauses_and_indexes)
{
    struct fixture f = policy(1);
    uint8_t *copy = malloc(f.size);
    memcpy(copy, f.data, f.size);
    struct sl_image_header *header = (struct sl_image_header *)(void *)copy;
    CHECK(header->clauses && header->sections[SL_SEC_RUNS].count > 2);
    header->clauses = 0;
    expect(&f, copy, SL_IMAGE_BOUNDS, "list");
    header->walked = 1; /* runs of one item have an index */
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    header->sections[SL_SEC_RUNS].count--;
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    header->sections[SL_SEC_MEMBERSHIPS].count--;
    expect(&f, copy, SL_IMAGE_BOUNDS, "selector");
    ((struct sl_list *)records(copy, SL_SEC_LISTS))[1].count &= ~SL_LIST_DEEP;
    expect(&f, copy, SL_IMAGE_ORDER, "list 1");
    ((struct sl_run *)records(copy, SL_SEC_RUNS))[0].count = 99;
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    ((struct sl_run *)records(copy, SL_SEC_RUNS))[0].first = 1;
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    struct sl_run *runs = records(copy, SL_SEC_RUNS);
    while (!runs->excepting_count) runs++;
    runs->excepting_count = 0; /* an item with excepts is in no index */
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    struct sl_stretch *stretches = records(copy, SL_SEC_STRETCHES);
    const struct sl_run *longer = records(copy, SL_SEC_RUNS);
    while (longer->count < 2) longer++;
    stretches[longer->first + 1].low = stretches[longer->first].low;
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    stretches[0].first++;
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    *(uint32_t *)records(copy, SL_SEC_CANDIDATES) = 77; /* not of the run */
    expect(&f, copy, SL_IMAGE_ORDER, "list");
    *(uint32_t *)records(copy, SL_SEC_CLAUSES) = 77;
    expect(&f, copy, SL_IMAGE_ORDER, "membership 1");
    ((struct sl_membership *)records(copy, SL_SEC_MEMBERSHIPS))[1].first = 1;
    expect(&f, copy, SL_IMAGE_BOUNDS, "membership 1");
    ((struct sl_selector *)records(copy, SL_SEC_SELECTORS))[1].membership = 77;
    expect(&f, copy, SL_IMAGE_BOUNDS, "selector 1");
    free(copy);
    fixture_free(&f);
}

/* A network, a rule for it that admits some, and one that asks for a listener, a block and a source. */
static struct fixture conditions(void)
{
    struct fixture f = fixture_new();
    struct sl_prefix nine = fixture_prefix("9.0.0.0/8"), both[] = {nine, fixture_prefix("9.1.0.0/16")};
    struct sl_condition network = {.network = 1}, route = {0}, asks = {.flags = SL_CONDITION_UNAUTHORIZED};
    uint32_t shop, web, who, listener, one, two;
    for (int i = 0; i < 3; i++) from(&f, SL_PRINCIPAL_NAMESPACE, i ? i > 1 ? "c" : "b" : "a", "", NULL, 0);
    CHECK_EQ(sl_builder_who(f.b, f.selectors, 3, &shop), SL_BUILD_OK);
    CHECK_EQ(sl_builder_who(f.b, f.selectors, 1, &web), SL_BUILD_OK);
    f.selector_count = 0;
    CHECK_EQ(sl_builder_string(f.b, "main", 4, &listener), SL_BUILD_OK);
    CHECK_EQ(sl_builder_within(f.b, &nine, 1, &one), SL_BUILD_OK);
    CHECK_EQ(sl_builder_within(f.b, both, 2, &two), SL_BUILD_OK);
    struct sl_step in[] = {{SL_STEP_NETWORK, 1}}, admit[] = {{SL_STEP_SOURCE, shop}};
    struct sl_step all[] = {{SL_STEP_LISTENER, listener},
                            {SL_STEP_WITHIN, one},
                            {SL_STEP_WITHIN, two},
                            {SL_STEP_SOURCE, web},
                            {SL_STEP_NOT, 0},
                            {SL_STEP_OR, 3},
                            {SL_STEP_AND, 2}};
    CHECK_EQ(sl_builder_program(f.b, in, 1, &route.when), SL_BUILD_OK);
    CHECK_EQ(sl_builder_program(f.b, admit, 1, &route.admit), SL_BUILD_OK);
    CHECK_EQ(sl_builder_program(f.b, all, 7, &asks.when), SL_BUILD_OK);
    who = item_in(&f, "net", SL_TIER_DEFAULT_DENY, "", 3, 0);
    cidr(&f, who, "9.0.0.0/8");
    CHECK_EQ(sl_builder_condition(f.b, who, &network), SL_BUILD_OK);
    who = item_in(&f, "route", SL_TIER_ALLOW, "", 3, 1);
    host(&f, who, "a.com");
    CHECK_EQ(sl_builder_condition(f.b, who, &route), SL_BUILD_OK);
    CHECK_EQ(sl_builder_by_order(f.b, who), SL_BUILD_OK);
    who = item_in(&f, "gate", SL_TIER_DENY, "", 3, 2);
    host(&f, who, "*");
    CHECK_EQ(sl_builder_condition(f.b, who, &asks), SL_BUILD_OK);
    finish(&f);
    return f;
}

TEST(validate_names_what_is_wrong_with_conditions)
{
    struct fixture f = conditions();
    CHECK_STR(ASK(&f, .host = "a.com", .address = "9.9.9.9", .port = 1, .namespace_ = "b"),
              "allow name rule_allow route");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "9.9.9.9", .port = 1, .namespace_ = "x"),
              "deny name unauthorized route");
    CHECK_STR(ASK(&f, .host = "a.com", .address = "9.9.9.9", .port = 1, .namespace_ = "a", .listener = "main"),
              "deny name unauthorized gate");
    uint8_t *copy = malloc(f.size);
    memcpy(copy, f.data, f.size);
    struct sl_image_header *header = (struct sl_image_header *)(void *)copy;
    header->flags &= ~(uint32_t)SL_IMAGE_PLACES;
    expect(&f, copy, SL_IMAGE_ORDER, "program");
    header->flags &= ~(uint32_t)SL_IMAGE_NETWORKED;
    expect(&f, copy, SL_IMAGE_BOUNDS, "condition");
    header->sections[SL_SEC_PROGRAMS].count--;
    expect(&f, copy, SL_IMAGE_BOUNDS, "steps");
    struct sl_step *steps = records(copy, SL_SEC_STEPS);
    steps[0].code = 99;
    expect(&f, copy, SL_IMAGE_ORDER, "program 1");
    steps[0] = (struct sl_step){SL_STEP_NOT, 0}; /* of nothing */
    expect(&f, copy, SL_IMAGE_ORDER, "program 1");
    steps[1].operand = SL_ENTRY_CLAUSE | 77;
    expect(&f, copy, SL_IMAGE_ORDER, "program 2");
    steps[2].operand = UINT32_MAX;
    expect(&f, copy, SL_IMAGE_ORDER, "program 3");
    steps[8].operand = 1; /* two truths are left */
    expect(&f, copy, SL_IMAGE_ORDER, "program 3");
    struct sl_condition *condition = records(copy, SL_SEC_CONDITIONS);
    condition[1].when = 99;
    expect(&f, copy, SL_IMAGE_BOUNDS, "condition 1");
    condition[2].flags = 3;
    expect(&f, copy, SL_IMAGE_BOUNDS, "condition 2");
    ((struct sl_attachment *)records(copy, SL_SEC_ATTACHMENTS))[0].condition = 99;
    expect(&f, copy, SL_IMAGE_BOUNDS, "attachment 0");
    ((struct sl_attachment *)records(copy, SL_SEC_ATTACHMENTS))[0].group = 0;
    expect(&f, copy, SL_IMAGE_BOUNDS, "attachment 0");
    struct sl_prefix_node *prefixes = records(copy, SL_SEC_PREFIXES);
    prefixes[header->roots[SL_TRIE_WITHIN][0]].value = 99;
    expect(&f, copy, SL_IMAGE_BOUNDS, "prefix");
    free(copy);
    fixture_free(&f);
}

TEST(statuses_have_texts)
{
    for (unsigned i = 0; i <= SL_IMAGE_ORDER; i++) CHECK(sl_image_status_text((enum sl_image_status)i)[0] != 0);
    CHECK_STR(sl_image_status_text((enum sl_image_status)99), "internal error");
    CHECK_EQ(sl_section_record_size(SL_SEC_COUNT), 0);
}

int main(void)
{
    RUN(an_honest_image_opens);
    RUN(a_longer_mapping_is_fine);
    RUN(every_cut_image_is_refused);
    RUN(opening_in_pieces_is_opening);
    RUN(the_checksum_finds_every_changed_byte);
    RUN(no_forged_byte_makes_a_bad_read);
    RUN(no_forged_word_makes_a_bad_read);
    RUN(validate_names_what_is_wrong);
    RUN(validate_names_what_is_wrong_with_clauses_and_indexes);
    RUN(validate_names_what_is_wrong_with_conditions);
    RUN(statuses_have_texts);
    return CHECK_REPORT();
}
