/* Searches in lists of entries, and in the index of their long runs. */
#include "policy/entries.h"

#include <stddef.h>

#include "policy/seed.h"

/* The first entry at or after (who, attachment). */
static uint32_t lower_bound(struct sl_span span, uint32_t who, uint32_t attachment)
{
    uint32_t low = 0, high = span.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct sl_entry *entry = &span.entries[middle];
        int before = entry->who < who || (entry->who == who && entry->attachment < attachment);
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* One walk over the items of a list. */
struct walk {
    const struct sl_image *image;
    struct sl_span span;
    uint16_t port;
    int all;
    sl_item_visit *visit;
    void *visitor;
    struct sl_item item;
    int *broken;
};

static int visit(struct walk *walk, uint32_t attachment)
{
    walk->item.attachment = attachment;
    return walk->visit(walk->visitor, &walk->item);
}

static int visit_candidates(struct walk *walk, uint32_t first, uint32_t count)
{
    uint64_t all = walk->image->header->sections[SL_SEC_CANDIDATES].count;
    if (first > all || count > all - first) {
        *walk->broken = 1;
        return 0;
    }
    const uint32_t *at = count ? sl_image_record(walk->image, SL_SEC_CANDIDATES, first) : NULL;
    for (uint32_t i = 0; i < count; i++)
        if (visit(walk, at[i])) return 1;
    return 0;
}

/* The stretch of ports that `port` lies in; NULL: it lies before all of them. */
static const struct sl_stretch *stretch_of(const struct sl_stretch *stretches, uint32_t count, uint16_t port)
{
    uint32_t low = 0, high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (stretches[middle].low <= port)
            low = middle + 1;
        else
            high = middle;
    }
    if (SL_BUG(STRETCH) && low > 1) low--;
    return low ? &stretches[low - 1] : NULL;
}

/* What the index of a run has for the port: items that can win there, and all that have excepts. */
static int visit_indexed(struct walk *walk, uint32_t index)
{
    const struct sl_run *run = sl_image_record(walk->image, SL_SEC_RUNS, index);
    uint64_t stretches = walk->image->header->sections[SL_SEC_STRETCHES].count;
    if (!run || run->first > stretches || run->count > stretches - run->first) {
        *walk->broken = 1;
        return 0;
    }
    const struct sl_stretch *all = run->count ? sl_image_record(walk->image, SL_SEC_STRETCHES, run->first) : NULL;
    const struct sl_stretch *stretch = stretch_of(all, run->count, walk->port);
    if (stretch && visit_candidates(walk, stretch->first, stretch->count)) return 1;
    return visit_candidates(walk, run->excepting, run->excepting_count);
}

/* The items of one `who`: by the index of the run, or one after the other. */
static int visit_run(struct walk *walk, uint32_t who)
{
    struct sl_span span = walk->span;
    uint32_t at = sl_first_of(&span, who), walked = walk->image->header->walked;
    if (at == span.count || span.entries[at].who != who) return 0;
    walk->item.who = who;
    if (!walk->all && walked < span.count - at && span.entries[at + walked].who == who &&
        span.entries[at + walked].attachment < SL_ENTRY_RUN) {
        uint32_t index = lower_bound(span, who, SL_ENTRY_RUN);
        int is_index =
            index < span.count && span.entries[index].who == who && !(span.entries[index].attachment & SL_ENTRY_EXCEPT);
        if (is_index) return visit_indexed(walk, span.entries[index].attachment & ~SL_ENTRY_RUN);
        *walk->broken = 1;
    }
    for (; at < span.count && span.entries[at].who == who && span.entries[at].attachment < SL_ENTRY_RUN; at++)
        if (visit(walk, span.entries[at].attachment)) return 1;
    return 0;
}

/* The clauses that a selector is in. */
struct clauses {
    const uint32_t *numbers;
    uint32_t count;
};

