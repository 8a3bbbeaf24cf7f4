/* Runs the programs of conditions. */
#include "policy/program.h"

#include <string.h>

#include "policy/request.h"
#include "policy/seed.h"

static int in_clause(const struct sl_image *image, uint32_t membership, uint32_t clause, int *broken)
{
    const struct sl_membership *record = sl_image_record(image, SL_SEC_MEMBERSHIPS, membership);
    uint64_t all = image->header->sections[SL_SEC_CLAUSES].count;
    if (!record || record->first > all || record->count > all - record->first) {
        *broken = 1;
        return 0;
    }
    const uint32_t *numbers = record->count ? sl_image_record(image, SL_SEC_CLAUSES, record->first) : NULL;
    uint32_t low = 0, high = record->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (numbers[middle] < clause)
            low = middle + 1;
        else
            high = middle;
    }
    return low < record->count && numbers[low] == clause;
}

/* The highest identity alone: what admits never widens by a lower one. */
static int is_source(const struct sl_asked *asked, uint32_t who, int *broken)
{
    const struct sl_source *source = asked->source;
    for (uint32_t i = 0; i < source->count; i++) {
        uint32_t selector = source->selectors[i];
        if (selector & SL_SELECTOR_DENY_ONLY && !SL_BUG(WIDENED)) continue;
        selector &= ~SL_SELECTOR_DENY_ONLY;
        if (!(who & SL_ENTRY_CLAUSE)) {
            if (selector == who) return 1;
            continue;
        }
        const struct sl_selector *record = sl_image_record(asked->image, SL_SEC_SELECTORS, selector);
        if (!record)
            *broken = 1;
        else if (record->membership && in_clause(asked->image, record->membership, who & ~SL_ENTRY_CLAUSE, broken))
            return 1;
    }
    return 0;
}

static enum sl_truth is_within(const struct sl_asked *asked, uint32_t clause, int *broken)
{
    const struct sl_place *place = asked->place;
    if (!place || place->state != SL_PLACE_KNOWN) return SL_UNKNOWN;
    for (uint32_t i = 0; i < place->count; i++)
        if (in_clause(asked->image, place->memberships[i], clause, broken)) return SL_TRUE;
    return SL_BUG(WITHIN) ? SL_TRUE : SL_FALSE;
}

static enum sl_truth is_network(const struct sl_asked *asked, uint32_t network)
{
    if (!asked->place || asked->place->state == SL_PLACE_UNKNOWN) return SL_UNKNOWN;
    return asked->place->network == network || SL_BUG(NETWORK) ? SL_TRUE : SL_FALSE;
}

enum sl_truth sl_request_holds(const struct sl_asked *asked, uint32_t literal, unsigned *needs, int *broken)
{
    if (!asked->request && SL_BUG(KNOWN)) return SL_TRUE;
    if (!asked->request) {
        *needs |= SL_NEEDS_REQUEST;
        return SL_UNKNOWN;
    }
    return sl_literal_holds(asked->image, literal, asked->request, broken) ? SL_TRUE : SL_FALSE;
}

static enum sl_truth one(const struct sl_asked *asked, const struct sl_step *step, unsigned *needs, int *broken)
{
    enum sl_truth truth = SL_FALSE;
    switch (step->code) {
    case SL_STEP_SOURCE: return is_source(asked, step->operand, broken) ? SL_TRUE : SL_FALSE;
    case SL_STEP_LISTENER:
        return asked->listener && strcmp(asked->listener, sl_image_string(asked->image, step->operand)) == 0 ? SL_TRUE
                                                                                                             : SL_FALSE;
    case SL_STEP_WITHIN: truth = is_within(asked, step->operand, broken); break;
    case SL_STEP_NETWORK: truth = is_network(asked, step->operand); break;
    case SL_STEP_REQUEST: return sl_request_holds(asked, step->operand, needs, broken);
    case SL_STEP_SHOWS:
        if (asked->shown) return asked->shown == step->operand || SL_BUG(SHOWN) ? SL_TRUE : SL_FALSE;
        *needs |= SL_NEEDS_PROTOCOL;
        return SL_TRUE;
    default: *broken = 1;
    }
    if (truth == SL_UNKNOWN) *needs |= SL_NEEDS_ADDRESS;
    return truth;
}

/* AND of many: false before unknown before true; OR: true before unknown before false. */
static enum sl_truth joined(const uint8_t *truths, uint32_t count, enum sl_truth neutral)
{
    enum sl_truth out = neutral;
    for (uint32_t i = 0; i < count; i++) {
        if (truths[i] == SL_UNKNOWN)
            out = SL_UNKNOWN;
        else if (truths[i] != neutral)
            return (enum sl_truth)truths[i];
    }
    return out;
}

enum sl_truth sl_program_holds(const struct sl_asked *asked, uint32_t program, unsigned *needs, int *broken)
{
    uint8_t stack[SL_PROGRAM_STEPS];
    uint32_t depth = 0;
    unsigned missing = 0;
    if (program == 0) return SL_TRUE;
    const struct sl_program *record = sl_image_record(asked->image, SL_SEC_PROGRAMS, program);
    uint64_t all = asked->image->header->sections[SL_SEC_STEPS].count;
    int readable = record && record->count > 0 && record->count <= SL_PROGRAM_STEPS && record->first <= all &&
                   record->count <= all - record->first;
    const struct sl_step *step = readable ? sl_image_record(asked->image, SL_SEC_STEPS, record->first) : NULL;
    for (uint32_t i = 0; step && i < record->count; i++, step++) {
        int joins = step->code == SL_STEP_AND || step->code == SL_STEP_OR;
        uint32_t taken = joins ? step->operand : step->code == SL_STEP_NOT;
        if (taken > depth) {
            readable = 0;
            break;
        }
        depth -= taken;
        enum sl_truth truth;
        if (joins)
            truth = joined(stack + depth, taken, step->code == SL_STEP_AND ? SL_TRUE : SL_FALSE);
        else if (step->code == SL_STEP_NOT)
            truth = stack[depth] == SL_UNKNOWN ? SL_UNKNOWN : stack[depth] == SL_TRUE ? SL_FALSE : SL_TRUE;
        else
            truth = one(asked, step, &missing, broken);
        stack[depth++] = (uint8_t)truth;
    }
    if (!readable || depth != 1) {
        *broken = 1;
        return SL_FALSE;
    }
    *needs |= stack[0] == SL_UNKNOWN ? missing : missing & SL_NEEDS_PROTOCOL;
    return (enum sl_truth)stack[0];
}
