# The way to a destination through a parent gateway: over a connection of its own, or one that many tunnels share.
from libc.stdint cimport uint32_t

from gateway.c.judge cimport sl_decision
from gateway.c.leg cimport sl_leg
from gateway.dial.race cimport Race
from gateway.io.loop cimport Handler
from gateway.parent.parent cimport Parent, ParentRequest, ParentStep, ParentStream
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record

cdef class ParentWay:
    cdef Parent parent         # parent that is asked
    cdef ParentRequest asking  # request under way over a connection of its own; None: none
    cdef ParentStream parent_stream  # stream asked for on a shared connection; None: none
    cdef bint forwards         # the parent is sent a request instead of being asked for a tunnel
    cdef int outcome           # sl_outcome of PARENT_FAILED and PARENT_UNASKED
    cdef uint32_t events       # events of the leg, left to its next owner with PARENT_CONNECTED

    # Asks for the tunnel over a connected leg, which stays the caller's. Events of the leg are for on_event(), and
    # `events` were reported before.
    cdef ParentStep ask(self, WorkerParts parts, Record record, sl_leg *leg, uint32_t events) noexcept
    cdef ParentStep on_event(self, uint32_t events) noexcept
    # Sends the PROXY header that comes ahead of TLS, where the parent gets one; False when it could not.
    cdef bint announce(self, Record record, sl_leg *leg) noexcept
    # Asks for a way through one of the shared connections, which are dialed as they are needed: `owner` has a turn when
    # there is an answer, for on_turn(), which makes the leg, watched for the owner.
    cdef ParentStep ask_shared(self, WorkerParts parts, Record record, Handler owner) noexcept
    cdef ParentStep on_turn(self, WorkerParts parts, Record record, Handler owner, sl_leg *leg) noexcept
    cdef ParentStep stands(self, ParentStep step) noexcept
    # Whether an answer is awaited.
    cdef bint waits(self) noexcept
    cdef void give_up(self) noexcept

# To the parent `upstream` of a decision, which the race's record takes over. The parent's own addresses are the
# candidates from now on, as configured; an address that it is asked for is the first that might be dialed, as another
# would be another's decision. None where the active generation has no such parent, or without memory.
cdef ParentWay way_through(WorkerParts parts, Race race, const sl_decision *decision, const char *upstream)
