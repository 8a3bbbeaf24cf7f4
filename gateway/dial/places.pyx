"""Places of limits that an opening takes, its times and its refusal, counted. See places.pxd.

An opening counts what it holds for its source: the request, look-ups, dials, and the tunnel it is to become. The
tunnel's places stay with the record; the opening gives everything else back, whatever its end. What is over the limits
of its source waits (queues.pxd), at most dialTimeout for each place. A look-up is counted while it is fresh: one that
DNS leaves unanswered is waited for by its own request alone, and so it is with dials (race.pyx).
"""

from libc.stdint cimport uint16_t, uint64_t
from libc.string cimport memset

from gateway.c.addr cimport SL_ADDR_TEXT, sl_addr, sl_addr_format
from gateway.c.contract cimport (
    SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_DENIED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_ROUTE_LIMIT,
    SL_OUTCOME_SOURCE_LIMIT,
)
from gateway.c.judge cimport SL_DECISION_PROVISIONAL
from gateway.c.limit_table cimport SL_LIMIT_DIALS, SL_LIMIT_LOOKUPS, SL_LIMIT_PROVISIONAL, SL_LIMIT_TUNNELS
from gateway.c.log_line cimport sl_log_line
from gateway.c.segment cimport (
    SL_COUNTER_REQUESTS_FAILED, SL_FAMILY_TUNNELS, SL_HISTOGRAM_DIAL, SL_HISTOGRAM_DNS, SL_PROTOCOL_HBONE,
    SL_PROTOCOL_HTTP, SL_PROTOCOL_HTTP2,
    SL_SCOPE_SOURCE_DIALS, SL_SCOPE_SOURCE_DNS, SL_SCOPE_SOURCE_PROVISIONAL, SL_SCOPE_SOURCE_REQUESTS,
    SL_SCOPE_SOURCE_TUNNELS, SL_SCOPE_TUNNELS, sl_segment_observe,
)
from gateway.io.sockets cimport local_address
from gateway.state.parts cimport WorkerParts
from gateway.state.rates cimport Rates


cdef bytes address_text(const sl_addr *address):
    cdef char text[SL_ADDR_TEXT]
    return text[:sl_addr_format(address, text)]


cdef int scope_of(int kind) noexcept:
    if kind == SL_LIMIT_LOOKUPS:
        return SL_SCOPE_SOURCE_DNS
    if kind == SL_LIMIT_DIALS:
        return SL_SCOPE_SOURCE_DIALS
    return SL_SCOPE_SOURCE_PROVISIONAL if kind == SL_LIMIT_PROVISIONAL else SL_SCOPE_SOURCE_REQUESTS


cdef bytes destination_of(Record record, Parent parent, int kind):
    """For look-ups the domain that the name lies in: its servers answer for all its names, or for none."""
    if kind == SL_LIMIT_DIALS and parent is not None:
        return parent.name.encode("ascii")
    if kind == SL_LIMIT_LOOKUPS:
        domain = record.name.partition(b".")[2]
        return domain if b"." in domain else record.name
    host = record.name if record.name is not None else (<const char *> &record.address)[:sizeof(sl_addr)]
    return b"%d:%b" % (record.port, host)


cdef int reserve_tunnel(Record record) noexcept:
    if not record.parts.limits.enter(record.source, SL_LIMIT_TUNNELS, &record.source_place):
        return SL_SCOPE_SOURCE_TUNNELS
    if not record.parts.limits.enter_gateway(SL_LIMIT_TUNNELS, &record.gateway_place):
        return SL_SCOPE_TUNNELS
    return -1


cdef bint is_in_turn(Record record) noexcept:
    cdef WorkerParts parts = record.parts
    cdef Rates rates = parts.limits.rates
    cdef sl_log_line who
    if record.kind not in (SL_PROTOCOL_HTTP, SL_PROTOCOL_HTTP2, SL_PROTOCOL_HBONE):
        return True
    rate = rates.by_listener.get(parts.settings.listener(record.listener).label)
    if rate is None:
        return True
    memset(&who, 0, sizeof(who))
    record.identify(&who)
    return rates.take(&parts.limits.table, rate, identity_of(record, &who), parts.loop.now)


cdef bytes identity_of(Record record, const sl_log_line *who):
    """As limits of a client know it: a workload, else what its certificate or its login says; b"" for none."""
    if who.namespace_ is not NULL:
        return b"%b/%b" % (<bytes> who.namespace_, b"" if who.account is NULL else <bytes> who.account)
    if who.identity.length:
        return who.identity.bytes[:who.identity.length]
    user = record.known_user()
    return b"" if user is None else b"user %b" % user


cdef void note_resolved(Record record, uint64_t began) noexcept:
    cdef WorkerParts parts = record.parts
    record.dns_ms = <int> (parts.loop.now - began)
    sl_segment_observe(parts.meter.segment, SL_HISTOGRAM_DNS, (parts.loop.now - began) * 1000)


cdef void note_connected(Record record, uint64_t began) noexcept:
    cdef WorkerParts parts = record.parts
    record.opened = parts.loop.now
    record.dial_ms = <int> (record.opened - began)
    sl_segment_observe(parts.meter.segment, SL_HISTOGRAM_DIAL, (record.opened - began) * 1000)
    if not record.decision.flags & SL_DECISION_PROVISIONAL:
        record.leave_provisional()
        record.count_decision()


cdef void note_source(Record record, ParentStream parent_stream, int fd) noexcept:
    cdef uint16_t port
    if record.generation.pool(&record.decision) is None:
        return
    if parent_stream is not None:
        parent_stream.local(&record.source_address)
    else:
        local_address(fd, &record.source_address, &port)


cdef void count_refusal(Record record, int outcome, int scope) noexcept:
    cdef WorkerParts parts = record.parts
    record.count_decision()
    parts.meter.labelled(SL_FAMILY_TUNNELS, record.kind, outcome, 0, 0)[0] += 1
    if outcome in (SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_SOURCE_LIMIT, SL_OUTCOME_ROUTE_LIMIT):
        parts.meter.limited(scope)
    elif outcome != SL_OUTCOME_DENIED and outcome != SL_OUTCOME_ADDRESS_PROHIBITED:
        parts.meter.count(SL_COUNTER_REQUESTS_FAILED)
