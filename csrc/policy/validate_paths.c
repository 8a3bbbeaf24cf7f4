/* The full check of a policy image (validate.c): tries of paths. */
#include "policy/checks.h"

static const struct sl_path_node *node_at(const struct sl_check *check, uint64_t index)
{
    return sl_check_record(check, SL_SEC_PATHS, index);
}

/* A list of a node: it exists, and has no trie of its own. */
static int is_list(const struct sl_check *check, uint32_t number)
{
    const struct sl_list *list = sl_check_record(check, SL_SEC_LISTS, number);
    return list && !list->paths;
}

static int are_lists(const struct sl_check *check, const struct sl_path_node *node)
{
    return is_list(check, node->exact) && is_list(check, node->prefix) && is_list(check, node->regex) &&
           is_list(check, node->unknown);
}

/* The root of a list's trie, and its nodes; *next moves behind them. */
static int check_trie(struct sl_check *check, uint64_t root, uint64_t *next)
{
    uint64_t all = sl_check_count(check, SL_SEC_PATHS), texts = sl_check_count(check, SL_SEC_STRINGS);
    if (root != *next || root >= all) return 0;
    const struct sl_path_node *node = node_at(check, root);
    if (node->parent != root || node->text || node->length == 0 || node->length > all - root || node->exact) return 0;
    if (!node->unknown || !are_lists(check, node)) return 0;
    *next = root + node->length;
    for (uint64_t i = root + 1; i < *next; i++) {
        const struct sl_path_node *at = node_at(check, i);
        int broken = 0;
        if (at->parent < root || at->parent >= i || at->text >= texts || at->length > texts - at->text) return 0;
        if (!are_lists(check, at) || at->unknown) return 0;
        const char *element = (const char *)sl_check_record(check, SL_SEC_STRINGS, at->text);
        if (sl_image_path(check->image, at->parent, element, at->length, &broken) != i || broken) return 0;
    }
    return 1;
}

/* Slots hold each node but roots once, and one is free. */
static int check_slots(struct sl_check *check, uint64_t roots)
{
    uint64_t size = sl_check_count(check, SL_SEC_PATH_SLOTS), nodes = sl_check_count(check, SL_SEC_PATHS), used = 0;
    const uint32_t *slots = size ? sl_check_record(check, SL_SEC_PATH_SLOTS, 0) : NULL;
    for (uint64_t i = 0; i < size; i++) {
        if (slots[i] >= nodes) return sl_check_fail(check, SL_IMAGE_BOUNDS, "path slot", i);
        used += slots[i] != 0;
    }
    int free_slot = size == 0 || used < size;
    return (used == nodes - 1 - roots && free_slot) || sl_check_fail(check, SL_IMAGE_ORDER, "path slot", used);
}

int sl_check_paths(struct sl_check *check)
{
    uint64_t next = 1, roots = 0;
    int flagged = (check->header->flags & SL_IMAGE_PATHS) != 0;
    for (uint64_t i = 0; i < sl_check_count(check, SL_SEC_LISTS); i++) {
        const struct sl_list *list = sl_check_record(check, SL_SEC_LISTS, i);
        if (!list->paths) continue;
        if (i == 0 || !check_trie(check, list->paths, &next)) return sl_check_fail(check, SL_IMAGE_ORDER, "paths", i);
        roots++;
    }
    if (next != sl_check_count(check, SL_SEC_PATHS) || flagged != (next > 1))
        return sl_check_fail(check, SL_IMAGE_ORDER, "paths", 0);
    return check_slots(check, roots);
}
