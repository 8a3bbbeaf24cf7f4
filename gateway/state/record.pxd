# The facts of one request and of the tunnel it may become: source, destination, decision, times.
from libc.stdint cimport int32_t, uint8_t, uint16_t, uint32_t, uint64_t

from gateway.state.generation cimport Generation
from gateway.state.claims cimport Forwarded, Token
from gateway.state.parts cimport WorkerParts
from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport sl_decision, sl_question, sl_source_key
from gateway.c.leg cimport sl_leg
from gateway.c.log_line cimport sl_log_line, sl_log_tls
from gateway.c.segment cimport sl_log_event, sl_tunnel
from gateway.tls.client cimport TlsClient
from gateway.tls.session cimport TlsSession
from gateway.tracing.trace cimport Trace

cdef class Record:
    cdef WorkerParts parts
    cdef Generation generation   # the one that judged it
    cdef readonly uint64_t sequence
    cdef TlsSession tls          # of the client's connection; None: cleartext
    cdef TlsSession upstream_tls  # of the origin's, or the parent's, or of a handshake that failed; None: cleartext
    cdef sl_addr peer
    cdef uint16_t peer_port
    cdef uint8_t listener        # index into parts.settings.listeners
    cdef uint8_t names_itself    # bool: asked for by address, and `inner` is the name it has shown
    cdef uint8_t on_revoke       # sl_on_revoke of the rule that admitted the tunnel
    cdef bytes user              # verified by its password, or None
    cdef Token token             # verified, or None
    cdef Trace trace             # None: it belongs to none, or tracing is off
    cdef Forwarded forwarded     # claims of a peer that may speak for others; None: none
    cdef bytes name              # canonical, or None when an address was asked for
    cdef sl_addr address         # asked for, then the one dialed; family 0 before, and where a parent resolves
    cdef uint16_t port
    cdef uint32_t source_place   # 0: none; the three places are those of `source`
    cdef bytes upstream          # the parent gateway it goes through, or None
    cdef sl_addr source_address  # dialed from, where the rule says so; family 0 else
    cdef uint8_t kind            # sl_protocol
    cdef uint8_t revoked         # sl_reason: its login or certificate does not stand under its generation; 0: it does
    cdef uint8_t shown           # sl_shows: what the tunnel has shown inside; UNKNOWN while it was not looked at
    cdef uint8_t ech             # bool: with an encrypted ClientHello
    cdef sl_decision decision
    cdef str rule                # of the decision, "Kind/namespace/name"; None for a default
    cdef bytes refused           # sl_refused_address of each address that may not be dialed, or None
    cdef bytes inner             # the name shown inside, "none", or None when nothing was looked at
    cdef uint64_t asked          # loop milliseconds
    cdef uint64_t opened
    cdef int32_t dns_ms          # -1: no look-up
    cdef int32_t dial_ms         # -1: no dial
    cdef uint32_t gateway_place
    cdef uint32_t provisional_place
    cdef uint64_t source         # the source that limits count it for (limits.pxd)
    cdef uint64_t pod            # mark of the pod that had the peer's address when it was asked for; 0: none was known
    cdef sl_tunnel *listing      # in the live-tunnel table; NULL: not a tunnel, or the table is full
    cdef uint64_t *rule_up       # bytes by rule: where this tunnel's are counted
    cdef uint64_t *rule_down
    cdef const char *broken      # static text: how a peer of the tunnel has broken its TLS session; NULL: none has

    cdef void question(self, sl_question *out) noexcept
    # TLS that it leaves by under a decision; None: cleartext, or settings that are missing.
    cdef TlsClient origination(self, const sl_decision *decision)
    # Whether it leaves by TLS, with settings or without.
    cdef bint originates(self, const sl_decision *decision) noexcept
    # The pod that has the peer's address under a generation, as `pod` has it.
    cdef uint64_t pod_under(self, Generation generation) noexcept
    # By its address alone: nothing of more weight says who it is.
    cdef bint is_placed(self) noexcept
    cdef void ask_for_token(self, sl_source_key *who) noexcept
    cdef bytes known_user(self)
    cdef bint same_login(self, Generation other) noexcept
    # Sets `revoked` by a generation that is about to judge it; `opens`: it is not a tunnel yet, and a certificate whose
    # time is over does not count.
    cdef void stand(self, Generation now, bint opens) noexcept
    # The same under the active generation, which it follows: what does not stand once stands no more.
    cdef void follow(self) noexcept
    # The decision is that of a client whose certificate or token was over for too long.
    cdef void expire(self) noexcept
    cdef bint is_certified(self) noexcept
    cdef bint is_forwarded(self) noexcept
    # The decision for a request like this one now, which is under its generation already; `before`: the generation of
    # the decision that it has.
    cdef void judge_again(self, Generation before, sl_decision *out) noexcept
    cdef void leave_provisional(self) noexcept
    cdef void leave_limits(self) noexcept
    cdef void decided(self, const sl_decision *decision) noexcept
    cdef void admitted(self) noexcept
    cdef unsigned rule_slot(self) noexcept
    cdef void count_decision(self) noexcept
    cdef void enlist(self) noexcept
    cdef void list_identity(self) noexcept
    cdef void relist(self, int state) noexcept
    cdef void carried(self, bint upward, uint64_t amount, uint64_t up, uint64_t down) noexcept
    # A leg of the tunnel that is about to be reset: where its peer has broken its TLS session, that is counted, as
    # `outcome`, and the close line says it.
    cdef void note_broken(self, const sl_leg *leg, int outcome) noexcept
    cdef void delist(self, int outcome) noexcept
    cdef str reason(self)
    cdef void write(self, sl_log_event event, int outcome, uint64_t up, uint64_t down) noexcept
    # `tls`: room for the facts of both legs.
    cdef void fill(self, sl_log_line *line, sl_log_tls *tls, sl_log_event event, int outcome) noexcept
    # One `refused` line, unless `source` (as limits know it) has had too many: no question was reached.
    cdef void write_refused(self, uint64_t source, int outcome, bytes tried, str detail) noexcept
    # A line that fill() has made, as the span of its trace, which is recorded.
    cdef void write_span(self, sl_log_event event, sl_log_line *line, bint secure) noexcept
    cdef bint is_recorded(self) noexcept
    cdef void name_rule(self, sl_log_line *line) noexcept
    cdef void identify(self, sl_log_line *line) noexcept

# Counts a request that was refused for its credentials; `reason`: an sl_reason, 0: as `tried` and `detail` tell.
cdef void count_login(WorkerParts parts, int reason, bytes tried, str detail) noexcept

# The `refused` line of what never became a request with a record; `sequence` is that of its answer's id, 0 = a new one.
# `tried`: the user that was named, unproven, or None; `detail`: the rule of the protocol that was broken, or None;
# `tls`: of its connection, or None; `reason`: a sl_reason, 0: as the outcome says.
cdef void log_refused(WorkerParts parts, int listener, int kind, const sl_addr *peer, uint16_t peer_port,
                      uint64_t source, uint64_t sequence, int outcome, bytes tried, str detail, TlsSession tls,
                      int reason) noexcept
