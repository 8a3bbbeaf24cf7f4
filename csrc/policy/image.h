/* The policy image: one sealed, position-independent block that workers map read-only and answer every question from.
 * This header is the layout and the validator; builder.h writes images, judge.h reads them.
 *
 *   +-----------------+  0
 *   | sl_image_header |  magic, version, size, checksum, flags, section table
 *   +-----------------+
 *   | section 0 ...   |  each 8-byte aligned: an array of fixed-size records, or bytes
 *   +-----------------+  header.size
 *
 * Records refer to each other by index (u32), to text by offset into STRINGS. Index 0 of a section is reserved wherever
 * 0 must mean "none" (rules, lists, selectors, principals, portsets). Integers are little-endian, as the machine's.
 *
 * How a question is answered:
 *   source  --(PRINCIPALS by hash, SOURCE tries for CIDRs)-->  the few selectors that match it
 *   host    --(EDGES by hash of parent and label)-->  path of name nodes, each with an exact and a wildcard list
 *   address --(DEST tries)-->  path of prefix nodes, each with a list
 *   list    = entries sorted by (who, attachment); for each selector of the source a binary search, and one for each
 *             clause that it is in. A long run of entries has an index by port behind it
 *   attachment = one destination item of one rule: tier, ports, group, class, order, excepts, and the programs (program.h)
 *                that say whether it counts and whom it admits
 * lookup.h does the walks; source.c and decide.c ask it.
 */
#ifndef SLUICE_IMAGE_H
#define SLUICE_IMAGE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/contract.h"

#define SL_IMAGE_MAGIC 0x4950454349554c53ull /* the bytes "SLUICEPI" in memory */
enum { SL_IMAGE_VERSION = 6 };

enum sl_section {
    SL_SEC_STRINGS,         /* bytes; NUL-terminated texts; offset 0 is the empty text */
    SL_SEC_RULES,           /* sl_rule */
    SL_SEC_RANGES,          /* sl_port_range */
    SL_SEC_PORTSETS,        /* sl_portset; 0 = any port */
    SL_SEC_ATTACHMENTS,     /* sl_attachment */
    SL_SEC_LISTS,           /* sl_list; 0 = empty */
    SL_SEC_ENTRIES,         /* sl_entry */
    SL_SEC_NODES,           /* sl_node; 0 = the root */
    SL_SEC_EDGES,           /* u32 node index, open addressing, power-of-two size; 0 = empty */
    SL_SEC_LABELS,          /* bytes; length-prefixed labels */
    SL_SEC_PREFIXES,        /* sl_prefix_node; 0 reserved; all prefix tries share this pool */
    SL_SEC_PRINCIPALS,      /* sl_principal; 0 reserved */
    SL_SEC_PRINCIPAL_SLOTS, /* u32 principal index, open addressing */
    SL_SEC_SELECTORS,       /* sl_selector; 0 reserved */
    SL_SEC_SELECTOR_SLOTS,  /* u32 selector index, open addressing, by (principal, cidr id) */
    SL_SEC_USERS,           /* sl_user; 0 reserved */
    SL_SEC_USER_SLOTS,      /* u32 user index, open addressing by name */
    SL_SEC_NETWORKS,        /* sl_network; 0 reserved: values of the NETWORK tries */
    SL_SEC_OWN,             /* sl_own */
    SL_SEC_LINES,           /* sl_line: where the names of host lists stand in their files */
    SL_SEC_MEMBERSHIPS, /* sl_membership; 0 = in no clause. Of selectors, and of address blocks in the WITHIN tries */
    SL_SEC_CLAUSES,     /* u32 numbers of clauses, for MEMBERSHIPS */
    SL_SEC_RUNS,        /* sl_run */
    SL_SEC_STRETCHES,   /* sl_stretch, for RUNS */
    SL_SEC_CANDIDATES,  /* u32 attachments, for STRETCHES and RUNS */
    SL_SEC_REGEXES,     /* sl_regex; 0 reserved */
    SL_SEC_CELLS,       /* u16, for REGEXES */
    SL_SEC_CONDITIONS,  /* sl_condition; 0 reserved */
    SL_SEC_PROGRAMS,    /* sl_program; 0 = holds always */
    SL_SEC_STEPS,       /* sl_step, for PROGRAMS */
    SL_SEC_LITERALS,    /* sl_literal; 0 reserved */
    SL_SEC_PATHS,       /* sl_path_node; 0 reserved: tries of the paths that rules want, one for each list with such */
    SL_SEC_PATH_SLOTS,  /* u32 path node, open addressing by parent and element; roots are not in it */
    SL_SEC_SETTINGS,    /* sl_settings; 0 = none */
    SL_SEC_COUNT
};

