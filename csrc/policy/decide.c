/* How tiers, defaults, the address guard and audit mode combine into one decision. DECISIONS.md sections 3 and 4. */
#include "policy/decide.h"

#include <string.h>

#include "policy/lookup.h"
#include "policy/seed.h"
#include "policy/subject.h"

static void set(struct sl_decision *out, uint8_t verdict, uint8_t phase, uint8_t reason, uint8_t flags)
{
    memset(out, 0, sizeof *out);
    out->verdict = verdict;
    out->phase = phase;
    out->reason = reason;
    out->flags = flags;
}

/* Whether a deny is that of a resource that cannot be used. */
static int closes(const struct sl_image *image, const struct sl_match *match)
{
    if (!(image->header->flags & SL_IMAGE_CLOSES) || match->attachment->tier != SL_TIER_DENY) return 0;
    const struct sl_rule *rule = sl_image_record(image, SL_SEC_RULES, match->attachment->rule);
    return rule && rule->invalid;
}

static void set_match(const struct sl_image *image, struct sl_decision *out, uint8_t phase,
                      const struct sl_match *match)
{
    static const uint8_t verdicts[] = {SL_DENY, SL_ALLOW, SL_AUDIT, SL_DENY, SL_AUDIT, SL_ALLOW, SL_DENY, SL_DENY};
    static const uint8_t reasons[] = {[SL_WHY_UNAUTHORIZED] = SL_REASON_UNAUTHORIZED,
                                      [SL_WHY_NEEDS_HTTP] = SL_REASON_NEEDS_HTTP,
                                      [SL_WHY_NO_ROUTE] = SL_REASON_NO_ROUTE};
    uint8_t tier = match->tier, reason = match->why ? reasons[match->why] : sl_tier_reason(tier);
    set(out, verdicts[tier], phase, reason, tier == SL_TIER_HARD_DENY ? SL_DECISION_NO_SOFTEN : 0);
    out->tier = tier;
    out->would_deny = verdicts[tier] == SL_AUDIT;
    out->rule = match->attachment->rule;
    out->selector = match->selector;
    if (closes(image, match)) out->reason = SL_REASON_POLICY_INVALID;
    if (phase == SL_PHASE_ADDRESS) out->flags |= SL_DECISION_ADDRESS_RULE;
    if (match->why == SL_WHY_NO_ROUTE) out->no_route = 1;
}

/* Attributes come one by one from the best rule of the winning tier that sets them; of a tier that two phases have
 * rules of, the earlier phase's go first. */
