"""The inner phase: a tunnel's first client bytes are looked at before they leave (DECISIONS.md section 3).

* Asked by name: the SNI or Host inside must be the name asked for. What shows no name passes and is logged so. Bytes
  from the server are never held: server-first protocols work.
* Asked by address, where only a host rule could allow: both directions are held until a name is shown and judged like
  a request for it; none within five seconds is a denial.
* Bytes that begin like TLS or HTTP and stop are held, without a limit but the tunnel's own: a name that comes late
  must not slip past, and a prefix is not guilty. Of 64 KiB without a name it is denied. What could only become a
  request (a word, an id, the frames ahead of one) passes, and what follows is judged with it.

The bytes are peeked at where they wait in the kernel. Taken are early payload, what has passed and may matter yet, and
what is held beyond 16 KiB, which would close the client's window.

Each look reads from the start: after many fruitless ones the next waits for a time that grows with what is read.
"""

cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

from gateway.csrc cimport (
    SL_AUDIT, SL_DECISION_LOOK_INSIDE, SL_DECISION_PROVISIONAL, SL_DENY, SL_INNER_ENFORCE, SL_INNER_HTTP_NAME,
    SL_INNER_INTERNAL, SL_INNER_MALFORMED, SL_INNER_MAX, SL_INNER_MORE, SL_INNER_OFF, SL_INNER_OTHER, SL_INNER_TAIL,
    SL_INNER_TLS_NAME, SL_INNER_TOO_LONG, SL_INNER_UNSET, SL_NO_RULE, SL_OUTCOME_DENIED, SL_OUTCOME_RESET,
    SL_PHASE_INNER, SL_PUMP_BUDGET, SL_PUMP_FULL, SL_REASON_INNER_NAME_MISMATCH, SL_REASON_INNER_NAME_MISSING,
    SL_REASON_INNER_TOO_LONG, SL_REASON_SOURCE_ADDRESS, SL_SEC_RULES, SL_TUNNEL_PROVISIONAL, sl_decide_inner,
    sl_decision, sl_direction_preload, sl_direction_waits, sl_image_record, sl_inner_ended, sl_inner_read, sl_pump,
    sl_rule,
)
from gateway.loop cimport SCRATCH_SIZE
from gateway.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLRDHUP, MSG_DONTWAIT, recv
from gateway.source_pool cimport SourcePool
from gateway.tunnel cimport CLIENT, UPSTREAM

cdef extern from "<sys/socket.h>" nogil:
    enum:
        MSG_PEEK

cdef enum:
    WORD_MOST = 1048576        # bytes of a first word: more are no method of any server, as its head would be too long
    HELD_IN_KERNEL = 16384     # bytes that are held where they wait; more are taken
    FREE_LOOKS = 128           # fruitless ones, before the next one waits
    LOOK_SHARE = 128           # bytes of the last look for each millisecond that the next one waits


