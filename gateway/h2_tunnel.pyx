"""A CONNECT stream: what it asks for, what it is answered, and its end. See h2_tunnel.pxd.

The bytes in between are h2_flow's. Resets cross as resets.
"""

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc cimport errno as c_errno
from libc.errno cimport EAGAIN
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from posix cimport unistd

from gateway.csrc cimport (
    SL_COUNTER_AUTH_FAILED, SL_COUNTER_REQUEST_TIMEOUTS, SL_FAMILY_PROTOCOL_ERRORS, SL_H2_ABUSE_RESETS, SL_INNER_UNSET,
    SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_DRAINED, SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_INTERNAL,
    SL_OUTCOME_REQUEST_TIMEOUT, SL_OUTCOME_RESET, SL_OUTCOME_SOURCE_LIMIT, SL_PROTOCOL_HTTP2, SL_REASON_INTERNAL,
    SL_SCOPE_CREDENTIALS, SL_SCOPE_DESCRIPTORS, SL_SCOPE_SOURCE_LOGINS,
)
from gateway.h2_budget cimport budgets_earn
from gateway.h2_flow cimport H2Carrier, H2Flow, Piece
from gateway.h2_frames cimport H2_CANCEL, H2_CONNECT_ERROR, H2_INTERNAL_ERROR
from gateway.h2_head cimport DIALECT_PIPY
from gateway.h2_streams cimport END_BOTH, END_RESET_BY_PEER, STREAM_REMOTE_ENDED, H2Stream
from gateway.logins cimport LOGIN_BUSY, LOGIN_LIMITED, LOGIN_RIGHT
from gateway.request cimport LINGERING, RELAYING, VERIFYING, Request
from gateway.sockets cimport close_clean
from gateway.tunnel cimport CLIENT

cdef enum:
    FILES_KEPT = 16            # descriptors that are left to others

cdef bytes OK_BLOCK = b"\x88"  # :status 200, from HPACK's static table


