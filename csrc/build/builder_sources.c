/* Building the source side of an image: principals, selectors, users and networks. */
#include <string.h>

#include "build/builder_private.h"

static const char *text_at(const struct sl_builder *b, uint32_t offset)
{
    return (const char *)b->strings.data + offset;
}

struct principal_key {
    uint32_t a, b;
    uint8_t kind;
};

static uint32_t principal_hash(const struct sl_builder *b, uint32_t index)
{
    const struct sl_principal *record = &SL_AT(struct sl_principal, b->principals, index);
    return sl_hash_principal(record->kind, text_at(b, record->a), text_at(b, record->b));
}

static int principal_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    const struct sl_principal *record = &SL_AT(struct sl_principal, b->principals, index);
    const struct principal_key *key = wanted;
    return record->kind == key->kind && record->a == key->a && record->b == key->b;
}

enum sl_build_status sl_builder_principal(struct sl_builder *b, uint8_t kind, const char *a, const char *b_text,
                                          int audit, uint32_t *id)
{
    enum { A = 1, B = 2 };
    static const uint8_t uses[SL_PRINCIPAL_KIND_COUNT] = {
        [SL_PRINCIPAL_NAMESPACE] = A,
        [SL_PRINCIPAL_SERVICE_ACCOUNT] = A | B,
        [SL_PRINCIPAL_IDENTITY] = B,
        [SL_PRINCIPAL_USER] = B,
        [SL_PRINCIPAL_NAMESPACE_IDENTITY] = A | B,
        [SL_PRINCIPAL_NAMESPACE_USER] = A | B,
        [SL_PRINCIPAL_ROLE] = B,
        [SL_PRINCIPAL_PODS] = B,
        [SL_PRINCIPAL_NAMESPACES] = B,
    };
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (kind == SL_PRINCIPAL_NONE || kind >= SL_PRINCIPAL_KIND_COUNT) return SL_BUILD_BAD_ARGUMENT;
    if ((*a != 0) != ((uses[kind] & A) != 0) || (*b_text != 0) != ((uses[kind] & B) != 0)) return SL_BUILD_BAD_ARGUMENT;
    struct principal_key key = {.kind = kind};
    if (sl_text_intern(b, a, &key.a) != SL_BUILD_OK || sl_text_intern(b, b_text, &key.b) != SL_BUILD_OK)
        return b->failed;
    uint32_t hash = sl_hash_principal(kind, a, b_text);
    uint32_t *slot = sl_table_slot(b, &b->principal_slots, hash, principal_hash, principal_equal, &key);
    if (!slot) return b->failed;
    if (!*slot) {
        struct sl_principal *record = sl_vec_push(b, &b->principals, sizeof *record, 1);
        if (!record) return b->failed;
        *record = (struct sl_principal){.a = key.a, .b = key.b, .kind = kind};
        *slot = (uint32_t)(b->principals.count - 1);
        b->principal_slots.used++;
    }
    if (kind == SL_PRINCIPAL_ROLE || kind == SL_PRINCIPAL_ROLE_OTHER) b->flags |= SL_IMAGE_ROLES;
    if (kind == SL_PRINCIPAL_IDENTIFIED) b->flags |= SL_IMAGE_IDENTIFIED;
    if (audit) SL_AT(struct sl_principal, b->principals, *slot).audit = 1;
    *id = *slot;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_networked(struct sl_builder *b, const char *namespace_)
{
    uint32_t id;
    enum sl_build_status status = sl_builder_principal(b, SL_PRINCIPAL_NAMESPACE, namespace_, "", 0, &id);
    if (status != SL_BUILD_OK) return status;
    SL_AT(struct sl_principal, b->principals, id).networked = 1;
    return SL_BUILD_OK;
}

static uint32_t selector_hash(const struct sl_builder *b, uint32_t index)
{
    const struct sl_selector *record = &SL_AT(struct sl_selector, b->selectors, index);
    return sl_hash_pair(record->principal, record->cidr);
}

static int selector_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    const struct sl_selector *record = &SL_AT(struct sl_selector, b->selectors, index), *key = wanted;
    return record->principal == key->principal && record->cidr == key->cidr;
}

/* identity and user > service account > namespace > cidr > mesh, then the longer prefix (DECISIONS.md section 4). Selected
 * pods are as narrow as a service account, selected namespaces as a namespace. */
static uint16_t rank_of(uint8_t kind, const struct sl_prefix *cidr)
{
    static const uint8_t classes[SL_PRINCIPAL_KIND_COUNT] = {
        [SL_PRINCIPAL_MESH] = 1,           [SL_PRINCIPAL_NAMESPACE] = 3,  [SL_PRINCIPAL_SERVICE_ACCOUNT] = 4,
        [SL_PRINCIPAL_IDENTITY] = 5,       [SL_PRINCIPAL_USER] = 5,       [SL_PRINCIPAL_NAMESPACE_IDENTITY] = 5,
        [SL_PRINCIPAL_NAMESPACE_USER] = 5, [SL_PRINCIPAL_ROLE] = 5,       [SL_PRINCIPAL_ROLE_OTHER] = 5,
        [SL_PRINCIPAL_PODS] = 4,           [SL_PRINCIPAL_NAMESPACES] = 3, [SL_PRINCIPAL_IDENTIFIED] = 1,
        [SL_PRINCIPAL_ELSEWHERE] = 1,
    };
    unsigned class = cidr && kind == SL_PRINCIPAL_MESH ? 2 : classes[kind];
    return (uint16_t)(class * 256 + (cidr ? cidr->length + 1u : 0));
}

