/* IP addresses, prefixes and the address guard's table. */
#include "bytes/addr.h"

#include <arpa/inet.h>
#include <endian.h>
#include <netinet/in.h>
#include <string.h>

#include "base/contract.h"

/* An address as one 128-bit number, IPv4 in the top 32 bits: prefixes of both families compare alike. */
struct bits {
    uint64_t high, low;
};

static uint64_t load64(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return be64toh(value);
}

static struct bits bits_of(const struct sl_addr *addr)
{
    return (struct bits){load64(addr->bytes), addr->family == 4 ? 0 : load64(addr->bytes + 8)};
}

/* Whether the first `length` bits are equal; length is 0..128. */
static int bits_equal(struct bits a, struct bits b, unsigned length)
{
    if (length == 0) return 1;
    if (length <= 64) return ((a.high ^ b.high) >> (64 - length)) == 0;
    return a.high == b.high && (length == 64 || ((a.low ^ b.low) >> (128 - length)) == 0);
}

static unsigned family_bits(uint8_t family)
{
    return family == 4 ? 32 : family == 6 ? 128 : 0;
}

int sl_addr_parse(const char *text, size_t length, struct sl_addr *out)
{
    char copy[SL_ADDR_TEXT];
    memset(out, 0, sizeof *out);
    if (length == 0 || length >= sizeof copy || memchr(text, 0, length)) return 0;
    memcpy(copy, text, length);
    copy[length] = 0;
    /* inet_pton(3) takes decimal quads without leading zeros, and no zone: exactly the canonical forms. */
    if (memchr(copy, ':', length)) {
        if (inet_pton(AF_INET6, copy, out->bytes) != 1) return 0;
        out->family = 6;
    } else {
        if (inet_pton(AF_INET, copy, out->bytes) != 1) return 0;
        out->family = 4;
    }
    return 1;
}

/* inet_ntop() takes about 1,700 instructions for it, and the log writes six addresses for each tunnel. */
static size_t format_ipv4(const uint8_t bytes[4], char *out)
{
    char *at = out;
    int i;

    for (i = 0; i < 4; i++) {
        const unsigned byte = bytes[i];
        if (byte >= 100) *at++ = (char)('0' + byte / 100);
        if (byte >= 10) *at++ = (char)('0' + byte / 10 % 10);
        *at++ = (char)('0' + byte % 10);
        *at++ = i < 3 ? '.' : '\0';
    }
    return (size_t)(at - out) - 1;
}

size_t sl_addr_format(const struct sl_addr *addr, char out[SL_ADDR_TEXT])
{
    out[0] = 0;
    if (addr->family == 4) return format_ipv4(addr->bytes, out);
    if (addr->family != 6 || !inet_ntop(AF_INET6, addr->bytes, out, SL_ADDR_TEXT)) return 0;
    return strlen(out);
}

int sl_addr_from_sockaddr(const struct sockaddr *sa, struct sl_addr *out, uint16_t *port)
{
    memset(out, 0, sizeof *out);
    *port = 0;
    if (sa->sa_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, sa, sizeof in);
        memcpy(out->bytes, &in.sin_addr, 4);
        out->family = 4;
        *port = ntohs(in.sin_port);
        return 1;
    }
    if (sa->sa_family == AF_INET6) {
        struct sockaddr_in6 in;
        memcpy(&in, sa, sizeof in);
        memcpy(out->bytes, &in.sin6_addr, 16);
        out->family = 6;
        *port = ntohs(in.sin6_port);
        return 1;
    }
    return 0;
}

socklen_t sl_addr_to_sockaddr(const struct sl_addr *addr, uint16_t port, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (addr->family == 4) {
        struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
        memcpy(&in.sin_addr, addr->bytes, 4);
        memcpy(out, &in, sizeof in);
        return sizeof in;
    }
    if (addr->family == 6) {
        struct sockaddr_in6 in = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        memcpy(&in.sin6_addr, addr->bytes, 16);
        memcpy(out, &in, sizeof in);
        return sizeof in;
    }
    return 0;
}

struct sl_addr sl_addr_unmapped(const struct sl_addr *addr)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct sl_addr plain = *addr;
    if (addr->family != 6 || memcmp(addr->bytes, mapped, sizeof mapped) != 0) return plain;
    memset(&plain, 0, sizeof plain);
    memcpy(plain.bytes, addr->bytes + 12, 4);
    plain.family = 4;
    return plain;
}

int sl_prefix_contains(const struct sl_prefix *prefix, const struct sl_addr *addr)
{
    if (prefix->addr.family != addr->family || prefix->length > family_bits(addr->family)) return 0;
    return bits_equal(bits_of(&prefix->addr), bits_of(addr), prefix->length);
}