static struct clauses clauses_of(const struct sl_image *image, uint32_t selector, int *broken)
{
    struct clauses none = {NULL, 0};
    const struct sl_selector *record = sl_image_record(image, SL_SEC_SELECTORS, selector);
    const struct sl_membership *membership =
        record ? sl_image_record(image, SL_SEC_MEMBERSHIPS, record->membership) : NULL;
    uint64_t all = image->header->sections[SL_SEC_CLAUSES].count;
    if (!membership || membership->first > all || membership->count > all - membership->first) {
        *broken = 1;
        return none;
    }
    if (membership->count == 0 || SL_BUG(CLAUSES)) return none;
    return (struct clauses){sl_image_record(image, SL_SEC_CLAUSES, membership->first), membership->count};
}

static int is_in(struct clauses clauses, uint32_t number)
{
    uint32_t low = 0, high = clauses.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (clauses.numbers[middle] < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < clauses.count && clauses.numbers[low] == number;
}

static int has_clauses(struct sl_span span)
{
    return span.count && (span.entries[span.count - 1].who & SL_ENTRY_CLAUSE);
}

/* The items of the clauses that the walk's selector is in: the fewer are looked for among the others. */
static int visit_clauses(struct walk *walk)
{
    struct sl_span span = walk->span;
    struct clauses clauses = clauses_of(walk->image, walk->item.selector, walk->broken);
    uint32_t at = clauses.count ? sl_first_of(&span, SL_ENTRY_CLAUSE) : span.count;
    if (clauses.count <= span.count - at) {
        for (uint32_t i = 0; i < clauses.count; i++)
            if (visit_run(walk, SL_ENTRY_CLAUSE | clauses.numbers[i])) return 1;
        return 0;
    }
    while (at < span.count) {
        uint32_t who = span.entries[at].who, next = lower_bound(span, who, UINT32_MAX);
        if (is_in(clauses, who & ~SL_ENTRY_CLAUSE) && visit_run(walk, who)) return 1;
        at = next > at ? next : at + 1;
    }
    return 0;
}

int sl_visit_deep(const struct sl_image *image, const struct sl_span *span, const struct sl_source *source,
                  uint16_t port, int all, sl_item_visit *visit, void *visitor, int *broken)
{
    struct walk walk = {.image = image, .span = *span, .port = port, .all = all, .visit = visit, .visitor = visitor};
    int clauses = has_clauses(walk.span);
    walk.broken = broken;
    for (uint32_t s = 0; s < source->count; s++) {
        uint32_t selector = source->selectors[s] & ~SL_SELECTOR_DENY_ONLY;
        walk.item.selector = selector;
        walk.item.deny_only = selector != source->selectors[s];
        if (visit_run(&walk, selector) || (clauses && visit_clauses(&walk))) return 1;
    }
    return 0;
}

int sl_list_excepts(const struct sl_image *image, uint32_t list, uint32_t who, uint32_t attachment, int *broken)
{
    struct sl_span span = sl_span_of(image, list, broken);
    uint32_t wanted = attachment | SL_ENTRY_EXCEPT, at = lower_bound(span, who, wanted);
    return at < span.count && span.entries[at].who == who && span.entries[at].attachment == wanted;
}

struct rule_search {
    const struct sl_image *image;
    uint32_t rule;
};

static int is_of_rule(void *visitor, const struct sl_item *item)
{
    const struct rule_search *search = visitor;
    const struct sl_attachment *attachment = sl_image_record(search->image, SL_SEC_ATTACHMENTS, item->attachment);
    return attachment && attachment->rule == search->rule;
}

int sl_list_has_rule(const struct sl_image *image, uint32_t list, uint32_t selector, uint32_t rule)
{
    int broken = 0;
    struct rule_search search = {image, rule};
    struct walk walk = {.image = image, .all = 1, .visit = is_of_rule, .visitor = &search, .broken = &broken};
    walk.span = sl_span_of(image, list, &broken);
    walk.item.selector = selector;
    if (selector) return visit_run(&walk, selector) || (has_clauses(walk.span) && visit_clauses(&walk));
    for (uint32_t i = 0; i < walk.span.count; i++)
        if (walk.span.entries[i].attachment < SL_ENTRY_RUN && visit(&walk, walk.span.entries[i].attachment)) return 1;
    return 0;
}
