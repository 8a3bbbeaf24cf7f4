# One client's HTTP/2 connection: what it takes of a turn, what its frames mean, and its times.
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from gateway.downstream.http2.answers cimport AnswerEnd, ShortAnswers
from gateway.downstream.http2.requests cimport H2Requests
from gateway.http2.carrier cimport H2Carrier
from gateway.proto.http2.core cimport H2Event
from gateway.proto.http2.server cimport H2Server
from gateway.proto.http2.streams cimport H2Stream
from gateway.c.leg cimport sl_leg
from gateway.state.limits cimport Limits
from gateway.state.parts cimport WorkerParts
from gateway.state.request cimport Request
from gateway.state.roster cimport Roster
from gateway.state.settings cimport Settings

cdef class H2Connection(H2Carrier):
    cdef Settings settings
    cdef Roster roster
    cdef Limits limits
    cdef H2Server server       # the session, by its own type
    cdef H2Requests requests   # the client's requests, and who it is
    cdef ShortAnswers answers
    cdef uint32_t place        # place among the source's connections without a tunnel; 0: not held
    cdef uint32_t tunnels      # tunnels carried now
    cdef int32_t frames        # frames left of the last share that the turn was not charged with
    cdef int32_t blocks        # header blocks of the same

    # Takes over a socket whose first bytes are `data`.
    cdef void enter(self, const uint8_t *data, size_t length) noexcept
    cdef void allow(self, int32_t frames, int32_t blocks) noexcept

    cdef void request(self, H2Event *event) noexcept
    cdef void connect(self, H2Stream *stream, int status) noexcept
    cdef void exchange(self, H2Stream *stream, bint end) noexcept
    cdef void take_trailers(self, H2Stream *stream) noexcept
    cdef void page(self, H2Stream *stream) noexcept
    # A request that is not a CONNECT has come whole.
    cdef void plain(self, H2Stream *stream) noexcept
    # An answer that is no tunnel stands like that: its stream ends, or goes on.
    cdef void settle(self, H2Stream *stream, AnswerEnd end) noexcept
    # Resets the exchanges that are no tunnels and have lasted for the time of a request.
    cdef void end_short(self) noexcept
    cdef void take_data(self, H2Event *event) noexcept
    cdef void touch(self, H2Stream *stream, const uint8_t *data, uint32_t size) noexcept
    cdef void hand_out(self) noexcept
    cdef void hand_out_to(self, H2Stream *stream) noexcept
    cdef void ended_stream(self, H2Stream *stream, uint32_t code, int side) noexcept
    cdef void timed_out(self, uint32_t code) noexcept

# Of the client `who`, on its leg, which is the connection's from now on; to be entered. `auth`: AuthMode.
cdef H2Connection http2_connection_of(WorkerParts parts, Request who, int auth, const sl_leg *leg)
