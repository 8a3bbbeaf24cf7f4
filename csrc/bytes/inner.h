/* Reads the name that a tunnel's first bytes show: SNI of a TLS ClientHello (RFC 8446 section 4.1.2, RFC 6066 section
 * 3), Host of a plain HTTP/1 request (RFC 9112 section 3.2) or :authority of the first request of plain HTTP/2 (RFC 9113
 * section 8.3.1). Sans-IO and stateless: give it all bytes so far, it says what they are. It decides nothing: comparing
 * the name with the one asked for is the caller's (DECISIONS.md section 3, "inner").
 *
 * Read as it comes, a byte is in one of these places:
 *
 *   |-- harmless: may leave at once --|-- held: a name may come --|-- not looked at --
 *   |-- kept --|                                                   ^ SL_INNER_MAX
 *
 * `kept` bytes of the harmless ones are enough to judge what follows: the others may be dropped from what is shown to
 * the next call. */
#ifndef SLUICE_INNER_H
#define SLUICE_INNER_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/name.h"

enum {
    SL_INNER_MAX = 65535, /* bytes looked at: 64 KiB, less the one that HTTP/2's first window lacks */
    SL_INNER_TAIL = 4,    /* bytes that sl_inner_ended() writes behind its data */
};

enum sl_inner_status {
    SL_INNER_INTERNAL = 0,
    SL_INNER_MORE = 1,     /* cannot tell yet; out->harmless bytes may leave */
    SL_INNER_OTHER = 2,    /* neither TLS nor HTTP: no name will come */
    SL_INNER_TLS_NAME = 3, /* *out has the canonical SNI (the outer one when `ech`) */
    SL_INNER_TLS_NONE = 4, /* TLS without server_name */
    SL_INNER_HTTP_NAME =
        5, /* *out has the canonical host of the request target, Host or :authority, its port removed */
    SL_INNER_HTTP_NONE = 6, /* HTTP without Host and :authority */
    SL_INNER_MALFORMED = 7, /* TLS or HTTP it is, but broken, two names, or a name that is not canonical */
    SL_INNER_TOO_LONG = 8,  /* TLS or HTTP it may be, and SL_INNER_MAX bytes of it have no name */
};

struct sl_inner {
    char name[SL_NAME_BUFFER];
    size_t name_length;
    struct sl_addr address; /* family 0 unless the HTTP host is an IP literal: SL_INNER_HTTP_NAME with an empty name */
    size_t harmless;        /* SL_INNER_MORE: leading bytes that name nothing and are no request by themselves */
    size_t kept;            /* SL_INNER_MORE: as many of those, from the first on, are enough for the next call */
    uint8_t word;           /* SL_INNER_MORE: all that was read is one word, which may go on without end */
    uint8_t ech;            /* encrypted_client_hello (0xfe0d) is present */
    uint8_t ssh;            /* SL_INNER_OTHER: an identification of SSH 2 (RFC 4253 section 4.2) */
    uint8_t dialog;         /* a dialog came first, behind which TLS has begun or may */
};

/* A ClientHello may be split over several TLS records and any number of reads. Of SL_INNER_MAX bytes and more, a name
 * that was read counts, though the rest of its head or hello was not seen; they are SL_INNER_MORE only where fewer of
 * them need to be kept. */
enum sl_inner_status sl_inner_read(const uint8_t *data, size_t length, struct sl_inner *out);

/* As sl_inner_read, of bytes behind which none will come: an unfinished head is read as lenient servers do, as if its
 * line and the head ended there. Never SL_INNER_MORE. SL_INNER_TAIL bytes behind `data` are written. */
enum sl_inner_status sl_inner_ended(uint8_t *data, size_t length, struct sl_inner *out);

#endif
