/* The one judge: a question and the phase reached go in, what is still needed or the decision comes out (DECISIONS.md
 * sections 1, 3 and 4).
 *
 * Opening, inner check, re-judging and `explain` ask sl_judge() and nothing else. How a policy is laid out and searched
 * stands behind it (decide.h, lookup.h, image.h); callers hand the policy through and look at nothing in it.
 *
 *   name ----> needs ADDRESS ----> needs PROTOCOL ----> needs REQUEST ----> decided
 *     each arrow may be left out: a decision that needs nothing is the answer
 *
 * Pure functions: no clock, no allocation, no errno. Zero is the safe answer: DENY, INTERNAL, nothing needed. */
#ifndef SLUICE_JUDGE_H
#define SLUICE_JUDGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/contract.h"
#include "bytes/addr.h"

struct sl_image;

enum { SL_SOURCE_SELECTORS = 1024, SL_NO_RULE = 0 };

/* A source as it is known; texts may be NULL or "" for "none". The highest identity is the first of these that holds:
 * the one that a peer forwards which may speak for others, the certificate's, the credentials' (a user or a token), the
 * workload of the address, the network map. */
struct sl_source_key {
    struct sl_addr addr;
    const char *namespace_; /* the certificate's; where only a user is known, it replaces the one in USERS */
    const char *service_account;
    const char *identity;           /* URI of a certificate */
    const char *user;               /* verified, by its password or a token */
    const char *workload_namespace; /* of the address */
    const char *workload_account;
    const char *token_namespace; /* of a verified token that says which workload it is */
    const char *token_account;
    const char *forwarded_namespace;
    const char *forwarded_account;
    const char *forwarded; /* URI that a peer forwards which may speak for others */
    const uint32_t
        *workload_selectors; /* those of this policy that select the workload of the address by labels; NULL: none */
    uint32_t workload_selector_count;
    uint8_t workload_unknown; /* an address of pods that no known pod has: the network map gives it nothing */
};

/* A source resolved against one policy: the judge's own. 4 KiB: keep one as scratch, not one per tunnel. */
struct sl_source {
    uint32_t count;
    uint8_t audit;       /* the highest identity's namespace (or the mesh) is in audit mode */
    uint8_t lower_audit; /* so are those of all lower identities: their denies are softened as well */
    uint8_t passthrough; /* default allow holds for it */
    uint8_t overflow;    /* more selectors than fit, or a broken image: every question is answered DENY/INTERNAL */
    uint32_t
        selectors[SL_SOURCE_SELECTORS]; /* sorted by index; SL_SELECTOR_DENY_ONLY marks those of lower identities */
};

enum sl_decision_flags {
    SL_DECISION_PENDING = 1,     /* name phase: only an address can allow (CIDR rule needed) */
    SL_DECISION_PROVISIONAL = 2, /* asked by IP, denied (in audit mode: audited) so far, but host rules exist: both ways
                                  * are held until the name inside is judged */
    SL_DECISION_GUARD = 4,       /* refused by the address guard, addresses.deny or as an own address: "prohibited" */
    SL_DECISION_NO_SOFTEN = 8,   /* audit mode must not turn it: hard deny or guard */
    SL_DECISION_ADDRESS_RULE = 16, /* `rule` is the address phase's own */
    SL_DECISION_LOOK_INSIDE = 32,  /* asked by IP and passed, but the name shown inside may turn the answer */
    SL_DECISION_NEEDS_HTTP = 64,   /* a rule may let a request pass, by what is not known of it */
    SL_DECISION_BY_PROTOCOL = 128, /* which rule decides depends on what shows inside */
};

/* What has to be known before a decision is final. */
enum sl_needs {
    SL_NEEDS_ADDRESS = 1,  /* each address of the name */
    SL_NEEDS_PROTOCOL = 2, /* the first bytes inside the tunnel */
    SL_NEEDS_REQUEST = 4,  /* method, path, fields */
};

struct sl_decision {
    uint8_t verdict;              /* sl_verdict; DENY while only what is needed could allow */
    uint8_t phase;                /* sl_phase */
    uint8_t reason;               /* sl_reason */
    uint8_t flags;                /* sl_decision_flags */
    uint8_t would_deny;           /* verdict is AUDIT where it would be DENY */
    uint8_t tier;                 /* sl_tier that decided, SL_TIER_NONE for defaults */
    uint8_t needs;                /* sl_needs; 0 = final */
    uint8_t no_route;             /* a default denies it, as no route of the host matches */
    uint32_t rule;                /* SL_NO_RULE for a default or the guard */
    uint32_t selector;            /* the selector through which the rule matched */
    uint32_t sets[SL_ATTR_COUNT]; /* by sl_attribute: the rule of the same tier that it comes from; SL_NO_RULE: unset */
};

