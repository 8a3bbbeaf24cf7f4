/* Where a destination lies: the blocks that conditions ask for, and the network that the source has for it. */
#include <string.h>

#include "policy/entries.h"
#include "policy/lookup.h"

struct choice {
    const struct sl_image *image;
    const struct sl_path *path;
    const struct sl_attachment *best;
    uint32_t network;
    int *broken;
};

/* One network that selects the source and covers the address: the lowest order is the one. */
static int choose(void *visitor, const struct sl_item *item)
{
    struct choice *choice = visitor;
    const struct sl_attachment *attachment = sl_image_record(choice->image, SL_SEC_ATTACHMENTS, item->attachment);
    if (!attachment) {
        *choice->broken = 1;
        return 0;
    }
    if (!attachment->condition || (choice->best && choice->best->order < attachment->order)) return 0;
    const struct sl_condition *condition = sl_image_record(choice->image, SL_SEC_CONDITIONS, attachment->condition);
    if (!condition) *choice->broken = 1;
    if (!condition || !condition->network) return 0;
    int covers = 1;
    for (unsigned i = choice->path->count; covers && attachment->flags & SL_ATTACH_EXCEPTS && i-- > 0;)
        covers =
            !sl_list_excepts(choice->image, choice->path->levels[i].value, item->who, item->attachment, choice->broken);
    if (!covers) return 0;
    choice->best = attachment;
    choice->network = condition->network;
    return 0;
}

/* Levels of a prefix longer than `longest` are not asked. */
static uint32_t network_of(const struct sl_asked *asked, const struct sl_addr *addr, unsigned longest, int *broken)
{
    struct sl_path path;
    sl_path_address(asked->image, SL_TRIE_DEST, addr, &path);
    if (path.broken) *broken = 1;
    struct choice choice = {asked->image, &path, NULL, 0, broken};
    for (unsigned i = path.count; i-- > 0;) {
        if (path.levels[i].depth > longest) continue;
        sl_visit_items(asked->image, path.levels[i].value, asked->source, asked->port, 1, choose, &choice, broken);
    }
    return choice.network;
}

static void add_blocks(const struct sl_image *image, const struct sl_addr *addr, struct sl_place *place, int *broken)
{
    struct sl_path path;
    sl_path_address(image, SL_TRIE_WITHIN, addr, &path);
    if (path.broken || path.count > SL_PLACE_LEVELS - place->count) *broken = 1;
    for (unsigned i = 0; i < path.count && place->count < SL_PLACE_LEVELS; i++)
        place->memberships[place->count++] = path.levels[i].value;
}

void sl_find_place(const struct sl_asked *asked, const struct sl_addr *addr, const struct sl_addr *embedded,
                   struct sl_place *place, int *broken)
{
    static const struct sl_addr anywhere[2] = {{.family = 4}, {.family = 6}};
    int networked = (asked->image->header->flags & SL_IMAGE_NETWORKED) != 0;
    place->state = addr ? SL_PLACE_KNOWN : SL_PLACE_NEVER;
    place->network = place->count = 0;
    if (!addr && networked) { /* a network of both families alone covers whatever the name turns out to be */
        uint32_t network = network_of(asked, &anywhere[0], 0, broken);
        if (network == network_of(asked, &anywhere[1], 0, broken)) place->network = network;
    }
    if (!addr) return;
    add_blocks(asked->image, addr, place, broken);
    if (embedded) add_blocks(asked->image, embedded, place, broken);
    if (!networked) return;
    place->network = network_of(asked, addr, 128, broken);
    if (!place->network && embedded) place->network = network_of(asked, embedded, 128, broken);
}
