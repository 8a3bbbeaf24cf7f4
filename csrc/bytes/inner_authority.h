/* The authority that a request names: target, Host or :authority (RFC 3986 section 3.2, RFC 9110 section 7.2), in
 * canonical form. Shared by the HTTP/1 and the HTTP/2 half of inner.h; callers outside csrc/ use sl_inner_read. */
#ifndef SLUICE_INNER_AUTHORITY_H
#define SLUICE_INNER_AUTHORITY_H

#include "bytes/inner.h"

struct authority {
    char name[SL_NAME_BUFFER]; /* "" for an address */
    size_t name_length;
    struct sl_addr address;
    int port;  /* -1: not given */
    int given; /* it was there, if only empty (Host) */
};

/* host [":" port] without user information. Returns 0 when it is not that. */
int authority_read(const uint8_t *text, size_t length, struct authority *out);

/* The value of a Host field or :authority, which may be empty. Returns 0 when it is malformed or not the first one. */
int authority_field(const uint8_t *text, size_t length, struct authority *out);

/* scheme "://" authority, up to path, query or fragment. Returns 0 when it is not that. */
int authority_of_url(const uint8_t *text, size_t length, struct authority *out);

/* The first of `count` that was given, into *out. Returns SL_INNER_HTTP_NAME, SL_INNER_HTTP_NONE when none of them
 * names a host, or SL_INNER_MALFORMED when two differ. */
enum sl_inner_status authority_agreed(const struct authority *given, size_t count, struct sl_inner *out);

#endif
