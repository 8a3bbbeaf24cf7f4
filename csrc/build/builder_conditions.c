/* Building conditions: programs, blocks of addresses that they ask for, and what attachments have of them. */
#include <stdlib.h>
#include <string.h>

#include "build/builder_private.h"
#include "policy/judge.h"

/* ---- programs, each once ----------------------------------------------------------------------------------------- */

struct steps {
    const struct sl_step *steps;
    uint32_t count;
};

static uint32_t steps_hash(const struct steps *key)
{
    return sl_hash_edge(key->count, (const uint8_t *)key->steps, key->count * sizeof *key->steps);
}

static struct steps steps_of(const struct sl_builder *b, uint32_t index)
{
    const struct sl_program *program = &SL_AT(struct sl_program, b->programs, index);
    return (struct steps){&SL_AT(struct sl_step, b->steps, program->first), program->count};
}

static uint32_t program_hash(const struct sl_builder *b, uint32_t index)
{
    struct steps key = steps_of(b, index);
    return steps_hash(&key);
}

static int program_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    struct steps have = steps_of(b, index);
    const struct steps *key = wanted;
    return have.count == key->count && memcmp(have.steps, key->steps, have.count * sizeof *have.steps) == 0;
}

/* How many truths a step takes before it gives one; UINT32_MAX: it is none that a builder takes. */
static uint32_t takes(const struct sl_builder *b, const struct sl_step *step)
{
    switch (step->code) {
    case SL_STEP_AND:
    case SL_STEP_OR: return step->operand;
    case SL_STEP_NOT: return 1;
    case SL_STEP_SOURCE: return step->operand == 0 || step->operand >= b->whos.count ? UINT32_MAX : 0;
    case SL_STEP_LISTENER: return step->operand == 0 || step->operand >= b->strings.count ? UINT32_MAX : 0;
    case SL_STEP_WITHIN: return step->operand == 0 || step->operand > b->withins ? UINT32_MAX : 0;
    case SL_STEP_REQUEST: return step->operand == 0 || step->operand >= b->literals.count ? UINT32_MAX : 0;
    case SL_STEP_NETWORK: return step->operand == 0 ? UINT32_MAX : 0;
    case SL_STEP_SHOWS: return step->operand == SL_SHOWS_TLS || step->operand == SL_SHOWS_HTTP ? 0 : UINT32_MAX;
    default: return UINT32_MAX;
    }
}

static int is_program(const struct sl_builder *b, const struct sl_step *steps, size_t count)
{
    uint32_t depth = 0;
    if (count == 0 || count > SL_PROGRAM_STEPS) return 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t taken = takes(b, &steps[i]);
        if (taken > depth) return 0;
        depth -= taken;
        depth++;
    }
    return depth == 1;
}

enum sl_build_status sl_builder_program(struct sl_builder *b, const struct sl_step *steps, size_t count, uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (count == 0) return SL_BUILD_OK;
    if (!is_program(b, steps, count)) return SL_BUILD_BAD_ARGUMENT;
    struct steps key = {steps, (uint32_t)count};
    uint32_t *slot = sl_table_slot(b, &b->program_slots, steps_hash(&key), program_hash, program_equal, &key);
    if (!slot) return b->failed;
    if (!*slot) {
        size_t first = b->steps.count;
        struct sl_step *copy = sl_vec_push(b, &b->steps, sizeof *copy, count);
        struct sl_program *program = copy ? sl_vec_push(b, &b->programs, sizeof *program, 1) : NULL;
        if (!program) return b->failed;
        memcpy(copy, steps, count * sizeof *copy);
        *program = (struct sl_program){(uint32_t)first, (uint32_t)count};
        *slot = (uint32_t)(b->programs.count - 1);
        b->program_slots.used++;
        for (size_t i = 0; i < count; i++) {
            if (steps[i].code == SL_STEP_SOURCE) SL_AT(struct sl_who, b->whos, steps[i].operand).asked = 1;
            if (steps[i].code == SL_STEP_WITHIN || steps[i].code == SL_STEP_NETWORK) b->flags |= SL_IMAGE_PLACES;
        }
    }
    *id = *slot;
    return SL_BUILD_OK;
}

/* ---- blocks of addresses ----------------------------------------------------------------------------------------- */

enum sl_build_status sl_builder_within(struct sl_builder *b, const struct sl_prefix *blocks, size_t count, uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (b->withins >= SL_ENTRY_CLAUSE / 2) return b->failed = SL_BUILD_TOO_LARGE;
    uint32_t number = b->withins + 1;
    for (size_t i = 0; i < count; i++) {
        uint32_t node = sl_prefix_insert(b, SL_TRIE_WITHIN, &blocks[i]);
        if (!node) return b->failed != SL_BUILD_OK ? b->failed : SL_BUILD_BAD_ARGUMENT;
        uint32_t set = SL_AT(struct sl_prefix_node, b->prefixes, node).value;
        if (sl_set_add(b, &set, number) != SL_BUILD_OK) return b->failed;
        SL_AT(struct sl_prefix_node, b->prefixes, node).value = set;
    }
    *id = b->withins = number;
    return SL_BUILD_OK;
}