/* One step of the trail that `explain` prints: a matching attachment, or a check. */
struct sl_trail_step {
    uint8_t phase, tier, reason, won; /* won: it decided its phase */
    uint8_t excepted;                 /* matched, but taken out by its own `except` */
    uint8_t unmet;                    /* matched, but its conditions do not hold, or are not known */
    uint8_t depth;                    /* labels of the suffix, 255 = exact; CIDR length in the address phase */
    uint8_t port_class;               /* 0 any, 1 range, 2 single */
    uint8_t family; /* of the address that matched (an embedded IPv4 address is judged as well); 0 = a name */
    uint32_t rule, selector;
    uint32_t condition; /* of the rule's item, for sl_condition_describe; 0 = none */
};
struct sl_trail {
    uint32_t count; /* steps written; more may have matched */
    uint32_t total;
    struct sl_trail_step steps[64];
};

/* What the first bytes of a tunnel show (csrc/bytes/inner.h reads them). */
enum sl_shows {
    SL_SHOWS_UNKNOWN = 0, /* nothing decides yet */
    SL_SHOWS_TLS,         /* a ClientHello, with a name or without */
    SL_SHOWS_HTTP,        /* a request head, with a name or without */
    SL_SHOWS_OTHER,       /* neither */
    SL_SHOWS_MALFORMED,   /* one of them, which two readers may read in two ways */
    SL_SHOWS_TOO_LONG,    /* 64 KiB without a name */
    SL_SHOWS_LATE,        /* nothing in time, or at all */
    SL_SHOWS_SSH,         /* an identification of SSH 2 */
};

struct sl_text {
    const char *at;
    size_t length;
};
struct sl_field {
    struct sl_text name, value;
};
/* One HTTP request of a connection. */
struct sl_request {
    struct sl_text method, path, query; /* path: in normal form, without the query */
    const struct sl_field *fields;      /* as they were sent */
    size_t field_count;
};

/* What is asked. Fields of phases that are not reached are 0. A question belongs to one policy; its source is resolved
 * when the first rule is looked up, once. */
struct sl_question {
    struct sl_source_key who;
    struct sl_source *source; /* scratch, never NULL */
    uint8_t resolved;         /* `source` is filled */
    uint8_t unauthorized; /* sl_reason: its login or certificate stands no more, denied whatever is asked; 0: stands */
    uint8_t audit;        /* the listener's audit mode */
    uint8_t inner_mode;   /* sl_inner_mode, the listener's innerName; UNSET = ENFORCE */
    const char *listener; /* its name, which rules may ask for; NULL: none */
    uint16_t port;        /* the one asked for */
    const char *host;     /* canonical name; NULL: asked by address */
    size_t host_length;
    const struct sl_addr *address; /* the one asked for, or one of the name's; NULL: not known */
    uint8_t shows;                 /* sl_shows */
    uint8_t assumed;               /* sl_shows that rules are judged for, UNKNOWN: none; the judge's own */
    uint8_t ech;                   /* an encrypted ClientHello; the name that shows is the outer one */
    uint8_t elsewhere;   /* the address is that of a route's backend: conditions ask where the destination lies */
    const char *inner;   /* canonical name inside; NULL: none shows */
    size_t inner_length; /* 0: an address shows */
    const struct sl_request *request; /* NULL: none */
    /* A tunnel cannot change its way: what passes only by another one is denied (OTHER_WAY). */
    uint8_t dialed;  /* it stands already */
    const char *way; /* the parent gateway it goes through; NULL: none */
    const char *tls; /* the text of the TLS that it leaves by; NULL: as it comes */
    /* Whether a connection to `addr` at `port` ends on this machine, as the kernel routes it now; from where the system
     * chooses when `by` is NULL, else from the source addresses of that decision. NULL: no address is local. */
    int (*is_local)(void *asked, const struct sl_addr *addr, uint16_t port, const struct sl_decision *by);
    void *asked;
};

/* Judges as far as `reached` (NAME, ADDRESS, INNER or REQUEST) and returns out->needs. `before`: what an earlier phase
 * of the same question came to, under the same policy; NULL: judged from the start. `trail` may be NULL.
 *
 * NAME: what passes by a rule with a parent is final (DELEGATED). ADDRESS: final for this address. INNER: the name
 * inside against the name asked for (innerName), or, asked by address, against the rules about names; then against the
 * rule's `inner` and `ech`. */
unsigned sl_judge(const struct sl_image *policy, struct sl_question *question, enum sl_phase reached,
                  const struct sl_decision *before, struct sl_decision *out, struct sl_trail *trail);

/* Whether a decision is a denial that nothing further can turn. */
static inline int sl_refused(const struct sl_decision *decision)
{
    return decision->verdict == SL_DENY && decision->needs == 0;
}

/* Whether no tunnel outlives it, whatever its rule says of revocation: a hard deny, addresses.deny, an own address. */
static inline int sl_denied_hard(const struct sl_decision *decision)
{
    return decision->verdict == SL_DENY &&
           (decision->tier == SL_TIER_HARD_DENY || decision->reason == SL_REASON_ADDRESS_DENIED ||
            decision->reason == SL_REASON_OWN_ADDRESS);
}