enum sl_image_flags {
    SL_IMAGE_HAS_POLICY = 1,  /* at least one rule, or passthrough: otherwise every answer is NO_POLICY */
    SL_IMAGE_PASSTHROUGH = 2, /* policy.passthrough */
    SL_IMAGE_AUDIT = 4,       /* policy.audit */
    SL_IMAGE_STARTING = 8,    /* policy.paths exist and hold nothing yet: policy.audit softens NO_POLICY */
    SL_IMAGE_GROUPS = 16,     /* there are attachments of other groups than 0 */
    SL_IMAGE_ROLES = 32,      /* there are principals of roles */
    SL_IMAGE_PLACES = 64, /* conditions ask where an address lies: a name is judged again with each of its addresses */
    SL_IMAGE_NETWORKED = 128,  /* there are networks of destinations */
    SL_IMAGE_IDENTIFIED = 256, /* a rule or condition is for every IDENTIFIED source */
    SL_IMAGE_CLOSES = 1 << 15, /* there are rules with `invalid` */
    SL_IMAGE_PATHS = 512,      /* there are rules that want a path */
};

/* Roots of the prefix tries, one for each family (index 0: IPv4, 1: IPv6); node index, 0 = empty trie. */
enum sl_trie {
    SL_TRIE_DEST,
    SL_TRIE_SOURCE,
    SL_TRIE_NETWORK,
    SL_TRIE_GUARD_ALLOW,
    SL_TRIE_GUARD_DENY,
    SL_TRIE_NAT64,  /* addresses.nat64; IPv6 only */
    SL_TRIE_WITHIN, /* blocks that conditions ask for */
    SL_TRIE_COUNT
};

struct sl_section_ref {
    uint64_t offset; /* from the start of the image, 8-byte aligned */
    uint64_t count;  /* records (bytes for byte sections) */
};

struct sl_image_header {
    uint64_t magic;
    uint32_t version;
    uint32_t flags;    /* sl_image_flags */
    uint64_t size;     /* of the whole image, bytes */
    uint64_t checksum; /* sl_image_checksum over [sizeof header, size), mixed with the header's other fields */
    uint32_t roots[SL_TRIE_COUNT][2];
    /* Lists: one entry per selector and distinct (tier, ports) of what allows or audits CIDRs, what allows or audits
     * hosts, and what denies or audits hosts; defaults among them. */
    uint32_t cidr_reach, host_reach, host_deny_reach;
    uint32_t clauses; /* how many there are; their numbers begin with 0 */
    uint32_t walked;  /* a run of more items than that has an index */
    uint32_t pad;
    struct sl_section_ref sections[SL_SEC_COUNT];
};

struct sl_rule {
    uint32_t kind;       /* string: "EgressPolicy", ... */
    uint32_t namespace_; /* string; 0 = none */
    uint32_t name;       /* string */
    uint32_t index;      /* item in the resource, 0-based, as users count `spec.to` ... ; the rule's own index */
    uint32_t file;       /* string */
    uint32_t line;
    uint32_t upstream;          /* string; 0 = dial directly */
    uint32_t settings;          /* SETTINGS; 0 = none */
    uint32_t lines, line_count; /* LINES of its host list, sorted by sl_line_key; 0 0 = it has none */
    uint16_t slot;              /* metrics slot, 0 = `other` */
    uint8_t tier;               /* sl_tier */
    uint8_t on_revoke;          /* sl_on_revoke */
    uint8_t on_revoke_set;      /* 1 when the resource says so itself */
    uint8_t inner;              /* sl_inner_mode */
    uint8_t protocol;           /* sl_inner_protocol */
    uint8_t ech;                /* sl_ech */
    uint32_t tls;               /* string: JSON of the TLS that tunnels leave by, "{}": as they come; 0 = not said */
    uint16_t tls_port;          /* that is dialed for it; 0 = 443 for 80, else the one asked for */
    uint8_t invalid;            /* 1 = a deny of a resource that cannot be used: POLICY_INVALID */
    uint8_t pad;
};

