/* Numbers that both halves of Sluice share: verdicts, phases, reasons, outcomes, rule kinds and the order of inherited
 * descriptors. It is not a place for layouts: those of the policy image stand in image.h, those of the shared segment
 * in segment.h. `gateway/contract.py` says the same to Python; tests/gateway/test_contract.py holds the two together.
 *
 * The law kept here: zero is always the safe answer. A function that fails half-way and returns 0 has said DENY,
 * INTERNAL or "no success", never ALLOW (DESIGN.md section 2).
 */
#ifndef SLUICE_CONTRACT_H
#define SLUICE_CONTRACT_H

#define SL_VERDICTS(X) X(DENY, "deny") X(ALLOW, "allow") X(AUDIT, "audit")

/* Tiers of DECISIONS.md section 4, strongest last: what an item says, or a dialect where none of its items matches
 * (DEFAULT_*). 0 is "no match". */
#define SL_TIERS(X)                   \
    X(NONE, "default")                \
    X(DEFAULT_ALLOW, "default_allow") \
    X(DEFAULT_AUDIT, "default_audit") \
    X(DEFAULT_DENY, "default_deny")   \
    X(AUDIT, "audit")                 \
    X(ALLOW, "allow")                 \
    X(DENY, "deny")                   \
    X(HARD_DENY, "hard_deny")
#define SL_REVOKES(X) X(KILL, "kill") X(DRAIN, "drain") X(KEEP, "keep")
#define SL_INNER_MODES(X) X(UNSET, "unset") X(ENFORCE, "enforce") X(AUDIT, "audit") X(OFF, "off")
/* What a rule demands inside a tunnel. */
#define SL_INNER_PROTOCOLS(X) X(UNSET, "unset") X(ANY, "any") X(TLS, "tls") X(HTTP, "http") X(SSH, "ssh")
#define SL_ECHS(X) X(UNSET, "unset") X(ALLOW, "allow") X(DENY, "deny")

/* Where a decision was taken (DECISIONS.md section 3). */
#define SL_PHASES(X)                                                 \
    X(NONE, "none")           /* nothing was decided */              \
    X(NAME, "name")           /* source, host, port, protocol */     \
    X(ADDRESS, "address")     /* each resolved or literal address */ \
    X(INNER, "inner")         /* SNI or Host inside the tunnel */    \
    X(REQUEST, "request")     /* method, path, headers */            \
    X(DELEGATED, "delegated") /* the name's addresses are its parent gateway's to judge */

/* Why. The text is what logs, headers and `sluice explain` print. X(NAME, "text", phases it is met in, tier, answer,
 * meaning): docs/reference.md is made of them (`make reference`); one line here is all that a new reason takes. */
