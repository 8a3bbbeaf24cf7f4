# What the requests on a client's HTTP/2 connection become: tunnels, in their turn, or short answers.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.csrc cimport sl_addr
from gateway.h2_session cimport H2Event
from gateway.h2_streams cimport H2Stream
from gateway.h2_tunnel cimport H2Tunnel
from gateway.h2_writer cimport H2Writer

cdef class H2Requests(H2Writer):
    cdef uint8_t listener      # index into context.listeners
    cdef uint16_t peer_port
    cdef sl_addr peer
    cdef uint64_t source       # the peer, as limits know it
    cdef uint32_t place        # among the source's connections that carry nothing; held while this carries no tunnel
    cdef uint32_t tunnels
    cdef uint64_t short_since  # exchanges that are no tunnels have been under way for; loop milliseconds, 0: none is

    cdef void request(self, H2Event *event) noexcept
    # A request that the session has refused: one stream too many, or behind our GOAWAY.
    cdef void one_too_many(self, int status) noexcept
    # Resets the exchanges that are no tunnels and have lasted for the time of a request.
    cdef void end_short(self) noexcept
    # A request that is no CONNECT has come whole.
    cdef void plain(self, H2Stream *stream) noexcept
    cdef void not_found(self, H2Stream *stream, uint64_t sequence) noexcept
    # The `refused` line of a request without a record; answers its sequence.
    cdef uint64_t turned_away(self, int outcome, bytes tried, str detail) noexcept
    cdef void connect(self, H2Stream *stream, int status) noexcept
    cdef H2Tunnel asked_for(self)
    cdef void note_short(self) noexcept
    cdef void respond(self, H2Stream *stream, list block, bytes body) noexcept
    cdef void count_reset(self, int side, uint32_t code) noexcept
    # Counts and logs; answers the sequence of the line, which the id of the answer ends in.
    cdef uint64_t protocol_error(self, int outcome, bytes tried, str detail) noexcept
    # Arms the timer for what is awaited now.
    cdef void wait_for(self) noexcept
    # Ends the connection in good order.
    cdef void leave(self) noexcept
