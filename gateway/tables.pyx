"""The tables that both halves share, as C has them: words of numbers, metrics with their help, the layout of a segment.

csrc/base/contract.h, csrc/shared/segment.h and csrc/bytes/addr.c say each once. Nothing in Python repeats a table; what
only the supervisor counts or says has its place there.
"""

from gateway.c.addr cimport (
    SL_ADDR_TEXT, sl_addr_format, sl_guard_block, sl_guard_reason_liftable, sl_prefix, sl_prefix_is_nat64,
)
from gateway.c.contract cimport (
    SL_ECH_COUNT, SL_FD_ACTIVE, SL_FD_CHANNEL, SL_FD_LIMITS, SL_FD_LISTENERS, SL_FD_LOG, SL_FD_SEGMENT,
    SL_INNER_MODE_COUNT, SL_INNER_PROTOCOL_COUNT, SL_LOGIN_COUNT, SL_OUTCOME_COUNT, SL_PHASE_COUNT,
    SL_REASON_ANSWER, SL_REASON_COUNT, SL_REASON_MEANING, SL_REASON_PHASES, SL_REASON_TIER, SL_REVOKE_COUNT,
    SL_TIER_COUNT, SL_TLS_RESULT_COUNT, SL_VERDICT_COUNT, sl_ech_text, sl_inner_mode_text, sl_inner_protocol_text,
    sl_login_text, sl_on_revoke_text, sl_outcome_text, sl_phase_text, sl_reason_column, sl_reason_text, sl_tier_text,
    sl_tls_result_text, sl_verdict_text,
)
from gateway.c.limit_table cimport (
    SL_LIMITS_COLUMN_SIZE, SL_LIMITS_COLUMNS_AT, SL_LIMITS_MAGIC, SL_LIMITS_VERSION,
)
from gateway.c.rate_table cimport SL_RATES_SIZE
from gateway.c.segment cimport (
    SL_BUCKETS, SL_BUCKET_FIRST_US, SL_COUNTER_COUNT, SL_DIRECTION_COUNT, SL_FAMILY_COUNT, SL_H2_ABUSE_COUNT,
    SL_H2_CODE_COUNT, SL_H2_SIDE_COUNT, SL_HISTOGRAM_COUNT, SL_LABELLED_MAX, SL_LABEL_OTHER, SL_LOG_EVENT_COUNT,
    SL_METHOD_COUNT, SL_MIRROR_RESULT_COUNT, SL_PENDING_LOGS, SL_PENDING_SPANS, SL_PROTOCOL_COUNT,
    SL_REJUDGED_COUNT, SL_RETRY_RESULT_COUNT, SL_ROUTE_TIMES_MAX, SL_RULE_SLOTS, SL_RULE_SLOT_NONE, SL_SCOPE_COUNT,
    SL_SEGMENT_COUNTERS_AT, SL_SEGMENT_HISTOGRAMS_AT, SL_SEGMENT_LABELLED_AT, SL_SEGMENT_LOGS_AT, SL_SEGMENT_MAGIC,
    SL_SEGMENT_ROUTES_AT, SL_SEGMENT_TUNNELS_AT, SL_SEGMENT_VERSION, SL_SPAN_RESULT_COUNT, SL_STATUS_CLASS_COUNT,
    SL_TLS_SIDE_COUNT, SL_TUNNELS_MAX, SL_TUNNEL_STATE_COUNT, SL_UPSTREAM_STATE_COUNT, sl_direction_text,
    sl_family_help, sl_family_labels, sl_family_text, sl_field_place, sl_h2_abuse_text, sl_h2_code_text,
    sl_h2_side_text, sl_histogram_help, sl_histogram_text, sl_log_event_text, sl_method_text, sl_mirror_result_text,
    sl_pending_log, sl_protocol_text, sl_rejudged_text, sl_retry_result_text, sl_route_times, sl_scope_text,
    sl_segment_counter_help, sl_segment_counter_metric, sl_segment_counter_name, sl_segment_field,
    sl_span_result_text, sl_status_class_text, sl_tls_side_text, sl_tunnel, sl_tunnel_field, sl_tunnel_state_text,
    sl_upstream_state_text,
)

