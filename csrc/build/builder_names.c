/* Building the name trie: canonical names in, nodes with sets of attachments out. Sets are interned
 * (builder_private.h), so a name costs one node, one edge and its label, however many rules it stands under. */
#include <stdlib.h>
#include <string.h>

#include "build/builder_private.h"

static uint32_t set_hash(const struct sl_builder *b, uint32_t index)
{
    const struct sl_set *set = &SL_AT(struct sl_set, b->sets, index);
    return sl_hash_pair(set->parent, set->item);
}

static int set_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    return memcmp(&SL_AT(struct sl_set, b->sets, index), wanted, sizeof(struct sl_set)) == 0;
}

/* *set with an item that is greater than all of its. */
static enum sl_build_status extend(struct sl_builder *b, uint32_t *set, uint32_t item)
{
    struct sl_set key = {*set, item};
    uint32_t *slot = sl_table_slot(b, &b->set_slots, sl_hash_pair(key.parent, key.item), set_hash, set_equal, &key);
    if (!slot) return b->failed;
    if (!*slot) {
        struct sl_set *record = sl_vec_push(b, &b->sets, sizeof *record, 1);
        if (!record) return b->failed;
        *record = key;
        *slot = (uint32_t)(b->sets.count - 1);
        b->set_slots.used++;
    }
    *set = *slot;
    return SL_BUILD_OK;
}

enum sl_build_status sl_set_add(struct sl_builder *b, uint32_t *set, uint32_t item)
{
    size_t above = 0; /* items greater than the new one: they are taken off and put back */
    uint32_t at = *set;
    for (; at && SL_AT(struct sl_set, b->sets, at).item > item; at = SL_AT(struct sl_set, b->sets, at).parent) above++;
    if (at && SL_AT(struct sl_set, b->sets, at).item == item) return b->failed;
    if (above == 0) return extend(b, set, item);

    b->scratch.count = 0;
    uint32_t *items = sl_vec_push(b, &b->scratch, 1, above * sizeof *items);
    if (!items) return b->failed;
    uint32_t from = *set;
    for (size_t i = above; i-- > 0; from = SL_AT(struct sl_set, b->sets, from).parent)
        items[i] = SL_AT(struct sl_set, b->sets, from).item;
    enum sl_build_status status = extend(b, &at, item);
    for (size_t i = 0; i < above && status == SL_BUILD_OK; i++) status = extend(b, &at, items[i]);
    if (status == SL_BUILD_OK) *set = at;
    return status;
}

static uint32_t edge_hash(const struct sl_builder *b, uint32_t index)
{
    const struct sl_node *node = &SL_AT(struct sl_node, b->nodes, index);
    const uint8_t *label = &SL_AT(uint8_t, b->labels, node->label);
    return sl_hash_edge(node->parent, label + 1, *label);
}

struct edge_key {
    const uint8_t *label;
    uint32_t parent;
    uint8_t length;
};

static int edge_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    const struct edge_key *key = wanted;
    const struct sl_node *node = &SL_AT(struct sl_node, b->nodes, index);
    const uint8_t *label = &SL_AT(uint8_t, b->labels, node->label);
    return node->parent == key->parent && *label == key->length && memcmp(label + 1, key->label, key->length) == 0;
}

/* The offset of a length-prefixed label. Common labels are found in a small cache instead of being stored again. */
static int store_label(struct sl_builder *b, const struct edge_key *key, uint32_t *offset)
{
    uint32_t *cached = &b->label_cache[sl_hash_edge(0, key->label, key->length) % SL_LABEL_CACHE];
    if (*cached) {
        const uint8_t *label = &SL_AT(uint8_t, b->labels, *cached - 1);
        if (*label == key->length && memcmp(label + 1, key->label, key->length) == 0) {
            *offset = *cached - 1;
            return 1;
        }
    }
    size_t at = b->labels.count;
    uint8_t *label = sl_vec_push(b, &b->labels, 1, key->length + 1u);
    if (!label) return 0;
    label[0] = key->length;
    memcpy(label + 1, key->label, key->length);
    *offset = (uint32_t)at;
    *cached = (uint32_t)at + 1; /* the last offset ends below UINT32_MAX: there is a byte after it */
    return 1;
}

/* The node of a canonical name, made when it is not there. 0 for the root (the empty name) and for failure. */
static uint32_t node_of(struct sl_builder *b, const char *name, size_t length)
{
    uint32_t at = 0;
    for (size_t end = length, start; end > 0; end = start ? start - 1 : 0) {
        for (start = end; start > 0 && name[start - 1] != '.'; start--) {
        }
        struct edge_key key = {(const uint8_t *)name + start, at, (uint8_t)(end - start)};
        uint32_t hash = sl_hash_edge(at, key.label, key.length);
        uint32_t *slot = sl_table_slot(b, &b->edges, hash, edge_hash, edge_equal, &key), label;
        if (!slot) return 0;
        if (!*slot) {
            struct sl_node *node = store_label(b, &key, &label) ? sl_vec_push(b, &b->nodes, sizeof *node, 1) : NULL;
            if (!node) return 0;
            *node = (struct sl_node){.parent = at, .label = label};
            *slot = (uint32_t)(b->nodes.count - 1);
            b->edges.used++;
        }
        at = *slot;
    }
    return at;
}

/* Where a name was hung. */
struct place {
    uint32_t node;
    int wildcard, is_new; /* is_new: it did not hang there before */
};

