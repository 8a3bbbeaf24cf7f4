/* Small policies for tests: builds an image with the builder and asks it. Ports are "", "443", "80,8000-8100". */
#ifndef SLUICE_POLICY_FIXTURE_H
#define SLUICE_POLICY_FIXTURE_H

#include <stdlib.h>

#include "build/builder.h"
#include "check.h"
#include "policy/decide.h"

struct fixture {
    struct sl_builder *b;
    uint8_t *data;
    size_t size;
    struct sl_image image;
    uint32_t order, selectors[8];
    size_t selector_count;
};

static inline struct fixture fixture_new(void)
{
    struct fixture f = {.b = sl_builder_new()};
    CHECK(f.b != NULL);
    return f;
}

static inline void fixture_free(struct fixture *f)
{
    sl_builder_free(f->b);
    free(f->data);
    f->b = NULL;
    f->data = NULL;
}

static inline struct sl_addr fixture_addr(const char *text)
{
    struct sl_addr out = {.family = 0};
    if (text) CHECK_AT(sl_addr_parse(text, strlen(text), &out), text);
    return out;
}

static inline struct sl_prefix fixture_prefix(const char *text)
{
    struct sl_prefix out;
    CHECK_AT(sl_prefix_parse(text, strlen(text), &out) == 1, text);
    return out;
}

/* Adds a selector to those the next item() applies to. */
static inline void from(struct fixture *f, uint8_t kind, const char *a, const char *b, const char *cidr, int has_allow)
{
    uint32_t principal;
    struct sl_prefix prefix;
    if (cidr) prefix = fixture_prefix(cidr);
    CHECK_EQ(sl_builder_principal(f->b, kind, a, b, 0, &principal), SL_BUILD_OK);
    CHECK_EQ(sl_builder_selector(f->b, principal, cidr ? &prefix : NULL, has_allow, &f->selectors[f->selector_count++]),
             SL_BUILD_OK);
}

static inline void from_mesh(struct fixture *f)
{
    from(f, SL_PRINCIPAL_MESH, "", "", NULL, 0);
}

static inline size_t fixture_ports(const char *text, struct sl_port_range *out)
{
    size_t count = 0;
    while (*text) {
        char *end;
        out[count].low = out[count].high = (uint16_t)strtoul(text, &end, 10);
        if (*end == '-') out[count].high = (uint16_t)strtoul(end + 1, &end, 10);
        text = *end == ',' ? end + 1 : end;
        count++;
    }
    return count;
}

/* A rule with one item; answers its attachment. The rule's name is `name`, its id that of the item plus 1. Without
 * from() before, it is for the mesh. */
static inline uint32_t item_in(struct fixture *f, const char *name, uint8_t tier, const char *ports, uint8_t group,
                               uint8_t class)
{
    struct sl_rule rule = {.tier = tier};
    struct sl_port_range ranges[16];
    uint32_t id, portset, who, attachment;
    if (f->selector_count == 0) from_mesh(f);
    CHECK_EQ(sl_builder_string(f->b, name, strlen(name), &rule.name), SL_BUILD_OK);
    CHECK_EQ(sl_builder_rule(f->b, &rule, &id), SL_BUILD_OK);
    CHECK_EQ(sl_builder_portset(f->b, ranges, fixture_ports(ports, ranges), &portset), SL_BUILD_OK);
    CHECK_EQ(sl_builder_who(f->b, f->selectors, f->selector_count, &who), SL_BUILD_OK);
    CHECK_EQ(sl_builder_attach_in(f->b, id, tier, portset, f->order++, who, group, class, &attachment), SL_BUILD_OK);
    f->selector_count = 0;
    return attachment;
}

static inline uint32_t item(struct fixture *f, const char *name, uint8_t tier, const char *ports)
{
    return item_in(f, name, tier, ports, 0, 0);
}

static inline void host(struct fixture *f, uint32_t attachment, const char *pattern)
{
    enum sl_name_status why;
    CHECK_EQ(sl_builder_host(f->b, attachment, pattern, strlen(pattern), &why), SL_BUILD_OK);
}

static inline void host_except(struct fixture *f, uint32_t attachment, const char *pattern)
{
    enum sl_name_status why;
    CHECK_EQ(sl_builder_host_except(f->b, attachment, pattern, strlen(pattern), &why), SL_BUILD_OK);
}

static inline void cidr(struct fixture *f, uint32_t attachment, const char *text)
{
    struct sl_prefix prefix = fixture_prefix(text);
    CHECK_EQ(sl_builder_cidr(f->b, attachment, &prefix), SL_BUILD_OK);
}

static inline void cidr_except(struct fixture *f, uint32_t attachment, const char *text)
{
    struct sl_prefix prefix = fixture_prefix(text);
    CHECK_EQ(sl_builder_cidr_except(f->b, attachment, &prefix), SL_BUILD_OK);
}

static inline void guard(struct fixture *f, const char *text, int allow)
{
    struct sl_prefix prefix = fixture_prefix(text);
    CHECK_EQ(sl_builder_guard(f->b, &prefix, allow), SL_BUILD_OK);
}

