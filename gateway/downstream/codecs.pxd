# The codec of a client's connection: by its first bytes, and by what its listener takes.
from gateway.proto.codec cimport Codec
from gateway.state.settings cimport ListenerSpec, Settings

# For first bytes as sniff() names them; None: they are not of the listener's protocol. `auth`: an AuthMode.
cdef Codec codec_for(int found, Settings settings, ListenerSpec spec, int auth)
# Of a listener with a fixed destination, whose request is complete before any byte; None: it has none.
cdef Codec codec_at_once(ListenerSpec spec)
# Whether the listener takes HTTP/2, which has no codec of a connection.
cdef bint takes_http2(ListenerSpec spec) noexcept
# The sl_protocol that metrics know a codec by; that of None is unknown.
cdef int kind_of(Codec codec) noexcept
