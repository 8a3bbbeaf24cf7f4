# Every C unit of csrc/ as Cython sees it: declared once here, cimported by the modules. The headers are the
# documentation.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "sys/socket.h" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family

cdef extern from "contract.h" nogil:
    enum sl_verdict:
        SL_DENY
        SL_ALLOW
        SL_AUDIT
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
        SL_REASON_UNAUTHORIZED
        SL_REASON_OTHER_WAY
        SL_REASON_SOURCE_ADDRESS
        SL_REASON_LOGIN_MISSING
        SL_REASON_LOGIN_FAILED
        SL_REASON_MALFORMED
        SL_REASON_NOT_BUILT
        SL_REASON_REQUEST_TIMEOUT
        SL_REASON_LIMIT
        SL_REASON_DRAINING
        SL_REASON_TOO_MANY_STREAMS
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
        SL_OUTCOME_COUNT
    enum sl_tier:
        SL_TIER_NONE
        SL_TIER_AUDIT
        SL_TIER_ALLOW
        SL_TIER_DENY
        SL_TIER_HARD_DENY
    enum sl_on_revoke:
        SL_REVOKE_KILL
        SL_REVOKE_DRAIN
        SL_REVOKE_KEEP
    enum sl_inner_mode:
        SL_INNER_UNSET
        SL_INNER_ENFORCE
        SL_INNER_AUDIT
        SL_INNER_OFF
    enum sl_fd:
        SL_FD_CHANNEL
        SL_FD_SEGMENT
        SL_FD_LIMITS
        SL_FD_LISTENERS

    const char *sl_verdict_text(unsigned verdict)
    const char *sl_phase_text(unsigned phase)
    const char *sl_reason_text(unsigned reason)
    const char *sl_reason_column(unsigned reason, sl_reason_part part)
    unsigned sl_refusal_reason(unsigned outcome, int login)
    const char *sl_outcome_text(unsigned outcome)
    const char *sl_tier_text(unsigned tier)

cdef extern from "addr.h" nogil:
    enum:
        SL_ADDR_TEXT
    struct sl_addr:
        uint8_t bytes[16]
        uint8_t family
    struct sl_prefix:
        sl_addr addr
        uint8_t length

    int sl_addr_parse(const char *text, size_t length, sl_addr *out)
    size_t sl_addr_format(const sl_addr *addr, char *out)
    int sl_addr_from_sockaddr(const sockaddr *sa, sl_addr *out, uint16_t *port)
    socklen_t sl_addr_to_sockaddr(const sl_addr *addr, uint16_t port, sockaddr_storage *out)
    int sl_prefix_contains(const sl_prefix *prefix, const sl_addr *addr)
    int sl_prefix_parse(const char *text, size_t length, sl_prefix *out)
    int sl_guard_reason(const sl_addr *addr, sl_prefix *block)
    int sl_guard_liftable(const sl_prefix *prefix)
    int sl_nat64_embedded(const sl_addr *addr, uint8_t prefix_length, sl_addr *out)
    int sl_addr_embedded(const sl_addr *addr, sl_addr *out)
    int sl_prefix_is_nat64(const sl_prefix *prefix)

cdef extern from "name.h" nogil:
    enum:
        SL_NAME_MAX
        SL_LABEL_MAX
        SL_NAME_BUFFER
    enum sl_name_status:
        SL_NAME_INTERNAL
        SL_NAME_OK
        SL_NAME_ADDRESS
        SL_NAME_EMPTY
        SL_NAME_TOO_LONG
        SL_NAME_LABEL_TOO_LONG
        SL_NAME_EMPTY_LABEL
        SL_NAME_NON_ASCII
        SL_NAME_BAD_BYTE
        SL_NAME_NUMERIC
        SL_NAME_BAD_WILDCARD
        SL_NAME_STATUS_COUNT

    sl_name_status sl_name_canonical(const uint8_t *data, size_t length, char *out, size_t *out_length,
                                     sl_addr *address)
    sl_name_status sl_name_pattern(const uint8_t *data, size_t length, char *out, size_t *out_length, int *wildcard)
    const char *sl_name_status_text(sl_name_status status)

