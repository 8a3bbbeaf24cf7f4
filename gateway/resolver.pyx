"""Names to addresses: /etc/hosts first, then DNS through c-ares, on the worker's own epoll.

Names are asked as absolute: no search domains, no host aliases. Single labels come from /etc/hosts alone, and `localhost` never
goes to DNS (RFC 6761 section 6.3). One time limit bounds a whole look-up, whatever c-ares retries inside it.
It decides nothing: which of the addresses may be dialed is the caller's.
"""

import os

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memset

from gateway.csrc cimport (
    SL_NAME_BUFFER, SL_NAME_OK, sl_addr_from_sockaddr, sl_addr_parse, sl_name_canonical, sockaddr,
)
from gateway.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT

cdef extern from "<sys/time.h>" nogil:
    struct timeval:
        long tv_sec
        long tv_usec

cdef extern from "<ares.h>":
    ctypedef int ares_socket_t
    ctypedef void (*ares_sock_state_cb)(void *data, ares_socket_t fd, int readable, int writable)
    struct ares_options:
        int flags
        int timeout
        int tries
        int ndomains
        char **domains
        char *lookups
        ares_sock_state_cb sock_state_cb
        void *sock_state_cb_data
    struct ares_addrinfo_node:
        int ai_family
        sockaddr *ai_addr
        ares_addrinfo_node *ai_next
    struct ares_addrinfo:
        ares_addrinfo_node *nodes
    struct ares_addrinfo_hints:
        int ai_flags
        int ai_family
        int ai_socktype
        int ai_protocol
    ctypedef void (*ares_addrinfo_callback)(void *arg, int status, int timeouts, ares_addrinfo *result)
    int ares_library_init(int flags)
    int ares_init_options(ares_channel *channel, ares_options *options, int mask)
    int ares_set_servers_ports_csv(ares_channel channel, const char *servers)
    void ares_getaddrinfo(ares_channel channel, const char *node, const char *service, const ares_addrinfo_hints *hints,
                          ares_addrinfo_callback callback, void *arg)
    void ares_freeaddrinfo(ares_addrinfo *ai)
    void ares_process_fd(ares_channel channel, ares_socket_t read_fd, ares_socket_t write_fd)
    timeval *ares_timeout(ares_channel channel, timeval *maximum, timeval *buffer)
    void ares_destroy(ares_channel channel)
    const char *ares_strerror(int code)
    enum:
        ARES_SUCCESS
        ARES_ETIMEOUT
        ARES_LIB_INIT_ALL
        ARES_FLAG_NOSEARCH
        ARES_FLAG_NOALIASES
        ARES_OPT_FLAGS
        ARES_OPT_TIMEOUTMS
        ARES_OPT_TRIES
        ARES_OPT_DOMAINS
        ARES_OPT_LOOKUPS
        ARES_OPT_SOCK_STATE_CB
        ARES_SOCKET_BAD
        ARES_AI_NOSORT
        AF_UNSPEC
        SOCK_STREAM

cdef enum:
    HOSTS_CHECK = 1000         # milliseconds between looks at the file's times
    HOSTS_MAX_BYTES = 4194304
    FIRST_TRY = 1000           # milliseconds before c-ares asks again
    TRIES = 3
    NAME_ROOM = 256            # a canonical name, its root dot and NUL

cdef sl_addr LOCALHOST[2]
sl_addr_parse(b"127.0.0.1", 9, &LOCALHOST[0])
sl_addr_parse(b"::1", 3, &LOCALHOST[1])


cdef class Waiter(Handler):
    """Who waits for an answer; see resolver.pxd."""

    cdef void on_resolved(self, int status, const sl_addr *addresses, int count) noexcept:
        pass


