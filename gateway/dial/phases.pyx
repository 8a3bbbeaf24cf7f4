"""The name phase and the address phase of a request. See phases.pxd.

A name is judged before any DNS query, and every address of the answer is: what is dialed is exactly an address that was
judged, never a second look-up.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint16_t
from libc.string cimport memset

from gateway.c.contract cimport (
    SL_OUTCOME_BACKEND_INVALID, SL_OUTCOME_DNS_FAILED, SL_OUTCOME_DNS_TIMEOUT, SL_OUTCOME_INTERNAL,
    SL_OUTCOME_NAME_NOT_FOUND, SL_PHASE_ADDRESS, SL_PHASE_DELEGATED, SL_PHASE_NAME, SL_REASON_OWN_ADDRESS,
    SL_REASON_SPECIAL_PURPOSE,
)
from gateway.c.judge cimport (
    SL_DECISION_GUARD, SL_NEEDS_ADDRESS, sl_decision, sl_deny, sl_judge, sl_judged_port, sl_question, sl_refused,
    sl_waits_for_http,
)
from gateway.c.log_line cimport sl_refused_address
from gateway.dial.race cimport Candidate
from gateway.dial.verdicts cimport Refusals, add_refusal, refusal_outcome
from gateway.dns.resolution cimport MAX_ADDRESSES, RESOLVE_BROKEN, RESOLVE_TIMEOUT


cdef bint judge_name(Record record, sl_decision *by_name) noexcept:
    cdef sl_question question
    record.question(&question)
    sl_judge(&record.generation.image.image, &question, SL_PHASE_NAME, NULL, by_name, NULL)
    record.decided(by_name)
    return not sl_refused(by_name)


cdef int judge_addresses(Race race, const sl_decision *by_name, const sl_addr *addresses, int count) noexcept:
    return judge_all(race, by_name, None, addresses, count)


cdef int judge_endpoints(Race race, const sl_decision *by_name, Detour detour, const sl_addr *addresses,
                         int count) noexcept:
    cdef sl_decision named
    if by_name is not NULL:
        # A backend's addresses are judged whatever decided the name: also where a parent would resolve it.
        named = by_name[0]
        named.needs |= SL_NEEDS_ADDRESS
        if named.phase == SL_PHASE_DELEGATED:
            named.phase = SL_PHASE_NAME
        by_name = &named
    if detour.host is None:
        addresses = <const sl_addr *> PyBytes_AS_STRING(detour.endpoints)
        count = <int> min(<size_t> PyBytes_GET_SIZE(detour.endpoints) // sizeof(sl_addr), <size_t> MAX_ADDRESSES)
    return judge_all(race, by_name, detour, addresses, count)


cdef bint is_lifted(const sl_decision *decision, bint lifted) noexcept:
    return lifted and decision.flags & SL_DECISION_GUARD and decision.reason == SL_REASON_SPECIAL_PURPOSE


cdef int judge_all(Race race, const sl_decision *by_name, Detour detour, const sl_addr *addresses,
                   int count) noexcept:
    cdef Record record = race.record
    cdef sl_question question
    cdef sl_decision decision, waits
    cdef Candidate kept[MAX_ADDRESSES]
    cdef sl_refused_address left_out[MAX_ADDRESSES]
    cdef Refusals refusals
    cdef bint lifted = False, listed = detour is not None and detour.host is None
    cdef int i, total = 0, out = 0
    memset(&refusals, 0, sizeof(refusals))
    memset(&waits, 0, sizeof(waits))
    record.question(&question)
    question.elsewhere = detour is not None
    for i in range(count):
        question.address = &addresses[i]
        sl_judge(&record.generation.image.image, &question, SL_PHASE_ADDRESS, by_name, &decision, NULL)
        if listed:
            lifted = detour.lifts[i]
        if sl_refused(&decision):
            if by_name is NULL or not is_lifted(&decision, lifted):
                if sl_waits_for_http(&decision):
                    waits = decision
                add_refusal(&refusals, &decision)
                left_out[out].address = addresses[i]
                left_out[out].reason = decision.reason
                out += 1
                continue
            decision = by_name[0]
        kept[total].address = addresses[i]
        kept[total].lifted = lifted
        kept[total].decision = decision
        if detour is None:
            kept[total].port = sl_judged_port(&record.generation.image.image, &decision, record.port)
        else:
            kept[total].port = <uint16_t> detour.ports[i] if listed else detour.port
        total += 1
    if out:
        record.refused = (<char *> left_out)[:<size_t> out * sizeof(sl_refused_address)]
    if not race.line_up(kept, total):
        return SL_OUTCOME_INTERNAL
    if total == 0 and count == 0:
        return SL_OUTCOME_BACKEND_INVALID  # a Service without endpoints
    if total == 0:
        record.decided(&waits if sl_waits_for_http(&waits) else &refusals.told)
        return refusal_outcome(&refusals)
    record.decided(&race.candidates[0].decision)
    return -1


cdef void deny_own_address(Record record) noexcept:
    cdef sl_decision own
    sl_deny(&own, SL_PHASE_ADDRESS, SL_REASON_OWN_ADDRESS)
    record.decided(&own)


cdef int unresolved_outcome(int status) noexcept:
    if status == RESOLVE_TIMEOUT:
        return SL_OUTCOME_DNS_TIMEOUT
    return SL_OUTCOME_DNS_FAILED if status == RESOLVE_BROKEN else SL_OUTCOME_NAME_NOT_FOUND
