/* The ring of pending_log.h. */
#include "shared/pending_log.h"

#include <string.h>

char *sl_pending_log_room(struct sl_pending_log *log)
{
    uint64_t waits = log->written - __atomic_load_n(&log->taken, __ATOMIC_ACQUIRE);

    if (waits == 0) __atomic_store_n(&log->origin, log->written, __ATOMIC_RELAXED);
    if (waits > SL_PENDING_LOG_ROOM - SL_LOG_LINE_MOST) return NULL;
    return log->text + (log->written - log->origin) % SL_PENDING_LOG_ROOM;
}

void sl_pending_log_add(struct sl_pending_log *log, size_t length)
{
    size_t end = (size_t)((log->written - log->origin) % SL_PENDING_LOG_ROOM) + length;

    if (end > SL_PENDING_LOG_ROOM) memcpy(log->text, log->text + SL_PENDING_LOG_ROOM, end - SL_PENDING_LOG_ROOM);
    __atomic_store_n(&log->written, log->written + length, __ATOMIC_RELEASE);
}

size_t sl_pending_log_waits(const struct sl_pending_log *log)
{
    uint64_t waits = __atomic_load_n(&log->written, __ATOMIC_ACQUIRE) - log->taken;

    return waits > SL_PENDING_LOG_ROOM ? 0 : (size_t)waits;
}

size_t sl_pending_log_take(struct sl_pending_log *log, char *into, size_t size)
{
    uint64_t written = __atomic_load_n(&log->written, __ATOMIC_ACQUIRE);
    uint64_t waits = written - log->taken;
    size_t length = waits > size ? size : (size_t)waits;
    /* Behind `written`: the worker moves the origin only while nothing waits, and stores it first. */
    size_t at = (size_t)((log->taken - __atomic_load_n(&log->origin, __ATOMIC_RELAXED)) % SL_PENDING_LOG_ROOM);
    size_t first = length < SL_PENDING_LOG_ROOM - at ? length : SL_PENDING_LOG_ROOM - at;

    if (waits <= SL_PENDING_LOG_ROOM) {
        memcpy(into, log->text + at, first);
        memcpy(into + first, log->text, length - first);
        while (length > 0 && into[length - 1] != '\n') length--;
    }
    if (waits > SL_PENDING_LOG_ROOM || length == 0) /* the worker was taken over, or nothing waits */
        __atomic_store_n(&log->taken, written, __ATOMIC_RELEASE);
    else
        __atomic_store_n(&log->taken, log->taken + length, __ATOMIC_RELEASE);
    return waits > SL_PENDING_LOG_ROOM ? 0 : length;
}
