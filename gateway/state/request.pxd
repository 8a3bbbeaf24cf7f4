# A request on its way, for those that answer it: the verifier of its credentials, its opening, a reload.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.judge cimport sl_decision
from gateway.c.leg cimport sl_leg
from gateway.io.loop cimport Handler
from gateway.parent.parent cimport ParentStream
from gateway.state.claims cimport Forwarded, Token
from gateway.tls.session cimport TlsSession

cdef enum RequestState:
    READING = 0                # bytes of the request are missing
    VERIFYING = 1              # credentials are with the supervisor
    OPENING = 2                # decided, resolved, dialed by an Opening
    LINGERING = 3              # refused, and the answer is on its way; or a tunnel has taken everything over

cdef enum KeptStep:
    KEPT_NONE = 0              # there is none: it dials
    KEPT_FOUND = 1
    KEPT_WAITS = 2             # for one, or for a place to dial: the opening goes on by go_on_pooled()
    KEPT_FULL = 3              # too many wait

# Every callback may come in every state: the request may have been refused before, by requestTimeout for example, and
# live on until its client has read the refusal.
cdef class Request(Handler):
    cdef uint8_t state         # RequestState
    cdef uint8_t listener      # index into parts.settings.listeners
    cdef uint8_t relayed       # bool: a PROXY header stood before it, and the peer may be the one that it names
    cdef uint16_t peer_port
    cdef uint64_t source       # the peer, as limits know it
    cdef sl_addr peer
    cdef bytes user            # verified by its password, or None
    cdef Token token           # verified, or None
    cdef Forwarded forwarded   # claims of a peer that may speak for others; None: none
    cdef TlsSession tls        # of its connection, once the handshake is done; None: cleartext
    cdef object inside         # Record of the tunnel that it comes in; None: it has a connection of its own

    # The password was verified: `result` is a Login of logins.pxd; `credential` tells which hash the password fits.
    cdef void on_verified(self, int result, uint64_t credential) noexcept
    # The token was verified; `token` is None but for LOGIN_RIGHT, and `reason` the sl_reason of LOGIN_WRONG.
    cdef void on_token(self, int result, Token token, int reason) noexcept
    # Of the next two exactly one is called, once. Connected: the leg is watched with LEG_EVENTS and the request's from
    # now on; `events` of it were reported and not acted upon. `parent_stream`: what the leg leads to; None: a socket.
    cdef void on_opened(self, sl_leg *leg, uint32_t events, ParentStream parent_stream) noexcept
    cdef void on_refused(self, int outcome) noexcept  # sl_outcome
    # Whether it waits for requests inside, where those alone can be let pass (sl_waits_for_http): then on_held follows
    # in place of the two. Nothing was dialed, and its place among the source's provisional tunnels is its record's.
    cdef bint may_be_held(self) noexcept
    cdef void on_held(self) noexcept
    # Its destination may be asked, by a decision of its generation. Whether it goes another way, and its opening is
    # cancelled; it may have set a detour.
    cdef bint diverts(self, const sl_decision *decision) noexcept
    # Whether it goes on over a connection that is kept, to a candidate of `race` (dial/race.pxd), whose addresses have
    # passed; `candidate`: which. on_kept follows in place of on_opened.
    cdef KeptStep finds_kept(self, object race, int *candidate) noexcept
    cdef void on_kept(self) noexcept
    # It has waited for such a connection, and may look again.
    cdef void on_pool(self) noexcept
    # The guard was lifted for the address that it goes to, as that of an endpoint.
    cdef void lifted(self) noexcept

# The facts of who asks, without what is asked: of another request, or of a new one.
cdef void copy_who(Request made, Request other) noexcept
cdef Request who_of(Request other)