#define SL_REASONS(X)                                                                                                 \
    X(INTERNAL, "internal", "any", "default", "500, SOCKS 1", "an error of the gateway itself: refused")              \
    X(NO_POLICY, "no_policy", "name, address", "default", "403, SOCKS 2", "no policy is loaded")                      \
    X(NO_RULE, "no_rule", "name, address", "default", "403, SOCKS 2", "no rule matches")                              \
    X(RULE_ALLOW, "rule_allow", "any", "allow", "none: it passes", "the rule named allows")                           \
    X(RULE_DENY, "rule_deny", "any", "deny", "403, SOCKS 2", "the rule named denies")                                 \
    X(POLICY_INVALID, "policy_invalid", "any", "deny", "403, SOCKS 2",                                                \
      "the resource named cannot be used, and closes what it selects until it is mended or deleted")                  \
    X(RULE_HARD_DENY, "rule_hard_deny", "any", "hard_deny", "403, SOCKS 2",                                           \
      "the rule named denies, and no audit mode softens it")                                                          \
    X(RULE_AUDIT, "rule_audit", "any", "audit", "none: it passes", "the rule named audits: it passes and is counted") \
    X(DEFAULT_ALLOW, "default_allow", "any", "default_allow", "none: it passes",                                      \
      "no rule of a dialect matches, and the default that is named lets pass")                                        \
    X(DEFAULT_AUDIT, "default_audit", "any", "default_audit", "none: it passes",                                      \
      "no rule of a dialect matches, and the default that is named audits: it passes and is counted")                 \
    X(DEFAULT_DENY, "default_deny", "any", "default_deny", "403, SOCKS 2",                                            \
      "no rule of a dialect matches, and the default that is named denies")                                           \
    X(PASSTHROUGH, "passthrough", "name, address", "default", "none: it passes", "policy.passthrough lets it pass")   \
    X(NEEDS_ADDRESS, "needs_address", "name", "default", "none: only explain says it",                                \
      "only the address can decide, and none is given")                                                               \
    X(NO_CIDR_RULE, "no_cidr_rule", "address, inner", "default", "403, SOCKS 2",                                      \
      "only a CIDR rule can allow, and none covers the address")                                                      \
    X(ADDRESS_DENIED, "address_denied", "address", "default", "403 destination_ip_prohibited, SOCKS 2",               \
      "addresses.deny holds the address")                                                                             \
    X(OWN_ADDRESS, "own_address", "address", "default", "403 destination_ip_prohibited, SOCKS 2",                     \
      "the address and port are the gateway's own")                                                                   \
    X(UNSPECIFIED, "address_unspecified", "address", "default", "403 destination_ip_prohibited, SOCKS 2",             \
      "address guard, lifted by no rule")                                                                             \
    X(LOOPBACK, "address_loopback", "address", "default", "403 destination_ip_prohibited, SOCKS 2",                   \
      "address guard, lifted by no rule")                                                                             \
    X(LINK_LOCAL, "address_link_local", "address", "default", "403 destination_ip_prohibited, SOCKS 2",               \
      "address guard, lifted by no rule")                                                                             \
    X(MULTICAST, "address_multicast", "address", "default", "403 destination_ip_prohibited, SOCKS 2",                 \
      "address guard, lifted by no rule")                                                                             \
    X(METADATA, "address_metadata", "address", "default", "403 destination_ip_prohibited, SOCKS 2",                   \
      "address guard, lifted by no rule")                                                                             \
    X(SPECIAL_PURPOSE, "address_special_purpose", "address", "default", "403 destination_ip_prohibited, SOCKS 2",     \
      "address guard: private, CGNAT, documentation and the like")                                                    \
    X(EMBEDDED_IPV4, "address_embedded_ipv4", "address", "default", "403 destination_ip_prohibited, SOCKS 2",         \
      "address guard: mapped, compatible, NAT64, 6to4, Teredo")                                                       \
    X(INNER_NAME_MISSING, "inner_name_missing", "address, inner", "default", "a reset (success was answered before)", \
      "asked by address, and no name was shown in time")                                                              \
    X(INNER_NAME_MISMATCH, "inner_name_mismatch", "inner", "default", "a reset (success was answered before)",        \
      "the name inside differs from the name asked for")                                                              \
    X(INNER_TOO_LONG, "inner_too_long", "inner", "default", "a reset (success was answered before)",                  \
      "64 KiB of a request head or a ClientHello without a name")                                                     \
    X(INNER_ECH, "inner_ech", "inner", "deny", "a reset (success was answered before)",                               \
      "an encrypted ClientHello under `ech: deny`")                                                                   \
    X(INNER_PROTOCOL_MISMATCH, "inner_protocol_mismatch", "inner", "deny", "a reset (success was answered before)",   \
      "another protocol inside than the rule's `inner` demands")                                                      \
    X(INNER_PROTOCOL_MISSING, "inner_protocol_missing", "inner", "deny", "a reset (success was answered before)",     \
      "a protocol is demanded (`inner`, conditions on requests), and none showed in 5 s")                             \
    X(UNAUTHORIZED, "unauthorized", "name", "deny", "403, SOCKS 2",                                                   \
      "the source is not authorized, or its user is gone")                                                            \
    X(OTHER_WAY, "other_way", "name, address, inner", "deny", "403, SOCKS 2, or a reset",                             \
      "allowed only through a parent that this tunnel does not use, or only without one")                             \
    X(SOURCE_ADDRESS, "source_address", "name, address, inner", "allow", "500, SOCKS 1",                              \
      "allowed, and no sourceAddress of the rule can be used")                                                        \
    X(LOGIN_MISSING, "login_missing", "none", "none", "407, SOCKS method 255",                                        \
      "the listener requires credentials, and none were sent")                                                        \
    X(LOGIN_FAILED, "login_failed", "none", "none", "407, SOCKS auth status 1",                                       \
      "the user or the password is wrong, or cannot be read")                                                         \
    X(MALFORMED, "malformed", "none", "none", "400, SOCKS 1, 7 or 8, or a close", "the request breaks its protocol")  \
    X(NOT_BUILT, "not_built", "none", "none", "501",                                                                  \
      "a plain request, or a protocol that the listener does not speak")                                              \
    X(REQUEST_TIMEOUT, "request_timeout", "none", "none", "408",                                                      \
      "the request was not complete within limits.requestTimeout")                                                    \
    X(LIMIT, "limit", "none", "none", "429 or 503, SOCKS 1, or a close",                                              \
      "a limit of the source or of the gateway was reached")                                                          \
    X(DRAINING, "draining", "none", "none", "503, SOCKS 1", "the gateway drains and takes no new tunnels")            \
    X(TOO_MANY_STREAMS, "too_many_streams", "none", "none", "RST_STREAM REFUSED_STREAM",                              \
      "limits.streamsPerConnection of an HTTP/2 connection was reached")                                              \
    X(TLS_HANDSHAKE, "tls_handshake", "none", "none", "an alert and a close",                                         \
      "the TLS handshake with the client failed; `tls.client.failure` of the line tells how")                         \
    X(PROXY_HEADER, "proxy_header", "none", "none", "a close",                                                        \
      "a PROXY header is missing or broken, or comes from a peer that may not send one")                              \
    X(IDENTITY_EXPIRED, "identity_expired", "name", "deny", "403, SOCKS 2, or a reset",                               \
      "the client's certificate or token has expired: no new tunnels, and old ones for identity.maxAge")              \
    X(TOKEN_MALFORMED, "token_malformed", "none", "none", "407",                                                      \
      "the bearer token is not a JWT in compact form, or two readers could read it in two ways")                      \
    X(TOKEN_TOO_LONG, "token_too_long", "none", "none", "407", "the bearer token is longer than 8192 bytes")          \
    X(TOKEN_HEADER, "token_header", "none", "none", "407", "the header of the token has jku, jwk, x5u or crit")       \
    X(TOKEN_ALGORITHM, "token_algorithm", "none", "none", "407",                                                      \
      "the algorithm of the token is not that of its key: none and HMAC never are")                                   \
    X(TOKEN_ISSUER, "token_issuer", "none", "none", "407", "the issuer of the token is not in identity.tokens")       \
    X(TOKEN_KEY, "token_key", "none", "none", "407", "the issuer has no key with the token's kid")                    \
    X(TOKEN_SIGNATURE, "token_signature", "none", "none", "407", "the signature of the token is not its key's")       \
    X(TOKEN_CLAIMS, "token_claims", "none", "none", "407", "a required claim of the token is missing or invalid")     \
    X(TOKEN_AUDIENCE, "token_audience", "none", "none", "407", "the token is for another audience")                   \
    X(TOKEN_EXPIRED, "token_expired", "none", "none", "407", "the time of the token is over")                         \
    X(TOKEN_NOT_YET_VALID, "token_not_yet_valid", "none", "none", "407", "the time of the token has not begun")       \
    X(TOKEN_CLEARTEXT, "token_cleartext", "none", "none", "407",                                                      \
      "the token came over clear text, from elsewhere than loopback")                                                 \
    X(TLS_UPSTREAM, "tls_upstream", "name, address", "allow", "502 tls_certificate_error, SOCKS 1",                   \
      "allowed, and the TLS handshake with the parent or the origin failed; `tls.upstream.failure` tells how")        \
    X(NEEDS_HTTP, "needs_http", "name, address, inner", "deny", "403, SOCKS 2, or a reset",                           \
      "rules have conditions on requests, and this flow is no HTTP: none allows it, and a denial holds")              \
    X(SOURCE_GONE, "source_gone", "name", "deny", "403, SOCKS 2, or a reset",                                         \
      "the source's address belongs to another pod now, or to none")                                                  \
    X(NO_ROUTE, "no_route", "name, address", "default", "404",                                                        \
      "the host has routes whose own system answers so, and none of them matches the request")                        \
    X(HEAD_TOO_LARGE, "head_too_large", "none", "none", "431", "a request head of over 64 KiB or 1,000 fields")       \
    X(EXPECTATION, "expectation", "none", "none", "417", "an Expect that is not 100-continue")                        \
    X(LOOP, "loop", "none", "none", "508", "the request has been through this gateway before (Via)")                  \
    X(DOUBTFUL_TARGET, "doubtful_target", "none", "none", "400",                                                      \
      "two readers may take the path for two paths, and a rule of its host asks for paths")                           \
    X(CREDENTIAL_FILE, "credential_file", "name, address", "allow", "502",                                            \
      "allowed, and the file of a credential that the rule sets is missing or cannot be used")                        \
    X(CREDENTIAL_CLEARTEXT, "credential_cleartext", "name, address", "allow", "502",                                  \
      "allowed, and a credential that the rule sets would leave without TLS")                                         \
    X(CREDENTIAL_HOST, "credential_host", "name, address", "allow", "502",                                            \
      "allowed, and the certificate of the destination was verified by a name that is not among its hosts")           \
    X(CREDENTIAL_TRACE, "credential_trace", "name, address", "allow", "405",                                          \
      "allowed, and TRACE would show the client the credential that the rule sets")                                   \
    X(NO_SERVER_NAME, "no_server_name", "none", "none", "a close",                                                    \
      "a ClientHello, sent as to the destination itself, shows no server name, or the gateway's own")                 \
    X(MISDIRECTED, "misdirected", "none", "none", "421",                                                              \
      "a request inside a tunnel is for another host or port than the tunnel")

