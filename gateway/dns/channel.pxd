# Questions on their way to DNS servers: c-ares on the worker's own epoll.
from libc.stdint cimport uint64_t

from gateway.c.dns_answer cimport sl_dns_answer
from gateway.io.loop cimport Handler, Loop

cdef extern from "<ares.h>" nogil:
    struct ares_channeldata:
        pass
    ctypedef ares_channeldata *ares_channel

cdef enum:
    LEG_IPV4 = 0
    LEG_IPV6 = 1
    LEGS = 2

cdef enum Reply:
    REPLY_FAILED = 0           # SERVFAIL, refused, malformed, no server to be reached
    REPLY_FOUND = 1
    REPLY_NONE = 2             # NXDOMAIN, or no address of this family
    REPLY_TIMEOUT = 3

cdef class NameQuery(Handler):
    # A query for `name`, which asks a question for each family. Called once for each Channel.ask, inside a call into
    # c-ares or before ask() returns: it may take notes and ask for a turn, and nothing more. `answer` is NULL unless it
    # is REPLY_FOUND.
    cdef readonly bytes name
    cdef void on_reply(self, int leg, int reply, const sl_dns_answer *answer) noexcept

cdef class Channel(Handler):
    cdef Loop loop
    cdef ares_channel handle
    cdef dict sockets          # descriptor -> ChannelSocket
    cdef uint64_t tick         # milliseconds between looks at c-ares' retries
    cdef int asked             # questions that c-ares still holds
    cdef int used              # questions it ever got
    cdef uint64_t born
    cdef bint leaving          # no more questions: end when the last answer has come

    cdef int _server_count(self) except -1
    cdef void ask(self, NameQuery query, int leg) noexcept
    cdef void retire(self) noexcept

cdef class ChannelSocket(Handler):
    cdef Channel channel
    cdef int fd
