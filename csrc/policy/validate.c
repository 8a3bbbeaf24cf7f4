/* The full check of a policy image, before it is published: every index, every order, every hash table.
 * It allocates nothing and ends on any input: walks are bounded by record counts. */
#include <string.h>

#include "base/contract.h"
#include "policy/checks.h"

static int is_text(const struct sl_check *check, uint32_t offset)
{
    return offset < sl_check_count(check, SL_SEC_STRINGS);
}

/* Sections lie one after the other, and those that reserve index 0 have it. */
static int check_sections(struct sl_check *check)
{
    static const uint8_t reserved[] = {SL_SEC_RULES,    SL_SEC_PORTSETS,    SL_SEC_LISTS,     SL_SEC_NODES,
                                       SL_SEC_PREFIXES, SL_SEC_PRINCIPALS,  SL_SEC_SELECTORS, SL_SEC_USERS,
                                       SL_SEC_NETWORKS, SL_SEC_MEMBERSHIPS, SL_SEC_REGEXES,   SL_SEC_LITERALS,
                                       SL_SEC_PATHS,    SL_SEC_CONDITIONS,  SL_SEC_PROGRAMS,  SL_SEC_SETTINGS};
    uint64_t end = sizeof(struct sl_image_header);
    for (unsigned i = 0; i < SL_SEC_COUNT; i++) {
        const struct sl_section_ref *section = &check->header->sections[i];
        if (section->offset < end) return sl_check_fail(check, SL_IMAGE_ORDER, "section", i);
        if (section->count > UINT32_MAX) return sl_check_fail(check, SL_IMAGE_BOUNDS, "section", i);
        end = section->offset + section->count * sl_section_record_size(i);
    }
    for (unsigned i = 0; i < sizeof reserved; i++)
        if (check->header->sections[reserved[i]].count == 0)
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "section", reserved[i]);
    const uint32_t flags = SL_IMAGE_HAS_POLICY | SL_IMAGE_PASSTHROUGH | SL_IMAGE_AUDIT | SL_IMAGE_STARTING |
                           SL_IMAGE_GROUPS | SL_IMAGE_ROLES | SL_IMAGE_PLACES | SL_IMAGE_NETWORKED |
                           SL_IMAGE_IDENTIFIED | SL_IMAGE_CLOSES | SL_IMAGE_PATHS;
    if (check->header->flags & ~flags) return sl_check_fail(check, SL_IMAGE_BOUNDS, "flags", check->header->flags);
    return 1;
}

static int check_rules(struct sl_check *check)
{
    for (uint64_t i = 0; i < sl_check_count(check, SL_SEC_SETTINGS); i++) {
        const struct sl_settings *settings = sl_check_record(check, SL_SEC_SETTINGS, i);
        int texts =
            is_text(check, settings->sources) && is_text(check, settings->route) && is_text(check, settings->headers);
        int any = settings->sources || settings->route || settings->headers;
        if (!texts || any != (i != 0)) return sl_check_fail(check, SL_IMAGE_BOUNDS, "settings", i);
    }
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_RULES); i++) {
        const struct sl_rule *rule = sl_check_record(check, SL_SEC_RULES, i);
        int texts = is_text(check, rule->kind) && is_text(check, rule->namespace_) && is_text(check, rule->name) &&
                    is_text(check, rule->file) && is_text(check, rule->upstream) && is_text(check, rule->tls) &&
                    rule->settings < sl_check_count(check, SL_SEC_SETTINGS);
        if (!texts || rule->tier < SL_TIER_DEFAULT_ALLOW || rule->tier > SL_TIER_HARD_DENY ||
            rule->on_revoke > SL_REVOKE_KEEP || rule->on_revoke_set > 1 || rule->inner > SL_INNER_OFF ||
            rule->protocol >= SL_INNER_PROTOCOL_COUNT || rule->ech >= SL_ECH_COUNT || rule->invalid > 1 || rule->pad)
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "rule", i);
    }
    return 1;
}

