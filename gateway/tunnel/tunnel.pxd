# The common part of all tunnels: two directions, time limits, judging again, the end. The client's end is the leaves':
# a socket (socket_tunnel.pxd), or a stream of an HTTP/2 connection (downstream/http2/tunnel.pxd).
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.leg cimport sl_leg
from gateway.c.relay cimport sl_direction
from gateway.io.loop cimport Handler
from gateway.parent.parent cimport ParentStream
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.tunnel.beginnings cimport LegState
from gateway.tunnel.states cimport InspectionState

cdef enum Leg:
    CLIENT = 0
    UPSTREAM = 1

# A look at a tunnel's first bytes (inner.pxd): as long as a tunnel has one, its events and times are that one's as
# well. Dropped with the verdict. All answers are False when the tunnel has ended.
cdef class Inspection:
    cdef uint8_t state         # InspectionState

    cdef void move(self, Tunnel tunnel, InspectionState state) except *
    cdef void on_event(self, Tunnel tunnel, uint32_t events, int leg) noexcept
    # Loop milliseconds of its next deadline, UINT64_MAX for none; and that it may be due.
    cdef uint64_t due(self, Tunnel tunnel) noexcept
    cdef bint on_time(self, Tunnel tunnel) noexcept
    # Bytes of the client that wait nowhere else; `ended` behind the last one.
    cdef bint take(self, Tunnel tunnel, bytes more, bint ended) noexcept

cdef class Tunnel(Handler):
    cdef uint8_t again         # bit per leg: the budget of the turn stopped its direction
    cdef uint8_t fresh         # bool: the upstream has no keepalive yet, which lasting tunnels alone get
    cdef uint8_t broken        # bool: the stream to a parent is gone: the tunnel ends behind what was received before
    cdef uint8_t silence[2]    # by leg: what was seen of its acknowledgements (silence.h)
    cdef WorkerParts parts
    cdef Record record
    cdef ParentStream parent_stream  # stream to a parent behind the upstream; None: the upstream is a socket of its own
    cdef Inspection inspection  # look at the first bytes; None: over, or not needed
    cdef sl_leg upstream       # leg to the origin, or to the parent
    cdef sl_direction up       # bytes from the client to the upstream
    cdef sl_direction down     # bytes from the upstream to the client
    cdef uint64_t active       # loop milliseconds of the last byte
    cdef uint64_t deadline     # loop milliseconds when a revoked tunnel ends; 0: not revoked

    # In place of the request `request`; the leg is the tunnel's from now on, watched.
    cdef void take_over(self, Handler request, Record record, sl_leg *leg, ParentStream parent_stream) noexcept
    # From now on bytes flow.
    cdef void begin(self) noexcept
    cdef void note_end(self, uint32_t events, int leg) noexcept
    cdef void look(self, uint32_t since, int client) noexcept
    cdef void carried(self, bint upward, uint64_t amount) noexcept
    cdef bint half_closed(self, bint other_done) noexcept
    cdef uint64_t quiet_limit(self) noexcept
    # Loop milliseconds of the earliest deadline: the one that rearm() arms the tunnel's timer for. Whatever adds a
    # deadline says so here, and nothing else arms the timer of a tunnel.
    cdef uint64_t due(self) noexcept
    cdef void rearm(self) noexcept
    cdef void relist(self) noexcept
    cdef void revoke_in(self, uint64_t delay) noexcept
    cdef void break_off(self) noexcept
    cdef void end(self, int outcome, bint reset) noexcept

    # What it carries is HTTP, of which each request is to be judged by itself: it ends, nothing was sent to the origin,
    # and the client goes on as a connection of requests (beginnings.pxd). `first`: bytes that were taken from it.
    cdef void carry_requests(self, bytes first) noexcept

    # ---- of the client's end ---------------------------------------------------------------------------------------
    # Carries bytes from `leg` to the other one; False when the tunnel ended in this call.
    cdef bint pump(self, int leg) noexcept
    # The client's bytes that are not taken yet, looked at where they wait: as sl_leg_peek answers. `ended`: no more
    # will come, or how they end is for the relay to carry over.
    cdef ssize_t peek(self, uint8_t *buffer, size_t room, bint *ended) noexcept
    # Takes bytes that peek() showed; how many.
    cdef size_t receive(self, uint8_t *buffer, size_t length) noexcept
    # Sends what waits for `leg` and reads nothing behind it; False when the tunnel has ended.
    cdef bint put_pending(self, int leg) noexcept
    # The client's end, which is another one's from now on; nothing waits for it.
    cdef sl_leg give_client(self, LegState *state) noexcept
    cdef void close_legs(self, int outcome, bint reset) noexcept
    # The last step of every end, when the tunnel is gone.
    cdef void left(self) noexcept
