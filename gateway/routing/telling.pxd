# The end of a request, told: its line, what it counts, and its spans.
from gateway.routing.approach cimport Approach
from gateway.state.record cimport Record
from gateway.state.request_line cimport Answered

# The metrics slot of its route.
cdef unsigned route_slot(Record record) noexcept
# The span of a try has its connection.
cdef void trace_connected(Approach approach, bint reused) noexcept
# `answered` has what the exchange knows; route, backend and the rest are filled in here.
cdef void tell_request(Approach approach, Answered *answered, int outcome) noexcept
