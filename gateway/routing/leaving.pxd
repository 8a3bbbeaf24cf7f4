# The head of a request as it leaves: a copy of what was judged, changed as its rules say.
from gateway.proto.message cimport Message
from gateway.routing.approach cimport Approach

# Fields that rules set do not go to mirrors, nor to a backend where they have credentials in them. False without
# memory, or where a change does not fit.
cdef bint prepare(Approach approach, Message head, bint mirrored) noexcept
