# Exported as gateway/io/leg.pxd exports its own.
from gateway.c.leg cimport sl_leg

cdef sl_leg leg_of(int fd) noexcept
