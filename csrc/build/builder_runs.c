/* The index of a long run (struct sl_run): for each port the items that can win there, set an attribute, or lift the
 * guard. All of a run hold for the same source and stand at one level, so the narrower port wins, then the order; among
 * those of one kind, which are of one group, class and tier.
 *
 * Ports are cut at every bound of a range. For each kind and each flag that its items carry, ranges are painted over
 * the pieces, the better first; a piece keeps its first colour. The colours of a piece are its candidates. */
#include <stdlib.h>
#include <string.h>

#include "build/builder_private.h"

enum { KINDS = SL_GROUPS * SL_CLASSES * 8 };

static uint16_t kind_of(const struct sl_attachment *record)
{
    unsigned group = record->group, class = record->class;
    return (uint16_t)((group * SL_CLASSES + class) * 8u + record->tier);
}

struct ranked { /* one range of one item */
    uint32_t attachment, order;
    uint32_t from, to; /* pieces, `to` not included; ports until they are cut */
    uint16_t kind, flags;
    uint8_t class; /* sl_port_class */
};

struct index {
    struct sl_layout *layout;
    struct sl_vec ranges;  /* ranked */
    struct sl_vec cuts;    /* u32 ports, sorted, where pieces begin; the last one ends them */
    struct sl_vec colours; /* u64 piece << 32 | attachment */
    struct sl_vec next;    /* u32, by piece: it or the next one that is not painted */
};

static const struct sl_attachment *attachment_at(const struct index *index, uint32_t attachment)
{
    return &SL_AT(struct sl_hanging, index->layout->b->hangings, attachment).record;
}

static int add_range(struct index *index, uint32_t attachment, uint32_t low, uint32_t high, uint8_t class)
{
    const struct sl_attachment *record = attachment_at(index, attachment);
    struct ranked *range = sl_vec_push(index->layout->b, &index->ranges, sizeof *range, 1);
    uint32_t *cut = range ? sl_vec_push(index->layout->b, &index->cuts, sizeof *cut, 2) : NULL;
    if (!cut) return 0;
    *range = (struct ranked){attachment, record->order,   low,
                             high + 1,   kind_of(record), (uint16_t)(record->flags & ~SL_ATTACH_EXCEPTS),
                             class};
    cut[0] = low;
    cut[1] = high + 1;
    return 1;
}

static int add_ranges(struct index *index, uint32_t attachment)
{
    const struct sl_builder *b = index->layout->b;
    uint32_t portset = attachment_at(index, attachment)->portset;
    if (portset == 0) return add_range(index, attachment, 0, UINT16_MAX, SL_PORT_ANY);
    const struct sl_portset *set = &SL_AT(struct sl_portset, b->portsets, portset);
    for (uint32_t i = 0; i < set->count; i++) {
        const struct sl_port_range *range = &SL_AT(struct sl_port_range, b->ranges, set->first + i);
        uint8_t class = range->low == range->high ? SL_PORT_SINGLE : SL_PORT_RANGE;
        if (!add_range(index, attachment, range->low, range->high, class)) return 0;
    }
    return 1;
}

struct likeness { /* items of one kind and portset differ in order and flags alone */
    uint32_t portset, order, attachment;
    uint16_t kind, flags;
};

