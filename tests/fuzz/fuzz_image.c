/* Any bytes as edits of a policy image: four bytes of place and four of value, again and again, then a sealed checksum.
 * Opening, validating and asking it must read nothing outside and end; open() passes what validate() passes. */
#include <stdlib.h>
#include <string.h>

#include "build/builder.h"
#include "policy/decide.h"
#include "policy/image.h"

static void require(int condition)
{
    if (!condition) abort();
}

static struct sl_prefix prefix(const char *text)
{
    struct sl_prefix out;
    require(sl_prefix_parse(text, strlen(text), &out) == 1);
    return out;
}

/* Rules of three dialects, explicit ones and defaults, for a role and all other roles. */
static void groups(struct sl_builder *b, uint32_t mesh, uint32_t portset)
{
    struct sl_prefix all = prefix("0.0.0.0/0"), eight = prefix("8.0.0.0/8");
    uint32_t principal, role, id, who[3] = {mesh}, attachment, order = 0;
    enum sl_name_status why;
    for (unsigned i = 1; i < 3; i++) {
        sl_builder_principal(b, i == 1 ? SL_PRINCIPAL_ROLE : SL_PRINCIPAL_ROLE_OTHER, "", i == 1 ? "web" : "", 0,
                             &principal);
        sl_builder_selector(b, principal, NULL, 0, &role);
        sl_builder_who(b, &role, 1, &who[i]);
    }
    for (uint8_t tier = SL_TIER_DEFAULT_ALLOW; tier <= SL_TIER_DENY; tier++)
        for (uint8_t group = 1; group < 4; group++) {
            struct sl_rule rule = {.tier = tier};
            sl_builder_rule(b, &rule, &id);
            sl_builder_attach_in(b, id, tier, order % 2 ? portset : 0, order, who[order % 3], group,
                                 (uint8_t)(order % SL_CLASSES), &attachment);
            order++;
            if (tier > SL_TIER_DEFAULT_DENY) sl_builder_host(b, attachment, "www.example.com", 15, &why);
            sl_builder_host(b, attachment, group == 1 ? "*" : "*.example.com", group == 1 ? 1 : 13, &why);
            sl_builder_cidr(b, attachment, group == 1 ? &all : &eight);
        }
}

static void build(uint8_t **data, size_t *size)
{
    struct sl_builder *b = sl_builder_new();
    struct sl_rule rule = {.tier = SL_TIER_ALLOW};
    struct sl_port_range ports[] = {{443, 443}, {8000, 8100}};
    struct sl_prefix source = prefix("10.0.0.0/8"), ten = prefix("10.0.0.0/8"), ten1 = prefix("10.1.0.0/16");
    struct sl_prefix nat64 = prefix("64:ff9b::/96"), loop = prefix("127.0.0.1/32"), six = prefix("2a00::/16");
    uint32_t principal, selectors[3], id, portset, who, attachment;
    enum sl_name_status why;
    require(b != NULL);
    sl_builder_principal(b, SL_PRINCIPAL_MESH, "", "", 0, &principal);
    sl_builder_selector(b, principal, NULL, 0, &selectors[0]);
    sl_builder_selector(b, principal, &source, 1, &selectors[1]);
    sl_builder_principal(b, SL_PRINCIPAL_SERVICE_ACCOUNT, "shop", "cart", 1, &principal);
    sl_builder_selector(b, principal, NULL, 0, &selectors[2]);
    sl_builder_portset(b, ports, 2, &portset);
    sl_builder_layout(b, 0, 1); /* clauses and indexes, and lists without */
    for (uint8_t tier = SL_TIER_AUDIT; tier <= SL_TIER_HARD_DENY; tier++) {
        rule.tier = tier;
        sl_builder_rule(b, &rule, &id);
        sl_builder_who(b, selectors, tier > SL_TIER_ALLOW ? 3 : 1, &who);
        sl_builder_attach(b, id, tier, tier % 2 ? portset : 0, tier, who, &attachment);
        sl_builder_host(b, attachment, "*.example.com", 13, &why);
        sl_builder_host(b, attachment, "www.example.com", 15, &why);
        sl_builder_host_except(b, attachment, "evil.example.com", 16, &why);
        sl_builder_cidr(b, attachment, tier % 2 ? &ten : &six);
        sl_builder_cidr_except(b, attachment, &ten1);
    }
    struct sl_condition network = {.network = 1}, route = {0};
    struct sl_step steps[] = {{SL_STEP_NETWORK, 1}, {SL_STEP_WITHIN, 0}, {SL_STEP_OR, 2},
                              {SL_STEP_SOURCE, 0},  {SL_STEP_NOT, 0},    {SL_STEP_AND, 2}};
    sl_builder_within(b, &ten1, 1, &steps[1].operand);
    sl_builder_who(b, selectors, 2, &steps[3].operand);
    require(sl_builder_program(b, steps, 6, &route.when) == SL_BUILD_OK);
    require(sl_builder_program(b, steps + 3, 1, &route.admit) == SL_BUILD_OK);
    sl_builder_who(b, selectors, 1, &who);
    for (uint8_t tier = SL_TIER_DEFAULT_DENY; tier <= SL_TIER_ALLOW; tier += SL_TIER_ALLOW - SL_TIER_DEFAULT_DENY) {
        rule.tier = tier;
        sl_builder_rule(b, &rule, &id);
        sl_builder_attach_in(b, id, tier, 0, 10u + tier, who, 3, tier == SL_TIER_ALLOW, &attachment);
        require(sl_builder_condition(b, attachment, tier == SL_TIER_ALLOW ? &route : &network) == SL_BUILD_OK);
        if (tier == SL_TIER_ALLOW) sl_builder_host(b, attachment, "www.example.com", 15, &why);
        sl_builder_cidr(b, attachment, &ten);
    }
    groups(b, who, portset);
    sl_builder_user(b, "bot", "shop", "cart");
    sl_builder_network(b, &ten1, "shop", "cart");
    sl_builder_guard(b, &nat64, 1);
    sl_builder_guard(b, &loop, 0);
    sl_builder_own(b, &loop, 1080);
    require(sl_builder_finish(b, data, size) == SL_BUILD_OK);
    sl_builder_free(b);
}