/* Runs and singles of each rule's host list, in the order that look-ups search by. */
static int check_lines(struct sl_check *check)
{
    uint64_t lines = sl_check_count(check, SL_SEC_LINES), nodes = sl_check_count(check, SL_SEC_NODES);
    uint64_t used = 0;
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_RULES); i++) {
        const struct sl_rule *rule = sl_check_record(check, SL_SEC_RULES, i);
        if (rule->line_count == 0) continue;
        if (rule->lines > lines || rule->line_count > lines - rule->lines || (used += rule->line_count) > lines)
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "lines of rule", i);
        const struct sl_line *line = sl_check_record(check, SL_SEC_LINES, rule->lines);
        for (uint32_t j = 0; j < rule->line_count; j++, line++) {
            if (line->node >= nodes || (line->line & ~(SL_LINE_SINGLE | SL_LINE_WILD)) == 0)
                return sl_check_fail(check, SL_IMAGE_BOUNDS, "lines of rule", i);
            if (j && sl_line_key(line->node, line->line) <= sl_line_key(line[-1].node, line[-1].line))
                return sl_check_fail(check, SL_IMAGE_ORDER, "lines of rule", i);
        }
    }
    return 1;
}

static int check_ports(struct sl_check *check)
{
    uint64_t ranges = sl_check_count(check, SL_SEC_RANGES);
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_PORTSETS); i++) {
        const struct sl_portset *set = sl_check_record(check, SL_SEC_PORTSETS, i);
        if (set->count == 0 || set->first > ranges || set->count > ranges - set->first)
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "portset", i);
        const struct sl_port_range *range = sl_check_record(check, SL_SEC_RANGES, set->first);
        for (uint32_t j = 0; j < set->count; j++)
            if (range[j].low > range[j].high || (j && range[j].low <= range[j - 1].high))
                return sl_check_fail(check, SL_IMAGE_ORDER, "portset", i);
    }
    return 1;
}

static int check_attachments(struct sl_check *check)
{
    for (uint64_t i = 0; i < sl_check_count(check, SL_SEC_ATTACHMENTS); i++) {
        const struct sl_attachment *attachment = sl_check_record(check, SL_SEC_ATTACHMENTS, i);
        if (attachment->rule == 0 || attachment->rule >= sl_check_count(check, SL_SEC_RULES) ||
            attachment->portset >= sl_check_count(check, SL_SEC_PORTSETS) ||
            !sl_in_group(attachment->tier, attachment->group, attachment->class) ||
            attachment->condition >= sl_check_count(check, SL_SEC_CONDITIONS) ||
            (attachment->group && !(check->header->flags & SL_IMAGE_GROUPS)))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "attachment", i);
        const struct sl_condition *condition = sl_check_record(check, SL_SEC_CONDITIONS, attachment->condition);
        int in_group = condition->admit || condition->network || attachment->flags & SL_ATTACH_BY_ORDER;
        if (in_group && !attachment->group) return sl_check_fail(check, SL_IMAGE_BOUNDS, "attachment", i);
        const unsigned others = SL_ATTACH_EXCEPTS | SL_ATTACH_LIFTS | SL_ATTACH_BY_ORDER;
        const struct sl_rule *rule = sl_check_record(check, SL_SEC_RULES, attachment->rule);
        uint16_t sets = sl_rule_sets(rule, sl_check_record(check, SL_SEC_SETTINGS, rule->settings));
        if ((attachment->flags & ~others) != sets)
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "attributes of attachment", i);
    }
    if (sl_check_count(check, SL_SEC_ATTACHMENTS) > SL_ENTRY_RUN)
        return sl_check_fail(check, SL_IMAGE_BOUNDS, "attachments", 0);
    return 1;
}

/* A table holds each record 1..records-1 once and has a free slot. That each is found under its key is checked with the
 * records: `records - 1` filled slots and every key found leave no room for a wrong one. */
static int check_slots(struct sl_check *check, enum sl_section slots, enum sl_section records, const char *what)
{
    uint64_t count = sl_check_count(check, slots), filled = 0;
    const uint32_t *slot = sl_check_record(check, slots, 0);
    for (uint64_t i = 0; i < count; i++) {
        if (slot[i] >= sl_check_count(check, records)) return sl_check_fail(check, SL_IMAGE_BOUNDS, what, i);
        filled += slot[i] != 0;
    }
    if (filled != sl_check_count(check, records) - 1 || (filled && filled == count))
        return sl_check_fail(check, SL_IMAGE_ORDER, what, count);
    return 1;
}

