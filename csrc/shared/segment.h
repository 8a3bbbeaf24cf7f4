/* The shared segment of one worker slot: counters and live tunnels that the supervisor reads without asking. It belongs
 * to the slot, not to the worker: it outlives a killed worker, so counters never go down (DESIGN.md section 3).
 *
 *        0 +-----------------------+
 *          | header, 64 bytes      | magic, version, worker, active generation, geometry
 *       64 +-----------------------+
 *          | u64 counters[]        | gateway-wide scalars
 *     1024 +-----------------------+
 *          | sl_histogram[]        | sum and buckets of each
 *     4096 +-----------------------+
 *          | sl_labelled[8192]     | (key, value), dense, in the order of first use
 *   135168 +-----------------------+
 *          | u16 index[16384]      | open addressing over the keys; the worker's own, rebuilt when it attaches
 *   167936 +-----------------------+
 *          | sl_pending_log[4]     | access log lines that wait for the supervisor, by level, and spans
 * 16978944 +-----------------------+
 *          | u16 index[6012]       | of the times below, by route slot and class; the worker's own, as the other
 * 16991232 +-----------------------+
 *          | sl_route_times[6012]  | how long requests took, by route and class of status, in the order of first use
 * 18100480 +-----------------------+
 *          | sl_tunnel[capacity]   | 320 bytes each; live tunnels, and the free list through the others
 *          +-----------------------+ sl_segment_size(capacity)
 *
 * It is a sparse memfd, made and prepared by the supervisor. The worker is the only writer while it lives: aligned 64-bit
 * stores, so readers need no lock; a tunnel's texts are under a sequence lock of its own. The supervisor writes between two
 * workers (sl_segment_reap), and how many bytes of lines it has taken; it trusts nothing of what it reads: a worker may have been taken over.
 */
#ifndef SLUICE_SEGMENT_H
#define SLUICE_SEGMENT_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/addr.h"
#include "base/contract.h"
#include "shared/labels.h"
#include "shared/pending_log.h"

#define SL_SEGMENT_MAGIC 0x4745534349554c53ull
enum {
    SL_SEGMENT_VERSION = 10,
    SL_SEGMENT_COUNTERS_AT = 64,
    SL_SEGMENT_HISTOGRAMS_AT = 1024,
    SL_SEGMENT_LABELLED_AT = 4096,
    SL_SEGMENT_INDEX_AT = 135168,
    SL_SEGMENT_LOGS_AT = 167936,
    SL_SEGMENT_ROUTE_INDEX_AT = 16978944,
    SL_SEGMENT_ROUTES_AT = 16991232,
    SL_SEGMENT_TUNNELS_AT = 18100480,
    SL_LABELLED_MAX = 8192,
    SL_LABELLED_INDEX = 16384,
    SL_TUNNELS_MAX = 1048576 /* records in one segment */
};

/* X(NAME, "name", "metric", "help"). Gauges end in `_open`; turn_longest_us is a maximum. `metric` is its name outside
 * without the prefix; "" for those that a labelled counter tells better. What ends in `_us` is shown in seconds. */
