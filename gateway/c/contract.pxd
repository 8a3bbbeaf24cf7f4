# csrc/base/contract.h, as Cython sees it.

cdef extern from "base/contract.h" nogil:
    enum sl_verdict:
        SL_DENY
        SL_ALLOW
        SL_AUDIT
        SL_VERDICT_COUNT
    enum sl_phase:
        SL_PHASE_NONE
        SL_PHASE_NAME
        SL_PHASE_ADDRESS
        SL_PHASE_INNER
        SL_PHASE_REQUEST
        SL_PHASE_DELEGATED
        SL_PHASE_COUNT
    enum sl_reason:
        SL_REASON_INTERNAL
        SL_REASON_NO_POLICY
        SL_REASON_NO_RULE
        SL_REASON_RULE_ALLOW
        SL_REASON_RULE_DENY
        SL_REASON_RULE_HARD_DENY
        SL_REASON_RULE_AUDIT
        SL_REASON_PASSTHROUGH
        SL_REASON_NEEDS_ADDRESS
        SL_REASON_NO_CIDR_RULE
        SL_REASON_ADDRESS_DENIED
        SL_REASON_OWN_ADDRESS
        SL_REASON_UNSPECIFIED
        SL_REASON_LOOPBACK
        SL_REASON_LINK_LOCAL
        SL_REASON_MULTICAST
        SL_REASON_METADATA
        SL_REASON_SPECIAL_PURPOSE
        SL_REASON_EMBEDDED_IPV4
        SL_REASON_INNER_NAME_MISSING
        SL_REASON_INNER_NAME_MISMATCH
        SL_REASON_INNER_TOO_LONG
        SL_REASON_INNER_ECH
        SL_REASON_INNER_PROTOCOL_MISMATCH
        SL_REASON_INNER_PROTOCOL_MISSING
        SL_REASON_UNAUTHORIZED
        SL_REASON_OTHER_WAY
        SL_REASON_SOURCE_ADDRESS
        SL_REASON_LOGIN_MISSING
        SL_REASON_LOGIN_FAILED
        SL_REASON_MALFORMED
        SL_REASON_NOT_BUILT
        SL_REASON_REQUEST_TIMEOUT
        SL_REASON_NO_ROUTE
        SL_REASON_HEAD_TOO_LARGE
        SL_REASON_EXPECTATION
        SL_REASON_LOOP
        SL_REASON_DOUBTFUL_TARGET
        SL_REASON_MISDIRECTED
        SL_REASON_NEEDS_HTTP
        SL_REASON_CREDENTIAL_FILE
        SL_REASON_CREDENTIAL_CLEARTEXT
        SL_REASON_CREDENTIAL_HOST
        SL_REASON_CREDENTIAL_TRACE
        SL_REASON_LIMIT
        SL_REASON_DRAINING
        SL_REASON_TOO_MANY_STREAMS
        SL_REASON_TLS_HANDSHAKE
        SL_REASON_IDENTITY_EXPIRED
        SL_REASON_TLS_UPSTREAM
        SL_REASON_SOURCE_GONE
        SL_REASON_PROXY_HEADER
        SL_REASON_TOKEN_MALFORMED
        SL_REASON_TOKEN_TOO_LONG
        SL_REASON_TOKEN_HEADER
        SL_REASON_TOKEN_ALGORITHM
        SL_REASON_TOKEN_ISSUER
        SL_REASON_TOKEN_KEY
        SL_REASON_TOKEN_SIGNATURE
        SL_REASON_TOKEN_CLAIMS
        SL_REASON_TOKEN_AUDIENCE
        SL_REASON_TOKEN_EXPIRED
        SL_REASON_TOKEN_NOT_YET_VALID
        SL_REASON_TOKEN_CLEARTEXT
        SL_REASON_COUNT
    enum sl_reason_part:
        SL_REASON_PHASES
        SL_REASON_TIER
        SL_REASON_ANSWER
        SL_REASON_MEANING
    enum sl_outcome:
        SL_OUTCOME_INTERNAL
        SL_OUTCOME_CONNECTED
        SL_OUTCOME_DENIED
        SL_OUTCOME_ADDRESS_PROHIBITED
        SL_OUTCOME_AUTH_FAILED
        SL_OUTCOME_NAME_NOT_FOUND
        SL_OUTCOME_REFUSED
        SL_OUTCOME_NET_UNREACHABLE
        SL_OUTCOME_HOST_UNREACHABLE
        SL_OUTCOME_DNS_TIMEOUT
        SL_OUTCOME_DIAL_TIMEOUT
        SL_OUTCOME_UPSTREAM_FAILED
        SL_OUTCOME_SOURCE_LIMIT
        SL_OUTCOME_GATEWAY_LIMIT
        SL_OUTCOME_MALFORMED
        SL_OUTCOME_NOT_BUILT
        SL_OUTCOME_REQUEST_TIMEOUT
        SL_OUTCOME_NO_ROUTE
        SL_OUTCOME_NO_SUCH_METHOD
        SL_OUTCOME_EXPECTATION
        SL_OUTCOME_HEAD_TOO_LARGE
        SL_OUTCOME_LOOP
        SL_OUTCOME_RESPONSE_INVALID
        SL_OUTCOME_RESPONSE_INCOMPLETE
        SL_OUTCOME_RESPONSE_TIMEOUT
        SL_OUTCOME_UNAVAILABLE
        SL_OUTCOME_ROUTE_LIMIT
        SL_OUTCOME_BACKEND_INVALID
        SL_OUTCOME_CLIENT_GONE
        SL_OUTCOME_CLOSED
        SL_OUTCOME_RESET
        SL_OUTCOME_IDLE_TIMEOUT
        SL_OUTCOME_HALF_CLOSE_TIMEOUT
        SL_OUTCOME_REVOKED
        SL_OUTCOME_DRAINED
        SL_OUTCOME_KILLED
        SL_OUTCOME_WORKER_LOST
        SL_OUTCOME_DNS_FAILED
        SL_OUTCOME_NO_SERVER_NAME
        SL_OUTCOME_MISDIRECTED
        SL_OUTCOME_CREDENTIAL_UNAVAILABLE
        SL_OUTCOME_COUNT
    enum sl_tier:
        SL_TIER_NONE
        SL_TIER_DEFAULT_ALLOW
        SL_TIER_DEFAULT_AUDIT
        SL_TIER_DEFAULT_DENY
        SL_TIER_AUDIT
        SL_TIER_ALLOW
        SL_TIER_DENY
        SL_TIER_HARD_DENY
        SL_TIER_COUNT
    enum:  # sl_attribute: indexes of sl_decision.sets
        SL_ATTR_UPSTREAM
        SL_ATTR_SOURCE
        SL_ATTR_INNER
        SL_ATTR_REVOKE
        SL_ATTR_PROTOCOL
        SL_ATTR_ECH
        SL_ATTR_TLS
        SL_ATTR_ROUTE
        SL_ATTR_HEADERS
        SL_ATTR_COUNT
    enum sl_on_revoke:
        SL_REVOKE_KILL
        SL_REVOKE_DRAIN
        SL_REVOKE_KEEP
        SL_REVOKE_COUNT
    enum sl_inner_protocol:
        SL_INNER_PROTOCOL_UNSET
        SL_INNER_PROTOCOL_ANY
        SL_INNER_PROTOCOL_COUNT
    enum sl_ech:
        SL_ECH_UNSET
        SL_ECH_COUNT
    enum sl_inner_mode:
        SL_INNER_UNSET
        SL_INNER_ENFORCE
        SL_INNER_AUDIT
        SL_INNER_OFF
        SL_INNER_MODE_COUNT
    enum sl_login:
        SL_LOGIN_WRONG
        SL_LOGIN_RIGHT
        SL_LOGIN_BUSY
        SL_LOGIN_LIMITED
        SL_LOGIN_COUNT
    enum sl_tls_result:
        SL_TLS_RESULT_INTERNAL
        SL_TLS_RESULT_FULL
        SL_TLS_RESULT_RESUMED
        SL_TLS_RESULT_TIMEOUT
        SL_TLS_RESULT_ALERT
        SL_TLS_RESULT_LIMIT
        SL_TLS_RESULT_ENDED
        SL_TLS_RESULT_NOT_TLS
        SL_TLS_RESULT_MALFORMED
        SL_TLS_RESULT_CERTIFICATE_MISSING
        SL_TLS_RESULT_NAME_MISMATCH
        SL_TLS_RESULT_COUNT
    enum sl_fd:
        SL_FD_CHANNEL
        SL_FD_SEGMENT
        SL_FD_LIMITS
        SL_FD_ACTIVE
        SL_FD_LOG
        SL_FD_LISTENERS

    const char *sl_verdict_text(unsigned verdict)
    const char *sl_phase_text(unsigned phase)
    const char *sl_reason_text(unsigned reason)
    const char *sl_reason_column(unsigned reason, sl_reason_part part)
    unsigned sl_refusal_reason(unsigned outcome, int login)
    const char *sl_outcome_text(unsigned outcome)
    const char *sl_tier_text(unsigned tier)
    const char *sl_on_revoke_text(unsigned way)
    const char *sl_inner_mode_text(unsigned mode)
    const char *sl_inner_protocol_text(unsigned protocol)
    const char *sl_ech_text(unsigned ech)
    const char *sl_login_text(unsigned login)
    const char *sl_tls_result_text(unsigned result)
