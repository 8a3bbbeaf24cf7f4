/* The image builder: memory, tables, texts, rules, ports and attachments. Sources are in builder_sources.c, names in
 * builder_names.c, prefixes in builder_prefixes.c; the finished block is laid out by builder_layout.c. */
#include "build/builder.h"

#include <stdlib.h>
#include <string.h>

#include "build/builder_private.h"

void *sl_vec_push(struct sl_builder *b, struct sl_vec *vec, size_t size, size_t count)
{
    if (b->failed != SL_BUILD_OK) return NULL;
    if (count > b->limit || vec->count > b->limit - count) {
        b->failed = SL_BUILD_TOO_LARGE;
        return NULL;
    }
    if (vec->count + count > vec->room) {
        size_t room = vec->room < 16 ? 16 : vec->room * 2;
        while (room < vec->count + count) room *= 2;
        void *data = room > SIZE_MAX / size ? NULL : realloc(vec->data, room * size);
        if (!data) {
            b->failed = SL_BUILD_NOMEM;
            return NULL;
        }
        vec->data = data;
        vec->room = room;
    }
    void *at = (uint8_t *)vec->data + vec->count * size;
    memset(at, 0, size * count);
    vec->count += count;
    return at;
}

static int table_grow(struct sl_builder *b, struct sl_table *table,
                      uint32_t (*hash_of)(const struct sl_builder *b, uint32_t index))
{
    size_t size = table->size ? table->size * 2 : 16;
    uint32_t *slots = NULL;
    if (size - 1 > b->limit)
        b->failed = SL_BUILD_TOO_LARGE;
    else if (!(slots = calloc(size, sizeof *slots)))
        b->failed = SL_BUILD_NOMEM;
    if (!slots) return 0;
    for (size_t i = 0; i < table->size; i++) {
        if (!table->slots[i]) continue;
        size_t at = hash_of(b, table->slots[i]) & (size - 1);
        while (slots[at]) at = (at + 1) & (size - 1);
        slots[at] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->size = size;
    return 1;
}

uint32_t *sl_table_slot(struct sl_builder *b, struct sl_table *table, uint32_t hash,
                        uint32_t (*hash_of)(const struct sl_builder *b, uint32_t index),
                        int (*equal)(const struct sl_builder *b, uint32_t index, const void *key), const void *key)
{
    if (b->failed != SL_BUILD_OK) return NULL;
    if ((table->used + 1) * 4 > table->size * 3 && !table_grow(b, table, hash_of)) return NULL;
    size_t at = hash & (table->size - 1);
    while (table->slots[at] && !equal(b, table->slots[at], key)) at = (at + 1) & (table->size - 1);
    return &table->slots[at];
}

struct sl_builder *sl_builder_new(void)
{
    struct sl_builder *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->failed = SL_BUILD_OK;
    b->limit = UINT32_MAX;
    sl_builder_layout(b, 8, 16);
    /* Index 0 of these is "none", the root, or the empty text. */
    sl_vec_push(b, &b->strings, 1, 1);
    sl_vec_push(b, &b->rules, sizeof(struct sl_rule), 1);
    sl_vec_push(b, &b->portsets, sizeof(struct sl_portset), 1);
    sl_vec_push(b, &b->nodes, sizeof(struct sl_node), 1);
    sl_vec_push(b, &b->sets, sizeof(struct sl_set), 1);
    sl_vec_push(b, &b->prefixes, sizeof(struct sl_prefix_node), 1);
    sl_vec_push(b, &b->principals, sizeof(struct sl_principal), 1);
    sl_vec_push(b, &b->selectors, sizeof(struct sl_selector), 1);
    sl_vec_push(b, &b->whos, sizeof(struct sl_who), 1);
    sl_vec_push(b, &b->users, sizeof(struct sl_user), 1);
    sl_vec_push(b, &b->networks, sizeof(struct sl_network), 1);
    sl_vec_push(b, &b->regexes, sizeof(struct sl_regex), 1);
    sl_vec_push(b, &b->literals, sizeof(struct sl_literal), 1);
    sl_vec_push(b, &b->conditions, sizeof(struct sl_condition), 1);
    sl_vec_push(b, &b->programs, sizeof(struct sl_program), 1);
    sl_vec_push(b, &b->settings, sizeof(struct sl_settings), 1);
    if (b->failed == SL_BUILD_OK) return b;
    sl_builder_free(b);
    return NULL;
}

void sl_builder_free(struct sl_builder *b)
{
    if (!b) return;
    struct sl_vec *vecs[] = {&b->strings,    &b->rules,         &b->ranges,    &b->portsets, &b->hangings,
                             &b->whos,       &b->who_selectors, &b->nodes,     &b->labels,   &b->sets,
                             &b->prefixes,   &b->principals,    &b->selectors, &b->users,    &b->networks,
                             &b->own,        &b->scratch,       &b->lines,     &b->regexes,  &b->cells,
                             &b->conditions, &b->programs,      &b->steps,     &b->literals, &b->settings};
    struct sl_table *tables[] = {&b->string_slots,    &b->portset_slots,  &b->edges,           &b->set_slots,
                                 &b->principal_slots, &b->selector_slots, &b->user_slots,      &b->who_slots,
                                 &b->regex_slots,     &b->program_slots,  &b->condition_slots, &b->literal_slots,
                                 &b->settings_slots};
    for (size_t i = 0; i < sizeof vecs / sizeof *vecs; i++) free(vecs[i]->data);
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) free(tables[i]->slots);
    free(b);
}

