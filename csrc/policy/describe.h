/* Rules and selectors of a policy as they are printed: every text and number, never the layout (image.h). For
 * explanations and listings; the judge needs none. */
#ifndef SLUICE_DESCRIBE_H
#define SLUICE_DESCRIBE_H

#include <stdint.h>

#include "base/contract.h"

struct sl_image;
struct sl_request;

/* A rule. Texts are never NULL; "" where there is none. */
struct sl_rule_description {
    const char *kind, *namespace_, *name, *file;
    const char *upstream;  /* parent gateway */
    const char *sources;   /* JSON object with sourceAddress */
    const char *route;     /* JSON object with the route's name, filters, backends, timeouts and retries */
    const char *headers;   /* JSON object with changes to requests */
    const char *tls;       /* JSON object with the TLS that is originated */
    uint32_t index;        /* item in the resource, 0-based */
    uint32_t line;         /* 1-based */
    uint16_t slot;         /* of metrics; 0 = `other` */
    uint8_t tier;          /* sl_tier */
    uint8_t on_revoke;     /* sl_on_revoke */
    uint8_t on_revoke_set; /* bool: the resource says so itself */
    uint8_t inner;         /* sl_inner_mode; UNSET where the resource says nothing, or the image is broken */
    uint8_t protocol, ech; /* sl_inner_protocol, sl_ech; likewise */
};
/* Returns 1; 0 when it is not a rule, and *out is not filled. */
int sl_rule_describe(const struct sl_image *policy, uint32_t rule, struct sl_rule_description *out);

/* Kinds of sources that a selector is about; the names of sl_principal_kind without their prefix. */
#define SL_SELECTS(X)                                      \
    X(NONE, "unknown")                                     \
    X(MESH, "mesh")                                        \
    X(NAMESPACE, "namespace {a}")                          \
    X(SERVICE_ACCOUNT, "service account {a}/{b}")          \
    X(IDENTITY, "identity {b}")                            \
    X(USER, "user {b}")                                    \
    X(NAMESPACE_IDENTITY, "identity {b} in namespace {a}") \
    X(NAMESPACE_USER, "user {b} in namespace {a}")         \
    X(ROLE, "role {b}")                                    \
    X(ROLE_OTHER, "every role without rules of its own")   \
    X(PODS, "{b}")                                         \
    X(NAMESPACES, "{b}")                                   \
    X(IDENTIFIED, "every known identity")                  \
    X(ELSEWHERE, "every namespace without networks of its own")

/* A selector. */
struct sl_selector_description {
    const char *form; /* the sentence of SL_SELECTS, in which {a} and {b} stand for the texts below */
    const char *a, *b;
    uint8_t from_block; /* bool: narrowed to an address block */
};
/* Returns 1; 0 when it is not a selector, and *out is not filled. */
int sl_selector_describe(const struct sl_image *policy, uint32_t selector, struct sl_selector_description *out);

/* Questions about requests; the names of sl_literal_kind without their prefix. {a} is a name, {b} a value or an
 * expression. The second form is for an expression. */
#define SL_WANTS(X)                                                   \
    X(NONE, "unknown", "unknown")                                     \
    X(METHOD, "method {b}", "unknown")                                \
    X(PATH_EXACT, "path {b}", "unknown")                              \
    X(PATH_PREFIX, "path {b} and below it", "unknown")                \
    X(PATH_REGEX, "unknown", "path like {b}")                         \
    X(PATH_SEARCH, "unknown", "path and query in which {b} is found") \
    X(FIELD, "header {a}: {b}", "header {a} like {b}")                \
    X(QUERY, "parameter {a}={b}", "parameter {a} like {b}")

/* One question that a rule has about a request. */
struct sl_want {
    const char *form; /* of SL_WANTS */
    const char *a, *b;
    uint8_t met; /* bool: the request is so; 0 without one */
};
/* What the conditions of a trail's step want of a request: the path, and each question in the order of its program.
 * Returns how many were written, at most `most`. */
unsigned sl_condition_describe(const struct sl_image *policy, uint32_t condition, const struct sl_request *request,
                               struct sl_want *out, unsigned most);

#endif
