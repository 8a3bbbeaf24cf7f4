# The name phase and the address phase of a request: what its record is asked for, judged under its generation.
from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport sl_decision
from gateway.dial.detour cimport Detour
from gateway.dial.race cimport Race
from gateway.state.record cimport Record

# Whether the name may be asked for; the record takes the decision over.
cdef bint judge_name(Record record, sl_decision *by_name) noexcept
# Lines up the addresses that may be dialed, as the candidates of a race for its record, which takes the decision over
# and notes the other addresses. -1: there are some; else the sl_outcome of the refusal. `by_name` is NULL where an
# address was asked for.
cdef int judge_addresses(Race race, const sl_decision *by_name, const sl_addr *addresses, int count) noexcept
# The same for the endpoints of a backend: those of a detour, or the addresses of its name.
cdef int judge_endpoints(Race race, const sl_decision *by_name, Detour detour, const sl_addr *addresses,
                         int count) noexcept
# Whether a decision refuses an address by the part of the guard that is open to the pods of a Service.
cdef bint is_lifted(const sl_decision *decision, bint lifted) noexcept
# The destination's address has become this machine's since it was judged.
cdef void deny_own_address(Record record) noexcept
# sl_outcome of a name that could not be resolved, by its ResolveStatus.
cdef int unresolved_outcome(int status) noexcept