cdef extern from "dns_answer.h" nogil:
    enum:
        SL_DNS_ADDRESSES
        SL_DNS_A
        SL_DNS_AAAA
    enum sl_dns_status:
        SL_DNS_MALFORMED
        SL_DNS_FOUND
        SL_DNS_NONE
        SL_DNS_REFUSED
    struct sl_dns_answer:
        sl_addr addresses[32]
        unsigned count
        uint32_t ttl

    sl_dns_status sl_dns_answer_read(const uint8_t *data, size_t length, const char *name, size_t name_length,
                                     unsigned type, sl_dns_answer *out)

cdef extern from "image.h" nogil:
    enum:
        SL_IMAGE_VERSION
    enum sl_section:
        SL_SEC_STRINGS
        SL_SEC_RULES
        SL_SEC_RANGES
        SL_SEC_PORTSETS
        SL_SEC_ATTACHMENTS
        SL_SEC_LISTS
        SL_SEC_ENTRIES
        SL_SEC_NODES
        SL_SEC_EDGES
        SL_SEC_LABELS
        SL_SEC_PREFIXES
        SL_SEC_PRINCIPALS
        SL_SEC_PRINCIPAL_SLOTS
        SL_SEC_SELECTORS
        SL_SEC_SELECTOR_SLOTS
        SL_SEC_USERS
        SL_SEC_USER_SLOTS
        SL_SEC_NETWORKS
        SL_SEC_OWN
        SL_SEC_COUNT
    enum sl_image_flags:
        SL_IMAGE_HAS_POLICY
        SL_IMAGE_PASSTHROUGH
        SL_IMAGE_AUDIT
        SL_IMAGE_STARTING
    enum sl_attachment_flags:
        SL_ATTACH_EXCEPTS
        SL_ATTACH_LIFTS
    enum sl_principal_kind:
        SL_PRINCIPAL_NONE
        SL_PRINCIPAL_MESH
        SL_PRINCIPAL_NAMESPACE
        SL_PRINCIPAL_SERVICE_ACCOUNT
        SL_PRINCIPAL_IDENTITY
        SL_PRINCIPAL_USER
        SL_PRINCIPAL_NAMESPACE_IDENTITY
        SL_PRINCIPAL_NAMESPACE_USER
        SL_PRINCIPAL_KIND_COUNT
    enum sl_image_status:
        SL_IMAGE_INTERNAL
        SL_IMAGE_OK
        SL_IMAGE_SHORT
        SL_IMAGE_MAGIC_BAD
        SL_IMAGE_VERSION_BAD
        SL_IMAGE_CHECKSUM_BAD
        SL_IMAGE_BOUNDS
        SL_IMAGE_ORDER
    struct sl_section_ref:
        uint64_t offset
        uint64_t count
    struct sl_image_header:
        uint64_t magic
        uint32_t version
        uint32_t flags
        uint64_t size
        uint64_t checksum
        sl_section_ref sections[20]
    struct sl_rule:
        uint32_t kind
        uint32_t namespace_
        uint32_t name
        uint32_t index
        uint32_t file
        uint32_t line
        uint32_t upstream
        uint32_t attributes
        uint32_t lines
        uint32_t line_count
        uint16_t slot
        uint8_t tier
        uint8_t on_revoke
        uint8_t on_revoke_set
        uint8_t inner
    struct sl_port_range:
        uint16_t low
        uint16_t high
    struct sl_attachment:
        uint32_t rule
        uint32_t portset
        uint32_t order
        uint8_t tier
        uint8_t flags
    struct sl_principal:
        uint32_t a
        uint32_t b
        uint32_t selector
        uint8_t kind
        uint8_t audit
    struct sl_selector:
        uint32_t principal
        uint32_t cidr
        uint16_t rank
        uint16_t flags
    struct sl_image:
        const uint8_t *base
        const sl_image_header *header
        size_t size

    uint64_t sl_image_checksum(const uint8_t *base, size_t size)
    sl_image_status sl_image_open(const void *base, size_t size, sl_image *image)
    struct sl_image_opening:
        size_t size
        size_t at
    sl_image_status sl_image_open_begin(const void *base, size_t size, sl_image_opening *opening)
    int sl_image_open_step(sl_image_opening *opening, size_t most)
    sl_image_status sl_image_open_end(const sl_image_opening *opening, sl_image *image)
    sl_image_status sl_image_validate(const void *base, size_t size, sl_image *image, char *where)
    const char *sl_image_status_text(sl_image_status status)
    const void *sl_image_record(const sl_image *image, sl_section section, uint64_t index)
    const char *sl_image_string(const sl_image *image, uint32_t offset)