/* What few rules set: JSON objects in STRINGS; 0 = not said. Equal settings are there once. */
struct sl_settings {
    uint32_t sources; /* sourceAddress */
    uint32_t route;   /* filters, backends, timeouts and retries of one rule of a route */
    uint32_t headers; /* changes to requests */
};

struct sl_port_range {
    uint16_t low, high;
}; /* inclusive; low = high is a single port */
/* How a set of ports holds one; the narrower wins. */
enum sl_port_class { SL_PORT_ANY = 0, SL_PORT_RANGE = 1, SL_PORT_SINGLE = 2 };
struct sl_portset {
    uint32_t first, count;
}; /* RANGES, sorted by low, disjoint */

enum sl_attachment_flags {
    SL_ATTACH_EXCEPTS = 1,  /* deeper nodes may carry except entries for it */
    SL_ATTACH_LIFTS = 2,    /* a CIDR allow that lifts the guard */
    SL_ATTACH_BY_ORDER = 4, /* in its group neither ports nor the selector count, only class, depth and order */
    SL_ATTACH_SETS = 8,     /* the bit of sl_attribute 0, the others follow: its rule sets them */
};

/* The attributes that a rule with these settings sets, as bits of sl_attachment.flags. */
static inline uint16_t sl_rule_sets(const struct sl_rule *rule, const struct sl_settings *settings)
{
    int passes = rule->tier == SL_TIER_ALLOW || rule->tier == SL_TIER_AUDIT;
    if (rule->tier < SL_TIER_AUDIT) return 0; /* a default brings nothing along */
    unsigned sets = passes && rule->upstream ? 1u << SL_ATTR_UPSTREAM : 0;
    sets |= passes && settings->sources ? 1u << SL_ATTR_SOURCE : 0;
    sets |= passes && settings->route ? 1u << SL_ATTR_ROUTE : 0;
    sets |= passes && settings->headers ? 1u << SL_ATTR_HEADERS : 0;
    sets |= passes && rule->inner ? 1u << SL_ATTR_INNER : 0;
    sets |= passes && rule->protocol ? 1u << SL_ATTR_PROTOCOL : 0;
    sets |= passes && rule->ech ? 1u << SL_ATTR_ECH : 0;
    sets |= passes && rule->tls ? 1u << SL_ATTR_TLS : 0;
    sets |= rule->tier != SL_TIER_HARD_DENY && rule->on_revoke_set ? 1u << SL_ATTR_REVOKE : 0;
    return (uint16_t)(sets * SL_ATTACH_SETS);
}

/* A group is the rules that a dialect reduces to one verdict. Group 0 has one for each tier: it needs no class. In every
 * other one the greatest (class, depth, port class, source rank) wins, then the lower order, whatever its tier; then the
 * winners of all groups are compared: the stronger tier, then depth, port class, source rank, and the rule that stands
 * before in RULES, which is the older one. */
enum { SL_GROUPS = 8, SL_CLASSES = 32 };
struct sl_attachment {
    uint32_t rule;      /* RULES */
    uint32_t portset;   /* PORTSETS, 0 = any */
    uint32_t order;     /* lower wins inside a group; unique */
    uint32_t condition; /* CONDITIONS, 0 = it counts always and admits all sources */
    uint8_t tier;       /* sl_tier */
    uint8_t group : 3;  /* 0 = no defaults in it */
    uint8_t class : 5;  /* the dialect's own precedence, before depth; 0 in group 0 */
    uint16_t flags;     /* sl_attachment_flags */
};

/* Conditions of an attachment. `when` says whether it counts at all. `admit` is judged after it has won its group: where
 * it does not hold the answer is a denial, unauthorized. An attachment with a `network` is one that a group chooses
 * between: of those that match the source and the address the lowest order is the one, the others do not count; its own
 * number is what steps of programs ask for. */
