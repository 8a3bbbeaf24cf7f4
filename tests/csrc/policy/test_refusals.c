/* Of several refusals the one to report: the first by policy, else the first of the address guard. */
#include "check.h"
#include "policy/refusals.h"

/* The refusals by letter: `g` is the guard's, `p` a policy's. Returns the index of the one told; -1: none. */
static int told(const char *kinds, unsigned *outcome)
{
    struct sl_refusals refusals = {.any = 0};
    int last = -1;
    for (int i = 0; kinds[i]; i++) {
        struct sl_decision decision = {.flags = kinds[i] == 'g' ? SL_DECISION_GUARD : 0, .rule = (uint32_t)i + 1};
        if (sl_refusals_add(&refusals, &decision)) last = i;
        CHECK_EQ(refusals.told.rule, last + 1);
    }
    CHECK_EQ(refusals.any, kinds[0] != 0);
    *outcome = sl_refusals_outcome(&refusals);
    return last;
}

TEST(a_policy_tells_more_than_the_guard_and_the_first_of_a_kind_counts)
{
    static const struct {
        const char *kinds;
        int told;
        unsigned outcome;
    } rows[] = {
        {"", -1, SL_OUTCOME_DENIED},   {"g", 0, SL_OUTCOME_ADDRESS_PROHIBITED},
        {"p", 0, SL_OUTCOME_DENIED},   {"gg", 0, SL_OUTCOME_ADDRESS_PROHIBITED},
        {"pp", 0, SL_OUTCOME_DENIED},  {"pg", 0, SL_OUTCOME_DENIED},
        {"gp", 1, SL_OUTCOME_DENIED},  {"ggpgp", 2, SL_OUTCOME_DENIED},
        {"pgp", 0, SL_OUTCOME_DENIED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned outcome = 0;
        CHECK_AT(told(rows[i].kinds, &outcome) == rows[i].told, rows[i].kinds);
        CHECK_AT(outcome == rows[i].outcome, rows[i].kinds);
    }
}

int main(void)
{
    RUN(a_policy_tells_more_than_the_guard_and_the_first_of_a_kind_counts);
    return CHECK_REPORT();
}
