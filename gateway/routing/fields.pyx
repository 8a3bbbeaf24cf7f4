"""Fields that belong to one connection, to the mesh, or to the way of a message. See fields.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp, memcpy

from gateway.c.message cimport (
    SL_FIELD_BAGGAGE, SL_FIELD_VIA, sl_message_add, sl_message_at, sl_message_field, sl_message_find, sl_message_keep,
    sl_message_strip,
)

# Names that never leave, from no client, by their beginnings; a whole name ends in NUL here.
cdef const char **INSIDE = [b"x-forwarded-", b"forwarded\0", b"l5d-", b"serviceidentity\0", b"x-envoy-", b"proxy-"]
cdef size_t[6] INSIDE_LENGTHS = [12, 9, 4, 15, 8, 6]
cdef bint[6] INSIDE_WHOLE = [False, True, False, True, False, False]


cdef bint is_inside(const char *name, size_t length) noexcept:
    cdef int i
    if name[0] not in (c"x", c"f", c"l", c"s", c"p"):
        return False
    for i in range(6):
        if length >= INSIDE_LENGTHS[i] and memcmp(name, INSIDE[i], INSIDE_LENGTHS[i]) == 0:
            if not INSIDE_WHOLE[i] or length == INSIDE_LENGTHS[i]:
                return True
    return False


cdef bint leave_outside(sl_message *head, bytes via, frozenset kept) noexcept:
    cdef sl_message_field *field
    cdef uint32_t i
    for i in range(head.field_count):
        field = &head.fields[i]
        if (not field.removed and field.name.length
                and is_inside(sl_message_at(head, field.name), field.name.length)
                and (kept is None or sl_message_at(head, field.name)[:field.name.length] not in kept)):
            field.removed = True
    return filter_baggage(head) and add_via(head, via)


cdef bint come_back(sl_message *head, bytes via) noexcept:
    sl_message_strip(head)
    return add_via(head, via)


cdef bint add_via(sl_message *head, bytes via) noexcept:
    cdef char text[80]
    cdef size_t length
    if via is None:
        return True
    length = min(<size_t> PyBytes_GET_SIZE(via), <size_t> 72)
    memcpy(text, b"1.1 " if head.minor else b"1.0 ", 4)
    memcpy(text + 4, PyBytes_AS_STRING(via), length)
    return sl_message_add(head, b"via", 3, text, length + 4) >= 0


cdef bint has_been_here(const sl_message *head, bytes via) noexcept:
    cdef int at
    cdef const char *value
    cdef size_t length, size, i
    if via is None:
        return False
    size = PyBytes_GET_SIZE(via)
    at = sl_message_find(head, SL_FIELD_VIA, 0)
    while at >= 0:
        value, length = sl_message_at(head, head.fields[at].value), head.fields[at].value.length
        i = 1
        while i + size <= length:  # received-by stands behind a protocol and a space
            if (value[i - 1] == c" " and memcmp(value + i, PyBytes_AS_STRING(via), size) == 0
                    and (i + size == length or value[i + size] in (c" ", c",", c"\t"))):
                return True
            i += 1
        at = sl_message_find(head, SL_FIELD_VIA, <uint32_t> at + 1)
    return False


cdef bint filter_baggage(sl_message *head) noexcept:
    """Members that speak of the mesh's own workloads stay in it: k8s.* and service.*."""
    cdef int at = sl_message_find(head, SL_FIELD_BAGGAGE, 0)
    cdef bint kept
    while at >= 0:
        kept = keep_members(head, &head.fields[at])
        if not kept:
            return False
        at = sl_message_find(head, SL_FIELD_BAGGAGE, <uint32_t> at + 1)
    return True


cdef bint keep_members(sl_message *head, sl_message_field *field) noexcept:
    cdef const char *value = sl_message_at(head, field.value)
    cdef size_t length = field.value.length, start = 0, end, used = 0, first
    cdef char *out = <char *> malloc(length + 1)
    cdef bint done
    if out is NULL:
        return False
    while start < length:
        end = start
        while end < length and value[end] != c",":
            end += 1
        first = start
        while first < end and value[first] in (c" ", c"\t"):
            first += 1
        if end > first and not (begins(value + first, end - first, b"k8s.", 4)
                                or begins(value + first, end - first, b"service.", 8)):
            if used:
                out[used] = c","
                used += 1
            memcpy(out + used, value + first, end - first)
            used += end - first
        start = end + 1
    done = True
    if used == 0:
        field.removed = True
    elif used != length:
        done = sl_message_keep(head, out, used, &field.value)
    free(out)
    return done


cdef bint begins(const char *text, size_t length, const char *word, size_t size) noexcept:
    return length >= size and memcmp(text, word, size) == 0
