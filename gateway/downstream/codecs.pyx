"""The codec of a client's connection. See codecs.pxd."""

from gateway.c.segment cimport (
    SL_PROTOCOL_HTTP, SL_PROTOCOL_SOCKS4, SL_PROTOCOL_SOCKS5, SL_PROTOCOL_TCP, SL_PROTOCOL_TLS, SL_PROTOCOL_UNKNOWN,
)
from gateway.proto.direct cimport DestinationCodec, ServerNameCodec
from gateway.proto.http1 cimport Http1Codec
from gateway.proto.sniff cimport SNIFF_HTTP1, SNIFF_HTTP2_PREFACE, SNIFF_SOCKS4, SNIFF_SOCKS5, SNIFF_TLS
from gateway.proto.socks cimport Socks4Codec, Socks5Codec
from gateway.state.settings cimport (
    PROTOCOL_AUTO, PROTOCOL_HBONE, PROTOCOL_HTTP, PROTOCOL_HTTP2, PROTOCOL_SOCKS5, PROTOCOL_TCP, PROTOCOL_TLS,
)


cdef Codec codec_for(int found, Settings settings, ListenerSpec spec, int auth):
    if found == SNIFF_SOCKS5 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_SOCKS5):
        return Socks5Codec(auth)
    if found == SNIFF_SOCKS4 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_SOCKS5):
        return Socks4Codec(auth)
    if found == SNIFF_HTTP1 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_HTTP):
        return Http1Codec(auth)
    if spec.protocol == PROTOCOL_HTTP and found != SNIFF_HTTP2_PREFACE:
        return Http1Codec(auth)  # answers 400 to what is not HTTP
    if spec.protocol == PROTOCOL_TLS or (found == SNIFF_TLS and spec.protocol == PROTOCOL_AUTO and spec.tls is None):
        return codec_by_name(settings, spec, auth)
    return None


cdef Codec codec_by_name(Settings settings, ListenerSpec spec, int auth):
    cdef ServerNameCodec codec = ServerNameCodec(auth)
    codec.port, codec.own = spec.destination_port, settings.own_names
    return codec


cdef Codec codec_at_once(ListenerSpec spec):
    cdef DestinationCodec codec
    if spec.protocol != PROTOCOL_TCP:
        return None
    codec = DestinationCodec()
    codec.ask(spec.destination, spec.destination_port)
    return codec


cdef bint takes_http2(ListenerSpec spec) noexcept:
    return spec.protocol in (PROTOCOL_AUTO, PROTOCOL_HTTP2, PROTOCOL_HBONE)


cdef int kind_of(Codec codec) noexcept:
    if isinstance(codec, Socks5Codec):
        return SL_PROTOCOL_SOCKS5
    if isinstance(codec, Http1Codec):
        return SL_PROTOCOL_HTTP
    if isinstance(codec, ServerNameCodec):
        return SL_PROTOCOL_TLS
    if isinstance(codec, DestinationCodec):
        return SL_PROTOCOL_TCP
    return SL_PROTOCOL_SOCKS4 if codec is not None else SL_PROTOCOL_UNKNOWN
