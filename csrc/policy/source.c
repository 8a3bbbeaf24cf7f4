/* A source as policy knows it: the selectors that hold for it (DECISIONS.md section 1).
 * It trusts its caller for the identity: certificates and credentials were verified before. */
#include <string.h>

#include "policy/judge.h"
#include "policy/lookup.h"
#include "policy/seed.h"

static int known(const char *text)
{
    return text && *text;
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
    struct sl_addr peer = sl_addr_unmapped(addr);
    struct sl_path path;
    sl_path_address(image, SL_TRIE_NETWORK, &peer, &path);
    if (path.count == 0) return 0;
    const struct sl_network *record = sl_image_record(image, SL_SEC_NETWORKS, path.levels[path.count - 1].value);
    if (!record) return 0;
    *namespace_ = sl_image_string(image, record->namespace_);
    *service_account = sl_image_string(image, record->service_account);
    return 1;
}

/* One identity of a source, for one image. */
struct identity {
    const struct sl_image *image;
    const struct sl_path *path; /* source prefixes that contain the peer */
    struct sl_source *out;
    uint32_t mark;     /* SL_SELECTOR_DENY_ONLY for a lower identity, else 0 */
    uint8_t audit;     /* one of its principals is in audit mode */
    uint8_t has_allow; /* an allow selects one of its principals */
};

/* The highest identity comes first, so a selector that is there already stays as it is. */
static void add_selector(struct identity *identity, uint32_t index)
{
    struct sl_source *out = identity->out;
    const struct sl_selector *selector = sl_image_record(identity->image, SL_SEC_SELECTORS, index);
    if (!selector || out->count == SL_SOURCE_SELECTORS) {
        out->overflow = 1;
        return;
    }
    if (selector->flags & SL_SELECTOR_HAS_ALLOW) identity->has_allow = 1;
    uint32_t at = out->count;
    while (at > 0 && (out->selectors[at - 1] & ~SL_SELECTOR_DENY_ONLY) > index) at--;
    if (at > 0 && (out->selectors[at - 1] & ~SL_SELECTOR_DENY_ONLY) == index) return;
    memmove(&out->selectors[at + 1], &out->selectors[at], (out->count - at) * sizeof *out->selectors);
    out->selectors[at] = index | identity->mark;
    out->count++;
}

/* The selectors of one principal: from any address, and from each source prefix that contains this one. */
static void add_principal(struct identity *identity, uint8_t kind, const char *a, const char *b)
{
    int broken = 0;
    uint32_t index = sl_image_principal(identity->image, kind, a, b, &broken);
    const struct sl_principal *principal = index ? sl_image_record(identity->image, SL_SEC_PRINCIPALS, index) : NULL;
    if (principal) {
        if (principal->audit) identity->audit = 1;
        if (principal->selector) add_selector(identity, principal->selector);
        for (unsigned i = 0; i < identity->path->count; i++) {
            uint32_t selector = sl_image_selector(identity->image, index, identity->path->levels[i].value, &broken);
            if (selector) add_selector(identity, selector);
        }
    }
    if (broken) identity->out->overflow = 1;
}

/* The role that a certificate's identity is, "CN=name" or "OU=name"; NULL: none. */
static const char *certified_role(const char *identity)
{
    if (!identity || (strncmp(identity, "CN=", 3) != 0 && strncmp(identity, "OU=", 3) != 0)) return NULL;
    return identity[3] ? identity + 3 : NULL;
}

/* A role is its principal, or one of all the others. A source without one is neither. */
static void add_role(struct identity *identity, const char *role)
{
    int broken = 0;
    if (!(identity->image->header->flags & SL_IMAGE_ROLES) || !known(role)) return;
    if (sl_image_principal(identity->image, SL_PRINCIPAL_ROLE, "", role, &broken)) {
        add_principal(identity, SL_PRINCIPAL_ROLE, "", role);
        if (!SL_BUG(ROLE_OTHER)) return;
    }
    add_principal(identity, SL_PRINCIPAL_ROLE_OTHER, "", "");
    if (broken) identity->out->overflow = 1;
}

/* A namespace is elsewhere where none of the networks of destinations is its own. */
static void add_elsewhere(struct identity *identity, const char *space)
{
    int broken = 0;
    uint32_t index = sl_image_principal(identity->image, SL_PRINCIPAL_NAMESPACE, space, "", &broken);
    const struct sl_principal *principal = index ? sl_image_record(identity->image, SL_SEC_PRINCIPALS, index) : NULL;
    if (broken) identity->out->overflow = 1;
    if (!principal || !principal->networked) add_principal(identity, SL_PRINCIPAL_ELSEWHERE, "", "");
}

