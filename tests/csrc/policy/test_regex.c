/* Tables of regular expressions: kept once, walked, and refused where a step would lead outside. */
#include "policy/regex.h"
#include "policy_fixture.h"

enum { STATES = 4, WIDTH = 3, CELLS = SL_REGEX_CLASS_CELLS + STATES * WIDTH };

/* Texts in which "ab" is found: bytes are others, a, b; state 1 is the start, 2 has an a, 3 has found. */
static struct sl_regex search_ab(uint16_t cells[CELLS])
{
    static const uint16_t next[STATES * WIDTH] = {0, 0, 0, 1, 2, 1, 1, 2, 3, 3, 3, 3};
    uint8_t classes[256] = {0};
    classes['a'] = 1;
    classes['b'] = 2;
    memcpy(cells, classes, sizeof classes);
    memcpy(cells + SL_REGEX_CLASS_CELLS, next, sizeof next);
    return (struct sl_regex){.states = STATES, .width = WIDTH, .start = 1, .accepting = 3, .certain = 3};
}

/* Texts "a" and "ab": no text that has ended can match any more. */
static struct sl_regex whole_ab(uint16_t cells[CELLS])
{
    static const uint16_t next[STATES * WIDTH] = {0, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0};
    struct sl_regex regex = search_ab(cells);
    memcpy(cells + SL_REGEX_CLASS_CELLS, next, sizeof next);
    regex.accepting = 2;
    regex.certain = 0;
    return regex;
}

static struct fixture two_tables(void)
{
    struct fixture f = fixture_new();
    uint16_t cells[CELLS];
    uint32_t id;
    struct sl_regex regex = search_ab(cells);
    CHECK_EQ(sl_builder_regex(f.b, &regex, cells, CELLS, &id), SL_BUILD_OK);
    CHECK_EQ(id, 1);
    regex = whole_ab(cells);
    CHECK_EQ(sl_builder_regex(f.b, &regex, cells, CELLS, &id), SL_BUILD_OK);
    CHECK_EQ(id, 2);
    regex = search_ab(cells);
    CHECK_EQ(sl_builder_regex(f.b, &regex, cells, CELLS, &id), SL_BUILD_OK);
    CHECK_EQ(id, 1); /* kept once */
    rule_for(&f, "r", SL_TIER_ALLOW, "a.com", "");
    finish(&f);
    return f;
}

static int matches(const struct sl_image *image, uint32_t regex, const char *text, int *broken)
{
    return sl_regex_matches(image, regex, text, strlen(text), broken);
}

TEST(texts_match)
{
    struct fixture f = two_tables();
    static const struct {
        const char *text;
        int found, whole;
    } rows[] = {{"", 0, 0},   {"a", 0, 1},   {"ab", 1, 1},  {"b", 0, 0},      {"aab", 1, 0},
                {"aa", 0, 0}, {"abx", 1, 0}, {"xab", 1, 0}, {"a\377b", 0, 0}, {"\377ab\377", 1, 0}};
    int broken = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        CHECK_AT(matches(&f.image, 1, rows[i].text, &broken) == rows[i].found, rows[i].text);
        CHECK_AT(matches(&f.image, 2, rows[i].text, &broken) == rows[i].whole, rows[i].text);
    }
    CHECK_EQ(broken, 0);
    fixture_free(&f);
}

TEST(a_walk_ends_early)
{
    struct fixture f = two_tables();
    struct sl_regex_walk walk;
    int broken = 0;
    REQUIRE(sl_regex_begin(&f.image, 1, &walk, &broken));
    CHECK_EQ(sl_regex_step(&walk, 'a', &broken), 1);
    CHECK_EQ(sl_regex_step(&walk, 'b', &broken), 0); /* certain */
    CHECK(sl_regex_accepts(&walk));
    REQUIRE(sl_regex_begin(&f.image, 2, &walk, &broken));
    CHECK_EQ(sl_regex_step(&walk, 'b', &broken), 0); /* nothing can match any more */
    CHECK(!sl_regex_accepts(&walk));
    CHECK_EQ(broken, 0);
    fixture_free(&f);
}

TEST(tables_that_do_not_exist_match_nothing)
{
    struct fixture f = two_tables();
    for (uint32_t regex = 0; regex < 8; regex++) {
        int broken = 0;
        matches(&f.image, regex, "ab", &broken);
        CHECK_EQ(broken, regex == 0 || regex > 2);
    }
    fixture_free(&f);
}