cdef extern from "decide.h" nogil:
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
    struct sl_source:
        uint32_t count
        uint8_t audit
        uint8_t lower_audit
        uint8_t passthrough
        uint8_t overflow
        uint32_t selectors[1024]
    enum sl_decision_flags:
        SL_DECISION_PENDING
        SL_DECISION_PROVISIONAL
        SL_DECISION_GUARD
        SL_DECISION_NO_SOFTEN
        SL_DECISION_ADDRESS_RULE
        SL_DECISION_LOOK_INSIDE
    struct sl_decision:
        uint8_t verdict
        uint8_t phase
        uint8_t reason
        uint8_t flags
        uint8_t would_deny
        uint8_t tier
        uint32_t rule
        uint32_t selector
    struct sl_trail_step:
        uint8_t phase
        uint8_t tier
        uint8_t reason
        uint8_t won
        uint8_t excepted
        uint8_t depth
        uint8_t port_class
        uint8_t family
        uint32_t rule
        uint32_t selector
    struct sl_trail:
        uint32_t count
        uint32_t total
        sl_trail_step steps[64]

    void sl_source_resolve(const sl_image *image, const sl_source_key *key, sl_source *out)
    int sl_source_user(const sl_image *image, const char *user, const char **namespace_, const char **service_account)
    uint64_t sl_source_credential(const sl_image *image, const char *user)
    int sl_source_network(const sl_image *image, const sl_addr *addr, const char **namespace_,
                          const char **service_account)
    const char *sl_decision_upstream(const sl_image *image, const sl_decision *decision)
    void sl_decide_name(const sl_image *image, const sl_source *source, const char *name, size_t length, uint16_t port,
                        int audit, sl_decision *out, sl_trail *trail)
    void sl_decide_address(const sl_image *image, const sl_source *source, const sl_decision *by_name,
                           const sl_addr *addr,
                           uint16_t port, int local, int audit, sl_decision *out, sl_trail *trail)
    void sl_decide_inner(const sl_image *image, const sl_source *source, const sl_decision *by_address,
                         const char *name, size_t length, uint16_t port, int audit, sl_decision *out, sl_trail *trail)
    unsigned sl_own_asked(const sl_image *image, const sl_addr *addr, uint16_t port, sl_addr out[2])

cdef extern from "dial_error.h" nogil:
    enum:
        SL_DIAL_OWN
        SL_DIAL_SOURCELESS
    int sl_dial_outcome(int error)
    int sl_dial_scope(int error)
    int sl_dial_telling(int outcome)

cdef extern from "silence.h" nogil:
    int sl_tcp_silent(int fd, uint32_t since, uint8_t *state)

cdef extern from "local.h" nogil:
    struct sl_local:
        int asks
        int events
    int sl_local_open(sl_local *local)
    void sl_local_close(sl_local *local)
    void sl_local_forget(sl_local *local)
    void sl_local_drain(sl_local *local)
    int sl_local_is(sl_local *local, const sl_addr *addr, uint16_t port, const sl_addr *source)

cdef extern from "lookup.h" nogil:
    uint32_t sl_list_line(const sl_image *image, uint32_t rule, uint32_t selector, const char *name, size_t length)