static void ask(const struct sl_image *image, const char *name, const char *address, const char *user,
                const char *identity)
{
    struct sl_source_key key = {.user = user, .identity = identity};
    struct sl_source source;
    struct sl_decision named, out;
    struct sl_trail trail = {.count = 0};
    struct sl_addr addr;
    require(sl_addr_parse("10.1.2.3", 8, &key.addr));
    require(sl_addr_parse(address, strlen(address), &addr));
    sl_source_resolve(image, &key, &source);
    struct sl_asked asked = {.image = image, .source = &source, .port = 443, .listener = "main"};
    sl_decide_name(&asked, name, strlen(name), &named, &trail);
    sl_decide_address(&asked, &named, name, strlen(name), &addr, 1, &out, &trail);
    sl_decide_address(&asked, NULL, NULL, 0, &addr, 1, &out, &trail);
    if (out.flags & (SL_DECISION_PROVISIONAL | SL_DECISION_LOOK_INSIDE)) {
        const struct sl_decision before = out;
        sl_decide_inner(&asked, &before, &addr, name, strlen(name), &out, &trail);
    }
    require(out.verdict <= SL_AUDIT && trail.count <= 64);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t *good, *copy;
    static size_t good_size;
    if (!good) {
        build(&good, &good_size);
        copy = malloc(good_size);
        require(copy != NULL);
    }
    memcpy(copy, good, good_size);
    for (; size >= 8; data += 8, size -= 8) {
        uint32_t at;
        memcpy(&at, data, 4);
        memcpy(copy + at % (good_size - 3), data + 4, 4);
    }
    struct sl_image_header *header = (struct sl_image_header *)(void *)copy;
    if (header->size >= sizeof *header && header->size <= good_size && header->size % 8 == 0)
        header->checksum = sl_image_checksum(copy, (size_t)header->size);
    struct sl_image image;
    char where[64];
    enum sl_image_status validated = sl_image_validate(copy, good_size, &image, where);
    enum sl_image_status opened = sl_image_open(copy, good_size, &image);
    require(validated != SL_IMAGE_OK || opened == SL_IMAGE_OK);
    if (opened != SL_IMAGE_OK) return 0;
    ask(&image, "evil.example.com", "10.1.2.3", NULL, NULL);
    ask(&image, "www.example.com", "64:ff9b::10.2.3.4", "bot", NULL);
    ask(&image, "www.example.com", "8.8.8.8", "bot", "CN=web");
    return 0;
}
