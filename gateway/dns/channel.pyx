"""Questions on their way to DNS servers: c-ares on the worker's own epoll. A question is a name and an address family.

c-ares does retries, the change of server, TCP after truncation, and matches answers to questions by server, id and
question; records are read here (csrc/bytes/dns_answer.h), in bounded work. c-ares' own reader takes time quadratic in
the addresses of an answer, 4,000 of which fit into one over TCP, and takes records for what they do not belong to.
Names are asked as they are: no search domains, no aliases of hosts. It remembers nothing, and knows no deadline but its
own retries.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from cpython.ref cimport Py_DECREF, Py_INCREF, PyObject
from libc.stdint cimport uint32_t
from libc.string cimport memset

from gateway.c.dns_answer cimport SL_DNS_A, SL_DNS_AAAA, SL_DNS_FOUND, SL_DNS_NONE, sl_dns_answer_read
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT

cdef extern from *:
    """
    #include <ares.h>
    /* Newer c-ares remembers answers unless told not to. */
    static int without_cache(struct ares_options *options)
    {
    #ifdef ARES_OPT_QUERY_CACHE
        options->qcache_max_ttl = 0;
        return ARES_OPT_QUERY_CACHE;
    #else
        (void)options;
        return 0;
    #endif
    }
    """
    int without_cache(ares_options *options)

cdef extern from "<ares.h>":
    ctypedef int ares_socket_t
    ctypedef void (*ares_sock_state_cb)(void *data, ares_socket_t fd, int readable, int writable)
    ctypedef void (*ares_callback)(void *arg, int status, int timeouts, unsigned char *data, int length)
    struct ares_options:
        int flags
        int timeout
        int tries
        int ndomains
        int socket_receive_buffer_size
        char *lookups
        ares_sock_state_cb sock_state_cb
        void *sock_state_cb_data
    struct ares_addr_port_node:
        ares_addr_port_node *next
    int ares_library_init(int flags)
    int ares_init_options(ares_channel *channel, ares_options *options, int mask)
    int ares_set_servers_ports_csv(ares_channel channel, const char *servers)
    int ares_get_servers_ports(ares_channel channel, ares_addr_port_node **servers)
    void ares_free_data(void *data)
    void ares_query(ares_channel channel, const char *name, int dnsclass, int type, ares_callback callback, void *arg)
    void ares_process_fd(ares_channel channel, ares_socket_t read_fd, ares_socket_t write_fd)
    void ares_destroy(ares_channel channel)
    const char *ares_strerror(int code)
    enum:
        ARES_SUCCESS
        ARES_ENODATA
        ARES_ENOTFOUND
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
        ARES_OPT_SOCK_RCVBUF
        ARES_SOCKET_BAD

cdef enum:
    CLASS_IN = 1
    RETRY_MAX = 1000           # milliseconds before a question is asked again, at most ...
    RETRY_MIN = 50             # ... and at least
    TICKS = 8                  # looks at the retries in that time
    RECEIVE_BUFFER = 1048576   # a thousand names in flight are two thousand answers


cdef void on_socket_state(void *data, ares_socket_t fd, int readable, int writable) noexcept:
    """c-ares says which of its sockets it waits for."""
    cdef Channel channel = <Channel> <PyObject *> data
    cdef ChannelSocket handler = channel.sockets.get(fd)
    cdef uint32_t events = (EPOLLIN if readable else 0) | (EPOLLOUT if writable else 0)
    if events == 0:
        if handler is not None:
            channel.loop.unwatch(fd)
            del channel.sockets[fd]
            handler.closed = True
            channel.loop.park(handler)
        return
    if handler is None:
        handler = ChannelSocket(channel, fd)
        channel.sockets[fd] = handler
        channel.loop.keep(handler)
        channel.loop.watch(fd, handler, 0, events)
    else:
        channel.loop.rewatch(fd, handler, 0, events)


cdef void on_answer(void *arg, int status, int timeouts, unsigned char *data, int length) noexcept:
    """c-ares has an answer, or gives up, or is being destroyed."""
    cdef Sent sent = <Sent> <PyObject *> arg
    cdef NameQuery query = sent.query
    cdef sl_dns_answer answer
    cdef int reply = REPLY_FAILED
    Py_DECREF(sent)
    sent.channel.asked -= 1
    if status == ARES_SUCCESS:
        status = sl_dns_answer_read(data, <size_t> length, PyBytes_AS_STRING(query.name), PyBytes_GET_SIZE(query.name),
                                    SL_DNS_AAAA if sent.leg == LEG_IPV6 else SL_DNS_A, &answer)
        if status == SL_DNS_FOUND:
            reply = REPLY_FOUND
        elif status == SL_DNS_NONE:
            reply = REPLY_NONE
    elif status == ARES_ENOTFOUND or status == ARES_ENODATA:
        reply = REPLY_NONE
    elif status == ARES_ETIMEOUT:
        reply = REPLY_TIMEOUT
    query.on_reply(sent.leg, reply, &answer if reply == REPLY_FOUND else NULL)
    sent.channel.loop.settle(query)


cdef class NameQuery(Handler):
    """A query for a name; see channel.pxd."""

    cdef void on_reply(self, int leg, int reply, const sl_dns_answer *answer) noexcept:
        pass


cdef class Sent:
    """One question that c-ares holds."""

    cdef Channel channel
    cdef NameQuery query
    cdef int leg


cdef class ChannelSocket(Handler):
    """One of c-ares' sockets; c-ares owns the descriptor."""

    def __cinit__(self, Channel channel, int fd):
        self.channel = channel
        self.fd = fd

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        cdef bint broken = events & (EPOLLERR | EPOLLHUP)
        ares_process_fd(self.channel.handle, self.fd if broken or events & EPOLLIN else ARES_SOCKET_BAD,
                        self.fd if broken or events & EPOLLOUT else ARES_SOCKET_BAD)


