/* From a name that a host list's rule matched back to the line of the list (struct sl_line). It decides nothing; every
 * read is bounds-checked, and a broken image can make a wrong number only. */
#include <string.h>

#include "policy/entries.h"
#include "policy/paths.h"
#include "policy/lookup.h"

struct search {
    const struct sl_image *image;
    uint32_t rule, selector;
    uint32_t list; /* the one looked into last: neighbours share theirs */
    int has;       /* it holds an item of the rule for the selector */
};

/* Whether a list holds an item of the rule. */
static int holds(struct search *search, uint32_t list)
{
    if (list == 0 || list == search->list) return list != 0 && search->has;
    search->list = list;
    search->has = sl_list_has_rule(search->image, list, search->selector, search->rule) ||
                  sl_paths_have_rule(search->image, list, search->selector, search->rule);
    return search->has;
}

/* The last of `count` records whose key is at most `key`; NULL = none. */
static const struct sl_line *at_most(const struct sl_line *lines, uint32_t count, uint64_t key)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (sl_line_key(lines[middle].node, lines[middle].line) <= key)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &lines[low - 1] : NULL;
}

static const struct sl_line *single(const struct sl_line *lines, uint32_t count, uint32_t node, int wildcard)
{
    uint64_t key = sl_line_key(node, SL_LINE_SINGLE | (wildcard ? SL_LINE_WILD : 0));
    const struct sl_line *found = at_most(lines, count, key);
    return found && sl_line_key(found->node, found->line) == key ? found : NULL;
}

static uint32_t line_at(struct search *search, const struct sl_line *lines, uint32_t count, uint32_t node, int wildcard)
{
    const struct sl_line *found = single(lines, count, node, wildcard);
    if (found) return found->line & ~(SL_LINE_SINGLE | SL_LINE_WILD);
    found = at_most(lines, count, sl_line_key(node, 0));
    if (!found || node - found->node > SL_LINE_RUN) return 0;
    uint32_t line = found->line;
    for (uint32_t at = found->node + 1; at <= node && at; at++) {
        const struct sl_node *record = sl_image_record(search->image, SL_SEC_NODES, at);
        if (!record) return 0;
        if ((holds(search, record->exact) && !single(lines, count, at, 0)) ||
            (holds(search, record->wildcard) && !single(lines, count, at, 1)))
            line++;
    }
    return line;
}

uint32_t sl_list_line(const struct sl_image *image, uint32_t rule, uint32_t selector, const char *name, size_t length)
{
    const struct sl_rule *by = rule == SL_NO_RULE ? NULL : sl_image_record(image, SL_SEC_RULES, rule);
    uint64_t all = image->header->sections[SL_SEC_LINES].count;
    if (!by || by->line_count == 0 || by->lines > all || by->line_count > all - by->lines || length == 0) return 0;
    const struct sl_line *lines = sl_image_record(image, SL_SEC_LINES, by->lines);
    uint32_t path[SL_PATH_LEVELS], at = 0;
    unsigned depth = 0;
    int broken = 0, exact = 0;
    path[depth++] = 0;
    for (size_t end = length; !exact && depth < SL_PATH_LEVELS;) {
        size_t start = end;
        while (start > 0 && name[start - 1] != '.') start--;
        at = sl_image_child(image, at, (const uint8_t *)name + start, end - start, &broken);
        if (at == 0) break;
        path[depth++] = at;
        exact = start == 0;
        end = start ? start - 1 : 0;
    }
    struct search search = {.image = image, .rule = rule, .selector = selector};
    while (depth-- > 0) { /* the name itself, then what is above it */
        const struct sl_node *node = sl_image_record(image, SL_SEC_NODES, path[depth]);
        if (node && holds(&search, exact ? node->exact : node->wildcard))
            return line_at(&search, lines, by->line_count, path[depth], !exact);
        exact = 0;
    }
    return 0;
}