/* ---- conditions of attachments ----------------------------------------------------------------------------------- */

static uint32_t condition_hash_of(const struct sl_condition *key)
{
    uint32_t asked = sl_hash_pair(sl_hash_pair(key->when, key->admit), key->path);
    return sl_hash_pair(asked, sl_hash_pair(key->network, key->flags));
}

static uint32_t condition_hash(const struct sl_builder *b, uint32_t index)
{
    return condition_hash_of(&SL_AT(struct sl_condition, b->conditions, index));
}

static int condition_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    return memcmp(&SL_AT(struct sl_condition, b->conditions, index), wanted, sizeof(struct sl_condition)) == 0;
}

static int is_path(const struct sl_builder *b, uint32_t literal)
{
    return literal == 0 || sl_path_rank(&SL_AT(struct sl_literal, b->literals, literal)) != 0;
}

enum sl_build_status sl_builder_condition(struct sl_builder *b, uint32_t attachment, const struct sl_condition *wanted)
{
    if (b->failed != SL_BUILD_OK) return b->failed;
    struct sl_hanging *hanging =
        attachment < b->hangings.count ? &SL_AT(struct sl_hanging, b->hangings, attachment) : NULL;
    if (wanted->path >= b->literals.count || !is_path(b, wanted->path)) return SL_BUILD_BAD_ARGUMENT;
    if (!hanging || wanted->when >= b->programs.count || wanted->admit >= b->programs.count ||
        wanted->flags > SL_CONDITION_NO_ROUTE || ((wanted->admit || wanted->network) && !hanging->record.group))
        return SL_BUILD_BAD_ARGUMENT;
    if (!wanted->when && !wanted->admit && !wanted->network && !wanted->flags && !wanted->path) return SL_BUILD_OK;
    uint32_t hash = condition_hash_of(wanted);
    uint32_t *slot = sl_table_slot(b, &b->condition_slots, hash, condition_hash, condition_equal, wanted);
    if (!slot) return b->failed;
    if (!*slot) {
        struct sl_condition *record = sl_vec_push(b, &b->conditions, sizeof *record, 1);
        if (!record) return b->failed;
        *record = *wanted;
        *slot = (uint32_t)(b->conditions.count - 1);
        b->condition_slots.used++;
    }
    hanging->record.condition = *slot;
    if (wanted->network) b->flags |= SL_IMAGE_NETWORKED | SL_IMAGE_PLACES;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_by_order(struct sl_builder *b, uint32_t attachment)
{
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (attachment >= b->hangings.count || !SL_AT(struct sl_hanging, b->hangings, attachment).record.group)
        return SL_BUILD_BAD_ARGUMENT;
    SL_AT(struct sl_hanging, b->hangings, attachment).record.flags |= SL_ATTACH_BY_ORDER;
    b->flags |= SL_IMAGE_PLACES; /* what the name came to counts where its address is judged */
    return SL_BUILD_OK;
}

/* ---- laying out -------------------------------------------------------------------------------------------------- */

/* The clauses of the blocks of one prefix. */
static int add_blocks(struct sl_layout *layout, uint32_t set)
{
    struct sl_builder *b = layout->b;
    uint32_t count = 0;
    if (set == 0 || layout->within_of[set]) return 1;
    for (uint32_t at = set; at; at = SL_AT(struct sl_set, b->sets, at).parent) count++;
    size_t first = layout->clause_ids.count;
    uint32_t *ids = sl_vec_push(b, &layout->clause_ids, sizeof *ids, count);
    struct sl_membership *record = ids ? sl_vec_push(b, &layout->memberships, sizeof *record, 1) : NULL;
    if (!record) return 0;
    *record = (struct sl_membership){(uint32_t)first, count};
    for (uint32_t at = set; at; at = SL_AT(struct sl_set, b->sets, at).parent)
        ids[--count] = layout->first_within + SL_AT(struct sl_set, b->sets, at).item - 1;
    layout->within_of[set] = (uint32_t)(layout->memberships.count - 1);
    return 1;
}

int sl_lay_blocks(struct sl_layout *layout)
{
    return sl_work_on_prefixes(layout, layout->b->roots[SL_TRIE_WITHIN][0], add_blocks) &&
           sl_work_on_prefixes(layout, layout->b->roots[SL_TRIE_WITHIN][1], add_blocks);
}

void sl_fill_steps(const struct sl_layout *layout, struct sl_step *steps)
{
    const struct sl_builder *b = layout->b;
    for (size_t i = 0; i < b->steps.count; i++) {
        struct sl_step *step = &steps[i];
        if (step->code == SL_STEP_WITHIN) step->operand = layout->first_within + step->operand - 1;
        if (step->code != SL_STEP_SOURCE) continue;
        const struct sl_who *who = &SL_AT(struct sl_who, b->whos, step->operand);
        uint32_t clause = layout->clause_of[step->operand];
        step->operand = clause ? clause : SL_AT(uint32_t, b->who_selectors, who->first);
    }
}
