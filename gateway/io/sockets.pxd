# Socket calls of the data path, as thin functions: options of a leg, a non-blocking dial, a close that resets.
from libc.stdint cimport uint16_t

from gateway.c.addr cimport sl_addr
from gateway.c.socket cimport sockaddr, socklen_t

cdef extern from "<sys/socket.h>" nogil:
    int accept4(int fd, sockaddr *addr, socklen_t *length, int flags)
    int socket(int domain, int kind, int protocol)
    int bind(int fd, const sockaddr *addr, socklen_t length)
    int connect(int fd, const sockaddr *addr, socklen_t length)
    int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
    int getsockname(int fd, sockaddr *addr, socklen_t *length)
    enum:
        AF_INET
        AF_INET6
        SOCK_STREAM
        SOCK_NONBLOCK
        SOCK_CLOEXEC
        SOL_SOCKET
        SO_ERROR
        SO_KEEPALIVE
        SO_LINGER
    struct linger_option "linger":
        int l_onoff
        int l_linger

cdef extern from "<sys/epoll.h>" nogil:
    enum:
        EPOLLIN
        EPOLLPRI
        EPOLLOUT
        EPOLLRDHUP
        EPOLLHUP
        EPOLLERR
        EPOLLET
        EPOLLONESHOT

# Options of one leg of a tunnel: no Nagle delay, a close that resets, keepalive after `idle` seconds, and a bound on
# unsent bytes. A listening socket hands them on to what it accepts.
cdef void tune(int fd, int idle) noexcept nogil
# Those of them that matter only to a connection that lasts: all but the first two.
cdef void keep_alive(int fd, int idle) noexcept nogil
# Whether close() is a reset (SO_LINGER 0). It is while a tunnel is not finished, so that its peers do not take the end
# of a worker for the end of the stream; what was sent and is not acknowledged is lost by it.
cdef void linger(int fd, bint reset) noexcept nogil
# Starts a connection without Nagle delay whose close is a reset, from the address `source` unless it is NULL. Returns
# the descriptor, connected or connecting; else -errno, -SL_DIAL_SOURCELESS when `source` is not this machine's.
cdef int dial(const sl_addr *addr, uint16_t port, const sl_addr *source) noexcept nogil
# The error of a finished dial, 0 when connected.
cdef int dial_error(int fd) noexcept nogil
# The local address of a connected socket; family 0 when unknown.
cdef void local_address(int fd, sl_addr *addr, uint16_t *port) noexcept nogil
