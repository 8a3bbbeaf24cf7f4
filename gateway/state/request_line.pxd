# The line of one HTTP request in the access log, and what it counts.
from libc.stdint cimport int32_t, uint16_t, uint64_t, uint8_t

from gateway.c.message cimport sl_message
from gateway.c.segment cimport sl_mirror_result, sl_retry_result
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record

# How a request was answered. All texts live as long as the call.
cdef struct Answered:
    const sl_message *request  # its head: method, path and query
    const char *route          # "Kind/namespace/name" of its route; NULL: none
    const char *backend        # the backend's name; NULL: the destination that was asked for
    unsigned route_slot        # of the rule that the route comes from (sl_rule_slot); SL_RULE_SLOT_NONE: no route
    uint16_t status            # that the client got; 0: none
    uint8_t tries              # connections that it was sent on
    uint8_t mirrored           # mirrors that got a copy
    bint secure                # the target is https
    bint downgraded            # in clear text to the client, over TLS from the origin
    int32_t first_byte_ms      # from the whole head to the head of the answer; -1: there was none
    uint64_t up                # bytes of content
    uint64_t down

# Sets all of it to "no answer, no route".
cdef void nothing_answered(Answered *out, const sl_message *request) noexcept
# Once, when the request is over. `outcome`: sl_outcome.
cdef void write_request(Record record, const Answered *answered, int outcome) noexcept
# A further try of a request.
cdef void count_retry(WorkerParts parts, unsigned route_slot, sl_retry_result result) noexcept
# A copy for a mirror has ended.
cdef void count_mirrored(WorkerParts parts, sl_mirror_result result) noexcept
