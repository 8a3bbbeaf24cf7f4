# The way of a client's connection to its first request: a PROXY header where one is required, and a TLS handshake.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.addr cimport sl_addr
from gateway.c.leg cimport sl_leg
from gateway.state.parts cimport WorkerParts
from gateway.state.request cimport Request
from gateway.tls.server cimport TlsServer
from gateway.tls.session cimport TlsSession

cdef enum EntranceStep:
    ENTRANCE_FAILED = 0        # counted and logged: the connection is over
    ENTRANCE_WAITS = 1         # the next edge, or the next turn, takes it further
    ENTRANCE_PASSED = 2        # what comes now is the client's request

cdef class Entrance:
    cdef WorkerParts parts
    cdef TlsServer server      # whose handshake it is; None: cleartext
    cdef TlsSession tls        # once the handshake is done
    cdef uint64_t began_us     # of the clock: the handshake
    cdef uint32_t place        # among the handshakes of the gateway; 0: none is under way
    cdef uint8_t header        # bool: a PROXY header has to come first
    cdef uint8_t steps_later   # bool: a step of the handshake waits for its turn (handshakes.pxd)

    # With an accepted connection.
    cdef EntranceStep begin(self, Request request, sl_leg *leg) noexcept
    # An edge came.
    cdef EntranceStep go_on(self, Request request, sl_leg *leg) noexcept
    # Its turn among handshakes has come.
    cdef EntranceStep take_turn(self, Request request, sl_leg *leg) noexcept
    # The connection ends on the way, as `result` (sl_tls_result) says.
    cdef void fail(self, Request request, const sl_leg *leg, int result) noexcept
    cdef void release(self) noexcept

    cdef EntranceStep begin_handshake(self, Request request, sl_leg *leg) noexcept
    cdef EntranceStep step(self, Request request, sl_leg *leg) noexcept
    cdef void finish(self, sl_leg *leg) noexcept
    cdef EntranceStep take_header(self, Request request, sl_leg *leg) noexcept
    cdef bint take_identity(self, Request request, size_t length) noexcept
    cdef EntranceStep refuse_header(self, Request request, str detail) noexcept

# What stands before the requests of a connection from `request.peer`; None: nothing does.
cdef Entrance entrance_of(WorkerParts parts, Request request)
