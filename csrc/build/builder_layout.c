/* Laying a policy image out: sets become sorted lists, everything is copied into one block, and the block is sealed
 * with its checksum. Nothing of the builder is changed. */
#include <stdlib.h>
#include <string.h>

#include "build/builder_private.h"

static int key_order(const void *left, const void *right)
{
    uint64_t a, b;
    memcpy(&a, left, sizeof a);
    memcpy(&b, right, sizeof b);
    return (a > b) - (a < b);
}

static int add_entries(struct sl_layout *layout, const uint64_t *keys, size_t count)
{
    if (count == 0) return 1;
    struct sl_entry *entries = sl_vec_push(layout->b, &layout->entries, sizeof *entries, count);
    for (size_t i = 0; entries && i < count; i++)
        entries[i] = (struct sl_entry){(uint32_t)(keys[i] >> 32), (uint32_t)keys[i]};
    return entries != NULL;
}

/* One run: its items, its index where they are many, its excepts. */
static int add_run(struct sl_layout *layout, const uint64_t *keys, size_t count)
{
    size_t items = 0;
    while (items < count && (uint32_t)keys[items] < SL_ENTRY_RUN) items++;
    if (!add_entries(layout, keys, items)) return 0;
    if (items > layout->b->walked) {
        uint32_t number;
        if (!sl_lay_run(layout, keys, items, &number)) return 0;
        uint64_t key = (keys[0] >> 32) << 32 | SL_ENTRY_RUN | number;
        if (!add_entries(layout, &key, 1)) return 0;
    }
    return add_entries(layout, keys + items, count - items);
}

uint32_t sl_add_list(struct sl_layout *layout)
{
    size_t first = layout->entries.count, runs = layout->runs.count, count = layout->keys.count;
    uint64_t *keys = layout->keys.data;
    if (count) qsort(keys, count, sizeof *keys, key_order);
    for (size_t i = 0, next; i < count; i = next) {
        for (next = i + 1; next < count && keys[next] >> 32 == keys[i] >> 32; next++) {
        }
        if (!add_run(layout, keys + i, next - i)) return 0;
    }
    if (layout->entries.count - first >= SL_LIST_DEEP) layout->b->failed = SL_BUILD_TOO_LARGE;
    int clauses = count && (keys[count - 1] >> 32 & SL_ENTRY_CLAUSE);
    uint32_t deep = layout->runs.count > runs || clauses ? SL_LIST_DEEP : 0;
    struct sl_list *list = sl_vec_push(layout->b, &layout->lists, sizeof *list, 1);
    if (!list) return 0;
    *list = (struct sl_list){(uint32_t)first, (uint32_t)(layout->entries.count - first) | deep, 0};
    return (uint32_t)(layout->lists.count - 1);
}

/* Keys of one attachment: one for its clause, or one for each selector. */
static int add_keys(struct sl_layout *layout, uint32_t who, uint32_t attachment)
{
    struct sl_builder *b = layout->b;
    const struct sl_who *set = &SL_AT(struct sl_who, b->whos, who);
    uint32_t clause = layout->clause_of[who];
    uint64_t *keys = sl_vec_push(b, &layout->keys, sizeof *keys, clause ? 1 : set->count);
    if (!keys) return 0;
    if (clause) keys[0] = (uint64_t)clause << 32 | attachment;
    for (uint32_t i = 0; !clause && i < set->count; i++)
        keys[i] = (uint64_t)SL_AT(uint32_t, b->who_selectors, set->first + i) << 32 | attachment;
    return 1;
}

int sl_add_item(struct sl_layout *layout, uint32_t attachment)
{
    return add_keys(layout, SL_AT(struct sl_hanging, layout->b->hangings, attachment).who, attachment);
}

/* Counts the entries that its items would be, by who they are for. */
static int count_set(struct sl_layout *layout, uint32_t set)
{
    const struct sl_builder *b = layout->b;
    if (set == 0 || layout->list_of[set]) return 1;
    layout->list_of[set] = 1;
    for (uint32_t at = set; at; at = SL_AT(struct sl_set, b->sets, at).parent)
        sl_count_who(layout, SL_AT(struct sl_hanging, b->hangings, SL_AT(struct sl_set, b->sets, at).item >> 1).who);
    return 1;
}

