# Where legs begin: a descriptor that was accepted or dialed becomes one (csrc/relay/leg.h), and is read and written
# through it alone from then on. And legs without a socket, whose other end is in this process.
from libc.stdint cimport uint32_t

from gateway.c.leg cimport sl_leg, sl_leg_table, sl_transport
from gateway.io.loop cimport Handler, Loop

cdef struct LegTransport:
    sl_transport common        # first, as all transports begin
    void *end                  # the LegEnd, borrowed

# The other end of a leg without a socket. It gives the leg's events to what stands on the leg, where epoll does it for
# sockets: EPOLLIN for bytes, with EPOLLRDHUP for their end; EPOLLOUT for room; with EPOLLHUP and EPOLLERR it is broken.
cdef class LegEnd(Handler):
    cdef LegTransport transport
    cdef Handler front         # what stands on the leg; None: nothing, or the leg is closed
    cdef int number            # that it knows the leg by

    # The leg, with a const table of functions of this end's.
    cdef sl_leg leg(self, const sl_leg_table *table) noexcept
    # Gives events; an internal error on the way is the front's.
    cdef void tell(self, uint32_t events) noexcept
    # Something stands on the leg now: it is to be told of bytes that wait.
    cdef void handed(self) noexcept

# The leg of a connected or connecting socket, which owns it. No memory is taken for a plain one.
cdef sl_leg leg_of(int fd) noexcept
# Events of a leg are for `handler` from now on, which knows it as `number`. No edge of a socket is reported again.
cdef void hand_leg(Loop loop, sl_leg *leg, Handler handler, int number) noexcept
# The end of a leg that lies inside.
cdef inline LegEnd end_of(const sl_leg *leg):
    return <LegEnd> (<LegTransport *> leg.transport).end
