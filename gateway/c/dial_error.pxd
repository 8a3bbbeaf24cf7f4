# csrc/net/dial_error.h, as Cython sees it.

cdef extern from "net/dial_error.h" nogil:
    enum:
        SL_DIAL_OWN
        SL_DIAL_SOURCELESS
    int sl_dial_outcome(int error)
    int sl_dial_scope(int error)
    int sl_dial_telling(int outcome)
