"""The line of one HTTP request in the access log, and what it counts (CONTRACT.md sections 6 and 7).

A request counts once, when it is over: by route, rule, method and class of its status, and with the time from its whole
head to its end.
"""

from libc.string cimport memset, strlen

from gateway.c.log_line cimport sl_log_line, sl_log_request, sl_log_tls
from gateway.c.message cimport sl_message_at
from gateway.c.contract cimport sl_outcome_text
from gateway.c.segment cimport (
    SL_FAMILY_HTTP_MIRRORED, SL_FAMILY_HTTP_REQUESTS, SL_FAMILY_HTTP_RETRIES,
    SL_LOG_REQUEST, SL_RULE_SLOT_NONE, sl_method_of, sl_route_key, sl_segment_labelled, sl_segment_observe_route,
    sl_status_class, sl_status_class_of,
)

cdef enum:
    METHOD_SHOWN = 32          # bytes of a method: any token may be one


cdef void nothing_answered(Answered *out, const sl_message *request) noexcept:
    memset(out, 0, sizeof(out[0]))
    out.request = request
    out.route_slot = SL_RULE_SLOT_NONE
    out.first_byte_ms = -1


cdef void write_request(Record record, const Answered *answered, int outcome) noexcept:
    count_request(record, answered)
    if record.parts.log is not None and (record.parts.settings.access_log or record.is_recorded()):
        write_line(record, answered, outcome)


cdef void count_request(Record record, const Answered *answered) noexcept:
    cdef WorkerParts parts = record.parts
    cdef const sl_message *request = answered.request
    cdef sl_status_class status = sl_status_class_of(answered.status)
    cdef unsigned method = sl_method_of(sl_message_at(request, request.method), request.method.length)
    sl_segment_labelled(parts.meter.segment, sl_route_key(
        SL_FAMILY_HTTP_REQUESTS, method, status, record.rule_slot(), answered.route_slot))[0] += 1
    sl_segment_observe_route(parts.meter.segment, answered.route_slot, status, (parts.loop.now - record.asked) * 1000)


cdef void write_line(Record record, const Answered *answered, int outcome) noexcept:
    cdef const sl_message *request = answered.request
    cdef sl_log_line line
    cdef sl_log_tls tls[2]
    cdef sl_log_request told
    memset(&told, 0, sizeof(told))
    told.method.bytes = sl_message_at(request, request.method)
    told.method.length = min(<size_t> request.method.length, <size_t> METHOD_SHOWN)
    told.path.bytes, told.path.length = sl_message_at(request, request.path), request.path.length
    told.has_query = request.has_query
    if request.has_query and record.parts.settings.log_query:
        told.query.bytes, told.query.length = sl_message_at(request, request.query), request.query.length
    if answered.route is not NULL:
        told.route.bytes, told.route.length = answered.route, strlen(answered.route)
    if answered.backend is not NULL:
        told.backend.bytes, told.backend.length = answered.backend, strlen(answered.backend)
    told.status, told.tries, told.mirrored = answered.status, answered.tries, answered.mirrored
    told.first_byte_ms, told.downgraded = answered.first_byte_ms, answered.downgraded
    record.fill(&line, tls, SL_LOG_REQUEST, outcome)
    line.outcome = sl_outcome_text(outcome)
    line.request = &told
    line.carried = 1
    line.bytes_up, line.bytes_down = answered.up, answered.down
    line.duration_ms = record.parts.loop.now - record.asked
    if record.parts.settings.access_log:
        record.parts.log.write(SL_LOG_REQUEST, &line)
    if record.is_recorded():
        record.write_span(SL_LOG_REQUEST, &line, answered.secure)


cdef void count_retry(WorkerParts parts, unsigned route_slot, sl_retry_result result) noexcept:
    sl_segment_labelled(parts.meter.segment, sl_route_key(SL_FAMILY_HTTP_RETRIES, result, 0, 0, route_slot))[0] += 1


cdef void count_mirrored(WorkerParts parts, sl_mirror_result result) noexcept:
    parts.meter.labelled(SL_FAMILY_HTTP_MIRRORED, result, 0, 0, 0)[0] += 1
