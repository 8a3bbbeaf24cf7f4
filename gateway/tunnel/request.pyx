"""Steps that the requests of all protocols share. See request.pxd.

Limits, decision and log are the same for every protocol, so they are here; what the protocol has to say is left to the
requests themselves, which answer success only when the upstream is connected.
"""

from libc.stdint cimport uint8_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.contract cimport (
    SL_DENY, SL_OUTCOME_CLIENT_GONE, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_ROUTE_LIMIT, SL_OUTCOME_SOURCE_LIMIT,
    SL_REASON_CREDENTIAL_CLEARTEXT, SL_REASON_CREDENTIAL_FILE, SL_REASON_CREDENTIAL_HOST, SL_REASON_CREDENTIAL_TRACE,
    SL_REASON_DRAINING, SL_REASON_SOURCE_ADDRESS, SL_REASON_TLS_UPSTREAM, SL_REASON_TOKEN_CLEARTEXT,
    SL_REASON_TOKEN_ISSUER,
)
from gateway.c.segment cimport SL_FAMILY_TUNNELS, SL_LOG_DECISION, SL_SCOPE_DRAINING
from gateway.dial.opening cimport opening_of
from gateway.state.logins cimport LOGIN_RIGHT, LOGIN_WAITS, LOGIN_WRONG
from gateway.state.request cimport VERIFYING
from gateway.state.speakers cimport source_of_speaker


cdef Record note(WorkerParts parts, Request request, Codec codec, int kind):
    cdef Record record = Record.__new__(Record, parts)
    fill(record, request, codec, kind)
    if parts.tracer is not None:
        record.trace = parts.tracer.of_text(codec.traceparent, record.asked)
    return record


cdef void fill(Record record, Request request, Codec codec, int kind) noexcept:
    record.listener = request.listener
    if codec.sequence:
        record.sequence = codec.sequence
    record.tls = request.tls
    record.kind = <uint8_t> kind
    record.peer = request.peer
    record.peer_port = request.peer_port
    record.pod = record.pod_under(record.generation)
    record.port = codec.port
    if codec.address.family:
        record.address = codec.address
    else:
        record.name = codec.name[:codec.name_length]


cdef void verify(WorkerParts parts, Request request, bytes user, bytes password) noexcept:
    cdef uint64_t credential = parts.generation.credential(user)
    cdef int result
    request.state = VERIFYING
    result = parts.logins.ask(request.source, user, password, credential, request)
    if result != LOGIN_WAITS:
        request.on_verified(result, credential)


cdef bint is_private(WorkerParts parts, Request request) noexcept:
    """Whether a token can come this way: nothing between reads it (DECISIONS.md section 1). A peer that a PROXY header
    names is not on this machine for all that the gateway knows."""
    if request.tls is not None or parts.settings.insecure_tokens:
        return True
    return not request.relayed and is_loopback(&request.peer)


cdef bint is_loopback(const sl_addr *peer) noexcept:
    cdef int i
    if peer.family == 4:
        return peer.bytes[0] == 127
    for i in range(15):
        if peer.bytes[i]:
            return False
    return peer.family == 6 and peer.bytes[15] == 1


cdef void verify_token(WorkerParts parts, Request request, bytes token) noexcept:
    cdef int result, reason = 0
    request.state = VERIFYING
    if not parts.settings.token_keys:
        reason = SL_REASON_TOKEN_ISSUER
    elif not is_private(parts, request):
        reason = SL_REASON_TOKEN_CLEARTEXT
    if reason:
        request.on_token(LOGIN_WRONG, None, reason)
        return
    result = parts.logins.ask_token(request.source, token, request)
    if result != LOGIN_WAITS:
        request.on_token(result, parts.logins.found if result == LOGIN_RIGHT else None, parts.logins.reason)


cdef Opening may_open(WorkerParts parts, Request request, Record record, bint opens_late):
    record.user, record.token, record.forwarded = request.user, request.token, request.forwarded
    record.generation = parts.generation  # a new one may have come while credentials were verified
    if parts.roster.draining and not opens_late:
        drained_away(record, request.source)
        return None
    record.stand(parts.generation, True)
    # Those who share a user's address, or that of an identity, do not pay for it.
    if record.user is not None:
        record.source = parts.limits.of_user(record.user)
    elif record.token is not None:
        record.source = parts.limits.of_user(record.token.subject)
        parts.certified = True
    elif record.is_forwarded():
        record.source = parts.limits.of_identity(record.forwarded.identity, &record.peer)
    elif record.forwarded is not None and record.forwarded.addressed:
        record.source = request.source
    elif record.is_certified():
        record.source = source_of_speaker(parts, record.tls, &record.peer)
        if not record.source:
            record.source = parts.limits.of_identity(record.tls.identity, &record.peer)
    else:
        record.source = request.source
    return opening_of(parts, record)


cdef void over_limit(Record record, uint64_t source, int outcome, int scope, int reason) noexcept:
    cdef WorkerParts parts = record.parts
    parts.meter.limited(scope)
    parts.meter.labelled(SL_FAMILY_TUNNELS, record.kind, outcome, 0, 0)[0] += 1
    record.decision.reason = <uint8_t> reason
    record.write_refused(source, outcome, None, None)


cdef void drained_away(Record record, uint64_t source) noexcept:
    over_limit(record, source, SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DRAINING, SL_REASON_DRAINING)


cdef void give_up(Opening opening) noexcept:
    cdef Record record = opening.record
    opening.cancel()
    record.parts.meter.labelled(SL_FAMILY_TUNNELS, record.kind, SL_OUTCOME_CLIENT_GONE, 0, 0)[0] += 1
    record.write(SL_LOG_DECISION, SL_OUTCOME_CLIENT_GONE, 0, 0)


cdef bint is_told(Record record, int outcome) noexcept:
    """Whether the decision explains a refusal. A request that was allowed and could not be connected has reasons as
    well: where it would have come from, the TLS of the way, and credentials that it would have got."""
    if record is None or outcome in (SL_OUTCOME_SOURCE_LIMIT, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_ROUTE_LIMIT):
        return False
    return record.decision.verdict == SL_DENY or record.decision.reason in (
        SL_REASON_SOURCE_ADDRESS, SL_REASON_TLS_UPSTREAM, SL_REASON_CREDENTIAL_FILE, SL_REASON_CREDENTIAL_CLEARTEXT,
        SL_REASON_CREDENTIAL_HOST, SL_REASON_CREDENTIAL_TRACE)


cdef bint is_draining(Record record) noexcept:
    return record is not None and record.decision.reason == SL_REASON_DRAINING


cdef str told_rule(Record record, int outcome):
    return record.rule if is_told(record, outcome) and not is_draining(record) else None


cdef str told_reason(Record record, int outcome):
    if not is_draining(record) and not is_told(record, outcome):
        return None
    if (record.decision.reason == SL_REASON_TLS_UPSTREAM and record.upstream_tls is not None
            and record.upstream_tls.fault is not NULL):
        return f"{record.reason()}: {record.upstream_tls.fault.decode('ascii')}"
    return record.reason()