void sl_builder_layout(struct sl_builder *b, uint32_t spread, uint32_t walked)
{
    b->spread = spread;
    b->walked = walked;
}

static uint32_t string_hash(const struct sl_builder *b, uint32_t offset)
{
    return sl_hash_text((const char *)b->strings.data + offset);
}

static int string_equal(const struct sl_builder *b, uint32_t offset, const void *key)
{
    return strcmp((const char *)b->strings.data + offset, key) == 0;
}

enum sl_build_status sl_text_intern(struct sl_builder *b, const char *text, uint32_t *offset)
{
    *offset = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (*text == 0) return SL_BUILD_OK;
    uint32_t *slot = sl_table_slot(b, &b->string_slots, sl_hash_text(text), string_hash, string_equal, text);
    if (!slot) return b->failed;
    if (!*slot) {
        size_t at = b->strings.count, size = strlen(text) + 1;
        char *copy = sl_vec_push(b, &b->strings, 1, size);
        if (!copy) return b->failed;
        memcpy(copy, text, size);
        *slot = (uint32_t)at;
        b->string_slots.used++;
    }
    *offset = *slot;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_string(struct sl_builder *b, const char *text, size_t length, uint32_t *offset)
{
    *offset = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (length && memchr(text, 0, length)) return SL_BUILD_BAD_ARGUMENT;
    b->scratch.count = 0;
    char *copy = sl_vec_push(b, &b->scratch, 1, length + 1);
    if (!copy) return b->failed;
    if (length) memcpy(copy, text, length);
    return sl_text_intern(b, copy, offset);
}

enum sl_build_status sl_builder_rule(struct sl_builder *b, const struct sl_rule *rule, uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    const uint32_t texts[] = {rule->kind, rule->namespace_, rule->name, rule->file, rule->upstream, rule->tls};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (texts[i] >= b->strings.count) return SL_BUILD_BAD_ARGUMENT;
    if (rule->tier < SL_TIER_DEFAULT_ALLOW || rule->tier > SL_TIER_HARD_DENY || rule->on_revoke > SL_REVOKE_KEEP ||
        rule->on_revoke_set > 1 || rule->inner > SL_INNER_OFF || rule->protocol >= SL_INNER_PROTOCOL_COUNT ||
        rule->ech >= SL_ECH_COUNT || rule->invalid > 1 || rule->pad || rule->settings >= b->settings.count)
        return SL_BUILD_BAD_ARGUMENT;
    struct sl_rule *record = sl_vec_push(b, &b->rules, sizeof *record, 1);
    if (!record) return b->failed;
    *record = *rule;
    record->lines = record->line_count = 0;
    if (rule->invalid) b->flags |= SL_IMAGE_CLOSES;
    *id = (uint32_t)(b->rules.count - 1);
    return SL_BUILD_OK;
}

static uint32_t settings_hash_of(const struct sl_settings *key)
{
    return sl_hash_pair(sl_hash_pair(key->sources, key->route), key->headers);
}

static uint32_t settings_hash(const struct sl_builder *b, uint32_t index)
{
    return settings_hash_of(&SL_AT(struct sl_settings, b->settings, index));
}

static int settings_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    return memcmp(&SL_AT(struct sl_settings, b->settings, index), wanted, sizeof(struct sl_settings)) == 0;
}

