/* The paths that rules of one list want of a request, as a trie of elements: a look-up meets the few rules whose path may
 * hold, however many there are. Whether it does is program.h's to say, and so which rule wins.
 * Every read is bounds-checked and every walk ends; *broken is set where the image contradicts itself. */
#ifndef SLUICE_PATHS_H
#define SLUICE_PATHS_H

#include "policy/entries.h"
#include "policy/program.h"

/* The items that `list` has in its trie, as sl_visit_items does: those that the request's path leads to; without a
 * request one for each way in which rules that wait for one may count. `all`: every one. */
int sl_visit_paths(const struct sl_asked *asked, uint32_t list, int all, sl_item_visit *visit, void *visitor,
                   int *broken);

/* Whether the trie of `list` has an item of the rule (sl_list_has_rule). */
int sl_paths_have_rule(const struct sl_image *image, uint32_t list, uint32_t selector, uint32_t rule);

#endif