static void take_attributes(struct sl_decision *out, const struct sl_matches *matches)
{
    if (!matches->sets_any || out->tier < SL_TIER_AUDIT || out->tier > SL_TIER_DENY) return;
    for (unsigned i = 0; i < SL_ATTR_COUNT; i++) {
        const struct sl_match *match = &matches->sets[SL_SETS(out->tier)][i];
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
static void set_default(const struct sl_asked *asked, uint8_t phase, uint8_t deny_reason, struct sl_decision *out)
{
    if (!(asked->image->header->flags & SL_IMAGE_HAS_POLICY))
        set(out, SL_DENY, phase, SL_REASON_NO_POLICY, 0);
    else if (asked->source->passthrough)
        set(out, SL_ALLOW, phase, SL_REASON_PASSTHROUGH, 0);
    else
        set(out, SL_DENY, phase, deny_reason, 0);
}

static void set_internal(struct sl_decision *out, uint8_t phase)
{
    set(out, SL_DENY, phase, SL_REASON_INTERNAL, SL_DECISION_NO_SOFTEN);
}

/* The strongest match; NULL: there is none. Defaults are in images with groups alone. */
static const struct sl_match *strongest(const struct sl_image *image, const struct sl_matches *matches)
{
    if (SL_BUG(TIERS) && matches->best[SL_TIER_ALLOW].attachment) return &matches->best[SL_TIER_ALLOW];
    int lowest = image->header->flags & SL_IMAGE_GROUPS ? SL_TIER_DEFAULT_ALLOW : SL_TIER_AUDIT;
    for (int tier = SL_TIER_HARD_DENY; tier >= lowest; tier--) {
        int skipped = SL_BUG(DEFAULTS) && tier < SL_TIER_AUDIT && matches->best[SL_TIER_DEFAULT_ALLOW].attachment;
        if (skipped) tier = SL_TIER_DEFAULT_ALLOW;
        if (matches->best[tier].attachment) return &matches->best[tier];
    }
    return NULL;
}

/* The strongest rule about a name; NULL when none matches. */
static const struct sl_match *match_name(const struct sl_asked *asked, const char *name, size_t length,
                                         enum sl_phase phase, struct sl_matches *matches, struct sl_trail *trail)
{
    struct sl_path path;
    sl_path_name(asked->image, name, length, &path);
    sl_match_path(asked, &path, phase, matches, trail);
    return strongest(asked->image, matches);
}

/* Whether the decision is a denial by no rule, or by a default. */
static int is_undecided(const struct sl_decision *out)
{
    return out->reason == SL_REASON_NO_RULE || out->reason == SL_REASON_NO_CIDR_RULE ||
           out->reason == SL_REASON_NO_ROUTE || out->tier == SL_TIER_DEFAULT_DENY;
}

/* Whether its reason says no more than that. */
static int is_unexplained(const struct sl_decision *out)
{
    return out->reason == SL_REASON_NO_RULE || out->reason == SL_REASON_NO_CIDR_RULE ||
           out->reason == SL_REASON_DEFAULT_DENY || out->reason == SL_REASON_NO_ROUTE;
}

/* What rules that match wait for: the protocol inside; a request, which a tunnel is not, so that it is denied. A later
 * phase knows of it by the flags. */
static void note_wants(struct sl_decision *out, const struct sl_matches *matches, const struct sl_decision *before)
{
    if (matches->by_protocol || (before && before->flags & SL_DECISION_BY_PROTOCOL))
        out->flags |= SL_DECISION_BY_PROTOCOL;
    if (!(matches->open & SL_NEEDS_REQUEST) && !(before && before->flags & SL_DECISION_NEEDS_HTTP)) return;
    out->flags |= SL_DECISION_NEEDS_HTTP;
    if (is_unexplained(out)) out->reason = SL_REASON_NEEDS_HTTP;
}

/* Whether an address can still turn a denial: a CIDR rule, or a rule about the name that asks where it lies. */
static int needs_address(const struct sl_asked *asked, const struct sl_match *won, const struct sl_decision *out,
                         struct sl_matches *matches)
{
    if (SL_BUG(PENDING)) return 0;
    if (asked->place && asked->place->state == SL_PLACE_KNOWN) return is_undecided(out); /* its rules come next */
    if (matches->open & SL_NEEDS_ADDRESS) {
        int of_group = won && won->tier == SL_TIER_DENY && won->attachment->group &&
                       matches->open_groups >> won->attachment->group & 1;
        if (of_group || is_undecided(out)) return 1;
    }
    return is_undecided(out) && sl_reaches(asked, asked->image->header->cidr_reach, out->tier, &matches->broken);
}

/* `classes`: sl_matches.classes of the name; NULL: not wanted. */
static void judge_name(const struct sl_asked *asked, const char *name, size_t length, struct sl_decision *out,
                       uint8_t *classes, struct sl_trail *trail)
{
    struct sl_matches matches;
    const struct sl_match *won = match_name(asked, name, length, SL_PHASE_NAME, &matches, trail);
    if (won) {
        set_match(asked->image, out, SL_PHASE_NAME, won);
        take_attributes(out, &matches);
    } else {
        set_default(asked, SL_PHASE_NAME, SL_REASON_NO_RULE, out);
    }
    if (needs_address(asked, won, out, &matches)) {
        out->reason = SL_REASON_NEEDS_ADDRESS;
        out->flags |= SL_DECISION_PENDING;
        won = NULL;
    } else if (is_undecided(out) && matches.unadmitted.attachment) { /* wherever it lies */
        won = &matches.unadmitted;
        matches.unadmitted.tier = SL_TIER_DENY;
        matches.unadmitted.why = SL_WHY_UNAUTHORIZED;
        set_match(asked->image, out, SL_PHASE_NAME, won);
    }
    note_wants(out, &matches, NULL);
    if (asked->source->overflow || matches.broken) {
        set_internal(out, SL_PHASE_NAME);
        won = NULL;
    }
    if (classes) memcpy(classes, matches.classes, sizeof matches.classes);
    soften(asked->image, out, asked->audit || source_audits(asked->source, matches.lower));
    finish_trail(trail, out, won);
    if (out->verdict != SL_DENY && sl_judged_upstream(asked->image, out) && !SL_BUG(DELEGATED))
        out->phase = SL_PHASE_DELEGATED;
}

/* The name once more, now that it is known where it lies; of the trail nothing was about it but the name. */
static void judge_name_at(const struct sl_asked *asked, const struct sl_place *place, const char *name, size_t length,
                          struct sl_decision *out, uint8_t *classes, struct sl_trail *trail)
{
    struct sl_asked placed = *asked;
    placed.place = place;
    if (trail) trail->count = trail->total = 0;
    judge_name(&placed, name, length, out, classes, trail);
}

void sl_decide_name(const struct sl_asked *asked, const char *name, size_t length, struct sl_decision *out,
                    struct sl_trail *trail)
{
    struct sl_place nowhere;
    int broken = 0;
    judge_name(asked, name, length, out, NULL, trail);
    if (out->phase != SL_PHASE_DELEGATED || !(asked->image->header->flags & SL_IMAGE_PLACES)) return;
    sl_find_place(asked, NULL, NULL, &nowhere, &broken);
    judge_name_at(asked, &nowhere, name, length, out, NULL, trail);
    if (broken) set_internal(out, SL_PHASE_NAME);
}

enum { GUARDED = SL_DECISION_GUARD | SL_DECISION_NO_SOFTEN };

static const struct sl_match *tier_match(const struct sl_subject *subjects, unsigned count, unsigned tier)
{
    for (unsigned i = 0; i < count; i++)
        if (subjects[i].matches.best[tier].attachment) return &subjects[i].matches.best[tier];
    return NULL;
}

/* The strongest of those above `tier`; NULL: there is none. */
static const struct sl_match *match_above(const struct sl_image *image, const struct sl_subject *subjects,
                                          unsigned count, uint8_t tier)
{
    const struct sl_match *won = NULL;
    for (unsigned i = 0; i < count; i++) {
        const struct sl_match *match = strongest(image, &subjects[i].matches);
        if (match && (!won || match->tier > won->tier)) won = match;
    }
    return won && won->tier > tier ? won : NULL;
}

static uint8_t default_reason(const struct sl_decision *denied)
{
    return denied->no_route ? SL_REASON_NO_ROUTE : SL_REASON_DEFAULT_DENY;
}

/* A denial of the name by a default stands where no address turned it. */
static void restore(struct sl_decision *out, const struct sl_decision *by_name)
{
    *out = *by_name;
    out->reason = default_reason(by_name);
    out->flags &= (uint8_t)~SL_DECISION_PENDING;
}

/* Denials that no allow overrides, in order: own addresses, addresses.deny, hard deny, guard. 1 when one decided. */
static int refuse(const struct sl_image *image, const struct sl_subject *subjects, unsigned count, uint16_t port,
                  int local, struct sl_decision *out, const struct sl_match **won, int *broken)
{
    for (unsigned i = 0; i < count; i++) {
        if (!sl_is_own(image, &subjects[i].addr, port, local)) continue;
        set(out, SL_DENY, SL_PHASE_ADDRESS, SL_REASON_OWN_ADDRESS, GUARDED);
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!sl_in_trie(image, SL_TRIE_GUARD_DENY, &subjects[i].addr, NULL, broken)) continue;
        set(out, SL_DENY, SL_PHASE_ADDRESS, SL_REASON_ADDRESS_DENIED, GUARDED);
        return 1;
    }
    if ((*won = tier_match(subjects, count, SL_TIER_HARD_DENY)) != NULL) {
        set_match(image, out, SL_PHASE_ADDRESS, *won);
        return 1;
    }
    for (unsigned i = 0; i < count; i++) {
        if (!sl_guard_refuses(&subjects[i])) continue;
        set(out, SL_DENY, SL_PHASE_ADDRESS, (uint8_t)subjects[i].reason, GUARDED);
        return 1;
    }
    return 0;
}

/* Rules and defaults, after the guard. `by_name` may be NULL. */
static void judge(const struct sl_asked *asked, const struct sl_decision *by_name, const struct sl_subject *subjects,
                  unsigned count, struct sl_decision *out, const struct sl_match **won, int *broken)
{
    uint8_t named = by_name ? by_name->tier : SL_TIER_NONE;
    if (named >= SL_TIER_DENY) { /* softened by audit mode: a CIDR allow does not outrank it */
        *out = *by_name;
        return;
    }
    *won = match_above(asked->image, subjects, count, named);
    if (SL_BUG(OVER_PHASES) && *won && named && (*won)->tier < SL_TIER_AUDIT) *won = NULL;
    if (*won)
        set_match(asked->image, out, SL_PHASE_ADDRESS, *won);
    else if (named == SL_TIER_DEFAULT_DENY && by_name->flags & SL_DECISION_PENDING)
        restore(out, by_name);
    else if (by_name && !(by_name->flags & SL_DECISION_PENDING))
        *out = *by_name;
    else
        set_default(asked, SL_PHASE_ADDRESS, by_name ? SL_REASON_NO_CIDR_RULE : SL_REASON_NO_RULE, out);
    if (!by_name && is_undecided(out) && sl_reaches(asked, asked->image->header->host_reach, out->tier, broken)) {
        out->reason = SL_REASON_INNER_NAME_MISSING;
        out->flags |= SL_DECISION_PROVISIONAL;
        *won = NULL;
    }
}

/* Whether a name shown inside what passes by its address may still turn the answer. */
static int names_may_deny(const struct sl_asked *asked, struct sl_decision *out)
{
    int broken = 0;
    if (out->verdict == SL_DENY || (out->flags & SL_DECISION_PROVISIONAL)) return 0;
    int may = sl_reaches(asked, asked->image->header->host_deny_reach, out->tier, &broken);
    if (broken) set_internal(out, SL_PHASE_ADDRESS);
    return may && !broken;
}

/* The address, and the IPv4 address in it where that is to be judged too: its rules, and the guard. Returns how many. */
static unsigned look_up(const struct sl_asked *asked, struct sl_subject subjects[2], struct sl_trail *trail)
{
    sl_look_up(asked, &subjects[0], trail);
    if (!sl_embeds(&subjects[0])) return 1;
    if (!sl_find_embedded(&subjects[0], &subjects[1].addr)) {
        /* Where it leads is not known: refused as it is. */
        subjects[0].reason = SL_REASON_EMBEDDED_IPV4;
        subjects[0].allowed = subjects[0].translated = subjects[0].matches.lifts = 0;
        return 1;
    }
    sl_inspect(asked->image, &subjects[1], &subjects[0].matches.broken);
    sl_look_up(asked, &subjects[1], trail);
    return 2;
}

/* Where an address lies, for conditions; NULL where none asks. */
static const struct sl_place *place_of(const struct sl_asked *asked, const struct sl_subject *subject,
                                       struct sl_place *place, int *broken)
{
    struct sl_addr inner;
    if (!(asked->image->header->flags & SL_IMAGE_PLACES) || asked->elsewhere) return NULL;
    int embeds = sl_find_embedded(subject, &inner);
    sl_find_place(asked, &subject->addr, embeds ? &inner : NULL, place, broken);
    return place;
}

void sl_decide_address(const struct sl_asked *asked, const struct sl_decision *by_name, const char *name, size_t length,
                       const struct sl_addr *addr, int local, struct sl_decision *out, struct sl_trail *trail)
{
    int denied = by_name && by_name->verdict == SL_DENY && !(by_name->flags & SL_DECISION_PENDING);
    if (denied || (by_name && by_name->phase == SL_PHASE_DELEGATED)) {
        *out = *by_name; /* decided before any address was known */
        return;
    }
    struct sl_asked placed = *asked;
    struct sl_place place;
    struct sl_decision again;
    struct sl_subject subjects[2];
    uint8_t classes[SL_GROUPS];
    const struct sl_match *won = NULL;
    int broken = asked->source->overflow;
    subjects[0].addr = *addr;
    sl_inspect(asked->image, &subjects[0], &broken);
    placed.place = place_of(asked, &subjects[0], &place, &broken);
    if (placed.place && by_name && !SL_BUG(AGAIN)) {
        judge_name_at(asked, &place, name, length, &again, classes, trail);
        by_name = &again;
        placed.by_name = classes;
        if (again.verdict == SL_DENY && !(again.flags & SL_DECISION_PENDING)) {
            *out = again;
            return;
        }
    }
    unsigned count = look_up(&placed, subjects, trail);
    broken |= subjects[0].matches.broken || (count == 2 && subjects[1].matches.broken);
    if (!refuse(asked->image, subjects, count, asked->port, local, out, &won, &broken))
        judge(&placed, by_name, subjects, count, out, &won, &broken);
    for (unsigned i = 0; i < count; i++) {
        take_attributes(out, &subjects[i].matches);
        note_wants(out, &subjects[i].matches, by_name);
    }
    if (broken) {
        set_internal(out, SL_PHASE_ADDRESS);
        won = NULL;
    }
    int lower = subjects[0].matches.lower || (count == 2 && subjects[1].matches.lower);
    soften(asked->image, out, asked->audit || source_audits(asked->source, lower));
    if (!by_name && names_may_deny(&placed, out)) out->flags |= SL_DECISION_LOOK_INSIDE;
    if (out->phase == SL_PHASE_ADDRESS) finish_trail(trail, out, won); /* else the name phase has its step already */
}

/* Whether a rule about the name inside outranks what passed by address: hard deny > deny > allow > audit > default. An
 * equal tier was named by the earlier phase, and a name that passes changes nothing. */
static int outranks(const struct sl_match *match, const struct sl_decision *by_address)
{
    uint8_t tier = match->tier;
    if (SL_BUG(BEHIND_ADDRESS) || tier <= by_address->tier) return 0;
    if (tier == SL_TIER_AUDIT || tier == SL_TIER_DEFAULT_AUDIT) return by_address->verdict == SL_ALLOW;
    return tier >= SL_TIER_DENY || tier == SL_TIER_DEFAULT_DENY;
}

/* Whether a default denied the address that is held, and says so of the name inside as well. */
static int stays_denied(const struct sl_match *won, const struct sl_decision *by_address)
{
    return by_address->tier == SL_TIER_DEFAULT_DENY && (!won || won->tier < SL_TIER_DEFAULT_DENY);
}

void sl_decide_inner(const struct sl_asked *asked, const struct sl_decision *by_address, const struct sl_addr *addr,
                     const char *name, size_t length, struct sl_decision *out, struct sl_trail *trail)
{
    struct sl_matches matches;
    struct sl_asked placed = *asked;
    struct sl_place place;
    struct sl_subject subject = {.addr = *addr};
    int provisional = by_address->flags & SL_DECISION_PROVISIONAL, broken = 0;
    if (!provisional && !(by_address->flags & SL_DECISION_LOOK_INSIDE)) {
        *out = *by_address;
        return;
    }
    if (asked->image->header->flags & SL_IMAGE_PLACES) sl_inspect(asked->image, &subject, &broken);
    placed.place = place_of(asked, &subject, &place, &broken);
    const struct sl_match *won = match_name(&placed, name, length, SL_PHASE_INNER, &matches, trail);
    if (won && !provisional && !outranks(won, by_address)) won = NULL;
    if (provisional && stays_denied(won, by_address)) {
        *out = *by_address;
        out->phase = SL_PHASE_INNER;
        out->reason = default_reason(by_address);
        out->flags = 0;
        won = NULL;
    } else if (won) {
        set_match(asked->image, out, SL_PHASE_INNER, won);
        /* An address that a default let pass is dialed already: an audit rule about the name only reports it. */
        if (provisional || won->tier >= SL_TIER_DENY) take_attributes(out, &matches);
    } else if (provisional) {
        set_default(asked, SL_PHASE_INNER, SL_REASON_NO_CIDR_RULE, out);
    } else {
        *out = *by_address;
    }
    note_wants(out, &matches, NULL);
    if (asked->source->overflow || matches.broken || broken) {
        set_internal(out, SL_PHASE_INNER);
        won = NULL;
    }
    soften(asked->image, out, asked->audit || source_audits(asked->source, matches.lower));
    if (!provisional) out->flags |= SL_DECISION_LOOK_INSIDE;
    if (out->phase == SL_PHASE_INNER) finish_trail(trail, out, won);
}
