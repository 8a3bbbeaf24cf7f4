"""Connections that are sent as to the destination itself: by server name (`protocol: tls`, and a ClientHello where
`auto` is cleartext), and to a fixed destination (`protocol: tcp`). See direct.pxd.

* A ClientHello is read to 64 KiB, in whatever pieces it comes (csrc/bytes/hello.c). It is looked at and not touched:
  all of it is payload. Of an encrypted one (ECH) the outer name counts.
* Without a server name, or with the gateway's own, there is no destination: `no_server_name`.
* Nothing is answered: success is the destination's own bytes, a refusal is a close. Only the log says why.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from gateway.c.contract cimport SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_MALFORMED, SL_OUTCOME_NO_SERVER_NAME
from gateway.c.hello cimport sl_hello_read
from gateway.c.inner cimport (
    SL_INNER_MAX, SL_INNER_MORE, SL_INNER_TLS_NAME, SL_INNER_TLS_NONE, SL_INNER_TOO_LONG, sl_inner,
)
from gateway.proto.codec cimport AUTH_REQUIRED, CODEC_MORE, CODEC_REQUEST

cdef enum:
    HANDSHAKE = 0x16           # RFC 8446 section 5.1: ContentType
    ROOM_FIRST = 2048          # bytes; most hellos have less


cdef class ServerNameCodec(Codec):
    """`auth` is 0 (off), 1 (optional) or 2 (required), which no ClientHello satisfies."""

    def __cinit__(self):
        self.protocol = "tls"
        self.own = frozenset()

    def __dealloc__(self):
        free(self.hello)

    cdef int consume(self, const uint8_t *data, size_t length, size_t *used) except -1:
        cdef sl_inner found
        cdef const uint8_t *hello = data
        cdef size_t size = min(length, <size_t> SL_INNER_MAX - self.length)
        cdef int status
        if self.auth == AUTH_REQUIRED:
            return self.fail(SL_OUTCOME_AUTH_FAILED, "credentials are required, and a ClientHello has none", None)
        if self.length:
            self.keep(data, size)
            used[0] = size
            hello, size = self.hello, self.length
        if hello[0] != HANDSHAKE:
            return self.fail(SL_OUTCOME_MALFORMED, "expected a ClientHello", None)
        status = sl_hello_read(hello, size, size == SL_INNER_MAX, &found)
        if status == SL_INNER_MORE:
            if not self.length:
                self.keep(data, size)
            used[0] = length
            return CODEC_MORE
        if status == SL_INNER_TLS_NONE:
            return self.no_name("the ClientHello has no server name")
        if status == SL_INNER_TOO_LONG:
            return self.fail(SL_OUTCOME_MALFORMED, "64 KiB of a ClientHello without a server name", None)
        if status != SL_INNER_TLS_NAME:
            return self.fail(SL_OUTCOME_MALFORMED, "the ClientHello is broken, or its server name is not one host name",
                             None)
        memcpy(self.name, found.name, sizeof(found.name))
        self.name_length = found.name_length
        if self.name[:self.name_length] in self.own:
            return self.no_name("the server name is the gateway's own")
        if self.length:
            self.early = (<const char *> self.hello)[:self.length]
        return CODEC_REQUEST

    cdef int keep(self, const uint8_t *data, size_t length) except -1:
        cdef size_t room = self.room or <size_t> ROOM_FIRST
        cdef void *grown
        while room < self.length + length:
            room *= 2
        if room > self.room:
            grown = realloc(self.hello, room)
            if grown == NULL:
                raise MemoryError
            self.hello, self.room = <uint8_t *> grown, room
        memcpy(self.hello + self.length, data, length)
        self.length += length
        return 0

    cdef int no_name(self, str detail) noexcept:
        return self.fail(SL_OUTCOME_NO_SERVER_NAME, detail, None)

    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        return b""


cdef class DestinationCodec(Codec):
    """Has a request once ask() was called, and reads nothing."""

    def __cinit__(self):
        self.protocol = "tcp"
        self.resets = True

    cdef int ask(self, bytes host, int port) noexcept:
        self.port = <uint16_t> port
        self.status = CODEC_REQUEST
        if not self.set_host(<const uint8_t *> PyBytes_AS_STRING(host), PyBytes_GET_SIZE(host)):
            return self.broken()
        return self.status

    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        return b""
