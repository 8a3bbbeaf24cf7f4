"""Handlers that take their time, on a loop without a gateway around it."""

from libc.stdint cimport uint64_t

from gateway.io.loop cimport Handler, Loop, clock_us


cdef class Slow(Handler):
    """Takes `burn` microseconds of each turn that it asked for, notes its name in `served`, and asks again `again`
    times."""

    cdef Loop loop
    cdef uint64_t burn
    cdef int again
    cdef readonly str name
    cdef list served

    def __init__(self, Loop loop, str name, list served, uint64_t burn, int again=0):
        self.loop, self.name, self.served, self.burn, self.again = loop, name, served, burn, again

    def ask(self):
        self.loop.later(self)

    cdef void on_turn(self) noexcept:
        cdef uint64_t until = clock_us() + self.burn
        self.served.append(self.name)
        if self.again:
            self.again -= 1
            self.loop.later(self)
        while clock_us() < until:
            pass


def turn(Loop loop):
    """One turn. The caller has seen to it that there is something to do."""
    loop.turn()
