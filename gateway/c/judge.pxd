# csrc/policy/judge.h, as Cython sees it.
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from gateway.c.addr cimport sl_addr
from gateway.c.image cimport sl_image

cdef extern from "policy/judge.h" nogil:
    enum:
        SL_SOURCE_SELECTORS
        SL_NO_RULE
    struct sl_source_key:
        sl_addr addr
        const char *namespace_
        const char *service_account
        const char *identity
        const char *user
        const char *workload_namespace
        const char *workload_account
        const uint32_t *workload_selectors
        uint32_t workload_selector_count
        uint8_t workload_unknown
        const char *token_namespace
        const char *token_account
        const char *forwarded_namespace
        const char *forwarded_account
        const char *forwarded
    struct sl_source:
        uint32_t count
    enum sl_decision_flags:
        SL_DECISION_PROVISIONAL
        SL_DECISION_GUARD
        SL_DECISION_BY_PROTOCOL
        SL_DECISION_PENDING
    enum sl_needs:
        SL_NEEDS_ADDRESS
        SL_NEEDS_PROTOCOL
        SL_NEEDS_REQUEST
    struct sl_decision:
        uint8_t verdict
        uint8_t phase
        uint8_t reason
        uint8_t flags
        uint8_t would_deny
        uint8_t tier
        uint8_t needs
        uint32_t rule
        uint32_t selector
        uint32_t sets[9]
    struct sl_trail_step:
        uint8_t phase
        uint8_t tier
        uint8_t reason
        uint8_t won
        uint8_t excepted
        uint8_t unmet
        uint8_t depth
        uint8_t port_class
        uint8_t family
        uint32_t rule
        uint32_t selector
        uint32_t condition
    struct sl_trail:
        uint32_t count
        uint32_t total
        sl_trail_step steps[64]
    enum sl_shows:
        SL_SHOWS_UNKNOWN
        SL_SHOWS_TLS
        SL_SHOWS_HTTP
        SL_SHOWS_OTHER
        SL_SHOWS_MALFORMED
        SL_SHOWS_TOO_LONG
        SL_SHOWS_LATE
        SL_SHOWS_SSH
    struct sl_text:
        const char *at
        size_t length
    struct sl_field:
        sl_text name
        sl_text value
    struct sl_request:
        sl_text method
        sl_text path
        sl_text query
        const sl_field *fields
        size_t field_count
    struct sl_question:
        sl_source_key who
        sl_source *source
        uint8_t resolved
        uint8_t unauthorized
        uint8_t audit
        uint8_t inner_mode
        const char *listener
        uint16_t port
        const char *host
        size_t host_length
        const sl_addr *address
        uint8_t shows
        uint8_t ech
        uint8_t elsewhere
        const char *inner
        size_t inner_length
        const sl_request *request
        uint8_t dialed
        const char *way
        const char *tls
        int (*is_local)(void *asked, const sl_addr *addr, uint16_t port, const sl_decision *by) noexcept
        void *asked

    unsigned sl_judge(const sl_image *policy, sl_question *question, int reached, const sl_decision *before,
                      sl_decision *out, sl_trail *trail)
    bint sl_refused(const sl_decision *decision)
    bint sl_waits_for_http(const sl_decision *decision)
    bint sl_denied_hard(const sl_decision *decision)
    void sl_deny(sl_decision *out, int phase, int reason)
    unsigned sl_own_asked(const sl_image *policy, const sl_addr *addr, uint16_t port, sl_addr out[2])

    void sl_source_resolve(const sl_image *policy, const sl_source_key *key, sl_source *out)
    int sl_source_user(const sl_image *policy, const char *user, const char **namespace_, const char **service_account)
    uint64_t sl_source_credential(const sl_image *policy, const char *user)
    int sl_source_network(const sl_image *policy, const sl_addr *addr, const char **namespace_,
                          const char **service_account)

    const char *sl_judged_upstream(const sl_image *policy, const sl_decision *decision)
    const char *sl_judged_sources(const sl_image *policy, const sl_decision *decision)
    const char *sl_judged_route(const sl_image *policy, const sl_decision *decision)
    const char *sl_judged_headers(const sl_image *policy, const sl_decision *decision)
    const char *sl_judged_tls(const sl_image *policy, const sl_decision *decision)
    uint16_t sl_judged_port(const sl_image *policy, const sl_decision *decision, uint16_t asked)
    unsigned sl_judged_inner(const sl_image *policy, const sl_decision *decision, unsigned listener)
    unsigned sl_judged_protocol(const sl_image *policy, const sl_decision *decision)
    unsigned sl_judged_ech(const sl_image *policy, const sl_decision *decision)
    unsigned sl_judged_revoke(const sl_image *policy, const sl_decision *decision)
    unsigned sl_judged_end(const sl_image *policy, const sl_decision *decision, unsigned admitted)
    struct sl_rule_name:
        const char *kind
        const char *namespace_
        const char *name
        uint32_t item
        uint8_t has_list
    int sl_rule_named(const sl_image *policy, uint32_t rule, sl_rule_name *out)
    unsigned sl_rule_slot(const sl_image *policy, uint32_t rule, unsigned none, unsigned other)
    uint32_t sl_list_line(const sl_image *policy, uint32_t rule, uint32_t selector, const char *name, size_t length)
