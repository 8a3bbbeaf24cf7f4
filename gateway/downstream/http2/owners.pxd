# The owners of the streams of a client's connection, by their own types: a tunnel, an exchange, a leg that carries
# requests, or a CONNECT that has no tunnel yet. Inline, as tunnels carry bytes through here.
from libc.stdint cimport uint8_t, uint32_t

from gateway.downstream.http2.connect cimport H2Request
from gateway.downstream.http2.exchange_stream cimport H2ExchangeStream
from gateway.downstream.http2.stream_leg cimport StreamLeg
from gateway.downstream.http2.tunnel cimport H2Tunnel
from gateway.proto.http2.streams cimport H2Stream, StreamTable, ring_out
from gateway.proto.http2.work cimport Piece

# DATA, `total` bytes in `count` pieces.
cdef inline void owner_received(H2Stream *stream, Piece *pieces, int count, uint32_t total) noexcept:
    if isinstance(<object> stream.owner, H2Tunnel):
        (<H2Tunnel> stream.owner).received(pieces, count, total)
    elif isinstance(<object> stream.owner, H2ExchangeStream):
        (<H2ExchangeStream> stream.owner).received(pieces, count, total)
    elif isinstance(<object> stream.owner, StreamLeg):
        (<StreamLeg> stream.owner).received(pieces, count, total)
    else:
        (<H2Request> stream.owner).received(pieces, count, total)

# Frames of what it has to send; see H2Carrier.fill().
cdef inline size_t owner_fill(StreamTable *streams, H2Stream *stream, uint8_t *at, size_t room,
                              uint32_t most) noexcept:
    if stream.owner is not NULL:
        if isinstance(<object> stream.owner, H2Tunnel):
            return (<H2Tunnel> stream.owner).fill(at, room, most)
        if isinstance(<object> stream.owner, H2ExchangeStream):
            return (<H2ExchangeStream> stream.owner).fill(at, room, most)
        if isinstance(<object> stream.owner, StreamLeg):
            return (<StreamLeg> stream.owner).fill(at, room, most)
    ring_out(streams, stream)
    return 0

# No client is left to answer. `forgotten`: the stream is, already.
cdef inline void owner_lost(object owner, bint forgotten) noexcept:
    if isinstance(owner, H2Tunnel):
        if forgotten:
            (<H2Tunnel> owner).stream = NULL
        (<H2Tunnel> owner).lost()
    elif isinstance(owner, H2ExchangeStream):
        if forgotten:
            (<H2ExchangeStream> owner).stream = NULL
        (<H2ExchangeStream> owner).lost()
    elif isinstance(owner, StreamLeg):
        if forgotten:
            (<StreamLeg> owner).stream = NULL
        (<StreamLeg> owner).lost()
    else:
        if forgotten:
            (<H2Request> owner).stream = NULL
        (<H2Request> owner).lost()
