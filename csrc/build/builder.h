/* Builds a policy image. Used by the compile process and by tests; a worker never links it.
 * Not a parser of policy: the compiler (Python) has resolved every rule to selectors, ports and destinations before.
 * Memory is malloc'd and freed by sl_builder_free; every call returns SL_BUILD_* and, once one has failed for lack of
 * memory or size, all later ones fail alike. Bulk paths (host lists) cost no Python per line. */
#ifndef SLUICE_BUILDER_H
#define SLUICE_BUILDER_H

#include "bytes/addr.h"
#include "base/contract.h"
#include "policy/image.h"
#include "bytes/name.h"

struct sl_builder;

enum sl_build_status {
    SL_BUILD_INTERNAL = 0,
    SL_BUILD_OK = 1,
    SL_BUILD_NOMEM,
    SL_BUILD_TOO_LARGE,
    SL_BUILD_BAD_NAME,
    SL_BUILD_BAD_ARGUMENT
};

struct sl_builder *sl_builder_new(void);
void sl_builder_free(struct sl_builder *builder);

/* Ids come back through the pointers; they are image indexes. Equal arguments give equal ids where it says interned. */
/* Interned. */
enum sl_build_status sl_builder_string(struct sl_builder *b, const char *text, size_t length, uint32_t *offset);
/* `settings` of the rule is an id of sl_builder_settings. */
enum sl_build_status sl_builder_rule(struct sl_builder *b, const struct sl_rule *rule, uint32_t *id);
/* What few rules set: ids of sl_builder_string. Interned; nothing at all = id 0. */
enum sl_build_status sl_builder_settings(struct sl_builder *b, const struct sl_settings *settings, uint32_t *id);
/* Interned; count 0 = any = id 0. Sorts and merges overlaps; a single port stays single unless a range covers it. */
enum sl_build_status sl_builder_portset(struct sl_builder *b, const struct sl_port_range *ranges, size_t count,
                                        uint32_t *id);
/* Interned; `audit` is or-ed in. Texts that the kind does not use must be "", those that it uses must not. */
enum sl_build_status sl_builder_principal(struct sl_builder *b, uint8_t kind, const char *a, const char *b_text,
                                          int audit, uint32_t *id);
/* Interned; the rank is computed; `has_allow` is or-ed in. `cidr` NULL = from any address. */
enum sl_build_status sl_builder_selector(struct sl_builder *b, uint32_t principal, const struct sl_prefix *cidr,
                                         int has_allow, uint32_t *id);

/* Interned: a set of selectors, at least one; their order and repetitions mean nothing. */
enum sl_build_status sl_builder_who(struct sl_builder *b, const uint32_t *selectors, size_t count, uint32_t *id);
/* How images are laid out; tests make everything take one way. A set of selectors is a clause where it would take more
 * than `spread` entries per member and use, 8 unless said otherwise; a run has an index where it has more than `walked`
 * items, 16. */
void sl_builder_layout(struct sl_builder *b, uint32_t spread, uint32_t walked);

/* One destination item of a rule, for a set of selectors. Destinations are then hung on it; it is
 * fastest to hang all of one attachment before the next is made. */
enum sl_build_status sl_builder_attach(struct sl_builder *b, uint32_t rule, uint8_t tier, uint32_t portset,
                                       uint32_t order, uint32_t who, uint32_t *attachment);
/* The same in a group (struct sl_attachment): below SL_GROUPS, with a `class` below SL_CLASSES. Defaults are in groups
 * other than 0, classes as well. Rules are added the older first. */
enum sl_build_status sl_builder_attach_in(struct sl_builder *b, uint32_t rule, uint8_t tier, uint32_t portset,
                                          uint32_t order, uint32_t who, uint8_t group, uint8_t class,
                                          uint32_t *attachment);
enum sl_build_status sl_builder_host(struct sl_builder *b, uint32_t attachment, const char *pattern, size_t length,
                                     enum sl_name_status *why);
enum sl_build_status sl_builder_host_except(struct sl_builder *b, uint32_t attachment, const char *pattern,
                                            size_t length, enum sl_name_status *why);
