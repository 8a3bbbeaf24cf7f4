/* Decisions over a policy image: who a source is to the policy, and what the name and the address phase say.
 * Pure functions: no clock, no allocation, no errno; every read of the image is bounds-checked; failure is
 * DENY/INTERNAL. The semantics are DECISIONS.md sections 3 and 4, sentence by sentence. */
#ifndef SLUICE_DECIDE_H
#define SLUICE_DECIDE_H

#include "addr.h"
#include "contract.h"
#include "image.h"

enum { SL_SOURCE_SELECTORS = 1024, SL_NO_RULE = 0 };

/* What is known of a source; texts may be NULL or "" for "none". The highest identity is the first of these that holds:
 * what a certificate (or a forwarded identity) says, the verified user, the workload of the address, the network map. */
struct sl_source_key {
    struct sl_addr addr;
    const char *namespace_; /* the identity's; where only a user is known, instead of what USERS says of it */
    const char *service_account;
    const char *identity; /* URI, of a certificate or forwarded */
    const char *user;
    const char *workload_namespace; /* of the address */
    const char *workload_account;
};

/* A source resolved against one image. 4 KiB: keep one as scratch, not one per tunnel. */
struct sl_source {
    uint32_t count;
    uint8_t audit;       /* the highest identity's namespace (or the mesh) is in audit mode */
    uint8_t lower_audit; /* so are those of all lower identities: what denies them is softened too */
    uint8_t passthrough; /* default allow holds for it */
    uint8_t overflow;    /* more selectors than fit, or a broken image: every question is answered DENY/INTERNAL */
    uint32_t selectors[SL_SOURCE_SELECTORS]; /* sorted by index; SL_SELECTOR_DENY_ONLY marks those of lower identities */
};

enum sl_decision_flags {
    SL_DECISION_PENDING = 1,     /* name phase: only an address can allow (CIDR rule needed) */
    SL_DECISION_PROVISIONAL = 2, /* asked by IP, denied (in audit mode: audited) so far, but host rules exist: the inner
                                  * name may allow it */
    SL_DECISION_GUARD = 4,       /* refused by the address guard, addresses.deny or as an own address: "prohibited" */
    SL_DECISION_NO_SOFTEN = 8,   /* audit mode must not turn it: hard deny or guard */
    SL_DECISION_ADDRESS_RULE = 16, /* `rule` is the address phase's own */
    SL_DECISION_LOOK_INSIDE = 32,  /* asked by IP and passed, but the name shown inside may turn the answer: ask
                                    * sl_decide_inner once it shows */
};

struct sl_decision {
    uint8_t verdict;    /* sl_verdict; with PENDING set it is DENY until an address allows */
    uint8_t phase;      /* sl_phase */
    uint8_t reason;     /* sl_reason */
    uint8_t flags;      /* sl_decision_flags */
    uint8_t would_deny; /* verdict is AUDIT where it would be DENY */
    uint8_t tier;       /* sl_tier that decided, SL_TIER_NONE for defaults */
    uint8_t pad[2];
    uint32_t rule;      /* RULES index; SL_NO_RULE for a default or the guard */
    uint32_t selector;  /* the selector through which the rule matched */
};

/* One step of the trail that `explain` prints: a matching attachment, or a check. */
struct sl_trail_step {
    uint8_t phase, tier, reason, won; /* won: it decided its phase */
    uint8_t excepted;                 /* matched, but taken out by its own `except` */
    uint8_t depth;                    /* labels of the suffix, 255 = exact; CIDR length in the address phase */
    uint8_t port_class;               /* 0 any, 1 range, 2 single */
    uint8_t family; /* of the address that matched (an embedded IPv4 address is judged too); 0 = a name */
    uint32_t rule, selector;
};
struct sl_trail {
    uint32_t count; /* steps written; more may have matched */
    uint32_t total;
    struct sl_trail_step steps[64];
};

/* Resolves a source: every principal and CIDR that matches its highest identity, and, marked SL_SELECTOR_DENY_ONLY, those
 * that match a lower one only (DECISIONS.md section 1: a lower source never widens a higher one, and its denies stay). A
 * user's namespace is that of USERS. An IPv4-mapped address (a dual-stack listener's peer) counts as the IPv4 address
 * it is. */
void sl_source_resolve(const struct sl_image *image, const struct sl_source_key *key, struct sl_source *out);

/* The namespace and service account that USERS or the NETWORK trie give; NULL texts become "". Returns 1 when found. */
int sl_source_user(const struct sl_image *image, const char *user, const char **namespace_,
                   const char **service_account);
int sl_source_network(const struct sl_image *image, const struct sl_addr *addr, const char **namespace_,
                      const char **service_account);

/* The credential of a user in USERS (builder.h); 0 = there is no such user, or nothing tells its password. */
uint64_t sl_source_credential(const struct sl_image *image, const char *user);

/* The parent gateway that a decision's rule leads through; NULL = dial directly. */
const char *sl_decision_upstream(const struct sl_image *image, const struct sl_decision *decision);

/* Name phase. `name` is canonical. `audit` is the listener's audit mode. `trail` may be NULL. What passes by a rule
 * with an upstream is final: its phase is DELEGATED, and no address is judged here. */
void sl_decide_name(const struct sl_image *image, const struct sl_source *source, const char *name, size_t length,
                    uint16_t port, int audit, struct sl_decision *out, struct sl_trail *trail);

/* Own addresses (DECISIONS.md section 3). The addresses of which the kernel is to be asked whether they are local now:
 * `addr` and the IPv4 address it carries, where the gateway listens on `port`. Returns how many; 0 for other ports. */
unsigned sl_own_asked(const struct sl_image *image, const struct sl_addr *addr, uint16_t port, struct sl_addr out[2]);

/* Address phase for one address. `local`: one of those that sl_own_asked named is local now. `by_name` is the name phase's decision, or NULL when the request named an address; one
 * that is final is the answer.
 * The answer is the final one for this address: verdict, rule and phase of whatever decided. */
void sl_decide_address(const struct sl_image *image, const struct sl_source *source, const struct sl_decision *by_name,
                       const struct sl_addr *addr, uint16_t port, int local, int audit, struct sl_decision *out,
                       struct sl_trail *trail);

/* Inner phase of what was asked by address: `name`, canonical, is shown inside. `by_address` is the address phase's
 * decision, PROVISIONAL or LOOK_INSIDE; with neither it is the answer.
 * PROVISIONAL: judged as if the name had been asked for; what leads through a parent gateway is denied (OTHER_WAY), as
 * the tunnel is dialed already. LOOK_INSIDE: a rule that denies the name turns the answer, one that audits it turns a
 * default. */
void sl_decide_inner(const struct sl_image *image, const struct sl_source *source, const struct sl_decision *by_address,
                     const char *name, size_t length, uint16_t port, int audit, struct sl_decision *out,
                     struct sl_trail *trail);

#endif
