/* The inside of the image builder, shared by builder*.c and its test. */
#ifndef SLUICE_BUILDER_PRIVATE_H
#define SLUICE_BUILDER_PRIVATE_H

#include "build/builder.h"

/* A growing array. Elements are reached by index: growing moves them. */
struct sl_vec {
    void *data;
    size_t count, room; /* elements */
};

/* An open-addressing table of u32 indexes, 0 = free: the form that images carry. At most three quarters are filled. */
struct sl_table {
    uint32_t *slots;
    size_t size, used;
};

/* A set of attachments, as the last item and the set before it. Items are attachment << 1 | is-an-except and grow along
 * the chain, so equal sets have one id, and a million nodes under the same rules share one. */
struct sl_set {
    uint32_t parent, item;
};

struct sl_hanging { /* an attachment under construction */
    struct sl_attachment record;
    uint32_t who; /* sl_who */
    uint8_t has_host, has_cidr;
};

struct sl_who {            /* a set of selectors */
    uint32_t first, count; /* in `who_selectors`, sorted */
    uint32_t asked;        /* bool: a program asks for it */
};

enum { SL_LABEL_CACHE = 4096 };

struct sl_builder {
    enum sl_build_status failed; /* SL_BUILD_OK, or what every call answers from now on */
    uint64_t limit;              /* records of a section; UINT32_MAX but in tests */
    uint32_t spread;             /* entries per member and use of a set of selectors, above which it is a clause */
    uint32_t walked;             /* items of a run, above which it has an index */
    uint32_t flags;
    struct sl_vec strings, rules, ranges, portsets, hangings, whos, who_selectors, nodes, labels, sets, prefixes,
        principals, selectors, users, networks, own, lines, regexes, cells, conditions, programs, steps, literals,
        settings;
    struct sl_vec scratch; /* bytes, valid until the next call */
    struct sl_table string_slots, portset_slots, edges, set_slots, principal_slots, selector_slots, user_slots,
        who_slots, regex_slots, program_slots, condition_slots, literal_slots, settings_slots;
    uint32_t roots[SL_TRIE_COUNT][2];
    uint32_t source_cidrs;                /* ids given out */
    uint32_t withins;                     /* likewise, of sets of blocks */
    uint32_t label_cache[SL_LABEL_CACHE]; /* LABELS offset + 1 of a recent label with that hash: `www` is stored once */
};

/* Intermediate results for one image; freed at the end. */
struct sl_layout {
    struct sl_builder *b;
    struct sl_vec lists, entries, keys;
    struct sl_vec paths, wanting; /* tries of paths; u32 attachments of one list that want a path */
    struct sl_table path_slots;
    struct sl_vec memberships, clause_ids;     /* of clauses */
    struct sl_vec runs, stretches, candidates; /* of long runs */
    uint32_t *list_of;                         /* by set; 0 = not referenced */
    uint32_t *clause_of;                       /* by sl_who: SL_ENTRY_CLAUSE and its number; 0 = it is spread */
    uint32_t *membership_of;                   /* by selector */
    uint32_t *within_of;                       /* by set: its membership */
    uint32_t clauses, first_within;            /* those of sets of blocks come last */
    uint32_t cidr_reach, host_reach, host_deny_reach;
};

#define SL_AT(type, vec, index) ((type *)(vec).data)[index]

/* Room for `count` more elements of `size` bytes, zeroed; NULL when `failed` was set. */
void *sl_vec_push(struct sl_builder *b, struct sl_vec *vec, size_t size, size_t count);
/* The table's slot for a key: `equal` compares an index that is there with it. The slot is 0 when the key is new; fill
 * it and count it in `used`. NULL when `failed` was set. */
uint32_t *sl_table_slot(struct sl_builder *b, struct sl_table *table, uint32_t hash,
                        uint32_t (*hash_of)(const struct sl_builder *b, uint32_t index),
                        int (*equal)(const struct sl_builder *b, uint32_t index, const void *key), const void *key);

/* The offset of a NUL-terminated text, stored once. */
enum sl_build_status sl_text_intern(struct sl_builder *b, const char *text, uint32_t *offset);
/* The set with one item more. */
enum sl_build_status sl_set_add(struct sl_builder *b, uint32_t *set, uint32_t item);
/* The node of exactly this prefix, made when it is not there; 0 when `failed` was set. */
uint32_t sl_prefix_insert(struct sl_builder *b, enum sl_trie trie, const struct sl_prefix *prefix);

/* The keys (who << 32 | attachment) as one more list, sorted. Returns 0 without room. */
uint32_t sl_add_list(struct sl_layout *layout);
/* Adds the keys of one attachment: one for its clause, or one for each selector. Returns 0 when `failed` was set. */
int sl_add_item(struct sl_layout *layout, uint32_t attachment);
/* Whether it wants a path of requests. */
int sl_wants_path(const struct sl_layout *layout, uint32_t attachment);
/* The trie of one list: attachments that want a path. Returns its root; 0 when `failed` was set. */
uint32_t sl_lay_paths(struct sl_layout *layout, const uint32_t *attachments, size_t count);

/* Counts, in clause_of, an entry that names a set; sl_choose_clauses puts clauses in the place of the counts. */
void sl_count_who(struct sl_layout *layout, uint32_t who);
void sl_choose_clauses(struct sl_layout *layout);
/* The clauses of each selector. Returns 0 when `failed` was set. */
int sl_lay_memberships(struct sl_layout *layout);
/* Work on a set that a node or prefix refers to. Returns 0 when `failed` was set. */
typedef int sl_set_work(struct sl_layout *layout, uint32_t set);
/* Walks one trie of prefixes whose values are sets. */
int sl_work_on_prefixes(struct sl_layout *layout, uint32_t root, sl_set_work *work);
/* The clauses of each set of blocks that prefixes are in; after those of selectors. Returns 0 when `failed` was set. */
int sl_lay_blocks(struct sl_layout *layout);
/* Ids of the builder become those of the image. */
void sl_fill_steps(const struct sl_layout *layout, struct sl_step *steps);
/* The index of the items `keys` (who << 32 | attachment, sorted) as record *number of RUNS. Returns 0 when `failed` was
 * set. */
int sl_lay_run(struct sl_layout *layout, const uint64_t *keys, size_t count, uint32_t *number);

#endif
