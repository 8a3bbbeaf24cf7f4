/* Canonical host names: the one function behind policy, requests, SNI and Host (DECISIONS.md section 2).
 * It is not a resolver and not IDNA: U-labels in policy are converted before they come here. */
#ifndef SLUICE_NAME_H
#define SLUICE_NAME_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/addr.h"

enum { SL_NAME_MAX = 253, SL_LABEL_MAX = 63, SL_NAME_BUFFER = 256 };

/* X(name, text): the text is the rule that was broken, fit for an error message. */
#define SL_NAME_STATUSES(X)                                                               \
    X(INTERNAL, "internal error")                                                         \
    X(OK, "a host name")                                                                  \
    X(ADDRESS, "an IP address literal")                                                   \
    X(EMPTY, "the name is empty")                                                         \
    X(TOO_LONG, "the name is longer than 253 bytes")                                      \
    X(LABEL_TOO_LONG, "a label is longer than 63 bytes")                                  \
    X(EMPTY_LABEL, "a label is empty")                                                    \
    X(NON_ASCII, "a byte is not ASCII; write the name in its xn-- form")                  \
    X(BAD_BYTE, "only letters, digits, '-', '_' and '.' may stand in a name")             \
    X(NUMERIC, "the last label is a number, and the whole is not a canonical IP address") \
    X(BAD_WILDCARD, "'*' may only stand alone or as the whole first label ('*.example.com')")

#define SL_ENUM_NAME(name, text) SL_NAME_##name,
enum sl_name_status { SL_NAME_STATUSES(SL_ENUM_NAME) SL_NAME_STATUS_COUNT };

/* Writes the canonical form of `in` (lower case, one trailing dot removed, at most 253 bytes, NUL after it) to `out`.
 * Returns SL_NAME_OK and *out_length; SL_NAME_ADDRESS and *address when the whole is a canonical IPv4 literal or an
 * IPv6 literal (without brackets, without zone); else what is wrong, with nothing promised about `out`. A last label
 * that is all digits or 0x-hex makes the whole an address or an error (WHATWG URL, "ends in a number"). */
enum sl_name_status sl_name_canonical(const uint8_t *in, size_t length, char out[SL_NAME_BUFFER], size_t *out_length,
                                      struct sl_addr *address);

/* The same for a policy pattern: a name, `*.name` or `*`. *wildcard says which; `out` is the part after `*.` (empty for
 * `*`). An address literal is SL_NAME_ADDRESS, an error to the caller: IP literals match only CIDR rules. */
enum sl_name_status sl_name_pattern(const uint8_t *in, size_t length, char out[SL_NAME_BUFFER], size_t *out_length,
                                    int *wildcard);

/* The rule text of a status; never NULL. */
const char *sl_name_status_text(enum sl_name_status status);

#endif
