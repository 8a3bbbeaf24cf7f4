# One request for a tunnel, whatever protocol it came by: who asks, limits, credentials, the Opening, and the step from
# an answer to a tunnel. What the protocol has to say is left to subclasses: a connection, or a stream of one.
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from gateway.codec cimport Codec
from gateway.csrc cimport sl_addr
from gateway.inner cimport InspectedTunnel
from gateway.opening cimport Opening

cdef enum RequestState:
    READING = 0                # bytes of the request are missing
    VERIFYING = 1              # credentials are with the supervisor
    OPENING = 2                # decided, resolved, dialed by an Opening
    RELAYING = 3               # a tunnel
    LINGERING = 4              # refused; the answer is on its way, what still comes is dropped

cdef class Request(InspectedTunnel):
    cdef uint8_t state         # RequestState
    cdef uint8_t upstream_leg  # the dial that won, DIALED and up; 0: watched as UPSTREAM
    cdef uint8_t listener      # index into context.listeners
    cdef uint16_t peer_port
    cdef uint64_t source       # the peer, as limits know it
    cdef sl_addr peer
    cdef Opening opening
    cdef bytes user            # verified

    # One whose outcome is known goes on at once, through on_verified.
    cdef void verify(self, bytes user, bytes password) noexcept
    # The request is complete: `record` knows its target. `kind` is an sl_protocol.
    cdef void note(self, Codec codec, int kind) noexcept
    # From here on it is decided, resolved and dialed.
    cdef void open(self) noexcept
    # Refused before it was decided, for a limit: with its line, its counter, the limit's scope and an sl_reason.
    cdef void over_limit(self, int outcome, int scope, int reason) noexcept
    # The drain's time is up, and it was not opened: with its line, its counter and its scope.
    cdef void drained_away(self) noexcept
    # Whether it may still be opened while the gateway drains.
    cdef bint opens_late(self) noexcept
    # Ends an Opening that nobody waits for any more; with a line in the log.
    cdef void give_up(self) noexcept

    # ---- for subclasses --------------------------------------------------------------------------------------------
    # The upstream `fd` is connected and this is a tunnel: say so to the client. Answers the payload that came with the
    # request, or None.
    cdef bytes succeed(self, int fd)
    # Says what a refusal is by `outcome`; `rule` and `reason` may be None.
    cdef void refuse(self, int outcome, str rule, str reason) noexcept
    # refuse() with what the record knows.
    cdef void answer(self, int outcome) noexcept