enum sl_build_status sl_builder_settings(struct sl_builder *b, const struct sl_settings *settings, uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    size_t texts = b->strings.count;
    if (settings->sources >= texts || settings->route >= texts || settings->headers >= texts)
        return SL_BUILD_BAD_ARGUMENT;
    if (!settings->sources && !settings->route && !settings->headers) return SL_BUILD_OK;
    uint32_t hash = settings_hash_of(settings);
    uint32_t *slot = sl_table_slot(b, &b->settings_slots, hash, settings_hash, settings_equal, settings);
    if (!slot) return b->failed;
    if (!*slot) {
        struct sl_settings *record = sl_vec_push(b, &b->settings, sizeof *record, 1);
        if (!record) return b->failed;
        *record = *settings;
        *slot = (uint32_t)(b->settings.count - 1);
        b->settings_slots.used++;
    }
    *id = *slot;
    return SL_BUILD_OK;
}

static int range_order(const void *left, const void *right)
{
    const struct sl_port_range *a = left, *b = right;
    return a->low != b->low ? (a->low < b->low ? -1 : 1) : (a->high > b->high) - (a->high < b->high);
}

struct range_key {
    const struct sl_port_range *ranges;
    uint32_t count;
};

static uint32_t range_hash(const struct range_key *key)
{
    return sl_hash_edge(key->count, (const uint8_t *)key->ranges, key->count * sizeof *key->ranges);
}

static struct range_key portset_key(const struct sl_builder *b, uint32_t index)
{
    const struct sl_portset *set = &SL_AT(struct sl_portset, b->portsets, index);
    return (struct range_key){&SL_AT(struct sl_port_range, b->ranges, set->first), set->count};
}

static uint32_t portset_hash(const struct sl_builder *b, uint32_t index)
{
    struct range_key key = portset_key(b, index);
    return range_hash(&key);
}

static int portset_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    struct range_key have = portset_key(b, index);
    const struct range_key *key = wanted;
    return have.count == key->count && memcmp(have.ranges, key->ranges, have.count * sizeof *have.ranges) == 0;
}

/* Sorts, and merges what overlaps: neighbours stay apart, so 80 beside 81-90 is still a single port. */
static uint32_t merge_ranges(struct sl_port_range *ranges, size_t count)
{
    uint32_t kept = 0;
    qsort(ranges, count, sizeof *ranges, range_order);
    for (size_t i = 1; i < count; i++) {
        if (ranges[i].low > ranges[kept].high)
            ranges[++kept] = ranges[i];
        else if (ranges[i].high > ranges[kept].high)
            ranges[kept].high = ranges[i].high;
    }
    return kept + 1;
}