ctypedef const char *(*text_function)(unsigned number) noexcept nogil
ctypedef sl_field_place (*field_function)(unsigned number) noexcept nogil


cdef tuple words(text_function text, unsigned count):
    cdef unsigned number
    return tuple([text(number).decode("ascii") for number in range(count)])


# Words of numbers, each at its number: a number past the end was written by a newer worker.
VERDICTS = words(sl_verdict_text, SL_VERDICT_COUNT)
PHASES = words(sl_phase_text, SL_PHASE_COUNT)
REASONS = words(sl_reason_text, SL_REASON_COUNT)
OUTCOMES = words(sl_outcome_text, SL_OUTCOME_COUNT)
TIERS = words(sl_tier_text, SL_TIER_COUNT)
REVOKES = words(sl_on_revoke_text, SL_REVOKE_COUNT)
INNER_MODES = words(sl_inner_mode_text, SL_INNER_MODE_COUNT)
INNER_PROTOCOLS = words(sl_inner_protocol_text, SL_INNER_PROTOCOL_COUNT)
ECHS = words(sl_ech_text, SL_ECH_COUNT)
PROTOCOLS = words(sl_protocol_text, SL_PROTOCOL_COUNT)
DIRECTIONS = words(sl_direction_text, SL_DIRECTION_COUNT)
SCOPES = words(sl_scope_text, SL_SCOPE_COUNT)
LOG_EVENTS = words(sl_log_event_text, SL_LOG_EVENT_COUNT)
REJUDGED = words(sl_rejudged_text, SL_REJUDGED_COUNT)
H2_ABUSES = words(sl_h2_abuse_text, SL_H2_ABUSE_COUNT)
H2_SIDES = words(sl_h2_side_text, SL_H2_SIDE_COUNT)
H2_CODES = words(sl_h2_code_text, SL_H2_CODE_COUNT)
TLS_SIDES = words(sl_tls_side_text, SL_TLS_SIDE_COUNT)
TLS_RESULTS = words(sl_tls_result_text, SL_TLS_RESULT_COUNT)
LOGINS = words(sl_login_text, SL_LOGIN_COUNT)
METHODS = words(sl_method_text, SL_METHOD_COUNT)
STATUS_CLASSES = words(sl_status_class_text, SL_STATUS_CLASS_COUNT)
RETRY_RESULTS = words(sl_retry_result_text, SL_RETRY_RESULT_COUNT)
MIRROR_RESULTS = words(sl_mirror_result_text, SL_MIRROR_RESULT_COUNT)
UPSTREAM_STATES = words(sl_upstream_state_text, SL_UPSTREAM_STATE_COUNT)
SPAN_RESULTS = words(sl_span_result_text, SL_SPAN_RESULT_COUNT)
STATES = words(sl_tunnel_state_text, SL_TUNNEL_STATE_COUNT)

# (text, phases, tier, answer, meaning) of each reason: the closed table of docs/reference.md.
REASON_ROWS = tuple([
    (REASONS[number], *[sl_reason_column(number, part).decode("ascii")
                        for part in (SL_REASON_PHASES, SL_REASON_TIER, SL_REASON_ANSWER, SL_REASON_MEANING)])
    for number in range(SL_REASON_COUNT)])

# Scalars of a segment, in its order: (name, name of the metric or "", help).
COUNTERS = tuple(zip(words(sl_segment_counter_name, SL_COUNTER_COUNT),
                     words(sl_segment_counter_metric, SL_COUNTER_COUNT),
                     words(sl_segment_counter_help, SL_COUNTER_COUNT)))
HISTOGRAMS = dict(zip(words(sl_histogram_text, SL_HISTOGRAM_COUNT), words(sl_histogram_help, SL_HISTOGRAM_COUNT)))

cdef dict WORDS = {
    "verdicts": VERDICTS, "phases": PHASES, "reasons": REASONS, "outcomes": OUTCOMES, "protocols": PROTOCOLS,
    "directions": DIRECTIONS, "scopes": SCOPES, "log_events": LOG_EVENTS, "rejudged": REJUDGED,
    "h2_abuses": H2_ABUSES, "h2_sides": H2_SIDES, "h2_codes": H2_CODES, "tls_sides": TLS_SIDES,
    "tls_results": TLS_RESULTS, "methods": METHODS, "status_classes": STATUS_CLASSES, "retry_results": RETRY_RESULTS,
    "mirror_results": MIRROR_RESULTS, "upstream_states": UPSTREAM_STATES, "span_results": SPAN_RESULTS,
}


