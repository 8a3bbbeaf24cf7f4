/* How many lines of the access log one source may cause by requests that never became a question: malformed bytes, wrong
 * passwords, limits. A flood of them is counted, and the count stands in that source's next line.
 *
 * A token bucket for each source, in a table of fixed size: a source that finds its set full takes the place of the one
 * that was quiet for longest. Time is an argument.
 */
#ifndef SLUICE_LOG_BUDGET_H
#define SLUICE_LOG_BUDGET_H

#include <stdint.h>

enum {
    SL_LOG_BURST = 20,       /* lines at once */
    SL_LOG_REFILL_MS = 1000, /* one more after so long */
    SL_LOG_WAYS = 4,         /* sources of one set */
    SL_LOG_SETS = 256
};

struct sl_log_bucket {
    uint64_t source;    /* as limits know it; 0 = free */
    uint64_t filled_ms; /* when the bucket had `tokens` */
    uint32_t tokens;
    uint32_t suppressed; /* lines left out since the last one */
};

/* Zeroed to begin with. */
struct sl_log_budget {
    struct sl_log_bucket buckets[SL_LOG_SETS][SL_LOG_WAYS];
};

/* Returns 1 when a line may be written, with the number that was left out before it; 0 when this one is left out. */
int sl_log_budget_take(struct sl_log_budget *budget, uint64_t source, uint64_t now_ms, uint32_t *suppressed);

#endif
