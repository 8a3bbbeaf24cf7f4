/* Trie walks, and the search of their lists for what matches a source and a port. */
#include "policy/lookup.h"

#include <string.h>

#include "policy/entries.h"
#include "policy/paths.h"
#include "policy/precedence.h"
#include "policy/seed.h"

static void push(struct sl_path *path, uint32_t value, uint8_t depth)
{
    if (value == 0) return;
    if (path->count == SL_PATH_LEVELS) {
        path->broken = 1;
        return;
    }
    path->levels[path->count].value = value;
    path->levels[path->count].depth = depth;
    path->levels[path->count].prefix.addr.family = 0;
    path->count++;
}

/* From the last label to the first: every node that is a proper ancestor gives its wildcard list, the name's own node
 * its exact list. `*` is the root's wildcard list. */
void sl_path_name(const struct sl_image *image, const char *name, size_t length, struct sl_path *path)
{
    path->count = 0;
    path->broken = 0;
    const struct sl_node *node = sl_image_record(image, SL_SEC_NODES, 0);
    if (!node) path->broken = 1;
    if (!node || length == 0) return;
    push(path, node->wildcard, 0);
    uint32_t at = 0;
    uint8_t depth = 0;
    for (size_t end = length;;) {
        size_t start = end;
        while (start > 0 && name[start - 1] != '.') start--;
        at = sl_image_child(image, at, (const uint8_t *)name + start, end - start, &path->broken);
        if (at == 0) return;
        node = sl_image_record(image, SL_SEC_NODES, at);
        if (start == 0) {
            if (SL_BUG(APEX)) push(path, node->wildcard, depth);
            push(path, node->exact, SL_DEPTH_EXACT);
            return;
        }
        if (++depth == SL_DEPTH_EXACT) return; /* more labels than a name has */
        push(path, node->wildcard, depth);
        end = start - 1;
    }
}

void sl_path_address(const struct sl_image *image, enum sl_trie trie, const struct sl_addr *addr, struct sl_path *path)
{
    path->count = 0;
    path->broken = 0;
    if (addr->family != 4 && addr->family != 6) return;
    uint32_t at = image->header->roots[trie][addr->family == 6];
    unsigned longest = addr->family == 4 ? 32 : 128, shorter = 0;
    for (int first = 1; at != 0; first = 0) {
        const struct sl_prefix_node *node = sl_image_record(image, SL_SEC_PREFIXES, at);
        if (!node || node->length > longest || (!first && node->length <= shorter)) {
            path->broken = 1;
            return;
        }
        struct sl_prefix prefix = {.addr = {.family = addr->family}, .length = node->length};
        memcpy(prefix.addr.bytes, node->bits, sizeof node->bits);
        if (!sl_prefix_contains(&prefix, addr)) return;
        if (node->value) {
            push(path, node->value, node->length);
            path->levels[path->count - 1].prefix = prefix;
        }
        if (node->length == longest) return;
        shorter = node->length;
        at = node->child[addr->bytes[shorter / 8] >> (7 - shorter % 8) & 1];
    }
}

/* How the attachment's ports hold `port`: sl_port_class, or -1. */
static int port_match(const struct sl_image *image, uint32_t portset, uint16_t port, int *broken)
{
    if (portset == 0 || SL_BUG(PORTS)) return SL_PORT_ANY;
    const struct sl_portset *set = sl_image_record(image, SL_SEC_PORTSETS, portset);
    uint64_t ranges = image->header->sections[SL_SEC_RANGES].count;
    if (!set || set->first > ranges || set->count > ranges - set->first) {
        *broken = 1;
        return -1;
    }
    const struct sl_port_range *range = sl_image_record(image, SL_SEC_RANGES, set->first);
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (range[middle].high < port)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == set->count || range[low].low > port) return -1;
    return range[low].low == range[low].high ? SL_PORT_SINGLE : SL_PORT_RANGE;
}

/* An item does not apply where one of its excepts does, at whatever depth of the path either stands. */
static int excepted(const struct sl_image *image, const struct sl_path *path, const struct sl_item *item, int *broken)
{
    if (SL_BUG(EXCEPT)) return 0;
    for (unsigned i = path->count; i-- > 0;)
        if (sl_list_excepts(image, path->levels[i].value, item->who, item->attachment, broken)) return 1;
    return 0;
}

