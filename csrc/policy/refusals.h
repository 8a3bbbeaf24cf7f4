/* The refusals of several addresses of one name, and which of them is the one to report. Opening, re-judging and
 * `explain` ask this alone, so that an answer, a log line and `sluice explain` name the same one. */
#ifndef SLUICE_REFUSALS_H
#define SLUICE_REFUSALS_H

#include <stdint.h>

#include "policy/judge.h"

/* Zeroed: none. */
struct sl_refusals {
    struct sl_decision told; /* the one to report */
    uint8_t any;             /* bool: there is one */
    uint8_t guarded;         /* bool: all of them are the address guard's */
};

/* One more. A refusal by policy tells more than one by the address guard; of a kind, the first counts. Returns 1 when
 * this is the one to report from now on. */
int sl_refusals_add(struct sl_refusals *refusals, const struct sl_decision *decision);
/* sl_outcome of a request of which nothing but refusals is left. */
unsigned sl_refusals_outcome(const struct sl_refusals *refusals);

#endif
