# A tunnel whose first client bytes are looked at before they leave (DECISIONS.md section 3).
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.csrc cimport sl_inner
from gateway.tunnel cimport Tunnel

cdef enum:
    INNER_TIMEOUT = 5000       # milliseconds a provisional tunnel has to show a name

cdef class InspectedTunnel(Tunnel):
    cdef uint8_t inner_mode    # sl_inner_mode while the first bytes are awaited; SL_INNER_UNSET once they are judged
    cdef uint8_t looks         # at what is held, so far; at most FREE_LOOKS
    cdef uint8_t provisional   # bool: asked by address, held both ways until the name is judged
    cdef uint8_t drained       # bool: whatever the client's socket will hold, a new edge tells of it
    cdef uint32_t seen         # bytes of the last look
    cdef bytes shown           # what was taken from the client and may matter for the name: the first bytes
    cdef uint32_t released     # how many of them went to the relay
    cdef uint64_t look_at      # loop milliseconds of the next look, when what came waits for it; 0: none

    # ---- the steps of a look: see inner.pyx --------------------------------------------------------------------------
    cdef void inspect_first(self, int listener_mode, bytes early) noexcept
    cdef void inspected_event(self, uint32_t events, int leg) noexcept
    cdef void inspected_timer(self) noexcept
    # Bytes have come: a look now, or soon when there were many already. False when the tunnel has ended, as for all
    # that answer a bool here.
    cdef bint look(self) noexcept
    cdef bint inspect(self) noexcept
    # What the client has sent and `shown` does not hold yet, looked at where it waits: as recv() answers. And its way
    # from there into `shown`.
    cdef ssize_t peek(self, uint8_t *buffer, size_t room) noexcept
    cdef void take_peeked(self, size_t length) noexcept
    # No answer: of `length` bytes, the first of which are `shown`, the harmless ones pass.
    cdef bint undecided(self, size_t length, const sl_inner *inner) noexcept
    cdef bint let_pass(self, size_t harmless, size_t kept) noexcept
    cdef void release(self, size_t until) noexcept
    cdef bint put_released(self) noexcept

    # ---- what shows, against what is expected ------------------------------------------------------------------------
    cdef bint judge(self, int status, sl_inner *inner) noexcept
    cdef bint judge_name(self, int status, sl_inner *inner) noexcept
    cdef bint judge_shown(self, int status, sl_inner *inner) noexcept
    cdef bint show_none(self, int status) noexcept
    # It speaks against the tunnel: a denial, or a report where the tunnel is audited.
    cdef bint disagree(self, int reason) noexcept
    cdef bint reject(self, int reason) noexcept
    cdef void accept_inner(self) noexcept
    cdef bint audited(self) noexcept
    cdef void leave_provisional(self) noexcept
