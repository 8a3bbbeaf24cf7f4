# csrc/bytes/name.h, as Cython sees it.
from libc.stdint cimport uint8_t
from gateway.c.addr cimport sl_addr

cdef extern from "bytes/name.h" nogil:
    enum:
        SL_NAME_MAX
        SL_LABEL_MAX
        SL_NAME_BUFFER
    enum sl_name_status:
        SL_NAME_INTERNAL
        SL_NAME_OK
        SL_NAME_ADDRESS
        SL_NAME_EMPTY
        SL_NAME_TOO_LONG
        SL_NAME_LABEL_TOO_LONG
        SL_NAME_EMPTY_LABEL
        SL_NAME_NON_ASCII
        SL_NAME_BAD_BYTE
        SL_NAME_NUMERIC
        SL_NAME_BAD_WILDCARD
        SL_NAME_STATUS_COUNT

    sl_name_status sl_name_canonical(const uint8_t *data, size_t length, char *out, size_t *out_length,
                                     sl_addr *address)
    sl_name_status sl_name_pattern(const uint8_t *data, size_t length, char *out, size_t *out_length, int *wildcard)
    const char *sl_name_status_text(sl_name_status status)
