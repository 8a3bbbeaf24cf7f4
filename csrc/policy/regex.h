/* Regular expressions of a policy image: a walk over the table of a deterministic automaton, one step a byte. The
 * compiler made the tables (supervisor/policy/regex); there is nothing of expressions here.
 * Every read is bounds-checked; *broken is set where the image contradicts itself, and nothing matches. */
#ifndef SLUICE_REGEX_H
#define SLUICE_REGEX_H

#include <stddef.h>
#include <stdint.h>

#include "policy/image.h"

/* One text that is walked. */
struct sl_regex_walk {
    const uint8_t *classes; /* of the 256 bytes */
    const uint16_t *next;   /* by state and class */
    const struct sl_regex *regex;
    uint16_t state;
};

/* Begins a walk of REGEXES `regex`. Returns 1; 0 when it is broken. */
int sl_regex_begin(const struct sl_image *image, uint32_t regex, struct sl_regex_walk *walk, int *broken);

/* One byte. Returns 0 when nothing that may follow makes a difference, 1 otherwise. */
static inline int sl_regex_step(struct sl_regex_walk *walk, uint8_t byte, int *broken)
{
    const struct sl_regex *regex = walk->regex;
    uint8_t class = walk->classes[byte];
    uint16_t state = walk->state;
    state = class < regex->width ? walk->next[(size_t)state * regex->width + class] : regex->states;
    if (state >= regex->states) {
        *broken = 1;
        state = 0;
    }
    walk->state = state;
    return state != 0 && state != regex->certain;
}

/* Whether the text up to here matches. */
static inline int sl_regex_accepts(const struct sl_regex_walk *walk)
{
    return walk->state != 0 && walk->state >= walk->regex->accepting;
}

/* Whether a text matches; of an expression that is searched, whether it is found in it. */
int sl_regex_matches(const struct sl_image *image, uint32_t regex, const char *text, size_t length, int *broken);

#endif