cdef extern from "timers.h" nogil:
    enum:
        SL_TIMER_TICK_MS
    struct sl_timer:
        sl_timer *next
        sl_timer **link
        uint64_t at
        void *owner
    struct sl_wheel:
        uint64_t tick
        uint64_t count

    void sl_wheel_init(sl_wheel *wheel, uint64_t now)
    void sl_wheel_set(sl_wheel *wheel, sl_timer *timer, uint64_t at)
    void sl_wheel_cancel(sl_wheel *wheel, sl_timer *timer)
    sl_timer *sl_wheel_take(sl_wheel *wheel, uint64_t now)
    int sl_wheel_wait(const sl_wheel *wheel, uint64_t now)

cdef extern from "pipe_pool.h" nogil:
    enum:
        SL_PIPE_SIZE
        SL_PIPE_LEAST
    struct sl_pipe_counts:
        uint64_t idle
        uint64_t busy
        uint64_t refused
        uint64_t begun
        uint64_t ended
    struct sl_pipe:
        uint32_t size
        uint32_t held
    struct sl_pipe_pool:
        sl_pipe_counts *counts
        uint32_t most
        uint32_t rest
    void sl_pipe_pool_init(sl_pipe_pool *pool, sl_pipe_counts *counts, uint32_t most)
    void sl_pipe_pool_limit(sl_pipe_pool *pool, uint32_t most)
    void sl_pipe_pool_free(sl_pipe_pool *pool)
    sl_pipe *sl_pipe_take(sl_pipe_pool *pool)
    void sl_pipe_give(sl_pipe_pool *pool, sl_pipe *pipe)
    ssize_t sl_pipe_fill(sl_pipe *pipe, int source, size_t most)
    ssize_t sl_pipe_drain(sl_pipe *pipe, int sink, size_t most, int more)
    ssize_t sl_pipe_read(sl_pipe *pipe, uint8_t *out, size_t most)
    ssize_t sl_pipe_put(sl_pipe_pool *pool, sl_pipe *pipe, const uint8_t *data, size_t length)
    ssize_t sl_pipe_move(sl_pipe *source, sl_pipe *target, size_t most)
    bint sl_pipe_unfit(int error)

cdef extern from "relay.h" nogil:
    enum sl_pump_status:
        SL_PUMP_INTERNAL
        SL_PUMP_DRY
        SL_PUMP_FULL
        SL_PUMP_BUDGET
        SL_PUMP_DONE
        SL_PUMP_SOURCE_RESET
        SL_PUMP_SINK_RESET
    enum sl_way:
        SL_COPYING
        SL_SPLICING
        SL_COPY_ONLY
    struct sl_direction:
        sl_pipe_pool *pool
        sl_pipe *pipe
        uint8_t *pending
        uint32_t pending_from
        uint32_t pending_to
        uint64_t bytes
        uint8_t ended
        uint8_t done
        uint8_t hangup
        uint8_t urgent
        uint8_t last
        uint8_t way
        uint8_t lean

    bint sl_direction_waits(const sl_direction *direction)
    int sl_direction_preload(sl_direction *direction, const uint8_t *data, size_t length)
    sl_pump_status sl_pump(sl_direction *direction, int source, int sink, uint8_t *scratch, size_t scratch_size,
                           size_t budget)
    int sl_direction_unpipe(sl_direction *direction)
    void sl_direction_free(sl_direction *direction)