static enum sl_build_status hang(struct sl_builder *b, uint32_t attachment, const char *pattern, size_t length,
                                 uint32_t except, enum sl_name_status *why, struct place *place)
{
    char name[SL_NAME_BUFFER];
    size_t name_length;
    int wildcard;
    *why = SL_NAME_OK;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (attachment >= b->hangings.count) return SL_BUILD_BAD_ARGUMENT;
    *why = sl_name_pattern((const uint8_t *)pattern, length, name, &name_length, &wildcard);
    if (*why != SL_NAME_OK) return SL_BUILD_BAD_NAME;
    uint32_t index = node_of(b, name, name_length);
    if (b->failed != SL_BUILD_OK) return b->failed;
    struct sl_node *node = &SL_AT(struct sl_node, b->nodes, index);
    uint32_t *set = wildcard ? &node->wildcard : &node->exact, before = *set;
    enum sl_build_status status = sl_set_add(b, set, attachment << 1 | except);
    *place = (struct place){index, wildcard, *set != before};
    return status;
}

enum sl_build_status sl_builder_host(struct sl_builder *b, uint32_t attachment, const char *pattern, size_t length,
                                     enum sl_name_status *why)
{
    struct place place;
    enum sl_build_status status = hang(b, attachment, pattern, length, 0, why, &place);
    if (status == SL_BUILD_OK) SL_AT(struct sl_hanging, b->hangings, attachment).has_host = 1;
    return status;
}

enum sl_build_status sl_builder_host_except(struct sl_builder *b, uint32_t attachment, const char *pattern,
                                            size_t length, enum sl_name_status *why)
{
    struct place place;
    enum sl_build_status status = hang(b, attachment, pattern, length, 1, why, &place);
    if (status == SL_BUILD_OK) SL_AT(struct sl_hanging, b->hangings, attachment).record.flags |= SL_ATTACH_EXCEPTS;
    return status;
}

static int is_blank(uint8_t byte)
{
    return byte == ' ' || byte == '\t' || byte == '\r';
}

/* The lines of one list while it is read (struct sl_line). */
struct line_run {
    size_t first;           /* of its records in `lines` */
    uint32_t node, highest; /* the run's first node; the highest node of all runs */
    uint32_t line;          /* of the last name in a run; 0 = none yet */
};

static int note_line(struct sl_builder *b, struct line_run *run, const struct place *place, uint32_t line)
{
    struct sl_line record = {place->node, line};
    if (!place->is_new) return 1; /* it stands in a line before: that one is told */
    int later = run->line == 0 || place->node > run->highest;
    if (later && run->line && line == run->line + 1 && place->node - run->node <= SL_LINE_RUN) {
        run->highest = place->node;
        run->line = line;
        return 1;
    }
    if (!later) record.line |= SL_LINE_SINGLE | (place->wildcard ? SL_LINE_WILD : 0);
    struct sl_line *at = sl_vec_push(b, &b->lines, sizeof *at, 1);
    if (!at) return 0;
    *at = record;
    if (later) {
        run->node = run->highest = place->node;
        run->line = line;
    }
    return 1;
}

static int line_order(const void *left, const void *right)
{
    const struct sl_line *a = left, *b = right;
    uint64_t x = sl_line_key(a->node, a->line), y = sl_line_key(b->node, b->line);
    return (x > y) - (x < y);
}

/* Hands the records of a list that was read to its rule. A rule has one list. */
static void keep_lines(struct sl_builder *b, uint32_t attachment, const struct line_run *run)
{
    struct sl_rule *rule =
        &SL_AT(struct sl_rule, b->rules, SL_AT(struct sl_hanging, b->hangings, attachment).record.rule);
    size_t count = b->lines.count - run->first;
    if (count == 0 || rule->line_count) return;
    qsort(&SL_AT(struct sl_line, b->lines, run->first), count, sizeof(struct sl_line), line_order);
    rule->lines = (uint32_t)run->first;
    rule->line_count = (uint32_t)count;
}

enum sl_build_status sl_builder_host_list(struct sl_builder *b, uint32_t attachment, const uint8_t *data, size_t length,
                                          uint64_t *names, uint64_t *line, enum sl_name_status *why)
{
    const uint8_t *at = data, *end = data + length;
    *names = *line = 0;
    *why = SL_NAME_OK;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (attachment >= b->hangings.count) return SL_BUILD_BAD_ARGUMENT;
    struct line_run run = {.first = b->lines.count};
    if (length >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0) at += 3; /* a byte order mark */
    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at)), *stop = newline ? newline : end;
        const uint8_t *next = newline ? newline + 1 : end, *comment = memchr(at, '#', (size_t)(stop - at));
        if (comment) stop = comment;
        while (at < stop && is_blank(*at)) at++;
        while (stop > at && is_blank(stop[-1])) stop--;
        ++*line;
        if (at < stop) {
            struct place place;
            enum sl_build_status status = hang(b, attachment, (const char *)at, (size_t)(stop - at), 0, why, &place);
            if (status != SL_BUILD_OK) return status;
            if (!note_line(b, &run, &place, (uint32_t)*line)) return b->failed;
            SL_AT(struct sl_hanging, b->hangings, attachment).has_host = 1;
            ++*names;
        }
        at = next;
    }
    keep_lines(b, attachment, &run);
    return SL_BUILD_OK;
}