static int host_bits_set(const struct sl_prefix *prefix)
{
    struct bits bits = bits_of(&prefix->addr);
    if (prefix->length < 64 && (prefix->length == 0 ? bits.high : bits.high << prefix->length) != 0) return 1;
    if (prefix->length <= 64) return bits.low != 0;
    return prefix->length < 128 && bits.low << (prefix->length - 64) != 0;
}

int sl_prefix_parse(const char *text, size_t length, struct sl_prefix *out)
{
    const char *slash = length ? memchr(text, '/', length) : NULL;
    memset(out, 0, sizeof *out);
    if (!slash || !sl_addr_parse(text, (size_t)(slash - text), &out->addr)) return 0;
    const char *digit = slash + 1, *end = text + length;
    if (end - digit < 1 || end - digit > 3 || (*digit == '0' && end - digit > 1)) return 0;
    unsigned value = 0;
    for (; digit < end; digit++) {
        if (*digit < '0' || *digit > '9') return 0;
        value = value * 10 + (unsigned)(*digit - '0');
    }
    if (value > family_bits(out->addr.family)) return 0;
    out->length = (uint8_t)value;
    return host_bits_set(out) ? -1 : 1;
}

/* The guard. Every block of the IANA special-purpose address registries (RFC 6890, as of RFC 9780), multicast, and what
 * clouds use for metadata. The longest block that contains an address speaks for it; PUBLIC marks the parts of a block
 * that IANA lists as globally reachable. Unregistered IPv6 outside 2000::/3 is caught after the table. */
enum { PUBLIC = -1 };

struct guard_block {
    uint64_t high, low;
    uint8_t length;
    int8_t reason;
};

#define V4(a, b, c, d) ((uint64_t)(a) << 56 | (uint64_t)(b) << 48 | (uint64_t)(c) << 40 | (uint64_t)(d) << 32)
#define V6(a, b, c, d) ((uint64_t)(a) << 48 | (uint64_t)(b) << 32 | (uint64_t)(c) << 16 | (uint64_t)(d))

static const struct guard_block GUARD_V4[] = {
    {V4(0, 0, 0, 0), 0, 8, SL_REASON_SPECIAL_PURPOSE},       /* "this network", RFC 791 */
    {V4(0, 0, 0, 0), 0, 32, SL_REASON_UNSPECIFIED},          /* "this host", RFC 1122 */
    {V4(10, 0, 0, 0), 0, 8, SL_REASON_SPECIAL_PURPOSE},      /* private, RFC 1918 */
    {V4(100, 64, 0, 0), 0, 10, SL_REASON_SPECIAL_PURPOSE},   /* shared (CGNAT), RFC 6598 */
    {V4(100, 100, 100, 200), 0, 32, SL_REASON_METADATA},     /* Alibaba Cloud */
    {V4(127, 0, 0, 0), 0, 8, SL_REASON_LOOPBACK},            /* RFC 1122 */
    {V4(168, 63, 129, 16), 0, 32, SL_REASON_METADATA},       /* Azure WireServer, in public space */
    {V4(169, 254, 0, 0), 0, 16, SL_REASON_LINK_LOCAL},       /* RFC 3927 */
    {V4(169, 254, 169, 254), 0, 32, SL_REASON_METADATA},     /* AWS, Google, Azure, ... */
    {V4(172, 16, 0, 0), 0, 12, SL_REASON_SPECIAL_PURPOSE},   /* private, RFC 1918 */
    {V4(192, 0, 0, 0), 0, 24, SL_REASON_SPECIAL_PURPOSE},    /* IETF protocol assignments, RFC 6890 */
    {V4(192, 0, 0, 9), 0, 32, PUBLIC},                       /* PCP anycast, RFC 7723 */
    {V4(192, 0, 0, 10), 0, 32, PUBLIC},                      /* TURN anycast, RFC 8155 */
    {V4(192, 0, 2, 0), 0, 24, SL_REASON_SPECIAL_PURPOSE},    /* documentation, RFC 5737 */
    {V4(192, 88, 99, 0), 0, 24, SL_REASON_SPECIAL_PURPOSE},  /* 6to4 relay anycast, deprecated by RFC 7526 */
    {V4(192, 168, 0, 0), 0, 16, SL_REASON_SPECIAL_PURPOSE},  /* private, RFC 1918 */
    {V4(198, 18, 0, 0), 0, 15, SL_REASON_SPECIAL_PURPOSE},   /* benchmarking, RFC 2544 */
    {V4(198, 51, 100, 0), 0, 24, SL_REASON_SPECIAL_PURPOSE}, /* documentation, RFC 5737 */
    {V4(203, 0, 113, 0), 0, 24, SL_REASON_SPECIAL_PURPOSE},  /* documentation, RFC 5737 */
    {V4(224, 0, 0, 0), 0, 4, SL_REASON_MULTICAST},           /* RFC 5771 */
    {V4(240, 0, 0, 0), 0, 4, SL_REASON_SPECIAL_PURPOSE},     /* reserved, RFC 1112, with limited broadcast */
};

