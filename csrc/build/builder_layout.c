/* Laying a policy image out: sets become sorted lists, everything is copied into one block, and the block is sealed
 * with its checksum. Nothing of the builder is changed. */
#include <stdlib.h>
#include <string.h>

#include "build/builder_private.h"

/* Intermediate results for one image; freed at the end. */
struct layout {
    struct sl_builder *b;
    struct sl_vec lists, entries, keys;
    uint32_t *list_of; /* by set; 0 = not referenced */
    uint32_t cidr_reach, host_reach, host_deny_reach;
};

static int key_order(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

/* The keys (selector << 32 | attachment) as one more list, sorted. Returns 0 without room. */
static uint32_t add_list(struct layout *layout)
{
    struct sl_builder *b = layout->b;
    size_t first = layout->entries.count, count = layout->keys.count;
    uint64_t *keys = layout->keys.data;
    struct sl_entry *entries = sl_vec_push(b, &layout->entries, sizeof *entries, count);
    struct sl_list *list = entries ? sl_vec_push(b, &layout->lists, sizeof *list, 1) : NULL;
    if (!list) return 0;
    qsort(keys, count, sizeof *keys, key_order);
    for (size_t i = 0; i < count; i++) entries[i] = (struct sl_entry){(uint32_t)(keys[i] >> 32), (uint32_t)keys[i]};
    *list = (struct sl_list){(uint32_t)first, (uint32_t)count};
    return (uint32_t)(layout->lists.count - 1);
}

/* The list of a set: each of its attachments once for each selector. */
static int expand(struct layout *layout, uint32_t set)
{
    struct sl_builder *b = layout->b;
    if (set == 0 || layout->list_of[set]) return 1;
    layout->keys.count = 0;
    for (uint32_t at = set; at; at = SL_AT(struct sl_set, b->sets, at).parent) {
        uint32_t item = SL_AT(struct sl_set, b->sets, at).item, attachment = item >> 1;
        const struct sl_hanging *hanging = &SL_AT(struct sl_hanging, b->hangings, attachment);
        uint64_t *keys = sl_vec_push(b, &layout->keys, sizeof *keys, hanging->selector_count);
        if (!keys) return 0;
        if (item & 1) attachment |= SL_ENTRY_EXCEPT;
        for (uint32_t i = 0; i < hanging->selector_count; i++)
            keys[i] = (uint64_t)SL_AT(uint32_t, b->hanging_selectors, hanging->first_selector + i) << 32 | attachment;
    }
    layout->list_of[set] = add_list(layout);
    return layout->list_of[set] != 0;
}

/* Walks one trie of prefixes whose values are sets. */
static int expand_prefixes(struct layout *layout, uint32_t root)
{
    uint32_t stack[260];
    unsigned depth = 0;
    if (root) stack[depth++] = root;
    while (depth) {
        const struct sl_prefix_node *node = &SL_AT(struct sl_prefix_node, layout->b->prefixes, stack[--depth]);
        if (!expand(layout, node->value)) return 0;
        for (int side = 0; side < 2; side++)
            if (node->child[side]) stack[depth++] = node->child[side];
    }
    return 1;
}

struct reach {
    uint32_t selector, attachment;
    uint64_t class; /* tier and portset together */
};

static int reach_order(const void *left, const void *right)
{
    const struct reach *a = left, *b = right;
    if (a->selector != b->selector) return a->selector < b->selector ? -1 : 1;
    if (a->class != b->class) return a->class < b->class ? -1 : 1;
    return (a->attachment > b->attachment) - (a->attachment < b->attachment);
}

/* The subject of a reach list. */
struct reach_kind {
    int of_hosts; /* else of CIDRs */
    int denies;   /* bool: rules that deny, else rules that allow; those that audit are in both */
};

static int is_reach(const struct sl_hanging *hanging, struct reach_kind kind)
{
    if (!(kind.of_hosts ? hanging->has_host : hanging->has_cidr)) return 0;
    if (hanging->record.tier == SL_TIER_AUDIT) return 1;
    return kind.denies ? hanging->record.tier >= SL_TIER_DENY : hanging->record.tier == SL_TIER_ALLOW;
}

/* One attachment for each selector, tier and portset of that kind: all that "does any rule cover this source and port"
 * needs. */
static int expand_reach(struct layout *layout, struct reach_kind kind, uint32_t *list)
{
    struct sl_builder *b = layout->b;
    struct sl_vec found = {0};
    for (size_t i = 0; i < b->hangings.count; i++) {
        const struct sl_hanging *hanging = &SL_AT(struct sl_hanging, b->hangings, i);
        if (!is_reach(hanging, kind)) continue;
        struct reach *reach = sl_vec_push(b, &found, sizeof *reach, hanging->selector_count);
        if (!reach) break;
        uint64_t class = (uint64_t)hanging->record.portset << 8 | hanging->record.tier;
        for (uint32_t s = 0; s < hanging->selector_count; s++)
            reach[s] =
                (struct reach){SL_AT(uint32_t, b->hanging_selectors, hanging->first_selector + s), (uint32_t)i, class};
    }
    layout->keys.count = 0;
    if (found.count) qsort(found.data, found.count, sizeof(struct reach), reach_order);
    for (size_t i = 0; i < found.count && b->failed == SL_BUILD_OK; i++) {
        const struct reach *reach = &SL_AT(struct reach, found, i);
        if (i && reach->selector == reach[-1].selector && reach->class == reach[-1].class) continue;
        uint64_t *key = sl_vec_push(b, &layout->keys, sizeof *key, 1);
        if (key) *key = (uint64_t)reach->selector << 32 | reach->attachment;
    }
    free(found.data);
    *list = 0;
    if (b->failed == SL_BUILD_OK && layout->keys.count) *list = add_list(layout);
    return b->failed == SL_BUILD_OK;
}

static int expand_all(struct layout *layout)
{
    struct sl_builder *b = layout->b;
    layout->list_of = calloc(b->sets.count, sizeof *layout->list_of);
    if (!layout->list_of) b->failed = SL_BUILD_NOMEM;
    if (!layout->list_of || !sl_vec_push(b, &layout->lists, sizeof(struct sl_list), 1)) return 0;
    for (size_t i = 0; i < b->nodes.count; i++) {
        const struct sl_node *node = &SL_AT(struct sl_node, b->nodes, i);
        if (!expand(layout, node->exact) || !expand(layout, node->wildcard)) return 0;
    }
    return expand_prefixes(layout, b->roots[SL_TRIE_DEST][0]) && expand_prefixes(layout, b->roots[SL_TRIE_DEST][1]) &&
           expand_reach(layout, (struct reach_kind){0, 0}, &layout->cidr_reach) &&
           expand_reach(layout, (struct reach_kind){1, 0}, &layout->host_reach) &&
           expand_reach(layout, (struct reach_kind){1, 1}, &layout->host_deny_reach);
}

/* Where each section's bytes come from; attachments are gathered from the hangings later. */
static void sections_of(const struct layout *layout, const void *data[SL_SEC_COUNT], struct sl_image_header *header)
{
    const struct sl_builder *b = layout->b;
    const struct sl_vec *vecs[SL_SEC_COUNT] = {
        [SL_SEC_STRINGS] = &b->strings,      [SL_SEC_RULES] = &b->rules,
        [SL_SEC_RANGES] = &b->ranges,        [SL_SEC_PORTSETS] = &b->portsets,
        [SL_SEC_LISTS] = &layout->lists,     [SL_SEC_ENTRIES] = &layout->entries,
        [SL_SEC_NODES] = &b->nodes,          [SL_SEC_LABELS] = &b->labels,
        [SL_SEC_PREFIXES] = &b->prefixes,    [SL_SEC_PRINCIPALS] = &b->principals,
        [SL_SEC_SELECTORS] = &b->selectors,  [SL_SEC_USERS] = &b->users,
        [SL_SEC_NETWORKS] = &b->networks,    [SL_SEC_OWN] = &b->own,
        [SL_SEC_ATTACHMENTS] = &b->hangings, [SL_SEC_LINES] = &b->lines,
    };
    const struct sl_table *tables[SL_SEC_COUNT] = {
        [SL_SEC_EDGES] = &b->edges,
        [SL_SEC_PRINCIPAL_SLOTS] = &b->principal_slots,
        [SL_SEC_SELECTOR_SLOTS] = &b->selector_slots,
        [SL_SEC_USER_SLOTS] = &b->user_slots,
    };
    uint64_t end = sizeof *header;
    for (unsigned i = 0; i < SL_SEC_COUNT; i++) {
        data[i] = vecs[i] ? vecs[i]->data : tables[i]->slots;
        header->sections[i] = (struct sl_section_ref){end, vecs[i] ? vecs[i]->count : tables[i]->size};
        end += (header->sections[i].count * sl_section_record_size(i) + 7) / 8 * 8;
    }
    data[SL_SEC_ATTACHMENTS] = NULL;
    header->size = end;
}

/* Sets are replaced by their lists, and attachments taken out of the hangings. */
static void fill_records(const struct layout *layout, uint8_t *base, const struct sl_image_header *header)
{
    const struct sl_builder *b = layout->b;
    struct sl_attachment *attachments = (void *)(base + header->sections[SL_SEC_ATTACHMENTS].offset);
    for (size_t i = 0; i < b->hangings.count; i++) attachments[i] = SL_AT(struct sl_hanging, b->hangings, i).record;
    struct sl_node *nodes = (void *)(base + header->sections[SL_SEC_NODES].offset);
    for (size_t i = 0; i < b->nodes.count; i++) {
        nodes[i].exact = layout->list_of[nodes[i].exact];
        nodes[i].wildcard = layout->list_of[nodes[i].wildcard];
    }
    struct sl_prefix_node *prefixes = (void *)(base + header->sections[SL_SEC_PREFIXES].offset);
    for (int family = 0; family < 2; family++) {
        uint32_t stack[260];
        unsigned depth = 0;
        if (b->roots[SL_TRIE_DEST][family]) stack[depth++] = b->roots[SL_TRIE_DEST][family];
        while (depth) {
            struct sl_prefix_node *node = &prefixes[stack[--depth]];
            node->value = layout->list_of[node->value];
            for (int side = 0; side < 2; side++)
                if (node->child[side]) stack[depth++] = node->child[side];
        }
    }
}

static uint8_t *lay_out(const struct layout *layout, size_t *size)
{
    const struct sl_builder *b = layout->b;
    const void *data[SL_SEC_COUNT];
    struct sl_image_header header = {.magic = SL_IMAGE_MAGIC, .version = SL_IMAGE_VERSION, .flags = b->flags};
    if (b->rules.count > 1 || (b->flags & SL_IMAGE_PASSTHROUGH)) header.flags |= SL_IMAGE_HAS_POLICY;
    memcpy(header.roots, b->roots, sizeof header.roots);
    header.cidr_reach = layout->cidr_reach;
    header.host_reach = layout->host_reach;
    header.host_deny_reach = layout->host_deny_reach;
    sections_of(layout, data, &header);
    uint8_t *base = calloc(1, (size_t)header.size);
    if (!base) return NULL;
    for (unsigned i = 0; i < SL_SEC_COUNT; i++) {
        size_t bytes = (size_t)header.sections[i].count * sl_section_record_size(i);
        if (data[i] && bytes) memcpy(base + header.sections[i].offset, data[i], bytes);
    }
    fill_records(layout, base, &header);
    memcpy(base, &header, sizeof header);
    header.checksum = sl_image_checksum(base, (size_t)header.size);
    memcpy(base, &header, sizeof header);
    *size = (size_t)header.size;
    return base;
}

enum sl_build_status sl_builder_finish(struct sl_builder *b, uint8_t **data, size_t *size)
{
    struct layout layout = {.b = b};
    *data = NULL;
    *size = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (expand_all(&layout) && !(*data = lay_out(&layout, size))) b->failed = SL_BUILD_NOMEM;
    free(layout.lists.data);
    free(layout.entries.data);
    free(layout.keys.data);
    free(layout.list_of);
    return b->failed;
}
