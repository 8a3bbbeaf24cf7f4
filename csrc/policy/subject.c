/* Addresses as the address phase judges them: looked up, guarded, translated, the gateway's own. */
#include "policy/subject.h"

#include <string.h>

#include "policy/seed.h"

int sl_in_trie(const struct sl_image *image, enum sl_trie trie, const struct sl_addr *addr, struct sl_prefix *longest,
               int *broken)
{
    struct sl_path path;
    sl_path_address(image, trie, addr, &path);
    if (path.broken) *broken = 1;
    if (path.count && longest) *longest = path.levels[path.count - 1].prefix;
    return path.count > 0;
}

void sl_inspect(const struct sl_image *image, struct sl_subject *subject, int *broken)
{
    subject->reason = sl_guard_reason(&subject->addr, NULL);
    subject->allowed = sl_in_trie(image, SL_TRIE_GUARD_ALLOW, &subject->addr, &subject->by, broken);
    subject->translated = sl_in_trie(image, SL_TRIE_NAT64, &subject->addr, &subject->nat64, broken);
}

void sl_look_up(const struct sl_asked *asked, struct sl_subject *subject, struct sl_trail *trail)
{
    struct sl_path path;
    sl_path_address(asked->image, SL_TRIE_DEST, &subject->addr, &path);
    sl_match_path(asked, &path, SL_PHASE_ADDRESS, &subject->matches, trail);
}

int sl_guard_refuses(const struct sl_subject *subject)
{
    if (subject->reason < 0 || subject->allowed || subject->translated) return 0;
    if (SL_BUG(GUARD) && subject->matches.best[SL_TIER_ALLOW].attachment) return 0;
    return !(subject->matches.lifts && sl_guard_reason_liftable(subject->reason));
}

int sl_embeds(const struct sl_subject *outer)
{
    if (SL_BUG(EMBEDDED)) return 0;
    return outer->translated || (outer->reason == SL_REASON_EMBEDDED_IPV4 && !sl_guard_refuses(outer));
}

int sl_find_embedded(const struct sl_subject *outer, struct sl_addr *inner)
{
    if (outer->translated) return sl_nat64_embedded(&outer->addr, outer->nat64.length, inner);
    if (sl_addr_embedded(&outer->addr, inner)) return 1;
    if (!outer->allowed || !sl_prefix_is_nat64(&outer->by)) return 0;
    return sl_nat64_embedded(&outer->addr, outer->by.length > 96 ? 96 : outer->by.length, inner);
}

static int is_own_port(const struct sl_image *image, uint16_t port)
{
    uint64_t count = image->header->sections[SL_SEC_OWN].count;
    const struct sl_own *own = sl_image_record(image, SL_SEC_OWN, 0);
    for (; count > 0; count--, own++)
        if (own->family == 0 && own->port == port) return 1;
    return 0;
}

unsigned sl_own_asked(const struct sl_image *image, const struct sl_addr *addr, uint16_t port, struct sl_addr out[2])
{
    struct sl_subject subject = {.addr = *addr};
    int broken = 0;
    if (!is_own_port(image, port)) return 0;
    subject.allowed = sl_in_trie(image, SL_TRIE_GUARD_ALLOW, addr, &subject.by, &broken);
    subject.translated = sl_in_trie(image, SL_TRIE_NAT64, addr, &subject.nat64, &broken);
    out[0] = *addr;
    return sl_find_embedded(&subject, &out[1]) ? 2 : 1;
}

int sl_is_own(const struct sl_image *image, const struct sl_addr *addr, uint16_t port, int local)
{
    uint64_t count = image->header->sections[SL_SEC_OWN].count;
    const struct sl_own *own = sl_image_record(image, SL_SEC_OWN, 0);
    if (local) return 1;
    for (; count > 0; count--, own++) {
        if (own->family != addr->family || (own->port && own->port != port)) continue;
        struct sl_prefix block = {.addr = {.family = own->family}, .length = own->length};
        memcpy(block.addr.bytes, own->bits, sizeof own->bits);
        if (sl_prefix_contains(&block, addr)) return 1;
    }
    return 0;
}