/* How a TLS handshake went: `result` of its metric, and `failure` of a leg's TLS in the log. X(NAME, "text"). */
#define SL_TLS_RESULTS(X)                                                                 \
    X(INTERNAL, "internal") /* an error of the gateway, or no memory */                   \
    X(FULL, "full")                                                                       \
    X(RESUMED, "resumed")                                                                 \
    X(TIMEOUT, "timeout")     /* not done within requestTimeout or dialTimeout */         \
    X(LIMIT, "limit")         /* limits.handshakes were under way */                      \
    X(ENDED, "ended")         /* the peer left */                                         \
    X(NOT_TLS, "not_tls")     /* its bytes are no records of TLS */                       \
    X(MALFORMED, "malformed") /* its messages break the protocol */                       \
    X(NO_VERSION, "no_common_version")                                                    \
    X(NO_CIPHER, "no_common_cipher") /* or no common group or signature algorithm */      \
    X(ALERT, "alert")                /* the peer refused */                               \
    X(CERTIFICATE_MISSING, "certificate_missing")                                         \
    X(UNKNOWN_CA, "unknown_ca")                                                           \
    X(CERTIFICATE_EXPIRED, "certificate_expired")                                         \
    X(CERTIFICATE_NOT_YET_VALID, "certificate_not_yet_valid")                             \
    X(CERTIFICATE_REVOKED, "certificate_revoked")                                         \
    X(CERTIFICATE_PURPOSE, "certificate_purpose") /* not for this side of a connection */ \
    X(CERTIFICATE_INVALID, "certificate_invalid")                                         \
    X(CRL_EXPIRED, "crl_expired") /* past its nextUpdate */                               \
    X(CRL_MISSING, "crl_missing") /* none of the certificate's issuer */                  \
    X(NAME_MISMATCH, "name_mismatch")

