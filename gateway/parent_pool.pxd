# The connections to each parent gateway of type http2tunnel: who gets a stream of which one, when another is dialed,
# and when none is.
from libc.stdint cimport uint32_t, uint64_t

from gateway.context cimport Context
from gateway.parent cimport Parent, Passages
from gateway.parent_connection cimport ParentConnection, ParentHome
from gateway.parent_socket cimport ParentBuffers
from gateway.parent_stream cimport ParentStream
from gateway.race cimport Race
from gateway.source_pool cimport SourcePool

# A race to the parent's addresses.
cdef class ParentDial(Race):
    cdef ParentPool pool       # None once it was told

    cdef void start(self) noexcept
    cdef void finish(self) noexcept

# One parent, reached from one set of source addresses.
cdef class ParentPool(ParentHome):
    cdef Context context
    cdef SharedPassages shared
    cdef Parent parent
    cdef SourcePool source     # None: the system chooses
    cdef tuple key
    cdef list connections      # that may take streams
    cdef ParentConnection opening   # has not heard the parent's SETTINGS yet
    cdef ParentDial dial       # one at a time: what waits goes on it, or on the next one
    cdef dict waiting          # ParentStream -> None, in the order they came; each holds a place of limits.tunnels
    cdef uint32_t failures     # in a row
    cdef uint64_t retry_at     # loop milliseconds: before, nobody dials
    cdef int outcome           # of the last failure
    cdef int reason            # an sl_reason that explains it, or -1
    cdef bint retired          # no generation has it: it ends with its last tunnel

    cdef void serve(self) noexcept
    cdef ParentConnection pick(self)
    cdef void refuse_all(self) noexcept
    cdef void begin(self) noexcept
    cdef void dialed(self, int fd) noexcept
    cdef void failed(self, int outcome, int reason, str detail) noexcept
    cdef bint is_empty(self) noexcept
    cdef void end(self) noexcept

cdef class SharedPassages(Passages):
    cdef Context context
    cdef object report         # called with a parent's name, whether it works, and what happened
    cdef dict pools            # (Parent.identity, packed source addresses or None) -> ParentPool
    cdef ParentBuffers buffers

    cdef void forget(self, ParentPool pool) noexcept