#define SL_COUNTERS(X)                                                                                                 \
    X(ACCEPTED, "connections_accepted", "connections_accepted_total", "Connections accepted from clients")             \
    X(CONNECTIONS_OPEN, "connections_open", "connections_open", "Client connections open now")                         \
    X(TUNNELS_OPEN, "tunnels_open", "", "Tunnels open now")                                                            \
    X(TUNNELS_TOTAL, "tunnels_total", "", "Tunnels that were opened")                                                  \
    X(BYTES_UP, "bytes_up", "", "Bytes carried from clients to the outside")                                           \
    X(BYTES_DOWN, "bytes_down", "", "Bytes carried from the outside to clients")                                       \
    X(DECISIONS_ALLOW, "decisions_allow", "", "Requests that policy allowed")                                          \
    X(DECISIONS_DENY, "decisions_deny", "", "Requests that policy denied")                                             \
    X(DECISIONS_AUDIT, "decisions_audit", "", "Requests that passed in audit mode and would be denied")                \
    X(REQUESTS_FAILED, "requests_failed", "requests_failed_total",                                                     \
      "Requests that were allowed and could not be connected")                                                         \
    X(AUTH_FAILED, "auth_failed", "auth_failed_total", "Requests with missing or wrong credentials")                   \
    X(PROTOCOL_ERRORS, "protocol_errors", "", "Connections closed for malformed bytes")                                \
    X(REQUEST_TIMEOUTS, "request_timeouts", "request_timeouts_total",                                                  \
      "Connections closed for a request that took too long")                                                           \
    X(TUNNELS_RESET, "tunnels_reset", "", "Tunnels ended by a reset")                                                  \
    X(TUNNELS_IDLED, "tunnels_idle_timeout", "", "Tunnels ended for idleness or a half-close that lasted")             \
    X(DNS_QUERIES, "dns_queries", "dns_queries_total", "Names asked of a DNS server")                                  \
    X(DNS_FAILURES, "dns_failures", "dns_failures_total", "Names that did not resolve")                                \
    X(DNS_CACHE_HITS, "dns_cache_hits", "dns_cache_hits_total", "Names answered from the cache")                       \
    X(DIALS, "dials", "dials_total", "Connection attempts to the outside")                                             \
    X(LIMITED, "limited", "", "Requests refused for a limit")                                                          \
    /* struct sl_pipe_counts, in its order */                                                                          \
    X(PIPES_IDLE, "idle_pipes_open", "idle_pipes_open", "Empty pipes kept for the next bulk transfer")                 \
    X(PIPES_BUSY, "busy_pipes_open", "busy_pipes_open", "Pipes with bytes in them that their sink did not take yet")   \
    X(SPLICES_REFUSED, "splices_refused", "splices_refused_total",                                                     \
      "Bulk that was copied: no pipe, or sockets not for splicing")                                                    \
    X(SPLICES_BEGUN, "splices_begun", "splices_begun_total", "Changes of a direction from copying to splicing")        \
    X(SPLICES_ENDED, "splices_ended", "splices_ended_total",                                                           \
      "Changes back to copying, and ends of a spliced direction")                                                      \
    X(LOG_DROPPED, "log_dropped", "", "Access log lines dropped")                                                      \
    X(UNRAISABLE, "internal_errors", "internal_errors_total",                                                          \
      "Errors of our own; each closed the connection being served")                                                    \
    X(TURNS, "turns", "worker_turns_total", "Turns of the event loop")                                                 \
    X(LONGEST_TURN, "turn_longest_us", "worker_turn_longest_seconds", "Longest turn of any worker")                    \
    X(HTTP2_CONNECTIONS_OPEN, "http2_connections_open", "http2_connections_open",                                      \
      "HTTP/2 client connections open now")                                                                            \
    X(HTTP2_CONNECTIONS, "http2_connections", "http2_connections_total", "HTTP/2 client connections that were opened") \
    X(HTTP2_STREAMS_OPEN, "http2_streams_open", "http2_streams_open", "HTTP/2 streams open now")                       \
    X(HTTP2_STREAMS, "http2_streams", "http2_streams_total", "HTTP/2 streams that were opened")                        \
    X(HTTP2_STALLS, "http2_stalls", "http2_stalls_total", "Times that bytes waited for a peer to open its window")     \
    X(PARENTS_OPEN, "parent_connections_open", "parent_connections_open",                                              \
      "HTTP/2 connections to parent gateways open now")                                                                \
    X(PARENTS, "parent_connections", "parent_connections_total",                                                       \
      "HTTP/2 connections to parent gateways that were opened")                                                        \
    X(PARENTS_FAILED, "parent_connections_failed", "parent_connections_failed_total",                                  \
      "HTTP/2 connections to parent gateways that failed or were not made")