/* Its list: each of its attachments once for each clause or selector; those that want a path go into a trie. */
static int expand(struct sl_layout *layout, uint32_t set)
{
    struct sl_builder *b = layout->b;
    if (set == 0 || layout->list_of[set]) return 1;
    layout->keys.count = layout->wanting.count = 0;
    for (uint32_t at = set; at; at = SL_AT(struct sl_set, b->sets, at).parent) {
        uint32_t item = SL_AT(struct sl_set, b->sets, at).item, attachment = item >> 1;
        const struct sl_hanging *hanging = &SL_AT(struct sl_hanging, b->hangings, attachment);
        if (!(item & 1) && sl_wants_path(layout, attachment)) {
            uint32_t *wanting = sl_vec_push(b, &layout->wanting, sizeof *wanting, 1);
            if (!wanting) return 0;
            *wanting = attachment;
        } else if (!add_keys(layout, hanging->who, item & 1 ? attachment | SL_ENTRY_EXCEPT : attachment)) {
            return 0;
        }
    }
    uint32_t list = layout->list_of[set] = sl_add_list(layout), root;
    if (!list || !layout->wanting.count) return list != 0;
    if (!(root = sl_lay_paths(layout, layout->wanting.data, layout->wanting.count))) return 0;
    SL_AT(struct sl_list, layout->lists, list).paths = root;
    return 1;
}

int sl_work_on_prefixes(struct sl_layout *layout, uint32_t root, sl_set_work *work)
{
    uint32_t stack[260];
    unsigned depth = 0;
    if (root) stack[depth++] = root;
    while (depth) {
        const struct sl_prefix_node *node = &SL_AT(struct sl_prefix_node, layout->b->prefixes, stack[--depth]);
        if (!work(layout, node->value)) return 0;
        for (int side = 0; side < 2; side++)
            if (node->child[side]) stack[depth++] = node->child[side];
    }
    return 1;
}

static int work_on_sets(struct sl_layout *layout, sl_set_work *work)
{
    const struct sl_builder *b = layout->b;
    memset(layout->list_of, 0, b->sets.count * sizeof *layout->list_of);
    for (size_t i = 0; i < b->nodes.count; i++) {
        const struct sl_node *node = &SL_AT(struct sl_node, b->nodes, i);
        if (!work(layout, node->exact) || !work(layout, node->wildcard)) return 0;
    }
    return sl_work_on_prefixes(layout, b->roots[SL_TRIE_DEST][0], work) &&
           sl_work_on_prefixes(layout, b->roots[SL_TRIE_DEST][1], work);
}

struct reach {
    uint32_t who, attachment; /* who: an sl_who, then as in entries */
    uint64_t class;           /* tier and portset together */
};

static int reach_order(const void *left, const void *right)
{
    const struct reach *a = left, *b = right;
    if (a->who != b->who) return a->who < b->who ? -1 : 1;
    if (a->class != b->class) return a->class < b->class ? -1 : 1;
    return (a->attachment > b->attachment) - (a->attachment < b->attachment);
}

/* The first of each who and class. */
static void sort_reaches(struct sl_vec *found)
{
    struct reach *all = found->data;
    size_t kept = 0;
    if (found->count) qsort(all, found->count, sizeof *all, reach_order);
    for (size_t i = 0; i < found->count; i++)
        if (i == 0 || all[i].who != all[kept - 1].who || all[i].class != all[kept - 1].class) all[kept++] = all[i];
    found->count = kept;
}

/* The subject of a reach list. */
struct reach_kind {
    int of_hosts; /* else of CIDRs */
    int denies;   /* bool: rules that deny, else rules that allow; those that audit are in both */
};

static int is_reach(const struct sl_builder *b, const struct sl_hanging *hanging, struct reach_kind kind)
{
    if (!(kind.of_hosts ? hanging->has_host : hanging->has_cidr)) return 0;
    uint8_t tier = hanging->record.tier;
    if (tier == SL_TIER_AUDIT || tier == SL_TIER_DEFAULT_AUDIT) return 1;
    int denies = tier >= SL_TIER_DENY || tier == SL_TIER_DEFAULT_DENY;
    if (kind.denies && SL_AT(struct sl_condition, b->conditions, hanging->record.condition).admit) return 1;
    return kind.denies ? denies : !denies;
}

/* One attachment for each set of selectors, tier and portset of that kind. Returns 0 when `failed` was set. */
static int find_reaches(struct sl_layout *layout, struct reach_kind kind, struct sl_vec *found)
{
    struct sl_builder *b = layout->b;
    for (size_t i = 0; i < b->hangings.count; i++) {
        const struct sl_hanging *hanging = &SL_AT(struct sl_hanging, b->hangings, i);
        if (!is_reach(b, hanging, kind)) continue;
        struct reach *reach = sl_vec_push(b, found, sizeof *reach, 1);
        if (!reach) return 0;
        uint64_t class = (uint64_t)hanging->record.portset << 8 | hanging->record.tier;
        *reach = (struct reach){hanging->who, (uint32_t)i, class};
    }
    sort_reaches(found);
    return 1;
}

static int count_reach(struct sl_layout *layout, struct reach_kind kind)
{
    struct sl_vec found = {0};
    int ok = find_reaches(layout, kind, &found);
    for (size_t i = 0; ok && i < found.count; i++) sl_count_who(layout, SL_AT(struct reach, found, i).who);
    free(found.data);
    return ok;
}

