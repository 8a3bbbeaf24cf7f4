/* The meaning of an errno of socket(2), bind(2) or connect(2): the row of CONTRACT.md section 5, and which limit
 * of the gateway it is. Every errno has a row; one that no network or address causes is the gateway's own fault. */
#ifndef SLUICE_DIAL_ERROR_H
#define SLUICE_DIAL_ERROR_H

#include "base/contract.h"
#include "shared/segment.h"

/* Not of the kernel: the kernel routes the destination to this machine, at a port that the gateway listens on. */
enum { SL_DIAL_OWN = 4097 };
/* Not of the kernel: the source address given cannot be used for this destination. */
enum { SL_DIAL_SOURCELESS = 4098 };

/* The outcome for an errno or one of the above; SL_OUTCOME_INTERNAL for 0 and unknown numbers. */
enum sl_outcome sl_dial_outcome(int error);
/* The limit that an errno with SL_OUTCOME_GATEWAY_LIMIT stands for; SL_SCOPE_OTHER for the rest. */
enum sl_scope sl_dial_scope(int error);
/* How much an outcome says about the destination, 0 for the least: of several failures the client is told that one. */
int sl_dial_telling(enum sl_outcome outcome);

#endif
