/* What a decision brings along: each attribute from the rule that sets it, and rules as logs name them. */
#include <string.h>

#include "policy/image.h"
#include "policy/judge.h"

static const struct sl_rule *rule_at(const struct sl_image *policy, uint32_t index)
{
    return index == SL_NO_RULE ? NULL : sl_image_record(policy, SL_SEC_RULES, index);
}

const char *sl_judged_upstream(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_rule *rule = rule_at(policy, decision->sets[SL_ATTR_UPSTREAM]);
    return rule && rule->upstream ? sl_image_string(policy, rule->upstream) : NULL;
}

static const struct sl_settings *settings_of(const struct sl_image *policy, const struct sl_decision *decision,
                                             enum sl_attribute attribute)
{
    const struct sl_rule *rule = rule_at(policy, decision->sets[attribute]);
    return rule && rule->settings ? sl_image_record(policy, SL_SEC_SETTINGS, rule->settings) : NULL;
}

const char *sl_judged_sources(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_settings *settings = settings_of(policy, decision, SL_ATTR_SOURCE);
    return settings && settings->sources ? sl_image_string(policy, settings->sources) : NULL;
}

const char *sl_judged_route(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_settings *settings = settings_of(policy, decision, SL_ATTR_ROUTE);
    return settings && settings->route ? sl_image_string(policy, settings->route) : NULL;
}

const char *sl_judged_headers(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_settings *settings = settings_of(policy, decision, SL_ATTR_HEADERS);
    return settings && settings->headers ? sl_image_string(policy, settings->headers) : NULL;
}

/* The rule that TLS comes from; NULL: bytes leave as they come. */
static const struct sl_rule *originates(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_rule *rule = rule_at(policy, decision->sets[SL_ATTR_TLS]);
    const char *text = rule && rule->tls ? sl_image_string(policy, rule->tls) : NULL;
    return text && strcmp(text, "{}") != 0 ? rule : NULL;
}

const char *sl_judged_tls(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_rule *rule = originates(policy, decision);
    return rule ? sl_image_string(policy, rule->tls) : NULL;
}

uint16_t sl_judged_port(const struct sl_image *policy, const struct sl_decision *decision, uint16_t asked)
{
    const struct sl_rule *rule = originates(policy, decision);
    if (!rule) return asked;
    if (rule->tls_port) return rule->tls_port;
    return asked == 80 ? 443 : asked;
}

unsigned sl_judged_inner(const struct sl_image *policy, const struct sl_decision *decision, unsigned listener)
{
    const struct sl_rule *rule = rule_at(policy, decision->sets[SL_ATTR_INNER]);
    return rule && rule->inner != SL_INNER_UNSET ? rule->inner : listener;
}

unsigned sl_judged_protocol(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_rule *rule = rule_at(policy, decision->sets[SL_ATTR_PROTOCOL]);
    return rule && rule->protocol != SL_INNER_PROTOCOL_UNSET ? rule->protocol : SL_INNER_PROTOCOL_ANY;
}

unsigned sl_judged_ech(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_rule *rule = rule_at(policy, decision->sets[SL_ATTR_ECH]);
    return rule && rule->ech != SL_ECH_UNSET ? rule->ech : SL_ECH_ALLOW;
}

unsigned sl_judged_revoke(const struct sl_image *policy, const struct sl_decision *decision)
{
    const struct sl_rule *rule = rule_at(policy, decision->sets[SL_ATTR_REVOKE]);
    return rule ? rule->on_revoke : SL_REVOKE_KILL;
}

unsigned sl_judged_end(const struct sl_image *policy, const struct sl_decision *decision, unsigned admitted)
{
    if (sl_denied_hard(decision)) return SL_REVOKE_KILL;
    const struct sl_rule *rule = rule_at(policy, decision->sets[SL_ATTR_REVOKE]);
    return rule && decision->tier == SL_TIER_DENY ? rule->on_revoke : admitted;
}

int sl_rule_named(const struct sl_image *policy, uint32_t index, struct sl_rule_name *out)
{
    const struct sl_rule *rule = rule_at(policy, index);
    if (!rule) return 0;
    out->kind = sl_image_string(policy, rule->kind);
    out->namespace_ = sl_image_string(policy, rule->namespace_);
    out->name = sl_image_string(policy, rule->name);
    out->item = rule->index;
    out->has_list = rule->line_count != 0;
    return 1;
}

unsigned sl_rule_slot(const struct sl_image *policy, uint32_t index, unsigned none, unsigned other)
{
    const struct sl_rule *rule = rule_at(policy, index);
    if (index == SL_NO_RULE) return none;
    return rule ? rule->slot : other;
}
