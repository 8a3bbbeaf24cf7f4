# Of several decisions about one request: which refusal is the one to report, and whether two lead the same way.
from gateway.c.judge cimport sl_decision
from gateway.c.refusals cimport sl_refusals
from gateway.state.generation cimport Generation

# The refusals of several addresses, and which of them is reported.
ctypedef sl_refusals Refusals

cdef void add_refusal(Refusals *refusals, const sl_decision *decision) noexcept
# sl_outcome of a request of which nothing but refusals is left.
cdef int refusal_outcome(const Refusals *refusals) noexcept
# Whether two decisions, each of its generation, lead out by the same parent, or none, by the same TLS,
# and from the same addresses.
cdef bint same_way(Generation before, const sl_decision *one, Generation after, const sl_decision *other)
