/* The full check of a policy image (validate.c): lists of entries, the index of their long runs, and clauses. */
#include "policy/checks.h"

/* Shared pools that must be used up in the order of those that use them: every check is one pass over each. */
struct used {
    uint64_t entries, runs, stretches, candidates;
};

/* The items of one run of a list: entries of one `who`, before its index and its excepts. */
struct items {
    const struct sl_entry *first;
    uint32_t count;
};

static int holds_item(struct items items, uint32_t attachment)
{
    uint32_t low = 0, high = items.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (items.first[middle].attachment < attachment)
            low = middle + 1;
        else
            high = middle;
    }
    return low < items.count && items.first[low].attachment == attachment;
}

/* The next `count` candidates: ascending items of the run, all of them conditional or none. */
static int check_candidates(struct sl_check *check, struct items items, uint32_t first, uint32_t count, int excepting,
                            struct used *used)
{
    uint64_t all = sl_check_count(check, SL_SEC_CANDIDATES);
    if (first != used->candidates || count > all - used->candidates) return 0;
    const uint32_t *at = count ? sl_check_record(check, SL_SEC_CANDIDATES, first) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (!holds_item(items, at[i]) || (i && at[i] <= at[i - 1])) return 0;
        const struct sl_attachment *attachment = sl_check_record(check, SL_SEC_ATTACHMENTS, at[i]);
        if (sl_is_conditional(attachment) != excepting) return 0;
    }
    used->candidates += count;
    return 1;
}

static int check_stretches(struct sl_check *check, struct items items, const struct sl_run *run, struct used *used)
{
    if (run->first != used->stretches || run->count > sl_check_count(check, SL_SEC_STRETCHES) - used->stretches)
        return 0;
    const struct sl_stretch *stretch = run->count ? sl_check_record(check, SL_SEC_STRETCHES, run->first) : NULL;
    for (uint32_t i = 0; i < run->count; i++) {
        if (i && stretch[i].low <= stretch[i - 1].low) return 0;
        if (!check_candidates(check, items, stretch[i].first, stretch[i].count, 0, used)) return 0;
    }
    used->stretches += run->count;
    return 1;
}

/* An index leaves out no conditional item. */
static int check_run(struct sl_check *check, struct items items, uint32_t number, struct used *used)
{
    const struct sl_run *run = sl_check_record(check, SL_SEC_RUNS, number);
    uint32_t excepting = 0;
    if (!run || number != used->runs++) return 0;
    for (uint32_t i = 0; i < items.count; i++) {
        const struct sl_attachment *item = sl_check_record(check, SL_SEC_ATTACHMENTS, items.first[i].attachment);
        excepting += (uint32_t)sl_is_conditional(item);
    }
    return check_stretches(check, items, run, used) && run->excepting_count == excepting &&
           check_candidates(check, items, run->excepting, excepting, 1, used);
}

static int is_in_bounds(struct sl_check *check, const struct sl_entry *entry)
{
    uint64_t who = entry->who & ~SL_ENTRY_CLAUSE, attachment = entry->attachment & ~SL_ENTRY_EXCEPT;
    if (entry->who & SL_ENTRY_CLAUSE ? who >= check->header->clauses
                                     : who == 0 || who >= sl_check_count(check, SL_SEC_SELECTORS))
        return 0;
    int is_run = !(entry->attachment & SL_ENTRY_EXCEPT) && attachment & SL_ENTRY_RUN;
    return is_run || attachment < sl_check_count(check, SL_SEC_ATTACHMENTS);
}

static int are_in_bounds(struct sl_check *check, const struct sl_entry *entry, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!is_in_bounds(check, &entry[i])) return 0;
    return 1;
}

