/* How tiers, defaults, the address guard and audit mode combine into one decision. DECISIONS.md sections 3 and 4. */
#include "policy/decide.h"

#include <string.h>

#include "policy/lookup.h"
#include "policy/seed.h"

static void set(struct sl_decision *out, uint8_t verdict, uint8_t phase, uint8_t reason, uint8_t flags)
{
    memset(out, 0, sizeof *out);
    out->verdict = verdict;
    out->phase = phase;
    out->reason = reason;
    out->flags = flags;
}

static void set_match(struct sl_decision *out, uint8_t phase, const struct sl_match *match)
{
    static const uint8_t verdicts[] = {SL_DENY, SL_AUDIT, SL_ALLOW, SL_DENY, SL_DENY};
    static const uint8_t reasons[] = {SL_REASON_INTERNAL, SL_REASON_RULE_AUDIT, SL_REASON_RULE_ALLOW,
                                      SL_REASON_RULE_DENY, SL_REASON_RULE_HARD_DENY};
    uint8_t tier = match->attachment->tier;
    set(out, verdicts[tier], phase, reasons[tier], tier == SL_TIER_HARD_DENY ? SL_DECISION_NO_SOFTEN : 0);
    out->tier = tier;
    out->would_deny = tier == SL_TIER_AUDIT;
    out->rule = match->attachment->rule;
    out->selector = match->selector;
    if (phase == SL_PHASE_ADDRESS) out->flags |= SL_DECISION_ADDRESS_RULE;
}

/* Attributes come one by one from the best rule of the winning tier that sets them; of a tier that two phases have
 * rules of, the earlier phase's go first. */
static void take_attributes(struct sl_decision *out, const struct sl_matches *matches)
{
    for (unsigned i = 0; i < SL_ATTR_COUNT; i++) {
        const struct sl_match *match = &matches->sets[out->tier][i];
        if (!match->attachment || (SL_BUG(ATTRIBUTES) && match->attachment->rule != out->rule)) continue;
        if (out->sets[i] == SL_NO_RULE) out->sets[i] = match->attachment->rule;
    }
}

/* Audit mode: a deny passes and is counted. "No policy at all" stays a deny, or a gateway without its files would be
 * open; only policy.audit softens it, where policy.paths are set and hold nothing yet. */
static void soften(const struct sl_image *image, struct sl_decision *out, int audit)
{
    const uint32_t starting = SL_IMAGE_AUDIT | SL_IMAGE_STARTING;
    if (out->reason == SL_REASON_NO_POLICY) audit = (image->header->flags & starting) == starting;
    if (!audit || out->verdict != SL_DENY || out->reason == SL_REASON_INTERNAL) return;
    if (SL_BUG(HARD_SOFT) && out->tier == SL_TIER_HARD_DENY) out->flags &= (uint8_t)~SL_DECISION_NO_SOFTEN;
    if (out->flags & (SL_DECISION_PENDING | SL_DECISION_NO_SOFTEN)) return;
    out->verdict = SL_AUDIT;
    out->would_deny = 1;
}

/* Whether the source's own audit mode softens a deny. One that a lower identity meets is softened only where that
 * identity's namespace audits as well, or logging in would shed it. */
static int source_audits(const struct sl_source *source, int lower)
{
    return source->audit && (!lower || source->lower_audit);
}

/* Marks the step that decided; defaults and checks, which are no attachment's, become a step of their own. */
static void finish_trail(struct sl_trail *trail, const struct sl_decision *out, const struct sl_match *match)
{
    if (!trail) return;
    for (uint32_t i = 0; match && i < trail->count; i++) {
        struct sl_trail_step *step = &trail->steps[i];
        if (step->phase == out->phase && step->tier == out->tier && step->rule == out->rule &&
            step->selector == out->selector && step->depth == match->depth && step->port_class == match->port_class &&
            !step->excepted) {
            step->won = 1;
            return;
        }
    }
    struct sl_trail_step step = {.phase = out->phase,
                                 .tier = out->tier,
                                 .reason = out->reason,
                                 .won = 1,
                                 .rule = out->rule,
                                 .selector = out->selector};
    if (match) {
        step.depth = match->depth;
        step.port_class = match->port_class;
    }
    sl_trail_add(trail, &step);
}