enum sl_build_status sl_builder_selector(struct sl_builder *b, uint32_t principal, const struct sl_prefix *cidr,
                                         int has_allow, uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (principal == 0 || principal >= b->principals.count) return SL_BUILD_BAD_ARGUMENT;
    struct sl_selector key = {.principal = principal};
    key.rank = rank_of(SL_AT(struct sl_principal, b->principals, principal).kind, cidr);
    if (cidr) {
        uint32_t node = sl_prefix_insert(b, SL_TRIE_SOURCE, cidr);
        if (!node) return b->failed != SL_BUILD_OK ? b->failed : SL_BUILD_BAD_ARGUMENT;
        uint32_t *value = &SL_AT(struct sl_prefix_node, b->prefixes, node).value;
        if (!*value) *value = ++b->source_cidrs; /* no more of them than prefixes: it cannot wrap */
        key.cidr = *value;
    }
    uint32_t hash = sl_hash_pair(key.principal, key.cidr);
    uint32_t *slot = sl_table_slot(b, &b->selector_slots, hash, selector_hash, selector_equal, &key);
    if (!slot) return b->failed;
    if (!*slot) {
        if (b->selectors.count >= SL_SELECTOR_DENY_ONLY) return b->failed = SL_BUILD_TOO_LARGE;
        struct sl_selector *record = sl_vec_push(b, &b->selectors, sizeof *record, 1);
        if (!record) return b->failed;
        *record = key;
        *slot = (uint32_t)(b->selectors.count - 1);
        b->selector_slots.used++;
        if (!cidr) SL_AT(struct sl_principal, b->principals, principal).selector = *slot;
    }
    if (has_allow) SL_AT(struct sl_selector, b->selectors, *slot).flags |= SL_SELECTOR_HAS_ALLOW;
    *id = *slot;
    return SL_BUILD_OK;
}

static uint32_t user_hash(const struct sl_builder *b, uint32_t index)
{
    return sl_hash_text(text_at(b, SL_AT(struct sl_user, b->users, index).name));
}

static int user_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    return strcmp(text_at(b, SL_AT(struct sl_user, b->users, index).name), wanted) == 0;
}

enum sl_build_status sl_builder_user(struct sl_builder *b, const char *name, const char *namespace_,
                                     const char *service_account)
{
    struct sl_user key = {0};
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (*name == 0) return SL_BUILD_BAD_ARGUMENT;
    if (sl_text_intern(b, name, &key.name) != SL_BUILD_OK ||
        sl_text_intern(b, namespace_, &key.namespace_) != SL_BUILD_OK ||
        sl_text_intern(b, service_account, &key.service_account) != SL_BUILD_OK)
        return b->failed;
    uint32_t *slot = sl_table_slot(b, &b->user_slots, sl_hash_text(name), user_hash, user_equal, name);
    if (!slot) return b->failed;
    if (*slot) {
        const struct sl_user *known = &SL_AT(struct sl_user, b->users, *slot);
        return known->namespace_ == key.namespace_ && known->service_account == key.service_account
                   ? SL_BUILD_OK
                   : SL_BUILD_BAD_ARGUMENT;
    }
    struct sl_user *record = sl_vec_push(b, &b->users, sizeof *record, 1);
    if (!record) return b->failed;
    *record = key;
    *slot = (uint32_t)(b->users.count - 1);
    b->user_slots.used++;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_credential(struct sl_builder *b, const char *name, uint64_t credential)
{
    if (b->failed != SL_BUILD_OK) return b->failed;
    uint32_t *slot = sl_table_slot(b, &b->user_slots, sl_hash_text(name), user_hash, user_equal, name);
    if (!slot) return b->failed;
    if (!*slot) return SL_BUILD_BAD_ARGUMENT;
    struct sl_user *record = &SL_AT(struct sl_user, b->users, *slot);
    record->credential[0] = (uint32_t)(credential >> 32);
    record->credential[1] = (uint32_t)credential;
    return SL_BUILD_OK;
}

enum sl_build_status sl_builder_network(struct sl_builder *b, const struct sl_prefix *cidr, const char *namespace_,
                                        const char *service_account)
{
    struct sl_network key = {0};
    if (sl_text_intern(b, namespace_, &key.namespace_) != SL_BUILD_OK ||
        sl_text_intern(b, service_account, &key.service_account) != SL_BUILD_OK)
        return b->failed;
    uint32_t node = sl_prefix_insert(b, SL_TRIE_NETWORK, cidr);
    if (!node) return b->failed != SL_BUILD_OK ? b->failed : SL_BUILD_BAD_ARGUMENT;
    uint32_t value = SL_AT(struct sl_prefix_node, b->prefixes, node).value;
    if (value)
        return memcmp(&SL_AT(struct sl_network, b->networks, value), &key, sizeof key) == 0 ? SL_BUILD_OK
                                                                                            : SL_BUILD_BAD_ARGUMENT;
    struct sl_network *record = sl_vec_push(b, &b->networks, sizeof *record, 1);
    if (!record) return b->failed;
    *record = key;
    SL_AT(struct sl_prefix_node, b->prefixes, node).value = (uint32_t)(b->networks.count - 1);
    return SL_BUILD_OK;
}
