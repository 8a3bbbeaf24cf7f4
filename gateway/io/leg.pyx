"""Where legs begin. See leg.pxd.

Every leg of a socket is a plain one here. What stands on TLS becomes so where its handshake begins, which is not this
room's.
"""

from libc.stdint cimport uint32_t

from gateway.c.leg cimport SL_LEG_INSIDE, sl_plain_leg


cdef class LegEnd(Handler):
    """See leg.pxd. Its leg borrows it: it lives until the leg is closed."""

    cdef sl_leg leg(self, const sl_leg_table *table) noexcept:
        cdef sl_leg made
        self.transport.common.table = table
        self.transport.end = <void *> self
        made.transport, made.fd = &self.transport.common, SL_LEG_INSIDE
        return made

    cdef void tell(self, uint32_t events) noexcept:
        pass

    cdef void handed(self) noexcept:
        pass


cdef sl_leg leg_of(int fd) noexcept:
    return sl_plain_leg(fd)


cdef void hand_leg(Loop loop, sl_leg *leg, Handler handler, int number) noexcept:
    cdef LegEnd end
    if leg.fd >= 0:
        loop.pass_on(leg.fd, handler, number)
        return
    end = end_of(leg)
    end.front, end.number = handler, number
    end.handed()
