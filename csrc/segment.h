/* The shared segment of one worker slot: counters that the supervisor reads without asking. It belongs to the slot,
 * not to the worker: it outlives a killed worker, so counters never go down (DESIGN.md section 3).
 *
 *   +--------------------+ 0
 *   | sl_segment_header  | magic, version, worker pid, policy generation in force
 *   +--------------------+ 64
 *   | u64 counters[...]  | one writer (the worker), aligned 64-bit stores
 *   +--------------------+ 64 + 8 * SL_COUNTER_COUNT
 *
 * Gauges (name ends in `_open`) are rebuilt to zero by the supervisor when it reaps the slot's worker.
 */
#ifndef SLUICE_SEGMENT_H
#define SLUICE_SEGMENT_H

#include <stdint.h>

#define SL_SEGMENT_MAGIC 0x4745534349554c53ull
enum { SL_SEGMENT_VERSION = 1, SL_SEGMENT_SIZE = 4096 };

/* X(NAME, "name", "help") */
#define SL_COUNTERS(X) \
    X(ACCEPTED, "connections_accepted", "Connections accepted from clients")                          \
    X(CONNECTIONS_OPEN, "connections_open", "Client connections open now")                            \
    X(TUNNELS_OPEN, "tunnels_open", "Tunnels open now")                                               \
    X(TUNNELS_TOTAL, "tunnels_total", "Tunnels that were opened")                                     \
    X(BYTES_UP, "bytes_up", "Bytes carried from clients to the outside")                              \
    X(BYTES_DOWN, "bytes_down", "Bytes carried from the outside to clients")                          \
    X(DECISIONS_ALLOW, "decisions_allow", "Requests that policy allowed")                             \
    X(DECISIONS_DENY, "decisions_deny", "Requests that policy denied")                                \
    X(DECISIONS_AUDIT, "decisions_audit", "Requests that passed in audit mode and would be denied")   \
    X(REQUESTS_FAILED, "requests_failed", "Requests that were allowed and could not be connected")    \
    X(AUTH_FAILED, "auth_failed", "Requests with missing or wrong credentials")                       \
    X(PROTOCOL_ERRORS, "protocol_errors", "Connections closed for malformed bytes")                   \
    X(REQUEST_TIMEOUTS, "request_timeouts", "Connections closed for a request that took too long")    \
    X(TUNNELS_RESET, "tunnels_reset", "Tunnels ended by a reset")                                     \
    X(TUNNELS_IDLED, "tunnels_idle_timeout", "Tunnels ended for idleness or a half-close that lasted")\
    X(DNS_QUERIES, "dns_queries", "Names asked of a DNS server")                                      \
    X(DNS_FAILURES, "dns_failures", "Names that did not resolve")                                     \
    X(DIALS, "dials", "Connection attempts to the outside")                                           \
    X(LIMITED, "limited", "Requests refused for a limit")                                             \
    X(LOG_DROPPED, "log_dropped", "Access log lines dropped")                                         \
    X(UNRAISABLE, "internal_errors", "Errors of our own; each closed the connection being served")    \
    X(TURNS, "turns", "Turns of the event loop")                                                      \
    X(LONGEST_TURN, "turn_longest_us", "Longest turn of the event loop, microseconds")

#define SL_ENUM_COUNTER(name, text, help) SL_COUNTER_##name,
enum sl_counter { SL_COUNTERS(SL_ENUM_COUNTER) SL_COUNTER_COUNT };

struct sl_segment {
    uint64_t magic;
    uint32_t version;
    uint32_t pid;
    uint64_t generation;
    uint64_t reserved[5];
    uint64_t counters[SL_COUNTER_COUNT];
};

/* Prepares a zeroed segment, or accepts a prepared one. Returns 1, or 0 when it holds something else. */
int sl_segment_attach(struct sl_segment *segment, uint32_t pid);
/* After the slot's worker died: pid 0, gauges zero, counters kept. */
void sl_segment_reap(struct sl_segment *segment);
/* Name and help of counter i; NULL past the end. */
const char *sl_segment_counter_name(unsigned i);
const char *sl_segment_counter_help(unsigned i);

#endif
