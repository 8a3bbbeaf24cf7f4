/* Access log lines of one level on their way from a worker to the supervisor, which takes them without asking: a ring in
 * the segment with one writer and one reader. Lines are whole at any moment, so those of a killed worker are not lost.
 *
 *     written, taken and origin count bytes since the segment was made; the byte `n` lies at (n - origin) % ROOM
 *
 *          0        taken             written          ROOM       ROOM + SL_LOG_LINE_MOST
 *          +----------+=================+----------------+-----------+
 *          |  free    | lines that wait |     free       |  slack    |  a line may run into the slack: that part is
 *          +----------+=================+----------------+-----------+  copied to the beginning
 *
 * A ring that is empty begins again at 0: a log that is read in time uses a few pages, whatever its room.
 */
#ifndef SLUICE_PENDING_LOG_H
#define SLUICE_PENDING_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "bytes/log_line.h"

enum { SL_PENDING_LOG_ROOM = 4194304 };

struct sl_pending_log {
    uint64_t written; /* stored by the worker, after the bytes it counts */
    uint64_t taken;   /* stored by the supervisor, after it has copied them */
    uint64_t origin;  /* stored by the worker while nothing waits */
    uint8_t reserved[232];
    char text[SL_PENDING_LOG_ROOM + SL_LOG_LINE_MOST];
};

/* The worker's: where its next line goes, which may have SL_LOG_LINE_MOST bytes. NULL: too much waits. */
char *sl_pending_log_room(struct sl_pending_log *log);
/* The line there has so many bytes, its newline among them. */
void sl_pending_log_add(struct sl_pending_log *log, size_t length);

/* The supervisor's: copies whole lines, as many as fit `size` bytes, and returns their bytes. Figures out of range, or a
 * text without an end, which only a worker that was taken over leaves there, read as nothing, once. */
size_t sl_pending_log_take(struct sl_pending_log *log, char *into, size_t size);
/* Bytes that wait, at most SL_PENDING_LOG_ROOM. */
size_t sl_pending_log_waits(const struct sl_pending_log *log);

#endif
