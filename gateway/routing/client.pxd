# The client's side of an exchange: what both versions of HTTP have in common.
#
#   client ── begin, on_body, on_body_end, on_client_ready, on_client_gone ──▶ Exchange (exchange.pxd)
#          ◀── respond, send_body, send_end, refuse, cut, hold ──
from libc.stdint cimport uint8_t, uint64_t

from gateway.c.leg cimport sl_leg
from gateway.c.pipe_pool cimport sl_pipe
from gateway.io.loop cimport Handler
from gateway.proto.message cimport Message
from gateway.upstream.origin_pool cimport OriginPool

cdef class ClientSide(Handler):
    cdef OriginPool pool       # that the connection of its last request was found in; None: none

    # A 1xx (not 101), where the client's version has them.
    cdef void send_interim(self, Message head) noexcept
    # The final head, its fields as they leave; framing as head.framing says: the side turns that into its own
    # version's. `ends`: no content follows, and send_end() is not called.
    cdef void respond(self, Message head, bint ends) noexcept
    # Takes every byte. False: it holds some, and exchange.on_client_ready() follows once they are gone.
    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept
    # The same by a pipe, where takes_pipes(): how much has left it. Where some is left, exchange.on_client_ready()
    # follows. -1: the client is gone.
    cdef bint takes_pipes(self) noexcept
    cdef ssize_t send_pipe(self, sl_pipe *pipe) noexcept
    cdef void send_end(self, Message trailers) noexcept
    # A whole answer of the gateway's own, the row of `outcome`; before respond() only. `sequence`: of its log line.
    cdef void refuse(self, int outcome, str rule, str reason, str detail, uint64_t sequence) noexcept
    # The response ends before it is whole: what the client has is to be known as not whole.
    cdef void cut(self) noexcept
    # The same where the policy has turned against it.
    cdef void revoke(self) noexcept
    # The exchange takes content of the request again, after on_body() was False.
    cdef void resume(self) noexcept
    # The exchange is over on both sides, respond()ed whole or refused; the next request may begin. Behind cut() and
    # on_client_gone() it is not called.
    cdef void done(self) noexcept
    # The response was 101, or 2xx to an extended CONNECT: the client's end becomes a tunnel over `upstream`, which
    # begins with `early` bytes of the origin. exchange.record is the tunnel's.
    cdef void tunnel(self, Message head, sl_leg *upstream, bytes early, bint hangup) noexcept
