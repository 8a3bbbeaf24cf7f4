# csrc/shared/segment.h, as Cython sees it.
from libc.stdint cimport uint16_t, uint32_t, uint64_t, uint8_t
from gateway.c.addr cimport sl_addr

cdef extern from "shared/segment.h" nogil:
    const uint64_t SL_SEGMENT_MAGIC
    enum:
        SL_SEGMENT_VERSION
        SL_SEGMENT_COUNTERS_AT
        SL_SEGMENT_HISTOGRAMS_AT
        SL_SEGMENT_LABELLED_AT
        SL_SEGMENT_LOGS_AT
        SL_SEGMENT_ROUTES_AT
        SL_SEGMENT_TUNNELS_AT
        SL_ROUTE_TIMES_MAX
        SL_PENDING_LOGS
        SL_PENDING_SPANS
        SL_LABELLED_MAX
        SL_TUNNELS_MAX
        SL_BUCKET_FIRST_US
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
        SL_HISTOGRAM_HANDSHAKE_CLIENT
        SL_HISTOGRAM_HANDSHAKE_PARENT
        SL_HISTOGRAM_HANDSHAKE_ORIGIN
        SL_HISTOGRAM_OPENING
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
        SL_FAMILY_TLS_HANDSHAKES
        SL_FAMILY_CREDENTIALS_REFUSED
        SL_FAMILY_HTTP_REQUESTS
        SL_FAMILY_HTTP_RETRIES
        SL_FAMILY_HTTP_MIRRORED
        SL_FAMILY_UPSTREAM_CONNECTIONS
        SL_FAMILY_SPANS
        SL_FAMILY_COUNT
    enum sl_protocol:
        SL_PROTOCOL_UNKNOWN
        SL_PROTOCOL_SOCKS5
        SL_PROTOCOL_SOCKS4
        SL_PROTOCOL_HTTP
        SL_PROTOCOL_HTTP2
        SL_PROTOCOL_HBONE
        SL_PROTOCOL_TLS
        SL_PROTOCOL_TCP
        SL_PROTOCOL_COUNT
    enum sl_direction_name:
        SL_DIRECTION_UP
        SL_DIRECTION_DOWN
        SL_DIRECTION_COUNT
    enum sl_scope:
        SL_SCOPE_OTHER
        SL_SCOPE_RATE
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
        SL_SCOPE_HANDSHAKES
        SL_SCOPE_COUNT
    enum sl_log_event:
        SL_LOG_DECISION
        SL_LOG_OPEN
        SL_LOG_INTERVAL
        SL_LOG_CLOSE
        SL_LOG_REFUSED
        SL_LOG_REQUEST
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
        SL_H2_SIDE_COUNT
    enum sl_tls_side:
        SL_TLS_SIDE_CLIENT
        SL_TLS_SIDE_PARENT
        SL_TLS_SIDE_ORIGIN
        SL_TLS_SIDE_COUNT
    enum sl_h2_code:
        SL_H2_CODE_OTHER
        SL_H2_CODE_COUNT
    enum sl_method:
        SL_METHOD_OTHER
        SL_METHOD_COUNT
    enum sl_status_class:
        SL_STATUS_NONE
        SL_STATUS_CLASS_COUNT
    enum sl_retry_result:
        SL_RETRY_SUCCESS
        SL_RETRY_FAILURE
        SL_RETRY_FREE
        SL_RETRY_LIMITED
        SL_RETRY_RESULT_COUNT
    enum sl_mirror_result:
        SL_MIRROR_SENT
        SL_MIRROR_DROPPED
        SL_MIRROR_FAILED
        SL_MIRROR_DENIED
        SL_MIRROR_RESULT_COUNT
    enum sl_upstream_state:
        SL_UPSTREAM_IDLE
        SL_UPSTREAM_ACTIVE
        SL_UPSTREAM_PENDING
        SL_UPSTREAM_STATE_COUNT
    enum sl_span_result:
        SL_SPAN_EXPORTED
        SL_SPAN_REJECTED
        SL_SPAN_FAILED
        SL_SPAN_DROPPED
        SL_SPAN_RESULT_COUNT
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
        SL_TUNNEL_TOKEN
        SL_TUNNEL_FORWARDED
        SL_TUNNEL_WORKLOAD
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
    struct sl_route_times:
        uint64_t key
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
        pass
    char *sl_pending_log_room(sl_pending_log *log)
    void sl_pending_log_add(sl_pending_log *log, size_t length)
    size_t sl_pending_log_take(sl_pending_log *log, char *into, size_t size)
    size_t sl_pending_log_waits(const sl_pending_log *log)
    sl_pending_log *sl_segment_log(sl_segment *segment, unsigned level)
    size_t sl_segment_size(uint32_t tunnels)
    int sl_segment_prepare(void *base, size_t size, uint32_t tunnels)
    sl_segment *sl_segment_open(void *base, size_t size, uint32_t pid, uint64_t now)
    void sl_segment_reap(void *base, size_t size)
    uint64_t sl_label_key(sl_family family, unsigned a, unsigned b, unsigned c, unsigned rule_slot)
    uint64_t sl_route_key(sl_family family, unsigned a, unsigned b, unsigned rule_slot, unsigned route_slot)
    void sl_segment_observe_route(sl_segment *segment, unsigned route_slot, sl_status_class status_class,
                                  uint64_t microseconds)
    sl_method sl_method_of(const char *text, size_t length)
    sl_status_class sl_status_class_of(unsigned status)
    uint64_t *sl_segment_labelled(sl_segment *segment, uint64_t key)
    void sl_segment_observe(sl_segment *segment, sl_histogram_name which, uint64_t microseconds)
    sl_tunnel *sl_tunnel_take(sl_segment *segment, uint64_t number)
    void sl_tunnel_edit(sl_tunnel *tunnel)
    void sl_tunnel_done(sl_tunnel *tunnel)
    void sl_tunnel_set_user(sl_tunnel *tunnel, const char *user, size_t length)
    void sl_tunnel_set_identity(sl_tunnel *tunnel, const char *identity, size_t length)
    void sl_tunnel_set_name(sl_tunnel *tunnel, const char *name, size_t length)
    void sl_tunnel_bytes(sl_tunnel *tunnel, uint64_t up, uint64_t down)
    void sl_tunnel_release(sl_segment *segment, sl_tunnel *tunnel)
    const char *sl_segment_counter_name(unsigned i)
    const char *sl_segment_counter_metric(unsigned i)
    const char *sl_segment_counter_help(unsigned i)
    const char *sl_histogram_text(unsigned i)
    const char *sl_histogram_help(unsigned i)
    const char *sl_family_text(unsigned i)
    const char *sl_family_labels(unsigned i)
    const char *sl_family_help(unsigned i)
    const char *sl_protocol_text(unsigned i)
    const char *sl_direction_text(unsigned i)
    const char *sl_scope_text(unsigned i)
    const char *sl_log_event_text(unsigned i)
    const char *sl_rejudged_text(unsigned i)
    const char *sl_h2_abuse_text(unsigned i)
    const char *sl_h2_side_text(unsigned i)
    const char *sl_h2_code_text(unsigned i)
    const char *sl_tls_side_text(unsigned i)
    const char *sl_method_text(unsigned i)
    const char *sl_status_class_text(unsigned i)
    const char *sl_retry_result_text(unsigned i)
    const char *sl_mirror_result_text(unsigned i)
    const char *sl_upstream_state_text(unsigned i)
    const char *sl_span_result_text(unsigned i)
    const char *sl_tunnel_state_text(unsigned i)
    struct sl_field_place:
        const char *name
        size_t at
        size_t size
    sl_field_place sl_segment_field(unsigned i)
    sl_field_place sl_tunnel_field(unsigned i)
