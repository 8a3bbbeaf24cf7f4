/* Walks of a policy image: which lists a name or an address meets, and which attachments in them match a source and a
 * port. It knows precedence inside a tier (DECISIONS.md section 4); how tiers combine is decide.c's. */
#ifndef SLUICE_LOOKUP_H
#define SLUICE_LOOKUP_H

#include "bytes/addr.h"
#include "base/contract.h"
#include "policy/image.h"
#include "policy/judge.h"
#include "policy/program.h"

enum { SL_PATH_LEVELS = 130, SL_DEPTH_EXACT = 255 };

/* The values met on the way to a name or an address, the least specific first. */
struct sl_level {
    uint32_t value;          /* LISTS, or what the trie holds; never 0 */
    uint8_t depth;           /* labels of the suffix, SL_DEPTH_EXACT for the name itself; prefix length */
    struct sl_prefix prefix; /* tries only */
};
struct sl_path {
    unsigned count;
    int broken; /* the image contradicts itself: the question must be answered DENY/INTERNAL */
    struct sl_level levels[SL_PATH_LEVELS];
};

void sl_path_name(const struct sl_image *image, const char *name, size_t length, struct sl_path *path);
void sl_path_address(const struct sl_image *image, enum sl_trie trie, const struct sl_addr *addr, struct sl_path *path);

struct sl_match {
    const struct sl_attachment *attachment; /* NULL: no match */
    uint32_t selector;
    uint16_t rank;
    uint8_t depth;
    uint8_t port_class : 2; /* sl_port_class */
    uint8_t why : 2;        /* sl_why */
    uint8_t tier : 4;       /* sl_tier that it counts as */
};
enum sl_why {
    SL_WHY_TIER = 0,     /* the rule says so */
    SL_WHY_UNAUTHORIZED, /* it does not admit the source */
    SL_WHY_NEEDS_HTTP,   /* its denial holds, as its conditions cannot be judged */
    SL_WHY_NO_ROUTE      /* no route of the host matches the request */
};
/* Attributes are set by these tiers: sl_matches.sets[SL_SETS(tier)]. */
#define SL_SETS(tier) ((tier) - SL_TIER_AUDIT)
struct sl_matches {
    struct sl_match best[SL_TIER_HARD_DENY + 1]; /* by tier; of another group than 0 its winner alone */
    int lifts;                                   /* a CIDR allow that lifts the guard is among the matches */
    int lower; /* a deny that a lower identity of the source meets is among the matches */
    int broken;
    /* Where conditions are not known yet (sl_needs): rules that may allow or audit once they are. Their groups, as bits; and the
     * best that may, but does not admit the source. */
    uint8_t open, open_groups;
    uint8_t by_protocol;        /* bool: one that matches asks what shows inside */
    uint8_t classes[SL_GROUPS]; /* by group: 1 + the class that won it; 0 = none did */
    struct sl_match unadmitted;
    int sets_any;                                                   /* bool: `sets` has one; 0: nothing is in it */
    struct sl_match sets[SL_SETS(SL_TIER_DENY) + 1][SL_ATTR_COUNT]; /* the best of those that set an attribute */
};

/* Every attachment on the path that matches. `trail` may be NULL. */
void sl_match_path(const struct sl_asked *asked, const struct sl_path *path, enum sl_phase phase,
                   struct sl_matches *out, struct sl_trail *trail);
/* Fills in where an address lies: `addr`, and `embedded` (NULL: none), the IPv4 address in it. Both NULL: none will be
 * known. Not for images without SL_IMAGE_PLACES. */
void sl_find_place(const struct sl_asked *asked, const struct sl_addr *addr, const struct sl_addr *embedded,
                   struct sl_place *place, int *broken);
/* Whether a reach list has an attachment for this source and port; of defaults those above `tier`. What allows or audits
 * holds for the highest identity of the source only, what denies for every one. */
int sl_reaches(const struct sl_asked *asked, uint32_t list, uint8_t tier, int *broken);

/* The sl_reason of a decision by a rule of that tier. */
uint8_t sl_tier_reason(uint8_t tier);

/* Adds a step; the last one is overwritten when there is no room and `step` won. */
void sl_trail_add(struct sl_trail *trail, const struct sl_trail_step *step);

#endif