static int check_nodes(struct sl_check *check)
{
    if (!check_slots(check, SL_SEC_EDGES, SL_SEC_NODES, "edge")) return 0;
    uint64_t lists = sl_check_count(check, SL_SEC_LISTS), labels = sl_check_count(check, SL_SEC_LABELS);
    const uint8_t *bytes = sl_check_record(check, SL_SEC_LABELS, 0);
    for (uint64_t i = 0; i < sl_check_count(check, SL_SEC_NODES); i++) {
        const struct sl_node *node = sl_check_record(check, SL_SEC_NODES, i);
        if (node->exact >= lists || node->wildcard >= lists) return sl_check_fail(check, SL_IMAGE_BOUNDS, "node", i);
        if (i == 0) {
            if (node->parent != 0) return sl_check_fail(check, SL_IMAGE_ORDER, "node", i);
            continue;
        }
        if (node->parent >= i)
            return sl_check_fail(check, SL_IMAGE_ORDER, "node", i); /* parents first: every walk up ends */
        if (node->label >= labels || bytes[node->label] == 0 || bytes[node->label] > 63 ||
            bytes[node->label] >= labels - node->label)
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "node", i);
        int broken = 0;
        if (sl_image_child(check->image, node->parent, bytes + node->label + 1, bytes[node->label], &broken) != i ||
            broken)
            return sl_check_fail(check, SL_IMAGE_ORDER, "node", i);
    }
    return 1;
}

static int bit_of(const uint8_t bits[16], unsigned at)
{
    return bits[at / 8] >> (7 - at % 8) & 1;
}

/* Whether the first `length` bits of both are equal; and, with `longer` NULL, whether all bits after `length` are zero.
 */
static int same_prefix(const uint8_t bits[16], const uint8_t *longer, unsigned length)
{
    static const uint8_t zero[16];
    uint8_t mask = (uint8_t)(0xff00 >> length % 8);
    if (longer)
        return memcmp(bits, longer, length / 8) == 0 &&
               (length % 8 == 0 || ((bits[length / 8] ^ longer[length / 8]) & mask) == 0);
    unsigned from = (length + 7) / 8;
    return memcmp(bits + from, zero, 16 - from) == 0 && (length % 8 == 0 || (bits[length / 8] & (uint8_t)~mask) == 0);
}

static int check_prefix(struct sl_check *check, unsigned trie, unsigned family, uint32_t index)
{
    const struct sl_prefix_node *node = sl_check_record(check, SL_SEC_PREFIXES, index);
    uint64_t values = trie == SL_TRIE_DEST      ? sl_check_count(check, SL_SEC_LISTS)
                      : trie == SL_TRIE_SOURCE  ? (uint64_t)UINT32_MAX + 1
                      : trie == SL_TRIE_NETWORK ? sl_check_count(check, SL_SEC_NETWORKS)
                      : trie == SL_TRIE_WITHIN  ? sl_check_count(check, SL_SEC_MEMBERSHIPS)
                                                : 2;
    unsigned longest = family == 0 ? 32 : 128;
    if (node->length > longest || !same_prefix(node->bits, NULL, node->length))
        return sl_check_fail(check, SL_IMAGE_ORDER, "prefix", index);
    if (node->value >= values) return sl_check_fail(check, SL_IMAGE_BOUNDS, "prefix", index);
    for (int side = 0; side < 2; side++) {
        if (node->child[side] == 0) continue;
        const struct sl_prefix_node *child = sl_check_record(check, SL_SEC_PREFIXES, node->child[side]);
        if (!child) return sl_check_fail(check, SL_IMAGE_BOUNDS, "prefix", index);
        if (child->length <= node->length || child->length > longest ||
            !same_prefix(node->bits, child->bits, node->length) || bit_of(child->bits, node->length) != side)
            return sl_check_fail(check, SL_IMAGE_ORDER, "prefix", index);
    }
    return 1;
}

/* Walks every trie. Lengths grow with depth, so the stack is at most as deep as an address is long; the budget keeps a
 * node that hangs under two parents from being walked over and over. */
static int check_prefixes(struct sl_check *check)
{
    uint64_t budget = sl_check_count(check, SL_SEC_PREFIXES) - 1;
    for (unsigned trie = 0; trie < SL_TRIE_COUNT; trie++) {
        for (unsigned family = 0; family < 2; family++) {
            uint32_t stack[2 * 130];
            unsigned depth = 0;
            if (check->header->roots[trie][family]) stack[depth++] = check->header->roots[trie][family];
            while (depth) {
                uint32_t index = stack[--depth];
                if (index >= sl_check_count(check, SL_SEC_PREFIXES))
                    return sl_check_fail(check, SL_IMAGE_BOUNDS, "root", trie);
                if (budget-- == 0) return sl_check_fail(check, SL_IMAGE_ORDER, "prefix", index);
                if (!check_prefix(check, trie, family, index)) return 0;
                const struct sl_prefix_node *node = sl_check_record(check, SL_SEC_PREFIXES, index);
                for (int side = 0; side < 2; side++)
                    if (node->child[side]) stack[depth++] = node->child[side];
            }
        }
    }
    return 1;
}

