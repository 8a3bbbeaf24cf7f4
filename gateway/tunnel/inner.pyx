"""The inner phase: a tunnel's first client bytes are looked at before they leave (DECISIONS.md section 3).

* Asked by name: the SNI or Host inside must be the name asked for. What shows no name passes and is logged so. Bytes
  from the server are never held: server-first protocols work.
* Asked by address, where only a host rule could allow: both directions are held until a name is shown and judged like
  a request for it; none within five seconds is a denial.
* A rule that demands a protocol (`inner`) holds the client's bytes until it shows, five seconds at most. Of a dialog
  ahead of TLS (STARTTLS) all bytes pass, and the ClientHello behind it is held.
* Bytes that begin like TLS or HTTP and stop are held, without a limit but the tunnel's own: a name that comes late
  must not slip past, and a prefix is not guilty. Of 64 KiB without a name it is denied. What could only become a
  request (a word, an id, the frames ahead of one) passes, and what follows is judged with it.

The bytes are peeked at where they wait, in the kernel or in the leg. Taken are early payload, what has passed and may
matter yet, and what is held beyond 16 KiB, which would close the client's window.

Each look reads from the start: after many fruitless ones the next waits for a time that grows with what is read.
"""

from libc.stdint cimport UINT64_MAX, uint32_t, uint64_t
from libc.string cimport memcpy
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE

cimport cython

from gateway.c.contract cimport (
    SL_DENY, SL_INNER_PROTOCOL_ANY, SL_OUTCOME_DENIED, SL_PHASE_INNER, SL_REASON_SOURCE_ADDRESS,
)
from gateway.c.judge cimport (
    SL_DECISION_BY_PROTOCOL, SL_DECISION_PROVISIONAL, SL_NEEDS_PROTOCOL, SL_SHOWS_HTTP, SL_SHOWS_LATE,
    SL_SHOWS_MALFORMED, SL_SHOWS_OTHER, SL_SHOWS_SSH, SL_SHOWS_TLS, SL_SHOWS_TOO_LONG, sl_decision, sl_judge,
    sl_judged_protocol, sl_question, sl_waits_for_http,
)
from gateway.c.inner cimport (
    SL_INNER_HTTP_NAME, SL_INNER_HTTP_NONE, SL_INNER_MAX, SL_INNER_MORE, SL_INNER_OTHER, SL_INNER_TAIL,
    SL_INNER_TLS_NAME, SL_INNER_TLS_NONE, SL_INNER_TOO_LONG, sl_inner_ended, sl_inner_read,
)
from gateway.c.relay cimport sl_direction_preload, sl_direction_waits
from gateway.c.segment cimport SL_TUNNEL_PROVISIONAL
from gateway.io.loop cimport SCRATCH_SIZE
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLRDHUP
from gateway.parent.source_pool cimport SourcePool
from gateway.state.record cimport Record
from gateway.tunnel.states cimport (
    INSPECTION_DENIED, INSPECTION_HOLDING, INSPECTION_PASSED,
)
from gateway.tunnel.tunnel cimport CLIENT, UPSTREAM

cdef enum:
    WORD_MOST = 1048576        # bytes of a first word: more are no method of any server, as its head would be too long
    HELD_IN_KERNEL = 16384     # bytes that are held where they wait; more are taken
    DIALOG_MOST = 16384        # bytes of the server's, behind which no ClientHello follows a dialog
    FREE_LOOKS = 128           # fruitless ones, before the next one waits
    LOOK_SHARE = 128           # bytes of the last look for each millisecond that the next one waits


