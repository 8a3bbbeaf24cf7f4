/* Of several refusals the one to report. */
#include "policy/refusals.h"

int sl_refusals_add(struct sl_refusals *refusals, const struct sl_decision *decision)
{
    int guarded = (decision->flags & SL_DECISION_GUARD) != 0;
    int telling = !refusals->any || (refusals->guarded && !guarded);
    if (telling) refusals->told = *decision;
    refusals->guarded = guarded && (refusals->guarded || !refusals->any);
    refusals->any = 1;
    return telling;
}

unsigned sl_refusals_outcome(const struct sl_refusals *refusals)
{
    return refusals->guarded ? SL_OUTCOME_ADDRESS_PROHIBITED : SL_OUTCOME_DENIED;
}
