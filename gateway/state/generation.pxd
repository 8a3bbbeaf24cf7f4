# One policy with its number, as connections ask it, and one that can become active.
from libc.stdint cimport uint32_t, uint64_t

from gateway.c.judge cimport sl_decision
from gateway.dns.resolver cimport Resolver
from gateway.io.loop cimport Loop
from gateway.parent.source_pool cimport SourcePool
from gateway.policy.image cimport PolicyImage
from gateway.state.prefixes cimport Prefixes
from gateway.tls.client cimport TlsClient, TlsClients

cdef class Generation:
    # Tunnels hold a reference to the one that admitted them; the image is unmapped when the last has gone.
    cdef Loop loop
    cdef readonly uint64_t number
    cdef readonly PolicyImage image
    cdef dict rule_texts             # rule index -> "Kind/namespace/name", made when first asked for
    cdef dict originations           # the image's text for TLS of a rule -> TlsClient
    cdef dict request_originations   # the same for HTTP requests; by "" that of `https` targets without such a rule
    cdef dict request_clients
    cdef dict parsed                 # where the image has texts of routes -> what gateway/routing made of them
    cdef dict upgrade_originations   # the same for requests that are to upgrade: HTTP/2 has no Upgrade
    cdef dict upgrade_clients
    cdef dict clients                # where the image has that text -> TlsClient; made likewise
    cdef dict pools                  # where the image has a rule's source addresses -> SourcePool; made likewise

    cdef str rule_text(self, uint32_t rule)
    cdef SourcePool pool(self, const sl_decision *decision)
    # TLS that a tunnel leaves by; None where the decision has none, or settings that are missing.
    cdef TlsClient origination(self, const sl_decision *decision)
    # The same for an HTTP request; `secure`: its target is https.
    cdef TlsClient request_origination(self, const sl_decision *decision, bint secure, bint upgrades)
    # The same towards a Service; `text` as the image has it, b"": cleartext.
    cdef TlsClient backend_origination(self, bytes text, bint upgrades)
    cdef uint64_t credential(self, bytes user) noexcept

cdef class Loaded:
    # A generation that can become active: all that may fail has been done.
    cdef readonly uint64_t number
    cdef PolicyImage image
    cdef dict settings
    cdef list listeners
    cdef dict parents
    cdef TlsClients clients          # TLS towards parents and origins
    cdef dict originations           # of them, those of rules, by the image's text
    cdef dict request_originations
    cdef dict upgrade_originations
    cdef Resolver resolver           # None: the active one goes on
    cdef Prefixes proxies            # peers that have to send a PROXY header
    cdef Prefixes speakers           # those of them whose header may have an identity
