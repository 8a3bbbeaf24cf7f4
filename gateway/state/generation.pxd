# One policy with its number, as connections ask it, and one that can become active.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.judge cimport sl_decision
from gateway.dns.resolver cimport Resolver
from gateway.parent.source_pool cimport SourcePool
from gateway.policy.image cimport PolicyImage
from gateway.state.prefixes cimport Prefixes

cdef class Generation:
    # Tunnels hold a reference to the one that admitted them.
    cdef readonly uint64_t number
    cdef readonly PolicyImage image
    cdef dict rule_texts             # rule index -> "Kind/namespace/name", made when first asked for
    cdef dict pools                  # where the image has a rule's source addresses -> SourcePool; made likewise

    cdef str rule_text(self, uint32_t rule)
    cdef SourcePool pool(self, const sl_decision *decision)
    cdef uint64_t credential(self, bytes user) noexcept

cdef class Loaded:
    # A generation that can become active: all that may fail has been done.
    cdef readonly uint64_t number
    cdef PolicyImage image
    cdef dict settings
    cdef list listeners
    cdef dict parents
    cdef Resolver resolver           # None: the active one goes on
    cdef Prefixes proxies            # peers that have to send a PROXY header
    cdef Prefixes speakers           # those of them whose header may have an identity
