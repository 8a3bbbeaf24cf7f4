# The inner phase: a tunnel's first client bytes are looked at before they leave (DECISIONS.md section 3).
from libc.stdint cimport uint8_t, uint32_t

from gateway.csrc cimport sl_inner
from gateway.tunnel cimport Tunnel

cdef enum:
    INNER_TIMEOUT = 5000       # milliseconds to show a name, once one is awaited

cdef class InspectedTunnel(Tunnel):
    cdef uint8_t inner_mode    # sl_inner_mode while the first bytes are awaited; SL_INNER_UNSET once they are judged
    cdef bint provisional      # asked by address, held both ways until the name is judged
    cdef bint drained          # whatever the client's socket will hold, a new edge tells of it
    cdef bint waiting          # the time for the rest of a begun ClientHello or request head is running

    cdef bytes shown           # what was taken from the client and may matter for the name: the first bytes
    cdef Py_ssize_t released   # how many of them went to the relay

    cdef void inspect_first(self, int listener_mode, bytes early) noexcept
    cdef void inspected_event(self, uint32_t events, int leg) noexcept
    cdef void inspected_timer(self) noexcept
    # What the client has sent and `shown` does not hold yet, looked at where it waits: as recv() answers. And its way
    # from there into `shown`.
    cdef ssize_t peek(self, uint8_t *buffer, size_t room) noexcept
    cdef void take_peeked(self, size_t length) noexcept
    cdef bint inspect(self) noexcept
    cdef bint let_pass(self, const uint8_t *data, size_t length, size_t peeked) noexcept
    cdef void release(self) noexcept
    cdef bint put_released(self) noexcept
    cdef bint disagree(self, int reason) noexcept
    cdef bint overdue(self) noexcept
    cdef bint judge_name(self, int status, sl_inner *inner) noexcept
    cdef bint judge_provisional(self, int status, sl_inner *inner) noexcept
    cdef bint reject(self, int reason) noexcept
    cdef void accept_inner(self) noexcept
    cdef bint audited(self) noexcept
    cdef void leave_provisional(self) noexcept
