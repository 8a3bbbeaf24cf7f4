"""Parent gateways: a rule's `upstream` names the one that carries what it allows (DECISIONS.md section 3).

Most are asked over a connection of its own for each tunnel, by SOCKS5 or HTTP CONNECT (handshake.pyx). Their answers
are looked at where they lie (MSG_PEEK) and taken from the socket once they are whole, so that the tunnel's first bytes
are still there when the tunnel begins. Parents of type http2tunnel carry many tunnels on one connection: to them leads
a Passage (parent_pool.pyx).
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint16_t, uint32_t

from gateway.csrc cimport (
    SL_ADDR_TEXT, SL_OUTCOME_CONNECTED, SL_OUTCOME_INTERNAL, SL_OUTCOME_UPSTREAM_FAILED, sl_addr, sl_addr_format,
    sl_addr_parse,
)
from gateway.handshake cimport HANDSHAKE_DONE, HANDSHAKE_MAX, HANDSHAKE_MORE, HttpHandshake, Socks5Handshake
from gateway.sockets cimport (
    EPOLLERR, EPOLLET, EPOLLHUP, EPOLLIN, EPOLLRDHUP, MSG_DONTWAIT, MSG_NOSIGNAL, MSG_PEEK, recv, send,
)


cdef class Parent:
    """Made from gateway.contract.UpstreamSettings."""

    def __init__(self, settings):
        cdef bytes text
        self.name, self.kind = settings["name"], settings["type"]
        for host, port in settings["addresses"][:MAX_PARENT_ADDRESSES]:
            text = host.encode("ascii")
            if not sl_addr_parse(text, len(text), &self.addresses[self.count]):
                raise ValueError("the address of an upstream is none")
            self.ports[self.count] = port
            self.count += 1
        self.user, self.password = settings["user"], settings["password"]
        self.shared = self.kind == "http2tunnel"
        self.identity = (self.name, tuple(map(tuple, settings["addresses"])), self.user, self.password)

    cdef str host(self, bytes name, const sl_addr *address):
        cdef char text[SL_ADDR_TEXT]
        if name is not None:
            return name.decode("ascii")
        return text[:sl_addr_format(address, text)].decode("ascii")

    cdef str target(self, bytes name, const sl_addr *address, uint16_t port):
        cdef str host = self.host(name, address)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    cdef Handshake handshake(self, bytes name, const sl_addr *address, uint16_t port):
        cdef str host = self.host(name, address)
        return (Socks5Handshake if self.kind == "socks5" else HttpHandshake)(host, port, self.user, self.password)


cdef class Introduced(Waiter):
    """Whoever waits; see parent.pxd."""

    cdef void on_introduced(self, int outcome) noexcept:
        pass

    cdef void on_passed(self, int fd, int outcome, int reason) noexcept:
        pass


cdef class Passage(Handler):
    """A way through a shared connection; see parent.pxd."""

    cdef void cancel(self) noexcept:
        pass

    cdef void lead(self, Handler tunnel) noexcept:
        pass

    cdef void cut(self) noexcept:
        pass

    cdef void local(self, sl_addr *address) noexcept:
        address.family = 0


cdef class Passages:
    """All shared connections of a worker; see parent.pxd."""

    cdef Passage ask(self, Parent parent, SourcePool source, Introduced owner, str target):
        raise NotImplementedError

    cdef void keep_only(self, list parents) noexcept:
        pass

    cdef void close(self) noexcept:
        pass


cdef class Introduction(Handler):
    """See parent.pxd. Made for a connected and watched descriptor."""

    def __cinit__(self, Loop loop, Introduced owner, Handshake codec, int fd):
        self.loop, self.owner, self.codec, self.fd = loop, owner, codec, fd

    cdef void start(self) noexcept:
        """Speaks first; what comes is heard from then on."""
        self.loop.keep(self)
        if not self.loop.rewatch(self.fd, self, 0, EPOLLIN | EPOLLRDHUP | EPOLLET):
            self.tell(SL_OUTCOME_INTERNAL)
        elif not self.say():
            self.tell(SL_OUTCOME_UPSTREAM_FAILED)

    cdef bint say(self) noexcept:
        """Sends what the codec has to say: little, into a buffer that is empty."""
        cdef bytes out = self.codec.take_out()
        cdef Py_ssize_t length
        if out is None:
            return True
        length = PyBytes_GET_SIZE(out)
        return send(self.fd, PyBytes_AS_STRING(out), length, MSG_NOSIGNAL | MSG_DONTWAIT) == length

    cdef void on_event(self, uint32_t events, int leg) noexcept:
        self.listen(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR) != 0)

    cdef void listen(self, bint ended) noexcept:
        """Reads what lies there. An end counts once everything before it was read and is no whole answer."""
        cdef ssize_t got
        cdef size_t used = 0
        cdef int status
        while True:
            got = recv(self.fd, self.loop.scratch, HANDSHAKE_MAX, MSG_PEEK | MSG_DONTWAIT)
            if got < 0 and errno == EAGAIN and not ended:
                return
            if got <= 0:
                self.tell(SL_OUTCOME_UPSTREAM_FAILED)
                return
            status = self.codec.take(self.loop.scratch, got, &used)
            if used:
                recv(self.fd, self.loop.scratch, used, MSG_DONTWAIT)
            if status == HANDSHAKE_DONE:
                self.tell(SL_OUTCOME_CONNECTED)
                return
            if status != HANDSHAKE_MORE or not self.say() or (ended and not used):
                self.tell(SL_OUTCOME_UPSTREAM_FAILED)
                return
            if not used:
                return

    cdef void tell(self, int outcome) noexcept:
        """The last step: the owner hears how it went."""
        cdef Introduced owner = self.owner
        self.cancel()
        owner.on_introduced(outcome)

    cdef void cancel(self) noexcept:
        """Ends without a word."""
        if self.closed:
            return
        self.closed = True
        self.owner = None
        self.codec = None
        self.loop.park(self)

    cdef void close(self) noexcept:
        """An error of ours on the way."""
        if not self.closed:
            self.tell(SL_OUTCOME_INTERNAL)