struct sl_condition {
    uint32_t when, admit; /* PROGRAMS */
    uint32_t network;     /* 0 = it is none */
    uint32_t flags;       /* sl_condition_flags */
    uint32_t path;        /* LITERALS, a path that must hold as well; the better one wins. 0 = whatever it is */
};
enum sl_condition_flags {
    SL_CONDITION_UNAUTHORIZED = 1, /* its denial says so */
    SL_CONDITION_NO_ROUTE = 2,     /* likewise, and it counts for requests alone */
};

/* Whether an index of a long run leaves the attachment to be looked at each time: it may be taken out of the run by more
 * than its ports. */
static inline int sl_is_conditional(const struct sl_attachment *attachment)
{
    return (attachment->flags & (SL_ATTACH_EXCEPTS | SL_ATTACH_BY_ORDER)) != 0 || attachment->condition != 0;
}

/* A program: steps in postfix order, one truth in the end (program.h). */
enum { SL_PROGRAM_STEPS = 256 };
struct sl_program {
    uint32_t first, count; /* STEPS; at most SL_PROGRAM_STEPS */
};
enum sl_step_code {
    SL_STEP_NONE = 0,
    SL_STEP_AND,      /* of the `operand` truths before it; of none: true */
    SL_STEP_OR,       /* likewise; of none: false */
    SL_STEP_NOT,      /* of the one before it */
    SL_STEP_SOURCE,   /* the source's highest identity is `operand`: SELECTORS, or a clause with SL_ENTRY_CLAUSE */
    SL_STEP_LISTENER, /* asked through the listener `operand`: STRINGS */
    SL_STEP_WITHIN,   /* the address lies in the blocks of clause `operand` */
    SL_STEP_NETWORK,  /* the network chosen is `operand` */
    SL_STEP_REQUEST,  /* the request is as LITERALS `operand` wants it */
    SL_STEP_SHOWS,    /* sl_shows `operand` shows inside, HTTP or TLS; holds while nothing does */
    SL_STEP_CODE_COUNT
};
struct sl_step {
    uint32_t code; /* sl_step_code */
    uint32_t operand;
};

/* One question about a request. A path is compared in normal form; what is searched is path and query; of fields and
 * parameters the first of the name counts. */
enum sl_literal_kind {
    SL_LITERAL_NONE = 0,
    SL_LITERAL_METHOD,
    SL_LITERAL_PATH_EXACT,
    SL_LITERAL_PATH_PREFIX, /* by element: without a slash at its end, unless it is all of it */
    SL_LITERAL_PATH_REGEX,
    SL_LITERAL_PATH_SEARCH,
    SL_LITERAL_FIELD, /* `name` in lower case */
    SL_LITERAL_QUERY,
    SL_LITERAL_KIND_COUNT
};
struct sl_literal {
    uint32_t
        name; /* STRINGS: of a field or parameter; of a path's expression the elements that all begin with; else 0 */
    uint32_t text;   /* STRINGS: the value, or the regular expression as it is written */
    uint32_t regex;  /* REGEXES; 0 = `text` is the value */
    uint16_t kind;   /* sl_literal_kind */
    uint16_t length; /* of `text`, at most SL_LITERAL_LENGTH */
};
enum { SL_LITERAL_LENGTH = 16383 };

/* Precedence of paths: exact, then the longer prefix, then an expression; the greater wins. 0: it is not a path. */
static inline unsigned sl_path_rank(const struct sl_literal *literal)
{
    static const uint8_t kinds[SL_LITERAL_KIND_COUNT] = {[SL_LITERAL_PATH_EXACT] = 3,
                                                         [SL_LITERAL_PATH_PREFIX] = 2,
                                                         [SL_LITERAL_PATH_REGEX] = 1,
                                                         [SL_LITERAL_PATH_SEARCH] = 1};
    unsigned kind = literal->kind < SL_LITERAL_KIND_COUNT ? kinds[literal->kind] : 0;
    return kind << 14 | (kind == 2 ? literal->length & 0x3fffu : 0);
}

