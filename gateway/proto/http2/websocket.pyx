"""WebSocket over HTTP/2 as HTTP/1 has it. See websocket.pxd.

Rules and origins see one form, `GET` with Upgrade, whichever version brought it. Only HTTP/1 has a key (RFC 8441
section 5), which shows that the origin has read the request.
"""

import base64

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.string cimport memcmp

from gateway.c.message cimport sl_message, sl_message_at, sl_message_keep, sl_message_set


cdef bint becomes_upgrade(sl_message *head, bytes nonce) noexcept:
    cdef bytes key = base64.b64encode(nonce)
    if head.protocol.length != 9 or memcmp(sl_message_at(head, head.protocol), b"websocket", 9) != 0:
        return False
    return (sl_message_keep(head, "GET", 3, &head.method)
            and sl_message_set(head, "sec-websocket-key", 17, PyBytes_AS_STRING(key), PyBytes_GET_SIZE(key)))
