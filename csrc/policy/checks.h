/* The inside of the full check of a policy image, shared by validate*.c. */
#ifndef SLUICE_CHECKS_H
#define SLUICE_CHECKS_H

#include <stdio.h>

#include "policy/image.h"

struct sl_check {
    const struct sl_image *image;
    const struct sl_image_header *header;
    enum sl_image_status status; /* of the first failure */
    char *where;                 /* 64 bytes, or NULL */
};

/* Notes a failure; returns 0, which ends the check. */
static inline int sl_check_fail(struct sl_check *check, enum sl_image_status status, const char *what, uint64_t index)
{
    check->status = status;
    if (check->where) snprintf(check->where, 64, "%s %llu", what, (unsigned long long)index);
    return 0;
}

static inline uint64_t sl_check_count(const struct sl_check *check, enum sl_section section)
{
    return check->header->sections[section].count;
}

static inline const void *sl_check_record(const struct sl_check *check, enum sl_section section, uint64_t index)
{
    return sl_image_record(check->image, section, index);
}

/* Each returns 1 when all is well. Rules and attachments were checked before. */
int sl_check_lists(struct sl_check *check);
int sl_check_clauses(struct sl_check *check);
int sl_check_regexes(struct sl_check *check);
int sl_check_literals(struct sl_check *check);
int sl_check_paths(struct sl_check *check);
int sl_check_programs(struct sl_check *check);

#endif