#define SL_ENUM_COUNTER(name, text, metric, help) SL_COUNTER_##name,
enum sl_counter { SL_COUNTERS(SL_ENUM_COUNTER) SL_COUNTER_COUNT };

/* X(NAME, "name", "help"). Bucket i counts what took at most 100 us * 2^i, the last one everything longer. */
#define SL_HISTOGRAMS(X)                                                                                   \
    X(DIAL, "dial_seconds", "Time from the first connection attempt of a request to its connected socket") \
    X(DNS, "dns_seconds", "Time a name took to resolve, from the cache or from a server")                  \
    X(TURN, "worker_turn_seconds", "Time that one turn of a worker's event loop took")                     \
    X(HANDSHAKE_CLIENT, "tls_handshake_seconds side:client", "Time that a TLS handshake took")             \
    X(HANDSHAKE_PARENT, "tls_handshake_seconds side:parent", "Time that a TLS handshake took")             \
    X(HANDSHAKE_ORIGIN, "tls_handshake_seconds side:origin", "Time that a TLS handshake took")             \
    X(OPENING, "tunnel_opening_seconds", "Time from the request of a tunnel to its success")

enum { SL_BUCKET_FIRST_US = 100, SL_BUCKETS = 20 }; /* 100 us to 26 s, and above */
#define SL_ENUM_HISTOGRAM(name, text, help) SL_HISTOGRAM_##name,
enum sl_histogram_name { SL_HISTOGRAMS(SL_ENUM_HISTOGRAM) SL_HISTOGRAM_COUNT };

struct sl_histogram {
    uint64_t sum_us;
    uint64_t count;
    uint64_t buckets[SL_BUCKETS]; /* not cumulative */
};

/* Labelled counters: X(NAME, "name", "labels", "help"). The labels are those of the key's a, b and c, in this order, each
 * with the table of its values (gateway/tables.pyx); `rule` is the key's rule slot, `route` its route slot. tunnels_open and
 * upstream_connections are gauges. */
#define SL_FAMILIES(X)                                                                                               \
    X(DECISIONS, "decisions_total", "verdict:verdicts phase:phases rule reason:reasons",                             \
      "Decisions taken, by the rule that decided")                                                                   \
    X(TUNNELS, "tunnels_total", "protocol:protocols outcome:outcomes",                                               \
      "Tunnels that ended and requests that failed, by outcome")                                                     \
    X(TUNNELS_OPEN, "tunnels_open", "protocol:protocols", "Tunnels open now")                                        \
    X(BYTES, "bytes_total", "direction:directions rule", "Bytes carried, by the rule that admitted the tunnel")      \
    X(PROTOCOL_ERRORS, "protocol_errors_total", "protocol:protocols reason:outcomes",                                \
      "Requests that broke their protocol, or did not come in time")                                                 \
    X(LIMITED, "limited_total", "scope:scopes", "Requests refused for a limit")                                      \
    X(LOG_DROPPED, "log_dropped_total", "event:log_events", "Access log lines dropped")                              \
    X(REJUDGED, "rejudged_total", "result:rejudged", "Live tunnels judged again after a reload")                     \
    X(HTTP2_ABUSE, "http2_abuse_total", "reason:h2_abuses", "HTTP/2 connections ended for asking too much")          \
    X(HTTP2_RESETS, "http2_resets_total", "side:h2_sides code:h2_codes", "HTTP/2 streams that were reset")           \
    X(TLS_HANDSHAKES, "tls_handshakes_total", "side:tls_sides result:tls_results",                                   \
      "TLS handshakes that were done (full, resumed), and those that failed, by reason")                             \
    X(CREDENTIALS_REFUSED, "credentials_refused_total", "reason:reasons", "Passwords and tokens that were refused")  \
    X(HTTP_REQUESTS, "http_requests_total", "route rule method:methods class:status_classes",                        \
      "HTTP requests that were judged, by the route they took, the rule that decided, and the status of the answer") \
    X(HTTP_RETRIES, "http_retries_total", "route result:retry_results", "Further tries of HTTP requests")            \
    X(HTTP_MIRRORED, "http_mirrored_total", "result:mirror_results", "Copies of HTTP requests to mirrors")           \
    X(UPSTREAM_CONNECTIONS, "upstream_connections", "state:upstream_states",                                         \
      "Connections to origins that are kept, and requests that wait for one")                                        \
    X(SPANS, "spans_total", "result:span_results", "Spans of traces, by what became of them")

