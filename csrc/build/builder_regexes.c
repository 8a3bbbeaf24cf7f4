/* Tables of regular expressions, as the compiler made them, and questions about requests: checked, and kept once. */
#include <string.h>

#include "build/builder_private.h"

static size_t cells_of(const struct sl_regex *regex)
{
    return SL_REGEX_CLASS_CELLS + (size_t)regex->states * regex->width;
}

struct regex_key {
    const struct sl_regex *regex;
    const uint16_t *cells;
};

static uint32_t key_hash(const struct regex_key *key)
{
    return sl_hash_edge(key->regex->start, (const uint8_t *)key->cells, cells_of(key->regex) * sizeof *key->cells);
}

static struct regex_key key_of(const struct sl_builder *b, uint32_t index)
{
    const struct sl_regex *regex = &SL_AT(struct sl_regex, b->regexes, index);
    return (struct regex_key){regex, &SL_AT(uint16_t, b->cells, regex->cells)};
}

static uint32_t regex_hash(const struct sl_builder *b, uint32_t index)
{
    struct regex_key key = key_of(b, index);
    return key_hash(&key);
}

static int regex_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    struct regex_key have = key_of(b, index);
    const struct regex_key *key = wanted;
    const struct sl_regex *one = have.regex, *other = key->regex;
    return one->states == other->states && one->width == other->width && one->start == other->start &&
           one->accepting == other->accepting && one->certain == other->certain &&
           memcmp(have.cells, key->cells, cells_of(one) * sizeof *have.cells) == 0;
}

enum sl_build_status sl_builder_regex(struct sl_builder *b, const struct sl_regex *regex, const uint16_t *cells,
                                      size_t count, uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (!sl_regex_is_sound(regex, cells, count)) return SL_BUILD_BAD_ARGUMENT;
    struct regex_key key = {regex, cells};
    uint32_t *slot = sl_table_slot(b, &b->regex_slots, key_hash(&key), regex_hash, regex_equal, &key);
    if (!slot) return b->failed;
    if (!*slot) {
        size_t first = b->cells.count;
        uint16_t *copy = sl_vec_push(b, &b->cells, sizeof *copy, count);
        struct sl_regex *record = copy ? sl_vec_push(b, &b->regexes, sizeof *record, 1) : NULL;
        if (!record) return b->failed;
        memcpy(copy, cells, count * sizeof *copy);
        *record = *regex;
        record->cells = (uint32_t)first;
        record->pad = 0;
        *slot = (uint32_t)(b->regexes.count - 1);
        b->regex_slots.used++;
    }
    *id = *slot;
    return SL_BUILD_OK;
}

/* ---- questions about requests ------------------------------------------------------------------------------------ */

static uint32_t literal_hash_of(const struct sl_literal *key)
{
    return sl_hash_pair(sl_hash_pair(key->name, key->text), sl_hash_pair(key->regex, key->kind));
}

static uint32_t literal_hash(const struct sl_builder *b, uint32_t index)
{
    return literal_hash_of(&SL_AT(struct sl_literal, b->literals, index));
}

static int literal_equal(const struct sl_builder *b, uint32_t index, const void *wanted)
{
    return memcmp(&SL_AT(struct sl_literal, b->literals, index), wanted, sizeof(struct sl_literal)) == 0;
}

enum sl_build_status sl_builder_literal(struct sl_builder *b, const struct sl_literal *literal, uint32_t *id)
{
    *id = 0;
    if (b->failed != SL_BUILD_OK) return b->failed;
    if (literal->name >= b->strings.count || literal->text >= b->strings.count || literal->regex >= b->regexes.count)
        return SL_BUILD_BAD_ARGUMENT;
    const char *text = &SL_AT(char, b->strings, literal->text);
    size_t length = strlen(text);
    struct sl_literal key = *literal;
    key.length = length <= SL_LITERAL_LENGTH ? (uint16_t)length : 0;
    if (!sl_literal_is_sound(&key, text)) return SL_BUILD_BAD_ARGUMENT;
    uint32_t *slot = sl_table_slot(b, &b->literal_slots, literal_hash_of(&key), literal_hash, literal_equal, &key);
    if (!slot) return b->failed;
    if (!*slot) {
        struct sl_literal *record = sl_vec_push(b, &b->literals, sizeof *record, 1);
        if (!record) return b->failed;
        *record = key;
        *slot = (uint32_t)(b->literals.count - 1);
        b->literal_slots.used++;
    }
    *id = *slot;
    return SL_BUILD_OK;
}