static inline void own(struct fixture *f, const char *text, uint16_t port)
{
    struct sl_prefix prefix = fixture_prefix(text);
    CHECK_EQ(sl_builder_own(f->b, &prefix, port), SL_BUILD_OK);
}

static inline void own_port(struct fixture *f, uint16_t port)
{
    CHECK_EQ(sl_builder_own(f->b, NULL, port), SL_BUILD_OK);
}

/* A rule for the whole mesh about one host pattern or CIDR. */
static inline uint32_t rule_for(struct fixture *f, const char *name, uint8_t tier, const char *destination,
                                const char *ports)
{
    uint32_t attachment = item(f, name, tier, ports);
    if (strchr(destination, '/'))
        cidr(f, attachment, destination);
    else
        host(f, attachment, destination);
    return attachment;
}

/* Lays out, validates and opens the image. */
static inline void finish(struct fixture *f)
{
    char where[64];
    free(f->data);
    CHECK_EQ(sl_builder_finish(f->b, &f->data, &f->size), SL_BUILD_OK);
    enum sl_image_status status = sl_image_validate(f->data, f->size, &f->image, where);
    if (status != SL_IMAGE_OK) CHECK_FAIL("%s: %s", sl_image_status_text(status), where);
}

struct ask { /* one question; NULL and 0 are "none" */
    const char *host, *address;
    uint16_t port;
    const char *namespace_, *service_account, *identity, *user, *ip;
    const char *workload_namespace, *workload_account;
    const char *token_namespace, *token_account, *forwarded_namespace, *forwarded_account, *forwarded;
    const uint32_t *workload_selectors;
    uint32_t workload_selector_count;
    uint8_t workload_unknown;
    const char *listener;
    const char *inner; /* the name shown inside */
    uint8_t shows, inner_mode;
    const char *way; /* the parent of a tunnel that is dialed */
    int dialed;
    int audit;
    int local; /* the kernel routes the address to this machine */
    const struct sl_request *request;
};

static inline int fixture_is_local(void *asked, const struct sl_addr *addr, uint16_t port, const struct sl_decision *by)
{
    (void)addr, (void)port, (void)by;
    return *(const int *)asked;
}

/* The final decision: a name first, then one of its addresses; a literal when only `address` is set. */
static inline struct sl_decision ask_image(const struct sl_image *image, struct ask q, struct sl_trail *trail)
{
    struct sl_source source;
    struct sl_addr address = fixture_addr(q.address);
    struct sl_question question = {
        .who = {fixture_addr(q.ip), q.namespace_, q.service_account, q.identity, q.user, q.workload_namespace,
                q.workload_account, q.token_namespace, q.token_account, q.forwarded_namespace, q.forwarded_account,
                q.forwarded, q.workload_selectors, q.workload_selector_count, q.workload_unknown},
        .source = &source,
        .host = q.host,
        .host_length = q.host ? strlen(q.host) : 0,
        .address = q.address ? &address : NULL,
        .port = q.port,
        .audit = (uint8_t)q.audit,
        .inner_mode = q.inner_mode,
        .listener = q.listener,
        .shows = q.shows   ? q.shows
                 : q.inner ? SL_SHOWS_TLS
                           : SL_SHOWS_UNKNOWN,
        .inner = q.inner,
        .inner_length = q.inner ? strlen(q.inner) : 0,
        .dialed = (uint8_t)q.dialed,
        .way = q.way,
        .is_local = fixture_is_local,
        .asked = &q.local,
        .request = q.request,
    };
    struct sl_decision out;
    sl_judge(image, &question, q.inner || q.shows ? SL_PHASE_INNER : SL_PHASE_ADDRESS, NULL, &out, trail);
    return out;
}

static inline struct sl_decision ask(struct fixture *f, struct ask q)
{
    return ask_image(&f->image, q, NULL);
}

/* "allow name rule_allow stripe": what a decision says, for comparing. */
static inline const char *said(struct fixture *f, struct sl_decision d)
{
    static char text[8][160];
    static unsigned turn;
    char *out = text[turn++ % 8];
    const struct sl_rule *rule = d.rule ? sl_image_record(&f->image, SL_SEC_RULES, d.rule) : NULL;
    snprintf(out, sizeof text[0], "%s %s %s%s%s%s%s%s%s", sl_verdict_text(d.verdict), sl_phase_text(d.phase),
             sl_reason_text(d.reason), rule ? " " : "", rule ? sl_image_string(&f->image, rule->name) : "",
             d.flags & SL_DECISION_PENDING ? " pending" : "", d.flags & SL_DECISION_PROVISIONAL ? " provisional" : "",
             d.flags & SL_DECISION_GUARD ? " guard" : "", d.would_deny ? " would_deny" : "");
    if (d.flags & SL_DECISION_LOOK_INSIDE) strcat(out, " look_inside");
    return out;
}

#define ASK(f, ...) said((f), ask((f), (struct ask){__VA_ARGS__}))

#endif