/* Whether a literal is of a kind, and has a name and an expression exactly where that wants one. */
static inline int sl_literal_is_sound(const struct sl_literal *literal, const char *text)
{
    unsigned kind = literal->kind;
    int named = kind == SL_LITERAL_FIELD || kind == SL_LITERAL_QUERY;
    int searched = kind == SL_LITERAL_PATH_REGEX || kind == SL_LITERAL_PATH_SEARCH;
    if (kind == SL_LITERAL_NONE || kind >= SL_LITERAL_KIND_COUNT || strlen(text) != literal->length) return 0;
    if (literal->length > SL_LITERAL_LENGTH || (!searched && named != (literal->name != 0))) return 0;
    return named || searched == (literal->regex != 0);
}

/* Whether an attachment may be of that tier, group and class. */
static inline int sl_in_group(unsigned tier, unsigned group, unsigned class)
{
    unsigned lowest = group ? SL_TIER_DEFAULT_ALLOW : SL_TIER_AUDIT;
    return tier >= lowest && tier <= SL_TIER_HARD_DENY && group < SL_GROUPS && class < (group ? SL_CLASSES : 1);
}

/* Lines of the names of host lists, without four bytes a name: a run gives the line of its first node, and each further
 * node that the rule is attached to, in the order of nodes, stands in the next line. A run ends where a line is left out
 * and after SL_LINE_RUN nodes, so that the walk is short: a list without gaps takes 0.13 bytes a name. A name whose node
 * is older than that of a line before has a record of its own. */
enum { SL_LINE_RUN = 64 };
#define SL_LINE_SINGLE 0x80000000u /* in `line`: one name, not a run; singles come last, sorted by (node, wildcard) */
#define SL_LINE_WILD 0x40000000u   /* in `line` of a single: the name is a wildcard */
struct sl_line {
    uint32_t node; /* NODES */
    uint32_t line; /* 1-based, and the bits above */
};
static inline uint64_t sl_line_key(uint32_t node, uint32_t bits)
{
    return (uint64_t)(bits & SL_LINE_SINGLE) << 8 | (uint64_t)node << 1 | ((bits & SL_LINE_WILD) != 0);
}

/* Of ENTRIES, sorted by (who, attachment): those of selectors first, those of clauses behind them. */
struct sl_list {
    uint32_t first, count;
    uint32_t paths; /* PATHS, the root of its trie: items that want a path, which are not among the entries; 0 = none */
};
#define SL_LIST_DEEP 0x80000000u /* in `count`: there are clauses or indexes among the entries */

/* A clause is a set of selectors that entries name by a number, where one entry for each selector would be too many. The
 * image holds it from the other side: each selector names the clauses that it is in. */
#define SL_ENTRY_CLAUSE 0x80000000u /* in `who`: a clause's number, else a selector */
#define SL_ENTRY_EXCEPT 0x80000000u /* in `attachment`: an except, not a match */
#define SL_ENTRY_RUN 0x40000000u    /* in `attachment`: RUNS, the index of the items before it */
struct sl_entry {
    uint32_t who, attachment;
};
struct sl_membership {     /* of a selector, or of a block of addresses: the clauses that it is in */
    uint32_t first, count; /* CLAUSES, ascending */
};

/* The index of a run, which is what one list has for one `who`: items, then the index where they are more than
 * header.walked, then excepts. For each port it has the few items that can win, or set an attribute, or lift the guard;
 * those with excepts or conditions may be taken out by them, and are all looked at. */
struct sl_run {
    uint32_t first, count;               /* STRETCHES, sorted by port */
    uint32_t excepting, excepting_count; /* CANDIDATES: the conditional items, ascending */
};
/* Ports from `low` up to the next stretch's. */
struct sl_stretch {
    uint16_t low, count; /* CANDIDATES; 0 = none matches there */
    uint32_t first;
};

/* One element of the paths that rules of a list want. The nodes of a trie lie one after the other, the root first. Lists
 * have no tries of their own; every item stands in one of `exact`, `prefix` and `regex`. */
struct sl_path_node {
    uint32_t parent;  /* PATHS, before it; a root's is itself */
    uint32_t text;    /* STRINGS: the element, a part of a text; a root's is 0 */
    uint32_t length;  /* of the element; of a root: how many nodes its trie has */
    uint32_t exact;   /* LISTS: the path ends here */
    uint32_t prefix;  /* LISTS: it ends here or goes on with a slash */
    uint32_t regex;   /* LISTS: expressions whose paths all begin so */
    uint32_t unknown; /* LISTS: of a root, what may count as long as there is no request; 0 elsewhere */
};

