/* Sets of selectors, and which of them become clauses of the image (SL_ENTRY_CLAUSE): those that would take many entries.
 * A set of few members, or one that few entries name, is spread: look-ups find it by the selector alone. */
#include <stdlib.h>
#include <string.h>

#include "build/builder_private.h"

struct who_key {
    const uint32_t *selectors;
    uint32_t count;
};

static uint32_t key_hash(const struct who_key *key)
{
    return sl_hash_edge(key->count, (const uint8_t *)key->selectors, key->count * sizeof *key->selectors);
}

static struct who_key key_of(const struct sl_builder *b, uint32_t index)
{
    const struct sl_who *who = &SL_AT(struct sl_who, b->whos, index);
    return (struct who_key){&SL_AT(uint32_t, b->who_selectors, who->first), who->count};
}

static uint32_t who_hash(const struct sl_builder *b, uint32_t index)
{
    struct who_key key = key_of(b, index);
    return key_hash(&key);
}

static int who_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    struct who_key have = key_of(b, index);
    const struct who_key *key = wanted;
    return have.count == key->count && memcmp(have.selectors, key->selectors, have.count * sizeof(uint32_t)) == 0;
}

static int number_order(const void *left, const void *right)
{
    uint32_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

enum sl_build_status sl_builder_who(struct sl_builder *b, const uint32_t *selectors, size_t count, uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (count == 0) return SL_BUILD_BAD_ARGUMENT;
    for (size_t i = 0; i < count; i++)
        if (selectors[i] == 0 || selectors[i] >= b->selectors.count) return SL_BUILD_BAD_ARGUMENT;
    size_t first = b->who_selectors.count;
    uint32_t *copy = sl_vec_push(b, &b->who_selectors, sizeof *copy, count);
    if (!copy) return b->failed;
    memcpy(copy, selectors, count * sizeof *copy);
    qsort(copy, count, sizeof *copy, number_order);
    size_t kept = 1;
    for (size_t i = 1; i < count; i++)
        if (copy[i] != copy[kept - 1]) copy[kept++] = copy[i];
    struct who_key key = {copy, (uint32_t)kept};
    uint32_t *slot = sl_table_slot(b, &b->who_slots, key_hash(&key), who_hash, who_equal, &key);
    b->who_selectors.count = first; /* given back, unless the set is new */
    if (!slot) return b->failed;
    if (!*slot) {
        struct sl_who *who = sl_vec_push(b, &b->whos, sizeof *who, 1);
        if (!who) return b->failed;
        *who = (struct sl_who){.first = (uint32_t)first, .count = (uint32_t)kept};
        b->who_selectors.count = first + kept;
        *slot = (uint32_t)(b->whos.count - 1);
        b->who_slots.used++;
    }
    *id = *slot;
    return SL_BUILD_OK;
}

/* ---- which are clauses ------------------------------------------------------------------------------------------- */

void sl_count_who(struct sl_layout *layout, uint32_t who)
{
    layout->clause_of[who]++;
}

/* Spread, a set of m members that n entries name takes m * n entries; as a clause n, and m memberships. */
void sl_choose_clauses(struct sl_layout *layout)
{
    const struct sl_builder *b = layout->b;
    for (size_t i = 1; i < b->whos.count; i++) {
        uint64_t members = SL_AT(struct sl_who, b->whos, i).count, named = layout->clause_of[i];
        int asked = SL_AT(struct sl_who, b->whos, i).asked != 0;
        int is_clause = members > 1 && (asked || members * named > b->spread * (members + named));
        layout->clause_of[i] = is_clause ? SL_ENTRY_CLAUSE | layout->clauses++ : 0;
    }
    layout->first_within = layout->clauses;
    layout->clauses += b->withins;
}

static int pair_order(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

/* Every (selector, clause), sorted. */
static int gather_pairs(struct sl_layout *layout, struct sl_vec *pairs)
{
    struct sl_builder *b = layout->b;
    for (size_t i = 1; i < b->whos.count; i++) {
        if (!layout->clause_of[i]) continue;
        const struct sl_who *who = &SL_AT(struct sl_who, b->whos, i);
        uint64_t *pair = sl_vec_push(b, pairs, sizeof *pair, who->count);
        if (!pair) return 0;
        for (uint32_t j = 0; j < who->count; j++)
            pair[j] = (uint64_t)SL_AT(uint32_t, b->who_selectors, who->first + j) << 32 |
                      (layout->clause_of[i] & ~SL_ENTRY_CLAUSE);
    }
    if (pairs->count) qsort(pairs->data, pairs->count, sizeof(uint64_t), pair_order);
    return 1;
}

/* Whether the clauses from `first` on are those of the membership before, and no more. */
static int same_as_last(const struct sl_layout *layout, size_t first)
{
    const struct sl_membership *last = &SL_AT(struct sl_membership, layout->memberships, layout->memberships.count - 1);
    size_t count = layout->clause_ids.count - first;
    return last->count == count && memcmp(&SL_AT(uint32_t, layout->clause_ids, last->first),
                                          &SL_AT(uint32_t, layout->clause_ids, first), count * sizeof(uint32_t)) == 0;
}

/* The membership of one selector; neighbours in the same clauses share theirs. */
static int add_membership(struct sl_layout *layout, const uint64_t *pairs, size_t count)
{
    struct sl_builder *b = layout->b;
    size_t first = layout->clause_ids.count;
    uint32_t *ids = sl_vec_push(b, &layout->clause_ids, sizeof *ids, count);
    if (!ids) return 0;
    for (size_t i = 0; i < count; i++) ids[i] = (uint32_t)pairs[i];
    if (same_as_last(layout, first)) {
        layout->clause_ids.count = first;
    } else {
        struct sl_membership *record = sl_vec_push(b, &layout->memberships, sizeof *record, 1);
        if (!record) return 0;
        *record = (struct sl_membership){(uint32_t)first, (uint32_t)count};
    }
    layout->membership_of[pairs[0] >> 32] = (uint32_t)(layout->memberships.count - 1);
    return 1;
}

int sl_lay_memberships(struct sl_layout *layout)
{
    struct sl_vec pairs = {0};
    int ok = sl_vec_push(layout->b, &layout->memberships, sizeof(struct sl_membership), 1) != NULL &&
             gather_pairs(layout, &pairs);
    const uint64_t *pair = pairs.data;
    for (size_t i = 0, next; ok && i < pairs.count; i = next) {
        for (next = i + 1; next < pairs.count && pair[next] >> 32 == pair[i] >> 32; next++) {
        }
        ok = add_membership(layout, pair + i, next - i);
    }
    free(pairs.data);
    return ok;
}
