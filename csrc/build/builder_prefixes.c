/* Building prefix tries: Patricia tries of whole prefixes, both families, in one pool of nodes.
 * A node is a prefix that was added, or the longest common prefix of its two children. */
#include <string.h>

#include "build/builder_private.h"

static unsigned bit_of(const uint8_t bits[16], unsigned at)
{
    return ((unsigned)bits[at / 8] >> (7 - at % 8)) & 1;
}

/* How many leading bits are equal, at most `limit`. */
static unsigned common_bits(const uint8_t a[16], const uint8_t b[16], unsigned limit)
{
    unsigned at = 0;
    while (at + 8 <= limit && a[at / 8] == b[at / 8]) at += 8;
    while (at < limit && bit_of(a, at) == bit_of(b, at)) at++;
    return at;
}

static uint32_t new_node(struct sl_builder *b, const uint8_t bits[16], unsigned length)
{
    struct sl_prefix_node *node = sl_vec_push(b, &b->prefixes, sizeof *node, 1);
    if (!node) return 0;
    memcpy(node->bits, bits, length / 8);
    if (length % 8) node->bits[length / 8] = bits[length / 8] & (uint8_t)(0xff00 >> length % 8);
    node->length = (uint8_t)length;
    return (uint32_t)(b->prefixes.count - 1);
}

static struct sl_prefix_node *node_at(struct sl_builder *b, uint32_t index)
{
    return &SL_AT(struct sl_prefix_node, b->prefixes, index);
}

uint32_t sl_prefix_insert(struct sl_builder *b, enum sl_trie trie, const struct sl_prefix *prefix)
{
    unsigned family = prefix->addr.family, length = prefix->length;
    if (b->failed != SL_BUILD_OK) return 0;
    if ((family != 4 && family != 6) || length > (family == 4 ? 32u : 128u)) return 0;
    const uint8_t *bits = prefix->addr.bytes;
    uint32_t *root = &b->roots[trie][family == 6];
    uint32_t parent = 0, at = *root, result;
    unsigned side = 0, common = 0;
    while (at) { /* down to the node that is this prefix, or that leaves its path */
        struct sl_prefix_node *node = node_at(b, at);
        common = common_bits(node->bits, bits, node->length < length ? node->length : length);
        if (common == length && common == node->length) return at;
        if (common < node->length) break;
        parent = at;
        side = bit_of(bits, common);
        at = node->child[side];
    }
    result = new_node(b, bits, length);
    uint32_t hung = result; /* the parent's new child */
    if (at && common == length) {
        if (result) node_at(b, result)->child[bit_of(node_at(b, at)->bits, length)] = at;
    } else if (at) {
        hung = new_node(b, bits, common);
        if (!hung) return 0;
        node_at(b, hung)->child[bit_of(bits, common)] = result;
        node_at(b, hung)->child[bit_of(node_at(b, at)->bits, common)] = at;
    }
    if (!result) return 0;
    if (parent)
        node_at(b, parent)->child[side] = hung;
    else
        *root = hung;
    return result;
}

static enum sl_build_status refused(const struct sl_builder *b)
{
    return b->failed != SL_BUILD_OK ? b->failed : SL_BUILD_BAD_ARGUMENT;
}

static enum sl_build_status hang(struct sl_builder *b, uint32_t attachment, const struct sl_prefix *prefix,
                                 uint32_t except)
{
    if (attachment >= b->hangings.count) return refused(b);
    uint32_t node = sl_prefix_insert(b, SL_TRIE_DEST, prefix);
    if (!node) return refused(b);
    uint32_t set = node_at(b, node)->value;
    enum sl_build_status status = sl_set_add(b, &set, attachment << 1 | except);
    node_at(b, node)->value = set;
    return status;
}

enum sl_build_status sl_builder_cidr(struct sl_builder *b, uint32_t attachment, const struct sl_prefix *prefix)
{
    enum sl_build_status status = hang(b, attachment, prefix, 0);
    if (status != SL_BUILD_OK) return status;
    struct sl_hanging *hanging = &SL_AT(struct sl_hanging, b->hangings, attachment);
    hanging->has_cidr = 1;
    if (hanging->record.tier == SL_TIER_ALLOW && sl_guard_liftable(prefix)) hanging->record.flags |= SL_ATTACH_LIFTS;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_cidr_except(struct sl_builder *b, uint32_t attachment, const struct sl_prefix *prefix)
{
    enum sl_build_status status = hang(b, attachment, prefix, 1);
    if (status == SL_BUILD_OK) SL_AT(struct sl_hanging, b->hangings, attachment).record.flags |= SL_ATTACH_EXCEPTS;
    return status;
}

enum sl_build_status sl_builder_guard(struct sl_builder *b, const struct sl_prefix *cidr, int allow)
{
    uint32_t node = sl_prefix_insert(b, allow ? SL_TRIE_GUARD_ALLOW : SL_TRIE_GUARD_DENY, cidr);
    if (!node) return refused(b);
    node_at(b, node)->value = 1;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_nat64(struct sl_builder *b, const struct sl_prefix *prefix)
{
    struct sl_addr embedded;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (!sl_nat64_embedded(&prefix->addr, prefix->length, &embedded)) return SL_BUILD_BAD_ARGUMENT;
    uint32_t node = sl_prefix_insert(b, SL_TRIE_NAT64, prefix);
    if (!node) return refused(b);
    node_at(b, node)->value = 1;
    return SL_BUILD_OK;
}