/* A namespace with what narrows it; `uri` or `user` may be NULL or "". */
static void add_identity(struct identity *identity, const char *space, const char *account, const char *uri,
                         const char *user)
{
    if (known(space)) add_principal(identity, SL_PRINCIPAL_NAMESPACE, space, "");
    if (known(space) && known(account)) add_principal(identity, SL_PRINCIPAL_SERVICE_ACCOUNT, space, account);
    if (known(uri)) add_principal(identity, SL_PRINCIPAL_IDENTITY, "", uri);
    if (known(uri) && known(space)) add_principal(identity, SL_PRINCIPAL_NAMESPACE_IDENTITY, space, uri);
    if (known(user)) add_principal(identity, SL_PRINCIPAL_USER, "", user);
    if (known(user) && known(space)) add_principal(identity, SL_PRINCIPAL_NAMESPACE_USER, space, user);
    uint32_t flags = identity->image->header->flags;
    if (flags & SL_IMAGE_NETWORKED && known(space)) add_elsewhere(identity, space);
    if (flags & SL_IMAGE_IDENTIFIED && (known(account) || known(uri)))
        add_principal(identity, SL_PRINCIPAL_IDENTIFIED, "", "");
}

/* Closes one identity: those after it are lower. Audit mode is the highest identity's own, and a lower one keeps its
 * denies out of it unless it audits; an allow that selects any of them ends passthrough, so that no log-in opens
 * what was closed. */
static void end_identity(struct identity *identity, int *has_allow)
{
    struct sl_source *out = identity->out;
    if (!identity->mark) {
        out->audit = identity->audit;
        out->lower_audit = 1;
    } else if (!identity->audit) {
        out->lower_audit = 0;
    }
    if (identity->has_allow) *has_allow = 1;
    identity->mark = SL_SELECTOR_DENY_ONLY;
    identity->audit = identity->has_allow = 0;
}

void sl_source_resolve(const struct sl_image *image, const struct sl_source_key *key, struct sl_source *out)
{
    const char *space, *account;
    struct sl_addr peer = sl_addr_unmapped(&key->addr);
    struct sl_path path;
    int has_allow = 0;
    sl_path_address(image, SL_TRIE_SOURCE, &peer, &path);
    out->count = 0;
    out->audit = out->lower_audit = out->passthrough = 0;
    out->overflow = path.broken != 0;
    struct identity identity = {.image = image, .path = &path, .out = out};

    add_principal(&identity, SL_PRINCIPAL_MESH, "", "");
    int mesh_audit = identity.audit || (image->header->flags & SL_IMAGE_AUDIT);
    if (known(key->forwarded)) {
        add_identity(&identity, key->forwarded_namespace, key->forwarded_account, key->forwarded, NULL);
        end_identity(&identity, &has_allow);
    }
    if (known(key->identity) || (known(key->namespace_) && !known(key->user))) {
        add_identity(&identity, key->namespace_, key->service_account, key->identity, NULL);
        add_role(&identity, certified_role(key->identity));
        end_identity(&identity, &has_allow);
    }
    if (known(key->user)) {
        sl_source_user(image, key->user, &space, &account);
        if (!known(key->identity) && known(key->namespace_)) {
            space = key->namespace_;
            account = key->service_account;
        }
        add_identity(&identity, space, account, NULL, key->user);
        if (!certified_role(key->identity) || SL_BUG(ROLE)) add_role(&identity, key->user);
        end_identity(&identity, &has_allow);
    }
    if (known(key->token_namespace)) {
        add_identity(&identity, key->token_namespace, key->token_account, NULL, NULL);
        end_identity(&identity, &has_allow);
    }
    if (known(key->workload_namespace)) {
        add_identity(&identity, key->workload_namespace, key->workload_account, NULL, NULL);
        for (uint32_t i = 0; i < key->workload_selector_count; i++) add_selector(&identity, key->workload_selectors[i]);
        end_identity(&identity, &has_allow);
    }
    space = account = "";
    if ((!key->workload_unknown && sl_source_network(image, &key->addr, &space, &account)) || !identity.mark) {
        add_identity(&identity, space, account, NULL, NULL);
        end_identity(&identity, &has_allow);
    }
    if (mesh_audit) out->audit = out->lower_audit = 1;
    out->passthrough = (image->header->flags & SL_IMAGE_PASSTHROUGH) && (!has_allow || SL_BUG(PASSTHROUGH));
}
