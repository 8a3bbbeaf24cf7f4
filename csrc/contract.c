/* The texts of the enums in contract.h. */
#include "contract.h"

#define SL_TEXT(name, text) text,

const char *sl_verdict_text(unsigned verdict)
{
    static const char *const texts[] = {"deny", "allow", "audit"};
    return texts[verdict < sizeof texts / sizeof *texts ? verdict : 0];
}

const char *sl_phase_text(unsigned phase)
{
    static const char *const texts[] = {SL_PHASES(SL_TEXT)};
    return texts[phase < SL_PHASE_COUNT ? phase : 0];
}

const char *sl_reason_text(unsigned reason)
{
    static const char *const texts[] = {SL_REASONS(SL_TEXT)};
    return texts[reason < SL_REASON_COUNT ? reason : 0];
}

const char *sl_outcome_text(unsigned outcome)
{
    static const char *const texts[] = {SL_OUTCOMES(SL_TEXT)};
    return texts[outcome < SL_OUTCOME_COUNT ? outcome : 0];
}

const char *sl_tier_text(unsigned tier)
{
    static const char *const texts[] = {"default", "audit", "allow", "deny", "hard_deny"};
    return texts[tier < sizeof texts / sizeof *texts ? tier : 0];
}
