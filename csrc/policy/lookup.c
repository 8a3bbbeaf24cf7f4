/* Trie walks, and the search of their lists for what matches a source and a port. */
#include "policy/lookup.h"

#include <string.h>

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

/* The entries of one list. */
struct span {
    const struct sl_entry *entries;
    uint32_t count;
};

static struct span span_of(const struct sl_image *image, uint32_t list, int *broken)
{
    struct span span = {NULL, 0};
    const struct sl_list *record = sl_image_record(image, SL_SEC_LISTS, list);
    uint64_t entries = image->header->sections[SL_SEC_ENTRIES].count;
    if (!record || record->first > entries || record->count > entries - record->first) {
        *broken = 1;
        return span;
    }
    span.entries = record->count ? sl_image_record(image, SL_SEC_ENTRIES, record->first) : NULL;
    span.count = record->count;
    return span;
}

/* The first entry at or after (selector, attachment). */
static uint32_t lower_bound(struct span span, uint32_t selector, uint32_t attachment)
{
    uint32_t low = 0, high = span.count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct sl_entry *entry = &span.entries[middle];
        int before = entry->selector < selector || (entry->selector == selector && entry->attachment < attachment);
        if (before)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
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
static int excepted(const struct sl_image *image, const struct sl_path *path, const struct sl_entry *entry, int *broken)
{
    if (SL_BUG(EXCEPT)) return 0;
    for (unsigned i = path->count; i-- > 0;) {
        struct span span = span_of(image, path->levels[i].value, broken);
        uint32_t wanted = entry->attachment | SL_ENTRY_EXCEPT, at = lower_bound(span, entry->selector, wanted);
        if (at < span.count && span.entries[at].selector == entry->selector && span.entries[at].attachment == wanted)
            return 1;
    }
    return 0;
}

/* Inside a level: single port > range > any, then the selector's rank, then the attachment's order. */
static int better(const struct sl_match *a, const struct sl_match *b)
{
    if (a->port_class != b->port_class) return a->port_class > b->port_class;
    if (a->rank != b->rank && !SL_BUG(RANK)) return a->rank > b->rank;
    if (SL_BUG(ORDER)) return a->attachment->order > b->attachment->order;
    return a->attachment->order < b->attachment->order;
}

/* Levels come deepest first. */
static void keep(struct sl_match *best, const struct sl_match *match)
{
    if (!best->attachment || (best->depth == match->depth && better(match, best))) *best = *match;
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

static uint8_t tier_reason(uint8_t tier)
{
    static const uint8_t reasons[] = {SL_REASON_INTERNAL, SL_REASON_RULE_AUDIT, SL_REASON_RULE_ALLOW,
                                      SL_REASON_RULE_DENY, SL_REASON_RULE_HARD_DENY};
    return reasons[tier <= SL_TIER_HARD_DENY ? tier : 0];
}

struct search {
    const struct sl_image *image;
    const struct sl_path *path;
    uint16_t port;
    uint8_t phase;
    struct sl_matches *out;
    struct sl_trail *trail;
};

/* One entry of a selector that holds for the source. */
static void consider(const struct search *search, const struct sl_level *level, const struct sl_entry *entry,
                     int deny_only)
{
    const struct sl_image *image = search->image;
    struct sl_matches *out = search->out;
    const struct sl_attachment *attachment = sl_image_record(image, SL_SEC_ATTACHMENTS, entry->attachment);
    const struct sl_selector *selector = sl_image_record(image, SL_SEC_SELECTORS, entry->selector);
    if (!attachment || !selector || attachment->tier == SL_TIER_NONE || attachment->tier > SL_TIER_HARD_DENY) {
        out->broken = 1;
        return;
    }
    if (deny_only && attachment->tier < SL_TIER_DENY) return;
    int class = port_match(image, attachment->portset, search->port, &out->broken);
    if (class < 0) return;
    int taken_out = (attachment->flags & SL_ATTACH_EXCEPTS) && excepted(image, search->path, entry, &out->broken);
    struct sl_match match = {attachment, entry->selector, selector->rank, level->depth, (uint8_t)class};
    if (SL_BUG(SUFFIX) && search->phase != SL_PHASE_ADDRESS && match.depth != SL_DEPTH_EXACT) match.depth = 0;
    if (search->trail) {
        struct sl_trail_step step = {.phase = search->phase,
                                     .tier = attachment->tier,
                                     .reason = tier_reason(attachment->tier),
                                     .excepted = (uint8_t)taken_out,
                                     .depth = level->depth,
                                     .port_class = (uint8_t)class,
                                     .family = level->prefix.addr.family,
                                     .rule = attachment->rule,
                                     .selector = entry->selector};
        sl_trail_add(search->trail, &step);
    }
    if (taken_out) return;
    if (attachment->tier == SL_TIER_ALLOW && (attachment->flags & SL_ATTACH_LIFTS) && sl_guard_liftable(&level->prefix))
        out->lifts = 1;
    if (deny_only) out->lower = 1;
    keep(&out->best[attachment->tier], &match);
    unsigned sets = attachment->flags / SL_ATTACH_SETS;
    for (unsigned i = 0; i < SL_ATTR_COUNT && sets >> i; i++)
        if (sets >> i & 1) keep(&out->sets[attachment->tier][i], &match);
}

void sl_match_path(const struct sl_image *image, const struct sl_source *source, const struct sl_path *path,
                   uint16_t port, enum sl_phase phase, struct sl_matches *out, struct sl_trail *trail)
{
    memset(out, 0, sizeof *out);
    out->broken = path->broken;
    struct search search = {image, path, port, (uint8_t)phase, out, trail};
    for (unsigned i = path->count; i-- > 0;) {
        struct span span = span_of(image, path->levels[i].value, &out->broken);
        for (uint32_t s = 0; s < source->count; s++) {
            uint32_t selector = source->selectors[s] & ~SL_SELECTOR_DENY_ONLY;
            int deny_only = selector != source->selectors[s] && !SL_BUG(WIDENED);
            if (deny_only && SL_BUG(LOWER)) continue;
            uint32_t at = lower_bound(span, selector, 0);
            for (; at < span.count && span.entries[at].selector == selector; at++) {
                if (span.entries[at].attachment & SL_ENTRY_EXCEPT) break; /* excepts sort last */
                consider(&search, &path->levels[i], &span.entries[at], deny_only);
            }
        }
    }
}

int sl_reaches(const struct sl_image *image, const struct sl_source *source, uint32_t list, uint16_t port, int *broken)
{
    if (list == 0) return 0;
    struct span span = span_of(image, list, broken);
    for (uint32_t s = 0; s < source->count; s++) {
        uint32_t selector = source->selectors[s] & ~SL_SELECTOR_DENY_ONLY;
        int deny_only = selector != source->selectors[s];
        uint32_t at = lower_bound(span, selector, 0);
        for (; at < span.count && span.entries[at].selector == selector; at++) {
            const struct sl_attachment *attachment =
                sl_image_record(image, SL_SEC_ATTACHMENTS, span.entries[at].attachment);
            if (!attachment) {
                *broken = 1;
                return 0;
            }
            if (deny_only && attachment->tier < SL_TIER_DENY) continue;
            if (port_match(image, attachment->portset, port, broken) >= 0) return 1;
        }
    }
    return 0;
}