static int check_sources(struct sl_check *check)
{
    if (!check_slots(check, SL_SEC_PRINCIPAL_SLOTS, SL_SEC_PRINCIPALS, "principal slot") ||
        !check_slots(check, SL_SEC_SELECTOR_SLOTS, SL_SEC_SELECTORS, "selector slot"))
        return 0;
    int broken = 0;
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_PRINCIPALS); i++) {
        const struct sl_principal *principal = sl_check_record(check, SL_SEC_PRINCIPALS, i);
        if (principal->kind == SL_PRINCIPAL_NONE || principal->kind >= SL_PRINCIPAL_KIND_COUNT ||
            principal->audit > 1 || principal->networked > 1 || !is_text(check, principal->a) ||
            !is_text(check, principal->b))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "principal", i);
        if (sl_image_selector(check->image, (uint32_t)i, 0, &broken) != principal->selector ||
            sl_image_principal(check->image, principal->kind, sl_image_string(check->image, principal->a),
                               sl_image_string(check->image, principal->b), &broken) != i)
            return sl_check_fail(check, SL_IMAGE_ORDER, "principal", i);
    }
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_SELECTORS); i++) {
        const struct sl_selector *selector = sl_check_record(check, SL_SEC_SELECTORS, i);
        if (selector->principal == 0 || selector->principal >= sl_check_count(check, SL_SEC_PRINCIPALS) ||
            selector->membership >= sl_check_count(check, SL_SEC_MEMBERSHIPS) ||
            selector->flags > SL_SELECTOR_HAS_ALLOW)
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "selector", i);
        if (sl_image_selector(check->image, selector->principal, selector->cidr, &broken) != i)
            return sl_check_fail(check, SL_IMAGE_ORDER, "selector", i);
    }
    return 1;
}

static int check_people(struct sl_check *check)
{
    int broken = 0;
    if (!check_slots(check, SL_SEC_USER_SLOTS, SL_SEC_USERS, "user slot")) return 0;
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_USERS); i++) {
        const struct sl_user *user = sl_check_record(check, SL_SEC_USERS, i);
        if (!is_text(check, user->name) || !is_text(check, user->namespace_) || !is_text(check, user->service_account))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "user", i);
        if (sl_image_user(check->image, sl_image_string(check->image, user->name), &broken) != i)
            return sl_check_fail(check, SL_IMAGE_ORDER, "user", i);
    }
    for (uint64_t i = 1; i < sl_check_count(check, SL_SEC_NETWORKS); i++) {
        const struct sl_network *network = sl_check_record(check, SL_SEC_NETWORKS, i);
        if (!is_text(check, network->namespace_) || !is_text(check, network->service_account))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "network", i);
    }
    for (uint64_t i = 0; i < sl_check_count(check, SL_SEC_OWN); i++) {
        const struct sl_own *own = sl_check_record(check, SL_SEC_OWN, i);
        uint8_t longest = own->family == 6 ? 128 : own->family == 4 ? 32 : 0;
        if ((own->family != 4 && own->family != 6 && own->family != 0) || own->length > longest ||
            (own->family == 0 && own->port == 0))
            return sl_check_fail(check, SL_IMAGE_BOUNDS, "own address", i);
    }
    return 1;
}

enum sl_image_status sl_image_validate(const void *base, size_t size, struct sl_image *image, char where[64])
{
    static int (*const checks[])(struct sl_check *) = {
        check_sections,   check_rules,      check_ports,       check_attachments, sl_check_lists,
        sl_check_clauses, check_nodes,      check_prefixes,    check_sources,     check_people,
        check_lines,      sl_check_regexes, sl_check_literals, sl_check_paths,    sl_check_programs};
    if (where) where[0] = 0;
    enum sl_image_status status = sl_image_open(base, size, image);
    if (status != SL_IMAGE_OK) {
        if (where) snprintf(where, 64, "header");
        return status;
    }
    struct sl_check check = {image, image->header, SL_IMAGE_OK, where};
    for (unsigned i = 0; i < sizeof checks / sizeof *checks; i++) {
        if (!checks[i](&check)) {
            memset(image, 0, sizeof *image);
            return check.status;
        }
    }
    return SL_IMAGE_OK;
}
