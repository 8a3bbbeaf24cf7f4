"""One request on a stream of a connection to an origin. See http2_request.pxd.

Content of the request waits in `sending` as windows and the socket let it leave. That of the response goes to its taker
as it comes. What the taker has no room for waits here, and the stream's window is returned for what it has taken alone:
no more than a window waits.
"""

cimport cython
from cpython.ref cimport PyObject
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from gateway.c.contract cimport SL_OUTCOME_INTERNAL, SL_OUTCOME_UNAVAILABLE
from gateway.http2.sending cimport sending_fill, sending_free, sending_put
from gateway.proto.http2.client cimport H2Client
from gateway.proto.http2.frames cimport H2_CANCEL, free_bytes, put_bytes, sent_bytes
from gateway.proto.http2.streams cimport STREAM_LOCAL_ENDED

cdef enum:
    GIVEN_MOST = 65536         # bytes of a response's content that are passed on at once


@cython.final
cdef class Http2OriginRequest(OriginRequest):
    """Made by a connection, which keeps it alive until it is over."""

    def __cinit__(self):
        self.outcome = -1

    def __dealloc__(self):
        sending_free(&self.sending)
        free_bytes(&self.held)

    cdef bint is_reused(self) noexcept:
        return self.reused

    # ---- the request -------------------------------------------------------------------------------------------------

    cdef void send_head(self, Message head, bint ends) noexcept:
        cdef H2Stream *stream = NULL
        if self.origin.has_room():
            stream = (<H2Client> self.carrier.session).ask_message(&head.head, self.secure, ends)
        if stream is NULL:
            # Its place was taken, or the connection has ended, since it was found.
            self.outcome = SL_OUTCOME_UNAVAILABLE
            self.parts.loop.later(self)
            return
        self.stream = stream
        stream.owner = <PyObject *> self
        self.carrier.write_later()
        self.origin.room_changed()

    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept:
        cdef bint takes
        if self.stream is NULL or self.stream.flags & STREAM_LOCAL_ENDED:
            return True
        takes = sending_put(&self.sending, self.carrier, self.stream, data, length)
        if self.sending.failed:
            self.outcome = SL_OUTCOME_INTERNAL
            self.parts.loop.later(self)
        return takes

    cdef void send_end(self, Message trailers) noexcept:
        if self.stream is not NULL and not self.stream.flags & STREAM_LOCAL_ENDED:
            self.end_out, self.sending.ending = trailers, True
            self.carrier.schedule(self.stream)

    cdef size_t fill(self, uint8_t *at, size_t room, uint32_t most) noexcept:
        cdef bint drained = False
        cdef size_t written = sending_fill(&self.sending, self.carrier, self.stream, self.end_out, at, room, most,
                                           &drained)
        if self.sending.failed:
            self.outcome = SL_OUTCOME_INTERNAL
        if drained or self.sending.failed:
            self.parts.loop.later(self)
        return written

    cdef void on_turn(self) noexcept:
        cdef ResponseTaker taker = self.taker
        cdef int outcome = self.outcome
        if outcome >= 0:
            self.taker = None
            self.leave(H2_CANCEL)
            if taker is not None:
                taker.on_lost(outcome, outcome == SL_OUTCOME_UNAVAILABLE)
            return
        if not self.paused:
            self.give()
        if not self.closed and not self.sending.full and self.sending.waiting.data is NULL:
            self.taker.on_ready()

    # ---- the response ------------------------------------------------------------------------------------------------

    cdef void informed(self, Message head) noexcept:
        if self.taker is not None:
            self.taker.on_interim(head)

    cdef void answered(self, Message head, bint end) noexcept:
        if self.taker is None:
            return
        if end:
            self.came_whole = True
            self.whole(head)
        else:
            self.taker.on_response(head, False)

    cdef void received(self, const uint8_t *data, uint32_t size, bint end) noexcept:
        self.came_whole = end
        if size:
            self.take(data, size)
        if not self.closed and not self.paused:
            self.give()

    cdef void take(self, const uint8_t *data, uint32_t size) noexcept:
        if self.closed or self.taker is None:
            self.release(size)
        elif self.paused or self.held.data is not NULL:
            if not put_bytes(&self.held, data, size):
                self.outcome = SL_OUTCOME_INTERNAL
                self.release(size)
                self.parts.loop.later(self)
        elif self.taker.on_body(data, size) or self.closed:
            self.release(size)
        else:
            self.paused = True
            self.owed += size

    cdef void give(self) noexcept:
        """Content that waits here, until the taker has enough; then the end. It may be over within."""
        cdef Outgoing content = self.held
        cdef uint32_t part
        memset(&self.held, 0, sizeof(self.held))
        while content.data is not NULL and not self.paused:
            part = <uint32_t> min(content.end - content.begin, <size_t> GIVEN_MOST)
            self.take(content.data + content.begin, part)
            sent_bytes(&content, part)
        if self.closed:
            self.release(<uint32_t> (content.end - content.begin))
            free_bytes(&content)
            return
        self.held = content
        if self.came_whole and content.data is NULL and self.taker is not None:
            self.whole(None)

    cdef void release(self, uint32_t size) noexcept:
        """The window of content that has gone on, or nowhere."""
        if size == 0:
            return
        if self.stream is NULL:
            self.carrier.session.consumed_late(size)
        else:
            self.carrier.session.consumed(self.stream, size)
            self.carrier.write_later()

    cdef void resume(self) noexcept:
        cdef uint32_t owed = self.owed
        if not self.paused or self.closed:
            return
        self.paused = False
        self.owed = 0
        self.release(owed)
        if self.held.data is not NULL or self.came_whole:
            self.parts.loop.later(self)

    cdef void whole(self, Message head) noexcept:
        """The response is; `head`: nothing follows that. What is left of the request is of no use."""
        cdef ResponseTaker taker = self.taker
        cdef Message trailers = self.end_in
        self.taker = None
        self.leave(H2_CANCEL)
        if head is not None:
            taker.on_response(head, True)
        else:
            taker.on_end(trailers)

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void lost(self, int outcome, bint untouched) noexcept:
        cdef ResponseTaker taker = self.taker
        self.stream = NULL
        if self.came_whole and taker is not None and not self.closed:
            return  # the response was whole before: its taker gets what waits here
        self.taker = None
        self.leave(H2_CANCEL)
        if taker is not None:
            taker.on_lost(outcome, untouched)

    cdef void cancel(self) noexcept:
        self.taker = None
        self.leave(H2_CANCEL)

    cdef void leave(self, uint32_t code) noexcept:
        """The last step of every end; a stream that has not ended both ways is reset."""
        if self.closed:
            return
        self.closed = True
        if self.carrier is not None:
            self.carrier.session.consumed_late(self.owed + (self.held.end - self.held.begin))
            self.carrier.settle_stream(&self.stream, code)
        sending_free(&self.sending)
        free_bytes(&self.held)
        self.end_in = self.end_out = None
        self.owed = 0
        self.parts.loop.park(self)
        self.origin.request_left(self.source)

    cdef void close(self) noexcept:
        """An internal error on the way."""
        cdef ResponseTaker taker = self.taker
        self.taker = None
        self.leave(H2_CANCEL)
        if taker is not None:
            taker.on_lost(SL_OUTCOME_INTERNAL, False)
