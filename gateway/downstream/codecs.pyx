"""The codec of a client's connection. See codecs.pxd."""

from gateway.c.segment cimport SL_PROTOCOL_HTTP, SL_PROTOCOL_SOCKS4, SL_PROTOCOL_SOCKS5, SL_PROTOCOL_UNKNOWN
from gateway.proto.http1 cimport Http1Codec
from gateway.proto.sniff cimport SNIFF_HTTP1, SNIFF_HTTP2_PREFACE, SNIFF_SOCKS4, SNIFF_SOCKS5
from gateway.proto.socks cimport Socks4Codec, Socks5Codec
from gateway.state.settings cimport PROTOCOL_AUTO, PROTOCOL_HBONE, PROTOCOL_HTTP, PROTOCOL_HTTP2, PROTOCOL_SOCKS5


cdef Codec codec_for(int found, ListenerSpec spec, int auth):
    if found == SNIFF_SOCKS5 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_SOCKS5):
        return Socks5Codec(auth)
    if found == SNIFF_SOCKS4 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_SOCKS5):
        return Socks4Codec(auth)
    if found == SNIFF_HTTP1 and spec.protocol in (PROTOCOL_AUTO, PROTOCOL_HTTP):
        return Http1Codec(auth)
    if spec.protocol == PROTOCOL_HTTP and found != SNIFF_HTTP2_PREFACE:
        return Http1Codec(auth)  # answers 400 to what is not HTTP
    return None


cdef bint takes_http2(ListenerSpec spec) noexcept:
    return spec.protocol in (PROTOCOL_AUTO, PROTOCOL_HTTP2, PROTOCOL_HBONE)


cdef int kind_of(Codec codec) noexcept:
    if isinstance(codec, Socks5Codec):
        return SL_PROTOCOL_SOCKS5
    if isinstance(codec, Http1Codec):
        return SL_PROTOCOL_HTTP
    return SL_PROTOCOL_SOCKS4 if codec is not None else SL_PROTOCOL_UNKNOWN