/* The decision where no rule matches: the default-allow of passthrough, or a deny that says why. */
static void set_default(const struct sl_image *image, const struct sl_source *source, uint8_t phase,
                        uint8_t deny_reason, struct sl_decision *out)
{
    if (!(image->header->flags & SL_IMAGE_HAS_POLICY))
        set(out, SL_DENY, phase, SL_REASON_NO_POLICY, 0);
    else if (source->passthrough)
        set(out, SL_ALLOW, phase, SL_REASON_PASSTHROUGH, 0);
    else
        set(out, SL_DENY, phase, deny_reason, 0);
}

static void set_internal(struct sl_decision *out, uint8_t phase)
{
    set(out, SL_DENY, phase, SL_REASON_INTERNAL, SL_DECISION_NO_SOFTEN);
}

/* The strongest rule about a name; NULL when none matches. */
static const struct sl_match *match_name(const struct sl_image *image, const struct sl_source *source, const char *name,
                                         size_t length, uint16_t port, enum sl_phase phase, struct sl_matches *matches,
                                         struct sl_trail *trail)
{
    struct sl_path path;
    sl_path_name(image, name, length, &path);
    sl_match_path(image, source, &path, port, phase, matches, trail);
    if (SL_BUG(TIERS) && matches->best[SL_TIER_ALLOW].attachment) return &matches->best[SL_TIER_ALLOW];
    for (int tier = SL_TIER_HARD_DENY; tier >= SL_TIER_AUDIT; tier--)
        if (matches->best[tier].attachment) return &matches->best[tier];
    return NULL;
}

void sl_decide_name(const struct sl_image *image, const struct sl_source *source, const char *name, size_t length,
                    uint16_t port, int audit, struct sl_decision *out, struct sl_trail *trail)
{
    struct sl_matches matches;
    const struct sl_match *won = match_name(image, source, name, length, port, SL_PHASE_NAME, &matches, trail);
    if (won) {
        set_match(out, SL_PHASE_NAME, won);
        take_attributes(out, &matches);
    } else {
        set_default(image, source, SL_PHASE_NAME, SL_REASON_NO_RULE, out);
        int undecided = out->reason == SL_REASON_NO_RULE;
        if (undecided && !SL_BUG(PENDING) &&
            sl_reaches(image, source, image->header->cidr_reach, port, &matches.broken))
            set(out, SL_DENY, SL_PHASE_NAME, SL_REASON_NEEDS_ADDRESS, SL_DECISION_PENDING);
    }
    if (source->overflow || matches.broken) {
        set_internal(out, SL_PHASE_NAME);
        won = NULL;
    }
    soften(image, out, audit || source_audits(source, matches.lower));
    finish_trail(trail, out, won);
    if (out->verdict != SL_DENY && sl_judged_upstream(image, out) && !SL_BUG(DELEGATED))
        out->phase = SL_PHASE_DELEGATED;
}

/* One address to be judged: the one asked for, or the IPv4 address embedded in it. */
struct subject {
    struct sl_addr addr;
    int reason;             /* of the guard; -1 public */
    int allowed;            /* addresses.allow contains it */
    struct sl_prefix by;    /* the longest such prefix */
    int translated;         /* addresses.nat64 contains it: the embedded address speaks for it */
    struct sl_prefix nat64; /* the longest such prefix */
    struct sl_matches matches;
};

static int in_trie(const struct sl_image *image, enum sl_trie trie, const struct sl_addr *addr,
                   struct sl_prefix *longest, int *broken)
{
    struct sl_path path;
    sl_path_address(image, trie, addr, &path);
    if (path.broken) *broken = 1;
    if (path.count && longest) *longest = path.levels[path.count - 1].prefix;
    return path.count > 0;
}

static void look_up(const struct sl_image *image, const struct sl_source *source, uint16_t port,
                    struct subject *subject, struct sl_trail *trail)
{
    struct sl_path path;
    int broken = 0;
    subject->reason = sl_guard_reason(&subject->addr, NULL);
    subject->allowed = in_trie(image, SL_TRIE_GUARD_ALLOW, &subject->addr, &subject->by, &broken);
    subject->translated = in_trie(image, SL_TRIE_NAT64, &subject->addr, &subject->nat64, &broken);
    sl_path_address(image, SL_TRIE_DEST, &subject->addr, &path);
    sl_match_path(image, source, &path, port, SL_PHASE_ADDRESS, &subject->matches, trail);
    if (broken) subject->matches.broken = 1;
}

/* Whether the guard refuses: not a public address, and neither addresses.allow nor a CIDR allow lifts it. */
static int guard_refuses(const struct subject *subject)
{
    if (subject->reason < 0 || subject->allowed || subject->translated) return 0;
    if (SL_BUG(GUARD) && subject->matches.best[SL_TIER_ALLOW].attachment) return 0;
    return !(subject->matches.lifts && sl_guard_reason_liftable(subject->reason));
}

