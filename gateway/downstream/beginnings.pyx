"""Connections that begin on a client's leg that another one has read from. See gateway/tunnel/beginnings.pxd."""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t

from gateway.c.leg cimport sl_leg
from gateway.downstream.http1_connection cimport Http1Connection, http1_connection_of
from gateway.downstream.http2.connection cimport H2Connection, http2_connection_of
from gateway.downstream.stream_connection cimport StreamConnection
from gateway.proto.codec cimport AUTH_OFF
from gateway.state.parts cimport WorkerParts
from gateway.state.request cimport Request, copy_who
from gateway.tunnel.beginnings cimport Beginnings, LegState


@cython.final
cdef class ClientBeginnings(Beginnings):
    """Those of a worker."""

    cdef WorkerParts parts

    def __init__(self, WorkerParts parts):
        self.parts = parts

    cdef void carry_requests(self, Request who, sl_leg *leg, LegState state, bytes data, bint http2) noexcept:
        """Nothing inside asks for credentials: who asks has proved that to the tunnel."""
        cdef const uint8_t *first = <const uint8_t *> PyBytes_AS_STRING(data)
        cdef Http1Connection connection
        cdef H2Connection carrier
        if http2:
            carrier = http2_connection_of(self.parts, who, AUTH_OFF, leg)
            carrier.reader.hangup = state.hangup
            carrier.enter(first, PyBytes_GET_SIZE(data))
            return
        connection = http1_connection_of(self.parts, who, AUTH_OFF)
        connection.leg = leg[0]
        connection.hangup, connection.urgent, connection.readable = state.hangup, state.urgent, state.readable
        connection.enter(first, PyBytes_GET_SIZE(data))

    cdef void connect(self, Request who, sl_leg *leg, LegState state, bytes data) noexcept:
        cdef StreamConnection connection = StreamConnection.__new__(StreamConnection)
        connection.parts = self.parts
        copy_who(connection, who)
        connection.leg = leg[0]
        connection.hangup, connection.urgent, connection.drained = state.hangup, state.urgent, not state.readable
        connection.begin_again(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
