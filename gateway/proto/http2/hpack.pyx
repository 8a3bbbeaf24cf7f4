"""HPACK (RFC 7541) by libnghttp2's nghttp2_hd_*. See hpack.pxd.

A block is always decoded to its end, also when its stream is refused: both sides' tables must stay alike. Fields we
send are never put into the peer's table: answers are few and short, and a table would be memory for each connection.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, malloc

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


cdef enum:
    NO_INDEX = 1               # NGHTTP2_NV_FLAG_NO_INDEX