cdef int shows(int status, bint ssh) noexcept:
    """sl_shows of what was read (csrc/bytes/inner.h)."""
    if status == SL_INNER_OTHER and ssh:
        return SL_SHOWS_SSH
    if status == SL_INNER_TLS_NAME or status == SL_INNER_TLS_NONE:
        return SL_SHOWS_TLS
    if status == SL_INNER_HTTP_NAME or status == SL_INNER_HTTP_NONE:
        return SL_SHOWS_HTTP
    if status == SL_INNER_TOO_LONG:
        return SL_SHOWS_TOO_LONG
    return SL_SHOWS_OTHER if status == SL_INNER_OTHER else SL_SHOWS_MALFORMED


cdef void inspect_first(Tunnel tunnel, bytes early, bint drained) noexcept:
    cdef const sl_decision *decision = &tunnel.record.decision
    cdef InnerCheck check
    if not decision.needs & SL_NEEDS_PROTOCOL:
        if early is not None:
            sl_direction_preload(&tunnel.up, <const uint8_t *> PyBytes_AS_STRING(early), PyBytes_GET_SIZE(early))
        if not drained or early is not None:
            tunnel.pump(CLIENT)
        return
    check = InnerCheck.__new__(InnerCheck)
    check.shown = early if early is not None else b""
    tunnel.inspection = check
    if decision.flags & SL_DECISION_PROVISIONAL:
        check.state = INSPECTION_HOLDING
        tunnel.record.relist(SL_TUNNEL_PROVISIONAL)
        tunnel.rearm()
    elif (decision.flags & SL_DECISION_BY_PROTOCOL
            or sl_judged_protocol(&tunnel.record.generation.image.image, decision) != SL_INNER_PROTOCOL_ANY):
        check.demands = True
        tunnel.rearm()
    if check.shown or not drained:
        check.inspect(tunnel)


cdef bint is_late(Tunnel tunnel) noexcept:
    """Whether a name that has to show did not in time."""
    return tunnel.parts.loop.now >= tunnel.record.opened + INNER_TIMEOUT


cdef bint has_source(Tunnel tunnel) noexcept:
    """Dialed before any rule was known: the source address that the system chose may be what the rule asks for, or
    not."""
    cdef SourcePool pool = tunnel.record.generation.pool(&tunnel.record.decision)
    return pool is None or pool.has(tunnel.upstream.fd)


