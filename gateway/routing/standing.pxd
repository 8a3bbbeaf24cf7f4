# Whether a request that is at its origin still stands under a generation that has come (DECISIONS.md section 5).
from gateway.routing.approach cimport Approach

cdef enum Standing:
    STANDING_ENDS = 0          # at once
    STANDING_DRAINS = 1        # in shutdown.drain
    STANDING_STAYS = 2         # allowed; or denied, and left until it ends by itself

# Judges it under the active generation, once; with its line and counter where it does not stand. One that ends has its
# line by itself.
cdef Standing standing_of(Approach approach) noexcept
