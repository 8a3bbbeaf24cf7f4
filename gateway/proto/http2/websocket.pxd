# WebSocket over HTTP/2 (RFC 8441) as HTTP/1 has it (RFC 6455): what is asked for by extended CONNECT is an upgrade.
from gateway.c.message cimport sl_message

# The request as one that HTTP/1 upgrades, with `nonce`, 16 bytes, as its key. False where its protocol is another, or
# without memory.
cdef bint becomes_upgrade(sl_message *head, bytes nonce) noexcept
