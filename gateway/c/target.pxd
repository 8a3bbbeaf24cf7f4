# csrc/bytes/target.h, as Cython sees it.
from libc.stdint cimport uint8_t

cdef extern from "bytes/target.h" nogil:
    enum sl_target_status:
        SL_TARGET_INTERNAL
        SL_TARGET_OK
        SL_TARGET_NO_SLASH
        SL_TARGET_BAD_BYTE
        SL_TARGET_BAD_ESCAPE
        SL_TARGET_DOT_SEGMENT
        SL_TARGET_TOO_LONG

    sl_target_status sl_path_normal(const uint8_t *path, size_t length, char *out, size_t room, size_t *out_length,
                                    int *doubtful)
    const char *sl_target_status_text(sl_target_status status)
