# Tables of states: what a transition that no table has comes to.
from libc.stdint cimport uint8_t

from gateway.io.loop cimport Loop

# A table by names: of each state, its followers are a bit for each that may follow.
cdef dict named(tuple names, const uint8_t *followers)

# The worker counts it as an internal error; in a build with probes it raises.
cdef void misstep(Loop loop, str what) except *