/* The reaches by selector and clause. */
static int spread_reaches(struct sl_layout *layout, const struct sl_vec *found, struct sl_vec *out)
{
    for (size_t i = 0; i < found->count; i++) {
        const struct reach *reach = &SL_AT(struct reach, *found, i);
        layout->keys.count = 0;
        if (!add_keys(layout, reach->who, reach->attachment)) return 0;
        struct reach *at = sl_vec_push(layout->b, out, sizeof *at, layout->keys.count);
        if (!at) return 0;
        for (size_t j = 0; j < layout->keys.count; j++)
            at[j] = (struct reach){(uint32_t)(SL_AT(uint64_t, layout->keys, j) >> 32), reach->attachment, reach->class};
    }
    sort_reaches(out);
    return 1;
}

/* One attachment for each who, tier and portset of that kind: all that "does any rule cover this source and port"
 * needs. */
static int expand_reach(struct sl_layout *layout, struct reach_kind kind, uint32_t *list)
{
    struct sl_builder *b = layout->b;
    struct sl_vec found = {0}, out = {0};
    int ok = find_reaches(layout, kind, &found) && spread_reaches(layout, &found, &out);
    layout->keys.count = 0;
    uint64_t *keys = ok && out.count ? sl_vec_push(b, &layout->keys, sizeof *keys, out.count) : NULL;
    for (size_t i = 0; keys && i < out.count; i++) {
        const struct reach *reach = &SL_AT(struct reach, out, i);
        keys[i] = (uint64_t)reach->who << 32 | reach->attachment;
    }
    free(found.data);
    free(out.data);
    *list = keys ? sl_add_list(layout) : 0;
    return b->failed == SL_BUILD_OK;
}

static int make_room(struct sl_layout *layout)
{
    struct sl_builder *b = layout->b;
    layout->list_of = calloc(b->sets.count, sizeof *layout->list_of);
    layout->clause_of = calloc(b->whos.count, sizeof *layout->clause_of);
    layout->membership_of = calloc(b->selectors.count, sizeof *layout->membership_of);
    layout->within_of = calloc(b->sets.count, sizeof *layout->within_of);
    if (!layout->list_of || !layout->clause_of || !layout->membership_of || !layout->within_of)
        b->failed = SL_BUILD_NOMEM;
    return sl_vec_push(b, &layout->lists, sizeof(struct sl_list), 1) &&
           sl_vec_push(b, &layout->paths, sizeof(struct sl_path_node), 1);
}

static int expand_all(struct sl_layout *layout)
{
    const struct reach_kind cidrs = {0, 0}, hosts = {1, 0}, denied_hosts = {1, 1};
    if (!make_room(layout) || !work_on_sets(layout, count_set) || !count_reach(layout, cidrs) ||
        !count_reach(layout, hosts) || !count_reach(layout, denied_hosts))
        return 0;
    sl_choose_clauses(layout);
    return sl_lay_memberships(layout) && sl_lay_blocks(layout) && work_on_sets(layout, expand) &&
           expand_reach(layout, cidrs, &layout->cidr_reach) && expand_reach(layout, hosts, &layout->host_reach) &&
           expand_reach(layout, denied_hosts, &layout->host_deny_reach);
}