#define SL_ENUM_FAMILY(name, text, labels, help) SL_FAMILY_##name,
enum sl_family { SL_FAMILIES(SL_ENUM_FAMILY) SL_FAMILY_COUNT };

/* Rule slots (sl_rule.slot): 1 to SL_RULE_SLOTS are named rules, 0 is `other`. */
enum {
    SL_RULE_SLOTS = 1000,
    SL_RULE_SLOT_OTHER = 0,
    SL_RULE_SLOT_NONE = 0xffff /* no rule: a default, or the guard */
};

/* Key of a labelled counter, never 0:
 *
 *    63      56 55      48 47      40 39      32 31              16 15               0
 *   +----------+----------+----------+----------+------------------+------------------+
 *   | family+1 |    a     |    b     |    c     |   rule slot      | route slot, or 0 |
 *   +----------+----------+----------+----------+------------------+------------------+
 *
 * SL_LABEL_OTHER in all of a, b and c, and the slots `other`, is the family's overflow entry. A route counts by the slot
 * of the rule that it comes from; families without the label `route` have 0. Families with it get new entries as long as
 * half of the table is free: routes times methods are many, and leave room for the others. */
enum { SL_LABEL_OTHER = 0xff };

static inline uint64_t sl_label_key(enum sl_family family, unsigned a, unsigned b, unsigned c, unsigned rule_slot)
{
    return ((uint64_t)family + 1) << 56 | (uint64_t)(a & 0xff) << 48 | (uint64_t)(b & 0xff) << 40 |
           (uint64_t)(c & 0xff) << 32 | (uint64_t)(rule_slot & 0xffff) << 16;
}

static inline uint64_t sl_route_key(enum sl_family family, unsigned a, unsigned b, unsigned rule_slot,
                                    unsigned route_slot)
{
    return sl_label_key(family, a, b, 0, rule_slot) | (route_slot & 0xffff);
}

struct sl_labelled {
    uint64_t key;
    uint64_t value;
};

/* Requests of one route that had an answer of one class. */
enum { SL_ROUTE_TIMES_MAX = (SL_RULE_SLOTS + 2) * SL_STATUS_CLASS_COUNT };
struct sl_route_times {
    uint64_t key; /* SL_ROUTE_TIMES_KEY | route slot << 8 | sl_status_class; 0 is never used */
    struct sl_histogram times;
};
#define SL_ROUTE_TIMES_KEY (1ull << 63)

enum { SL_TUNNEL_USER = 32, SL_TUNNEL_NAME = 120, SL_TUNNEL_IDENTITY = 63 };
enum sl_tunnel_flags {
    SL_TUNNEL_USER_CUT = 1,
    SL_TUNNEL_NAME_CUT = 2,
    SL_TUNNEL_WOULD_DENY = 4,
    SL_TUNNEL_IDENTITY_CUT = 8,
    SL_TUNNEL_TOKEN = 16,     /* `user` and `identity` are those of a token */
    SL_TUNNEL_FORWARDED = 32, /* `identity` was forwarded by a peer that may speak for others */
    SL_TUNNEL_WORKLOAD = 64,  /* `identity` is that of the pod that has the address */
};

/* One live tunnel, 320 bytes. bytes_up and bytes_down are stored at any time; everything else only between
 * sl_tunnel_edit() and sl_tunnel_done(), while `sequence_lock` is odd. Its id is "<slot>-<header's start, hex>-<number>". */
