/* Rules and selectors read for printing. */
#include "policy/describe.h"

#include "policy/image.h"

#define FORM(name, text) [SL_PRINCIPAL_##name] = text,
static const char *const FORMS[SL_PRINCIPAL_KIND_COUNT] = {SL_SELECTS(FORM)};

int sl_rule_describe(const struct sl_image *policy, uint32_t index, struct sl_rule_description *out)
{
    const struct sl_rule *rule = index ? sl_image_record(policy, SL_SEC_RULES, index) : NULL;
    if (!rule) return 0;
    *out = (struct sl_rule_description){
        .kind = sl_image_string(policy, rule->kind),
        .namespace_ = sl_image_string(policy, rule->namespace_),
        .name = sl_image_string(policy, rule->name),
        .file = sl_image_string(policy, rule->file),
        .upstream = sl_image_string(policy, rule->upstream),
        .attributes = sl_image_string(policy, rule->attributes),
        .tls = sl_image_string(policy, rule->tls),
        .index = rule->index,
        .line = rule->line,
        .slot = rule->slot,
        .tier = rule->tier,
        .on_revoke = rule->on_revoke,
        .on_revoke_set = rule->on_revoke_set,
        .inner = rule->inner < SL_INNER_MODE_COUNT ? rule->inner : SL_INNER_UNSET,
        .protocol = rule->protocol < SL_INNER_PROTOCOL_COUNT ? rule->protocol : SL_INNER_PROTOCOL_UNSET,
        .ech = rule->ech < SL_ECH_COUNT ? rule->ech : SL_ECH_UNSET,
    };
    return 1;
}

int sl_selector_describe(const struct sl_image *policy, uint32_t index, struct sl_selector_description *out)
{
    const struct sl_selector *selector = index ? sl_image_record(policy, SL_SEC_SELECTORS, index) : NULL;
    const struct sl_principal *principal =
        selector ? sl_image_record(policy, SL_SEC_PRINCIPALS, selector->principal) : NULL;
    if (!principal) return 0;
    out->form = FORMS[principal->kind < SL_PRINCIPAL_KIND_COUNT ? principal->kind : SL_PRINCIPAL_NONE];
    out->a = sl_image_string(policy, principal->a);
    out->b = sl_image_string(policy, principal->b);
    out->from_block = selector->cidr != 0;
    return 1;
}