cdef class HostsFile:
    """A hosts(5) file, read again when its times change; unreadable means empty."""

    def __init__(self, path="/etc/hosts"):
        self.path = path
        self.names = {}

    cdef bytes find(self, bytes name, uint64_t now):
        """The addresses of a canonical name as packed sl_addr records, or None."""
        if self.stamp is None or now - self.checked >= HOSTS_CHECK:
            self.checked = now
            self._refresh()
        return self.names.get(name)

    def _refresh(self):
        try:
            stat = os.stat(self.path)
            stamp = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if stamp == self.stamp:
                return
            with open(self.path, "rb") as file:
                self._parse(file.read(HOSTS_MAX_BYTES))
            self.stamp = stamp
        except OSError:
            self.names, self.stamp = {}, ()

    def _parse(self, bytes text):
        cdef sl_addr address, ignored
        cdef char canonical[SL_NAME_BUFFER]
        cdef size_t length
        cdef bytes word
        names = {}
        for line in text.splitlines():
            words = line.split(b"#", 1)[0].split()
            if len(words) < 2:
                continue
            word = words[0]
            memset(&address, 0, sizeof(address))
            if not sl_addr_parse(PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word), &address):
                continue
            record = (<char *> &address)[:sizeof(address)]
            for word in words[1:]:
                if sl_name_canonical(<uint8_t *> PyBytes_AS_STRING(word), PyBytes_GET_SIZE(word), canonical, &length,
                                     &ignored) == SL_NAME_OK:
                    found = names.setdefault(canonical[:length], [])
                    if record not in found and len(found) < MAX_ADDRESSES:
                        found.append(record)
        self.names = {name: b"".join(found) for name, found in names.items()}


cdef void on_socket_state(void *data, ares_socket_t fd, int readable, int writable) noexcept:
    """c-ares says which of its sockets it waits for."""
    cdef Resolver resolver = <Resolver> <PyObject *> data
    cdef ResolverSocket handler = resolver.sockets.get(fd)
    cdef uint32_t events = (EPOLLIN if readable else 0) | (EPOLLOUT if writable else 0)
    if events == 0:
        if handler is not None:
            resolver.loop.unwatch(fd)
            del resolver.sockets[fd]
            handler.closed = True
            resolver.loop.park(handler)
        return
    if handler is None:
        handler = ResolverSocket(resolver, fd)
        resolver.sockets[fd] = handler
        resolver.loop.keep(handler)
        resolver.loop.watch(fd, handler, 0, events)
    else:
        resolver.loop.rewatch(fd, handler, 0, events)


cdef void on_answer(void *arg, int status, int timeouts, ares_addrinfo *result) noexcept:
    """c-ares has an answer, or gives up, or is being destroyed."""
    cdef Lookup look = <Lookup> <PyObject *> arg
    cdef sl_addr addresses[MAX_ADDRESSES]
    cdef ares_addrinfo_node *node
    cdef uint16_t port
    cdef int count = 0
    Py_DECREF(look)
    look.resolver.asked -= 1
    if result is not NULL:
        node = result.nodes
        while node is not NULL and count < MAX_ADDRESSES:
            memset(&addresses[count], 0, sizeof(sl_addr))
            if sl_addr_from_sockaddr(node.ai_addr, &addresses[count], &port):
                count += 1
            node = node.ai_next
        ares_freeaddrinfo(result)
    if count > 0:
        look.finish(RESOLVE_OK, addresses, count)
    else:
        look.finish(RESOLVE_TIMEOUT if status == ARES_ETIMEOUT else RESOLVE_FAILED, NULL, 0)


cdef class ResolverSocket(Handler):
    """One of c-ares' sockets; c-ares owns the descriptor."""

    def __cinit__(self, Resolver resolver, int fd):
        self.resolver = resolver
        self.fd = fd

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        cdef Resolver resolver = self.resolver
        cdef bint broken = events & (EPOLLERR | EPOLLHUP)
        ares_process_fd(resolver.channel, self.fd if broken or events & EPOLLIN else ARES_SOCKET_BAD,
                        self.fd if broken or events & EPOLLOUT else ARES_SOCKET_BAD)
        resolver.processed()

    cdef void close(self) noexcept:
        pass


cdef class ResolverClock(Handler):
    """Wakes c-ares for its retries."""

    def __cinit__(self, Resolver resolver):
        self.resolver = resolver

    cdef void on_timer(self) noexcept:
        if self.resolver.retired and self.resolver.asked == 0:
            self.resolver.shut()
            return
        ares_process_fd(self.resolver.channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD)
        self.resolver.processed()


cdef class Lookup(Handler):
    """One question under way: who waits, and until when."""

    def __cinit__(self, Resolver resolver, Waiter waiter):
        self.resolver = resolver
        self.waiter = waiter

    cdef void finish(self, int status, const sl_addr *addresses, int count) noexcept:
        cdef Waiter waiter = self.waiter
        if self.closed:
            return
        self.closed = True
        self.waiter = None
        if status != RESOLVE_OK:
            self.resolver.failures += 1
        self.resolver.loop.park(self)
        if not waiter.closed:
            waiter.on_resolved(status, addresses, count)

    cdef void on_timer(self) noexcept:
        # c-ares goes on alone; its late answer finds this look-up closed.
        self.finish(RESOLVE_TIMEOUT, NULL, 0)

    cdef void close(self) noexcept:
        self.finish(RESOLVE_FAILED, NULL, 0)


