/* Addresses and prefixes from texts, for tests. */
#ifndef SLUICE_ADDR_FIXTURE_H
#define SLUICE_ADDR_FIXTURE_H

#include "bytes/addr.h"
#include "check.h"

static inline struct sl_addr addr(const char *text)
{
    struct sl_addr out;
    CHECK_AT(sl_addr_parse(text, strlen(text), &out), text);
    return out;
}

static inline struct sl_prefix prefix(const char *text)
{
    struct sl_prefix out;
    CHECK_AT(sl_prefix_parse(text, strlen(text), &out) == 1, text);
    return out;
}

#endif