/* How the check of a password or token went. `BUSY`: nothing was verified, the gateway has no room. `LIMITED`: nothing was
 * verified, the source has too many logins waiting, or too many that failed. */
#define SL_LOGINS(X) X(WRONG, "wrong") X(RIGHT, "right") X(BUSY, "busy") X(LIMITED, "limited")

/* How a request or a tunnel ended: the rows of CONTRACT.md section 5, then the ways an open tunnel closes. */
#define SL_OUTCOMES(X)                            \
    X(INTERNAL, "internal")                       \
    X(CONNECTED, "connected")                     \
    X(DENIED, "denied")                           \
    X(ADDRESS_PROHIBITED, "address_prohibited")   \
    X(AUTH_FAILED, "auth_failed")                 \
    X(NAME_NOT_FOUND, "name_not_found")           \
    X(REFUSED, "refused")                         \
    X(NET_UNREACHABLE, "net_unreachable")         \
    X(HOST_UNREACHABLE, "host_unreachable")       \
    X(DNS_TIMEOUT, "dns_timeout")                 \
    X(DIAL_TIMEOUT, "dial_timeout")               \
    X(UPSTREAM_FAILED, "upstream_failed")         \
    X(SOURCE_LIMIT, "source_limit")               \
    X(GATEWAY_LIMIT, "gateway_limit")             \
    X(MALFORMED, "malformed")                     \
    X(NOT_BUILT, "not_built")                     \
    X(REQUEST_TIMEOUT, "request_timeout")         \
    X(CLIENT_GONE, "client_gone")                 \
    X(CLOSED, "closed")                           \
    X(RESET, "reset")                             \
    X(IDLE_TIMEOUT, "idle_timeout")               \
    X(HALF_CLOSE_TIMEOUT, "half_close_timeout")   \
    X(REVOKED, "revoked")                         \
    X(DRAINED, "drained")                         \
    X(KILLED, "killed")                           \
    X(WORKER_LOST, "worker_lost")                 \
    X(DNS_FAILED, "dns_failed")                   \
    X(NO_ROUTE, "no_route")                       \
    X(NO_SUCH_METHOD, "no_such_method")           \
    X(EXPECTATION, "expectation")                 \
    X(HEAD_TOO_LARGE, "head_too_large")           \
    X(LOOP, "loop")                               \
    X(RESPONSE_INVALID, "response_invalid")       \
    X(RESPONSE_INCOMPLETE, "response_incomplete") \
    X(RESPONSE_TIMEOUT, "response_timeout")       \
    X(UNAVAILABLE, "unavailable")                 \
    X(ROUTE_LIMIT, "route_limit")                 \
    X(BACKEND_INVALID, "backend_invalid")         \
    X(NO_SERVER_NAME, "no_server_name")           \
    X(MISDIRECTED, "misdirected")                 \
    X(CREDENTIAL_UNAVAILABLE, "credential_unavailable")