@cython.no_gc_clear
cdef class InspectedTunnel(Tunnel):
    """See inner.pxd. The base of connections whose payload may be looked at."""

    cdef void inspect_first(self, int listener_mode, bytes early) noexcept:
        """Begins, by the rule's innerName, else the listener's. `early`: payload that came with the request, or None.

        Called once both legs are watched.
        """
        cdef const sl_rule *rule
        cdef int mode = listener_mode
        self.shown = early if early is not None else b""
        self.provisional = self.record.decision.flags & SL_DECISION_PROVISIONAL
        if self.record.decision.rule != SL_NO_RULE:
            rule = <const sl_rule *> sl_image_record(&self.record.generation.image.image, SL_SEC_RULES,
                                                     self.record.decision.rule)
            if rule is not NULL and rule.inner != SL_INNER_UNSET:
                mode = rule.inner
        if self.provisional:
            mode = SL_INNER_ENFORCE
            self.record.relist(SL_TUNNEL_PROVISIONAL)
        elif self.record.name is None and self.record.decision.flags & SL_DECISION_LOOK_INSIDE:
            mode = SL_INNER_ENFORCE  # whatever innerName says: it is the policy that denies names
        elif self.record.name is None or mode == SL_INNER_OFF:
            self.release(PyBytes_GET_SIZE(self.shown))
            if not self.drained or sl_direction_waits(&self.up):
                self.pump(CLIENT)
            return
        self.inner_mode = mode
        if self.provisional:
            self.rearm()
        if self.shown or not self.drained:
            self.inspect()

    cdef void inspected_event(self, uint32_t events, int leg) noexcept:
        """relay_event for a tunnel that may be under inspection: of the client's bytes only released ones move."""
        if self.inner_mode == SL_INNER_UNSET:
            self.relay_event(events, leg)
            return
        self.note_end(events, leg)
        if leg == CLIENT:
            if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
                if not self.inspect():
                    return
            elif events & EPOLLIN and not self.look():
                return
            if self.inner_mode != SL_INNER_UNSET and sl_direction_waits(&self.down):
                self.pump(UPSTREAM)
        elif not self.provisional:
            if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) and not self.pump(UPSTREAM):
                return
            if sl_direction_waits(&self.up) and self.put_released() and not sl_direction_waits(&self.up):
                self.look()  # what came behind it has waited

    cdef void on_cut(self) noexcept:
        if self.provisional and self.inner_mode != SL_INNER_UNSET:
            self.end(SL_OUTCOME_RESET, True)  # nothing may leave before the name is judged
        else:
            Tunnel.on_cut(self)

    cdef uint64_t due(self) noexcept:
        cdef uint64_t at = Tunnel.due(self)
        if self.inner_mode != SL_INNER_UNSET:
            if self.provisional:
                at = min(at, self.record.opened + INNER_TIMEOUT)
            if self.look_at:
                at = min(at, self.look_at)
        return at

    cdef void inspected_timer(self) noexcept:
        cdef uint64_t now = self.context.loop.now
        if self.inner_mode != SL_INNER_UNSET:
            if self.provisional and now >= self.record.opened + INNER_TIMEOUT:
                self.record.inner = b"none"
                self.disagree(SL_REASON_INNER_NAME_MISSING)
                return
            if self.look_at and now >= self.look_at and not self.inspect():
                return
        self.relay_timer()

    cdef bint look(self) noexcept:
        if self.look_at:
            return True
        if self.looks < FREE_LOOKS:
            self.looks += 1
            return self.inspect()
        self.look_at = self.context.loop.now + 1 + self.seen // LOOK_SHARE
        self.rearm()
        return True

    cdef bint inspect(self) noexcept:
        """Looks at what the client has sent, all of it from the start."""
        cdef uint8_t *scratch = self.context.loop.scratch
        cdef sl_inner inner
        cdef size_t length = min(<size_t> PyBytes_GET_SIZE(self.shown), <size_t> SL_INNER_MAX)
        cdef ssize_t got
        cdef int status = SL_INNER_MORE
        cdef bint ended = False
        self.look_at = 0
        memcpy(scratch, PyBytes_AS_STRING(self.shown), length)
        if length < SL_INNER_MAX:
            got = self.peek(scratch + length, SL_INNER_MAX - length)
            # After an error the relay meets it too and carries it over as a reset.
            ended = got == 0 or (got < 0 and errno != EAGAIN)
            if got > 0:
                length += got
        ended = ended or (self.up.hangup and length < SL_INNER_MAX)
        if length:
            status = sl_inner_read(scratch, length, &inner)
        if status == SL_INNER_MORE and ended:
            if length == 0:
                status = SL_INNER_OTHER
            elif length + SL_INNER_TAIL > SCRATCH_SIZE:
                status = SL_INNER_TOO_LONG
            else:
                status = sl_inner_ended(scratch, length, &inner)
        if status != SL_INNER_MORE:
            return self.judge(status, &inner)
        return length == 0 or self.undecided(length, &inner)

    cdef ssize_t peek(self, uint8_t *buffer, size_t room) noexcept:
        cdef ssize_t got
        while True:
            got = recv(self.client, buffer, room, MSG_PEEK | MSG_DONTWAIT)
            if got >= 0 or errno != EINTR:
                return got

    cdef void take_peeked(self, size_t length) noexcept:
        cdef ssize_t got = recv(self.client, self.context.loop.scratch, length, MSG_DONTWAIT)
        if got > 0:
            self.shown = self.shown + self.context.loop.scratch[:got]

    cdef bint undecided(self, size_t length, const sl_inner *inner) noexcept:
        cdef size_t taken = PyBytes_GET_SIZE(self.shown)
        cdef size_t harmless = 0 if self.provisional else inner.harmless
        if length > self.seen:
            self.active = self.context.loop.now
        self.seen = <uint32_t> length
        if harmless > self.released and not sl_direction_waits(&self.up):
            if inner.word and self.up.bytes + harmless > WORD_MOST:
                return self.judge(SL_INNER_OTHER, <sl_inner *> inner)
            if length > taken:
                self.take_peeked(length - taken if length - harmless > HELD_IN_KERNEL else
                                 harmless - min(harmless, taken))
            if not self.let_pass(harmless, inner.kept):
                return False
            if length == SL_INNER_MAX:  # more may wait behind it, and no edge tells of that
                self.look_at = self.context.loop.now
                self.rearm()
        elif length - min(length, taken) > HELD_IN_KERNEL:
            self.take_peeked(length - taken)
        return True

    cdef bint let_pass(self, size_t harmless, size_t kept) noexcept:
        """The harmless bytes leave at once, and of them only those that may matter stay in `shown`."""
        self.looks = 0
        self.release(harmless)
        if kept < harmless:
            self.shown = self.shown[:kept] + self.shown[harmless:]
            self.released = <uint32_t> kept
            self.seen -= <uint32_t> (harmless - kept)
        return self.put_released()

    cdef void release(self, size_t until) noexcept:
        """Gives the relay what was shown up to there and not given yet."""
        if until > self.released:
            sl_direction_preload(&self.up, <const uint8_t *> PyBytes_AS_STRING(self.shown) + self.released,
                                 until - self.released)
            self.released = <uint32_t> until

    cdef bint put_released(self) noexcept:
        """Sends what the relay was given and reads nothing behind it (a budget of 0); False when the tunnel has
        ended."""
        cdef uint64_t before = self.up.bytes
        cdef int status = sl_pump(&self.up, self.client, self.upstream, self.context.loop.scratch, SCRATCH_SIZE, 0)
        self.record.carried(True, self.up.bytes - before, self.up.bytes, self.down.bytes)
        self.active = self.context.loop.now
        if status == SL_PUMP_BUDGET or status == SL_PUMP_FULL:
            return True
        self.end(SL_OUTCOME_RESET, True)
        return False

    cdef bint disagree(self, int reason) noexcept:
        """A denial where the name is enforced, a report elsewhere."""
        if self.inner_mode == SL_INNER_ENFORCE and not self.audited():
            return self.reject(reason)
        self.record.decision.verdict = SL_AUDIT
        self.record.decision.would_deny = True
        self.record.decision.phase = SL_PHASE_INNER
        self.record.decision.reason = reason
        self.record.count_decision()
        self.accept_inner()
        return not self.closed

    cdef bint judge(self, int status, sl_inner *inner) noexcept:
        """An answer: what shows, against what this tunnel is to show."""
        if status == SL_INNER_TOO_LONG:
            self.record.inner = b"none"
            return self.disagree(SL_REASON_INNER_TOO_LONG)
        if self.record.name is None:
            return self.judge_shown(status, inner)
        return self.judge_name(status, inner)

    cdef bint judge_name(self, int status, sl_inner *inner) noexcept:
        """Against the name asked for."""
        cdef bytes asked = self.record.name
        cdef bint shown = status == SL_INNER_TLS_NAME or status == SL_INNER_HTTP_NAME
        cdef bint malformed = status == SL_INNER_MALFORMED or status == SL_INNER_INTERNAL
        if shown:
            self.record.inner = inner.name[:inner.name_length] if inner.name_length else b"address"
        else:
            self.record.inner = b"malformed" if malformed else b"none"
        if malformed or shown and (
                inner.name_length != <size_t> PyBytes_GET_SIZE(asked)
                or memcmp(inner.name, PyBytes_AS_STRING(asked), inner.name_length) != 0):
            return self.disagree(SL_REASON_INNER_NAME_MISMATCH)
        self.accept_inner()
        return not self.closed

    cdef bint audited(self) noexcept:
        """Listener, namespace or mesh is in audit mode: a denial of this phase is reported, not enforced."""
        self.record.resolve_source()
        return self.context.listener_audits(self.record.listener) or self.context.source.audit

    cdef bint judge_shown(self, int status, sl_inner *inner) noexcept:
        """What was asked for by address. Provisional: as if the name shown had been asked for, so only a host rule, or
        audit mode, lets it pass. Passed already: only a rule about the name turns that."""
        cdef sl_decision decision
        cdef SourcePool pool
        if (status != SL_INNER_TLS_NAME and status != SL_INNER_HTTP_NAME) or inner.name_length == 0:
            if self.provisional:
                self.record.inner = b"none"
                return self.disagree(SL_REASON_INNER_NAME_MISSING)
            return self.show_none(status)
        self.record.inner = inner.name[:inner.name_length]
        self.record.names_itself = True
        self.record.resolve_source()
        sl_decide_inner(&self.record.generation.image.image, &self.context.source, &self.record.decision, inner.name,
                        inner.name_length, self.record.port, self.context.listener_audits(self.record.listener),
                        &decision, NULL)
        if decision.verdict == SL_DENY:
            self.record.decided(&decision)
            return self.reject(decision.reason)
        if self.provisional:
            self.record.decided(&decision)
            # Dialed before any rule was known: what the system chose may be what the rule asks for, or not.
            pool = self.record.generation.pool(decision.rule)
            if pool is not None and not pool.has(self.upstream):
                return self.reject(SL_REASON_SOURCE_ADDRESS)
            self.record.admitted()
            self.record.count_decision()
        elif decision.phase == SL_PHASE_INNER:  # reported; onRevoke stays that of the rule that admitted it
            self.record.decided(&decision)
            self.record.count_decision()
            self.relist()
        self.accept_inner()
        return not self.closed

    cdef bint show_none(self, int status) noexcept:
        """A tunnel that passed by its address, and shows no name that a rule could be about."""
        if status == SL_INNER_MALFORMED or status == SL_INNER_INTERNAL:  # another reader may find a name in it
            self.record.inner = b"malformed"
            return self.disagree(SL_REASON_INNER_NAME_MISMATCH)
        self.record.inner = b"address" if status == SL_INNER_TLS_NAME or status == SL_INNER_HTTP_NAME else b"none"
        self.accept_inner()
        return not self.closed

    cdef bint reject(self, int reason) noexcept:
        """Success was answered before: all that is left to say is a reset."""
        self.record.decision.verdict = SL_DENY
        self.record.decision.would_deny = False
        self.record.decision.phase = SL_PHASE_INNER
        self.record.decision.reason = reason
        self.record.count_decision()
        self.leave_provisional()
        self.end(SL_OUTCOME_DENIED, True)
        return False

    cdef void accept_inner(self) noexcept:
        """Judged: from here on a plain relay."""
        cdef bint held = self.provisional
        self.leave_provisional()
        self.inner_mode = SL_INNER_UNSET
        self.release(PyBytes_GET_SIZE(self.shown))
        self.shown = None
        if held:
            self.active = self.context.loop.now
            self.rearm()
            self.relist()
        if self.pump(CLIENT) and held:
            self.pump(UPSTREAM)

    cdef void leave_provisional(self) noexcept:
        self.provisional = False
        self.record.leave_provisional()
