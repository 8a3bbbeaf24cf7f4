# The connections to each parent gateway of type http2tunnel: who gets a stream of which one, when another is dialed,
# and when none is.
from libc.stdint cimport uint32_t, uint64_t

from gateway.state.parts cimport WorkerParts
from gateway.parent.parent cimport Parent, ParentStreams
from gateway.upstream.connection cimport ParentConnection
from gateway.upstream.stream cimport ConnectStream, ParentConnections
from gateway.c.leg cimport sl_leg
from gateway.dial.origination cimport Origination, OriginationStep
from gateway.dial.race cimport Race, RaceStep
from gateway.parent.source_pool cimport SourcePool
from gateway.tls.session cimport TlsSession

# One parent, reached from one set of source addresses.
cdef class ParentPool(ParentConnections):
    cdef WorkerParts parts
    cdef ParentPools shared
    cdef Parent parent
    cdef SourcePool source     # None: the system chooses
    cdef tuple key
    cdef list connections      # that may take streams
    cdef ParentConnection opening   # has not heard the parent's SETTINGS yet
    cdef Race race             # to its addresses; one at a time: what waits goes on it, or on the next one
    cdef Origination origination  # TLS handshake on `leg`, of the next connection; None: none
    cdef sl_leg leg            # of that; descriptor -1: none
    cdef dict waiting          # ConnectStream -> None, in the order they came; each holds a place of limits.tunnels
    cdef uint32_t failures     # in a row
    cdef uint64_t retry_at     # loop milliseconds: no dial before
    cdef int outcome           # of the last failure
    cdef int reason            # an sl_reason that explains it, or -1
    cdef TlsSession fault      # of its handshake, where it was that
    cdef bint retired          # no generation has it: it ends with its last tunnel

    cdef void serve(self) noexcept
    cdef ParentConnection pick(self)
    cdef void refuse_all(self) noexcept
    cdef void begin(self) noexcept
    cdef void act(self, RaceStep step) noexcept
    cdef void lost(self) noexcept
    cdef int end_race(self) noexcept
    cdef void dialed(self) noexcept
    cdef void originated(self, OriginationStep step) noexcept
    cdef void end_origination(self) noexcept
    cdef void connect(self, TlsSession tls, uint32_t events) noexcept
    cdef void failed_tls(self, TlsSession fault, int outcome) noexcept
    cdef void failed(self, int outcome, int reason, str detail) noexcept
    cdef bint is_empty(self) noexcept
    cdef void end(self) noexcept

cdef class ParentPools(ParentStreams):
    cdef WorkerParts parts
    cdef object report         # called with a parent's name, whether it works, and what happened
    cdef dict pools            # (Parent.identity, packed source addresses or None) -> ParentPool

    cdef void forget(self, ParentPool pool) noexcept
