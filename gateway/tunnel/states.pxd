# States of a tunnel's inspection, and which may follow which.
cdef enum InspectionState:
    INSPECTION_WATCHING = 0    # asked by name: the client's bytes wait until they show one, those of the server pass
    INSPECTION_HOLDING = 1     # asked by address: nothing passes before a name has shown and is judged
    INSPECTION_PASSED = 2      # judged: a plain relay from here on
    INSPECTION_DENIED = 3
    INSPECTION_ENDED = 4       # the tunnel ended before, or because of the verdict

cdef bint inspection_may_become(InspectionState state, InspectionState next) noexcept nogil
