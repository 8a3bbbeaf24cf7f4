# HPACK (RFC 7541) by libnghttp2's nghttp2_hd_*: header blocks to fields, fields to header blocks. Nothing else of
# that library is used.
from libc.stdint cimport uint8_t, uint32_t

cdef extern from "nghttp2/nghttp2.h" nogil:
    struct nghttp2_hd_inflater:
        pass
    struct nghttp2_hd_deflater:
        pass

cdef enum FieldStatus:
    FIELD_BROKEN = 0           # not HPACK, or no memory: the table is lost, and with it the connection
    FIELD_MORE = 1             # the fragment is used up
    FIELD_READY = 2
    FIELD_END = 3              # the block has ended

cdef struct Field:
    const uint8_t *name        # valid until the next call
    size_t name_length
    const uint8_t *value
    size_t value_length
    bint secret                # outgoing: no table may keep it

cdef enum:
    FIELD_EXTRA = 32           # counts for each field beyond its bytes (RFC 9113 section 6.5.2)

# What a field counts in a header list.
cdef inline size_t field_size(const Field *field) noexcept nogil:
    return field.name_length + field.value_length + FIELD_EXTRA

cdef class Inflater:
    cdef nghttp2_hd_inflater *raw
    cdef const uint8_t *data
    cdef size_t left
    cdef bint final

    # A fragment of a block; `final` for the last one. It stays valid until it is used up.
    cdef void feed(self, const uint8_t *data, size_t length, bint final) noexcept
    cdef FieldStatus next(self, Field *field) noexcept

cdef class Deflater:
    cdef nghttp2_hd_deflater *raw
    cdef bint indexes          # fields may enter the peer's table, but for those that are secrets

    # The block of [(name, value)], in bytes.
    cdef bytes encode(self, list fields)
    # The block of `count` fields, malloc'd; the caller frees it, also on False: an error.
    cdef bint pack(self, const Field *fields, size_t count, uint8_t **block, size_t *length) noexcept
    # SETTINGS_HEADER_TABLE_SIZE of the peer.
    cdef bint resize(self, uint32_t size) noexcept