TEST(unsound_tables_are_refused)
{
    struct sl_builder *b = sl_builder_new();
    uint16_t cells[CELLS];
    uint32_t id;
    const struct sl_regex good = search_ab(cells);
    struct sl_regex bad[12];
    for (size_t i = 0; i < 12; i++) bad[i] = good;
    bad[0].states = 0;
    bad[1].states = 5;
    bad[2].states = SL_REGEX_STATES + 1;
    bad[3].width = 0;
    bad[4].width = 257;
    bad[5].width = 2;
    bad[6].start = STATES;
    bad[7].accepting = 0;
    bad[8].accepting = STATES + 1;
    bad[9].certain = 2;                      /* does not accept */
    bad[10].certain = 4;                     /* does not exist */
    bad[11].accepting = bad[11].certain = 2; /* is left */
    for (size_t i = 0; i < 12; i++) CHECK_EQ(sl_builder_regex(b, &bad[i], cells, CELLS, &id), SL_BUILD_BAD_ARGUMENT);
    CHECK_EQ(sl_builder_regex(b, &good, cells, CELLS - 1, &id), SL_BUILD_BAD_ARGUMENT);
    cells[CELLS - 4] = STATES;
    CHECK_EQ(sl_builder_regex(b, &good, cells, CELLS, &id), SL_BUILD_BAD_ARGUMENT);
    search_ab(cells);
    cells[SL_REGEX_CLASS_CELLS] = 1; /* state 0 is left */
    CHECK_EQ(sl_builder_regex(b, &good, cells, CELLS, &id), SL_BUILD_BAD_ARGUMENT);
    search_ab(cells);
    ((uint8_t *)cells)[255] = WIDTH;
    CHECK_EQ(sl_builder_regex(b, &good, cells, CELLS, &id), SL_BUILD_BAD_ARGUMENT);
    sl_builder_free(b);
}

/* A section of a forged image. */
static void *records(uint8_t *base, enum sl_section section)
{
    struct sl_image_header *header = (struct sl_image_header *)(void *)base;
    return base + header->sections[section].offset;
}

static void seal(uint8_t *base, size_t size)
{
    ((struct sl_image_header *)(void *)base)->checksum = sl_image_checksum(base, size);
}

TEST(no_forged_table_makes_a_bad_read)
{
    struct fixture f = two_tables();
    uint8_t *copy = malloc(f.size);
    size_t first = (size_t)((uint8_t *)records(f.data, SL_SEC_REGEXES) - f.data);
    for (size_t at = first; at < f.size; at++) {
        static const uint8_t changes[] = {1, 2, 4, 0x80, 0xff};
        for (size_t c = 0; c < sizeof changes; c++) {
            struct sl_image image;
            int broken = 0;
            memcpy(copy, f.data, f.size);
            copy[at] ^= changes[c];
            seal(copy, f.size);
            int valid = sl_image_validate(copy, f.size, &image, NULL) == SL_IMAGE_OK;
            if (sl_image_open(copy, f.size, &image) != SL_IMAGE_OK) continue;
            for (uint32_t regex = 1; regex < 3; regex++)
                for (int byte = 0; byte < 256; byte++) {
                    char text[3] = {'a', (char)byte, 'b'};
                    sl_regex_matches(&image, regex, text, 3, &broken);
                }
            CHECK(!valid || !broken); /* what passes the full check never breaks */
        }
    }
    free(copy);
    fixture_free(&f);
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
    struct fixture f = two_tables();
    uint8_t *copy = malloc(f.size);
    memcpy(copy, f.data, f.size);
    struct sl_regex *regexes = records(copy, SL_SEC_REGEXES);
    struct sl_image_header *header = (struct sl_image_header *)(void *)copy;
    regexes[1].cells = 1;
    expect(&f, copy, SL_IMAGE_BOUNDS, "regex 1");
    regexes[2].cells--;
    expect(&f, copy, SL_IMAGE_BOUNDS, "regex 2");
    regexes[2].states++;
    expect(&f, copy, SL_IMAGE_BOUNDS, "regex 2");
    regexes[1].start = STATES;
    expect(&f, copy, SL_IMAGE_ORDER, "regex 1");
    ((uint16_t *)records(copy, SL_SEC_CELLS))[CELLS - 1] = STATES;
    expect(&f, copy, SL_IMAGE_ORDER, "regex 1");
    header->sections[SL_SEC_REGEXES].count--;
    expect(&f, copy, SL_IMAGE_ORDER, "regex 0");
    header->sections[SL_SEC_REGEXES].count = 0;
    expect(&f, copy, SL_IMAGE_BOUNDS, "section");
    free(copy);
    fixture_free(&f);
}

int main(void)
{
    RUN(texts_match);
    RUN(a_walk_ends_early);
    RUN(tables_that_do_not_exist_match_nothing);
    RUN(unsound_tables_are_refused);
    RUN(no_forged_table_makes_a_bad_read);
    RUN(validate_names_what_is_wrong);
    return CHECK_REPORT();
}
