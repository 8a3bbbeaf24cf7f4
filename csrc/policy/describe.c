/* Rules and selectors read for printing. */
#include "policy/describe.h"

#include "policy/image.h"
#include "policy/request.h"

#define FORM(name, text) [SL_PRINCIPAL_##name] = text,
static const char *const FORMS[SL_PRINCIPAL_KIND_COUNT] = {SL_SELECTS(FORM)};

int sl_rule_describe(const struct sl_image *policy, uint32_t index, struct sl_rule_description *out)
{
    const struct sl_rule *rule = index ? sl_image_record(policy, SL_SEC_RULES, index) : NULL;
    const struct sl_settings *settings = rule ? sl_image_record(policy, SL_SEC_SETTINGS, rule->settings) : NULL;
    if (!rule) return 0;
    *out = (struct sl_rule_description){
        .kind = sl_image_string(policy, rule->kind),
        .namespace_ = sl_image_string(policy, rule->namespace_),
        .name = sl_image_string(policy, rule->name),
        .file = sl_image_string(policy, rule->file),
        .upstream = sl_image_string(policy, rule->upstream),
        .sources = sl_image_string(policy, settings ? settings->sources : 0),
        .route = sl_image_string(policy, settings ? settings->route : 0),
        .headers = sl_image_string(policy, settings ? settings->headers : 0),
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

static void describe_literal(const struct sl_image *policy, uint32_t number, const struct sl_request *request,
                             struct sl_want *out)
{
#define SL_WANT_FORMS(name, exact, regex) {exact, regex},
    static const char *const forms[][2] = {SL_WANTS(SL_WANT_FORMS)};
    const struct sl_literal *literal = sl_image_record(policy, SL_SEC_LITERALS, number);
    int broken = 0;
    unsigned kind = literal && literal->kind < SL_LITERAL_KIND_COUNT ? literal->kind : SL_LITERAL_NONE;
    out->form = forms[kind][literal && literal->regex];
    out->a = literal ? sl_image_string(policy, literal->name) : "";
    out->b = literal ? sl_image_string(policy, literal->text) : "";
    out->met = request && sl_literal_holds(policy, number, request, &broken) && !broken;
}

unsigned sl_condition_describe(const struct sl_image *policy, uint32_t number, const struct sl_request *request,
                               struct sl_want *out, unsigned most)
{
    unsigned count = 0;
    const struct sl_condition *condition = number ? sl_image_record(policy, SL_SEC_CONDITIONS, number) : NULL;
    const struct sl_program *program =
        condition && condition->when ? sl_image_record(policy, SL_SEC_PROGRAMS, condition->when) : NULL;
    if (condition && condition->path && count < most) describe_literal(policy, condition->path, request, &out[count++]);
    for (uint32_t i = 0; program && i < program->count && count < most; i++) {
        const struct sl_step *step = sl_image_record(policy, SL_SEC_STEPS, (uint64_t)program->first + i);
        if (step && step->code == SL_STEP_REQUEST) describe_literal(policy, step->operand, request, &out[count++]);
    }
    return count;
}
