/* Laying tries of paths out (struct sl_path_node): of each list those items that want a path, element by element.
 * Texts of nodes are parts of the texts of literals. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "build/builder_private.h"

enum { EXACT, PREFIX, REGEX, KINDS };

struct placed { /* an item, and the list of a node that it goes to */
    uint32_t node, kind, attachment;
};

static uint32_t node_hash_of(uint32_t parent, const char *text, size_t length)
{
    return sl_hash_edge(parent, (const uint8_t *)text, length);
}

/* One node more, below `parent` or a root. 0 when `failed` was set. */
static uint32_t add_node(struct sl_layout *layout, uint32_t parent, uint32_t text, uint32_t length)
{
    struct sl_path_node *node = sl_vec_push(layout->b, &layout->paths, sizeof *node, 1);
    if (!node) return 0;
    uint32_t at = (uint32_t)(layout->paths.count - 1);
    *node = (struct sl_path_node){.parent = parent ? parent : at, .text = text, .length = length};
    return at;
}

/* The table of nodes is the layout's own: it grows here as sl_table_slot does for the builder's. */
static int grow(struct sl_layout *layout)
{
    struct sl_table *table = &layout->path_slots;
    if ((table->used + 1) * 4 <= table->size * 3) return 1;
    size_t size = table->size ? table->size * 2 : 16;
    uint32_t *slots = calloc(size, sizeof *slots);
    if (!slots) layout->b->failed = SL_BUILD_NOMEM;
    if (!slots) return 0;
    for (size_t i = 0; i < table->size; i++) {
        if (!table->slots[i]) continue;
        const struct sl_path_node *node = &SL_AT(struct sl_path_node, layout->paths, table->slots[i]);
        const char *text = &SL_AT(char, layout->b->strings, node->text);
        size_t at = node_hash_of(node->parent, text, node->length) & (size - 1);
        while (slots[at]) at = (at + 1) & (size - 1);
        slots[at] = table->slots[i];
    }
    free(table->slots);
    table->slots = slots;
    table->size = size;
    return 1;
}

/* The node of one element; 0 when `failed` was set. */
static uint32_t child_of(struct sl_layout *layout, uint32_t parent, uint32_t text, uint32_t length)
{
    struct sl_table *table = &layout->path_slots;
    const char *wanted = &SL_AT(char, layout->b->strings, text);
    if (!grow(layout)) return 0;
    size_t at = node_hash_of(parent, wanted, length) & (table->size - 1);
    for (; table->slots[at]; at = (at + 1) & (table->size - 1)) {
        const struct sl_path_node *node = &SL_AT(struct sl_path_node, layout->paths, table->slots[at]);
        if (node->parent == parent && node->length == length &&
            memcmp(&SL_AT(char, layout->b->strings, node->text), wanted, length) == 0)
            return table->slots[at];
    }
    uint32_t made = add_node(layout, parent, text, length);
    if (!made) return 0;
    table->slots[at] = made;
    table->used++;
    return made;
}

/* The node that a path leads to; 0 when `failed` was set. The path "/" has one empty element, none has none. */
static uint32_t node_of(struct sl_layout *layout, uint32_t root, uint32_t text)
{
    const char *path = &SL_AT(char, layout->b->strings, text);
    uint32_t at = root;
    for (uint32_t start = 0; path[start] && at;) {
        uint32_t end = ++start;
        while (path[end] && path[end] != '/') end++;
        at = child_of(layout, at, text + start, end - start);
        start = end;
    }
    return at;
}

static const struct sl_literal *path_of(const struct sl_layout *layout, uint32_t attachment)
{
    const struct sl_builder *b = layout->b;
    uint32_t condition = SL_AT(struct sl_hanging, b->hangings, attachment).record.condition;
    uint32_t path = condition ? SL_AT(struct sl_condition, b->conditions, condition).path : 0;
    return path ? &SL_AT(struct sl_literal, b->literals, path) : NULL;
}

int sl_wants_path(const struct sl_layout *layout, uint32_t attachment)
{
    return path_of(layout, attachment) != NULL;
}

static int place(struct sl_layout *layout, uint32_t root, uint32_t attachment, struct sl_vec *places)
{
    const struct sl_literal *path = path_of(layout, attachment);
    const char *text = &SL_AT(char, layout->b->strings, path->text);
    uint32_t kind = path->kind == SL_LITERAL_PATH_EXACT ? EXACT : path->kind == SL_LITERAL_PATH_PREFIX ? PREFIX : REGEX;
    int everywhere = kind == PREFIX && strcmp(text, "/") == 0;
    uint32_t node = everywhere ? root : node_of(layout, root, kind == REGEX ? path->name : path->text);
    struct placed *placed = node ? sl_vec_push(layout->b, places, sizeof *placed, 1) : NULL;
    if (placed) *placed = (struct placed){node, kind, attachment};
    return placed != NULL;
}