static const struct guard_block GUARD_V6[] = {
    {0, 0, 96, SL_REASON_EMBEDDED_IPV4},                         /* IPv4-compatible, RFC 4291 section 2.5.5.1 */
    {0, 0, 128, SL_REASON_UNSPECIFIED},                          /* RFC 4291 */
    {0, 1, 128, SL_REASON_LOOPBACK},                             /* RFC 4291 */
    {0, V6(0, 0xffff, 0, 0), 96, SL_REASON_EMBEDDED_IPV4},       /* IPv4-mapped, RFC 4291 section 2.5.5.2 */
    {V6(0x64, 0xff9b, 0, 0), 0, 96, SL_REASON_EMBEDDED_IPV4},    /* NAT64, RFC 6052 */
    {V6(0x64, 0xff9b, 1, 0), 0, 48, SL_REASON_EMBEDDED_IPV4},    /* local NAT64, RFC 8215 */
    {V6(0x100, 0, 0, 0), 0, 64, SL_REASON_SPECIAL_PURPOSE},      /* discard-only, RFC 6666 */
    {V6(0x100, 0, 0, 1), 0, 64, SL_REASON_SPECIAL_PURPOSE},      /* dummy prefix, RFC 9780 */
    {V6(0x2001, 0, 0, 0), 0, 23, SL_REASON_SPECIAL_PURPOSE},     /* IETF protocol assignments, RFC 2928 */
    {V6(0x2001, 0, 0, 0), 0, 32, SL_REASON_EMBEDDED_IPV4},       /* Teredo, RFC 4380 */
    {V6(0x2001, 1, 0, 0), 1, 128, PUBLIC},                       /* PCP anycast, RFC 7723 */
    {V6(0x2001, 1, 0, 0), 2, 128, PUBLIC},                       /* TURN anycast, RFC 8155 */
    {V6(0x2001, 1, 0, 0), 3, 128, PUBLIC},                       /* DNS-SD registration anycast, RFC 9665 */
    {V6(0x2001, 3, 0, 0), 0, 32, PUBLIC},                        /* AMT, RFC 7450 */
    {V6(0x2001, 4, 0x112, 0), 0, 48, PUBLIC},                    /* AS112, RFC 7535 */
    {V6(0x2001, 0x20, 0, 0), 0, 28, PUBLIC},                     /* ORCHIDv2, RFC 7343 */
    {V6(0x2001, 0x30, 0, 0), 0, 28, PUBLIC},                     /* drone remote identification, RFC 9374 */
    {V6(0x2001, 0xdb8, 0, 0), 0, 32, SL_REASON_SPECIAL_PURPOSE}, /* documentation, RFC 3849 */
    {V6(0x2002, 0, 0, 0), 0, 16, SL_REASON_EMBEDDED_IPV4},       /* 6to4, RFC 3056 */
    {V6(0x3fff, 0, 0, 0), 0, 20, SL_REASON_SPECIAL_PURPOSE},     /* documentation, RFC 9637 */
    {V6(0x5f00, 0, 0, 0), 0, 16, SL_REASON_SPECIAL_PURPOSE},     /* SRv6 SIDs, RFC 9602 */
    {V6(0xfc00, 0, 0, 0), 0, 7, SL_REASON_SPECIAL_PURPOSE},      /* unique local, RFC 4193 */
    {V6(0xfd00, 0xec2, 0, 0), 0x254, 128, SL_REASON_METADATA},   /* AWS */
    {V6(0xfe80, 0, 0, 0), 0, 10, SL_REASON_LINK_LOCAL},          /* RFC 4291 */
    {V6(0xfec0, 0, 0, 0), 0, 10, SL_REASON_SPECIAL_PURPOSE},     /* site-local, RFC 3879 */
    {V6(0xff00, 0, 0, 0), 0, 8, SL_REASON_MULTICAST},            /* RFC 4291 */
};

/* The longest block of at most `limit` bits that contains the address, or NULL. */
static const struct guard_block *guard_block(uint8_t family, struct bits bits, unsigned limit)
{
    const struct guard_block *block = family == 4 ? GUARD_V4 : GUARD_V6, *best = NULL;
    size_t count = family == 4 ? sizeof GUARD_V4 / sizeof *GUARD_V4 : sizeof GUARD_V6 / sizeof *GUARD_V6;
    for (; count > 0; count--, block++) {
        if (block->length > limit || (best && block->length < best->length)) continue;
        if (bits_equal(bits, (struct bits){block->high, block->low}, block->length)) best = block;
    }
    return best;
}

