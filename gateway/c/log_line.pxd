# csrc/bytes/log_line.h, as Cython sees it.
from libc.stdint cimport int32_t, uint16_t, uint32_t, uint64_t, uint8_t
from gateway.c.addr cimport sl_addr
from gateway.c.trace_context cimport SL_SPAN_ID

cdef extern from "bytes/log_line.h" nogil:
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
    struct sl_log_tls:
        const char *version
        const char *cipher
        const char *group
        const char *alpn
        sl_log_text sni
        sl_log_text peer
        const char *failure
    struct sl_log_request:
        sl_log_text method
        sl_log_text path
        sl_log_text query
        sl_log_text route
        sl_log_text backend
        int has_query
        unsigned status
        unsigned tries
        unsigned mirrored
        int32_t first_byte_ms
        int downgraded
    struct sl_log_try:
        uint8_t span_id[SL_SPAN_ID]
        uint8_t reused
        uint16_t port
        uint16_t status
        sl_addr address
        int32_t dns_ms
        int32_t dial_ms
        int32_t tls_ms
        int32_t first_byte_ms
        uint64_t start_us
        uint64_t end_us
        const char *outcome
    struct sl_log_span:
        const uint8_t *parent
        uint64_t start_us
        uint64_t end_us
        int secure
        int32_t tls_ms
        const sl_log_try *tries
        unsigned try_count
    struct sl_log_trace:
        const uint8_t *trace_id
        const uint8_t *span_id
        const sl_log_span *span
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
        sl_log_text identity
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
        sl_log_text baggage
        int32_t dns_ms
        int32_t dial_ms
        const sl_addr *source_address
        const sl_log_tls *client_tls
        const sl_log_tls *upstream_tls
        const char *outcome
        const sl_log_request *request
        const sl_log_trace *trace
        int carried
        uint64_t bytes_up
        uint64_t bytes_down
        uint64_t duration_ms
    size_t sl_log_line_write(char *out, size_t room, sl_log_clock *clock, const sl_log_line *line)
