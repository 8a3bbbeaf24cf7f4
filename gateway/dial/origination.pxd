# TLS that begins on a connected leg, towards a parent or an origin: the handshake, and its facts. A part of its owner,
# which hands events and times on and acts upon the answers.
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from gateway.c.contract cimport sl_tls_result
from gateway.c.leg cimport sl_leg
from gateway.c.segment cimport sl_tls_side
from gateway.io.loop cimport Handler
from gateway.state.parts cimport WorkerParts
from gateway.tls.client cimport TlsClient
from gateway.tls.session cimport TlsSession

cdef enum OriginationStep:
    ORIGINATION_FAILED = 0     # `tls` says why; the leg is the owner's to reset
    ORIGINATION_WAITS = 1      # the next edge of the leg, or the owner's next turn, takes it further
    ORIGINATION_DONE = 2       # the leg is as any other; `events` are what its owner has to act upon

cdef class Origination:
    cdef WorkerParts parts
    cdef Handler owner         # gets its turn among handshakes (handshakes.pxd)
    cdef TlsClient client
    cdef sl_leg *leg           # connected and watched; the owner's
    cdef TlsSession tls        # facts, once it is done or has failed
    cdef sl_tls_side side
    cdef uint32_t events       # reported meanwhile: an end, an urgent mark; and bytes may wait behind the handshake
    cdef uint64_t began_us     # of the clock
    cdef uint8_t steps_later   # bool: a step waits for its turn

    cdef OriginationStep on_event(self, uint32_t events) noexcept
    # Its turn among handshakes has come, maybe.
    cdef OriginationStep on_turn(self) noexcept
    # It is not done in time.
    cdef void expire(self) noexcept

    cdef OriginationStep advance(self) noexcept
    cdef OriginationStep step(self) noexcept
    cdef void fail(self, sl_tls_result why) noexcept

# Puts TLS on the leg; `name`: the host, or the address as text. The first step is on_event(0).
cdef Origination origination_of(WorkerParts parts, Handler owner, TlsClient client, sl_leg *leg, bytes name,
                                sl_tls_side side)

# Facts of a parent that has ended the leg by an alert though its handshake was done, which counts; None: it has not.
cdef TlsSession late_refusal(WorkerParts parts, TlsClient client, const sl_leg *leg)