#define SL_ENUM_VERDICT(name, text) SL_##name,
#define SL_ENUM_TIER(name, text) SL_TIER_##name,
#define SL_ENUM_REVOKE(name, text) SL_REVOKE_##name,
#define SL_ENUM_INNER_MODE(name, text) SL_INNER_##name,
#define SL_ENUM_INNER_PROTOCOL(name, text) SL_INNER_PROTOCOL_##name,
#define SL_ENUM_ECH(name, text) SL_ECH_##name,
#define SL_ENUM_PHASE(name, text) SL_PHASE_##name,
#define SL_ENUM_REASON(name, ...) SL_REASON_##name,
#define SL_ENUM_OUTCOME(name, text) SL_OUTCOME_##name,
#define SL_ENUM_LOGIN(name, text) SL_LOGIN_##name,
#define SL_ENUM_TLS_RESULT(name, text) SL_TLS_RESULT_##name,
enum sl_verdict { SL_VERDICTS(SL_ENUM_VERDICT) SL_VERDICT_COUNT };
enum sl_tier { SL_TIERS(SL_ENUM_TIER) SL_TIER_COUNT };
enum sl_on_revoke { SL_REVOKES(SL_ENUM_REVOKE) SL_REVOKE_COUNT };
enum sl_inner_mode { SL_INNER_MODES(SL_ENUM_INNER_MODE) SL_INNER_MODE_COUNT };
enum sl_inner_protocol { SL_INNER_PROTOCOLS(SL_ENUM_INNER_PROTOCOL) SL_INNER_PROTOCOL_COUNT };
enum sl_ech { SL_ECHS(SL_ENUM_ECH) SL_ECH_COUNT };
enum sl_phase { SL_PHASES(SL_ENUM_PHASE) SL_PHASE_COUNT };
enum sl_reason { SL_REASONS(SL_ENUM_REASON) SL_REASON_COUNT };
enum sl_outcome { SL_OUTCOMES(SL_ENUM_OUTCOME) SL_OUTCOME_COUNT };
enum sl_login { SL_LOGINS(SL_ENUM_LOGIN) SL_LOGIN_COUNT };
enum sl_tls_result { SL_TLS_RESULTS(SL_ENUM_TLS_RESULT) SL_TLS_RESULT_COUNT };

