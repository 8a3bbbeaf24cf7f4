"""A request on its way is judged again by the generation that has come. See review.pxd.

Each step of a request begins with a review, and a reload has every opening reviewed before it is acknowledged
(rejudge.pyx), so nothing is dialed, asked for or answered by a generation that is not active.
"""

from libc.string cimport memset

from gateway.c.contract cimport SL_PHASE_ADDRESS, SL_PHASE_DELEGATED, SL_PHASE_NAME
from gateway.c.judge cimport sl_judge, sl_judged_upstream, sl_question, sl_refused
from gateway.dial.phases cimport is_lifted
from gateway.dial.race cimport Candidate
from gateway.dial.verdicts cimport Refusals, add_refusal, refusal_outcome, same_way


cdef Review review_name(Record record, Generation now, bint asked, bint delegated, sl_decision *by_name,
                        Refusals *refusals) noexcept:
    cdef sl_question question
    cdef bint leads
    record.stand(now, False)
    record.generation = now
    if record.name is None and not record.revoked:
        return REVIEW_KEPT
    record.question(&question)
    sl_judge(&now.image.image, &question, SL_PHASE_NAME, NULL, by_name, NULL)
    if sl_refused(by_name):
        add_refusal(refusals, by_name)
        return REVIEW_REFUSED
    leads = by_name.phase == SL_PHASE_DELEGATED
    return REVIEW_RESTART if asked and leads != delegated else REVIEW_KEPT


cdef Review review_addresses(Race race, const sl_decision *by_name, Generation before, Refusals *refusals) noexcept:
    cdef Record record = race.record
    cdef sl_question question
    cdef sl_decision decision
    cdef Candidate *candidate
    cdef int i, first = -1, dialed = race.dialing
    cdef bint same = True
    record.question(&question)
    for i in range(race.candidate_count):
        candidate = &race.candidates[i]
        if candidate.address.family == 0:
            continue
        question.address = &candidate.address
        sl_judge(&record.generation.image.image, &question, SL_PHASE_ADDRESS, by_name, &decision, NULL)
        if sl_refused(&decision):
            if by_name is NULL or not is_lifted(&decision, candidate.lifted):
                add_refusal(refusals, &decision)
                race.forbid(i)
                continue
            decision = by_name[0]
        same = same and same_way(before, &candidate.decision, record.generation, &decision)
        candidate.decision = decision
        if first < 0:
            first = i
    if first < 0 or (race.winner >= 0 and race.candidates[race.targets[race.winner]].address.family == 0):
        return REVIEW_REFUSED
    record.decided(&race.candidates[first].decision)
    if not same:
        return REVIEW_RESTART
    return REVIEW_NEXT if race.dialing == 0 and dialed else REVIEW_KEPT


cdef Review review_parent(Race race, Parent parent, const sl_decision *by_name, Generation before,
                          Refusals *refusals) noexcept:
    cdef Record record = race.record
    cdef sl_question question
    cdef sl_decision decision
    cdef const char *upstream
    cdef Parent now
    cdef int i
    if by_name is not NULL:
        decision = by_name[0]
    if record.address.family:
        record.question(&question)
        sl_judge(&record.generation.image.image, &question, SL_PHASE_ADDRESS, by_name, &decision, NULL)
        if sl_refused(&decision):
            add_refusal(refusals, &decision)
            return REVIEW_REFUSED
    upstream = sl_judged_upstream(&record.generation.image.image, &decision)
    now = race.parts.settings.parents.get(record.upstream)
    if (upstream is NULL or record.upstream != upstream or now is None or now.kind != parent.kind
            or now.identity != parent.identity
            or not same_way(before, &record.decision, record.generation, &decision)):
        return REVIEW_RESTART
    record.decided(&decision)
    for i in range(race.candidate_count):
        race.candidates[i].decision = decision
    return REVIEW_KEPT


cdef Review review_stage(Race race, Parent parent, int stage, Generation now, sl_decision *by_name,
                         Refusals *refusals) noexcept:
    cdef Record record = race.record
    cdef Generation before = record.generation
    cdef const sl_decision *named = NULL if record.name is None else by_name
    cdef bint delegated = stage == STAGE_PARENT and record.address.family == 0
    cdef Review found = review_name(record, now, stage != STAGE_NAME, delegated, by_name, refusals)
    if found != REVIEW_KEPT:
        return found
    if stage == STAGE_ADDRESS:
        return review_addresses(race, named, before, refusals)
    if stage == STAGE_PARENT:
        return review_parent(race, parent, named, before, refusals)
    record.decided(by_name)
    return REVIEW_KEPT


cdef Review review_request(Race race, Parent parent, int stage, Generation now, sl_decision *by_name,
                           int *outcome) noexcept:
    cdef Refusals refusals
    cdef Review found
    memset(&refusals, 0, sizeof(refusals))
    found = review_stage(race, parent, stage, now, by_name, &refusals)
    if found == REVIEW_REFUSED:
        race.record.decided(&refusals.told)
        outcome[0] = refusal_outcome(&refusals)
    return found
