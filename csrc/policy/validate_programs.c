/* The full check of a policy image (validate.c): conditions and their programs. */
#include "policy/checks.h"
#include "policy/judge.h"

/* How many truths a step takes before it gives one; UINT32_MAX where its operand is none. */
static uint32_t takes(const struct sl_check *check, const struct sl_step *step)
{
    uint32_t who = step->operand & ~SL_ENTRY_CLAUSE;
    int known = 0;
    switch (step->code) {
    case SL_STEP_AND:
    case SL_STEP_OR: return step->operand;
    case SL_STEP_NOT: return step->operand == 0 ? 1 : UINT32_MAX;
    case SL_STEP_SOURCE:
        known = step->operand & SL_ENTRY_CLAUSE ? who < check->header->clauses
                                                : who && who < sl_check_count(check, SL_SEC_SELECTORS);
        break;
    case SL_STEP_LISTENER: known = step->operand && step->operand < sl_check_count(check, SL_SEC_STRINGS); break;
    case SL_STEP_WITHIN: known = step->operand < check->header->clauses; break;
    case SL_STEP_REQUEST: known = step->operand && step->operand < sl_check_count(check, SL_SEC_LITERALS); break;
    case SL_STEP_NETWORK: known = step->operand != 0; break;
    case SL_STEP_SHOWS: known = step->operand == SL_SHOWS_TLS || step->operand == SL_SHOWS_HTTP; break;
    default: break;
    }
    return known ? 0 : UINT32_MAX;
}

static int asks_for_places(const struct sl_step *step)
{
    return step->code == SL_STEP_WITHIN || step->code == SL_STEP_NETWORK;
}

static int check_program(struct sl_check *check, const struct sl_program *program)
{
    const struct sl_step *step = sl_check_record(check, SL_SEC_STEPS, program->first);
    uint32_t depth = 0;
    for (uint32_t i = 0; i < program->count; i++, step++) {
        uint32_t taken = takes(check, step);
        if (taken > depth) return 0;
        if (asks_for_places(step) && !(check->header->flags & SL_IMAGE_PLACES)) return 0;
        depth = depth - taken + 1;
    }
    return depth == 1;
}

static int is_path(const struct sl_check *check, uint32_t literal)
{
    if (literal == 0) return 1;
    return literal < sl_check_count(check, SL_SEC_LITERALS) &&
           sl_path_rank(sl_check_record(check, SL_SEC_LITERALS, literal)) != 0;
}

int sl_check_programs(struct sl_check *check)
{
    uint64_t used = 0, steps = sl_check_count(check, SL_SEC_STEPS);
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_PROGRAMS); i++) {
        const struct sl_program *program = sl_check_record(check, SL_SEC_PROGRAMS, i);
        if (program->first != used || program->count == 0 || program->count > SL_PROGRAM_STEPS ||
            program->count > steps - used)
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "program", i);
        if (!check_program(check, program)) return sl_check_fail(check, SL_IMAGE_ORDER, "program", i);
        used += program->count;
    }
    if (used != steps) return sl_check_fail(check, SL_IMAGE_BOUNDS, "steps", used);
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_CONDITIONS); i++) {
        const struct sl_condition *condition = sl_check_record(check, SL_SEC_CONDITIONS, i);
        uint64_t programs = sl_check_count(check, SL_SEC_PROGRAMS);
        int networked = (check->header->flags & SL_IMAGE_NETWORKED) && (check->header->flags & SL_IMAGE_PLACES);
        if (condition->when >= programs || condition->admit >= programs || !is_path(check, condition->path) ||
            condition->flags > SL_CONDITION_NO_ROUTE || (condition->network && !networked))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "condition", i);
    }
    return 1;
}