enum sl_build_status sl_builder_portset(struct sl_builder *b, const struct sl_port_range *ranges, size_t count,
                                        uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (count == 0) return SL_BUILD_OK;
    for (size_t i = 0; i < count; i++)
        if (ranges[i].low > ranges[i].high) return SL_BUILD_BAD_ARGUMENT;
    b->scratch.count = 0;
    struct sl_port_range *sorted = sl_vec_push(b, &b->scratch, 1, count * sizeof *sorted);
    if (!sorted) return b->failed;
    memcpy(sorted, ranges, count * sizeof *sorted);
    struct range_key key = {sorted, merge_ranges(sorted, count)};
    uint32_t *slot = sl_table_slot(b, &b->portset_slots, range_hash(&key), portset_hash, portset_equal, &key);
    if (!slot) return b->failed;
    if (!*slot) {
        size_t first = b->ranges.count;
        struct sl_port_range *copy = sl_vec_push(b, &b->ranges, sizeof *copy, key.count);
        struct sl_portset *set = copy ? sl_vec_push(b, &b->portsets, sizeof *set, 1) : NULL;
        if (!set) return b->failed;
        memcpy(copy, sorted, key.count * sizeof *copy);
        *set = (struct sl_portset){(uint32_t)first, key.count};
        *slot = (uint32_t)(b->portsets.count - 1);
        b->portset_slots.used++;
    }
    *id = *slot;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_attach(struct sl_builder *b, uint32_t rule, uint8_t tier, uint32_t portset,
                                       uint32_t order, uint32_t who, uint32_t *attachment)
{
    return sl_builder_attach_in(b, rule, tier, portset, order, who, 0, 0, attachment);
}

enum sl_build_status sl_builder_attach_in(struct sl_builder *b, uint32_t rule, uint8_t tier, uint32_t portset,
                                          uint32_t order, uint32_t who, uint8_t group, uint8_t class,
                                          uint32_t *attachment)
{
    *attachment = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (rule == 0 || rule >= b->rules.count || portset >= b->portsets.count || who == 0 || who >= b->whos.count ||
        !sl_in_group(tier, group, class))
        return SL_BUILD_BAD_ARGUMENT;
    if (b->hangings.count >= SL_ENTRY_RUN) return b->failed = SL_BUILD_TOO_LARGE;
    struct sl_hanging *hanging = sl_vec_push(b, &b->hangings, sizeof *hanging, 1);
    if (!hanging) return b->failed;
    hanging->record = (struct sl_attachment){.rule = rule, .portset = portset, .order = order, .tier = tier};
    hanging->record.group = group & (unsigned)(SL_GROUPS - 1);
    hanging->record.class = class & (unsigned)(SL_CLASSES - 1);
    if (group) b->flags |= SL_IMAGE_GROUPS;
    const struct sl_rule *by = &SL_AT(struct sl_rule, b->rules, rule);
    hanging->record.flags = sl_rule_sets(by, &SL_AT(struct sl_settings, b->settings, by->settings));
    hanging->who = who;
    *attachment = (uint32_t)(b->hangings.count - 1);
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_own(struct sl_builder *b, const struct sl_prefix *block, uint16_t port)
{
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (!block && port == 0) return SL_BUILD_BAD_ARGUMENT;
    uint8_t longest = block && block->addr.family == 4 ? 32 : 128;
    if (block && ((block->addr.family != 4 && block->addr.family != 6) || block->length > longest))
        return SL_BUILD_BAD_ARGUMENT;
    struct sl_own *own = sl_vec_push(b, &b->own, sizeof *own, 1);
    if (!own) return b->failed;
    own->port = port;
    if (!block) return SL_BUILD_OK;
    memcpy(own->bits, block->addr.bytes, sizeof own->bits);
    own->family = block->addr.family;
    own->length = block->length;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_flags(struct sl_builder *b, uint32_t flags)
{
    if (b->failed != SL_BUILD_OK) return b->failed;
    const uint32_t known = SL_IMAGE_HAS_POLICY | SL_IMAGE_PASSTHROUGH | SL_IMAGE_AUDIT | SL_IMAGE_STARTING;
    if (flags & ~known) return SL_BUILD_BAD_ARGUMENT;
    b->flags |= flags;
    return SL_BUILD_OK;
}
