# One request on its way at an origin, and who takes its response: what both versions of HTTP have in common.
#
#   taker ── send_head, send_body, send_end, hold, cancel ──▶ OriginRequest
#         ◀── on_response, on_body, on_end, on_ready, on_lost ──
from libc.stdint cimport uint8_t, uint64_t

from gateway.c.leg cimport sl_leg
from gateway.c.pipe_pool cimport sl_pipe
from gateway.io.loop cimport Handler
from gateway.proto.message cimport Message

# Takes a connection to an origin and the response: an exchange, or a mirror of one. Calls come in the order of the
# response; none after on_end or on_lost. Each may come within a call to the request, and may cancel it.
cdef class ResponseTaker(Handler):
    # Its route has a limit of time: what follows is within it.
    cdef void on_route(self) noexcept
    # There is a connection (OriginConnection), which takes its request now.
    cdef void on_way(self, object connection) noexcept
    # There is none: sl_outcome.
    cdef void on_no_way(self, int outcome) noexcept
    # The answer is the gateway's own: a redirection, a preflight.
    cdef void on_answer(self, Message head) noexcept
    # No question was reached: it was logged and counted, as `sequence`.
    cdef void on_turned_away(self, int outcome, str detail, uint64_t sequence) noexcept
    # 1xx but for 101: further ones and the final one follow. The message is the taker's.
    cdef void on_interim(self, Message head) noexcept
    # The final response, valid within the call; `ends`: nothing follows, and on_end is not called.
    cdef void on_response(self, Message head, bint ends) noexcept
    # Content; valid within the call. False: no more until resume().
    cdef bint on_body(self, const uint8_t *data, size_t length) noexcept
    # Whether content may come by a pipe now.
    cdef bint takes_pipes(self) noexcept
    # Content; the taker takes out of the pipe as much as its other side takes. Where some is left, resume() follows.
    cdef void on_pipe(self, sl_pipe *pipe) noexcept
    # The content is whole; `trailers` may be None.
    cdef void on_end(self, Message trailers) noexcept
    # The origin takes more of the request's content again.
    cdef void on_ready(self) noexcept
    # It ends before its response does: sl_outcome. `untouched`: on a connection that was used before, which has closed
    # without a byte of an answer: another one may be tried (RFC 9110 section 9.2.2).
    cdef void on_lost(self, int outcome, bint untouched) noexcept
    # 101, or 200 to an extended CONNECT: from now on bytes flow. The leg and `early` bytes behind the head are the
    # taker's; it is watched with LEG_EVENTS, and `hangup` was seen.
    cdef void on_upgraded(self, Message head, sl_leg *leg, bytes early, bint hangup) noexcept

cdef class OriginRequest(Handler):
    cdef ResponseTaker taker   # None once it is over
    # The head, its fields as they leave, hop-by-hop ones taken out; framing as head.framing says.
    cdef void send_head(self, Message head, bint ends) noexcept
    # Takes every byte. False: it holds some, and on_ready follows once they are gone.
    cdef bint send_body(self, const uint8_t *data, size_t length) noexcept
    # The same by a pipe, where takes_pipes(): how much has left it. Where some is left, on_ready follows. -1: the
    # origin takes nothing any more, and what the pipe holds is lost.
    cdef bint takes_pipes(self) noexcept
    cdef ssize_t send_pipe(self, sl_pipe *pipe) noexcept
    cdef void send_end(self, Message trailers) noexcept
    # The taker takes content again, after on_body() was False.
    cdef void resume(self) noexcept
    # The response is not wanted any more: nothing more is called. The connection lives on only where both messages
    # were whole.
    cdef void cancel(self) noexcept
    # Whether its connection was used before: the request may be tried once more where it is lost untouched.
    cdef bint is_reused(self) noexcept
