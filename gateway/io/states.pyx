"""Tables of states: a transition that its table does not have is an error of the gateway. See states.pxd."""

cdef extern from *:
    """
    #ifdef SL_PROBES
    enum { PROBED = 1 };
    #else
    enum { PROBED = 0 };
    #endif
    """
    enum:
        PROBED                 # a build for tests


cdef void misstep(Loop loop, str what) except *:
    if PROBED:
        raise RuntimeError(what)
    loop.failures += 1


cdef dict named(tuple names, const uint8_t *followers):
    cdef int state, next
    return {names[state]: [names[next] for next in range(len(names)) if followers[state] >> next & 1]
            for state in range(len(names))}