@cython.no_gc_clear
cdef class H2Tunnel(H2Flow):
    """One CONNECT. Made by its connection, which gives it `listener`, `peer` and the rest of who asks."""

    cdef void enter(self) noexcept:
        """Takes its place; the request is noted, its credentials are not looked at yet."""
        self.context.loop.keep(self)
        self.context.stream_entered(self)
        self.client_ended = self.stream.flags & STREAM_REMOTE_ENDED

    cdef void ask(self) noexcept:
        if not self.context.has_files(0, 0, FILES_KEPT):
            self.over_limit(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_DESCRIPTORS, SL_REASON_INTERNAL)
            self.answer(SL_OUTCOME_GATEWAY_LIMIT)
            return
        self.open()

    cdef bint opens_late(self) noexcept:
        """A sidecar of the Pipy family has no other way to its target while one stream of the connection lives."""
        return self.carrier.session.dialect == DIALECT_PIPY

    # ---- the request -------------------------------------------------------------------------------------------------

    cdef void on_verified(self, int result, uint64_t credential) noexcept:
        if self.state != VERIFYING or self.closed:
            return  # it was refused before
        if result == LOGIN_BUSY:
            self.over_limit(SL_OUTCOME_GATEWAY_LIMIT, SL_SCOPE_CREDENTIALS, SL_REASON_INTERNAL)
            self.refuse(SL_OUTCOME_GATEWAY_LIMIT, None, None)
        elif result == LOGIN_LIMITED:
            self.over_limit(SL_OUTCOME_SOURCE_LIMIT, SL_SCOPE_SOURCE_LOGINS, SL_REASON_INTERNAL)
            self.refuse(SL_OUTCOME_SOURCE_LIMIT, None, None)
        elif result == LOGIN_RIGHT and self.context.generation.credential(self.user) == credential:
            self.ask()
        else:
            self.record.write_refused(self.source, SL_OUTCOME_AUTH_FAILED, self.user, "wrong user or password")
            self.user = None
            self.context.count(SL_COUNTER_AUTH_FAILED)
            self.context.labelled(SL_FAMILY_PROTOCOL_ERRORS, SL_PROTOCOL_HTTP2, SL_OUTCOME_AUTH_FAILED, 0, 0)[0] += 1
            self.refuse(SL_OUTCOME_AUTH_FAILED, None, "wrong user or password")

    cdef bytes succeed(self, int fd):
        cdef bytes early = self.early
        self.early = None
        self.carrier.session.respond(self.stream, OK_BLOCK, False)
        # However it ends, that is paid for: a reset may cross with our own end of the stream.
        budgets_earn(&self.carrier.session.budgets, SL_H2_ABUSE_RESETS, 1)
        self.carries = True
        self.carrier.tunnel_began()
        self.carrier.write_later()
        return early

    cdef void refuse(self, int outcome, str rule, str reason) noexcept:
        """The answer is the connection's to send; this is over."""
        cdef H2Stream *stream = self.stream
        if self.closed:
            return
        if stream is not NULL:
            self.stream = NULL
            stream.owner = NULL
            self.carrier.session.consumed_late(self.held)
            self.held = 0
            self.carrier.refuse_stream(stream, outcome, rule, reason, None, self.record.sequence)
        self.closed_sockets()

    cdef void lost(self) noexcept:
        cdef H2Stream *stream = self.stream
        if self.state == RELAYING:
            self.end(SL_OUTCOME_RESET, True)
        elif not self.closed:
            self.stream = NULL
            if stream is not NULL:
                # Its connection is gone: no frame is sent, and none is counted.
                stream.owner = NULL
                self.carrier.drop_stream(stream, END_RESET_BY_PEER)
            self.give_up()
            self.closed_sockets()

    # ---- events ------------------------------------------------------------------------------------------------------

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        if self.state == RELAYING:
            self.inspected_event(events, leg)

    cdef void on_timer(self) noexcept:
        if self.state == RELAYING:
            self.inspected_timer()
        elif self.state == VERIFYING:
            self.context.count(SL_COUNTER_REQUEST_TIMEOUTS)
            self.record.write_refused(self.source, SL_OUTCOME_REQUEST_TIMEOUT, None, None)
            self.refuse(SL_OUTCOME_REQUEST_TIMEOUT, None, None)

    cdef bint pump(self, int leg) noexcept:
        if leg == CLIENT:
            return self.flush_up()
        self.readable = True
        if self.stream is not NULL and not self.down.done:
            self.carrier.schedule(self.stream)
        return not self.closed

    # ---- what the client sends ---------------------------------------------------------------------------------------

    cdef void received(self, Piece *pieces, int count, uint32_t total) noexcept:
        cdef bytes joined
        cdef int i
        if self.stream is not NULL and self.stream.flags & STREAM_REMOTE_ENDED:
            self.client_ended = True
        self.held += total
        if self.state == RELAYING and self.inner_mode == SL_INNER_UNSET:
            self.put(pieces, count, total)
            return
        if total:
            joined = b"".join([PyBytes_FromStringAndSize(<char *> pieces[i].base, pieces[i].size)
                               for i in range(count)])
            if self.state == RELAYING:
                self.shown = self.shown + joined
            else:
                self.early = joined if self.early is None else self.early + joined
        if self.state != RELAYING:
            return
        if self.client_ended:
            self.inspect()
        else:
            self.look()

    cdef ssize_t peek(self, uint8_t *buffer, size_t room) noexcept:
        """DATA goes to `shown` as it comes: nothing waits elsewhere."""
        if self.client_ended:
            return 0
        c_errno.errno = EAGAIN
        return -1

    # ---- the end -----------------------------------------------------------------------------------------------------

    cdef void close_legs(self, int outcome, bint reset) noexcept:
        cdef H2Stream *stream = self.stream
        self.stream = NULL
        if stream is not NULL:
            stream.owner = NULL
            if not reset:
                self.carrier.drop_stream(stream, END_BOTH)
            else:
                # RFC 9113 section 8.5: a TCP connection that failed is CONNECT_ERROR.
                self.carrier.reset_stream(stream, H2_CONNECT_ERROR if outcome == SL_OUTCOME_RESET else
                                          H2_INTERNAL_ERROR if outcome == SL_OUTCOME_INTERNAL else H2_CANCEL)
        if reset:
            unistd.close(self.upstream)
        else:
            close_clean(self.upstream)

    cdef void closed_sockets(self) noexcept:
        cdef H2Carrier carrier = self.carrier
        cdef H2Stream *stream = self.stream
        if self.closed:
            return
        self.stream = NULL
        if stream is not NULL:
            stream.owner = NULL
            carrier.reset_stream(stream, H2_INTERNAL_ERROR)
        carrier.session.consumed_late(self.held)
        self.held = 0
        self.early = self.shown = None
        self.state = LINGERING
        self.context.stream_left(self)
        Request.closed_sockets(self)
        if self.carries:
            self.carries = False
            carrier.tunnel_ended()

    cdef void close(self) noexcept:
        """Ends at once, whatever the state: an error of ours, or the end of the worker."""
        if self.state == RELAYING:
            self.end(SL_OUTCOME_DRAINED if self.context.draining else SL_OUTCOME_INTERNAL, True)
        elif not self.closed:
            if self.context.draining:
                self.drained_away()
                self.answer(SL_OUTCOME_GATEWAY_LIMIT)
            else:
                self.give_up()
                self.refuse(SL_OUTCOME_INTERNAL, None, None)
