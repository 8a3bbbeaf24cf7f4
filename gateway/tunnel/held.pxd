# A tunnel that is answered and not dialed: only requests inside can be let pass (DECISIONS.md section 3, "HTTP
# conditions on tunnels").
from libc.stdint cimport uint8_t

from gateway.c.leg cimport sl_leg
from gateway.io.loop cimport Handler
from gateway.io.outgoing cimport Outgoing, OutgoingStep
from gateway.state.parts cimport WorkerParts
from gateway.state.record cimport Record
from gateway.state.request cimport Request
from gateway.tunnel.beginnings cimport LegState

cdef class Held(Handler):
    cdef WorkerParts parts
    cdef Record record
    cdef Request who           # the facts of who asks
    cdef sl_leg leg            # the client's
    cdef LegState state
    cdef Outgoing out          # of the answer, what the client has not taken
    cdef bytes first           # that the client has sent; empty: nothing yet

    # In place of `request`, whose answer of success is `answer`; `early`: payload that came with it, or None. The leg
    # is set.
    cdef void begin(self, Handler request, bytes answer, bytes early) noexcept
    cdef void flushed(self, OutgoingStep step) noexcept
    cdef void read(self) noexcept
    cdef void take(self, size_t length) noexcept
    cdef void look(self) noexcept
    cdef void carry(self, bint http2) noexcept
    cdef void deny(self, int reason, int outcome) noexcept
    cdef void gone(self) noexcept
    cdef void drop(self) noexcept
    cdef void leave(self) noexcept

cdef Held held_of(WorkerParts parts, Record record, Request request)