cdef extern from "segment.h" nogil:
    enum:
        SL_SEGMENT_TUNNELS_AT
        SL_PENDING_LOGS
        SL_PENDING_LOG_ROOM
        SL_LABELLED_MAX
        SL_TUNNELS_MAX
        SL_BUCKETS
        SL_RULE_SLOTS
        SL_RULE_SLOT_OTHER
        SL_RULE_SLOT_NONE
        SL_LABEL_OTHER
        SL_TUNNEL_USER
        SL_TUNNEL_NAME
    enum sl_counter:
        SL_COUNTER_ACCEPTED
        SL_COUNTER_CONNECTIONS_OPEN
        SL_COUNTER_TUNNELS_OPEN
        SL_COUNTER_TUNNELS_TOTAL
        SL_COUNTER_BYTES_UP
        SL_COUNTER_BYTES_DOWN
        SL_COUNTER_DECISIONS_ALLOW
        SL_COUNTER_DECISIONS_DENY
        SL_COUNTER_DECISIONS_AUDIT
        SL_COUNTER_REQUESTS_FAILED
        SL_COUNTER_AUTH_FAILED
        SL_COUNTER_PROTOCOL_ERRORS
        SL_COUNTER_REQUEST_TIMEOUTS
        SL_COUNTER_TUNNELS_RESET
        SL_COUNTER_TUNNELS_IDLED
        SL_COUNTER_DNS_QUERIES
        SL_COUNTER_DNS_FAILURES
        SL_COUNTER_DNS_CACHE_HITS
        SL_COUNTER_DIALS
        SL_COUNTER_LIMITED
        SL_COUNTER_PIPES_IDLE
        SL_COUNTER_PIPES_BUSY
        SL_COUNTER_SPLICES_REFUSED
        SL_COUNTER_SPLICES_BEGUN
        SL_COUNTER_SPLICES_ENDED
        SL_COUNTER_LOG_DROPPED
        SL_COUNTER_UNRAISABLE
        SL_COUNTER_TURNS
        SL_COUNTER_LONGEST_TURN
        SL_COUNTER_HTTP2_CONNECTIONS_OPEN
        SL_COUNTER_HTTP2_CONNECTIONS
        SL_COUNTER_HTTP2_STREAMS_OPEN
        SL_COUNTER_HTTP2_STREAMS
        SL_COUNTER_HTTP2_STALLS
        SL_COUNTER_PARENTS_OPEN
        SL_COUNTER_PARENTS
        SL_COUNTER_PARENTS_FAILED
        SL_COUNTER_COUNT
    enum sl_histogram_name:
        SL_HISTOGRAM_DIAL
        SL_HISTOGRAM_DNS
        SL_HISTOGRAM_TURN
        SL_HISTOGRAM_COUNT
    enum sl_family:
        SL_FAMILY_DECISIONS
        SL_FAMILY_TUNNELS
        SL_FAMILY_TUNNELS_OPEN
        SL_FAMILY_BYTES
        SL_FAMILY_PROTOCOL_ERRORS
        SL_FAMILY_LIMITED
        SL_FAMILY_LOG_DROPPED
        SL_FAMILY_REJUDGED
        SL_FAMILY_HTTP2_ABUSE
        SL_FAMILY_HTTP2_RESETS
        SL_FAMILY_COUNT
    enum sl_protocol:
        SL_PROTOCOL_UNKNOWN
        SL_PROTOCOL_SOCKS5
        SL_PROTOCOL_SOCKS4
        SL_PROTOCOL_HTTP
        SL_PROTOCOL_HTTP2
        SL_PROTOCOL_HBONE
        SL_PROTOCOL_COUNT
    enum sl_direction_name:
        SL_DIRECTION_UP
        SL_DIRECTION_DOWN
        SL_DIRECTION_COUNT
    enum sl_scope:
        SL_SCOPE_OTHER
        SL_SCOPE_TUNNELS
        SL_SCOPE_SOURCE_TUNNELS
        SL_SCOPE_SOURCE_REQUESTS
        SL_SCOPE_SOURCE_DNS
        SL_SCOPE_SOURCE_DIALS
        SL_SCOPE_SOURCE_PROVISIONAL
        SL_SCOPE_DNS
        SL_SCOPE_CREDENTIALS
        SL_SCOPE_DESCRIPTORS
        SL_SCOPE_DRAINING
        SL_SCOPE_SOURCE_LOGINS
        SL_SCOPE_PORTS
        SL_SCOPE_MEMORY
        SL_SCOPE_STREAMS
        SL_SCOPE_COUNT
    enum sl_log_event:
        SL_LOG_DECISION
        SL_LOG_OPEN
        SL_LOG_INTERVAL
        SL_LOG_CLOSE
        SL_LOG_REFUSED
        SL_LOG_EVENT_COUNT
    enum sl_rejudged:
        SL_REJUDGED_ALLOWED
        SL_REJUDGED_KILLED
        SL_REJUDGED_DRAINING
        SL_REJUDGED_KEPT
        SL_REJUDGED_COUNT
    enum sl_h2_abuse:
        SL_H2_ABUSE_RESETS
        SL_H2_ABUSE_CONTINUATION
        SL_H2_ABUSE_PING
        SL_H2_ABUSE_SETTINGS
        SL_H2_ABUSE_EMPTY
        SL_H2_ABUSE_WINDOW
        SL_H2_ABUSE_PRIORITY
        SL_H2_ABUSE_ERRORS
        SL_H2_ABUSE_UNKNOWN
        SL_H2_ABUSE_REFUSED
        SL_H2_ABUSE_HEADERS
        SL_H2_ABUSE_UNREAD
        SL_H2_ABUSE_COUNT
    enum sl_h2_side:
        SL_H2_SIDE_CLIENT
        SL_H2_SIDE_GATEWAY
        SL_H2_SIDE_PARENT
    enum sl_h2_code:
        SL_H2_CODE_OTHER
    enum sl_tunnel_state:
        SL_TUNNEL_FREE
        SL_TUNNEL_OPEN
        SL_TUNNEL_HALF_CLOSED
        SL_TUNNEL_PROVISIONAL
        SL_TUNNEL_REVOKED
        SL_TUNNEL_STATE_COUNT
    enum sl_tunnel_flags:
        SL_TUNNEL_USER_CUT
        SL_TUNNEL_NAME_CUT
        SL_TUNNEL_WOULD_DENY
    struct sl_tunnel:
        uint64_t number
        uint64_t opened_ms
        uint64_t generation
        uint64_t bytes_up
        uint64_t bytes_down
        uint32_t rule
        uint16_t rule_slot
        uint16_t listener
        uint16_t peer_port
        uint16_t port
        uint16_t dialed_port
        uint8_t state
        uint8_t verdict
        uint8_t protocol
        uint8_t phase
        uint8_t reason
        uint8_t flags
        sl_addr peer
        sl_addr dialed
    struct sl_segment:
        uint64_t magic
        uint32_t version
        uint32_t pid
        uint64_t generation
        uint64_t start
        uint64_t tunnels_unlisted
        uint32_t tunnel_capacity
        uint32_t tunnels_listed
        uint64_t counters[24]

    struct sl_pending_log:
        uint64_t used
        char text[SL_PENDING_LOG_ROOM]
    sl_pending_log *sl_segment_log(sl_segment *segment, unsigned level)
    size_t sl_segment_size(uint32_t tunnels)
    int sl_segment_prepare(void *base, size_t size, uint32_t tunnels)
    sl_segment *sl_segment_open(void *base, size_t size, uint32_t pid, uint64_t now)
    void sl_segment_reap(void *base, size_t size)
    uint64_t sl_label_key(sl_family family, unsigned a, unsigned b, unsigned c, unsigned rule_slot)
    uint64_t *sl_segment_labelled(sl_segment *segment, uint64_t key)
    void sl_segment_observe(sl_segment *segment, sl_histogram_name which, uint64_t microseconds)
    sl_tunnel *sl_tunnel_take(sl_segment *segment, uint64_t number)
    void sl_tunnel_edit(sl_tunnel *tunnel)
    void sl_tunnel_done(sl_tunnel *tunnel)
    void sl_tunnel_set_user(sl_tunnel *tunnel, const char *user, size_t length)
    void sl_tunnel_set_name(sl_tunnel *tunnel, const char *name, size_t length)
    void sl_tunnel_bytes(sl_tunnel *tunnel, uint64_t up, uint64_t down)
    void sl_tunnel_release(sl_segment *segment, sl_tunnel *tunnel)
    const char *sl_segment_counter_name(unsigned i)
    const char *sl_segment_counter_help(unsigned i)
    const char *sl_histogram_text(unsigned i)
    const char *sl_histogram_help(unsigned i)
    const char *sl_family_text(unsigned i)
    const char *sl_family_help(unsigned i)
    const char *sl_protocol_text(unsigned i)
    const char *sl_direction_text(unsigned i)
    const char *sl_scope_text(unsigned i)
    const char *sl_log_event_text(unsigned i)
    const char *sl_rejudged_text(unsigned i)
    const char *sl_tunnel_state_text(unsigned i)

