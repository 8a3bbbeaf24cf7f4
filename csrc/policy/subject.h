/* One address of the address phase: what the policy has for it, whether the guard refuses it, which address is embedded in
 * it, and whether it is the gateway's own (DECISIONS.md section 3). Behind decide.h; the verdict is decide.c's. */
#ifndef SLUICE_SUBJECT_H
#define SLUICE_SUBJECT_H

#include "policy/lookup.h"

/* One address to be judged: the one asked for, or the IPv4 address embedded in it. */
struct sl_subject {
    struct sl_addr addr;
    int reason;             /* of the guard; -1 public */
    int allowed;            /* addresses.allow contains it */
    struct sl_prefix by;    /* the longest such prefix */
    int translated;         /* addresses.nat64 contains it: the embedded address speaks for it */
    struct sl_prefix nat64; /* the longest such prefix */
    struct sl_matches matches;
};

/* Whether a trie has the address; *longest (may be NULL) becomes its longest prefix. *broken is set where the image
 * contradicts itself. */
int sl_in_trie(const struct sl_image *image, enum sl_trie trie, const struct sl_addr *addr, struct sl_prefix *longest,
               int *broken);
/* Fills in all but `addr` and the matches. */
void sl_inspect(const struct sl_image *image, struct sl_subject *subject, int *broken);
/* Fills in the matches. */
void sl_look_up(const struct sl_asked *asked, struct sl_subject *subject, struct sl_trail *trail);
/* Whether the guard refuses: not a public address, and neither addresses.allow nor a CIDR allow lifts it. */
int sl_guard_refuses(const struct sl_subject *subject);
/* Whether an IPv4 address behind this IPv6 one has to be judged. */
int sl_embeds(const struct sl_subject *outer);
/* The IPv4 address a lifted NAT64, mapped, 6to4 ... address leads to; without one there is nothing to judge, and 0 says
 * so. Local NAT64 (RFC 8215) hides it behind a prefix length that only addresses.nat64 or addresses.allow can tell. */
int sl_find_embedded(const struct sl_subject *outer, struct sl_addr *inner);
/* Whether it is the gateway's own. `local`: the kernel routes it here, and the gateway listens on the port. */
int sl_is_own(const struct sl_image *image, const struct sl_addr *addr, uint16_t port, int local);

#endif
