/* Lines of host lists: the line told for a name is the one that a slow search of the text finds, for lists with gaps,
 * duplicates, wildcards, names above and below each other, and rules that share their names. */
#include "policy/lookup.h"
#include "policy_fixture.h"

enum { LINES = 400, RULES = 3 };

static uint32_t next_number(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

struct list {
    char lines[LINES][64]; /* "" is a blank line */
    uint32_t item, rule;
};

/* The 1-based line of a pattern's first occurrence; 0 = none. */
static uint32_t find(const struct list *list, const char *pattern)
{
    for (uint32_t i = 0; i < LINES; i++)
        if (strcmp(list->lines[i], pattern) == 0) return i + 1;
    return 0;
}

static uint32_t slow(const struct list *list, const char *name)
{
    char pattern[80];
    uint32_t line = find(list, name);
    for (const char *dot = strchr(name, '.'); !line && dot; dot = strchr(dot + 1, '.')) {
        snprintf(pattern, sizeof pattern, "*%s", dot);
        line = find(list, pattern);
    }
    return line ? line : find(list, "*");
}

static void draw_name(uint32_t *state, unsigned kinds, char out[64])
{
    unsigned a = next_number(state) % kinds, b = next_number(state) % 9, c = next_number(state) % 3;
    static const char *const suffixes[] = {"com", "example.org", "b.c.d.test"};
    switch (next_number(state) % 4) {
    case 0: snprintf(out, 64, "n%u.%s", a, suffixes[c]); break;
    case 1: snprintf(out, 64, "x%u.n%u.%s", b, a, suffixes[c]); break;
    case 2: snprintf(out, 64, "deep.er.x%u.n%u.%s", b, a, suffixes[c]); break;
    default: snprintf(out, 64, "%s", suffixes[c]); break;
    }
}

static void draw_line(uint32_t *state, char out[64])
{
    char name[64];
    unsigned dice = next_number(state) % 20;
    draw_name(state, 60, name);
    if (dice == 0)
        out[0] = 0;
    else if (dice < 5)
        snprintf(out, 64, "*.%.60s", name);
    else if (dice == 5 && next_number(state) % 50 == 0)
        snprintf(out, 64, "*");
    else
        snprintf(out, 64, "%.63s", name);
}

static void add(struct fixture *f, struct list *list, const char *name)
{
    static char text[LINES * 65 + 1];
    uint64_t names, line;
    enum sl_name_status why;
    size_t used = 0;
    for (unsigned i = 0; i < LINES; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s\n", list->lines[i]);
    list->item = item(f, name, SL_TIER_ALLOW, "");
    list->rule = list->item + 1;
    CHECK_EQ(sl_builder_host_list(f->b, list->item, (const uint8_t *)text, used, &names, &line, &why), SL_BUILD_OK);
}

static void compare(const struct fixture *f, const struct list *list, const char *name)
{
    uint32_t expected = slow(list, name), selector = 1;
    size_t length = strlen(name);
    CHECK_AT(sl_list_line(&f->image, list->rule, selector, name, length) == expected, name);
    CHECK_AT(sl_list_line(&f->image, list->rule, 0, name, length) == expected, name);
}

TEST(random_lists)
{
    static struct list lists[RULES];
    char name[64];
    for (uint32_t seed = 1; seed <= 60; seed++) {
        struct fixture f = fixture_new();
        uint32_t state = seed;
        for (unsigned r = 0; r < RULES; r++) {
            for (unsigned i = 0; i < LINES; i++) {
                /* Now and then a stretch of another rule's list, in its order or backwards. */
                if (r && seed % 3 == 0)
                    memcpy(lists[r].lines[i], lists[0].lines[seed % 2 ? i : LINES - 1 - i], 64);
                else
                    draw_line(&state, lists[r].lines[i]);
            }
            add(&f, &lists[r], r == 0 ? "first" : r == 1 ? "second" : "third");
        }
        finish(&f);
        for (unsigned r = 0; r < RULES; r++) {
            for (unsigned i = 0; i < LINES; i++) {
                const char *line = lists[r].lines[i];
                if (!*line || strcmp(line, "*") == 0) continue;
                memcpy(name, line, sizeof name);
                if (name[0] == '*') name[0] = 'w';
                compare(&f, &lists[r], name);
            }
            for (unsigned i = 0; i < 200; i++) {
                draw_name(&state, 70, name);
                compare(&f, &lists[r], name);
            }
        }
        fixture_free(&f);
    }
}

TEST(a_list_without_gaps_takes_an_eighth_of_a_byte_for_a_name)
{
    struct fixture f = fixture_new();
    uint32_t r = item(&f, "r", SL_TIER_ALLOW, "");
    uint64_t names, line;
    enum sl_name_status why;
    enum { MANY = 64000 };
    char *text = malloc(MANY * 24), name[32];
    size_t used = 0;
    for (unsigned i = 0; i < MANY; i++) used += (size_t)sprintf(text + used, "n%u.com\n", i);
    CHECK_EQ(sl_builder_host_list(f.b, r, (const uint8_t *)text, used, &names, &line, &why), SL_BUILD_OK);
    finish(&f);
    CHECK(f.image.header->sections[SL_SEC_LINES].count * sizeof(struct sl_line) <= MANY / 8);
    for (unsigned i = 0; i < MANY; i += 37) {
        int length = snprintf(name, sizeof name, "n%u.com", i);
        CHECK_EQ(sl_list_line(&f.image, r + 1, 1, name, (size_t)length), i + 1);
    }
    free(text);
    fixture_free(&f);
}

TEST(rules_without_a_list_have_no_line)
{
    struct fixture f = fixture_new();
    uint32_t r = item(&f, "r", SL_TIER_ALLOW, "");
    host(&f, r, "a.com");
    finish(&f);
    CHECK_EQ(sl_list_line(&f.image, r + 1, 1, "a.com", 5), 0);
    CHECK_EQ(sl_list_line(&f.image, SL_NO_RULE, 1, "a.com", 5), 0);
    CHECK_EQ(sl_list_line(&f.image, 999, 1, "a.com", 5), 0);
    fixture_free(&f);
}

int main(void)
{
    RUN(random_lists);
    RUN(a_list_without_gaps_takes_an_eighth_of_a_byte_for_a_name);
    RUN(rules_without_a_list_have_no_line);
    return CHECK_REPORT();
}
