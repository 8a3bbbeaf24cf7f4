/* Who a source is to the policy: the selectors that hold for it (DECISIONS.md section 1).
 * It trusts its caller for the identity: certificates and credentials were verified before. */
#include <string.h>

#include "decide.h"
#include "lookup.h"

static int known(const char *text)
{
    return text && *text;
}

/* A dual-stack listener shows IPv4 peers as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2). */
static struct sl_addr peer_address(const struct sl_addr *addr)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    struct sl_addr plain = *addr;
    if (addr->family != 6 || memcmp(addr->bytes, mapped, sizeof mapped) != 0) return plain;
    memset(&plain, 0, sizeof plain);
    memcpy(plain.bytes, addr->bytes + 12, 4);
    plain.family = 4;
    return plain;
}

int sl_source_user(const struct sl_image *image, const char *user, const char **namespace_,
                   const char **service_account)
{
    int broken = 0;
    *namespace_ = *service_account = "";
    uint32_t index = known(user) ? sl_image_user(image, user, &broken) : 0;
    const struct sl_user *record = index ? sl_image_record(image, SL_SEC_USERS, index) : NULL;
    if (!record) return 0;
    *namespace_ = sl_image_string(image, record->namespace_);
    *service_account = sl_image_string(image, record->service_account);
    return 1;
}

uint64_t sl_source_credential(const struct sl_image *image, const char *user)
{
    int broken = 0;
    uint32_t index = known(user) ? sl_image_user(image, user, &broken) : 0;
    const struct sl_user *record = index ? sl_image_record(image, SL_SEC_USERS, index) : NULL;
    return record ? (uint64_t)record->credential[0] << 32 | record->credential[1] : 0;
}

int sl_source_network(const struct sl_image *image, const struct sl_addr *addr, const char **namespace_,
                      const char **service_account)
{
    *namespace_ = *service_account = "";
    struct sl_addr peer = peer_address(addr);
    struct sl_path path;
    sl_path_address(image, SL_TRIE_NETWORK, &peer, &path);
    if (path.count == 0) return 0;
    const struct sl_network *record = sl_image_record(image, SL_SEC_NETWORKS, path.levels[path.count - 1].value);
    if (!record) return 0;
    *namespace_ = sl_image_string(image, record->namespace_);
    *service_account = sl_image_string(image, record->service_account);
    return 1;
}

static void add_selector(const struct sl_image *image, struct sl_source *out, uint32_t index, int *has_allow)
{
    const struct sl_selector *selector = sl_image_record(image, SL_SEC_SELECTORS, index);
    if (!selector || out->count == SL_SOURCE_SELECTORS) {
        out->overflow = 1;
        return;
    }
    if (selector->flags & SL_SELECTOR_HAS_ALLOW) *has_allow = 1;
    uint32_t at = out->count++;
    for (; at > 0 && out->selectors[at - 1] > index; at--) out->selectors[at] = out->selectors[at - 1];
    out->selectors[at] = index;
}

/* The selectors of one principal: from any address, and from each source prefix that contains this one. */
static void add_principal(const struct sl_image *image, struct sl_source *out, const struct sl_path *path, uint8_t kind,
                          const char *a, const char *b, int *has_allow)
{
    int broken = 0;
    uint32_t index = sl_image_principal(image, kind, a, b, &broken);
    const struct sl_principal *principal = index ? sl_image_record(image, SL_SEC_PRINCIPALS, index) : NULL;
    if (principal) {
        if (principal->audit) out->audit = 1;
        if (principal->selector) add_selector(image, out, principal->selector, has_allow);
        for (unsigned i = 0; i < path->count; i++) {
            uint32_t selector = sl_image_selector(image, index, path->levels[i].value, &broken);
            if (selector) add_selector(image, out, selector, has_allow);
        }
    }
    if (broken) out->overflow = 1;
}

void sl_source_resolve(const struct sl_image *image, const struct sl_source_key *key, struct sl_source *out)
{
    const char *space = key->namespace_, *account = key->service_account;
    int has_allow = 0;
    out->count = 0;
    out->audit = out->passthrough = out->overflow = 0;
    if (!known(space) && known(key->user)) sl_source_user(image, key->user, &space, &account);
    else if (!known(space) && !known(key->identity)) sl_source_network(image, &key->addr, &space, &account);

    struct sl_addr peer = peer_address(&key->addr);
    struct sl_path path;
    sl_path_address(image, SL_TRIE_SOURCE, &peer, &path);
    if (path.broken) out->overflow = 1;
    add_principal(image, out, &path, SL_PRINCIPAL_MESH, "", "", &has_allow);
    if (known(space)) {
        add_principal(image, out, &path, SL_PRINCIPAL_NAMESPACE, space, "", &has_allow);
        if (known(account)) add_principal(image, out, &path, SL_PRINCIPAL_SERVICE_ACCOUNT, space, account, &has_allow);
    }
    if (known(key->identity)) {
        add_principal(image, out, &path, SL_PRINCIPAL_IDENTITY, "", key->identity, &has_allow);
        if (known(space))
            add_principal(image, out, &path, SL_PRINCIPAL_NAMESPACE_IDENTITY, space, key->identity, &has_allow);
    }
    if (known(key->user)) {
        add_principal(image, out, &path, SL_PRINCIPAL_USER, "", key->user, &has_allow);
        if (known(space)) add_principal(image, out, &path, SL_PRINCIPAL_NAMESPACE_USER, space, key->user, &has_allow);
    }
    if (image->header->flags & SL_IMAGE_AUDIT) out->audit = 1;
    out->passthrough = (image->header->flags & SL_IMAGE_PASSTHROUGH) && !has_allow;
}