cdef class Channel(Handler):
    """One set of sockets to the servers.

    `servers`: "ip", "ip:port" or "[ip6]:port"; empty means the system's (/etc/resolv.conf). `timeout`: milliseconds in
    which c-ares spends its tries. Raises ValueError for invalid servers, OSError when c-ares cannot begin.
    """

    def __cinit__(self, Loop loop, servers, uint64_t timeout):
        cdef int count
        self.loop = loop
        self.sockets = {}
        self.born = loop.now
        ares_library_init(ARES_LIB_INIT_ALL)
        self._open(servers, timeout, len(servers) or 1)
        count = self._server_count()
        if count > 1 and not servers:
            # Only now it is known among how many servers the time is to be shared.
            ares_destroy(self.handle)
            self._open(servers, timeout, count)
        loop.keep(self)

    def _open(self, servers, uint64_t timeout, int count):
        """Each pass over the servers takes twice as long as the one before; all fit into `timeout` milliseconds."""
        cdef ares_options options
        cdef int status, passes = 2
        while timeout // (count * ((1 << passes) - 1)) > RETRY_MAX and passes < 16:
            passes += 1
        memset(&options, 0, sizeof(options))
        options.flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES
        options.timeout = <int> max(timeout // (count * ((1 << passes) - 1)), <uint64_t> RETRY_MIN)
        options.tries = passes
        options.lookups = b"b"
        options.socket_receive_buffer_size = RECEIVE_BUFFER
        options.sock_state_cb = on_socket_state
        options.sock_state_cb_data = <void *> self
        self.tick = options.timeout // TICKS
        self.handle = NULL
        status = ares_init_options(&self.handle, &options, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES
                                   | ARES_OPT_DOMAINS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_SOCK_RCVBUF
                                   | without_cache(&options))
        if status != ARES_SUCCESS:
            raise OSError(f"c-ares: {ares_strerror(status).decode()}")
        if servers:
            status = ares_set_servers_ports_csv(self.handle, ",".join(servers).encode())
            if status != ARES_SUCCESS:
                ares_destroy(self.handle)
                raise ValueError(f"dns.servers: {ares_strerror(status).decode()}")

    cdef int _server_count(self) except -1:
        cdef ares_addr_port_node *first
        cdef ares_addr_port_node *node
        cdef int count = 0
        if ares_get_servers_ports(self.handle, &first) != ARES_SUCCESS:
            return 1
        node = first
        while node is not NULL:
            count += 1
            node = node.next
        ares_free_data(first)
        return count

    cdef void ask(self, NameQuery query, int leg) noexcept:
        """Sends a question; query.on_reply is called once, maybe before this returns. Not from inside on_reply."""
        cdef Sent sent = Sent.__new__(Sent)
        sent.channel, sent.query, sent.leg = self, query, leg
        if self.asked == 0:
            self.loop.arm(self, self.tick)
        self.asked += 1
        self.used += 1
        Py_INCREF(sent)
        ares_query(self.handle, PyBytes_AS_STRING(query.name), CLASS_IN, SL_DNS_AAAA if leg == LEG_IPV6 else SL_DNS_A,
                   on_answer, <void *> sent)

    cdef void on_timer(self) noexcept:
        # c-ares could say when its next retry is due, in time linear in what is in flight: a steady look costs less.
        ares_process_fd(self.handle, ARES_SOCKET_BAD, ARES_SOCKET_BAD)
        if self.asked > 0:
            self.loop.arm(self, self.tick)
        elif self.leaving:
            self.closed = True
            ares_destroy(self.handle)
            self.handle = NULL
            self.loop.park(self)

    cdef void retire(self) noexcept:
        """No more questions: ends when the last one has been answered, or c-ares has given up on it."""
        if not self.leaving:
            self.leaving = True
            self.loop.arm(self, 0 if self.asked == 0 else self.tick)
