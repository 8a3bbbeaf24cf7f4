/* Reads the name that a tunnel's first bytes show: SNI of a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section
 * 3) or Host of a plain HTTP/1 request (RFC 9112 section 3.2). Sans-IO and stateless: give it all bytes so far, it
 * says what they are. It decides nothing: comparing the name with the one asked for is the caller's (DECISIONS.md
 * section 3, "inner"). */
#ifndef SLUICE_INNER_H
#define SLUICE_INNER_H

#include <stddef.h>
#include <stdint.h>

#include "name.h"

enum { SL_INNER_MAX = 16384 + 5 }; /* bytes looked at: so many without an answer are SL_INNER_MALFORMED */

enum sl_inner_status {
    SL_INNER_INTERNAL = 0,
    SL_INNER_MORE = 1,      /* cannot tell yet; the caller bounds the time: some clients say little and wait */
    SL_INNER_OTHER = 2,     /* neither TLS nor HTTP/1: no name will come */
    SL_INNER_TLS_NAME = 3,  /* *out has the canonical SNI (the outer one when `ech`) */
    SL_INNER_TLS_NONE = 4,  /* TLS without server_name */
    SL_INNER_HTTP_NAME = 5, /* *out has the canonical host of the request target or Host, its port removed */
    SL_INNER_HTTP_NONE = 6, /* HTTP without Host */
    SL_INNER_MALFORMED = 7, /* TLS or HTTP it is, but broken, two names, or a name that is not canonical */
};

struct sl_inner {
    char name[SL_NAME_BUFFER];
    size_t name_length;
    struct sl_addr address; /* family 0 unless the HTTP host is an IP literal: SL_INNER_HTTP_NAME with an empty name */
    uint8_t ech;            /* encrypted_client_hello (0xfe0d) is present */
};

/* A ClientHello may be split over several TLS records and any number of reads. */
enum sl_inner_status sl_inner_read(const uint8_t *data, size_t length, struct sl_inner *out);

#endif