void sl_trail_add(struct sl_trail *trail, const struct sl_trail_step *step)
{
    const unsigned room = sizeof trail->steps / sizeof *trail->steps;
    trail->total++;
    if (trail->count < room)
        trail->steps[trail->count++] = *step;
    else if (step->won)
        trail->steps[room - 1] = *step;
}

uint8_t sl_tier_reason(uint8_t tier)
{
    static const uint8_t reasons[] = {SL_REASON_INTERNAL,     SL_REASON_DEFAULT_ALLOW, SL_REASON_DEFAULT_AUDIT,
                                      SL_REASON_DEFAULT_DENY, SL_REASON_RULE_AUDIT,    SL_REASON_RULE_ALLOW,
                                      SL_REASON_RULE_DENY,    SL_REASON_RULE_HARD_DENY};
    return reasons[tier <= SL_TIER_HARD_DENY ? tier : 0];
}

/* The attributes that it sets, as bits; where there are any, its tier is one of SL_SETS. */
static unsigned sets_of(const struct sl_attachment *attachment)
{
    unsigned sets = attachment->flags / SL_ATTACH_SETS;
    return sets && attachment->tier >= SL_TIER_AUDIT && attachment->tier <= SL_TIER_DENY ? sets : 0;
}

struct search {
    const struct sl_asked *asked;
    const struct sl_image *image;
    const struct sl_path *path;
    const struct sl_level *level; /* of the path, where it is */
    uint16_t port;
    uint8_t phase;
    struct sl_matches *out;
    struct sl_trail *trail;
    struct sl_winner *winners; /* by group; NULL: there is group 0 alone */
};

/* What denies holds for every identity of a source, what lets pass for the highest alone. */
static int is_denial(uint8_t tier)
{
    return tier >= SL_TIER_DENY || tier == SL_TIER_DEFAULT_DENY;
}

/* Whether its path and its program hold. */
static enum sl_truth holds_of(const struct sl_asked *asked, const struct sl_condition *condition, unsigned *needs,
                              int *broken)
{
    enum sl_truth path = condition->path ? sl_request_holds(asked, condition->path, needs, broken) : SL_TRUE;
    enum sl_truth holds = path == SL_FALSE ? SL_FALSE : sl_program_holds(asked, condition->when, needs, broken);
    return holds == SL_TRUE ? path : holds;
}

/* Whether an attachment counts, by its conditions. What is not known yet leaves it open: a rule that lets pass does not
 * count, one that denies holds where no address will be known, or the request is not. */
static int counts(const struct search *search, struct sl_match *match)
{
    const struct sl_asked *asked = search->asked;
    struct sl_matches *out = search->out;
    const struct sl_condition *condition =
        sl_image_record(search->image, SL_SEC_CONDITIONS, match->attachment->condition);
    unsigned needs = 0, never = 0;
    if (!condition) {
        out->broken = 1;
        return 0;
    }
    if (condition->network && (!asked->place || asked->place->network != condition->network)) return 0;
    if (condition->flags & SL_CONDITION_UNAUTHORIZED) match->why = SL_WHY_UNAUTHORIZED;
    if (condition->flags & SL_CONDITION_NO_ROUTE) {
        if (!asked->request) return 0;
        match->why = SL_WHY_NO_ROUTE;
    }
    enum sl_truth holds = holds_of(asked, condition, &needs, &out->broken);
    if (needs & SL_NEEDS_PROTOCOL && holds != SL_FALSE) out->by_protocol = 1;
    if (holds != SL_UNKNOWN) return holds == SL_TRUE;
    if (is_denial(match->tier)) {
        int waits = needs & SL_NEEDS_ADDRESS && !(asked->place && asked->place->state == SL_PLACE_NEVER);
        if (!waits) match->why = SL_WHY_NEEDS_HTTP;
        return !waits;
    }
    if (condition->admit && sl_program_holds(asked, condition->admit, &never, &out->broken) == SL_FALSE) {
        if (!out->unadmitted.attachment) out->unadmitted = *match; /* the deepest */
        return 0;
    }
    out->open |= (uint8_t)needs;
    out->open_groups |= (uint8_t)(1u << match->attachment->group);
    return 0;
}

