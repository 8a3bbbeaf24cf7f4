/* The texts of segment.h: names and help of counters, histograms and families, and label values. */
#include "shared/segment.h"

#include <string.h>

#define DESCRIBED(name, text, more, help) {text, more, help},
#define TEXT_AND_HELP(name, text, help) {text, "", help},
#define TEXT(name, text) text,

struct described {
    const char *text, *more, *help;
};
static const struct described COUNTERS[SL_COUNTER_COUNT] = {SL_COUNTERS(DESCRIBED)};
static const struct described HISTOGRAMS[SL_HISTOGRAM_COUNT] = {SL_HISTOGRAMS(TEXT_AND_HELP)};
static const struct described FAMILIES[SL_FAMILY_COUNT] = {SL_FAMILIES(DESCRIBED)};
static const char *const PROTOCOLS[SL_PROTOCOL_COUNT] = {SL_PROTOCOLS(TEXT)};
static const char *const DIRECTIONS[SL_DIRECTION_COUNT] = {SL_DIRECTIONS(TEXT)};
static const char *const SCOPES[SL_SCOPE_COUNT] = {SL_SCOPES(TEXT)};
static const char *const LOG_EVENTS[SL_LOG_EVENT_COUNT] = {SL_LOG_EVENTS(TEXT)};
static const char *const REJUDGES[SL_REJUDGED_COUNT] = {SL_REJUDGES(TEXT)};
static const char *const H2_ABUSES[SL_H2_ABUSE_COUNT] = {SL_H2_ABUSES(TEXT)};
static const char *const H2_SIDES[SL_H2_SIDE_COUNT] = {SL_H2_SIDES(TEXT)};
static const char *const H2_CODES[SL_H2_CODE_COUNT] = {SL_H2_CODES(TEXT)};
static const char *const TLS_SIDES[SL_TLS_SIDE_COUNT] = {SL_TLS_SIDES(TEXT)};
static const char *const METHODS[SL_METHOD_COUNT] = {SL_METHODS(TEXT)};
static const char *const STATUS_CLASSES[SL_STATUS_CLASS_COUNT] = {SL_STATUS_CLASSES(TEXT)};
static const char *const RETRY_RESULTS[SL_RETRY_RESULT_COUNT] = {SL_RETRY_RESULTS(TEXT)};
static const char *const MIRROR_RESULTS[SL_MIRROR_RESULT_COUNT] = {SL_MIRROR_RESULTS(TEXT)};
static const char *const UPSTREAM_STATES[SL_UPSTREAM_STATE_COUNT] = {SL_UPSTREAM_STATES(TEXT)};
static const char *const SPAN_RESULTS[SL_SPAN_RESULT_COUNT] = {SL_SPAN_RESULTS(TEXT)};
static const char *const STATES[SL_TUNNEL_STATE_COUNT] = {SL_TUNNEL_STATES(TEXT)};

const char *sl_segment_counter_name(unsigned i)
{
    return i < SL_COUNTER_COUNT ? COUNTERS[i].text : NULL;
}

const char *sl_segment_counter_metric(unsigned i)
{
    return i < SL_COUNTER_COUNT ? COUNTERS[i].more : NULL;
}

const char *sl_segment_counter_help(unsigned i)
{
    return i < SL_COUNTER_COUNT ? COUNTERS[i].help : NULL;
}

const char *sl_histogram_text(unsigned i)
{
    return i < SL_HISTOGRAM_COUNT ? HISTOGRAMS[i].text : NULL;
}

const char *sl_histogram_help(unsigned i)
{
    return i < SL_HISTOGRAM_COUNT ? HISTOGRAMS[i].help : NULL;
}

const char *sl_family_text(unsigned i)
{
    return i < SL_FAMILY_COUNT ? FAMILIES[i].text : NULL;
}

const char *sl_family_labels(unsigned i)
{
    return i < SL_FAMILY_COUNT ? FAMILIES[i].more : NULL;
}

const char *sl_family_help(unsigned i)
{
    return i < SL_FAMILY_COUNT ? FAMILIES[i].help : NULL;
}

const char *sl_protocol_text(unsigned i)
{
    return i < SL_PROTOCOL_COUNT ? PROTOCOLS[i] : "other";
}

const char *sl_direction_text(unsigned i)
{
    return i < SL_DIRECTION_COUNT ? DIRECTIONS[i] : "other";
}

