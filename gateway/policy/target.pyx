"""Request targets in normal form, for conditions of rules and for questions about requests: csrc/bytes/target.h."""

from libc.stdint cimport uint8_t

from gateway.c.target cimport SL_TARGET_OK, sl_path_normal, sl_target_status, sl_target_status_text


class NotAPath(ValueError):
    """A text that is not the path of a request; the text says why."""


def normal_path(str text):
    """The path in normal form, and whether two readers may take it for two. Raises NotAPath."""
    cdef bytes raw = text.encode("utf-8", "surrogateescape")
    cdef bytearray out = bytearray(3 * len(raw) + 1)
    cdef char *room = out
    cdef size_t length = 0
    cdef int doubtful = 0
    cdef const char *given = raw
    cdef sl_target_status status = sl_path_normal(<const uint8_t *> given, len(raw), room, len(out), &length, &doubtful)
    if status != SL_TARGET_OK:
        raise NotAPath(sl_target_status_text(status).decode("ascii"))
    return out[:length].decode("ascii"), bool(doubtful)
