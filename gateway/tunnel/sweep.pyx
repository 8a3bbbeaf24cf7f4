"""Work over every live connection, in slices short enough that no turn of the loop grows long.

A sweep sees the connections that were there when it began; those that end meanwhile are passed over.
"""

cimport cython
from gateway.c.contract cimport SL_OUTCOME_KILLED, SL_OUTCOME_REVOKED
from gateway.c.segment cimport SL_LOG_INTERVAL
from gateway.io.loop cimport SLICE_US, clock_us
from gateway.state.record cimport Record


cdef class Sweep(Handler):
    """One pass over the tunnels of a parts; visit() is the work. Ends by itself and calls `on_finished()`."""

    def __init__(self, WorkerParts parts, on_finished=None):
        self.parts = parts
        self.on_finished = on_finished
        self.waiting = list(parts.roster.connections)

    def begin(self):
        """Starts in the next turn."""
        self.parts.loop.keep(self)
        self.parts.loop.later(self)

    cdef void meet(self, Handler connection) noexcept:
        """Visits what is a tunnel, and what may ask for something."""
        if isinstance(connection, Tunnel):
            self.visit(<Tunnel> connection)
        else:
            self.visit_opening(connection)

    cdef void visit(self, Tunnel tunnel) noexcept:
        """The work on one tunnel."""

    cdef void visit_opening(self, Handler request) noexcept:
        """The work on one that is not a tunnel yet."""

    cdef void on_turn(self) noexcept:
        cdef uint64_t until = clock_us() + SLICE_US
        cdef Handler connection
        while self.waiting:
            connection = self.waiting.pop()
            if not connection.closed:
                self.meet(connection)
            if clock_us() >= until:
                self.parts.loop.later(self)
                return
        self.close()

    cdef void close(self) noexcept:
        if not self.closed:
            self.closed = True
            self.waiting = []
            self.parts.loop.park(self)
            if self.on_finished is not None:
                self.on_finished()


@cython.final
cdef class Kill(Sweep):
    """Resets the one tunnel with `sequence`, if it still lives."""

    def __init__(self, WorkerParts parts, uint64_t sequence):
        Sweep.__init__(self, parts)
        self.sequence = sequence

    cdef void visit(self, Tunnel tunnel) noexcept:
        if tunnel.record.sequence == self.sequence:
            tunnel.end(SL_OUTCOME_KILLED, True)


@cython.final
cdef class IntervalLog(Sweep):
    """Writes the `interval` line of every tunnel that is older than one interval."""

    cdef void visit(self, Tunnel tunnel) noexcept:
        if self.parts.loop.now - tunnel.record.opened >= self.parts.settings.log_interval:
            tunnel.record.write(SL_LOG_INTERVAL, 0, tunnel.up.bytes, tunnel.down.bytes)


@cython.final
cdef class Expiry(Sweep):
    """Resets tunnels whose client's certificate or token is over, and was verified identity.maxAge ago (DECISIONS.md
    1)."""

    cdef void visit(self, Tunnel tunnel) noexcept:
        cdef Record record = tunnel.record
        cdef uint64_t most = self.parts.settings.identity_max_age
        if ((record.tls is not None and record.tls.is_spent(most))
                or (record.token is not None and record.token.is_spent(most))):
            record.expire()
            tunnel.end(SL_OUTCOME_REVOKED, True)


@cython.final
cdef class Look(Sweep):
    """Ends connections whose peers have stopped acknowledging (csrc/net/silence.h): `since` milliseconds after the last
    look. It costs a tunnel that moves bytes two system calls; one that is idle has none."""

    def __init__(self, WorkerParts parts, uint32_t since):
        Sweep.__init__(self, parts)
        self.since = since
        self.waiting += list(parts.roster.parents)

    cdef void meet(self, Handler connection) noexcept:
        connection.on_look(self.since)