/* Where each section's bytes come from; attachments are gathered from the hangings later. */
static void sections_of(const struct sl_layout *layout, const void *data[SL_SEC_COUNT], struct sl_image_header *header)
{
    const struct sl_builder *b = layout->b;
    const struct sl_vec *vecs[SL_SEC_COUNT] = {
        [SL_SEC_STRINGS] = &b->strings,
        [SL_SEC_RULES] = &b->rules,
        [SL_SEC_RANGES] = &b->ranges,
        [SL_SEC_PORTSETS] = &b->portsets,
        [SL_SEC_LISTS] = &layout->lists,
        [SL_SEC_ENTRIES] = &layout->entries,
        [SL_SEC_NODES] = &b->nodes,
        [SL_SEC_LABELS] = &b->labels,
        [SL_SEC_PREFIXES] = &b->prefixes,
        [SL_SEC_PRINCIPALS] = &b->principals,
        [SL_SEC_SELECTORS] = &b->selectors,
        [SL_SEC_USERS] = &b->users,
        [SL_SEC_NETWORKS] = &b->networks,
        [SL_SEC_OWN] = &b->own,
        [SL_SEC_ATTACHMENTS] = &b->hangings,
        [SL_SEC_LINES] = &b->lines,
        [SL_SEC_MEMBERSHIPS] = &layout->memberships,
        [SL_SEC_CLAUSES] = &layout->clause_ids,
        [SL_SEC_RUNS] = &layout->runs,
        [SL_SEC_STRETCHES] = &layout->stretches,
        [SL_SEC_CANDIDATES] = &layout->candidates,
        [SL_SEC_REGEXES] = &b->regexes,
        [SL_SEC_CELLS] = &b->cells,
        [SL_SEC_CONDITIONS] = &b->conditions,
        [SL_SEC_PROGRAMS] = &b->programs,
        [SL_SEC_STEPS] = &b->steps,
        [SL_SEC_LITERALS] = &b->literals,
        [SL_SEC_PATHS] = &layout->paths,
        [SL_SEC_SETTINGS] = &b->settings,
    };
    const struct sl_table *tables[SL_SEC_COUNT] = {
        [SL_SEC_EDGES] = &b->edges,
        [SL_SEC_PRINCIPAL_SLOTS] = &b->principal_slots,
        [SL_SEC_SELECTOR_SLOTS] = &b->selector_slots,
        [SL_SEC_USER_SLOTS] = &b->user_slots,
        [SL_SEC_PATH_SLOTS] = &layout->path_slots,
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

/* The sets of one trie are replaced by what they became. */
static void fill_prefixes(struct sl_prefix_node *prefixes, uint32_t root, const uint32_t *of_set)
{
    uint32_t stack[260];
    unsigned depth = 0;
    if (root) stack[depth++] = root;
    while (depth) {
        struct sl_prefix_node *node = &prefixes[stack[--depth]];
        node->value = of_set[node->value];
        for (int side = 0; side < 2; side++)
            if (node->child[side]) stack[depth++] = node->child[side];
    }
}

/* Sets are replaced by their lists, and attachments taken out of the hangings. */
static void fill_records(const struct sl_layout *layout, uint8_t *base, const struct sl_image_header *header)
{
    const struct sl_builder *b = layout->b;
    struct sl_attachment *attachments = (void *)(base + header->sections[SL_SEC_ATTACHMENTS].offset);
    for (size_t i = 0; i < b->hangings.count; i++) attachments[i] = SL_AT(struct sl_hanging, b->hangings, i).record;
    struct sl_node *nodes = (void *)(base + header->sections[SL_SEC_NODES].offset);
    for (size_t i = 0; i < b->nodes.count; i++) {
        nodes[i].exact = layout->list_of[nodes[i].exact];
        nodes[i].wildcard = layout->list_of[nodes[i].wildcard];
    }
    struct sl_selector *selectors = (void *)(base + header->sections[SL_SEC_SELECTORS].offset);
    for (size_t i = 0; i < b->selectors.count; i++) selectors[i].membership = layout->membership_of[i];
    struct sl_prefix_node *prefixes = (void *)(base + header->sections[SL_SEC_PREFIXES].offset);
    for (int family = 0; family < 2; family++) {
        fill_prefixes(prefixes, b->roots[SL_TRIE_DEST][family], layout->list_of);
        fill_prefixes(prefixes, b->roots[SL_TRIE_WITHIN][family], layout->within_of);
    }
    sl_fill_steps(layout, (void *)(base + header->sections[SL_SEC_STEPS].offset));
}

static uint8_t *lay_out(const struct sl_layout *layout, size_t *size)
{
    const struct sl_builder *b = layout->b;
    const void *data[SL_SEC_COUNT];
    struct sl_image_header header = {.magic = SL_IMAGE_MAGIC, .version = SL_IMAGE_VERSION, .flags = b->flags};
    if (layout->paths.count > 1) header.flags |= SL_IMAGE_PATHS;
    if (b->rules.count > 1 || (b->flags & SL_IMAGE_PASSTHROUGH)) header.flags |= SL_IMAGE_HAS_POLICY;
    memcpy(header.roots, b->roots, sizeof header.roots);
    header.cidr_reach = layout->cidr_reach;
    header.host_reach = layout->host_reach;
    header.host_deny_reach = layout->host_deny_reach;
    header.clauses = layout->clauses;
    header.walked = b->walked;
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
    struct sl_layout layout = {.b = b};
    *data = NULL;
    *size = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (expand_all(&layout) && !(*data = lay_out(&layout, size))) b->failed = SL_BUILD_NOMEM;
    struct sl_vec *vecs[] = {&layout.lists,      &layout.entries, &layout.keys,      &layout.memberships,
                             &layout.clause_ids, &layout.runs,    &layout.stretches, &layout.candidates,
                             &layout.paths,      &layout.wanting};
    for (size_t i = 0; i < sizeof vecs / sizeof *vecs; i++) free(vecs[i]->data);
    free(layout.path_slots.slots);
    free(layout.list_of);
    free(layout.clause_of);
    free(layout.membership_of);
    free(layout.within_of);
    return b->failed;
}
