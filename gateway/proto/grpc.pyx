"""Refusals as clients of gRPC read them. See grpc.pxd."""

from libc.string cimport memcmp

from gateway.c.contract cimport (
    SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_BACKEND_INVALID, SL_OUTCOME_DENIED,
    SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_DNS_TIMEOUT, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL,
    SL_OUTCOME_LOOP, SL_OUTCOME_MALFORMED, SL_OUTCOME_NO_ROUTE, SL_OUTCOME_NO_SUCH_METHOD, SL_OUTCOME_NOT_BUILT,
    SL_OUTCOME_REQUEST_TIMEOUT, SL_OUTCOME_RESPONSE_TIMEOUT, SL_OUTCOME_ROUTE_LIMIT, SL_OUTCOME_SOURCE_LIMIT,
)
from gateway.c.message cimport SL_FIELD_CONTENT_TYPE, sl_message, sl_message_at, sl_message_find

# Status codes of gRPC. What is not here, UNAVAILABLE: there is no way to the destination, for now.
cdef bytes UNAVAILABLE = b"14"
cdef dict STATUSES = {
    SL_OUTCOME_DENIED: b"7", SL_OUTCOME_ADDRESS_PROHIBITED: b"7", SL_OUTCOME_NO_ROUTE: b"7",  # PERMISSION_DENIED
    SL_OUTCOME_AUTH_FAILED: b"16",  # UNAUTHENTICATED
    SL_OUTCOME_DIAL_TIMEOUT: b"4", SL_OUTCOME_DNS_TIMEOUT: b"4", SL_OUTCOME_RESPONSE_TIMEOUT: b"4",
    SL_OUTCOME_REQUEST_TIMEOUT: b"4",  # DEADLINE_EXCEEDED
    SL_OUTCOME_SOURCE_LIMIT: b"8", SL_OUTCOME_GATEWAY_LIMIT: b"8", SL_OUTCOME_ROUTE_LIMIT: b"8",  # RESOURCE_EXHAUSTED
    SL_OUTCOME_NOT_BUILT: b"12", SL_OUTCOME_NO_SUCH_METHOD: b"12",  # UNIMPLEMENTED
    SL_OUTCOME_INTERNAL: b"13", SL_OUTCOME_BACKEND_INVALID: b"13", SL_OUTCOME_LOOP: b"13",
    SL_OUTCOME_MALFORMED: b"13",  # INTERNAL
}
cdef frozenset OF_THE_BODY = frozenset((b":status", b"content-type", b"content-length"))


cdef bint is_grpc(const sl_message *head) noexcept:
    cdef int at = sl_message_find(head, SL_FIELD_CONTENT_TYPE, 0)
    cdef const char *value
    cdef size_t length
    if at < 0:
        return False
    value, length = sl_message_at(head, head.fields[at].value), head.fields[at].value.length
    return (length >= 16 and memcmp(value, b"application/grpc", 16) == 0
            and (length == 16 or value[16] in (c"+", c";")))


cdef list grpc_refusal(int outcome, str reason, list block, bytes body):
    cdef bytes status = STATUSES.get(outcome, UNAVAILABLE)
    cdef bytes text = body.strip().replace(b"%", b"%25").replace(b"\n", b"%0A")
    if outcome == SL_OUTCOME_GATEWAY_LIMIT and reason == "draining":
        status = UNAVAILABLE  # another gateway may take it
    return [(b":status", b"200"), (b"content-type", b"application/grpc"), (b"grpc-status", status),
            (b"grpc-message", text), *[field for field in block if field[0] not in OF_THE_BODY]]