struct sl_tunnel {
    uint64_t sequence_lock;
    uint64_t number;     /* of the tunnel, in its worker's life; 0 is never used */
    uint64_t opened_ms;  /* CLOCK_MONOTONIC: the wall clock may be set while the tunnel lives */
    uint64_t generation; /* the one that `rule` is an index of */
    uint64_t bytes_up;
    uint64_t bytes_down;
    uint32_t rule;      /* RULES index of the decision; SL_NO_RULE. In a free record: the next free one + 1 */
    uint16_t rule_slot; /* or SL_RULE_SLOT_NONE */
    uint16_t listener;
    uint16_t peer_port;
    uint16_t port; /* asked for */
    uint16_t dialed_port;
    uint8_t state;       /* sl_tunnel_state */
    uint8_t verdict;     /* sl_verdict */
    uint8_t protocol;    /* sl_protocol */
    uint8_t phase;       /* sl_phase */
    uint8_t reason;      /* sl_reason */
    uint8_t flags;       /* sl_tunnel_flags */
    uint8_t user_length; /* 0: none */
    uint8_t name_length; /* 0: an address was asked for, the one dialed */
    struct sl_addr peer;
    struct sl_addr dialed;
    char user[SL_TUNNEL_USER];         /* verified; raw bytes, to be escaped by the reader */
    char name[SL_TUNNEL_NAME];         /* asked for, canonical; its first bytes when SL_TUNNEL_NAME_CUT */
    uint8_t identity_length;           /* 0: it follows from user and address, or there is none */
    char identity[SL_TUNNEL_IDENTITY]; /* shown by a certificate, a token or a peer that may speak for others, or the
                                        * pod's that has the address: namespace/account, else a URI or a role */
};

/* Levels of lines: interval, decision, tunnel; and spans, which are lines with the member `span`. */
enum { SL_PENDING_LOGS = 4, SL_PENDING_SPANS = 3 };

struct sl_segment {
    uint64_t magic;
    uint32_t version;
    uint32_t pid;        /* of the worker; 0 between two of them */
    uint64_t generation; /* active in the worker */
    uint64_t start;      /* of the worker, Unix ms; grows with each worker, so that tunnel ids are never used twice */
    uint64_t tunnels_unlisted; /* tunnels that found no record */
    uint32_t tunnel_capacity;  /* records, as prepared */
    uint32_t tunnels_high;     /* records ever used by this worker; live ones are among them */
    uint32_t tunnels_free;     /* head of the free list: index + 1 */
    uint32_t tunnels_listed;   /* live records */
    uint32_t labelled_used;    /* entries; the first SL_FAMILY_COUNT are the overflow entries */
    uint32_t routes_used;      /* entries of sl_route_times */
    uint64_t counters[SL_COUNTER_COUNT];
};

/* The lines of a level below SL_PENDING_LOGS that wait. */
static inline struct sl_pending_log *sl_segment_log(struct sl_segment *segment, unsigned level)
{
    return (struct sl_pending_log *)(void *)((char *)segment + SL_SEGMENT_LOGS_AT) + level;
}

/* Bytes of a segment with so many tunnel records. */
size_t sl_segment_size(uint32_t tunnels);
/* Prepares zeroed memory of `size` bytes, as the supervisor does. Returns 1, or 0 when `size` is too small. */
int sl_segment_prepare(void *base, size_t size, uint32_t tunnels);
/* A worker takes its slot's segment: counters are kept, gauges and the tunnel table emptied, the index rebuilt.
 * `now` in Unix ms. Returns the segment, or NULL when it holds something else or does not fit `size`. */
struct sl_segment *sl_segment_open(void *base, size_t size, uint32_t pid, uint64_t now);
/* After the slot's worker died, and its left-over tunnels were read: pid 0, gauges and tunnels gone, counters kept. */
void sl_segment_reap(void *base, size_t size);

