/* Conditions as programs: bounded, in postfix order, of three values. What is not known yet is UNKNOWN, and so is what
 * depends on it; an AND with a part that is false and an OR with one that is true are known all the same.
 *
 * Pure functions: no clock, no allocation; every read of the image is bounds-checked, and what contradicts itself sets
 * *broken. */
#ifndef SLUICE_PROGRAM_H
#define SLUICE_PROGRAM_H

#include "bytes/addr.h"
#include "policy/image.h"
#include "policy/judge.h"

enum sl_truth { SL_FALSE = 0, SL_TRUE = 1, SL_UNKNOWN = 2 };

/* Where a destination lies, as far as conditions ask. */
enum { SL_PLACE_LEVELS = 168 }; /* 33 of IPv4 and 129 of IPv6 at most */
enum sl_place_state {
    SL_PLACE_UNKNOWN = 0, /* no address is known yet */
    SL_PLACE_KNOWN,
    SL_PLACE_NEVER /* none will be: the name goes to a parent. The network is that which covers everything */
};
struct sl_place {
    uint8_t state;    /* sl_place_state */
    uint32_t network; /* sl_condition.network; 0 = none covers it */
    uint32_t count;
    uint32_t memberships[SL_PLACE_LEVELS]; /* MEMBERSHIPS of the blocks that it lies in */
};

/* One question, resolved: who asks, through which listener, where to. */
struct sl_asked {
    const struct sl_image *image;
    const struct sl_source *source;
    uint16_t port;
    uint8_t audit;                    /* the listener's audit mode */
    const char *listener;             /* its name; NULL: none */
    uint8_t elsewhere;                /* the address is a backend's: no condition asks where it lies */
    uint8_t shown;                    /* sl_shows that is judged for; UNKNOWN: each rule for the one that it asks for */
    const struct sl_request *request; /* NULL: none is known */
    const struct sl_place *place;     /* NULL: not known */
    const uint8_t *by_name;           /* sl_matches.classes of the name, where its address is judged; NULL: none */
};

/* Whether a program holds; 0 = always. The sl_needs of what is not known are or-ed into *needs where it is UNKNOWN; and
 * PROTOCOL where it asks what shows inside, and nothing is judged for. */
enum sl_truth sl_program_holds(const struct sl_asked *asked, uint32_t program, unsigned *needs, int *broken);
/* Whether LITERALS `literal` holds of the request; likewise. */
enum sl_truth sl_request_holds(const struct sl_asked *asked, uint32_t literal, unsigned *needs, int *broken);

#endif