/* Whether an IPv4 address behind this IPv6 one has to be judged. */
static int embeds(const struct subject *outer)
{
    if (SL_BUG(EMBEDDED)) return 0;
    return outer->translated || (outer->reason == SL_REASON_EMBEDDED_IPV4 && !guard_refuses(outer));
}

/* The IPv4 address a lifted NAT64, mapped, 6to4 ... address leads to; without one there is nothing to judge, and 0 says
 * so. Local NAT64 (RFC 8215) hides it behind a prefix length that only addresses.nat64 or addresses.allow can tell. */
static int find_embedded(const struct subject *outer, struct sl_addr *inner)
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
    struct subject subject = {.addr = *addr};
    int broken = 0;
    if (!is_own_port(image, port)) return 0;
    subject.allowed = in_trie(image, SL_TRIE_GUARD_ALLOW, addr, &subject.by, &broken);
    subject.translated = in_trie(image, SL_TRIE_NAT64, addr, &subject.nat64, &broken);
    out[0] = *addr;
    return find_embedded(&subject, &out[1]) ? 2 : 1;
}

static int is_own(const struct sl_image *image, const struct sl_addr *addr, uint16_t port, int local)
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

enum { GUARDED = SL_DECISION_GUARD | SL_DECISION_NO_SOFTEN };

static const struct sl_match *tier_match(const struct subject *subjects, unsigned count, unsigned tier)
{
    for (unsigned i = 0; i < count; i++)
        if (subjects[i].matches.best[tier].attachment) return &subjects[i].matches.best[tier];
    return NULL;
}

/* Denials that no allow overrides, in order: own addresses, addresses.deny, hard deny, guard. 1 when one decided. */
static int refuse(const struct sl_image *image, const struct subject *subjects, unsigned count, uint16_t port,
                  int local, struct sl_decision *out, const struct sl_match **won, int *broken)
{
    for (unsigned i = 0; i < count; i++) {
        if (!is_own(image, &subjects[i].addr, port, local)) continue;
        set(out, SL_DENY, SL_PHASE_ADDRESS, SL_REASON_OWN_ADDRESS, GUARDED);
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!in_trie(image, SL_TRIE_GUARD_DENY, &subjects[i].addr, NULL, broken)) continue;
        set(out, SL_DENY, SL_PHASE_ADDRESS, SL_REASON_ADDRESS_DENIED, GUARDED);
        return 1;
    }
    if ((*won = tier_match(subjects, count, SL_TIER_HARD_DENY)) != NULL) {
        set_match(out, SL_PHASE_ADDRESS, *won);
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!guard_refuses(&subjects[i])) continue;
        set(out, SL_DENY, SL_PHASE_ADDRESS, (uint8_t)subjects[i].reason, GUARDED);
        return 1;
    }
    return 0;
}

/* Rules and defaults, after the guard. `by_name` may be NULL. */
static void judge(const struct sl_image *image, const struct sl_source *source, const struct sl_decision *by_name,
                  const struct subject *subjects, unsigned count, uint16_t port, struct sl_decision *out,
                  const struct sl_match **won, int *broken)
{
    uint8_t named = by_name ? by_name->tier : SL_TIER_NONE;
    if (named >= SL_TIER_DENY) { /* softened by audit mode: a CIDR allow does not outrank it */
        *out = *by_name;
        return;
    }
    *won = tier_match(subjects, count, SL_TIER_DENY);
    if (!*won && named < SL_TIER_ALLOW) *won = tier_match(subjects, count, SL_TIER_ALLOW);
    if (!*won && named == SL_TIER_NONE) *won = tier_match(subjects, count, SL_TIER_AUDIT);
    if (*won) {
        set_match(out, SL_PHASE_ADDRESS, *won);
    } else if (by_name && !(by_name->flags & SL_DECISION_PENDING)) {
        *out = *by_name;
    } else {
        set_default(image, source, SL_PHASE_ADDRESS, by_name ? SL_REASON_NO_CIDR_RULE : SL_REASON_NO_RULE, out);
        if (!by_name && out->reason == SL_REASON_NO_RULE &&
            sl_reaches(image, source, image->header->host_reach, port, broken))
            set(out, SL_DENY, SL_PHASE_ADDRESS, SL_REASON_INNER_NAME_MISSING, SL_DECISION_PROVISIONAL);
    }
}

