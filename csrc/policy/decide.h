/* The phases one by one, over a policy image: what a name, an address and the name behind an address come to. Behind
 * judge.h, which knows how they follow each other.
 * Pure functions: no clock, no allocation, no errno; every read of the image is bounds-checked; failure is
 * DENY/INTERNAL. The semantics are DECISIONS.md sections 3 and 4, sentence by sentence. `trail` may be
 * NULL. */
#ifndef SLUICE_DECIDE_H
#define SLUICE_DECIDE_H

#include "base/contract.h"
#include "bytes/addr.h"
#include "policy/image.h"
#include "policy/judge.h"
#include "policy/program.h"

/* Name phase. `name` is canonical. What passes by a rule with an upstream is final: its phase is DELEGATED, and no
 * address is judged here. */
void sl_decide_name(const struct sl_asked *asked, const char *name, size_t length, struct sl_decision *out,
                    struct sl_trail *trail);

/* Address phase for one address. `local`: one of those that sl_own_asked named, for the port
 * that is dialed, is local now. `by_name` is the name phase's decision about `name`, or both are NULL when the request
 * named an address; one that is final is the answer. Where conditions ask for addresses the name is judged again. */
void sl_decide_address(const struct sl_asked *asked, const struct sl_decision *by_name, const char *name, size_t length,
                       const struct sl_addr *addr, int local, struct sl_decision *out, struct sl_trail *trail);

/* Inner phase of what was asked by address, `addr`: `name`, canonical, is shown inside. `by_address` is the address
 * phase's decision, PROVISIONAL or LOOK_INSIDE; with neither it is the answer.
 * PROVISIONAL: judged as if the name had been asked for. LOOK_INSIDE: a rule that denies the name turns the answer, one
 * that audits it turns a default. */
void sl_decide_inner(const struct sl_asked *asked, const struct sl_decision *by_address, const struct sl_addr *addr,
                     const char *name, size_t length, struct sl_decision *out, struct sl_trail *trail);

#endif
