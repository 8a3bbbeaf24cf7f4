"""Access log lines that wait in a worker's segment, as the supervisor takes them (csrc/shared/pending_log.h)."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memchr

from gateway.c.segment cimport (
    SL_PENDING_LOGS, SL_SEGMENT_TUNNELS_AT, sl_pending_log, sl_pending_log_take, sl_pending_log_waits, sl_segment,
    sl_segment_log,
)


def take_lines(unsigned char[::1] segment, unsigned level, size_t most):
    """Lines of a level (interval, decision, tunnel) that wait, each with its newline, in at most `most` bytes; and how
    many these are. Whatever else a worker has left there is no line, and lost."""
    cdef sl_pending_log *log
    cdef size_t size, taken
    cdef char none
    cdef bytes text
    if segment.shape[0] < SL_SEGMENT_TUNNELS_AT or level >= SL_PENDING_LOGS:
        raise ValueError("no segment, or no level of it")
    log = sl_segment_log(<sl_segment *> &segment[0], level)
    size = min(sl_pending_log_waits(log), most)
    if size == 0:
        sl_pending_log_take(log, &none, 0)  # forgets figures that no worker stores
        return b"", 0
    text = PyBytes_FromStringAndSize(NULL, <Py_ssize_t> size)
    taken = sl_pending_log_take(log, PyBytes_AS_STRING(text), size)
    return text if taken == size else text[:taken], count_lines(PyBytes_AS_STRING(text), taken)


cdef size_t count_lines(const char *text, size_t size) noexcept:
    """memchr is several times as fast as bytes.count."""
    cdef const char *end = text + size
    cdef const char *found = text
    cdef size_t count = 0
    while found < end:
        found = <const char *> memchr(found, c'\n', end - found)
        if found is NULL:
            break
        found += 1
        count += 1
    return count
