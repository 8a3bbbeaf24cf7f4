"""Codecs, frames, header blocks and limits as tests call them: the product does so from Cython alone.

Classes have the names of those that they extend.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from gateway.c.addr cimport SL_ADDR_TEXT, sl_addr, sl_addr_format, sl_addr_parse
from gateway.c.limit_table cimport sl_limits_held, sl_limits_held_by_gateway
from gateway.proto.client_handshake cimport Handshake
from gateway.proto.codec cimport Codec as ProductCodec
from gateway.proto.direct cimport DestinationCodec as ProductDestination, ServerNameCodec as ProductServerName
from gateway.proto.http2.frames cimport (
    FRAME_BROKEN, FRAME_CONTINUATION, FRAME_READY, FRAME_SIZE_FIRST, Frame, FrameReader, FrameStatus, frames_begin,
    frames_feed, frames_free, frames_next,
)
from gateway.proto.http2.hpack cimport FIELD_BROKEN, FIELD_END, FIELD_MORE, FIELD_READY, Field, FieldStatus
from gateway.proto.http2.hpack cimport Deflater as ProductDeflater, Inflater as ProductInflater
from gateway.proto.sniff cimport http2_refusal, sniff, sniff_inside
from gateway.state.limits cimport Limits as ProductLimits

import gateway.proto.client_handshake as client_handshake
import gateway.proto.codec as base
import gateway.proto.direct as direct
import gateway.proto.http1 as http1
import gateway.proto.http2.hpack as hpack
import gateway.proto.socks as socks
import gateway.state.limits as limits

cdef tuple SNIFFED = ("unknown", "more", "socks5", "socks4", "http1", "http2_preface", "tls")  # by Sniffed
KINDS = ("tunnels", "requests", "lookups", "dials", "provisional", "connections", "waiting")  # by sl_limit


def host_of(ProductCodec codec not None):
    """The name or the address text that was asked for; "" before it is known."""
    cdef char text[SL_ADDR_TEXT]
    if codec.address.family == 0:
        return codec.name[:codec.name_length].decode("ascii")
    return text[:sl_addr_format(&codec.address, text)].decode("ascii")


class Fed:
    """The calls of every codec."""

    def receive(self, bytes data not None):
        """feed(): answers (status, bytes used, bytes to send)."""
        cdef ProductCodec codec = self
        cdef size_t used = 0
        cdef int status = codec.feed(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &used)
        return status, used, codec.take_out() or b""

    def verify(self, bint ok):
        """verified(): answers (status, bytes to send)."""
        cdef ProductCodec codec = self
        cdef int status = codec.verified(ok)
        return status, codec.take_out() or b""

    def reply(self, int outcome, str bound=None, uint16_t port=0, str rule=None, str reason=None):
        """answer(): `bound` is the text of an address; ValueError when it is not one."""
        cdef sl_addr address
        memset(&address, 0, sizeof(address))
        if bound is not None:
            parse(bound, &address)
        return (<ProductCodec> self).answer(outcome, &address, port, rule, reason)

    @property
    def host(self):
        """The name or the address text that was asked for; "" before it is known."""
        return host_of(self)

    @property
    def family(self):
        """4 or 6 when an address was asked for, 0 for a name."""
        return (<ProductCodec> self).address.family


class Codec(Fed, base.Codec):
    pass


class Socks5Codec(Fed, socks.Socks5Codec):
    pass


class Socks4Codec(Fed, socks.Socks4Codec):
    pass


class Http1Codec(Fed, http1.Http1Codec):
    pass


class ServerNameCodec(Fed, direct.ServerNameCodec):
    """At port 443, of a gateway that is called sluice.egress."""

    def __init__(self, int auth=0):
        cdef ProductServerName codec = self
        codec.port, codec.own = 443, frozenset([b"sluice.egress"])

    @property
    def early(self):
        """Payload among the bytes that were used."""
        return (<ProductCodec> self).early


class DestinationCodec(Fed, direct.DestinationCodec):

    def ask(self, bytes host not None, int port):
        """Answers a status."""
        return (<ProductDestination> self).ask(host, port)


class Taken:
    """The calls of every handshake with a parent."""

    def receive(self, bytes data not None):
        """take(): answers (status, bytes used, bytes to send)."""
        cdef Handshake handshake = self
        cdef size_t used = 0
        cdef int status = handshake.take(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data), &used)
        return status, used, handshake.take_out() or b""


class Socks5Handshake(Taken, client_handshake.Socks5Handshake):
    pass


class HttpHandshake(Taken, client_handshake.HttpHandshake):
    pass


def classify(bytes data not None):
    """sniff(): "unknown", "more", "socks5", "socks4", "http1", "http2_preface" or "tls"."""
    return SNIFFED[<int> sniff(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))]


def classify_inside(bytes data not None):
    """sniff_inside(): "unknown", "more", "http1" or "http2_preface"."""
    return SNIFFED[<int> sniff_inside(<const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))]


def refusal():
    """http2_refusal()."""
    return http2_refusal()


def read_frames(pieces, uint32_t most=FRAME_SIZE_FIRST):
    """Reads pieces of bytes: ([(type, flags, stream, length, payload)], code, detail); code 0 when nothing is wrong.

    DATA counts once, its pieces joined; one that has not ended is left out. Unknown frames have the payload None.
    """
    cdef FrameReader reader
    cdef Frame frame
    cdef bytes data
    cdef FrameStatus status
    found = []
    part = b""
    frames_begin(&reader)
    reader.most = most
    try:
        for data in pieces:
            frames_feed(&reader, <const uint8_t *> PyBytes_AS_STRING(data), PyBytes_GET_SIZE(data))
            while True:
                status = frames_next(&reader, &frame)
                if status != FRAME_READY:
                    break
                part = b"" if frame.first else part
                if frame.payload is not NULL:
                    part += (<const char *> frame.payload)[:frame.size]
                if frame.last:
                    payload = None if frame.type > FRAME_CONTINUATION else part
                    found.append((frame.type, frame.flags, frame.stream, frame.length, payload))
            if status == FRAME_BROKEN:
                return found, reader.code, reader.detail.decode()
        return found, 0, None
    finally:
        frames_free(&reader)


class Inflater(hpack.Inflater):
    """Header blocks of one connection, as they come."""

    def decode(self, pieces):
        """Decodes one block that comes in pieces of bytes: [(name, value)], or None when it is broken."""
        cdef ProductInflater inflater = self
        cdef Field field
        cdef FieldStatus status = FIELD_MORE
        cdef bytes piece
        cdef list found = []
        pieces = list(pieces)
        for i, piece in enumerate(pieces):
            inflater.feed(<const uint8_t *> PyBytes_AS_STRING(piece), PyBytes_GET_SIZE(piece), i == len(pieces) - 1)
            while True:
                status = inflater.next(&field)
                if status != FIELD_READY:
                    break
                found.append(((<const char *> field.name)[:field.name_length],
                              (<const char *> field.value)[:field.value_length]))
            if status == FIELD_BROKEN:
                return None
        return found if status == FIELD_END else None


class Deflater(hpack.Deflater):
    """Header blocks of one connection, in the order they are sent."""

    def blocks(self, *lists, table=None):
        """encode() of each list of (name, value); `table`: a new table size first."""
        cdef ProductDeflater deflater = self
        if table is not None and not deflater.resize(table):
            raise MemoryError
        return [deflater.encode(fields) for fields in lists]


class Limits(limits.Limits):
    """Kinds by name, sources by a peer's address (str) or a user (bytes); None: the gateway."""

    def take(self, source, kind):
        """A place; 0 when there is none."""
        cdef ProductLimits table = self
        cdef uint32_t place = 0
        cdef int number = KINDS.index(kind)
        if source is None:
            table.enter_gateway(number, &place)
        else:
            table.enter(named(table, source), number, &place)
        return place

    def give_back(self, uint32_t place, kind):
        """Undoes one take()."""
        (<ProductLimits> self).leave(KINDS.index(kind), &place)

    def held(self, source, kind):
        """Places that it holds over all workers."""
        cdef ProductLimits table = self
        cdef int number = KINDS.index(kind)
        if source is None:
            return sl_limits_held_by_gateway(&table.table, number)
        return sl_limits_held(&table.table, named(table, source), number)


cdef uint64_t named(ProductLimits table, source) except? 0:
    cdef sl_addr peer
    if isinstance(source, bytes):
        return table.of_user(source)
    parse(source, &peer)
    return table.of_peer(&peer, False)


cdef int parse(str text, sl_addr *out) except -1:
    cdef bytes raw = text.encode("ascii")
    if not sl_addr_parse(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), out):
        raise ValueError(f"not an address: {text!r}")
    return 0
