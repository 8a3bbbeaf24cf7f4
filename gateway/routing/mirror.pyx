"""A copy of a request to a backend of its own (DECISIONS.md section 7). See mirror.pxd.

It is never waited for and never tried again. Content that it cannot take is held to 64 KiB and for a second; beyond
either it is dropped, and counted. So is a copy beyond COPIES_MOST under way to one backend, which may never answer.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from gateway.c.leg cimport sl_leg, sl_leg_reset
from gateway.c.message cimport sl_message_copy
from gateway.c.segment cimport SL_MIRROR_DROPPED, SL_MIRROR_FAILED, SL_MIRROR_SENT, sl_mirror_result
from gateway.routing.approach cimport approach_of
from gateway.state.request_line cimport count_mirrored
from gateway.upstream.origin_pool cimport OriginConnection

cdef enum:
    HELD_MOST = 65536          # bytes
    BEHIND_MOST = 1000         # milliseconds
    RESPONSE_MOST = 60000      # milliseconds for a response that no one reads
    COPIES_MOST = 256          # to one backend, each with a connection of its own


cdef sl_mirror_result[3] RESULTS = [SL_MIRROR_SENT, SL_MIRROR_FAILED, SL_MIRROR_DROPPED]


cdef Mirror mirror_of(Approach main, Backend backend, Message head, bint ends):
    cdef Mirror made
    if backend.copies >= COPIES_MOST:
        count_mirrored(main.parts, SL_MIRROR_DROPPED)
        return None
    made = Mirror.__new__(Mirror)
    made.parts, made.backend = main.parts, backend
    made.head = Message.__new__(Message)
    made.whole = ends
    if not sl_message_copy(&made.head.head, &head.head):
        return None
    backend.copies += 1
    made.parts.loop.keep(made)
    made.parts.loop.arm(made, BEHIND_MOST)
    made.approach = approach_of(main.parts, main, made, main.kind, main.codec.auth)
    made.approach.begin_copy(main, backend)
    return made


@cython.final
cdef class Mirror(ResponseTaker):
    """Made by mirror_of(). Keeps itself alive through the loop until it is over."""

    cdef void on_way(self, object connection) noexcept:
        cdef Message head = self.head
        self.head = None
        self.origin = (<OriginConnection> connection).request(self)
        self.origin.send_head(head, self.whole and self.held is None and self.trailers is None)
        if self.closed:
            return
        if self.whole and self.held is None and self.trailers is None:
            self.note_sent()
        else:
            self.push()

    cdef void on_no_way(self, int outcome) noexcept:
        self.finish(MIRROR_FAILED)

    cdef void on_turned_away(self, int outcome, str detail, uint64_t sequence) noexcept:
        self.finish(MIRROR_FAILED)

    cdef void offer(self, const uint8_t *data, size_t length) noexcept:
        if self.closed:
            return
        self.size += length
        if self.size > HELD_MOST and (self.origin is None or self.full):
            self.finish(MIRROR_DROPPED)
            return
        if self.held is None:
            self.held = []
        self.held.append(PyBytes_FromStringAndSize(<const char *> data, length))
        self.push()

    cdef void offer_end(self, Message trailers) noexcept:
        if not self.closed:
            self.whole, self.trailers = True, trailers
            self.push()

    cdef void push(self) noexcept:
        cdef bytes piece
        while self.origin is not None and not self.full and self.held:
            piece = self.held.pop(0)
            self.size -= PyBytes_GET_SIZE(piece)
            self.full = not self.origin.send_body(<const uint8_t *> PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece))
        if self.origin is not None and not self.held:
            self.held = None
            if self.whole and not self.sent:
                self.origin.send_end(self.trailers)
                self.note_sent()

    cdef void note_sent(self) noexcept:
        self.sent = True
        if not self.closed:
            self.parts.loop.arm(self, RESPONSE_MOST)

    cdef void on_ready(self) noexcept:
        self.full = False
        self.push()

    cdef void on_response(self, Message head, bint ends) noexcept:
        if ends:
            self.origin = None
            self.finish(MIRROR_SENT)

    cdef void on_end(self, Message trailers) noexcept:
        self.origin = None
        self.finish(MIRROR_SENT)

    cdef void on_upgraded(self, Message head, sl_leg *leg, bytes early, bint hangup) noexcept:
        sl_leg_reset(leg)
        self.origin = None
        self.finish(MIRROR_FAILED)

    cdef void on_lost(self, int outcome, bint untouched) noexcept:
        self.origin = None
        self.finish(MIRROR_FAILED)

    cdef void on_timer(self) noexcept:
        self.finish(MIRROR_FAILED if self.sent else MIRROR_DROPPED)

    cdef void give_up(self) noexcept:
        if not self.sent:
            self.finish(MIRROR_FAILED)

    cdef void finish(self, MirrorResult result) noexcept:
        cdef OriginRequest origin = self.origin
        cdef Approach approach = self.approach
        if self.closed:
            return
        count_mirrored(self.parts, RESULTS[<int> result])
        self.closed = True
        self.backend.copies -= 1
        self.origin = self.approach = self.held = self.head = None
        if origin is not None:
            origin.cancel()
        approach.cancel()
        if approach.record is not None:
            approach.record.leave_limits()
        self.parts.loop.park(self)

    cdef void close(self) noexcept:
        self.finish(MIRROR_FAILED)
