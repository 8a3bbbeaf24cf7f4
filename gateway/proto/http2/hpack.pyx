"""HPACK (RFC 7541) by libnghttp2's nghttp2_hd_*. See hpack.pxd.

A block is always decoded to its end, also when its stream is refused: both sides' tables must stay alike. Fields that
are sent to clients are never put into their tables: that would be memory for each connection. Connections to origins
are few, and carry many requests that are alike: theirs are.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcmp

cdef extern from "nghttp2/nghttp2.h" nogil:
    ctypedef struct nghttp2_nv:
        uint8_t *name
        uint8_t *value
        size_t namelen
        size_t valuelen
        uint8_t flags
    enum:
        NGHTTP2_NV_FLAG_NONE
        NGHTTP2_HD_INFLATE_FINAL
        NGHTTP2_HD_INFLATE_EMIT
    int nghttp2_hd_inflate_new(nghttp2_hd_inflater **inflater)
    void nghttp2_hd_inflate_del(nghttp2_hd_inflater *inflater)
    ssize_t nghttp2_hd_inflate_hd2(nghttp2_hd_inflater *inflater, nghttp2_nv *nv, int *flags, const uint8_t *data,
                                   size_t length, int final)
    int nghttp2_hd_inflate_end_headers(nghttp2_hd_inflater *inflater)
    int nghttp2_hd_deflate_new(nghttp2_hd_deflater **deflater, size_t most)
    void nghttp2_hd_deflate_del(nghttp2_hd_deflater *deflater)
    int nghttp2_hd_deflate_change_table_size(nghttp2_hd_deflater *deflater, size_t size)
    ssize_t nghttp2_hd_deflate_hd(nghttp2_hd_deflater *deflater, uint8_t *data, size_t length, const nghttp2_nv *nva,
                                  size_t count)
    size_t nghttp2_hd_deflate_bound(nghttp2_hd_deflater *deflater, const nghttp2_nv *nva, size_t count)

cdef enum:
    TABLE = 4096               # RFC 9113 section 6.5.2: HEADER_TABLE_SIZE until SETTINGS say otherwise
    FIELDS_MAX = 32            # of one block that we send


cdef class Inflater:
    """Header blocks of one connection, in the order they come."""

    def __cinit__(self):
        if nghttp2_hd_inflate_new(&self.raw) != 0:
            raise MemoryError

    def __dealloc__(self):
        if self.raw is not NULL:
            nghttp2_hd_inflate_del(self.raw)

    cdef void feed(self, const uint8_t *data, size_t length, bint final) noexcept:
        self.data, self.left, self.final = data, length, final

    cdef FieldStatus next(self, Field *field) noexcept:
        cdef nghttp2_nv nv
        cdef int flags = 0
        cdef ssize_t used = nghttp2_hd_inflate_hd2(self.raw, &nv, &flags, self.data, self.left, self.final)
        if used < 0:
            return FIELD_BROKEN
        self.data += used
        self.left -= used
        if flags & NGHTTP2_HD_INFLATE_EMIT:
            field.name, field.name_length = nv.name, nv.namelen
            field.value, field.value_length = nv.value, nv.valuelen
            return FIELD_READY
        if flags & NGHTTP2_HD_INFLATE_FINAL:
            nghttp2_hd_inflate_end_headers(self.raw)
            return FIELD_END
        # Without a field nothing can be left: what it does not report it keeps.
        return FIELD_MORE if self.left == 0 and not self.final else FIELD_BROKEN


cdef class Deflater:
    """Header blocks of one connection, in the order they are sent."""

    def __cinit__(self):
        if nghttp2_hd_deflate_new(&self.raw, TABLE) != 0:
            raise MemoryError

    def __dealloc__(self):
        if self.raw is not NULL:
            nghttp2_hd_deflate_del(self.raw)

    cdef bint resize(self, uint32_t size) noexcept:
        return nghttp2_hd_deflate_change_table_size(self.raw, size) == 0

    cdef bytes encode(self, list fields):
        cdef nghttp2_nv nva[FIELDS_MAX]
        cdef bytes name, value
        cdef uint8_t *block
        cdef size_t bound
        cdef ssize_t size
        cdef Py_ssize_t i, count = len(fields)
        if count > FIELDS_MAX:
            raise ValueError("too many fields for one block")
        for i in range(count):
            name, value = fields[i]
            nva[i].name, nva[i].namelen = <uint8_t *> <char *> name, len(name)
            nva[i].value, nva[i].valuelen = <uint8_t *> <char *> value, len(value)
            # Pseudo-headers stand in the static table; others could enter the dynamic one, so they are marked.
            nva[i].flags = NGHTTP2_NV_FLAG_NONE if name[0] == c":" else NO_INDEX
        bound = nghttp2_hd_deflate_bound(self.raw, nva, count)
        block = <uint8_t *> malloc(bound)
        if block is NULL:
            raise MemoryError
        try:
            size = nghttp2_hd_deflate_hd(self.raw, block, bound, nva, count)
            if size < 0:
                raise MemoryError
            return (<char *> block)[:size]
        finally:
            free(block)

    cdef bint pack(self, const Field *fields, size_t count, uint8_t **block, size_t *length) noexcept:
        cdef nghttp2_nv few[FIELDS_MAX]
        cdef nghttp2_nv *nva = few
        cdef ssize_t size = -1
        cdef size_t i
        if count == 0:
            return False
        if count > FIELDS_MAX:
            nva = <nghttp2_nv *> malloc(count * sizeof(nghttp2_nv))
            if nva is NULL:
                return False
        for i in range(count):
            nva[i].name, nva[i].namelen = <uint8_t *> fields[i].name, fields[i].name_length
            nva[i].value, nva[i].valuelen = <uint8_t *> fields[i].value, fields[i].value_length
            nva[i].flags = <uint8_t> (NGHTTP2_NV_FLAG_NONE if fields[i].name[0] == c":" or (
                self.indexes and not is_secret(&fields[i])) else NO_INDEX)
        length[0] = nghttp2_hd_deflate_bound(self.raw, nva, count)
        block[0] = <uint8_t *> malloc(length[0])
        if block[0] is not NULL:
            size = nghttp2_hd_deflate_hd(self.raw, block[0], length[0], nva, count)
        if nva is not few:
            free(nva)
        if size < 0:
            return False
        length[0] = size
        return True


cdef bint is_secret(const Field *field) noexcept nogil:
    """RFC 7541 section 7.1.3."""
    cdef size_t length = field.name_length
    if field.secret:
        return True
    if length == 6:
        return memcmp(field.name, b"cookie", 6) == 0
    if length == 10:
        return memcmp(field.name, b"set-cookie", 10) == 0
    if length == 13:
        return memcmp(field.name, b"authorization", 13) == 0
    return length == 19 and memcmp(field.name, b"proxy-authorization", 19) == 0


cdef enum:
    NO_INDEX = 1               # NGHTTP2_NV_FLAG_NO_INDEX
