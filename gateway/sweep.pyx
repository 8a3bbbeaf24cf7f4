"""Work over every live connection, in slices short enough that no turn of the loop grows long.

A sweep sees the connections that were there when it began; those that end meanwhile are passed over.
"""

from gateway.csrc cimport SL_LOG_INTERVAL, SL_OUTCOME_KILLED
from gateway.loop cimport clock_us


cdef class Sweep(Handler):
    """One pass over the tunnels of a context; visit() is the work. Ends by itself and calls `on_finished()`."""

    def __init__(self, Context context, on_finished=None):
        self.context = context
        self.on_finished = on_finished
        self.waiting = list(context.connections)

    def begin(self):
        """Starts in the next turn."""
        self.context.loop.keep(self)
        self.context.loop.later(self)

    cdef void meet(self, Handler connection) noexcept:
        """Visits what is a tunnel; a connection of many tunnels is none itself."""
        if not isinstance(connection, Tunnel):
            return
        if (<Tunnel> connection).upstream >= 0:
            self.visit(<Tunnel> connection)
        else:
            self.visit_opening(<Tunnel> connection)

    cdef void visit(self, Tunnel tunnel) noexcept:
        """The work on one tunnel."""

    cdef void visit_opening(self, Tunnel request) noexcept:
        """The work on one that is no tunnel yet."""

    cdef void on_turn(self) noexcept:
        cdef uint64_t until = clock_us() + SLICE_US
        cdef Handler connection
        while self.waiting:
            connection = self.waiting.pop()
            if not connection.closed:
                self.meet(connection)
            if clock_us() >= until:
                self.context.loop.later(self)
                return
        self.close()

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.waiting = []
            self.context.loop.park(self)
            if self.on_finished is not None:
                self.on_finished()


cdef class Kill(Sweep):
    """Resets the one tunnel with `sequence`, if it still lives."""

    def __init__(self, Context context, uint64_t sequence):
        Sweep.__init__(self, context)
        self.sequence = sequence

    cdef void visit(self, Tunnel tunnel) noexcept:
        if tunnel.record.sequence == self.sequence:
            tunnel.end(SL_OUTCOME_KILLED, True)


cdef class IntervalLog(Sweep):
    """Writes the `interval` line of every tunnel that is older than one interval."""

    cdef void visit(self, Tunnel tunnel) noexcept:
        if self.context.loop.now - tunnel.record.opened >= self.context.log_interval:
            tunnel.record.write(SL_LOG_INTERVAL, 0, tunnel.up.bytes, tunnel.down.bytes)


cdef class Look(Sweep):
    """Ends connections whose peers have stopped acknowledging (csrc/silence.h): `since` milliseconds after the last
    look. It costs a tunnel that moves bytes two system calls; one that is idle has none."""

    def __init__(self, Context context, uint32_t since):
        Sweep.__init__(self, context)
        self.since = since
        self.waiting += list(context.apart)

    cdef void meet(self, Handler connection) noexcept:
        connection.on_look(self.since)
