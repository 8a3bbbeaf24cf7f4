/* Walks of the tables of regular expressions. */
#include "policy/regex.h"

int sl_regex_begin(const struct sl_image *image, uint32_t number, struct sl_regex_walk *walk, int *broken)
{
    const struct sl_regex *regex = number ? sl_image_record(image, SL_SEC_REGEXES, number) : NULL;
    uint64_t cells = image->header->sections[SL_SEC_CELLS].count;
    uint64_t needed = regex ? SL_REGEX_CLASS_CELLS + (uint64_t)regex->states * regex->width : 0;
    if (!regex || regex->cells > cells || needed > cells - regex->cells || regex->start >= regex->states) {
        *broken = 1;
        return 0;
    }
    const uint16_t *first = sl_image_record(image, SL_SEC_CELLS, regex->cells);
    *walk = (struct sl_regex_walk){(const uint8_t *)first, first + SL_REGEX_CLASS_CELLS, regex, regex->start};
    return 1;
}

int sl_regex_matches(const struct sl_image *image, uint32_t regex, const char *text, size_t length, int *broken)
{
    struct sl_regex_walk walk;
    int begun = sl_regex_begin(image, regex, &walk, broken), going = begun;
    for (size_t i = 0; going && i < length; i++) going = sl_regex_step(&walk, (uint8_t)text[i], broken);
    return begun && sl_regex_accepts(&walk);
}
