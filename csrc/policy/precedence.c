/* The comparisons of matches. */
#include "policy/precedence.h"

#include "policy/seed.h"

/* The rank of the path that a rule wants; 0 where it wants none, or counts although the request is not known. */
static unsigned path_rank(const struct sl_image *image, const struct sl_match *match)
{
    uint32_t number = match->why == SL_WHY_NEEDS_HTTP ? 0 : match->attachment->condition;
    const struct sl_condition *condition = number ? sl_image_record(image, SL_SEC_CONDITIONS, number) : NULL;
    const struct sl_literal *path =
        condition && condition->path ? sl_image_record(image, SL_SEC_LITERALS, condition->path) : NULL;
    return path && !SL_BUG(PATH_RANK) ? sl_path_rank(path) : 0;
}

/* Inside a level: the better path, then single port > range > any, then the selector's rank, then the attachment's
 * order. */
static int better(const struct sl_image *image, const struct sl_match *a, const struct sl_match *b)
{
    if (a->attachment->condition | b->attachment->condition) {
        unsigned one = path_rank(image, a), other = path_rank(image, b);
        if (one != other) return one > other;
    }
    if (a->port_class != b->port_class) return a->port_class > b->port_class;
    if (a->rank != b->rank && !SL_BUG(RANK)) return a->rank > b->rank;
    if (SL_BUG(ORDER)) return a->attachment->order > b->attachment->order;
    return a->attachment->order < b->attachment->order;
}

void sl_keep(const struct sl_image *image, struct sl_match *best, const struct sl_match *match)
{
    if (!best->attachment || (best->depth == match->depth && better(image, match, best))) *best = *match;
}

/* As better(), of attachments of one group. */
static int better_in_group(const struct sl_image *image, const struct sl_match *a, const struct sl_match *b)
{
    int by_order = a->attachment->flags & b->attachment->flags & SL_ATTACH_BY_ORDER && !SL_BUG(BY_ORDER);
    unsigned one = by_order ? path_rank(image, a) : 0, other = by_order ? path_rank(image, b) : 0;
    if (!by_order) return better(image, a, b);
    return one != other ? one > other : a->attachment->order < b->attachment->order;
}

void sl_keep_in_group(const struct sl_image *image, struct sl_winner *winner, const struct sl_match *match, int lifts)
{
    const struct sl_match *best = &winner->match;
    int wins = !best->attachment;
    if (!wins && best->attachment->class != match->attachment->class && !SL_BUG(CLASS))
        wins = match->attachment->class > best->attachment->class;
    else if (!wins && best->depth == match->depth) /* levels come deepest first */
        wins = better_in_group(image, match, best);
    if (wins) *winner = (struct sl_winner){*match, lifts};
}

/* Between groups: deeper, then as inside a level, then the older rule. */
void sl_keep_among_groups(struct sl_match *best, const struct sl_match *match)
{
    if (best->attachment) {
        int wins = match->attachment->rule < best->attachment->rule;
        if (match->depth != best->depth)
            wins = match->depth > best->depth;
        else if (match->port_class != best->port_class)
            wins = match->port_class > best->port_class;
        else if (match->rank != best->rank)
            wins = match->rank > best->rank;
        if (SL_BUG(BETWEEN)) wins = !wins;
        if (!wins) return;
    }
    *best = *match;
}
