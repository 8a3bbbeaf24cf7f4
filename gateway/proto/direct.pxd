# Codecs of connections that are sent as to the destination itself: all bytes are payload, and nothing is answered.
from libc.stdint cimport uint8_t

from gateway.c.addr cimport sl_addr
from gateway.proto.codec cimport Codec

# TLS: the destination is the server name of the ClientHello (RFC 6066 section 3), at `port`, which is the caller's to
# set.
cdef class ServerNameCodec(Codec):
    cdef frozenset own     # names that stand for the gateway itself, as bytes; the caller's to set
    cdef uint8_t *hello    # bytes of a hello that has not come whole, malloc'd
    cdef size_t length
    cdef size_t room

    cdef int keep(self, const uint8_t *data, size_t length) except -1
    cdef int no_name(self, str detail) noexcept

# Raw TCP: the destination is the listener's, and the request is complete before any byte.
cdef class DestinationCodec(Codec):
    # A status of REQUEST; FAILED where the host is not one.
    cdef int ask(self, bytes host, int port) noexcept
