/* The chain of phases: the next one, what is still needed, what shows inside, and the way of a tunnel that stands. */
#include "policy/judge.h"

#include <string.h>

#include "policy/decide.h"
#include "policy/seed.h"

void sl_deny(struct sl_decision *out, enum sl_phase phase, enum sl_reason reason)
{
    memset(out, 0, sizeof *out);
    out->phase = (uint8_t)phase;
    out->reason = (uint8_t)reason;
}

/* Resolved when the first rule is looked up: a name inside that is the one asked for takes no rule. */
static const struct sl_source *source_of(const struct sl_image *policy, struct sl_question *question)
{
    if (!question->resolved) sl_source_resolve(policy, &question->who, question->source);
    question->resolved = 1;
    return question->source;
}

static struct sl_asked asked_of(const struct sl_image *policy, struct sl_question *question)
{
    return (struct sl_asked){.image = policy,
                             .source = source_of(policy, question),
                             .port = question->port,
                             .audit = question->audit,
                             .listener = question->listener,
                             .elsewhere = question->elsewhere,
                             .shown = question->request ? SL_SHOWS_HTTP : question->assumed,
                             .request = question->request};
}

static void judge_name(const struct sl_image *policy, struct sl_question *question, struct sl_decision *out,
                       struct sl_trail *trail)
{
    struct sl_asked asked = asked_of(policy, question);
    sl_decide_name(&asked, question->host, question->host_length, out, trail);
}

/* ---- the address ------------------------------------------------------------------------------------------------- */

static int is_local(const struct sl_image *policy, const struct sl_question *question, uint16_t port,
                    const struct sl_decision *by)
{
    struct sl_addr asked[2];
    unsigned count = question->is_local ? sl_own_asked(policy, question->address, port, asked) : 0;
    for (unsigned i = 0; i < count; i++)
        if (question->is_local(question->asked, &asked[i], port, by)) return !SL_BUG(OWN_ADDRESS);
    return 0;
}

/* The source addresses of the decision change the way there, and its TLS the port, and so whether it ends here. */
static int ends_here(const struct sl_image *policy, const struct sl_question *question, const struct sl_decision *by)
{
    int passes = by->verdict != SL_DENY;
    uint16_t port = passes ? sl_judged_port(policy, by, question->port) : question->port;
    if (is_local(policy, question, port, NULL)) return 1;
    return passes && by->sets[SL_ATTR_SOURCE] != SL_NO_RULE && is_local(policy, question, port, by);
}

static void judge_address(const struct sl_image *policy, struct sl_question *question,
                          const struct sl_decision *by_name, struct sl_decision *out, struct sl_trail *trail)
{
    struct sl_asked asked = asked_of(policy, question);
    struct sl_trail before;
    if (trail) before = *trail;
    sl_decide_address(&asked, by_name, question->host, question->host_length, question->address, 0, out, trail);
    if (!ends_here(policy, question, out)) return;
    if (trail) *trail = before;
    sl_decide_address(&asked, by_name, question->host, question->host_length, question->address, 1, out, trail);
}

/* ---- what shows inside ------------------------------------------------------------------------------------------- */

/* innerName; a name that rules decide about is enforced whatever it says. */
static unsigned inner_mode(const struct sl_image *policy, const struct sl_question *question,
                           const struct sl_decision *before)
{
    if (question->host) return sl_judged_inner(policy, before, question->inner_mode);
    return before->flags & (SL_DECISION_PROVISIONAL | SL_DECISION_LOOK_INSIDE) ? SL_INNER_ENFORCE : SL_INNER_OFF;
}

/* What shows speaks against the tunnel: a denial, or a report in audit mode. */
static void turn(const struct sl_decision *before, enum sl_reason reason, int audits, struct sl_decision *out)
{
    *out = *before;
    out->flags &= (uint8_t)~SL_DECISION_PROVISIONAL;
    out->phase = SL_PHASE_INNER;
    out->reason = (uint8_t)reason;
    out->verdict = audits ? SL_AUDIT : SL_DENY;
    out->would_deny = (uint8_t)audits;
}

/* The name that shows does. */
static void disagree(const struct sl_image *policy, struct sl_question *question, const struct sl_decision *before,
                     enum sl_reason reason, struct sl_decision *out)
{
    int audits =
        question->audit || inner_mode(policy, question, before) == SL_INNER_AUDIT || source_of(policy, question)->audit;
    turn(before, reason, audits, out);
}

