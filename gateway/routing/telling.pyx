"""The end of a request, told: its line, what it counts, and its spans. See telling.pxd."""

from cpython.unicode cimport PyUnicode_AsUTF8

from gateway.c.contract cimport (
    SL_ATTR_ROUTE, SL_OUTCOME_CLIENT_GONE, SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_DNS_FAILED, SL_OUTCOME_DNS_TIMEOUT,
    SL_OUTCOME_HOST_UNREACHABLE, SL_OUTCOME_IDLE_TIMEOUT, SL_OUTCOME_NAME_NOT_FOUND, SL_OUTCOME_NET_UNREACHABLE,
    SL_OUTCOME_REFUSED, SL_OUTCOME_REQUEST_TIMEOUT, SL_OUTCOME_RESPONSE_INCOMPLETE, SL_OUTCOME_RESPONSE_INVALID,
    SL_OUTCOME_RESPONSE_TIMEOUT, SL_OUTCOME_UPSTREAM_FAILED, sl_outcome_text,
)
from gateway.c.judge cimport sl_rule_slot
from gateway.c.segment cimport SL_FAMILY_PROTOCOL_ERRORS, SL_RULE_SLOT_NONE, SL_RULE_SLOT_OTHER
from gateway.routing.route cimport Backend, Route
from gateway.state.request_line cimport write_request

# Ends of a try that has no connection yet.
cdef frozenset UPSTREAM_OUTCOMES = frozenset((
    SL_OUTCOME_NAME_NOT_FOUND, SL_OUTCOME_REFUSED, SL_OUTCOME_NET_UNREACHABLE, SL_OUTCOME_HOST_UNREACHABLE,
    SL_OUTCOME_DNS_TIMEOUT, SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_UPSTREAM_FAILED, SL_OUTCOME_DNS_FAILED,
    SL_OUTCOME_CLIENT_GONE,
))


cdef unsigned route_slot(Record record) noexcept:
    return sl_rule_slot(&record.generation.image.image, record.decision.sets[<int> SL_ATTR_ROUTE], SL_RULE_SLOT_NONE,
                        SL_RULE_SLOT_OTHER)


cdef void trace_connected(Approach approach, bint reused) noexcept:
    cdef Record record = approach.record
    record.trace.try_connects(&record.address, approach.dialed, record.dns_ms, record.dial_ms, reused)


cdef void trace_ended(Record record, int outcome, int tries) noexcept:
    """The last try is over. One of which no upstream was asked is none: denied, answered by a route, over a limit."""
    if tries or outcome in UPSTREAM_OUTCOMES:
        record.trace.try_ends(sl_outcome_text(outcome), record.parts.loop.now)
    else:
        record.trace.try_vanishes()


cdef void tell_request(Approach approach, Answered *answered, int outcome) noexcept:
    cdef Record record = approach.record
    cdef Route route = approach.route
    cdef Backend backend = approach.backend
    if record.trace is not None:
        trace_ended(record, outcome, answered.tries)
    if route is not None:
        answered.route = PyUnicode_AsUTF8(route.name)
        answered.route_slot = route_slot(record)
    if backend is not None and backend.name is not None:
        answered.backend = PyUnicode_AsUTF8(backend.name)
    answered.secure = approach.record.secure
    answered.downgraded = answered.secure and approach.tls is None
    if outcome in (SL_OUTCOME_RESPONSE_INVALID, SL_OUTCOME_RESPONSE_INCOMPLETE, SL_OUTCOME_RESPONSE_TIMEOUT,
                   SL_OUTCOME_REQUEST_TIMEOUT, SL_OUTCOME_IDLE_TIMEOUT):
        approach.parts.meter.labelled(SL_FAMILY_PROTOCOL_ERRORS, record.kind, outcome, 0, 0)[0] += 1
    write_request(record, answered, outcome)