static void add_step(const struct search *search, const struct sl_match *match, int taken_out, int unmet)
{
    struct sl_trail_step step = {.phase = search->phase,
                                 .tier = match->attachment->tier,
                                 .reason = match->why == SL_WHY_NO_ROUTE ? (uint8_t)SL_REASON_NO_ROUTE
                                                                         : sl_tier_reason(match->attachment->tier),
                                 .excepted = (uint8_t)taken_out,
                                 .unmet = (uint8_t)unmet,
                                 .depth = match->depth,
                                 .port_class = match->port_class,
                                 .family = search->level->prefix.addr.family,
                                 .rule = match->attachment->rule,
                                 .selector = match->selector,
                                 .condition = match->attachment->condition};
    sl_trail_add(search->trail, &step);
}

/* There is an attribute for `sets`. */
static void begin_sets(struct sl_matches *out)
{
    if (!out->sets_any) memset(out->sets, 0, sizeof out->sets);
    out->sets_any = 1;
}

/* Keeps it among the best of group 0, and what it sets. */
static void keep_match(const struct sl_image *image, struct sl_matches *out, const struct sl_match *match, int lifts)
{
    if (lifts) out->lifts = 1;
    sl_keep(image, &out->best[match->tier], match);
    unsigned sets = sets_of(match->attachment);
    if (sets) begin_sets(out);
    for (unsigned i = 0; i < SL_ATTR_COUNT && sets >> i; i++)
        if (sets >> i & 1) sl_keep(image, &out->sets[SL_SETS(match->tier)][i], match);
}

/* One item of a selector that holds for the source. */
static int consider(void *visitor, const struct sl_item *item)
{
    const struct search *search = visitor;
    const struct sl_image *image = search->image;
    const struct sl_level *level = search->level;
    struct sl_matches *out = search->out;
    int deny_only = item->deny_only && !SL_BUG(WIDENED);
    const struct sl_attachment *attachment = sl_image_record(image, SL_SEC_ATTACHMENTS, item->attachment);
    const struct sl_selector *selector = sl_image_record(image, SL_SEC_SELECTORS, item->selector);
    if (!attachment || !selector || attachment->tier == SL_TIER_NONE || attachment->tier > SL_TIER_HARD_DENY) {
        out->broken = 1;
        return 0;
    }
    if (deny_only && (!is_denial(attachment->tier) || SL_BUG(LOWER))) return 0;
    int class = port_match(image, attachment->portset, search->port, &out->broken);
    if (class < 0) return 0;
    int taken_out = (attachment->flags & SL_ATTACH_EXCEPTS) && excepted(image, search->path, item, &out->broken);
    struct sl_match match = {.attachment = attachment,
                             .selector = item->selector,
                             .rank = selector->rank,
                             .depth = level->depth,
                             .port_class = (unsigned)class & 3u,
                             .tier = attachment->tier & 15u};
    if (SL_BUG(SUFFIX) && search->phase != SL_PHASE_ADDRESS && match.depth != SL_DEPTH_EXACT) match.depth = 0;
    int unmet = !taken_out && attachment->condition && !counts(search, &match);
    if (search->trail) add_step(search, &match, taken_out, unmet);
    if (taken_out || unmet) return 0;
    int lifts =
        attachment->tier == SL_TIER_ALLOW && (attachment->flags & SL_ATTACH_LIFTS) && sl_guard_liftable(&level->prefix);
    if (deny_only) out->lower = 1;
    if (search->winners && attachment->group && !SL_BUG(GROUPS))
        sl_keep_in_group(image, &search->winners[attachment->group], &match, lifts);
    else
        keep_match(image, out, &match, lifts);
    return 0;
}

