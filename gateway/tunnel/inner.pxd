# The inner phase: a tunnel's first client bytes are looked at before they leave (DECISIONS.md section 3).
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.inner cimport sl_inner
from gateway.c.judge cimport sl_question
from gateway.tunnel.tunnel cimport Inspection, Tunnel

cdef enum:
    INNER_TIMEOUT = 5000       # milliseconds a provisional tunnel has to show a name

# Begins, where the decision needs to know what shows; else the relay does. `early`: payload that came with the request,
# or None; `drained`: a new edge announces what the client's end will hold. The tunnel has begun.
cdef void inspect_first(Tunnel tunnel, bytes early, bint drained) noexcept

cdef class InnerCheck(Inspection):
    cdef bint demands          # a protocol, until which bytes of the client are held
    cdef uint8_t looks         # number of looks so far, at most FREE_LOOKS
    cdef uint32_t seen         # bytes of the last look
    cdef bytes shown           # first bytes that were taken from the client and may matter for the name
    cdef uint32_t released     # number of those that went to the relay
    cdef uint64_t look_at      # loop milliseconds of the next look, where bytes wait for it; 0: none

    # ---- the steps of a look: see inner.pyx. False when the tunnel has ended, as for all that answer a bool here. ----
    # Bytes have come: a look now, or soon when there were many already.
    cdef bint look(self, Tunnel tunnel) noexcept
    cdef bint inspect(self, Tunnel tunnel) noexcept
    # No answer: of `length` bytes, the first of which are `shown`, the harmless ones pass.
    cdef bint undecided(self, Tunnel tunnel, size_t length, const sl_inner *inner) noexcept
    cdef void take_peeked(self, Tunnel tunnel, size_t length) noexcept
    cdef bint let_pass(self, Tunnel tunnel, size_t harmless, size_t kept) noexcept
    cdef void release(self, Tunnel tunnel, size_t until) noexcept

    # ---- what shows, against what is expected ------------------------------------------------------------------------
    cdef bint judge(self, Tunnel tunnel, int shows, sl_inner *inner) noexcept
    cdef bytes inner_text(self, const sl_question *question)
    cdef bint may_carry(self, Tunnel tunnel) noexcept
    cdef bint carry(self, Tunnel tunnel) noexcept
    cdef bint reject(self, Tunnel tunnel) noexcept
    cdef void accept(self, Tunnel tunnel) noexcept