static void store64(uint8_t *bytes, uint64_t value)
{
    for (int i = 7; i >= 0; i--, value >>= 8) bytes[i] = (uint8_t)value;
}

static void guard_prefix(uint8_t family, uint64_t high, uint64_t low, uint8_t length, struct sl_prefix *out)
{
    if (!out) return;
    memset(out, 0, sizeof *out);
    store64(out->addr.bytes, high);
    if (family == 6) store64(out->addr.bytes + 8, low);
    out->addr.family = family;
    out->length = length;
}

int sl_guard_block(unsigned i, struct sl_prefix *out, int *reason)
{
    const unsigned first = sizeof GUARD_V4 / sizeof *GUARD_V4, count = first + sizeof GUARD_V6 / sizeof *GUARD_V6;
    if (i >= count) return 0;
    const struct guard_block *block = i < first ? &GUARD_V4[i] : &GUARD_V6[i - first];
    guard_prefix(i < first ? 4 : 6, block->high, block->low, block->length, out);
    *reason = block->reason;
    return 1;
}

int sl_guard_reason(const struct sl_addr *addr, struct sl_prefix *block)
{
    if (block) memset(block, 0, sizeof *block);
    if (family_bits(addr->family) == 0) return SL_REASON_UNSPECIFIED;
    struct bits bits = bits_of(addr);
    const struct guard_block *found = guard_block(addr->family, bits, 128);
    if (found && found->reason == PUBLIC) return -1;
    if (found) {
        guard_prefix(addr->family, found->high, found->low, found->length, block);
        return found->reason;
    }
    if (addr->family == 4 || bits.high >> 61 == 1) return -1;
    /* Outside 2000::/3 (RFC 4291 section 2.4): ::/3, 4000::/2 or 8000::/1. */
    uint8_t length = bits.high >> 63 ? 1 : bits.high >> 62 ? 2 : 3;
    guard_prefix(6, length == 3 ? 0 : (uint64_t)1 << (length == 1 ? 63 : 62), 0, length, block);
    return SL_REASON_SPECIAL_PURPOSE;
}

int sl_guard_reason_liftable(int reason)
{
    return reason == SL_REASON_SPECIAL_PURPOSE || reason == SL_REASON_EMBEDDED_IPV4;
}

int sl_guard_liftable(const struct sl_prefix *prefix)
{
    if (family_bits(prefix->addr.family) == 0) return 0;
    const struct guard_block *found = guard_block(prefix->addr.family, bits_of(&prefix->addr), prefix->length);
    return found && sl_guard_reason_liftable(found->reason);
}

int sl_nat64_embedded(const struct sl_addr *addr, uint8_t prefix_length, struct sl_addr *out)
{
    memset(out, 0, sizeof *out);
    if (addr->family != 6 || prefix_length < 32 || prefix_length > 96 || prefix_length % 8) return 0;
    if (prefix_length > 64 && prefix_length != 96) return 0;
    if (addr->bytes[8] != 0) return 0; /* the "u" octet, bits 64..71 */
    for (unsigned i = 0, from = prefix_length / 8; i < 4; i++, from++) {
        if (from == 8) from++; /* the address goes around it */
        out->bytes[i] = addr->bytes[from];
    }
    out->family = 4;
    return 1;
}

int sl_addr_embedded(const struct sl_addr *addr, struct sl_addr *out)
{
    struct sl_prefix block;
    memset(out, 0, sizeof *out);
    if (addr->family != 6 || sl_guard_reason(addr, &block) != SL_REASON_EMBEDDED_IPV4) return 0;
    unsigned from =
        block.length == 16 ? 2 : 12;  /* 6to4 right after its prefix (RFC 3056), the others in the last bits */
    if (block.length == 48) return 0; /* local NAT64: the prefix length says where, and is not known here */
    memcpy(out->bytes, addr->bytes + from, 4);
    if (block.length == 32) {
        for (int i = 0; i < 4; i++) out->bytes[i] ^= 0xff; /* Teredo, RFC 4380 section 4: obfuscated */
    }
    out->family = 4;
    return 1;
}

int sl_prefix_is_nat64(const struct sl_prefix *prefix)
{
    if (prefix->addr.family != 6) return 0;
    struct bits bits = bits_of(&prefix->addr);
    if (prefix->length >= 96 && bits_equal(bits, (struct bits){V6(0x64, 0xff9b, 0, 0), 0}, 96)) return 1;
    return prefix->length >= 48 && bits_equal(bits, (struct bits){V6(0x64, 0xff9b, 1, 0), 0}, 48);
}
