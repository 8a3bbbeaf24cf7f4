/* IP addresses and prefixes as the policy sees them: 4 or 16 bytes and a family, no port, no zone.
 * Parsing is strict; classification follows the IANA special-purpose registries (RFC 6890 and updates). */
#ifndef SLUICE_ADDR_H
#define SLUICE_ADDR_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct sl_addr {
    uint8_t bytes[16]; /* network order; IPv4 uses the first four, the rest are zero */
    uint8_t family;    /* 4 or 6; 0 is "none" */
};

struct sl_prefix {
    struct sl_addr addr; /* host bits are zero */
    uint8_t length;      /* 0..32 or 0..128 */
};

enum { SL_ADDR_TEXT = 46 }; /* INET6_ADDRSTRLEN */

/* Reads a dotted-quad without leading zeros or an RFC 4291 IPv6 text. Returns 1, or 0 when it is neither. */
int sl_addr_parse(const char *text, size_t length, struct sl_addr *out);
/* Writes the RFC 5952 text and a NUL. Returns its length. */
size_t sl_addr_format(const struct sl_addr *addr, char out[SL_ADDR_TEXT]);
/* Between sockaddr and ours. Returns 1, or 0 for another family. No IPv4-mapped unwrapping: callers see what came. */
int sl_addr_from_sockaddr(const struct sockaddr *sa, struct sl_addr *out, uint16_t *port);
socklen_t sl_addr_to_sockaddr(const struct sl_addr *addr, uint16_t port, struct sockaddr_storage *out);
/* The IPv4 address that an IPv4-mapped one is (RFC 4291 section 2.5.5.2), as a dual-stack socket shows its peers; any other
 * address as it is. */
struct sl_addr sl_addr_unmapped(const struct sl_addr *addr);
/* 1 when `addr` lies in `prefix` (same family). */
int sl_prefix_contains(const struct sl_prefix *prefix, const struct sl_addr *addr);
/* Reads `address/length`; host bits must be zero. Returns 1; 0 for no prefix; -1 for host bits that are set. */
int sl_prefix_parse(const char *text, size_t length, struct sl_prefix *out);

/* The guard's view of one address: the sl_reason that refuses it (SL_REASON_UNSPECIFIED ... SL_REASON_EMBEDDED_IPV4),
 * or -1 for a public one. `block` (may be NULL) receives the special-purpose block it lies in (DECISIONS.md 3). */
int sl_guard_reason(const struct sl_addr *addr, struct sl_prefix *block);
/* The guard's table, block by block: block `i`, and the sl_reason it refuses by (-1: a public part of another block).
 * Returns 1; 0 past the end. */
int sl_guard_block(unsigned i, struct sl_prefix *out, int *reason);
/* 1 when a CIDR allow for `prefix` may lift the guard: the prefix lies wholly inside one named block that rules can
 * lift. Unassigned IPv6 space (SPECIAL_PURPOSE for lying outside 2000::/3) is not a block: addresses.allow opens it. */
int sl_guard_liftable(const struct sl_prefix *prefix);
/* 1 when a rule can lift this sl_reason of the guard: only SPECIAL_PURPOSE and EMBEDDED_IPV4. */
int sl_guard_reason_liftable(int reason);
/* The IPv4 address inside a NAT64 address (RFC 6052 section 2.2) for a prefix of 32, 40, 48, 56, 64 or 96 bits.
 * Returns 1, or 0 when the length is another or bits 64..71 are not zero. */
int sl_nat64_embedded(const struct sl_addr *addr, uint8_t prefix_length, struct sl_addr *out);
/* The IPv4 address inside an IPv4-mapped, IPv4-compatible, well-known NAT64 (64:ff9b::/96), 6to4 or Teredo (the
 * client's) address. Returns 1, or 0 for every other address. */
int sl_addr_embedded(const struct sl_addr *addr, struct sl_addr *out);
/* 1 when the prefix lies wholly inside 64:ff9b::/96 or 64:ff9b:1::/48 (RFC 6052, RFC 8215). */
int sl_prefix_is_nat64(const struct sl_prefix *prefix);

#endif
