/* See log_budget.h. */
#include "base/log_budget.h"

static struct sl_log_bucket *bucket_of(struct sl_log_budget *budget, uint64_t source, uint64_t now_ms)
{
    uint64_t mixed = source * 0x9fb21c651e98df25ull;
    struct sl_log_bucket *set = budget->buckets[mixed >> 32 & (SL_LOG_SETS - 1)], *oldest = set;
    for (unsigned i = 0; i < SL_LOG_WAYS; i++) {
        if (set[i].source == source) return &set[i];
        if (set[i].source == 0 || (oldest->source != 0 && set[i].filled_ms < oldest->filled_ms)) oldest = &set[i];
    }
    *oldest = (struct sl_log_bucket){.source = source, .filled_ms = now_ms, .tokens = SL_LOG_BURST};
    return oldest;
}

int sl_log_budget_take(struct sl_log_budget *budget, uint64_t source, uint64_t now_ms, uint32_t *suppressed)
{
    struct sl_log_bucket *bucket = bucket_of(budget, source ? source : 1, now_ms);
    uint64_t gained = now_ms > bucket->filled_ms ? (now_ms - bucket->filled_ms) / SL_LOG_REFILL_MS : 0;
    *suppressed = 0;
    if (gained) {
        bucket->tokens = bucket->tokens + gained > SL_LOG_BURST ? SL_LOG_BURST : bucket->tokens + (uint32_t)gained;
        bucket->filled_ms += gained * SL_LOG_REFILL_MS;
    }
    if (bucket->tokens == 0) {
        if (bucket->suppressed != UINT32_MAX) bucket->suppressed++;
        return 0;
    }
    bucket->tokens--;
    *suppressed = bucket->suppressed;
    bucket->suppressed = 0;
    return 1;
}