/* Whether the rule demands to see more than the name. */
static int demands(const struct sl_image *policy, const struct sl_decision *decision)
{
    return decision->flags & SL_DECISION_BY_PROTOCOL || sl_judged_protocol(policy, decision) != SL_INNER_PROTOCOL_ANY ||
           sl_judged_ech(policy, decision) == SL_ECH_DENY;
}

/* The protocol that shows, and what is encrypted of it, against the rule's demands. */
static void judge_demands(const struct sl_image *policy, struct sl_question *question, struct sl_decision *out)
{
    static const uint8_t spoken[] = {[SL_INNER_PROTOCOL_TLS] = SL_SHOWS_TLS,
                                     [SL_INNER_PROTOCOL_HTTP] = SL_SHOWS_HTTP,
                                     [SL_INNER_PROTOCOL_SSH] = SL_SHOWS_SSH};
    unsigned wanted = sl_judged_protocol(policy, out);
    int reason = -1;
    if (wanted != SL_INNER_PROTOCOL_ANY && !SL_BUG(PROTOCOL) && question->shows != spoken[wanted])
        reason =
            question->shows == SL_SHOWS_LATE ? SL_REASON_INNER_PROTOCOL_MISSING : SL_REASON_INNER_PROTOCOL_MISMATCH;
    else if (question->ech && !SL_BUG(ECH) && sl_judged_ech(policy, out) == SL_ECH_DENY)
        reason = SL_REASON_INNER_ECH;
    if (reason < 0) return;
    struct sl_decision passed = *out;
    passed.needs = 0;
    turn(&passed, (enum sl_reason)reason, question->audit || source_of(policy, question)->audit, out);
}

/* A request is HTTP, whatever carries it. */
static void judge_request(const struct sl_image *policy, struct sl_question *question, struct sl_decision *out)
{
    uint8_t shows = question->shows;
    if (out->verdict == SL_DENY) return;
    question->shows = SL_SHOWS_HTTP;
    judge_demands(policy, question, out);
    question->shows = shows;
}

/* Asked by name: what shows must be that name. What shows none passes. */
static void judge_inner_of_name(const struct sl_image *policy, struct sl_question *question,
                                const struct sl_decision *before, struct sl_decision *out)
{
    int named = question->inner != NULL;
    int same = named && question->inner_length == question->host_length &&
               memcmp(question->inner, question->host, question->host_length) == 0;
    if (SL_BUG(INNER_NAME)) same = 1;
    if (question->shows == SL_SHOWS_TOO_LONG)
        disagree(policy, question, before, SL_REASON_INNER_TOO_LONG, out);
    else if (question->shows == SL_SHOWS_MALFORMED || (named && !same))
        disagree(policy, question, before, SL_REASON_INNER_NAME_MISMATCH, out);
}

/* Asked by address. Held so far: as if the name shown had been asked for. Passed: only rules about the name turn that. */
static void judge_inner_of_address(const struct sl_image *policy, struct sl_question *question,
                                   const struct sl_decision *before, struct sl_decision *out, struct sl_trail *trail)
{
    int held = before->flags & SL_DECISION_PROVISIONAL;
    if (question->shows == SL_SHOWS_TOO_LONG) {
        disagree(policy, question, before, SL_REASON_INNER_TOO_LONG, out);
    } else if (question->inner && question->inner_length) {
        struct sl_asked asked = asked_of(policy, question);
        sl_decide_inner(&asked, before, question->address, question->inner, question->inner_length, out, trail);
        if (held) return;
        out->sets[SL_ATTR_UPSTREAM] = before->sets[SL_ATTR_UPSTREAM]; /* it is dialed by what let the address pass */
        out->sets[SL_ATTR_SOURCE] = before->sets[SL_ATTR_SOURCE];
        out->sets[SL_ATTR_TLS] = before->sets[SL_ATTR_TLS];
    } else if (held) {
        disagree(policy, question, before, SL_REASON_INNER_NAME_MISSING, out);
    } else if (question->shows == SL_SHOWS_MALFORMED) { /* another reader may find a name in it */
        disagree(policy, question, before, SL_REASON_INNER_NAME_MISMATCH, out);
    }
}

static void judge_inner(const struct sl_image *policy, struct sl_question *question, const struct sl_decision *before,
                        struct sl_decision *out, struct sl_trail *trail)
{
    *out = *before;
    if (before->verdict == SL_DENY && !(before->flags & SL_DECISION_PROVISIONAL)) {
        /* Denied while it was held, and left to drain: its time is over all the same. */
        int waited = question->shows == SL_SHOWS_LATE && !(before->flags & SL_DECISION_PENDING);
        if (waited) out->phase = SL_PHASE_INNER, out->reason = SL_REASON_INNER_NAME_MISSING;
        return;
    }
    int looks = inner_mode(policy, question, before) != SL_INNER_OFF;
    if (question->shows == SL_SHOWS_UNKNOWN || !(looks || demands(policy, before))) return;
    if (looks && question->host)
        judge_inner_of_name(policy, question, before, out);
    else if (looks)
        judge_inner_of_address(policy, question, before, out, trail);
    out->needs = out->verdict == SL_DENY ? 0 : (uint8_t)(out->needs & ~SL_NEEDS_PROTOCOL);
}