/* Attributes of a rule (DECISIONS.md section 4). A rule that denies sets onRevoke alone, a hard deny nothing. */
enum sl_attribute {
    SL_ATTR_UPSTREAM,
    SL_ATTR_SOURCE,
    SL_ATTR_INNER,
    SL_ATTR_REVOKE,
    SL_ATTR_PROTOCOL,
    SL_ATTR_ECH,
    SL_ATTR_TLS,
    SL_ATTR_ROUTE,
    SL_ATTR_HEADERS,
    SL_ATTR_COUNT
};

/* Descriptors a worker inherits, in this order. Listener sockets follow: for slot s of S and listener l of L, the
 * descriptor is SL_FD_LISTENERS + s * L + l. */
enum sl_fd {
    SL_FD_CHANNEL = 3,
    SL_FD_SEGMENT = 4,
    SL_FD_LIMITS = 5,
    SL_FD_ACTIVE = 6,
    SL_FD_LOG = 7, /* an eventfd: access log lines wait in the segment */
    SL_FD_LISTENERS = 8
};

/* The texts above: never NULL; a number out of range reads as 0 does. */
const char *sl_verdict_text(unsigned verdict);
const char *sl_phase_text(unsigned phase);
const char *sl_reason_text(unsigned reason);
/* The columns of docs/reference.md: phases, tier, answer, meaning. */
enum sl_reason_part { SL_REASON_PHASES, SL_REASON_TIER, SL_REASON_ANSWER, SL_REASON_MEANING };
const char *sl_reason_column(unsigned reason, enum sl_reason_part column);
/* The sl_reason of a request that was refused before any question was reached; `login`: it had sent credentials. */
unsigned sl_refusal_reason(unsigned outcome, int login);
const char *sl_outcome_text(unsigned outcome);
const char *sl_tier_text(unsigned tier);
const char *sl_on_revoke_text(unsigned way);
const char *sl_inner_mode_text(unsigned mode);
const char *sl_inner_protocol_text(unsigned protocol);
const char *sl_ech_text(unsigned ech);
const char *sl_login_text(unsigned login);
const char *sl_tls_result_text(unsigned result);

#endif
