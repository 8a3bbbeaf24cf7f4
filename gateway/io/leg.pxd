# Where legs begin: a descriptor that was accepted or dialed becomes one (csrc/relay/leg.h), and is read and written
# through it alone from then on.
from gateway.c.leg cimport sl_leg

# The leg of a connected or connecting socket, which owns it. No memory is taken for a plain one.
cdef sl_leg leg_of(int fd) noexcept
