# Answers on a client's HTTP/2 connection that are no tunnels: a header block, and a body as windows allow. They know
# their session alone: how the stream of an answer ends is told to its connection.
from libc.stdint cimport uint8_t, uint64_t

from gateway.proto.http2.server cimport H2Server
from gateway.proto.http2.streams cimport H2Stream

cdef enum AnswerEnd:
    ANSWER_GOES_ON = 0         # it is not out yet
    ANSWER_ENDED = 1           # both sides have ended the stream
    ANSWER_BARE = 2            # a sidecar of the Pipy family has its status: nothing more is sent on the stream
    ANSWER_ENOUGH = 3          # RFC 9113 section 8.1: what the client still wants to send is of no use
    ANSWER_MALFORMED = 4       # the request broke the protocol: an error follows the answer

cdef class ShortAnswers:
    cdef H2Server server
    cdef uint64_t since        # loop milliseconds since which exchanges without a tunnel are under way; 0: none is

    # One is under way at `now`, loop milliseconds.
    cdef void note(self, uint64_t now) noexcept
    # A whole answer; None for a body: it has none.
    cdef AnswerEnd begin(self, H2Stream *stream, list block, bytes body, uint64_t now) except *
    # The page for those who look whether a gateway is there; where it is asked for by HEAD, its header alone.
    cdef AnswerEnd begin_page(self, H2Stream *stream, uint64_t now) except *
    # Nothing else is here. `identifier` is that of the log line; `message` the operator's own line, or None.
    cdef AnswerEnd begin_none(self, H2Stream *stream, str identifier, str message, uint64_t now) except *
    # The rest of a body, as windows allow: one frame at `at`, its bytes.
    cdef size_t fill(self, H2Stream *stream, uint8_t *at, size_t room, AnswerEnd *end) noexcept
    # A look at the exchanges from `stream` on, which may be NULL: the first that was under way at the last look, or
    # NULL. `left` is set where one goes on.
    cdef H2Stream *late(self, H2Stream *stream, bint *left) noexcept
    # The end of a stream whose answer is out, or outgoing.
    cdef AnswerEnd given(self, const H2Stream *stream) noexcept
