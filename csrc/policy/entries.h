/* Lists of entries: which attachments a list has for a source, by its selectors and the clauses that these are in, and
 * for a port, by the index of long runs. It knows no precedence; lookup.h does.
 * Every read is bounds-checked and every walk ends, whatever the image holds; *broken is set where it contradicts itself. */
#ifndef SLUICE_ENTRIES_H
#define SLUICE_ENTRIES_H

#include "policy/image.h"
#include "policy/judge.h"

/* One item of a list that may match. */
struct sl_item {
    uint32_t who;        /* as in the entry: a selector, or a clause with SL_ENTRY_CLAUSE */
    uint32_t selector;   /* of the source, by which it holds */
    uint32_t attachment; /* ATTACHMENTS, not checked */
    int deny_only;       /* bool: the selector is a lower identity's */
};
/* Returns 1 to end the walk, 0 for the next item. */
typedef int sl_item_visit(void *visitor, const struct sl_item *item);

/* The entries of one list. */
struct sl_span {
    const struct sl_entry *entries;
    uint32_t count;
    int deep; /* bool: there are clauses or indexes among them */
};

static inline struct sl_span sl_span_of(const struct sl_image *image, uint32_t list, int *broken)
{
    struct sl_span span = {NULL, 0, 0};
    const struct sl_list *record = sl_image_record(image, SL_SEC_LISTS, list);
    uint64_t entries = image->header->sections[SL_SEC_ENTRIES].count;
    uint32_t count = record ? record->count & ~SL_LIST_DEEP : 0;
    if (!record || record->first > entries || count > entries - record->first) {
        *broken = 1;
        return span;
    }
    span.entries = count ? sl_image_record(image, SL_SEC_ENTRIES, record->first) : NULL;
    span.count = count;
    span.deep = (record->count & SL_LIST_DEEP) != 0;
    return span;
}

/* The first entry of `who`, or of what comes after it. */
static inline uint32_t sl_first_of(const struct sl_span *span, uint32_t who)
{
    uint32_t low = 0, high = span->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (span->entries[middle].who < who)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* sl_visit_items for a list with clauses or indexes. */
int sl_visit_deep(const struct sl_image *image, const struct sl_span *span, const struct sl_source *source,
                  uint16_t port, int all, sl_item_visit *visit, void *visitor, int *broken);

/* The items of LISTS `list` for a source that may matter for a port. With `all` these are all of its items; else those
 * that an index knows to be outdone on that port are left out. Returns 1 when `visit` ended it. */
static inline int sl_visit_items(const struct sl_image *image, uint32_t list, const struct sl_source *source,
                                 uint16_t port, int all, sl_item_visit *visit, void *visitor, int *broken)
{
    struct sl_span span = sl_span_of(image, list, broken);
    if (span.deep) return sl_visit_deep(image, &span, source, port, all, visit, visitor, broken);
    for (uint32_t s = 0; s < source->count; s++) {
        uint32_t selector = source->selectors[s] & ~SL_SELECTOR_DENY_ONLY;
        struct sl_item item = {selector, selector, 0, selector != source->selectors[s]};
        for (uint32_t at = sl_first_of(&span, selector); at < span.count && span.entries[at].who == selector; at++) {
            item.attachment = span.entries[at].attachment;
            if (item.attachment & SL_ENTRY_EXCEPT) break; /* excepts sort last */
            if (visit(visitor, &item)) return 1;
        }
    }
    return 0;
}

/* Whether a list takes an item out: it has the except of `attachment` for `who`. */
int sl_list_excepts(const struct sl_image *image, uint32_t list, uint32_t who, uint32_t attachment, int *broken);

/* Whether a list has an item of the rule, for `selector` or a clause that it is in; 0: for any source. */
int sl_list_has_rule(const struct sl_image *image, uint32_t list, uint32_t selector, uint32_t rule);

#endif
