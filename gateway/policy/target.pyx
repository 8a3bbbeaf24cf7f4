"""Requests as questions ask about them: their path in normal form (csrc/bytes/target.h), method, query and fields."""

from libc.stdint cimport uint8_t
from libc.stdlib cimport calloc, free

from gateway.c.judge cimport sl_field, sl_text
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


cdef sl_text text_of(bytes raw) noexcept:
    cdef sl_text text
    text.at, text.length = raw, len(raw)
    return text


cdef class HttpRequest:
    """One request. `path` is without the query, and becomes its normal form; `query` None = there is none; `fields` are
    pairs, as they are sent. Raises NotAPath."""

    def __cinit__(self, str method, str path, query=None, fields=()):
        cdef bytes name, value
        cdef int number
        self.path, self.doubtful = normal_path(path)
        self.kept = [method.encode(), self.path.encode(), b"" if query is None else query.encode()]
        self.request.method = text_of(self.kept[0])
        self.request.path = text_of(self.kept[1])
        if query is not None:
            self.request.query = text_of(self.kept[2])
        self.fields = <sl_field *> calloc(len(fields) + 1, sizeof(sl_field))
        if self.fields is NULL:
            raise MemoryError
        for number, (first, second) in enumerate(fields):
            name, value = first.encode(), second.encode()
            self.kept += [name, value]
            self.fields[number].name, self.fields[number].value = text_of(name), text_of(value)
        self.request.fields, self.request.field_count = self.fields, len(fields)

    def __dealloc__(self):
        free(self.fields)