cdef extern from "limit_table.h" nogil:
    enum sl_limit:
        SL_LIMIT_TUNNELS
        SL_LIMIT_REQUESTS
        SL_LIMIT_LOOKUPS
        SL_LIMIT_DIALS
        SL_LIMIT_PROVISIONAL
        SL_LIMIT_CONNECTIONS
        SL_LIMIT_WAITING
        SL_LIMIT_COUNT
    struct sl_limits:
        pass

    int sl_limits_attach(sl_limits *limits, void *memory, size_t size, uint32_t own)
    uint64_t sl_limits_source(const sl_limits *limits, const void *name, size_t length)
    uint32_t sl_limits_enter(const sl_limits *limits, uint64_t source, unsigned kind, uint32_t most)
    uint32_t sl_limits_enter_gateway(const sl_limits *limits, unsigned kind, uint32_t most)
    int sl_limits_leave(const sl_limits *limits, uint32_t handle, unsigned kind)
    uint64_t sl_limits_held(const sl_limits *limits, uint64_t source, unsigned kind)
    uint64_t sl_limits_held_by_gateway(const sl_limits *limits, unsigned kind)

cdef extern from "inner.h" nogil:
    enum:
        SL_INNER_MAX
        SL_INNER_TAIL
    enum sl_inner_status:
        SL_INNER_INTERNAL
        SL_INNER_MORE
        SL_INNER_OTHER
        SL_INNER_TLS_NAME
        SL_INNER_TLS_NONE
        SL_INNER_HTTP_NAME
        SL_INNER_HTTP_NONE
        SL_INNER_MALFORMED
        SL_INNER_TOO_LONG
    struct sl_inner:
        char name[256]
        size_t name_length
        sl_addr address
        size_t harmless
        size_t kept
        uint8_t word
        uint8_t ech

    sl_inner_status sl_inner_read(const uint8_t *data, size_t length, sl_inner *out)
    sl_inner_status sl_inner_ended(uint8_t *data, size_t length, sl_inner *out)