@cython.final
cdef class InnerCheck(Inspection):
    """See inner.pxd."""

    cdef void on_event(self, Tunnel tunnel, uint32_t events, int leg) noexcept:
        """Of the client's bytes only released ones move."""
        cdef bint holding = self.state == INSPECTION_HOLDING
        if leg == CLIENT:
            if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
                if not self.inspect(tunnel):
                    return
            elif events & EPOLLIN and not self.look(tunnel):
                return
            if self.state <= INSPECTION_HOLDING and sl_direction_waits(&tunnel.down):
                if holding:
                    tunnel.put_pending(CLIENT)  # the rest of the answer, which the client did not take yet
                else:
                    tunnel.pump(UPSTREAM)
        elif not holding:
            if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR) and not tunnel.pump(UPSTREAM):
                return
            if (sl_direction_waits(&tunnel.up) and tunnel.put_pending(UPSTREAM)
                    and not sl_direction_waits(&tunnel.up)):
                self.look(tunnel)  # what came behind it has waited

    cdef uint64_t due(self, Tunnel tunnel) noexcept:
        cdef uint64_t at = self.look_at if self.look_at else UINT64_MAX
        cdef bint waits = self.demands or self.state == INSPECTION_HOLDING
        return min(at, tunnel.record.opened + INNER_TIMEOUT) if waits else at

    cdef bint on_time(self, Tunnel tunnel) noexcept:
        if (self.demands or self.state == INSPECTION_HOLDING) and is_late(tunnel):
            return self.judge(tunnel, SL_SHOWS_LATE, NULL)
        return not (self.look_at and tunnel.parts.loop.now >= self.look_at) or self.inspect(tunnel)

    cdef bint take(self, Tunnel tunnel, bytes more, bint ended) noexcept:
        if more is not None:
            self.shown = self.shown + more
        return self.inspect(tunnel) if ended else self.look(tunnel)

    cdef bint look(self, Tunnel tunnel) noexcept:
        if self.look_at:
            return True
        if self.looks < FREE_LOOKS:
            self.looks += 1
            return self.inspect(tunnel)
        self.look_at = tunnel.parts.loop.now + 1 + self.seen // LOOK_SHARE
        tunnel.rearm()
        return True

    cdef bint inspect(self, Tunnel tunnel) noexcept:
        """Looks at what the client has sent, all of it from the start."""
        cdef uint8_t *scratch = tunnel.parts.loop.scratch
        cdef sl_inner inner
        cdef size_t length = min(<size_t> PyBytes_GET_SIZE(self.shown), <size_t> SL_INNER_MAX)
        cdef ssize_t got
        cdef int status = SL_INNER_MORE
        cdef bint named, ended = False
        self.look_at = inner.ssh = inner.ech = 0
        memcpy(scratch, PyBytes_AS_STRING(self.shown), length)
        if length < SL_INNER_MAX:
            got = tunnel.peek(scratch + length, SL_INNER_MAX - length, &ended)
            if got > 0:
                length += got
        if length:
            status = sl_inner_read(scratch, length, &inner)
        if length and inner.dialog and tunnel.down.bytes > DIALOG_MOST:
            status = SL_INNER_OTHER
        if status == SL_INNER_MORE and ended:
            if length == 0:
                return self.judge(tunnel, SL_SHOWS_LATE, NULL)
            if length + SL_INNER_TAIL > SCRATCH_SIZE:
                status = SL_INNER_TOO_LONG
            else:
                status = sl_inner_ended(scratch, length, &inner)
        if status != SL_INNER_MORE:
            named = status == SL_INNER_TLS_NAME or status == SL_INNER_HTTP_NAME
            tunnel.record.ech = inner.ech
            return self.judge(tunnel, shows(status, inner.ssh), &inner if named else NULL)
        return length == 0 or self.undecided(tunnel, length, &inner)

    cdef void take_peeked(self, Tunnel tunnel, size_t length) noexcept:
        cdef uint8_t *scratch = tunnel.parts.loop.scratch
        self.shown = self.shown + scratch[:tunnel.receive(scratch, length)]

    cdef bint undecided(self, Tunnel tunnel, size_t length, const sl_inner *inner) noexcept:
        cdef size_t taken = PyBytes_GET_SIZE(self.shown)
        cdef bint waits = self.state == INSPECTION_HOLDING or (self.demands and not inner.dialog)
        cdef size_t harmless = 0 if waits else inner.harmless
        if length > self.seen:
            tunnel.active = tunnel.parts.loop.now
        self.seen = <uint32_t> length
        if harmless > self.released and not sl_direction_waits(&tunnel.up):
            if inner.word and tunnel.up.bytes + harmless > WORD_MOST:
                return self.judge(tunnel, SL_SHOWS_OTHER, NULL)
            if length > taken:
                self.take_peeked(tunnel, length - taken if length - harmless > HELD_IN_KERNEL else
                                 harmless - min(harmless, taken))
            if not self.let_pass(tunnel, harmless, inner.kept):
                return False
            if length == SL_INNER_MAX:  # more may wait behind it, and no edge tells of that
                self.look_at = tunnel.parts.loop.now
                tunnel.rearm()
        elif length - min(length, taken) > HELD_IN_KERNEL:
            self.take_peeked(tunnel, length - taken)
        return True

    cdef bint let_pass(self, Tunnel tunnel, size_t harmless, size_t kept) noexcept:
        """The harmless bytes leave at once, and of them only those that may matter stay in `shown`."""
        self.looks = 0
        self.release(tunnel, harmless)
        if kept < harmless:
            self.shown = self.shown[:kept] + self.shown[harmless:]
            self.released = <uint32_t> kept
            self.seen -= <uint32_t> (harmless - kept)
        return tunnel.put_pending(UPSTREAM)

    cdef void release(self, Tunnel tunnel, size_t until) noexcept:
        """Gives the relay what was shown up to there and not given yet."""
        if until > self.released:
            sl_direction_preload(&tunnel.up, <const uint8_t *> PyBytes_AS_STRING(self.shown) + self.released,
                                 until - self.released)
            self.released = <uint32_t> until

    cdef bint judge(self, Tunnel tunnel, int shows, sl_inner *inner) noexcept:
        """An answer: what shows (sl_shows), against what this tunnel is to show; `inner` is NULL where no name does."""
        cdef Record record = tunnel.record
        cdef sl_question question
        cdef sl_decision decision
        record.question(&question)
        question.shows = record.shown = <uint8_t> shows
        question.ech = record.ech
        if inner is not NULL:
            question.inner, question.inner_length = inner.name, inner.name_length
            record.names_itself = record.name is None and inner.name_length > 0
        record.inner = self.inner_text(&question)
        sl_judge(&record.generation.image.image, &question, SL_PHASE_INNER, &record.decision, &decision, NULL)
        if decision.verdict == SL_DENY:
            record.decided(&decision)
            return self.carry(tunnel) if self.may_carry(tunnel) else self.reject(tunnel)
        if self.state == INSPECTION_HOLDING:
            record.decided(&decision)
            if not has_source(tunnel):
                record.decision.verdict, record.decision.would_deny = SL_DENY, False
                record.decision.reason = SL_REASON_SOURCE_ADDRESS
                return self.reject(tunnel)
            record.admitted()
            record.count_decision()
        elif decision.phase == SL_PHASE_INNER:  # reported; onRevoke stays that of the rule that admitted it
            record.decided(&decision)
            record.count_decision()
            tunnel.relist()
        self.accept(tunnel)
        return not tunnel.closed

    cdef bytes inner_text(self, const sl_question *question):
        """The name or its absence, as the log says it."""
        if question.inner_length:
            return question.inner[:question.inner_length]
        if self.state == INSPECTION_HOLDING:
            return b"none"
        if question.inner is not NULL:
            return b"address"
        return b"malformed" if question.shows == SL_SHOWS_MALFORMED else b"none"

    cdef bint may_carry(self, Tunnel tunnel) noexcept:
        """Whether it goes on as requests: only their conditions deny it, and none of its bytes has gone either way."""
        return (sl_waits_for_http(&tunnel.record.decision) and tunnel.record.shown == SL_SHOWS_HTTP
                and tunnel.record.name is not None and self.released == 0 and tunnel.down.bytes == 0
                and not sl_direction_waits(&tunnel.down))

    cdef bint carry(self, Tunnel tunnel) noexcept:
        """All that the client has sent goes along."""
        self.take_peeked(tunnel, SCRATCH_SIZE)
        self.move(tunnel, INSPECTION_DENIED)
        tunnel.carry_requests(self.shown)
        return False

    cdef bint reject(self, Tunnel tunnel) noexcept:
        """Success was answered before: all that is left is a reset."""
        tunnel.record.count_decision()
        tunnel.record.leave_provisional()
        self.move(tunnel, INSPECTION_DENIED)
        tunnel.end(SL_OUTCOME_DENIED, True)
        return False

    cdef void accept(self, Tunnel tunnel) noexcept:
        """Judged: from here on a plain relay, and this is over."""
        cdef bint held = self.state == INSPECTION_HOLDING
        tunnel.record.leave_provisional()
        self.move(tunnel, INSPECTION_PASSED)
        self.release(tunnel, PyBytes_GET_SIZE(self.shown))
        tunnel.inspection = None
        if held:
            tunnel.active = tunnel.parts.loop.now
            tunnel.rearm()
            tunnel.relist()
        if tunnel.pump(CLIENT) and held:
            tunnel.pump(UPSTREAM)