/* ---- the chain --------------------------------------------------------------------------------------------------- */

/* What a decision that was reached without what shows inside waits for. */
static uint8_t needs_of(const struct sl_image *policy, const struct sl_question *question,
                        const struct sl_decision *decision, int addressed)
{
    unsigned needs = 0;
    int passes = decision->verdict != SL_DENY;
    if (!addressed && (decision->flags & SL_DECISION_PENDING || (passes && decision->phase != SL_PHASE_DELEGATED)))
        needs |= SL_NEEDS_ADDRESS;
    int looks = inner_mode(policy, question, decision) != SL_INNER_OFF || demands(policy, decision);
    if ((passes || decision->flags & SL_DECISION_PROVISIONAL) && looks) needs |= SL_NEEDS_PROTOCOL;
    return (uint8_t)needs;
}

/* A tunnel that stands carries nothing that leads elsewhere. What a parent resolved has no address to be judged. */
static int same_text(const char *one, const char *other)
{
    return one && other ? strcmp(one, other) == 0 : !one && !other;
}

static void hold_to_way(const struct sl_image *policy, const struct sl_question *question, struct sl_decision *out)
{
    if (sl_refused(out) || SL_BUG(OTHER_WAY)) return;
    int same = same_text(sl_judged_upstream(policy, out), question->way) &&
               same_text(sl_judged_tls(policy, out), question->tls);
    int waits = out->verdict == SL_DENY && !(out->needs & SL_NEEDS_ADDRESS); /* for a name inside */
    if ((same || waits) && !(out->needs & SL_NEEDS_ADDRESS && !question->address)) return;
    out->verdict = SL_DENY;
    out->reason = SL_REASON_OTHER_WAY;
    out->would_deny = out->needs = 0;
    out->flags |= SL_DECISION_NO_SOFTEN;
}

/* The phases before what shows inside. */
static void judge_outside(const struct sl_image *policy, struct sl_question *question, int addressed,
                          const struct sl_decision *before, struct sl_decision *out, struct sl_trail *trail)
{
    struct sl_decision by_name;
    if (question->host && !before) {
        judge_name(policy, question, &by_name, trail);
        by_name.needs = needs_of(policy, question, &by_name, 0);
        before = &by_name;
    }
    if (before) *out = *before;
    if (!addressed || (before && !(before->needs & SL_NEEDS_ADDRESS))) return;
    judge_address(policy, question, before, out, trail);
    out->needs = needs_of(policy, question, out, 1);
}

/* How much a decision lets pass. */
static int passes_of(const struct sl_decision *decision)
{
    if (decision->verdict != SL_DENY) return decision->verdict == SL_ALLOW ? 4 : 3;
    return decision->needs ? 2 : decision->rule != SL_NO_RULE;
}

static int is_same(const struct sl_decision *one, const struct sl_decision *other)
{
    return one->verdict == other->verdict && one->rule == other->rule && one->selector == other->selector &&
           one->reason == other->reason;
}

/* Of rules that are for one protocol each only those for what a tunnel carries count, which is not known yet: it is
 * judged for each protocol, and passes as the first does that lets most pass. */
static void judge_each(const struct sl_image *policy, struct sl_question *question, int addressed,
                       const struct sl_decision *before, struct sl_decision *out, struct sl_trail *trail)
{
    static const uint8_t others[] = {SL_SHOWS_TLS, SL_SHOWS_OTHER};
    struct sl_decision first, other;
    judge_outside(policy, question, addressed, before, out, trail);
    if (!(out->flags & SL_DECISION_BY_PROTOCOL)) return;
    question->assumed = SL_SHOWS_HTTP;
    judge_outside(policy, question, addressed, NULL, &first, NULL);
    *out = first;
    int same = 1;
    for (unsigned i = 0; i < sizeof others; i++) {
        question->assumed = others[i];
        judge_outside(policy, question, addressed, NULL, &other, NULL);
        same = same && is_same(&first, &other);
        if (passes_of(&other) > passes_of(out)) *out = other;
    }
    question->assumed = SL_SHOWS_UNKNOWN;
    if (same || sl_refused(out)) return;
    out->flags |= SL_DECISION_BY_PROTOCOL;
    if (out->verdict != SL_DENY || out->flags & SL_DECISION_PROVISIONAL) out->needs |= SL_NEEDS_PROTOCOL;
}

