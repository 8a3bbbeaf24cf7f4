/* Walks of the tries of paths. */
#include "policy/paths.h"

#include <string.h>

struct walk {
    const struct sl_asked *asked;
    int all;
    sl_item_visit *visit;
    void *visitor;
    int *broken;
};

static int visit_list(const struct walk *walk, uint32_t list)
{
    const struct sl_asked *asked = walk->asked;
    if (!list) return 0;
    return sl_visit_items(asked->image, list, asked->source, asked->port, walk->all, walk->visit, walk->visitor,
                          walk->broken);
}

/* The root of a list's trie; 0: it has none. */
static uint32_t root_of(const struct sl_image *image, uint32_t list, int *broken)
{
    const struct sl_list *record = sl_image_record(image, SL_SEC_LISTS, list);
    if (!record) *broken = 1;
    return record ? record->paths : 0;
}

/* The nodes of a trie lie one after the other, the root first. */
static const struct sl_path_node *nodes_of(const struct sl_image *image, uint32_t root, uint32_t *count, int *broken)
{
    uint64_t all = image->header->sections[SL_SEC_PATHS].count;
    const struct sl_path_node *node = sl_image_record(image, SL_SEC_PATHS, root);
    *count = node ? node->length : 0;
    if (node && node->length <= all - root) return node;
    *broken = 1;
    *count = 0;
    return NULL;
}

static int visit_all(const struct walk *walk, uint32_t root)
{
    uint32_t count;
    const struct sl_path_node *node = nodes_of(walk->asked->image, root, &count, walk->broken);
    for (uint32_t i = 0; i < count; i++, node++)
        if (visit_list(walk, node->exact) || visit_list(walk, node->prefix) || visit_list(walk, node->regex)) return 1;
    return 0;
}

/* From the first element to the last. A node is reached at the end of an element: its prefixes and expressions may hold,
 * and what wants exactly this path where the path ends. */
static int visit_along(const struct walk *walk, uint32_t root, const struct sl_text *path)
{
    const struct sl_image *image = walk->asked->image;
    uint32_t at = root;
    for (size_t start = 0; at;) {
        const struct sl_path_node *node = sl_image_record(image, SL_SEC_PATHS, at);
        if (!node) {
            *walk->broken = 1;
            return 0;
        }
        if (visit_list(walk, node->prefix) || visit_list(walk, node->regex)) return 1;
        if (start >= path->length) return visit_list(walk, node->exact);
        start++; /* the slash */
        size_t end = start;
        while (end < path->length && path->at[end] != '/') end++;
        at = sl_image_path(image, at, path->at + start, end - start, walk->broken);
        start = end;
    }
    return 0;
}

int sl_visit_paths(const struct sl_asked *asked, uint32_t list, int all, sl_item_visit *visit, void *visitor,
                   int *broken)
{
    struct walk walk = {asked, all, visit, visitor, broken};
    uint32_t root = root_of(asked->image, list, broken);
    if (!root) return 0;
    if (all) return visit_all(&walk, root);
    if (asked->request) return visit_along(&walk, root, &asked->request->path);
    const struct sl_path_node *node = sl_image_record(asked->image, SL_SEC_PATHS, root);
    if (!node) *broken = 1;
    return node ? visit_list(&walk, node->unknown) : 0;
}

int sl_paths_have_rule(const struct sl_image *image, uint32_t list, uint32_t selector, uint32_t rule)
{
    int broken = 0;
    uint32_t count, root = root_of(image, list, &broken);
    const struct sl_path_node *node = root ? nodes_of(image, root, &count, &broken) : NULL;
    for (uint32_t i = 0; node && i < count; i++) {
        const uint32_t lists[] = {node[i].exact, node[i].prefix, node[i].regex};
        for (unsigned j = 0; j < 3; j++)
            if (lists[j] && sl_list_has_rule(image, lists[j], selector, rule)) return 1;
    }
    return 0;
}
