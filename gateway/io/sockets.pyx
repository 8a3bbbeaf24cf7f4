"""Socket calls of the data path, as thin functions. Nothing here waits, and nothing here decides."""

from libc.errno cimport EADDRNOTAVAIL, EINPROGRESS, errno
from libc.string cimport memset
from posix.unistd cimport close

from gateway.c.addr cimport sl_addr_from_sockaddr, sl_addr_to_sockaddr
from gateway.c.dial_error cimport SL_DIAL_SOURCELESS
from gateway.c.socket cimport sockaddr_storage

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_IP
        IPPROTO_TCP

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_NODELAY
        TCP_KEEPIDLE
        TCP_KEEPINTVL
        TCP_KEEPCNT
        TCP_NOTSENT_LOWAT

# Since Linux 4.2; the C library's headers may be older.
cdef extern from *:
    """
    #ifndef IP_BIND_ADDRESS_NO_PORT
    #define IP_BIND_ADDRESS_NO_PORT 24
    #endif
    """
    enum:
        IP_BIND_ADDRESS_NO_PORT

cdef enum:
    KEEPALIVE_PROBES = 4       # a quarter of keepAlive apart: an idle peer is given up after twice keepAlive
    UNSENT = 262144            # bytes that wait in a socket behind those in flight: one pipe


cdef inline void set_option(int fd, int level, int name, int value) noexcept nogil:
    setsockopt(fd, level, name, &value, sizeof(value))


cdef void tune(int fd, int idle) noexcept nogil:
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1)
    linger(fd, True)
    keep_alive(fd, idle)


cdef void keep_alive(int fd, int idle) noexcept nogil:
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1)
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, idle)
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, max(1, idle // KEEPALIVE_PROBES))
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES)
    set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT)


cdef void linger(int fd, bint reset) noexcept nogil:
    cdef linger_option option
    option.l_onoff = reset
    option.l_linger = 0
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &option, sizeof(option))


cdef inline int bind_address(int fd, const sl_addr *source) noexcept nogil:
    """The port is chosen by connect, which knows the destination: else one address would serve 28,000 tunnels in all
    instead of to each destination (ip(7), IP_BIND_ADDRESS_NO_PORT)."""
    cdef sockaddr_storage storage
    memset(&storage, 0, sizeof(storage))
    set_option(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
    return bind(fd, <sockaddr *> &storage, sl_addr_to_sockaddr(source, 0, &storage))


cdef int dial(const sl_addr *addr, uint16_t port, const sl_addr *source) noexcept nogil:
    cdef sockaddr_storage storage
    cdef socklen_t length
    cdef int fd, code
    memset(&storage, 0, sizeof(storage))
    length = sl_addr_to_sockaddr(addr, port, &storage)
    fd = socket(AF_INET if addr.family == 4 else AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)
    if fd < 0:
        return -errno
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1)
    linger(fd, True)
    if source is not NULL and bind_address(fd, source) < 0:
        code = SL_DIAL_SOURCELESS if errno == EADDRNOTAVAIL else errno
        close(fd)
        return -code
    if connect(fd, <sockaddr *> &storage, length) < 0 and errno != EINPROGRESS:
        code = errno
        close(fd)
        return -code
    return fd


cdef int dial_error(int fd) noexcept nogil:
    cdef int code = 0
    cdef socklen_t length = sizeof(code)
    if getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &length) < 0:
        return errno
    return code


cdef void local_address(int fd, sl_addr *addr, uint16_t *port) noexcept nogil:
    cdef sockaddr_storage storage
    cdef socklen_t length = sizeof(storage)
    addr.family = 0
    port[0] = 0
    if getsockname(fd, <sockaddr *> &storage, &length) == 0:
        sl_addr_from_sockaddr(<sockaddr *> &storage, addr, port)