/* The protocol that rules are judged for where this shows. */
static uint8_t protocol_of(uint8_t shows)
{
    return shows == SL_SHOWS_UNKNOWN || shows == SL_SHOWS_TLS || shows == SL_SHOWS_HTTP ? shows : SL_SHOWS_OTHER;
}

/* The same, now that something shows. A tunnel keeps its way. */
static void judge_shown(const struct sl_image *policy, struct sl_question *question, const struct sl_decision *before,
                        struct sl_decision *out, struct sl_trail *trail)
{
    if (trail) trail->count = trail->total = 0;
    judge_outside(policy, question, question->address != NULL, NULL, out, trail);
    int same = same_text(sl_judged_upstream(policy, before), sl_judged_upstream(policy, out)) &&
               same_text(sl_judged_tls(policy, before), sl_judged_tls(policy, out));
    if (sl_refused(out)) {
        out->phase = SL_PHASE_INNER;
        if (out->rule != SL_NO_RULE) return;
        if (question->shows == SL_SHOWS_HTTP && sl_waits_for_http(out)) return; /* each request may pass yet */
        out->rule = before->rule;
        out->selector = before->selector;
        out->reason =
            question->shows == SL_SHOWS_LATE ? SL_REASON_INNER_PROTOCOL_MISSING : SL_REASON_INNER_PROTOCOL_MISMATCH;
    } else if (!same && !question->dialed && out->verdict != SL_DENY) {
        sl_deny(out, SL_PHASE_INNER, SL_REASON_OTHER_WAY);
        out->rule = before->rule;
    }
}

/* A tunnel that stands may lie where a hard deny is, which outranks what refuses its name. */
static void look_behind(const struct sl_image *policy, struct sl_question *question, struct sl_decision *out)
{
    struct sl_decision behind;
    struct sl_question bare = *question;
    if (!question->host || !question->address || !sl_refused(out) || sl_denied_hard(out)) return;
    bare.host = NULL;
    bare.host_length = 0;
    judge_address(policy, &bare, NULL, &behind, NULL);
    if (sl_denied_hard(&behind)) *out = behind;
}

static unsigned judge_phases(const struct sl_image *policy, struct sl_question *question, enum sl_phase reached,
                             const struct sl_decision *before, struct sl_decision *out, struct sl_trail *trail)
{
    struct sl_decision outside, shown;
    int inside = reached >= SL_PHASE_INNER;
    if (!inside || !before) {
        judge_each(policy, question, reached >= SL_PHASE_ADDRESS && question->address, before, out, trail);
        int waits = inside && out->flags & SL_DECISION_BY_PROTOCOL && question->shows != SL_SHOWS_UNKNOWN;
        if (question->dialed && !waits) hold_to_way(policy, question, out);
        if (question->request) judge_request(policy, question, out);
        if (!inside || sl_refused(out)) return out->needs;
        outside = *out;
        before = &outside;
    }
    question->assumed = protocol_of(question->shows);
    if (before->flags & SL_DECISION_BY_PROTOCOL && question->assumed) {
        judge_shown(policy, question, before, &shown, trail);
        before = &shown;
        if (sl_refused(before)) {
            question->assumed = SL_SHOWS_UNKNOWN;
            *out = shown;
            return 0;
        }
    }
    judge_inner(policy, question, before, out, trail);
    question->assumed = SL_SHOWS_UNKNOWN;
    /* A tunnel that was held is dialed, and directly. */
    if (question->dialed || before->flags & SL_DECISION_PROVISIONAL) hold_to_way(policy, question, out);
    if (question->shows != SL_SHOWS_UNKNOWN && out->verdict != SL_DENY) judge_demands(policy, question, out);
    return out->needs;
}

unsigned sl_judge(const struct sl_image *policy, struct sl_question *question, enum sl_phase reached,
                  const struct sl_decision *before, struct sl_decision *out, struct sl_trail *trail)
{
    sl_deny(out, SL_PHASE_NAME, SL_REASON_INTERNAL);
    if (question->unauthorized) {
        sl_deny(out, SL_PHASE_NAME, (enum sl_reason)question->unauthorized);
        return 0;
    }
    if (!question->host && !question->address) return 0;
    unsigned needs = judge_phases(policy, question, reached, before, out, trail);
    if (question->dialed && reached >= SL_PHASE_ADDRESS) look_behind(policy, question, out);
    return needs;
}