/* A rule that won its group, but does not admit the source, denies. */
static void turn_unadmitted(const struct sl_asked *asked, struct sl_winner *winner, int *broken)
{
    struct sl_match *match = &winner->match;
    unsigned needs = 0;
    const struct sl_condition *condition =
        sl_image_record(asked->image, SL_SEC_CONDITIONS, match->attachment->condition);
    if (!condition) {
        *broken = 1;
        return;
    }
    if (match->tier != SL_TIER_ALLOW || !condition->admit || SL_BUG(ADMIT)) return;
    if (sl_program_holds(asked, condition->admit, &needs, broken) == SL_TRUE) return;
    match->tier = SL_TIER_DENY;
    match->why = SL_WHY_UNAUTHORIZED;
    winner->lifts = 0;
}

/* A group that goes by order alone has one verdict over both phases: what won it by the name goes before rules about the
 * address of no greater class. */
static int is_settled(const struct sl_asked *asked, const struct sl_attachment *attachment)
{
    return asked->by_name && attachment->flags & SL_ATTACH_BY_ORDER && !SL_BUG(SETTLED) &&
           attachment->class < asked->by_name[attachment->group];
}

/* The verdict of each group among those of group 0. What it sets and lifts is the winner's alone. */
static void take_winners(const struct sl_asked *asked, struct sl_matches *out, struct sl_winner winners[SL_GROUPS])
{
    for (unsigned group = 1; group < SL_GROUPS; group++) {
        const struct sl_match *match = &winners[group].match;
        if (!match->attachment || is_settled(asked, match->attachment)) continue;
        out->classes[group] = (uint8_t)(1 + match->attachment->class);
        if (match->attachment->condition) turn_unadmitted(asked, &winners[group], &out->broken);
        unsigned sets = match->tier == match->attachment->tier ? sets_of(match->attachment) : 0;
        if (sets) begin_sets(out);
        sl_keep_among_groups(&out->best[match->tier], match);
        for (unsigned i = 0; i < SL_ATTR_COUNT && sets >> i; i++)
            if (sets >> i & 1) sl_keep_among_groups(&out->sets[SL_SETS(match->tier)][i], match);
        if (winners[group].lifts) out->lifts = 1;
    }
}

void sl_match_path(const struct sl_asked *asked, const struct sl_path *path, enum sl_phase phase,
                   struct sl_matches *out, struct sl_trail *trail)
{
    const struct sl_image *image = asked->image;
    memset(out, 0, offsetof(struct sl_matches, sets));
    out->broken = path->broken;
    struct search search = {asked, image, path, NULL, asked->port, (uint8_t)phase, out, trail, NULL};
    struct sl_winner winners[SL_GROUPS];
    int grouped = (image->header->flags & SL_IMAGE_GROUPS) != 0, paths = (image->header->flags & SL_IMAGE_PATHS) != 0;
    if (grouped) search.winners = memset(winners, 0, sizeof winners);
    for (unsigned i = path->count; i-- > 0;) {
        search.level = &path->levels[i];
        uint32_t list = search.level->value;
        sl_visit_items(image, list, asked->source, asked->port, trail != NULL, consider, &search, &out->broken);
        if (paths) sl_visit_paths(asked, list, trail != NULL, consider, &search, &out->broken);
    }
    if (grouped) take_winners(asked, out, winners);
}

struct reach_search {
    const struct sl_image *image;
    uint16_t port;
    uint8_t above; /* sl_tier */
    int *broken;
};

static int reaches(void *visitor, const struct sl_item *item)
{
    const struct reach_search *search = visitor;
    const struct sl_attachment *attachment = sl_image_record(search->image, SL_SEC_ATTACHMENTS, item->attachment);
    if (!attachment) {
        *search->broken = 1;
        return 0;
    }
    if (item->deny_only && !is_denial(attachment->tier)) return 0;
    if (attachment->tier < SL_TIER_AUDIT && attachment->tier <= search->above) return 0;
    return port_match(search->image, attachment->portset, search->port, search->broken) >= 0;
}

int sl_reaches(const struct sl_asked *asked, uint32_t list, uint8_t tier, int *broken)
{
    struct reach_search search = {asked->image, asked->port, tier, broken};
    return list != 0 && sl_visit_items(asked->image, list, asked->source, asked->port, 0, reaches, &search, broken);
}