/* The counter of a key, made when it is new. The pointer stays good as long as the mapping, so a tunnel may keep those of
 * its bytes. Never NULL: when the table is full, or the key's family is unknown, it is an overflow entry. */
uint64_t *sl_segment_labelled(struct sl_segment *segment, uint64_t key);
/* One more observation. */
void sl_segment_observe(struct sl_segment *segment, enum sl_histogram_name which, uint64_t microseconds);

/* The same for a request of a route; SL_RULE_SLOT_NONE: of no route. */
void sl_segment_observe_route(struct sl_segment *segment, unsigned route_slot, enum sl_status_class class,
                              uint64_t microseconds);
/* The method of a request; a class by its status. */
enum sl_method sl_method_of(const char *text, size_t length);
static inline enum sl_status_class sl_status_class_of(unsigned status)
{
    return status >= 100 && status < 600 ? (enum sl_status_class)(status / 100) : SL_STATUS_NONE;
}

/* A record for a new tunnel, in state OPEN and being edited: fill it, then sl_tunnel_done(). NULL: the table is full (the
 * tunnel lives on unlisted, counted); all functions below take a NULL. */
struct sl_tunnel *sl_tunnel_take(struct sl_segment *segment, uint64_t number);
void sl_tunnel_edit(struct sl_tunnel *tunnel);
void sl_tunnel_done(struct sl_tunnel *tunnel);
/* Texts, cut to what fits. Only while being edited. NULL or length 0: none. */
void sl_tunnel_set_user(struct sl_tunnel *tunnel, const char *user, size_t length);
void sl_tunnel_set_name(struct sl_tunnel *tunnel, const char *name, size_t length);
void sl_tunnel_set_identity(struct sl_tunnel *tunnel, const char *identity, size_t length);
/* Live figures; at any time. */
static inline void sl_tunnel_bytes(struct sl_tunnel *tunnel, uint64_t up, uint64_t down)
{
    if (!tunnel) return;
    __atomic_store_n(&tunnel->bytes_up, up, __ATOMIC_RELAXED);
    __atomic_store_n(&tunnel->bytes_down, down, __ATOMIC_RELAXED);
}
/* The tunnel has ended, and its close line is written. */
void sl_tunnel_release(struct sl_segment *segment, struct sl_tunnel *tunnel);

/* A field of sl_segment or sl_tunnel, for readers that are not C. */
struct sl_field_place {
    const char *name; /* NULL past the end */
    size_t at, size;  /* bytes */
};
/* Those of the header, of which the counters are none, and those of a record, in their order. */
struct sl_field_place sl_segment_field(unsigned i);
struct sl_field_place sl_tunnel_field(unsigned i);

/* Name, metric or labels, and help; NULL past the end. */
const char *sl_segment_counter_name(unsigned i);
const char *sl_segment_counter_metric(unsigned i);
const char *sl_segment_counter_help(unsigned i);
const char *sl_histogram_text(unsigned i);
const char *sl_histogram_help(unsigned i);
const char *sl_family_text(unsigned i);
const char *sl_family_labels(unsigned i);
const char *sl_family_help(unsigned i);
/* Label values; a number out of range reads as "other". */
const char *sl_protocol_text(unsigned i);
const char *sl_direction_text(unsigned i);
const char *sl_scope_text(unsigned i);
const char *sl_log_event_text(unsigned i);
const char *sl_rejudged_text(unsigned i);
const char *sl_h2_abuse_text(unsigned i);
const char *sl_h2_side_text(unsigned i);
const char *sl_h2_code_text(unsigned i);
const char *sl_tls_side_text(unsigned i);
const char *sl_method_text(unsigned i);
const char *sl_status_class_text(unsigned i);
const char *sl_retry_result_text(unsigned i);
const char *sl_mirror_result_text(unsigned i);
const char *sl_upstream_state_text(unsigned i);
const char *sl_span_result_text(unsigned i);
const char *sl_tunnel_state_text(unsigned i);

#endif