struct sl_node {
    uint32_t parent;   /* NODES; the root's is 0 */
    uint32_t label;    /* LABELS offset of the length byte */
    uint32_t exact;    /* LISTS: the name that ends here */
    uint32_t wildcard; /* LISTS: names below this one, at any depth */
};

struct sl_prefix_node {
    uint8_t bits[16];  /* prefix, host bits zero; IPv4 in the first four bytes */
    uint32_t child[2]; /* PREFIXES by the bit after the prefix; 0 = none. A child's prefix is longer and extends it */
    uint32_t
        value; /* LISTS (dest), cidr id (source), NETWORKS (network), MEMBERSHIPS (within), 1 (guard); 0 = branch only */
    uint8_t length;
    uint8_t pad[3];
};

/* Kinds of sources that a rule may select. NAMESPACE_* narrow an identity or user to a namespace. */
enum sl_principal_kind {
    SL_PRINCIPAL_NONE = 0,
    SL_PRINCIPAL_MESH,               /* every source */
    SL_PRINCIPAL_NAMESPACE,          /* a = namespace */
    SL_PRINCIPAL_SERVICE_ACCOUNT,    /* a = namespace, b = service account */
    SL_PRINCIPAL_IDENTITY,           /* b = identity URI */
    SL_PRINCIPAL_USER,               /* b = user name */
    SL_PRINCIPAL_NAMESPACE_IDENTITY, /* a = namespace, b = identity URI */
    SL_PRINCIPAL_NAMESPACE_USER,     /* a = namespace, b = user name */
    SL_PRINCIPAL_ROLE,               /* b = role: CN or OU of a certificate, else the user's name */
    SL_PRINCIPAL_ROLE_OTHER,         /* every role that is not a principal of its own */
    SL_PRINCIPAL_PODS,               /* b = a selection of pods, in words; whom it selects, records of workloads say */
    SL_PRINCIPAL_NAMESPACES,         /* b = a selection of namespaces, likewise */
    SL_PRINCIPAL_IDENTIFIED,         /* every source whose service account or identity is known */
    SL_PRINCIPAL_ELSEWHERE,          /* every source with a namespace that is not `networked` */
    SL_PRINCIPAL_KIND_COUNT
};

struct sl_principal {
    uint32_t a, b;     /* strings */
    uint32_t selector; /* SELECTORS: this principal from any address; 0 = none */
    uint8_t kind;      /* sl_principal_kind */
    uint8_t audit;     /* namespaces in audit mode */
    uint8_t networked; /* namespaces with networks of destinations of their own */
    uint8_t pad;
};

enum sl_selector_flags { SL_SELECTOR_HAS_ALLOW = 1 /* an EgressPolicy allow selects it: no passthrough */ };
#define SL_SELECTOR_DENY_ONLY 0x80000000u /* never in an image: beside an index in sl_source.selectors */

struct sl_selector {
    uint32_t principal;  /* PRINCIPALS */
    uint32_t cidr;       /* id of the source prefix, 0 = any address */
    uint32_t membership; /* MEMBERSHIPS */
    uint16_t rank;  /* higher wins: identity and user > service account > namespace > cidr > mesh, then CIDR length */
    uint16_t flags; /* sl_selector_flags */
};

struct sl_user {
    uint32_t name, namespace_, service_account;
    uint32_t credential[2]; /* 64 bits of a digest of the password's hash, high word first; 0 = none is known */
};
struct sl_network {
    uint32_t namespace_, service_account;
};
struct sl_own { /* a block that is this gateway's; port 0 = every port. Family 0: the port, on every local address */
    uint8_t bits[16];
    uint16_t port;
    uint8_t family, length;
    uint32_t pad;
};

/* A regular expression as the table of a deterministic automaton. State 0 matches nothing whatever comes, those from
 * `accepting` on match if the text ends there, and `certain`, unless it is 0, matches whatever comes. Equal tables are
 * there once. */