/* Whether a list says rightly if there are clauses or indexes in it. */
static int is_marked(const struct sl_entry *entry, uint32_t count, int deep)
{
    int found = count && (entry[count - 1].who & SL_ENTRY_CLAUSE);
    for (uint32_t i = 0; i < count && !found; i++)
        found = !(entry[i].attachment & SL_ENTRY_EXCEPT) && entry[i].attachment & SL_ENTRY_RUN;
    return found == deep;
}

/* The entries of one list. A run has an index exactly if it is long. */
static int check_entries(struct sl_check *check, const struct sl_entry *entry, uint32_t count, struct used *used)
{
    struct items items = {entry, 0};
    int indexed = 0;
    for (uint32_t i = 0; i < count; i++, entry++) {
        int same = i && entry->who == entry[-1].who;
        if (i && (entry->who < entry[-1].who || (same && entry->attachment <= entry[-1].attachment))) return 0;
        if (!same && items.count > check->header->walked && !indexed) return 0;
        if (!same) items = (struct items){entry, 0}, indexed = 0;
        if (entry->attachment & SL_ENTRY_EXCEPT) continue;
        if (!(entry->attachment & SL_ENTRY_RUN)) {
            items.count++;
            continue;
        }
        if (indexed++ || items.count <= check->header->walked) return 0;
        if (!check_run(check, items, entry->attachment & ~SL_ENTRY_RUN, used)) return 0;
    }
    return items.count <= check->header->walked || indexed;
}

int sl_check_lists(struct sl_check *check)
{
    struct used used = {0};
    for (uint64_t i = 0; i < sl_check_count(check, SL_SEC_LISTS); i++) {
        const struct sl_list *list = sl_check_record(check, SL_SEC_LISTS, i);
        uint32_t count = list->count & ~SL_LIST_DEEP;
        if (list->first != used.entries || count > sl_check_count(check, SL_SEC_ENTRIES) - used.entries ||
            (i == 0 && list->count != 0))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "list", i);
        const struct sl_entry *entry = count ? sl_check_record(check, SL_SEC_ENTRIES, list->first) : NULL;
        if (!are_in_bounds(check, entry, count)) return sl_check_fail(check, SL_IMAGE_BOUNDS, "list", i);
        used.entries += count;
        if (!is_marked(entry, count, count != list->count) || !check_entries(check, entry, count, &used))
            return sl_check_fail(check, SL_IMAGE_ORDER, "list", i);
    }
    if (used.runs != sl_check_count(check, SL_SEC_RUNS)) return sl_check_fail(check, SL_IMAGE_ORDER, "run", used.runs);
    if (check->header->cidr_reach >= sl_check_count(check, SL_SEC_LISTS) ||
        check->header->host_reach >= sl_check_count(check, SL_SEC_LISTS) ||
        check->header->host_deny_reach >= sl_check_count(check, SL_SEC_LISTS))
        return sl_check_fail(check, SL_IMAGE_BOUNDS, "reach list", 0);
    return 1;
}

/* The clauses that selectors are in: ascending, and each membership behind the one before it. */
int sl_check_clauses(struct sl_check *check)
{
    uint64_t all = sl_check_count(check, SL_SEC_CLAUSES), used = 0;
    if (check->header->clauses > SL_ENTRY_CLAUSE) return sl_check_fail(check, SL_IMAGE_BOUNDS, "clauses", 0);
    for (uint64_t i = 0; i < sl_check_count(check, SL_SEC_MEMBERSHIPS); i++) {
        const struct sl_membership *membership = sl_check_record(check, SL_SEC_MEMBERSHIPS, i);
        if (membership->first != used || membership->count > all - used || (membership->count == 0) != (i == 0))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "membership", i);
        used += membership->count;
        const uint32_t *clause = membership->count ? sl_check_record(check, SL_SEC_CLAUSES, membership->first) : NULL;
        for (uint32_t j = 0; j < membership->count; j++)
            if (clause[j] >= check->header->clauses || (j && clause[j] <= clause[j - 1]))
                return sl_check_fail(check, SL_IMAGE_ORDER, "membership", i);
    }
    return 1;
}