/* Whether what denies a tunnel are conditions on requests, which it may show yet: they are judged one by one where HTTP
 * is inside. Of a request it is never true. */
static inline int sl_waits_for_http(const struct sl_decision *decision)
{
    return sl_refused(decision) && decision->reason == SL_REASON_NEEDS_HTTP;
}

/* A denial by no rule, for what callers find out themselves. */
void sl_deny(struct sl_decision *out, enum sl_phase phase, enum sl_reason reason);

/* The addresses of which the kernel is to be asked whether they are local now: `addr` and the IPv4 address it carries,
 * where the gateway listens on `port`. Returns how many; 0 for other ports. */
unsigned sl_own_asked(const struct sl_image *policy, const struct sl_addr *addr, uint16_t port, struct sl_addr out[2]);

/* ---- who asks ---------------------------------------------------------------------------------------------------- */

/* Resolves a source: every principal and CIDR that matches its highest identity, and, marked SL_SELECTOR_DENY_ONLY, those
 * that match a lower one only (DECISIONS.md section 1: a lower source never widens a higher one, and its denies stay). A
 * user's namespace is that of USERS. An IPv4-mapped address (a dual-stack listener's peer) counts as the IPv4 address
 * it is. */
void sl_source_resolve(const struct sl_image *policy, const struct sl_source_key *key, struct sl_source *out);

/* The namespace and service account that USERS or the NETWORK trie give; NULL texts become "". Returns 1 when found. */
int sl_source_user(const struct sl_image *policy, const char *user, const char **namespace_,
                   const char **service_account);
int sl_source_network(const struct sl_image *policy, const struct sl_addr *addr, const char **namespace_,
                      const char **service_account);

/* The credential of a user in USERS (builder.h); 0 = not a user, or one without a password. */
uint64_t sl_source_credential(const struct sl_image *policy, const char *user);

/* ---- what a decision brings along (DECISIONS.md section 4, Attributes) ------------------------------------------- */

/* The parent gateway that it leads through; NULL: dial directly. */
const char *sl_judged_upstream(const struct sl_image *policy, const struct sl_decision *decision);
/* The rule attributes with its source addresses, a JSON object; NULL: the system chooses. Equal texts of one policy are
 * one pointer. */
const char *sl_judged_sources(const struct sl_image *policy, const struct sl_decision *decision);
/* The route of a request: its name, filters, backends, timeouts and retries, a JSON object; NULL: it has none. Equal
 * texts of one policy are one pointer. */
const char *sl_judged_route(const struct sl_image *policy, const struct sl_decision *decision);
/* What a rule changes in the fields of a request, a JSON object; NULL: nothing. Likewise. */
const char *sl_judged_headers(const struct sl_image *policy, const struct sl_decision *decision);
/* The TLS that the tunnel leaves by, a JSON object that Settings.originations has the files of; NULL: bytes leave as they
 * come. Equal texts of one policy are one pointer. */
const char *sl_judged_tls(const struct sl_image *policy, const struct sl_decision *decision);
/* The port that is dialed where `asked` was asked for: TLS has its own. */
uint16_t sl_judged_port(const struct sl_image *policy, const struct sl_decision *decision, uint16_t asked);
/* sl_inner_mode: the rule's innerName, else `listener`. */
unsigned sl_judged_inner(const struct sl_image *policy, const struct sl_decision *decision, unsigned listener);
/* sl_inner_protocol that has to show inside; ANY: whatever does. */
unsigned sl_judged_protocol(const struct sl_image *policy, const struct sl_decision *decision);
/* sl_ech: whether an encrypted ClientHello passes. */
unsigned sl_judged_ech(const struct sl_image *policy, const struct sl_decision *decision);
/* sl_on_revoke of a tunnel that it admits. */
unsigned sl_judged_revoke(const struct sl_image *policy, const struct sl_decision *decision);
/* sl_on_revoke that a denial ends a tunnel by; `admitted`: as it was admitted. */
unsigned sl_judged_end(const struct sl_image *policy, const struct sl_decision *decision, unsigned admitted);

/* A rule as logs, metrics and answers name it. */
struct sl_rule_name {
    const char *kind, *namespace_, *name; /* namespace_: "" for cluster kinds */
    uint32_t item;                        /* of the resource, 0-based */
    uint8_t has_list;                     /* a host list */
};
/* Returns 1; 0 when it is not a rule. */
int sl_rule_named(const struct sl_image *policy, uint32_t rule, struct sl_rule_name *out);
/* Its slot in the shared segment: SL_RULE_SLOT_* of segment.h. */
unsigned sl_rule_slot(const struct sl_image *policy, uint32_t rule, unsigned none, unsigned other);

/* The 1-based line of its host list by which a rule matched `name` (canonical) for `selector` (0: any); 0 where the rule
 * has no list, or did not match. It is for logs: the walk is short, a request that is not logged does not need it. */
uint32_t sl_list_line(const struct sl_image *policy, uint32_t rule, uint32_t selector, const char *name, size_t length);

#endif