cdef class Resolver:
    """Answers names for one worker.

    `servers`: "ip", "ip:port" or "[ip6]:port"; empty means the system's (/etc/resolv.conf). `timeout`: seconds.
    """

    def __cinit__(self, Loop loop, servers, double timeout, hosts_path="/etc/hosts"):
        cdef ares_options options
        cdef int status
        self.loop = loop
        self.hosts = HostsFile(hosts_path)
        self.sockets = {}
        self.timeout = <uint64_t> (timeout * 1000)
        self.clock = ResolverClock(self)
        memset(&options, 0, sizeof(options))
        options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES
        options.timeout = <int> min(<uint64_t> FIRST_TRY, max(self.timeout // TRIES, <uint64_t> 50))
        options.tries = TRIES
        options.lookups = b"b"
        options.sock_state_cb = on_socket_state
        options.sock_state_cb_data = <void *> self
        ares_library_init(ARES_LIB_INIT_ALL)
        status = ares_init_options(&self.channel, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES
                                   | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB)
        if status != ARES_SUCCESS:
            self.channel = NULL
            raise OSError(f"c-ares: {ares_strerror(status).decode()}")
        if servers:
            status = ares_set_servers_ports_csv(self.channel, ",".join(servers).encode())
            if status != ARES_SUCCESS:
                raise ValueError(f"dns.servers: {ares_strerror(status).decode()}")

    def __dealloc__(self):
        if self.channel is not NULL:
            ares_destroy(self.channel)

    cdef void lookup(self, const char *name, size_t length, Waiter waiter) noexcept:
        """Asks for a canonical name; waiter.on_resolved is called once, unless the waiter closed before."""
        cdef bytes text = name[:length]
        cdef bytes found = self.hosts.find(text, self.loop.now)
        cdef char absolute[NAME_ROOM]
        cdef ares_addrinfo_hints hints
        cdef Lookup look
        if found is not None:
            waiter.on_resolved(RESOLVE_OK, <const sl_addr *> PyBytes_AS_STRING(found),
                               <int> (<size_t> PyBytes_GET_SIZE(found) // sizeof(sl_addr)))
            return
        if text == b"localhost" or text.endswith(b".localhost"):
            waiter.on_resolved(RESOLVE_OK, LOCALHOST, 2)
            return
        if b"." not in text:
            self.failures += 1
            waiter.on_resolved(RESOLVE_FAILED, NULL, 0)
            return
        memcpy(absolute, name, length)
        absolute[length] = b"."
        absolute[length + 1] = 0
        memset(&hints, 0, sizeof(hints))
        hints.ai_family = AF_UNSPEC
        hints.ai_socktype = SOCK_STREAM
        hints.ai_flags = ARES_AI_NOSORT
        look = Lookup(self, waiter)
        self.loop.keep(look)
        self.loop.arm(look, self.timeout)
        self.queries += 1
        self.asked += 1
        Py_INCREF(look)
        ares_getaddrinfo(self.channel, absolute, NULL, &hints, on_answer, <void *> look)
        self.processed()

    cdef void processed(self) noexcept:
        """After any call into c-ares: wake it when its next retry is due."""
        cdef timeval buffer
        cdef timeval *wait = ares_timeout(self.channel, NULL, &buffer)
        if self.retired and self.asked == 0:
            self.loop.arm(self.clock, 0)
        elif wait is NULL:
            self.loop.disarm(self.clock)
        else:
            self.loop.arm(self.clock, <uint64_t> (<int64_t> wait.tv_sec * 1000 + wait.tv_usec // 1000 + 1))

    cdef void retire(self) noexcept:
        """Another resolver answers from now on: let what is under way end, then let go. Not from inside a c-ares call."""
        self.retired = True
        self.loop.arm(self.clock, 0)

    cdef void shut(self) noexcept:
        """Ends every look-up under way: their waiters hear RESOLVE_FAILED."""
        if self.channel is not NULL:
            ares_destroy(self.channel)
            self.channel = NULL
        self.loop.disarm(self.clock)
        self.clock = None