enum sl_build_status sl_builder_cidr(struct sl_builder *b, uint32_t attachment, const struct sl_prefix *prefix);
enum sl_build_status sl_builder_cidr_except(struct sl_builder *b, uint32_t attachment, const struct sl_prefix *prefix);
/* A program of conditions (struct sl_step); interned; count 0 = holds always = id 0. At most SL_PROGRAM_STEPS. Operands
 * are ids of the builder: SOURCE one of sl_builder_who, LISTENER of sl_builder_string, WITHIN of sl_builder_within,
 * NETWORK the number of a network, REQUEST of sl_builder_literal. */
enum sl_build_status sl_builder_program(struct sl_builder *b, const struct sl_step *steps, size_t count, uint32_t *id);
/* A set of address blocks that programs ask for; not interned. */
enum sl_build_status sl_builder_within(struct sl_builder *b, const struct sl_prefix *blocks, size_t count,
                                       uint32_t *id);
/* What an attachment has of conditions; whom it admits and what it is a network of only in groups other than 0. */
enum sl_build_status sl_builder_condition(struct sl_builder *b, uint32_t attachment, const struct sl_condition *wanted);
/* In its group neither ports nor selectors make one like it better. */
enum sl_build_status sl_builder_by_order(struct sl_builder *b, uint32_t attachment);
/* A namespace that has networks of destinations of its own: ELSEWHERE is none of its sources. */
enum sl_build_status sl_builder_networked(struct sl_builder *b, const char *namespace_);

/* A list file's bytes: one name or *.suffix per line, `#` comments, CRLF and blank lines fine. Stops at the first bad
 * line: SL_BUILD_BAD_NAME with its 1-based number and the rule it broke. *names counts what was added. The image keeps the
 * lines of the first list of each rule (struct sl_line). `length` is below 1 GiB. */
enum sl_build_status sl_builder_host_list(struct sl_builder *b, uint32_t attachment, const uint8_t *data, size_t length,
                                          uint64_t *names, uint64_t *line, enum sl_name_status *why);

/* A user or a network that is there already with another identity is SL_BUILD_BAD_ARGUMENT. */
enum sl_build_status sl_builder_user(struct sl_builder *b, const char *name, const char *namespace_,
                                     const char *service_account);
/* The mark of the password of a user who is there already: 64 bits of a digest of its hash; 0 = nothing. */
enum sl_build_status sl_builder_credential(struct sl_builder *b, const char *name, uint64_t credential);
enum sl_build_status sl_builder_network(struct sl_builder *b, const struct sl_prefix *cidr, const char *namespace_,
                                        const char *service_account);
enum sl_build_status sl_builder_guard(struct sl_builder *b, const struct sl_prefix *cidr, int allow /* else deny */);
/* A NAT64 prefix of the operator's: IPv6 of 32, 40, 48, 56, 64 or 96 bits, bits 64..71 zero (RFC 6052 section 2.2);
 * another is SL_BUILD_BAD_ARGUMENT. */
enum sl_build_status sl_builder_nat64(struct sl_builder *b, const struct sl_prefix *prefix);
/* Addresses that are the gateway's own, at `port` or, 0, at every one; a NULL block is every local address at `port`. */
enum sl_build_status sl_builder_own(struct sl_builder *b, const struct sl_prefix *block, uint16_t port);
/* sl_image_flags, or-ed in; SL_IMAGE_HAS_POLICY follows by itself from rules and passthrough. */
enum sl_build_status sl_builder_flags(struct sl_builder *b, uint32_t flags);

/* A regular expression; `cells` of the record does not count, `count` cells are its table. Interned. A table that is not
 * sound (sl_regex_is_sound) is SL_BUILD_BAD_ARGUMENT. */
enum sl_build_status sl_builder_regex(struct sl_builder *b, const struct sl_regex *regex, const uint16_t *cells,
                                      size_t count, uint32_t *id);

/* A question about a request: `name` and `text` are ids of sl_builder_string, `regex` of sl_builder_regex. Interned; the
 * length is computed. One that is none of the kinds is SL_BUILD_BAD_ARGUMENT. */
enum sl_build_status sl_builder_literal(struct sl_builder *b, const struct sl_literal *literal, uint32_t *id);

/* Lays the image out. *data is malloc'd, to be freed by the caller. The builder may go on and finish again. */
enum sl_build_status sl_builder_finish(struct sl_builder *b, uint8_t **data, size_t *size);

#endif
