"""The connections of a worker, and whether it drains. See roster.pxd."""

from itertools import islice

cimport cython

from gateway.c.segment cimport (
    SL_COUNTER_CONNECTIONS_OPEN, SL_COUNTER_HTTP2_CONNECTIONS, SL_COUNTER_HTTP2_CONNECTIONS_OPEN,
    SL_COUNTER_HTTP2_STREAMS, SL_COUNTER_HTTP2_STREAMS_OPEN, SL_COUNTER_PARENTS, SL_COUNTER_PARENTS_OPEN,
    SL_COUNTER_TUNNELS_OPEN, SL_COUNTER_TUNNELS_TOTAL,
)


@cython.final
cdef class Roster:
    """`files` are told of each that comes and goes, and the gauges of `meter` follow."""

    def __cinit__(self, Meter meter, FileBudget files):
        self.meter, self.files = meter, files
        self.connections = set()
        self.parents = set()

    @property
    def open_connections(self):
        return len(self.connections)

    @property
    def is_draining(self):
        return self.draining

    @property
    def is_empty(self):
        """No connection is left, and no bytes of one are still on their way through a parent."""
        return not self.connections and self.flows == 0

    def drain(self):
        """No new tunnel is opened from now on."""
        cdef Handler connection
        self.draining = True
        for connection in list(self.connections):
            connection.on_drain()

    def close_all(self):
        """Ends every connection."""
        self.close_some(len(self.connections))

    def close_some(self, Py_ssize_t count):
        """Ends so many connections, whichever."""
        cdef Handler connection
        for connection in list(islice(self.connections, count)):
            connection.close()

    cdef void entered(self, Handler connection):
        self.connections.add(connection)
        self.count_clients()

    cdef void left(self, Handler connection):
        self.connections.discard(connection)
        self.count_clients()
        self.tell_empty()

    cdef void replaced(self, Handler request, Handler tunnel):
        self.connections.add(tunnel)
        self.connections.discard(request)

    cdef void stream_entered(self, Handler stream):
        self.connections.add(stream)
        self.files.streams += 1
        self.files.clients = len(self.connections)
        self.meter.count(SL_COUNTER_HTTP2_STREAMS)
        self.meter.set_gauge(SL_COUNTER_HTTP2_STREAMS_OPEN, self.files.streams)
        self.files.spare_pipes()

    cdef void stream_left(self):
        self.files.streams -= 1
        self.meter.set_gauge(SL_COUNTER_HTTP2_STREAMS_OPEN, self.files.streams)

    cdef void count_clients(self) noexcept:
        self.files.clients = len(self.connections)
        self.meter.set_gauge(SL_COUNTER_CONNECTIONS_OPEN, self.files.clients - self.files.streams)
        self.files.spare_pipes()

    cdef void multiplexed_entered(self) noexcept:
        self.files.multiplexed += 1
        self.meter.count(SL_COUNTER_HTTP2_CONNECTIONS)
        self.meter.set_gauge(SL_COUNTER_HTTP2_CONNECTIONS_OPEN, self.files.multiplexed)

    cdef void multiplexed_left(self) noexcept:
        self.files.multiplexed -= 1
        self.meter.set_gauge(SL_COUNTER_HTTP2_CONNECTIONS_OPEN, self.files.multiplexed)

    cdef void tunnel_began(self) noexcept:
        self.tunnels += 1
        self.meter.set_gauge(SL_COUNTER_TUNNELS_OPEN, self.tunnels)
        self.meter.count(SL_COUNTER_TUNNELS_TOTAL)

    cdef void tunnel_ended(self) noexcept:
        self.tunnels -= 1
        self.meter.set_gauge(SL_COUNTER_TUNNELS_OPEN, self.tunnels)

    cdef void parent_entered(self, Handler connection):
        self.parents.add(connection)
        self.files.apart += 1
        self.meter.count(SL_COUNTER_PARENTS)
        self.meter.set_gauge(SL_COUNTER_PARENTS_OPEN, len(self.parents))

    cdef void parent_left(self, Handler connection):
        self.parents.discard(connection)
        self.files.apart -= 1
        self.meter.set_gauge(SL_COUNTER_PARENTS_OPEN, len(self.parents))

    cdef void flow_entered(self) noexcept:
        self.files.apart += 1
        self.flows += 1

    cdef void flow_left(self) noexcept:
        self.files.apart -= 1
        self.flows -= 1
        self.tell_empty()

    cdef void tell_empty(self) noexcept:
        if self.draining and not self.connections and self.flows == 0:
            self.on_empty()
