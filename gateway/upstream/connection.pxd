# One HTTP/2 connection to a parent gateway, which many tunnels share: the client's side of an H2Carrier.
from libc.stdint cimport uint32_t

from gateway.http2.carrier cimport H2Carrier
from gateway.proto.http2.client cimport H2Client
from gateway.proto.http2.core cimport H2Event
from gateway.proto.http2.streams cimport H2Stream
from gateway.state.roster cimport Roster
from gateway.state.settings cimport Settings
from gateway.tls.session cimport TlsSession
from gateway.upstream.states cimport ParentState
from gateway.upstream.stream cimport ConnectStream, ParentConnections

cdef class ParentConnection(H2Carrier):
    cdef Settings settings
    cdef Roster roster
    cdef H2Client client       # `session`, by its own type
    cdef ParentConnections pool  # None once it was told that this is gone
    cdef bint proved           # has answered a request
    cdef bint asked            # was given one
    cdef TlsSession tls        # facts of its handshake; None: cleartext
    cdef ParentState service   # as new requests find it

    # The next state; see states.pxd.
    cdef void become(self, ParentState state) except *
    # With a connected socket that the loop watches already. Sends the preface; False: it has ended at once.
    cdef bint start(self) noexcept
    # How many streams may be asked of it now.
    cdef uint32_t room(self) noexcept
    # No new streams; ends with the last one.
    cdef void retire(self) noexcept

    cdef void answer(self, ConnectStream stream, H2Event *event) noexcept
    cdef void end_stream(self, H2Stream *stream, uint32_t code, int side) noexcept
    cdef void go_away(self, uint32_t last) noexcept
    cdef void tell_gone(self, int outcome, str detail) noexcept
