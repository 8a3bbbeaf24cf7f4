# What every connection of one worker shares: the generation in force, limits, counters, credentials, the log.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from gateway.csrc cimport (
    sl_addr, sl_counter, sl_family, sl_label_key, sl_pipe_pool, sl_segment, sl_segment_labelled, sl_source,
)
from gateway.h2_work cimport H2Work
from gateway.limits cimport Limits
from gateway.local_routes cimport LocalRoutes
from gateway.log cimport AccessLog
from gateway.logins cimport Logins
from gateway.loop cimport Handler, Loop
from gateway.parent cimport Passages
from gateway.policy cimport PolicyImage
from gateway.queues cimport PlaceQueues
from gateway.resolver cimport Resolver
from gateway.source_pool cimport SourcePool

cdef enum Protocol:
    PROTOCOL_AUTO = 0
    PROTOCOL_SOCKS5 = 1
    PROTOCOL_HTTP = 2
    PROTOCOL_HTTP2 = 3

cdef class ListenerSpec:
    # One listener of the settings: what its connections may speak and how they are judged.
    cdef readonly str name
    cdef readonly int protocol       # Protocol
    cdef readonly int auth           # AuthMode of codec.pxd
    cdef readonly bint audit
    cdef readonly int inner          # sl_inner_mode
    cdef readonly bint diagnostics   # GET and POST of / are answered on HTTP/2

cdef class Generation:
    # One policy in force; tunnels hold a reference to the one that admitted them.
    cdef readonly uint64_t number
    cdef readonly PolicyImage image
    cdef dict rule_texts             # rule index -> "Kind/namespace/name", made when first asked for
    cdef dict pools                  # text of attributes, as the image knows it -> SourcePool; made likewise

    cdef str rule_text(self, uint32_t rule)
    cdef SourcePool pool(self, uint32_t rule)
    cdef uint64_t credential(self, bytes user) noexcept

cdef class Context:
    cdef Loop loop
    cdef sl_segment *segment
    cdef object mapping              # keeps the segment mapped
    cdef readonly int slot
    cdef readonly str prefix         # of tunnel ids: "<slot>-<start>-"
    cdef uint64_t sequence
    cdef Generation generation
    cdef list listeners              # ListenerSpec, in the order of the inherited descriptors
    cdef Resolver resolver
    cdef LocalRoutes routes          # which destinations are this machine
    cdef dict parents                # name as bytes -> Parent, of this generation
    cdef Passages passages           # the connections to them that many tunnels share
    cdef uint64_t flows              # streams of those that still carry something: a drain waits for them
    cdef uint64_t parent_connections  # open ones
    cdef object dns                  # the settings the resolver was made from
    cdef sl_source source            # scratch: the source being judged, valid within one call
    cdef set connections             # every client connection, and every HTTP/2 stream that asks or is a tunnel
    cdef uint64_t streams            # such streams among them
    cdef uint64_t multiplexed        # HTTP/2 connections among them: they dial nothing themselves
    cdef uint64_t tunnels            # open ones
    cdef readonly Limits limits
    cdef PlaceQueues queues          # of those that wait for a place below them
    cdef uint64_t file_limit         # descriptors that this process may have
    cdef uint64_t files_apart        # those that are no client's and no upstream's
    cdef uint64_t extra_dials        # attempts under way beside the first one of their request
    cdef sl_pipe_pool pipes          # for bulk; its pipes take what descriptors are left
    cdef bint full                   # too few descriptors are left: nobody is accepted
    cdef uint64_t request_timeout    # milliseconds, as the rest
    cdef uint64_t dial_timeout
    cdef uint64_t idle_timeout
    cdef uint64_t half_close_timeout
    cdef readonly int keep_alive     # seconds without a byte until a peer is probed
    cdef set apart                   # connections to parents
    cdef uint32_t streams_per_connection   # of HTTP/2, of RFC form
    cdef uint64_t drain_time         # shutdown.drain: also how long a tunnel revoked with `drain` may go on
    cdef bint access_log
    cdef readonly str deny_message   # gateway.denyMessage, or None
    cdef readonly uint64_t log_interval   # 0: no interval lines
    cdef bint draining
    cdef H2Work work                 # buffers of HTTP/2 connections; None before the first one
    cdef uint64_t published_turns    # what the segment holds of the loop's figures
    cdef uint64_t published_failures
    cdef AccessLog log
    cdef object on_empty             # called when a drain has no connection left
    cdef object on_full              # called with True when nobody is accepted any more, with False when it goes on
    cdef Logins logins

    cdef inline void count(self, sl_counter counter) noexcept:
        self.segment.counters[<unsigned> counter] += 1

    cdef inline uint64_t *labelled(self, sl_family family, unsigned a, unsigned b, unsigned c, unsigned slot) noexcept:
        return sl_segment_labelled(self.segment, sl_label_key(family, a, b, c, slot))

    cdef inline void set_gauge(self, sl_counter counter, uint64_t value) noexcept:
        self.segment.counters[<unsigned> counter] = value

    cdef inline void add(self, sl_counter counter, uint64_t amount) noexcept:
        self.segment.counters[<unsigned> counter] += amount

    cdef void limited(self, int scope) noexcept
    cdef bint has_files(self, uint64_t clients, uint64_t dials, uint64_t rest) noexcept
    cdef void ask_file_limit(self) noexcept
    cdef void spare_pipes(self) noexcept
    cdef void set_full(self, bint full) noexcept
    # Whom limits count a peer for that has shown no credentials.
    cdef uint64_t source_of(self, const sl_addr *peer) noexcept
    cdef bint listener_audits(self, int listener) noexcept
    cdef void entered(self, Handler connection)
    cdef void left(self, Handler connection)
    cdef void tell_empty(self) noexcept
    cdef void stream_entered(self, Handler stream)
    # Said just before left().
    cdef void stream_left(self, Handler stream)
    # A connection to a parent, or one of its streams that carries a tunnel: each has a descriptor that is no client's
    # and no upstream's.
    cdef void parent_entered(self) noexcept
    cdef void parent_left(self) noexcept
    cdef void flow_entered(self) noexcept
    cdef void flow_left(self) noexcept
