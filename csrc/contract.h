/* What both sides of Sluice share: verdicts, phases, reasons, outcomes, rule kinds and the order of inherited
 * descriptors. It is not a place for layouts: those of the policy image stand in image.h, those of the shared segment
 * in segment.h. `gateway/contract.py` says the same to Python; tests/gateway/test_contract.py holds the two together.
 *
 * The law kept here: zero is always the safe answer. A function that fails half-way and returns 0 has said DENY,
 * INTERNAL or "no success", never ALLOW (DESIGN.md section 2).
 */
#ifndef SLUICE_CONTRACT_H
#define SLUICE_CONTRACT_H

enum sl_verdict { SL_DENY = 0, SL_ALLOW = 1, SL_AUDIT = 2 };

/* Where a decision was taken (DECISIONS.md section 3). */
#define SL_PHASES(X) \
    X(NONE, "none")            /* nothing was decided */                       \
    X(NAME, "name")            /* source, host, port, protocol */              \
    X(ADDRESS, "address")      /* each resolved or literal address */          \
    X(INNER, "inner")          /* SNI or Host inside the tunnel */             \
    X(REQUEST, "request")      /* method, path, headers */                     \
    X(DELEGATED, "delegated")  /* the name's addresses are its parent gateway's to judge */

/* Why. The text is what logs, headers and `sluice explain` print. */
#define SL_REASONS(X) \
    X(INTERNAL, "internal")                  /* a failure of our own: denied */                             \
    X(NO_POLICY, "no_policy")                /* no policy is loaded at all */                               \
    X(NO_RULE, "no_rule")                    /* no rule matches: default deny */                            \
    X(RULE_ALLOW, "rule_allow")              /* the rule named allows */                                    \
    X(RULE_DENY, "rule_deny")                /* the rule named denies */                                    \
    X(RULE_HARD_DENY, "rule_hard_deny")      /* the rule named denies, and no audit mode softens it */      \
    X(RULE_AUDIT, "rule_audit")              /* the rule named audits */                                    \
    X(PASSTHROUGH, "passthrough")            /* default allow */                                            \
    X(NEEDS_ADDRESS, "needs_address")        /* only the address can decide (explain without --address) */  \
    X(NO_CIDR_RULE, "no_cidr_rule")          /* only a CIDR rule could allow, and none covers the address */\
    X(ADDRESS_DENIED, "address_denied")      /* addresses.deny */                                           \
    X(OWN_ADDRESS, "own_address")            /* an ip:port this gateway listens on */                       \
    X(UNSPECIFIED, "address_unspecified")    /* address guard, never lifted by a rule */                    \
    X(LOOPBACK, "address_loopback")          /* address guard, never lifted by a rule */                    \
    X(LINK_LOCAL, "address_link_local")      /* address guard, never lifted by a rule */                    \
    X(MULTICAST, "address_multicast")        /* address guard, never lifted by a rule */                    \
    X(METADATA, "address_metadata")          /* address guard, never lifted by a rule */                    \
    X(SPECIAL_PURPOSE, "address_special_purpose") /* address guard: private, CGNAT, documentation, ... */   \
    X(EMBEDDED_IPV4, "address_embedded_ipv4")     /* address guard: mapped, compatible, NAT64, 6to4, Teredo */ \
    X(INNER_NAME_MISSING, "inner_name_missing")   /* asked by IP, and no name was shown in time */          \
    X(INNER_NAME_MISMATCH, "inner_name_mismatch") /* the name inside is not the name asked for */           \
    X(INNER_TOO_LONG, "inner_too_long")      /* 64 KiB of a request head or a ClientHello without a name */ \
    X(INNER_ECH, "inner_ech")                /* Encrypted ClientHello where `ech: deny` */                  \
    X(UNAUTHORIZED, "unauthorized")          /* a route matches, its authorizations do not admit the source */ \
    X(OTHER_WAY, "other_way")                /* allowed, but not the way this tunnel goes: through a parent, or not */ \
    X(SOURCE_ADDRESS, "source_address")      /* allowed, but not one sourceAddress of the rule can be used */

/* How a request or a tunnel ended: the rows of CONTRACT.md section 5, then the ways an open tunnel closes. */
#define SL_OUTCOMES(X) \
    X(INTERNAL, "internal")                    \
    X(CONNECTED, "connected")                  \
    X(DENIED, "denied")                        \
    X(ADDRESS_PROHIBITED, "address_prohibited")\
    X(AUTH_FAILED, "auth_failed")              \
    X(NAME_NOT_FOUND, "name_not_found")        \
    X(REFUSED, "refused")                      \
    X(NET_UNREACHABLE, "net_unreachable")      \
    X(HOST_UNREACHABLE, "host_unreachable")    \
    X(DNS_TIMEOUT, "dns_timeout")              \
    X(DIAL_TIMEOUT, "dial_timeout")            \
    X(UPSTREAM_FAILED, "upstream_failed")      \
    X(SOURCE_LIMIT, "source_limit")            \
    X(GATEWAY_LIMIT, "gateway_limit")          \
    X(MALFORMED, "malformed")                  \
    X(NOT_BUILT, "not_built")                  \
    X(REQUEST_TIMEOUT, "request_timeout")      \
    X(CLIENT_GONE, "client_gone")              \
    X(CLOSED, "closed")                        \
    X(RESET, "reset")                          \
    X(IDLE_TIMEOUT, "idle_timeout")            \
    X(HALF_CLOSE_TIMEOUT, "half_close_timeout")\
    X(REVOKED, "revoked")                      \
    X(DRAINED, "drained")                      \
    X(KILLED, "killed")                        \
    X(WORKER_LOST, "worker_lost")

#define SL_ENUM_PHASE(name, text) SL_PHASE_##name,
#define SL_ENUM_REASON(name, text) SL_REASON_##name,
#define SL_ENUM_OUTCOME(name, text) SL_OUTCOME_##name,
enum sl_phase { SL_PHASES(SL_ENUM_PHASE) SL_PHASE_COUNT };
enum sl_reason { SL_REASONS(SL_ENUM_REASON) SL_REASON_COUNT };
enum sl_outcome { SL_OUTCOMES(SL_ENUM_OUTCOME) SL_OUTCOME_COUNT };

/* Tiers of DECISIONS.md section 4, strongest last. 0 is "no match". */
enum sl_tier { SL_TIER_NONE = 0, SL_TIER_AUDIT = 1, SL_TIER_ALLOW = 2, SL_TIER_DENY = 3, SL_TIER_HARD_DENY = 4 };

enum sl_on_revoke { SL_REVOKE_KILL = 0, SL_REVOKE_DRAIN = 1, SL_REVOKE_KEEP = 2 };
enum sl_inner_mode { SL_INNER_UNSET = 0, SL_INNER_ENFORCE = 1, SL_INNER_AUDIT = 2, SL_INNER_OFF = 3 };

/* Descriptors a worker inherits, in this order. Listener sockets follow: for slot s of S and listener l of L, the
 * descriptor is SL_FD_LISTENERS + s * L + l. */
enum sl_fd { SL_FD_CHANNEL = 3, SL_FD_SEGMENT = 4, SL_FD_LIMITS = 5, SL_FD_LISTENERS = 6 };

/* The texts above: never NULL; a number out of range reads as 0 does. */
const char *sl_verdict_text(unsigned verdict);
const char *sl_phase_text(unsigned phase);
const char *sl_reason_text(unsigned reason);
const char *sl_outcome_text(unsigned outcome);
const char *sl_tier_text(unsigned tier);

#endif