cdef tuple family(str name, str labels, str help):
    """(name, help, labels, words of each label but `rule` and `route`), from a row of SL_FAMILIES."""
    parts = [label.partition(":") for label in labels.split()]
    return name, help, tuple([part[0] for part in parts]), tuple([WORDS[part[2]] for part in parts if part[1]])


FAMILIES = tuple([family(name, labels, told) for name, labels, told in zip(
    words(sl_family_text, SL_FAMILY_COUNT), words(sl_family_labels, SL_FAMILY_COUNT),
    words(sl_family_help, SL_FAMILY_COUNT))])


cdef list guard_blocks():
    cdef sl_prefix block
    cdef char text[SL_ADDR_TEXT]
    cdef int reason = 0
    cdef unsigned number = 0
    found = []
    while sl_guard_block(number, &block, &reason):
        cidr = f"{text[:sl_addr_format(&block.addr, text)].decode('ascii')}/{block.length}"
        found.append((cidr, REASONS[reason] if reason >= 0 else None, bool(sl_guard_reason_liftable(reason)),
                      bool(sl_prefix_is_nat64(&block))))
        number += 1
    return found


# The address guard's table: (block, reason that it is refused by or None, whether a rule can lift that, is it NAT64).
GUARD_BLOCKS = tuple(guard_blocks())

cdef tuple fields(field_function field):
    cdef unsigned number = 0
    cdef sl_field_place place = field(0)
    found = []
    while place.name is not NULL:
        found.append((place.name.decode("ascii"), place.at, place.size))
        number += 1
        place = field(number)
    return tuple(found)


# Inherited descriptors of a worker.
FD_CHANNEL, FD_SEGMENT, FD_LIMITS = SL_FD_CHANNEL, SL_FD_SEGMENT, SL_FD_LIMITS
FD_ACTIVE, FD_LOG, FD_LISTENERS = SL_FD_ACTIVE, SL_FD_LOG, SL_FD_LISTENERS

# The layout of a segment: sizes and positions in bytes.
SEGMENT_MAGIC, SEGMENT_VERSION = SL_SEGMENT_MAGIC, SL_SEGMENT_VERSION
COUNTERS_AT, HISTOGRAMS_AT, LABELLED_AT = SL_SEGMENT_COUNTERS_AT, SL_SEGMENT_HISTOGRAMS_AT, SL_SEGMENT_LABELLED_AT
SEGMENT_FIELDS, TUNNEL_FIELDS = fields(sl_segment_field), fields(sl_tunnel_field)  # each (name, position, size)
LOGS_AT, TUNNELS_AT = SL_SEGMENT_LOGS_AT, SL_SEGMENT_TUNNELS_AT
ROUTES_AT, ROUTE_TIMES_SIZE, ROUTE_TIMES_MAX = SL_SEGMENT_ROUTES_AT, sizeof(sl_route_times), SL_ROUTE_TIMES_MAX
PENDING_SPANS = SL_PENDING_SPANS
PENDING_LOGS, LOG_SIZE = SL_PENDING_LOGS, sizeof(sl_pending_log)
TUNNEL_SIZE, TUNNELS_MAX = sizeof(sl_tunnel), SL_TUNNELS_MAX
BUCKETS, BUCKET_FIRST_US = SL_BUCKETS, SL_BUCKET_FIRST_US
LABELLED_MAX, LABEL_OTHER = SL_LABELLED_MAX, SL_LABEL_OTHER
RULE_SLOTS, RULE_SLOT_NONE = SL_RULE_SLOTS, SL_RULE_SLOT_NONE

# The layout of the table of limits.
LIMITS_MAGIC, LIMITS_VERSION = SL_LIMITS_MAGIC, SL_LIMITS_VERSION
LIMITS_COLUMNS_AT, LIMITS_COLUMN_SIZE = SL_LIMITS_COLUMNS_AT, SL_LIMITS_COLUMN_SIZE
RATES_SIZE = SL_RATES_SIZE
