"""The facts of one request and of the tunnel it may become, and its access log lines (CONTRACT.md section 6).

A record holds the inputs of the decision (peer, verified user, target) and not their resolution against a policy, so
that a later generation can judge the same tunnel afresh.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_AsUTF8, PyUnicode_AsUTF8AndSize
from libc.string cimport memset, strcmp, strlen

from gateway.parent.source_pool cimport SourcePool
from gateway.state.meter cimport Meter
from gateway.state.settings cimport ListenerSpec
from gateway.state.speakers cimport claims_stand
from gateway.c.contract cimport (
    SL_ALLOW, SL_AUDIT, SL_OUTCOME_AUTH_FAILED, SL_PHASE_ADDRESS, SL_PHASE_INNER, SL_PHASE_NAME,
    SL_REASON_IDENTITY_EXPIRED, SL_REASON_INTERNAL, SL_REASON_SOURCE_GONE, SL_REASON_UNAUTHORIZED, sl_outcome_text,
    sl_phase_text, sl_reason_text, sl_refusal_reason, sl_verdict_text,
)
from gateway.c.image cimport sl_image
from gateway.c.judge cimport (
    sl_judge, sl_judged_port, sl_judged_revoke, sl_judged_tls, sl_list_line, sl_rule_name, sl_rule_named, sl_rule_slot,
    sl_source_credential, sl_source_key, sl_source_network, sl_source_user,
)
from gateway.c.limit_table cimport SL_LIMIT_PROVISIONAL, SL_LIMIT_TUNNELS
from gateway.c.log_line cimport (
    sl_log_line, sl_log_span, sl_log_text, sl_log_tls, sl_log_trace, sl_refused_address,
)
from gateway.c.workloads cimport (
    SL_WORKLOAD_ACCOUNT, SL_WORKLOAD_KNOWN, SL_WORKLOAD_NAMESPACE, SL_WORKLOAD_OUTSIDE, sl_workload,
    sl_workload_status, sl_workload_text,
)
from gateway.c.leg cimport sl_leg_broken
from gateway.c.segment cimport (
    SL_COUNTER_AUTH_FAILED, SL_COUNTER_BYTES_DOWN, SL_COUNTER_BYTES_UP, SL_COUNTER_DECISIONS_ALLOW,
    SL_COUNTER_DECISIONS_AUDIT, SL_COUNTER_DECISIONS_DENY, SL_DIRECTION_DOWN, SL_DIRECTION_UP, SL_FAMILY_BYTES,
    SL_FAMILY_CREDENTIALS_REFUSED, SL_FAMILY_DECISIONS, SL_FAMILY_TUNNELS, SL_FAMILY_TUNNELS_OPEN,
    SL_HISTOGRAM_OPENING, SL_LOG_CLOSE, SL_LOG_DECISION, SL_LOG_INTERVAL, SL_LOG_REFUSED,
    SL_RULE_SLOT_NONE, SL_RULE_SLOT_OTHER, SL_TUNNEL_FORWARDED, SL_TUNNEL_OPEN, SL_TUNNEL_TOKEN,
    SL_TUNNEL_WORKLOAD, SL_TUNNEL_WOULD_DENY, sl_log_event, sl_protocol_text, sl_segment_observe,
    sl_tunnel_bytes, sl_tunnel_done, sl_tunnel_edit, sl_tunnel_release, sl_tunnel_set_identity, sl_tunnel_set_name,
    sl_tunnel_set_user, sl_tunnel_take,
)

cdef enum:
    PEER_SHOWN = 512           # bytes of an identity beside `source`, which has all of it

# Details of requests without any credentials; other failed logins had some.
cdef frozenset NO_LOGIN = frozenset((
    None, "no credentials", "no acceptable authentication method is offered",
    "credentials are required, and SOCKS4 has none", "credentials are required, and a ClientHello has none",
))


cdef const char *NO_ACCOUNT = b""
cdef sl_log_trace NO_TRACE     # of lines that belong to none: both ids are null
memset(&NO_TRACE, 0, sizeof(NO_TRACE))


cdef sl_log_text text_of(str text) noexcept:
    """UTF-8 that lives as long as the text; None is null."""
    cdef sl_log_text found
    cdef Py_ssize_t length = 0
    found.bytes = PyUnicode_AsUTF8AndSize(text, &length) if text is not None else NULL
    found.length = <size_t> length
    return found


cdef sl_log_tls *told_tls(TlsSession session, sl_log_tls *tls) noexcept:
    """The facts of one leg; they live as long as the session."""
    memset(tls, 0, sizeof(tls[0]))
    tls.version, tls.cipher, tls.alpn = session.version, session.cipher, session.alpn
    if session.group is not None:
        tls.group = PyBytes_AS_STRING(session.group)
    tls.failure = session.fault
    if session.sni is not None:
        tls.sni.bytes, tls.sni.length = PyBytes_AS_STRING(session.sni), PyBytes_GET_SIZE(session.sni)
    if session.identity is not None:
        tls.peer.bytes = PyBytes_AS_STRING(session.identity)
        tls.peer.length = min(<size_t> PyBytes_GET_SIZE(session.identity), <size_t> PEER_SHOWN)
    return tls


cdef int is_local(void *asked, const sl_addr *addr, uint16_t port, const sl_decision *by) noexcept:
    """Whether a destination of a record is this machine; see judge.h."""
    cdef Record record = <Record> asked
    cdef SourcePool pool = None
    if by is not NULL:
        pool = record.generation.pool(by)
    return record.parts.routes.is_local(addr, port, pool)


cdef class Record:
    """See record.pxd. Made when a request is complete, kept as long as its tunnel."""

    def __cinit__(self, WorkerParts parts):
        self.parts = parts
        self.generation = parts.generation
        self.sequence = parts.meter.number()
        self.asked = parts.loop.now
        self.dns_ms = self.dial_ms = -1

    cdef void question(self, sl_question *out) noexcept:
        """The question to the judge about it, under its generation and by its listener's settings of now."""
        cdef WorkerParts parts = self.parts
        cdef ListenerSpec listener = parts.settings.listener(self.listener)
        memset(out, 0, sizeof(out[0]))
        out.who.addr = self.peer
        if self.is_forwarded():
            out.who.forwarded = PyBytes_AS_STRING(self.forwarded.identity)
            if self.forwarded.namespace is not None:
                out.who.forwarded_namespace = PyBytes_AS_STRING(self.forwarded.namespace)
                out.who.forwarded_account = PyBytes_AS_STRING(self.forwarded.account)
        if self.user is not None:
            out.who.user = PyBytes_AS_STRING(self.user)
        elif self.token is not None:
            self.ask_for_token(&out.who)
        if self.is_certified():
            out.who.identity = PyBytes_AS_STRING(self.tls.identity)
            if self.tls.namespace is not None:
                out.who.namespace_ = PyBytes_AS_STRING(self.tls.namespace)
                out.who.service_account = PyBytes_AS_STRING(self.tls.account)
        if self.generation.image.workloads is not None:
            self.generation.image.workloads.place(&out.who)
        out.source = &parts.source
        out.unauthorized = self.revoked
        out.audit = listener.audit
        out.inner_mode = <uint8_t> listener.inner
        out.listener = PyBytes_AS_STRING(listener.label)
        out.port = self.port
        if self.name is not None:
            out.host, out.host_length = PyBytes_AS_STRING(self.name), PyBytes_GET_SIZE(self.name)
        if self.address.family:
            out.address = &self.address
        if self.upstream is not None:
            out.way = PyBytes_AS_STRING(self.upstream)
        if self.upstream_tls is not None and self.upstream_tls.settings is not None:
            out.tls = PyBytes_AS_STRING(self.upstream_tls.settings)
        out.is_local, out.asked = is_local, <void *> self

    cdef TlsClient origination(self, const sl_decision *decision):
        return self.generation.origination(decision)

    cdef bint originates(self, const sl_decision *decision) noexcept:
        return sl_judged_tls(&self.generation.image.image, decision) is not NULL

    cdef uint64_t pod_under(self, Generation generation) noexcept:
        return 0 if generation.image.workloads is None else generation.image.workloads.pod_of(&self.peer)

    cdef bint is_placed(self) noexcept:
        return (self.generation.image.workloads is not None and self.user is None and self.token is None
                and not self.is_forwarded() and not self.is_certified())

    cdef void ask_for_token(self, sl_source_key *who) noexcept:
        cdef Token token = self.token
        if token.user is not None:
            who.user = PyBytes_AS_STRING(token.user)
        if token.namespace is not None:
            who.token_namespace, who.token_account = PyBytes_AS_STRING(token.namespace), NO_ACCOUNT
            if token.account is not None:
                who.token_account = PyBytes_AS_STRING(token.account)

    cdef bytes known_user(self):
        """By its password, or by a token that names one."""
        return self.token.user if self.user is None and self.token is not None else self.user

    cdef bint same_login(self, Generation other) noexcept:
        """Whether the user still has the password and the identity in another generation: who changes either revokes
        what the old one has opened or is opening, as who removes the user (DECISIONS.md section 5)."""
        cdef const sl_image *old = &self.generation.image.image
        cdef const sl_image *new = &other.image.image
        cdef const char *user
        cdef const char *spaces[2]
        cdef const char *accounts[2]
        if self.user is None:
            return True
        user = PyBytes_AS_STRING(self.user)
        return (sl_source_user(old, user, &spaces[0], &accounts[0]) != 0
                and sl_source_user(new, user, &spaces[1], &accounts[1]) != 0
                and sl_source_credential(old, user) == sl_source_credential(new, user)
                and strcmp(spaces[0], spaces[1]) == 0 and strcmp(accounts[0], accounts[1]) == 0)

    cdef void stand(self, Generation now, bint opens) noexcept:
        cdef ListenerSpec spec = self.parts.settings.listener(self.listener)
        self.revoked = SL_REASON_SOURCE_GONE
        if self.pod and self.pod_under(now) != self.pod:
            return
        self.revoked = SL_REASON_UNAUTHORIZED
        if not self.same_login(now):
            return
        if self.tls is not None and self.tls.leaf is not NULL:
            # A listener that is gone has no CAs any more: what stood when it went stands.
            if spec.tls is not None:
                if not spec.tls.admits(self.tls):
                    return
            elif not spec.removed or not self.tls.standing:
                return
            if opens and self.tls.is_over():
                self.revoked = SL_REASON_IDENTITY_EXPIRED
                return
        if not claims_stand(self.parts, self.forwarded, self.tls):
            return
        if self.token is not None:
            if self.token.credential not in self.parts.settings.token_keys:
                return
            if opens and self.token.is_over():
                self.revoked = SL_REASON_IDENTITY_EXPIRED
                return
        self.revoked = SL_REASON_INTERNAL  # none

    cdef void follow(self) noexcept:
        if self.generation is not self.parts.generation and not self.revoked:
            self.stand(self.parts.generation, False)
        self.generation = self.parts.generation

    cdef void expire(self) noexcept:
        cdef sl_question question
        cdef sl_decision decision
        self.revoked = SL_REASON_IDENTITY_EXPIRED
        self.question(&question)
        sl_judge(&self.generation.image.image, &question, SL_PHASE_NAME, NULL, &decision, NULL)
        self.decided(&decision)

    cdef bint is_certified(self) noexcept:
        """The client's certificate gives it an identity."""
        return self.tls is not None and self.tls.identity is not None

    cdef bint is_forwarded(self) noexcept:
        """A peer that may speak for others gives it an identity."""
        return self.forwarded is not None and self.forwarded.identity is not None

    cdef void judge_again(self, Generation before, sl_decision *out) noexcept:
        """As far as the tunnel has come; it keeps its way."""
        cdef sl_question question
        self.question(&question)
        question.dialed = True
        question.shows, question.ech = self.shown, self.ech
        if self.names_itself:
            question.inner, question.inner_length = PyBytes_AS_STRING(self.inner), PyBytes_GET_SIZE(self.inner)
        sl_judge(&self.generation.image.image, &question,
                 SL_PHASE_INNER if self.shown else SL_PHASE_ADDRESS, NULL, out, NULL)

    cdef void leave_provisional(self) noexcept:
        """The inner name is judged, or the tunnel has ended before."""
        if self.provisional_place:
            self.parts.limits.leave(SL_LIMIT_PROVISIONAL, &self.provisional_place)
            self.parts.queues.freed(self.source, SL_LIMIT_PROVISIONAL)

    cdef void leave_limits(self) noexcept:
        """Refused, or the tunnel has ended: every place is free again. Safe to call twice."""
        self.leave_provisional()
        self.parts.limits.leave(SL_LIMIT_TUNNELS, &self.source_place)
        self.parts.limits.leave(SL_LIMIT_TUNNELS, &self.gateway_place)

    cdef void decided(self, const sl_decision *decision) noexcept:
        """Takes over a decision of this record's generation; its rule is kept by name: indexes end with an image."""
        self.decision = decision[0]
        self.rule = self.generation.rule_text(decision.rule)

    cdef void admitted(self) noexcept:
        """The tunnel is open: what its rules say of revocation counts as it stands now (DECISIONS.md section 5)."""
        self.on_revoke = <uint8_t> sl_judged_revoke(&self.generation.image.image, &self.decision)

    cdef unsigned rule_slot(self) noexcept:
        """The metrics slot of the decision's rule (csrc/shared/segment.h)."""
        return sl_rule_slot(&self.generation.image.image, self.decision.rule, SL_RULE_SLOT_NONE, SL_RULE_SLOT_OTHER)

    cdef void count_decision(self) noexcept:
        """The decision is final: count it, by its labels and in the scalars."""
        cdef Meter meter = self.parts.meter
        cdef int verdict = self.decision.verdict
        meter.labelled(SL_FAMILY_DECISIONS, verdict, self.decision.phase, self.decision.reason,
                       self.rule_slot())[0] += 1
        meter.count(SL_COUNTER_DECISIONS_ALLOW if verdict == SL_ALLOW else SL_COUNTER_DECISIONS_AUDIT
                    if verdict == SL_AUDIT else SL_COUNTER_DECISIONS_DENY)

    cdef void enlist(self) noexcept:
        """The tunnel is open: it appears in the live-tunnel table, and its bytes count for its rule."""
        cdef WorkerParts parts = self.parts
        cdef sl_tunnel *listing = sl_tunnel_take(parts.meter.segment, self.sequence)
        cdef bytes user
        parts.meter.labelled(SL_FAMILY_TUNNELS_OPEN, self.kind, 0, 0, 0)[0] += 1
        sl_segment_observe(parts.meter.segment, SL_HISTOGRAM_OPENING, (parts.loop.now - self.asked) * 1000)
        self.listing = listing
        if listing is not NULL:
            listing.opened_ms = parts.loop.now
            listing.listener = self.listener
            listing.peer = self.peer
            listing.peer_port = self.peer_port
            listing.port = self.port
            listing.dialed = self.address
            listing.dialed_port = sl_judged_port(&self.generation.image.image, &self.decision, self.port)
            listing.protocol = self.kind
            user = self.known_user()
            if user is not None:
                sl_tunnel_set_user(listing, PyBytes_AS_STRING(user), PyBytes_GET_SIZE(user))
            if self.name is not None:
                sl_tunnel_set_name(listing, PyBytes_AS_STRING(self.name), PyBytes_GET_SIZE(self.name))
            self.list_identity()
            sl_tunnel_done(listing)
        self.relist(SL_TUNNEL_OPEN)

    cdef void list_identity(self) noexcept:
        """Within an edit of the listing. One of users.yaml or the network map follows from user and address."""
        cdef bytes text = None
        cdef const sl_workload *found
        self.listing.flags &= ~(SL_TUNNEL_TOKEN | SL_TUNNEL_FORWARDED | SL_TUNNEL_WORKLOAD)
        if self.is_forwarded():
            self.listing.flags |= SL_TUNNEL_FORWARDED
            text = self.forwarded.identity
            if self.forwarded.namespace is not None:
                text = b"%b/%b" % (self.forwarded.namespace, self.forwarded.account)
        elif self.is_certified():
            text = self.tls.identity
            if self.tls.namespace is not None:
                text = b"%b/%b" % (self.tls.namespace, self.tls.account)
        elif self.token is not None:
            self.listing.flags |= SL_TUNNEL_TOKEN
            if self.token.namespace is not None:
                text = b"%b/%b" % (self.token.namespace, self.token.account or b"")
        elif self.is_placed() and self.generation.image.workloads.look_up(&self.peer, &found) == SL_WORKLOAD_KNOWN:
            self.listing.flags |= SL_TUNNEL_WORKLOAD
            text = b"%b/%b" % (sl_workload_text(found, SL_WORKLOAD_NAMESPACE),
                               sl_workload_text(found, SL_WORKLOAD_ACCOUNT))
        sl_tunnel_set_identity(self.listing, NULL if text is None else PyBytes_AS_STRING(text),
                               0 if text is None else PyBytes_GET_SIZE(text))

    cdef void relist(self, int state) noexcept:
        """The decision or the state has changed."""
        cdef unsigned slot = self.rule_slot()
        cdef sl_tunnel *listing = self.listing
        self.rule_up = self.parts.meter.labelled(SL_FAMILY_BYTES, SL_DIRECTION_UP, 0, 0, slot)
        self.rule_down = self.parts.meter.labelled(SL_FAMILY_BYTES, SL_DIRECTION_DOWN, 0, 0, slot)
        if listing is NULL:
            return
        sl_tunnel_edit(listing)
        self.list_identity()
        listing.state = state
        listing.generation = self.generation.number
        listing.rule = self.decision.rule
        listing.rule_slot = slot
        listing.verdict = self.decision.verdict
        listing.phase = self.decision.phase
        listing.reason = self.decision.reason
        listing.flags &= ~SL_TUNNEL_WOULD_DENY
        if self.decision.would_deny:
            listing.flags |= SL_TUNNEL_WOULD_DENY
        sl_tunnel_done(listing)

    cdef void carried(self, bint upward, uint64_t amount, uint64_t up, uint64_t down) noexcept:
        """`amount` more bytes went one way; `up` and `down` are the sums so far."""
        if upward:
            self.rule_up[0] += amount
            self.parts.meter.add(SL_COUNTER_BYTES_UP, amount)
        else:
            self.rule_down[0] += amount
            self.parts.meter.add(SL_COUNTER_BYTES_DOWN, amount)
        sl_tunnel_bytes(self.listing, up, down)

    cdef void note_broken(self, const sl_leg *leg, int outcome) noexcept:
        cdef const char *why = sl_leg_broken(leg)
        if why is not NULL:
            self.broken = why
            self.parts.meter.broke_rules(self.kind, outcome)

    cdef void delist(self, int outcome) noexcept:
        """The tunnel has ended, and its close line is written."""
        self.parts.meter.labelled(SL_FAMILY_TUNNELS_OPEN, self.kind, 0, 0, 0)[0] -= 1
        self.parts.meter.labelled(SL_FAMILY_TUNNELS, self.kind, outcome, 0, 0)[0] += 1
        if self.listing is not NULL:
            sl_tunnel_release(self.parts.meter.segment, self.listing)
            self.listing = NULL

    cdef str reason(self):
        return sl_reason_text(self.decision.reason).decode("ascii")

    cdef void write(self, sl_log_event event, int outcome, uint64_t up, uint64_t down) noexcept:
        """One line of the access log; close and interval lines carry bytes and duration."""
        cdef WorkerParts parts = self.parts
        cdef sl_log_line line
        cdef sl_log_tls tls[2]
        cdef bint recorded = (event == SL_LOG_CLOSE or event == SL_LOG_DECISION) and self.is_recorded()
        if parts.log is None or not (parts.settings.access_log or recorded):
            return
        self.fill(&line, tls, event, outcome)
        if event == SL_LOG_CLOSE or event == SL_LOG_INTERVAL:
            line.carried = 1
            line.bytes_up, line.bytes_down = up, down
            line.duration_ms = parts.loop.now - self.opened
            if event == SL_LOG_CLOSE and self.broken is not NULL:
                line.detail.bytes, line.detail.length = self.broken, strlen(self.broken)
        if parts.settings.access_log:
            parts.log.write(event, &line)
        if recorded:
            self.write_span(event, &line, False)

    cdef bint is_recorded(self) noexcept:
        return self.trace is not None and self.trace.recording

    cdef void write_span(self, sl_log_event event, sl_log_line *line, bint secure) noexcept:
        cdef sl_log_trace ids = self.trace.ids
        cdef sl_log_span span
        self.trace.describe(&span, self.asked, self.parts.loop.now)
        span.secure = secure
        ids.span, line.trace = &span, &ids
        self.parts.log.write_span(event, line)
        line.trace = &self.trace.ids

    cdef void write_refused(self, uint64_t source, int outcome, bytes tried, str detail) noexcept:
        cdef WorkerParts parts = self.parts
        cdef sl_log_line line
        cdef sl_log_tls tls[2]
        cdef uint32_t suppressed = 0
        if not parts.settings.access_log or parts.log is None:
            return
        if not parts.log.may_refuse(source, parts.loop.now, &suppressed):
            return
        self.fill(&line, tls, SL_LOG_REFUSED, outcome)
        line.verdict = NULL
        # One that is noted already is more telling than the outcome: a drain, streams that are too many.
        line.reason = sl_reason_text(self.decision.reason if self.decision.reason != SL_REASON_INTERNAL else
                                     sl_refusal_reason(outcome, is_login(tried, detail)))
        line.is_refused = 1
        line.suppressed = suppressed
        line.detail = text_of(detail)
        if tried is not None:
            line.user.bytes, line.user.length = PyBytes_AS_STRING(tried), PyBytes_GET_SIZE(tried)
        parts.log.write(SL_LOG_REFUSED, &line)

    cdef void fill(self, sl_log_line *line, sl_log_tls *tls, sl_log_event event, int outcome) noexcept:
        """The members of every line; `tls`, which has room for two, has to live as long as it."""
        cdef WorkerParts parts = self.parts
        memset(line, 0, sizeof(line[0]))
        line.id_prefix = PyUnicode_AsUTF8(parts.meter.prefix)
        line.sequence = self.sequence
        line.generation = self.generation.number
        line.worker = parts.meter.slot
        line.listener = text_of(parts.settings.listener(self.listener).name)
        line.protocol = sl_protocol_text(self.kind)
        line.peer = &self.peer
        line.peer_port = self.peer_port
        self.identify(line)
        if self.user is not None:
            line.user.bytes, line.user.length = PyBytes_AS_STRING(self.user), PyBytes_GET_SIZE(self.user)
        elif self.token is not None and self.token.user is not None:
            line.user.bytes = PyBytes_AS_STRING(self.token.user)
            line.user.length = PyBytes_GET_SIZE(self.token.user)
        if self.name is not None:
            line.name.bytes, line.name.length = PyBytes_AS_STRING(self.name), PyBytes_GET_SIZE(self.name)
        line.address = &self.address
        line.port = self.port
        line.verdict = sl_verdict_text(self.decision.verdict)
        line.rule = text_of(self.rule)
        self.name_rule(line)
        line.phase = sl_phase_text(self.decision.phase)
        line.reason = sl_reason_text(self.decision.reason)
        line.would_deny = self.decision.would_deny
        if self.forwarded is not None and self.forwarded.baggage is not None:
            line.baggage.bytes = PyBytes_AS_STRING(self.forwarded.baggage)
            line.baggage.length = PyBytes_GET_SIZE(self.forwarded.baggage)
        if self.inner is not None:
            line.inner.bytes, line.inner.length = PyBytes_AS_STRING(self.inner), PyBytes_GET_SIZE(self.inner)
        if self.refused is not None:
            line.refused = <const sl_refused_address *> PyBytes_AS_STRING(self.refused)
            line.refused_count = <unsigned> (<size_t> PyBytes_GET_SIZE(self.refused) // sizeof(sl_refused_address))
        line.source_address = &self.source_address
        line.dns_ms, line.dial_ms = self.dns_ms, self.dial_ms
        if self.tls is not None:
            line.client_tls = told_tls(self.tls, &tls[0])
        if self.upstream_tls is not None:
            line.upstream_tls = told_tls(self.upstream_tls, &tls[1])
        if self.trace is not None:
            line.trace = &self.trace.ids
        elif parts.tracer is not None:
            line.trace = &NO_TRACE
        if event == SL_LOG_CLOSE or event == SL_LOG_DECISION or event == SL_LOG_REFUSED:
            line.outcome = sl_outcome_text(outcome)

    cdef void name_rule(self, sl_log_line *line) noexcept:
        """The item of the rule, and the line of its host list: the name asked for, or shown inside, is in it."""
        cdef const sl_image *image = &self.generation.image.image
        cdef sl_rule_name rule
        cdef bytes name = self.name if self.name is not None else self.inner
        if not sl_rule_named(image, self.decision.rule, &rule):
            return
        line.rule_item = rule.item
        if rule.has_list and name is not None:
            line.list_line = sl_list_line(image, self.decision.rule, self.decision.selector, PyBytes_AS_STRING(name),
                                          PyBytes_GET_SIZE(name))

    cdef void identify(self, sl_log_line *line) noexcept:
        """The source, and where its identity comes from."""
        cdef const sl_image *image = &self.generation.image.image
        cdef const sl_workload *found = NULL
        cdef sl_workload_status status = SL_WORKLOAD_OUTSIDE
        if self.is_placed():
            status = self.generation.image.workloads.look_up(&self.peer, &found)
        if self.is_forwarded():
            line.identity_source = "forwarded"
            line.identity.bytes = PyBytes_AS_STRING(self.forwarded.identity)
            line.identity.length = PyBytes_GET_SIZE(self.forwarded.identity)
            if self.forwarded.namespace is not None:
                line.namespace_ = PyBytes_AS_STRING(self.forwarded.namespace)
                line.account = PyBytes_AS_STRING(self.forwarded.account)
        elif self.is_certified():
            line.identity_source = "certificate"
            line.identity.bytes = PyBytes_AS_STRING(self.tls.identity)
            line.identity.length = PyBytes_GET_SIZE(self.tls.identity)
            if self.tls.namespace is not None:
                line.namespace_ = PyBytes_AS_STRING(self.tls.namespace)
                line.account = PyBytes_AS_STRING(self.tls.account)
        elif self.user is not None:
            sl_source_user(image, PyBytes_AS_STRING(self.user), &line.namespace_, &line.account)
            line.identity_source = "password"
        elif self.token is not None:
            line.identity_source = "token"
            if self.token.namespace is not None:
                line.namespace_ = PyBytes_AS_STRING(self.token.namespace)
                line.account = NO_ACCOUNT
                if self.token.account is not None:
                    line.account = PyBytes_AS_STRING(self.token.account)
            elif self.token.user is not None:
                sl_source_user(image, PyBytes_AS_STRING(self.token.user), &line.namespace_, &line.account)
        elif found is not NULL:
            line.identity_source = "workload"
            line.namespace_ = sl_workload_text(found, SL_WORKLOAD_NAMESPACE)
            line.account = sl_workload_text(found, SL_WORKLOAD_ACCOUNT)
        elif (status == SL_WORKLOAD_OUTSIDE
                and sl_source_network(image, &self.peer, &line.namespace_, &line.account)):
            line.identity_source = "network"
        else:
            line.identity_source = "none"
        if line.namespace_ is not NULL and line.namespace_[0] == 0:
            line.namespace_ = NULL


cdef bint is_login(bytes tried, str detail) noexcept:
    """Whether a refused request had sent credentials."""
    return tried is not None or detail not in NO_LOGIN


cdef void count_login(WorkerParts parts, int reason, bytes tried, str detail) noexcept:
    parts.meter.count(SL_COUNTER_AUTH_FAILED)
    if not reason:
        reason = <int> sl_refusal_reason(SL_OUTCOME_AUTH_FAILED, is_login(tried, detail))
    parts.meter.labelled(SL_FAMILY_CREDENTIALS_REFUSED, reason, 0, 0, 0)[0] += 1


cdef void log_refused(WorkerParts parts, int listener, int kind, const sl_addr *peer, uint16_t peer_port,
                      uint64_t source, uint64_t sequence, int outcome, bytes tried, str detail, TlsSession tls,
                      int reason) noexcept:
    cdef Record record
    if not parts.settings.access_log or parts.log is None or parts.generation is None:
        return
    record = Record(parts)
    if sequence:
        record.sequence = sequence
    record.listener = <uint8_t> listener
    record.kind = <uint8_t> kind
    record.peer = peer[0]
    record.peer_port = peer_port
    record.tls = tls
    record.decision.reason = <uint8_t> reason
    record.write_refused(source, outcome, tried, detail)
