/* The field Forwarded (RFC 7239), as a peer sends it that may speak for others: a list of elements, one for each hop. The
 * last element is that peer's own, and its `for` is the client; earlier ones are what was told to the peer.
 *
 *   for=192.0.2.43, for="[2001:db8::1]:4711";proto=https
 *
 * The port may be left out, and so may quotes and brackets where that is not ambiguous. Which peers are believed is not
 * decided here. */
#ifndef SLUICE_FORWARDED_H
#define SLUICE_FORWARDED_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/addr.h"

enum sl_forwarded_status {
    SL_FORWARDED_BROKEN = 0, /* not such a list */
    SL_FORWARDED_NONE = 1,   /* it names no address: no `for`, "unknown", or an obfuscated name */
    SL_FORWARDED_FOUND = 2,
};

struct sl_forwarded {
    struct sl_addr client; /* family 0: none */
    uint16_t port;         /* 0: none was given */
};

/* Reads a field's value. `out` is filled in any case. */
enum sl_forwarded_status sl_forwarded_read(const uint8_t *bytes, size_t length, struct sl_forwarded *out);

#endif
