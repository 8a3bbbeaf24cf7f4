/* The full check of a policy image (validate.c): tables of regular expressions, and what is asked of requests. */
#include "policy/checks.h"

int sl_regex_is_sound(const struct sl_regex *regex, const uint16_t *cells, size_t count)
{
    const uint8_t *classes = (const uint8_t *)cells;
    const uint16_t *next = cells + SL_REGEX_CLASS_CELLS;
    size_t states = regex->states, width = regex->width;
    if (states == 0 || states > SL_REGEX_STATES || width == 0 || width > 256) return 0;
    if (count != SL_REGEX_CLASS_CELLS + states * width || regex->start >= states) return 0;
    if (regex->accepting == 0 || regex->accepting > states) return 0;
    if (regex->certain && (regex->certain < regex->accepting || regex->certain >= states)) return 0;
    for (size_t i = 0; i < 256; i++)
        if (classes[i] >= width) return 0;
    for (size_t i = 0; i < states * width; i++)
        if (next[i] >= states) return 0;
    for (size_t i = 0; i < width; i++)
        if (next[i] != 0 || next[regex->certain * width + i] != regex->certain) return 0;
    return 1;
}

/* Tables follow each other and use all cells up. */
int sl_check_regexes(struct sl_check *check)
{
    uint64_t all = sl_check_count(check, SL_SEC_CELLS), used = 0;
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_REGEXES); i++) {
        const struct sl_regex *regex = sl_check_record(check, SL_SEC_REGEXES, i);
        uint64_t count = SL_REGEX_CLASS_CELLS + (uint64_t)regex->states * regex->width;
        if (regex->cells != used || count > all - used) return sl_check_fail(check, SL_IMAGE_BOUNDS, "regex", i);
        if (!sl_regex_is_sound(regex, sl_check_record(check, SL_SEC_CELLS, used), (size_t)count))
            return sl_check_fail(check, SL_IMAGE_ORDER, "regex", i);
        used += count;
    }
    return used == all || sl_check_fail(check, SL_IMAGE_ORDER, "regex", 0);
}

/* A literal is of a kind, its texts exist, and it has an expression exactly where its kind wants one. */
int sl_check_literals(struct sl_check *check)
{
    uint64_t texts = sl_check_count(check, SL_SEC_STRINGS), regexes = sl_check_count(check, SL_SEC_REGEXES);
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_LITERALS); i++) {
        const struct sl_literal *literal = sl_check_record(check, SL_SEC_LITERALS, i);
        if (literal->name >= texts || literal->text >= texts || literal->regex >= regexes ||
            !sl_literal_is_sound(literal, sl_image_string(check->image, literal->text)))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "literal", i);
    }
    return 1;
}
