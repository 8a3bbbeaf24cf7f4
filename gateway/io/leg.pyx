"""Where legs begin. See leg.pxd.

Every leg is a plain one here. What stands on TLS becomes so where its handshake begins, which is not this room's.
"""

from gateway.c.leg cimport sl_plain_leg


cdef sl_leg leg_of(int fd) noexcept:
    return sl_plain_leg(fd)