/* Whether a name shown inside what passes by its address may still turn the answer. */
static int names_may_deny(const struct sl_image *image, const struct sl_source *source, struct sl_decision *out,
                          uint16_t port)
{
    int broken = 0;
    if (out->verdict == SL_DENY || (out->flags & SL_DECISION_PROVISIONAL)) return 0;
    int may = sl_reaches(image, source, image->header->host_deny_reach, port, &broken);
    if (broken) set_internal(out, SL_PHASE_ADDRESS);
    return may && !broken;
}

void sl_decide_address(const struct sl_image *image, const struct sl_source *source, const struct sl_decision *by_name,
                       const struct sl_addr *addr, uint16_t port, int local, int audit, struct sl_decision *out,
                       struct sl_trail *trail)
{
    int denied = by_name && by_name->verdict == SL_DENY && !(by_name->flags & SL_DECISION_PENDING);
    if (denied || (by_name && by_name->phase == SL_PHASE_DELEGATED)) {
        *out = *by_name; /* decided before any address was known */
        return;
    }
    struct subject subjects[2];
    unsigned count = 1;
    const struct sl_match *won = NULL;
    subjects[0].addr = *addr;
    look_up(image, source, port, &subjects[0], trail);
    if (embeds(&subjects[0])) {
        if (find_embedded(&subjects[0], &subjects[1].addr)) {
            look_up(image, source, port, &subjects[1], trail);
            count = 2;
        } else {
            /* Where it leads is not known: refused as it is. */
            subjects[0].reason = SL_REASON_EMBEDDED_IPV4;
            subjects[0].allowed = subjects[0].translated = subjects[0].matches.lifts = 0;
        }
    }
    int broken = source->overflow || subjects[0].matches.broken || (count == 2 && subjects[1].matches.broken);
    if (!refuse(image, subjects, count, port, local, out, &won, &broken))
        judge(image, source, by_name, subjects, count, port, out, &won, &broken);
    for (unsigned i = 0; i < count; i++) take_attributes(out, &subjects[i].matches);
    if (broken) {
        set_internal(out, SL_PHASE_ADDRESS);
        won = NULL;
    }
    int lower = subjects[0].matches.lower || (count == 2 && subjects[1].matches.lower);
    soften(image, out, audit || source_audits(source, lower));
    if (!by_name && names_may_deny(image, source, out, port)) out->flags |= SL_DECISION_LOOK_INSIDE;
    if (out->phase == SL_PHASE_ADDRESS) finish_trail(trail, out, won); /* else the name phase has its step already */
}

/* Whether a rule about the name inside outranks what passed by address: hard deny > deny > allow > audit > default. An
 * equal tier was named by the earlier phase. */
static int outranks(const struct sl_match *match, const struct sl_decision *by_address)
{
    uint8_t tier = match->attachment->tier;
    if (SL_BUG(BEHIND_ADDRESS)) return 0;
    if (tier == SL_TIER_AUDIT) return by_address->verdict == SL_ALLOW && by_address->tier == SL_TIER_NONE;
    return tier >= SL_TIER_DENY && tier > by_address->tier;
}

void sl_decide_inner(const struct sl_image *image, const struct sl_source *source, const struct sl_decision *by_address,
                     const char *name, size_t length, uint16_t port, int audit, struct sl_decision *out,
                     struct sl_trail *trail)
{
    struct sl_matches matches;
    int provisional = by_address->flags & SL_DECISION_PROVISIONAL;
    if (!provisional && !(by_address->flags & SL_DECISION_LOOK_INSIDE)) {
        *out = *by_address;
        return;
    }
    const struct sl_match *won = match_name(image, source, name, length, port, SL_PHASE_INNER, &matches, trail);
    if (won && !provisional && !outranks(won, by_address)) won = NULL;
    if (won) {
        set_match(out, SL_PHASE_INNER, won);
        /* An address that a default let pass is dialed already: an audit rule about the name only reports it. */
        if (provisional || won->attachment->tier >= SL_TIER_DENY) take_attributes(out, &matches);
    } else if (provisional) {
        set_default(image, source, SL_PHASE_INNER, SL_REASON_NO_CIDR_RULE, out);
    } else {
        *out = *by_address;
    }
    if (source->overflow || matches.broken) {
        set_internal(out, SL_PHASE_INNER);
        won = NULL;
    }
    soften(image, out, audit || source_audits(source, matches.lower));
    if (!provisional) out->flags |= SL_DECISION_LOOK_INSIDE;
    if (out->phase == SL_PHASE_INNER) finish_trail(trail, out, won);
}
