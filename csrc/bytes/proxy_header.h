/* The header by which a proxy in front tells who connected to it: the PROXY protocol (proxy-protocol.txt of HAProxy),
 * versions 1 and 2. Bytes in, an address out; which peers may send one is not decided here.
 *
 *   1   PROXY TCP4 192.0.2.1 198.51.100.1 56324 443\r\n      at most 107 bytes
 *   2   12 bytes of signature | version, command | family | length | addresses | TLVs, which are passed over
 *
 * A header that stands for no client (UNKNOWN, LOCAL, a family that is not IP) leaves the peer as it is. */
#ifndef SLUICE_PROXY_HEADER_H
#define SLUICE_PROXY_HEADER_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/addr.h"

enum {
    SL_PROXY_HEADER_MOST = 2048, /* bytes of a header with its TLVs that are waited for */
    SL_PROXY_OUT_MOST = 52,      /* bytes of one that is written */
};

enum sl_proxy_status {
    SL_PROXY_BROKEN = 0, /* no header, or one that cannot be read */
    SL_PROXY_MORE = 1,   /* so far it may become one */
    SL_PROXY_DONE = 2,
};

struct sl_proxy_header {
    struct sl_addr source; /* family 0: that of the connection */
    uint16_t port;
    size_t length; /* of the header: what follows is the client's */
};

/* Writes a header of version 2, without TLVs, for a client at `source`. Where the target is of another family, or not
 * known (family 0), its address is the unspecified one. Returns its length. */
size_t sl_proxy_header_write(const struct sl_addr *source, uint16_t source_port, const struct sl_addr *target,
                             uint16_t target_port, uint8_t out[SL_PROXY_OUT_MOST]);

/* The identity of the client in the TLVs of a header that was read whole (0xD0, as ztunnel writes it): an unproven
 * text. Returns 1, `*identity` NULL where there is none; 0 where the TLVs cannot be read, or have two. */
int sl_proxy_header_identity(const uint8_t *header, size_t length, const char **identity, size_t *identity_length);

/* Reads the header at the beginning of `length` bytes. `out` is filled with DONE. */
enum sl_proxy_status sl_proxy_header_read(const uint8_t *bytes, size_t length, struct sl_proxy_header *out);

#endif