static int likeness_order(const void *left, const void *right)
{
    const struct likeness *a = left, *b = right;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    if (a->portset != b->portset) return a->portset < b->portset ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

/* The ranges of all items that no like one outdoes: one is kept if it is the first, or brings a new flag. */
static int add_items(struct index *index, const uint64_t *keys, size_t count)
{
    struct sl_builder *b = index->layout->b;
    struct sl_vec items = {0};
    int ok = 1;
    for (size_t i = 0; i < count && ok; i++) {
        const struct sl_attachment *record = attachment_at(index, (uint32_t)keys[i]);
        if (sl_is_conditional(record)) continue;
        struct likeness *item = sl_vec_push(b, &items, sizeof *item, 1);
        ok = item != NULL;
        if (ok)
            *item =
                (struct likeness){record->portset, record->order, (uint32_t)keys[i], kind_of(record), record->flags};
    }
    if (items.count) qsort(items.data, items.count, sizeof(struct likeness), likeness_order);
    unsigned seen = 0;
    for (size_t i = 0; i < items.count && ok; i++) {
        const struct likeness *item = &SL_AT(struct likeness, items, i);
        int first = i == 0 || item[-1].kind != item->kind || item[-1].portset != item->portset;
        if (first) seen = 0;
        if (first || item->flags & ~seen) ok = add_ranges(index, item->attachment);
        seen |= item->flags;
    }
    free(items.data);
    return ok;
}

static int number_order(const void *left, const void *right)
{
    uint32_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

static uint32_t piece_at(const struct index *index, uint32_t port)
{
    const uint32_t *found = bsearch(&port, index->cuts.data, index->cuts.count, sizeof(uint32_t), number_order);
    return (uint32_t)(found - (const uint32_t *)index->cuts.data);
}

static int ranked_order(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->class != b->class) return a->class > b->class ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

/* Sorted cuts, each once; ranges from pieces to pieces, the better first. */
static void cut(struct index *index)
{
    uint32_t *cuts = index->cuts.data;
    size_t kept = 1;
    qsort(cuts, index->cuts.count, sizeof *cuts, number_order);
    for (size_t i = 1; i < index->cuts.count; i++)
        if (cuts[i] != cuts[kept - 1]) cuts[kept++] = cuts[i];
    index->cuts.count = kept;
    for (size_t i = 0; i < index->ranges.count; i++) {
        struct ranked *range = &SL_AT(struct ranked, index->ranges, i);
        range->from = piece_at(index, range->from);
        range->to = piece_at(index, range->to);
    }
    qsort(index->ranges.data, index->ranges.count, sizeof(struct ranked), ranked_order);
}

static uint32_t unpainted(const struct index *index, uint32_t piece)
{
    uint32_t *next = index->next.data, at = piece;
    while (next[at] != at) at = next[at];
    while (next[piece] != at) { /* shorter for the next one */
        uint32_t then = next[piece];
        next[piece] = at;
        piece = then;
    }
    return at;
}

/* Paints the ranges of one kind that carry `flag`; 0: all. */
static int paint(struct index *index, unsigned kind, unsigned flag)
{
    struct sl_builder *b = index->layout->b;
    uint32_t *next = index->next.data;
    for (size_t i = 0; i < index->next.count; i++) next[i] = (uint32_t)i;
    for (size_t i = 0; i < index->ranges.count; i++) {
        const struct ranked *range = &SL_AT(struct ranked, index->ranges, i);
        if (range->kind != kind || (flag && !(range->flags & flag))) continue;
        for (uint32_t at = unpainted(index, range->from); at < range->to; at = unpainted(index, at)) {
            uint64_t *colour = sl_vec_push(b, &index->colours, sizeof *colour, 1);
            if (!colour) return 0;
            *colour = (uint64_t)at << 32 | range->attachment;
            next[at] = at + 1;
        }
    }
    return 1;
}

static int paint_all(struct index *index)
{
    uint16_t flags[KINDS] = {0};
    uint8_t has[KINDS] = {0};
    for (size_t i = 0; i < index->ranges.count; i++) {
        const struct ranked *range = &SL_AT(struct ranked, index->ranges, i);
        flags[range->kind] |= range->flags;
        has[range->kind] = 1;
    }
    if (!sl_vec_push(index->layout->b, &index->next, sizeof(uint32_t), index->cuts.count)) return 0;
    for (unsigned kind = 0; kind < KINDS; kind++) {
        if (has[kind] && !paint(index, kind, 0)) return 0;
        for (unsigned flag = 1; flag <= flags[kind]; flag <<= 1)
            if (flags[kind] & flag && !paint(index, kind, flag)) return 0;
    }
    return 1;
}

static int colour_order(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

/* The candidates of one piece as a stretch; neighbours with the same ones are one. */
static int add_stretch(struct index *index, const struct sl_run *run, uint32_t port, const uint64_t *colours,
                       size_t count)
{
    struct sl_layout *layout = index->layout;
    size_t first = layout->candidates.count;
    uint32_t *at = count ? sl_vec_push(layout->b, &layout->candidates, sizeof *at, count) : NULL;
    if (count && !at) return 0;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (i == 0 || colours[i] != colours[i - 1]) at[kept++] = (uint32_t)colours[i];
    layout->candidates.count = first + kept;
    if (layout->stretches.count > run->first) {
        const struct sl_stretch *last = &SL_AT(struct sl_stretch, layout->stretches, layout->stretches.count - 1);
        int same = last->count == kept &&
                   (kept == 0 || memcmp(&SL_AT(uint32_t, layout->candidates, last->first), at, kept * sizeof *at) == 0);
        if (same) {
            layout->candidates.count = first;
            return 1;
        }
    }
    struct sl_stretch *stretch = sl_vec_push(layout->b, &layout->stretches, sizeof *stretch, 1);
    if (!stretch) return 0;
    *stretch = (struct sl_stretch){(uint16_t)port, (uint16_t)kept, (uint32_t)first};
    return 1;
}

static int add_stretches(struct index *index, struct sl_run *run)
{
    const uint64_t *colours = index->colours.data;
    size_t all = index->colours.count, at = 0;
    if (all) qsort(index->colours.data, all, sizeof *colours, colour_order);
    for (uint32_t piece = 0; piece < index->cuts.count; piece++) {
        uint32_t port = SL_AT(uint32_t, index->cuts, piece);
        size_t first = at;
        while (at < all && colours[at] >> 32 == piece) at++;
        if (port <= UINT16_MAX && !add_stretch(index, run, port, colours + first, at - first)) return 0;
    }
    run->count = (uint32_t)(index->layout->stretches.count - run->first);
    return 1;
}

static int add_conditional(struct index *index, const uint64_t *keys, size_t count, struct sl_run *run)
{
    struct sl_layout *layout = index->layout;
    run->excepting = (uint32_t)layout->candidates.count;
    for (size_t i = 0; i < count; i++) {
        if (!sl_is_conditional(attachment_at(index, (uint32_t)keys[i]))) continue;
        uint32_t *at = sl_vec_push(layout->b, &layout->candidates, sizeof *at, 1);
        if (!at) return 0;
        *at = (uint32_t)keys[i];
    }
    run->excepting_count = (uint32_t)(layout->candidates.count - run->excepting);
    return 1;
}

int sl_lay_run(struct sl_layout *layout, const uint64_t *keys, size_t count, uint32_t *number)
{
    struct index index = {.layout = layout};
    struct sl_run run = {.first = (uint32_t)layout->stretches.count};
    int ok = add_items(&index, keys, count);
    if (ok && index.ranges.count) {
        cut(&index);
        ok = paint_all(&index) && add_stretches(&index, &run);
    }
    ok = ok && add_conditional(&index, keys, count, &run);
    struct sl_run *record = ok ? sl_vec_push(layout->b, &layout->runs, sizeof *record, 1) : NULL;
    if (record) *record = run;
    *number = (uint32_t)layout->runs.count - 1;
    free(index.ranges.data);
    free(index.cuts.data);
    free(index.colours.data);
    free(index.next.data);
    return record != NULL;
}
