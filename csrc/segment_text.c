/* The texts of segment.h: names and help of counters, histograms and families, and label values. */
#include "segment.h"

#define TEXT_AND_HELP(name, text, help) {text, help},
#define TEXT(name, text) text,

struct described {
    const char *text, *help;
};
static const struct described COUNTERS[SL_COUNTER_COUNT] = {SL_COUNTERS(TEXT_AND_HELP)};
static const struct described HISTOGRAMS[SL_HISTOGRAM_COUNT] = {SL_HISTOGRAMS(TEXT_AND_HELP)};
static const struct described FAMILIES[SL_FAMILY_COUNT] = {SL_FAMILIES(TEXT_AND_HELP)};
static const char *const PROTOCOLS[SL_PROTOCOL_COUNT] = {SL_PROTOCOLS(TEXT)};
static const char *const DIRECTIONS[SL_DIRECTION_COUNT] = {SL_DIRECTIONS(TEXT)};
static const char *const SCOPES[SL_SCOPE_COUNT] = {SL_SCOPES(TEXT)};
static const char *const LOG_EVENTS[SL_LOG_EVENT_COUNT] = {SL_LOG_EVENTS(TEXT)};
static const char *const REJUDGES[SL_REJUDGED_COUNT] = {SL_REJUDGES(TEXT)};
static const char *const H2_ABUSES[SL_H2_ABUSE_COUNT] = {SL_H2_ABUSES(TEXT)};
static const char *const H2_SIDES[SL_H2_SIDE_COUNT] = {SL_H2_SIDES(TEXT)};
static const char *const H2_CODES[SL_H2_CODE_COUNT] = {SL_H2_CODES(TEXT)};
static const char *const STATES[SL_TUNNEL_STATE_COUNT] = {SL_TUNNEL_STATES(TEXT)};

const char *sl_segment_counter_name(unsigned i)
{
    return i < SL_COUNTER_COUNT ? COUNTERS[i].text : NULL;
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

const char *sl_tunnel_state_text(unsigned i)
{
    return i < SL_TUNNEL_STATE_COUNT ? STATES[i] : "other";
}
