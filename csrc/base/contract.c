/* The texts of the enums in contract.h. */
#include "base/contract.h"

#define SL_TEXT(name, text) text,
#define SL_REASON_TEXT(name, text, ...) text,
#define SL_REASON_ROW(name, text, phases, tier, answer, meaning) {phases, tier, answer, meaning},

const char *sl_verdict_text(unsigned verdict)
{
    static const char *const texts[] = {SL_VERDICTS(SL_TEXT)};
    return texts[verdict < SL_VERDICT_COUNT ? verdict : 0];
}

const char *sl_phase_text(unsigned phase)
{
    static const char *const texts[] = {SL_PHASES(SL_TEXT)};
    return texts[phase < SL_PHASE_COUNT ? phase : 0];
}

const char *sl_reason_text(unsigned reason)
{
    static const char *const texts[] = {SL_REASONS(SL_REASON_TEXT)};
    return texts[reason < SL_REASON_COUNT ? reason : 0];
}

const char *sl_reason_column(unsigned reason, enum sl_reason_part column)
{
    static const char *const rows[][4] = {SL_REASONS(SL_REASON_ROW)};
    return rows[reason < SL_REASON_COUNT ? reason : 0][column <= SL_REASON_MEANING ? column : 0];
}

unsigned sl_refusal_reason(unsigned outcome, int login)
{
    switch (outcome) {
    case SL_OUTCOME_AUTH_FAILED: return login ? SL_REASON_LOGIN_FAILED : SL_REASON_LOGIN_MISSING;
    case SL_OUTCOME_MALFORMED: return SL_REASON_MALFORMED;
    case SL_OUTCOME_NOT_BUILT: return SL_REASON_NOT_BUILT;
    case SL_OUTCOME_NO_SERVER_NAME: return SL_REASON_NO_SERVER_NAME;
    case SL_OUTCOME_REQUEST_TIMEOUT: return SL_REASON_REQUEST_TIMEOUT;
    case SL_OUTCOME_SOURCE_LIMIT:
    case SL_OUTCOME_GATEWAY_LIMIT: return SL_REASON_LIMIT;
    case SL_OUTCOME_HEAD_TOO_LARGE: return SL_REASON_HEAD_TOO_LARGE;
    case SL_OUTCOME_EXPECTATION: return SL_REASON_EXPECTATION;
    case SL_OUTCOME_LOOP: return SL_REASON_LOOP;
    case SL_OUTCOME_MISDIRECTED: return SL_REASON_MISDIRECTED;
    default: return SL_REASON_INTERNAL;
    }
}

const char *sl_outcome_text(unsigned outcome)
{
    static const char *const texts[] = {SL_OUTCOMES(SL_TEXT)};
    return texts[outcome < SL_OUTCOME_COUNT ? outcome : 0];
}

const char *sl_tier_text(unsigned tier)
{
    static const char *const texts[] = {SL_TIERS(SL_TEXT)};
    return texts[tier < SL_TIER_COUNT ? tier : 0];
}

const char *sl_on_revoke_text(unsigned way)
{
    static const char *const texts[] = {SL_REVOKES(SL_TEXT)};
    return texts[way < SL_REVOKE_COUNT ? way : 0];
}

const char *sl_inner_mode_text(unsigned mode)
{
    static const char *const texts[] = {SL_INNER_MODES(SL_TEXT)};
    return texts[mode < SL_INNER_MODE_COUNT ? mode : 0];
}

const char *sl_inner_protocol_text(unsigned protocol)
{
    static const char *const texts[] = {SL_INNER_PROTOCOLS(SL_TEXT)};
    return texts[protocol < SL_INNER_PROTOCOL_COUNT ? protocol : 0];
}

const char *sl_ech_text(unsigned ech)
{
    static const char *const texts[] = {SL_ECHS(SL_TEXT)};
    return texts[ech < SL_ECH_COUNT ? ech : 0];
}

const char *sl_login_text(unsigned login)
{
    static const char *const texts[] = {SL_LOGINS(SL_TEXT)};
    return texts[login < SL_LOGIN_COUNT ? login : 0];
}

const char *sl_tls_result_text(unsigned result)
{
    static const char *const texts[] = {SL_TLS_RESULTS(SL_TEXT)};
    return texts[result < SL_TLS_RESULT_COUNT ? result : 0];
}