const char *sl_scope_text(unsigned i)
{
    return i < SL_SCOPE_COUNT ? SCOPES[i] : "other";
}

const char *sl_log_event_text(unsigned i)
{
    return i < SL_LOG_EVENT_COUNT ? LOG_EVENTS[i] : "other";
}

const char *sl_rejudged_text(unsigned i)
{
    return i < SL_REJUDGED_COUNT ? REJUDGES[i] : "other";
}

const char *sl_h2_abuse_text(unsigned i)
{
    return i < SL_H2_ABUSE_COUNT ? H2_ABUSES[i] : "other";
}

const char *sl_h2_side_text(unsigned i)
{
    return i < SL_H2_SIDE_COUNT ? H2_SIDES[i] : "other";
}

const char *sl_h2_code_text(unsigned i)
{
    return i < SL_H2_CODE_COUNT ? H2_CODES[i] : "other";
}

const char *sl_tls_side_text(unsigned i)
{
    return i < SL_TLS_SIDE_COUNT ? TLS_SIDES[i] : "other";
}

const char *sl_method_text(unsigned i)
{
    return i < SL_METHOD_COUNT ? METHODS[i] : "other";
}

const char *sl_status_class_text(unsigned i)
{
    return i < SL_STATUS_CLASS_COUNT ? STATUS_CLASSES[i] : "other";
}

const char *sl_retry_result_text(unsigned i)
{
    return i < SL_RETRY_RESULT_COUNT ? RETRY_RESULTS[i] : "other";
}

const char *sl_mirror_result_text(unsigned i)
{
    return i < SL_MIRROR_RESULT_COUNT ? MIRROR_RESULTS[i] : "other";
}

const char *sl_span_result_text(unsigned i)
{
    return i < SL_SPAN_RESULT_COUNT ? SPAN_RESULTS[i] : "other";
}

const char *sl_upstream_state_text(unsigned i)
{
    return i < SL_UPSTREAM_STATE_COUNT ? UPSTREAM_STATES[i] : "other";
}

enum sl_method sl_method_of(const char *text, size_t length)
{
    for (unsigned i = SL_METHOD_OTHER + 1; i < SL_METHOD_COUNT; i++) {
        if (strlen(METHODS[i]) == length && memcmp(METHODS[i], text, length) == 0) return (enum sl_method)i;
    }
    return SL_METHOD_OTHER;
}

const char *sl_tunnel_state_text(unsigned i)
{
    return i < SL_TUNNEL_STATE_COUNT ? STATES[i] : "other";
}

#define PLACE(type, name) {#name, offsetof(struct type, name), sizeof(((struct type *)0)->name)}
#define HEADER(name) PLACE(sl_segment, name)
#define RECORD(name) PLACE(sl_tunnel, name)

static const struct sl_field_place HEADERS[] = {
    HEADER(magic),
    HEADER(version),
    HEADER(pid),
    HEADER(generation),
    HEADER(start),
    HEADER(tunnels_unlisted),
    HEADER(tunnel_capacity),
    HEADER(tunnels_high),
    HEADER(tunnels_free),
    HEADER(tunnels_listed),
    HEADER(labelled_used),
    HEADER(routes_used),
    {NULL, 0, 0},
};

static const struct sl_field_place RECORDS[] = {
    RECORD(sequence_lock), RECORD(number),      RECORD(opened_ms), RECORD(generation),  RECORD(bytes_up),
    RECORD(bytes_down),    RECORD(rule),        RECORD(rule_slot), RECORD(listener),    RECORD(peer_port),
    RECORD(port),          RECORD(dialed_port), RECORD(state),     RECORD(verdict),     RECORD(protocol),
    RECORD(phase),         RECORD(reason),      RECORD(flags),     RECORD(user_length), RECORD(name_length),
    RECORD(peer),          RECORD(dialed),      RECORD(user),      RECORD(name),        RECORD(identity_length),
    RECORD(identity),      {NULL, 0, 0},
};

#define COUNT(table) (sizeof(table) / sizeof((table)[0]) - 1)

struct sl_field_place sl_segment_field(unsigned i)
{
    return HEADERS[i < COUNT(HEADERS) ? i : COUNT(HEADERS)];
}

struct sl_field_place sl_tunnel_field(unsigned i)
{
    return RECORDS[i < COUNT(RECORDS) ? i : COUNT(RECORDS)];
}
