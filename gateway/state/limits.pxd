# Places that every source holds at once, over all workers: this worker's view of csrc/shared/limit_table.h.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.addr cimport sl_addr, sl_prefix
from gateway.c.limit_table cimport SL_LIMIT_COUNT, sl_limits
from gateway.state.rates cimport Rates

cdef class Limits:
    cdef sl_limits table
    cdef Rates rates                      # requests a second
    cdef object mapping                   # keeps the table mapped
    cdef uint32_t most[SL_LIMIT_COUNT]    # that one source may hold
    cdef uint32_t at_once[SL_LIMIT_COUNT]  # that it takes without a look at what it is taken for (queues.pxd)
    cdef uint32_t most_tunnels            # that the gateway may hold
    cdef uint32_t most_handshakes         # likewise, of TLS with clients
    cdef sl_prefix *pods                  # networks in which every address is a source of its own; malloc'd
    cdef size_t pod_count
    cdef dict factors                     # source -> how many sources it counts as; None: all are one
    cdef readonly uint64_t strays         # places given back that were not held: internal errors

    # The source to count: a hash that no client can aim at.
    # `known`: the peer has an identity of its own, so that its whole address counts.
    cdef uint64_t of_peer(self, const sl_addr *peer, bint known) noexcept
    cdef uint64_t of_user(self, bytes user) noexcept
    # The identity of a certificate, with the address it comes from.
    cdef uint64_t of_identity(self, bytes identity, const sl_addr *peer) noexcept

    # A source counts as `factor` of them, until the next load().
    cdef void multiply(self, uint64_t source, uint32_t factor) noexcept
    cdef uint32_t times(self, uint64_t source, uint32_t most) noexcept
    cdef int _set(self, int kind, most) except -1
    cdef int _set_pods(self, list networks) except -1
    cdef sl_prefix *_parse(self, list networks) except? NULL

    # `place` is where the caller keeps what it holds, 0 for nothing. enter: False when there is none to be had; True at
    # once when one is held. leave: does nothing when none is held. So one place is never counted or given back twice.
    cdef bint enter(self, uint64_t source, int kind, uint32_t *place) noexcept
    # The same below a limit that leaves the last eighth of a large one free.
    cdef bint enter_at_once(self, uint64_t source, int kind, uint32_t *place) noexcept
    # Places of `kind` that are free for a source.
    cdef uint64_t free(self, uint64_t source, int kind) noexcept
    cdef bint enter_gateway(self, int kind, uint32_t *place) noexcept
    cdef void leave(self, int kind, uint32_t *place) noexcept
