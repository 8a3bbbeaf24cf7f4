"""TLS that begins on a connected leg, towards a parent or an origin. See origination.pxd.

Its steps take turns with those of other handshakes (gateway/state/handshakes.pyx): a turn of the loop verifies or signs
once. The time is its owner's: the deadline of a dial bounds the handshake as well.
"""

cimport cython
from libc.stdint cimport uint32_t

from gateway.c.contract cimport SL_TLS_RESULT_ALERT, SL_TLS_RESULT_INTERNAL, SL_TLS_RESULT_TIMEOUT
from gateway.c.leg cimport SL_LEG_FAILED, SL_LEG_READY, sl_leg_advance, sl_leg_progress
from gateway.c.segment cimport (
    SL_FAMILY_TLS_HANDSHAKES, SL_HISTOGRAM_HANDSHAKE_ORIGIN, SL_HISTOGRAM_HANDSHAKE_PARENT, SL_TLS_SIDE_PARENT,
    sl_segment_observe,
)
from gateway.io.loop cimport clock_us
from gateway.io.sockets cimport EPOLLIN, EPOLLOUT
from gateway.tls.server cimport unfinished


cdef Origination origination_of(WorkerParts parts, Handler owner, TlsClient client, sl_leg *leg, bytes name,
                                sl_tls_side side):
    cdef Origination made = Origination.__new__(Origination)
    made.parts, made.owner, made.client, made.leg, made.side = parts, owner, client, leg, side
    made.events, made.began_us = EPOLLIN, clock_us()
    if not client.begin(leg, parts.tls_work if leg.transport is NULL else parts.inner_tls_work, name):
        made.fail(SL_TLS_RESULT_INTERNAL)
    return made


cdef TlsSession late_refusal(WorkerParts parts, TlsClient client, const sl_leg *leg):
    if client is None or not client.was_refused(leg):
        return None
    parts.meter.labelled(SL_FAMILY_TLS_HANDSHAKES, SL_TLS_SIDE_PARENT, SL_TLS_RESULT_ALERT, 0, 0)[0] += 1
    return unfinished(leg, SL_TLS_RESULT_ALERT)


@cython.final
cdef class Origination:
    """Made by origination_of()."""

    cdef OriginationStep on_event(self, uint32_t events) noexcept:
        self.events |= events & ~<uint32_t> EPOLLOUT
        return ORIGINATION_WAITS if self.steps_later else self.advance()

    cdef OriginationStep advance(self) noexcept:
        if self.tls is not None:
            return ORIGINATION_FAILED  # it could not begin
        if not self.parts.handshakes.may_step(self.owner):
            self.steps_later = True
            return ORIGINATION_WAITS
        return self.step()

    cdef OriginationStep on_turn(self) noexcept:
        if not self.steps_later:
            return ORIGINATION_WAITS
        self.steps_later = False
        return self.step()

    cdef OriginationStep step(self) noexcept:
        cdef sl_leg_progress progress = sl_leg_advance(self.leg)
        if progress == SL_LEG_FAILED:
            self.fail(self.client.result(self.leg))
            return ORIGINATION_FAILED
        if progress != SL_LEG_READY:
            return ORIGINATION_WAITS
        self.tls = self.client.finished(self.leg)
        self.parts.meter.labelled(SL_FAMILY_TLS_HANDSHAKES, self.side, self.client.result(self.leg), 0, 0)[0] += 1
        sl_segment_observe(self.parts.meter.segment, SL_HISTOGRAM_HANDSHAKE_PARENT if self.side == SL_TLS_SIDE_PARENT
                           else SL_HISTOGRAM_HANDSHAKE_ORIGIN, clock_us() - self.began_us)
        return ORIGINATION_DONE

    cdef void expire(self) noexcept:
        self.fail(SL_TLS_RESULT_TIMEOUT)

    cdef void fail(self, sl_tls_result why) noexcept:
        self.parts.meter.labelled(SL_FAMILY_TLS_HANDSHAKES, self.side, why, 0, 0)[0] += 1
        self.tls = unfinished(self.leg, why)
