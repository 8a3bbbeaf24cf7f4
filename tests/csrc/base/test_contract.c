/* Texts of the shared enums: complete, distinct, and safe for any number. */
#include "check.h"
#include "base/contract.h"

static void distinct(const char *(*text)(unsigned), unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        CHECK(text(i)[0] != 0);
        for (unsigned j = 0; j < i; j++) CHECK_AT(strcmp(text(i), text(j)) != 0, text(i));
    }
    CHECK_STR(text(count), text(0));
    CHECK_STR(text(~0u), text(0));
}

TEST(every_number_has_its_own_text)
{
    distinct(sl_verdict_text, 3);
    distinct(sl_phase_text, SL_PHASE_COUNT);
    distinct(sl_reason_text, SL_REASON_COUNT);
    distinct(sl_outcome_text, SL_OUTCOME_COUNT);
    distinct(sl_tier_text, SL_TIER_HARD_DENY + 1);
    distinct(sl_login_text, SL_LOGIN_COUNT);
}

TEST(zero_is_never_success)
{
    CHECK_STR(sl_verdict_text(0), "deny");
    CHECK_STR(sl_reason_text(0), "internal");
    CHECK_STR(sl_outcome_text(0), "internal");
}

int main(void)
{
    RUN(every_number_has_its_own_text);
    RUN(zero_is_never_success);
    return CHECK_REPORT();
}