static int placed_order(const void *left, const void *right)
{
    const struct placed *a = left, *b = right;
    if (a->node != b->node) return a->node < b->node ? -1 : 1;
    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    return (a->attachment > b->attachment) - (a->attachment < b->attachment);
}

/* The list of one node and kind. */
static int add_placed(struct sl_layout *layout, const struct placed *placed, size_t count)
{
    uint32_t list;
    layout->keys.count = 0;
    for (size_t i = 0; i < count; i++)
        if (!sl_add_item(layout, placed[i].attachment)) return 0;
    if (!(list = sl_add_list(layout))) return 0;
    struct sl_path_node *node = &SL_AT(struct sl_path_node, layout->paths, placed->node);
    if (placed->kind == EXACT)
        node->exact = list;
    else
        *(placed->kind == PREFIX ? &node->prefix : &node->regex) = list;
    return 1;
}

/* ---- what may count without a request ---------------------------------------------------------------------------- */

/* Whether a program is unknown without a request, whatever else is known. */
static int asks_request_alone(const struct sl_builder *b, uint32_t number)
{
    const struct sl_program *program = &SL_AT(struct sl_program, b->programs, number);
    for (uint32_t i = 0; number && i < program->count; i++) {
        const struct sl_step *step = &SL_AT(struct sl_step, b->steps, program->first + i);
        int joins = step->code == SL_STEP_AND || step->code == SL_STEP_OR;
        if (joins ? step->operand == 0 : step->code != SL_STEP_REQUEST && step->code != SL_STEP_NOT) return 0;
    }
    return 1;
}

struct waiting { /* items that are alike but for their path and order */
    uint32_t who, portset, when, admit, network, flags, kind, order, attachment;
};

static struct waiting waiting_of(const struct sl_layout *layout, uint32_t attachment)
{
    const struct sl_builder *b = layout->b;
    const struct sl_hanging *hanging = &SL_AT(struct sl_hanging, b->hangings, attachment);
    const struct sl_attachment *record = &hanging->record;
    const struct sl_condition *condition = &SL_AT(struct sl_condition, b->conditions, record->condition);
    unsigned group = record->group, class = record->class;
    int alone = asks_request_alone(b, condition->when), excepts = record->flags & SL_ATTACH_EXCEPTS;
    return (struct waiting){.who = hanging->who,
                            .portset = record->portset,
                            .when = alone ? 0 : condition->when,
                            .admit = condition->admit,
                            .network = excepts ? attachment + 1 : condition->network,
                            .flags = (uint32_t)record->flags << 1 | condition->flags,
                            .kind = (group * SL_CLASSES + class) * 8u + record->tier,
                            .order = record->order,
                            .attachment = attachment};
}

static int waiting_order(const void *left, const void *right)
{
    const struct waiting *a = left, *b = right;
    int different = memcmp(a, b, offsetof(struct waiting, order));
    return different ? different : (a->order > b->order) - (a->order < b->order);
}

/* The oldest of those that are alike. */
static int add_unknown(struct sl_layout *layout, uint32_t root, const struct placed *placed, size_t count)
{
    struct sl_vec all = {0};
    struct waiting *waiting = sl_vec_push(layout->b, &all, sizeof *waiting, count);
    int ok = waiting != NULL;
    layout->keys.count = 0;
    for (size_t i = 0; ok && i < count; i++) waiting[i] = waiting_of(layout, placed[i].attachment);
    if (ok) qsort(waiting, count, sizeof *waiting, waiting_order);
    for (size_t i = 0; ok && i < count; i++) {
        int alike = i && memcmp(&waiting[i], &waiting[i - 1], offsetof(struct waiting, order)) == 0;
        if (!alike) ok = sl_add_item(layout, waiting[i].attachment);
    }
    free(all.data);
    uint32_t list = ok ? sl_add_list(layout) : 0;
    SL_AT(struct sl_path_node, layout->paths, root).unknown = list;
    return list != 0;
}

uint32_t sl_lay_paths(struct sl_layout *layout, const uint32_t *attachments, size_t count)
{
    struct sl_vec places = {0};
    uint32_t root = add_node(layout, 0, 0, 0);
    int ok = root != 0;
    for (size_t i = 0; ok && i < count; i++) ok = place(layout, root, attachments[i], &places);
    const struct placed *placed = places.data;
    ok = ok && add_unknown(layout, root, placed, places.count);
    if (ok) qsort(places.data, places.count, sizeof *placed, placed_order);
    for (size_t i = 0, next; ok && i < places.count; i = next) {
        for (next = i + 1;
             next < places.count && placed[next].node == placed[i].node && placed[next].kind == placed[i].kind;
             next++) {
        }
        ok = add_placed(layout, placed + i, next - i);
    }
    free(places.data);
    if (ok) SL_AT(struct sl_path_node, layout->paths, root).length = (uint32_t)layout->paths.count - root;
    return ok ? root : 0;
}
