"""Parent gateways: a rule's `upstream` names the one that carries what it allows (DECISIONS.md section 3).

Most are asked over one connection for each tunnel, by SOCKS5 or HTTP CONNECT (client_handshake.pyx). Their answers
are looked at where they lie and taken from the leg once they are whole, so that the tunnel's first bytes
are still there when the tunnel begins. Parents of type http2tunnel carry many tunnels on one connection: to them leads
a ParentStream (upstream/pool.pyx).
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport uint16_t, uint32_t

from gateway.c.addr cimport SL_ADDR_TEXT, sl_addr, sl_addr_format, sl_addr_parse
from gateway.c.leg cimport sl_leg_ended, sl_leg_events, sl_leg_peek, sl_leg_pending, sl_leg_receive, sl_leg_send
from gateway.proto.client_handshake cimport (
    HANDSHAKE_DONE, HANDSHAKE_MAX, HANDSHAKE_MORE, HttpHandshake, Socks5Handshake,
)
from gateway.io.sockets cimport EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP


cdef class Parent:
    """Made from gateway.contract.UpstreamSettings."""

    def __init__(self, settings, TlsClients clients):
        cdef bytes text
        self.name, self.kind = settings["name"], settings["type"]
        for host, port in settings["addresses"][:MAX_PARENT_ADDRESSES]:
            text = host.encode("ascii")
            if not sl_addr_parse(text, len(text), &self.addresses[self.count]):
                raise ValueError("the address of an upstream is not an address")
            self.ports[self.count] = port
            self.count += 1
        self.user, self.password = settings["user"], settings["password"]
        self.shared = self.kind == "http2tunnel"
        self.announces = settings["announces"]
        if settings["tls"] is not None:
            self.tls = clients.client(settings["tls"])
        self.identity = (self.name, tuple(map(tuple, settings["addresses"])), self.user, self.password,
                         self.announces, self.tls.digest if self.tls is not None else None)

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


cdef class ParentStream(Handler):
    """A way through a shared connection; see parent.pxd."""

    def __cinit__(self, *args):
        self.fd = self.reason = -1

    cdef int take(self) noexcept:
        cdef int fd = self.fd
        self.fd = -1
        return fd

    cdef void cancel(self) noexcept:
        pass

    cdef void lead(self, Handler tunnel) noexcept:
        pass

    cdef void cut(self) noexcept:
        pass

    cdef void local(self, sl_addr *address) noexcept:
        address.family = 0


cdef class ParentStreams:
    """All shared connections of a worker; see parent.pxd."""

    cdef ParentStream ask(self, Parent parent, SourcePool source, Handler owner, str target):
        raise NotImplementedError

    cdef void keep_only(self, list parents) noexcept:
        pass

    cdef void close(self) noexcept:
        pass


@cython.final
cdef class ParentRequest:
    """See parent.pxd."""

    def __cinit__(self, Loop loop, Handshake codec):
        self.loop, self.codec = loop, codec

    cdef ParentStep start(self) noexcept:
        return PARENT_WAITS if self.say() else PARENT_FAILED

    cdef bint say(self) noexcept:
        """Sends what the codec has to say: little, into a buffer that is empty. False: it failed, as for put()."""
        cdef bytes out = self.codec.take_out()
        if out is not None:
            self.unsent = out if self.unsent is None else self.unsent + out
        return self.put()

    cdef bint put(self) noexcept:
        cdef Py_ssize_t length
        cdef ssize_t sent
        while self.unsent is not None:
            length = PyBytes_GET_SIZE(self.unsent)
            sent = sl_leg_send(self.leg, PyBytes_AS_STRING(self.unsent), length, False)
            if sent < 0:
                return errno == EAGAIN
            self.unsent = self.unsent[sent:] if sent < length else None
        return True

    cdef ParentStep on_event(self, uint32_t events) noexcept:
        events = sl_leg_events(self.leg, events)
        if events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            self.ended = True
        if events & EPOLLOUT and not self.put():
            return PARENT_FAILED
        if events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR):
            return self.read()
        return PARENT_WAITS

    cdef ParentStep read(self) noexcept:
        """Reads what lies there. An end counts once everything before it was read and is not a whole answer."""
        cdef ssize_t got
        cdef size_t used = 0, taken
        cdef int status
        cdef bint all_seen, ended
        while True:
            got = sl_leg_peek(self.leg, self.loop.scratch, HANDSHAKE_MAX)
            ended = sl_leg_ended(self.leg)
            all_seen = ended or not sl_leg_pending(self.leg)
            if got < 0 and errno == EAGAIN and not ((self.ended or ended) and all_seen):
                return PARENT_WAITS
            if got <= 0:
                return PARENT_FAILED
            status = self.codec.take(self.loop.scratch, got, &used)
            taken = 0
            while taken < used and got > 0:  # what was shown can be received without waiting
                got = sl_leg_receive(self.leg, self.loop.scratch, used - taken)
                taken += max(got, 0)
            if status == HANDSHAKE_DONE:
                return PARENT_CONNECTED
            if status != HANDSHAKE_MORE or not self.say() or ((self.ended or ended) and all_seen and not used):
                return PARENT_FAILED
            if not used:
                return PARENT_WAITS