cdef extern from "log_budget.h" nogil:
    struct sl_log_budget:
        pass
    int sl_log_budget_take(sl_log_budget *budget, uint64_t source, uint64_t now_ms, uint32_t *suppressed)

cdef extern from "log_line.h" nogil:
    enum:
        SL_LOG_LINE_MOST
    struct sl_log_text:
        const char *bytes
        size_t length
    struct sl_log_clock:
        pass
    struct sl_refused_address:
        sl_addr address
        uint8_t reason
    struct sl_log_line:
        uint64_t unix_ms
        const char *event
        const char *id_prefix
        uint64_t sequence
        uint64_t generation
        unsigned worker
        sl_log_text listener
        const char *protocol
        const sl_addr *peer
        uint16_t peer_port
        const char *namespace_
        const char *account
        const char *identity_source
        sl_log_text user
        sl_log_text name
        const sl_addr *address
        uint16_t port
        const char *verdict
        sl_log_text rule
        uint32_t rule_item
        uint32_t list_line
        const char *phase
        const char *reason
        int would_deny
        sl_log_text inner
        const sl_refused_address *refused
        unsigned refused_count
        uint32_t suppressed
        int is_refused
        sl_log_text detail
        int32_t dns_ms
        int32_t dial_ms
        const sl_addr *source_address
        const char *outcome
        int carried
        uint64_t bytes_up
        uint64_t bytes_down
        uint64_t duration_ms
    size_t sl_log_line_write(char *out, size_t room, sl_log_clock *clock, const sl_log_line *line)
