/* Which of two matches wins: inside a level, inside a group, and between groups (DECISIONS.md section 4, "The winner"). */
#ifndef SLUICE_PRECEDENCE_H
#define SLUICE_PRECEDENCE_H

#include "policy/lookup.h"

/* The best of a group so far. */
struct sl_winner {
    struct sl_match match;
    int lifts; /* bool: it lifts the guard */
};

/* Each keeps the better of two in *best or *winner. Levels come deepest first. */
void sl_keep(const struct sl_image *image, struct sl_match *best, const struct sl_match *match);
void sl_keep_in_group(const struct sl_image *image, struct sl_winner *winner, const struct sl_match *match, int lifts);
/* Between groups, whose levels come in no order. */
void sl_keep_among_groups(struct sl_match *best, const struct sl_match *match);

#endif
