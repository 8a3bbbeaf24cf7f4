/* Rules and selectors as they are printed; invalid numbers describe nothing. */
#include "policy/describe.h"
#include "policy_fixture.h"

TEST(a_rule_has_its_texts_and_numbers)
{
    struct fixture f = fixture_new();
    struct sl_rule_description rule;
    item(&f, "first", SL_TIER_ALLOW, "443");
    item(&f, "second", SL_TIER_DENY, "");
    finish(&f);
    const struct sl_image *image = &f.image;
    REQUIRE(sl_rule_describe(image, 2, &rule));
    CHECK_STR(rule.name, "second");
    CHECK_EQ(rule.tier, SL_TIER_DENY);
    CHECK_STR(rule.upstream, "");
    CHECK_STR(rule.sources, "");
    CHECK_STR(rule.route, "");
    CHECK_STR(rule.headers, "");
    CHECK_EQ(rule.inner, SL_INNER_UNSET);
    CHECK(!sl_rule_describe(image, 0, &rule));
    CHECK(!sl_rule_describe(image, 3, &rule));
    CHECK(!sl_rule_describe(image, UINT32_MAX, &rule));
    fixture_free(&f);
}

TEST(a_selector_has_a_sentence)
{
    static const struct {
        uint8_t kind;
        const char *a, *b, *cidr, *form;
    } rows[] = {
        {SL_PRINCIPAL_MESH, "", "", NULL, "mesh"},
        {SL_PRINCIPAL_NAMESPACE, "shop", "", NULL, "namespace {a}"},
        {SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", "cart", "10.0.0.0/8", "service account {a}/{b}"},
        {SL_PRINCIPAL_USER, "", "bot", NULL, "user {b}"},
        {SL_PRINCIPAL_NAMESPACE_USER, "shop", "bot", NULL, "user {b} in namespace {a}"},
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    struct fixture f = fixture_new();
    struct sl_selector_description found;
    for (size_t i = 0; i < ROWS; i++) from(&f, rows[i].kind, rows[i].a, rows[i].b, rows[i].cidr, 0);
    item(&f, "one", SL_TIER_ALLOW, "");
    finish(&f);
    const struct sl_image *image = &f.image;
    unsigned met = 0;
    for (uint32_t i = 1; sl_selector_describe(image, i, &found); i++)
        for (size_t row = 0; row < ROWS; row++)
            if (!strcmp(found.form, rows[row].form)) {
                met++;
                CHECK_AT(!strcmp(found.a, rows[row].a) && !strcmp(found.b, rows[row].b), rows[row].form);
                CHECK_AT(found.from_block == (rows[row].cidr != NULL), rows[row].form);
            }
    CHECK_EQ(met, ROWS);
    CHECK(!sl_selector_describe(image, 0, &found));
    CHECK(!sl_selector_describe(image, UINT32_MAX, &found));
    fixture_free(&f);
}

int main(void)
{
    RUN(a_rule_has_its_texts_and_numbers);
    RUN(a_selector_has_a_sentence);
    return CHECK_REPORT();
}