enum { SL_REGEX_CLASS_CELLS = 128, SL_REGEX_STATES = 10001 };
struct sl_regex {
    uint32_t cells;         /* CELLS: 256 bytes, the class of each byte, then for each state and class the next state */
    uint16_t states, width; /* how many states and classes */
    uint16_t start, accepting, certain;
    uint16_t pad;
};

/* Whether `count` cells are a table whose every step stays inside; `cells` of the record does not count. */
int sl_regex_is_sound(const struct sl_regex *regex, const uint16_t *cells, size_t count);

/* A mapped, checked image. Borrowed memory: the caller keeps the mapping. */
struct sl_image {
    const uint8_t *base;
    const struct sl_image_header *header;
    size_t size;
};

enum sl_image_status {
    SL_IMAGE_INTERNAL = 0,
    SL_IMAGE_OK = 1,
    SL_IMAGE_SHORT, /* smaller than a header, or than it says */
    SL_IMAGE_MAGIC_BAD,
    SL_IMAGE_VERSION_BAD,
    SL_IMAGE_CHECKSUM_BAD,
    SL_IMAGE_BOUNDS, /* a section or an index points outside */
    SL_IMAGE_ORDER,  /* entries not sorted, a trie child not longer than its parent, a table without a free slot */
};

/* Finds corruption, not malice. `size` is a multiple of 8 and at least that of the header; the field `checksum` counts
 * as 0. */
uint64_t sl_image_checksum(const uint8_t *base, size_t size);
/* A worker's check: header, size, section bounds, checksum. Fills *image on SL_IMAGE_OK. Every look-up stays
 * bounds-checked after that; a bad index can make a wrong answer (DENY), never a bad read. */
enum sl_image_status sl_image_open(const void *base, size_t size, struct sl_image *image);

/* The same in pieces, for callers with short turns: begin, step until it returns 1, end. */
struct sl_image_opening {
    const uint8_t *base;
    size_t size; /* as the header says */
    size_t at;   /* bytes taken into the checksum */
    uint64_t lanes[4];
};
/* Everything but the checksum. */
enum sl_image_status sl_image_open_begin(const void *base, size_t size, struct sl_image_opening *opening);
/* Takes about `most` further bytes into the checksum, 32 at least. Returns 1 once it has all, 0 before. */
int sl_image_open_step(struct sl_image_opening *opening, size_t most);
/* Fills *image on SL_IMAGE_OK. */
enum sl_image_status sl_image_open_end(const struct sl_image_opening *opening, struct sl_image *image);
/* The supervisor's check before it publishes: everything open() does, and every record. `where` (may be NULL)
 * receives a short text naming the first bad section and index. */
enum sl_image_status sl_image_validate(const void *base, size_t size, struct sl_image *image, char where[64]);
const char *sl_image_status_text(enum sl_image_status status);

/* Bytes of one record of a section; 0 for a section that does not exist. */
size_t sl_section_record_size(unsigned section);
/* Record i of a section, or NULL when out of range. */
const void *sl_image_record(const struct sl_image *image, enum sl_section section, uint64_t index);
/* A text; "" when out of range. */
const char *sl_image_string(const struct sl_image *image, uint32_t offset);
/* The node below `parent` that `label` leads to; 0 = none. *broken is set when the image contradicts itself. */
uint32_t sl_image_child(const struct sl_image *image, uint32_t parent, const uint8_t *label, size_t length,
                        int *broken);
/* The node of PATHS below `parent` that an element leads to; likewise. */
uint32_t sl_image_path(const struct sl_image *image, uint32_t parent, const char *element, size_t length, int *broken);
/* The principal, selector or user with that key; 0 = none. */
uint32_t sl_image_principal(const struct sl_image *image, uint8_t kind, const char *a, const char *b, int *broken);
uint32_t sl_image_selector(const struct sl_image *image, uint32_t principal, uint32_t cidr, int *broken);
uint32_t sl_image_user(const struct sl_image *image, const char *name, int *broken);

/* Hashes shared by builder and look-up. */
uint32_t sl_hash_edge(uint32_t parent, const uint8_t *label, size_t length);
uint32_t sl_hash_pair(uint32_t a, uint32_t b);
uint32_t sl_hash_principal(uint8_t kind, const char *a, const char *b);
uint32_t sl_hash_text(const char *text);

#endif
