"""One HTTP request that is no CONNECT of the classic form (RFC 9110, RFC 9112 section 3.2). See http_request.pxd.

The destination is the target's where it has one (absolute-form, HTTP/2), else Host's; its scheme is the destination's:
https is TLS to the outside on port 443, origin-form is always http on port 80 (DECISIONS.md section 7).
"""

cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy

from gateway.c.addr cimport sl_addr, sl_addr_format
from gateway.c.contract cimport SL_OUTCOME_EXPECTATION, SL_OUTCOME_MALFORMED
from gateway.c.message cimport (
    SL_FIELD_BAGGAGE, SL_FIELD_FORWARDED, SL_FIELD_PROXY_AUTHORIZATION, SL_FORM_ABSOLUTE, SL_FORM_ASTERISK,
    SL_FORM_AUTHORITY, sl_message_at, sl_message_field, sl_message_find, sl_message_keep,
)
from gateway.c.target cimport SL_TARGET_OK, sl_path_normal, sl_target_status, sl_target_status_text
from gateway.proto.codec cimport AUTH_OFF, CODEC_REQUEST, read_port

cdef enum:
    PORT_HTTP = 80
    PORT_HTTPS = 443
    PATH_ROOM = 512            # bytes of a path in normal form that need no memory of their own
    AUTHORITY_ROOM = 320       # bytes of the longest name or address, with brackets and a port


@cython.final
cdef class HttpRequest(Codec):
    """`auth` is that of codec.pxd. Its answer depends on the client's version: it is the connection's to make."""

    def __cinit__(self, int auth=AUTH_OFF):
        self.protocol = "http"

    cdef int take(self, Message message) noexcept:
        try:
            self.status = self.read(&message.head)
        except BaseException:
            self.broken()
        return self.status

    cdef int read(self, sl_message *head) except -1:
        cdef const uint8_t *text
        cdef size_t length
        if head.form == SL_FORM_AUTHORITY:
            return self.refuse(SL_OUTCOME_MALFORMED, "a target that is host and port is CONNECT's")
        if head.form == SL_FORM_ABSOLUTE:
            if head.scheme.length == 5 and memcmp(sl_message_at(head, head.scheme), b"https", 5) == 0:
                self.secure = True
            elif head.scheme.length != 4 or memcmp(sl_message_at(head, head.scheme), b"http", 4) != 0:
                return self.refuse(SL_OUTCOME_MALFORMED, "the scheme is neither http nor https")
            text, length = <const uint8_t *> sl_message_at(head, head.authority), head.authority.length
        else:
            text, length = <const uint8_t *> sl_message_at(head, head.host), head.host.length
            if not head.host_known or length == 0:
                return self.refuse(SL_OUTCOME_MALFORMED, "the request names no host")
        if not self.set_authority(text, length, self.usual or (PORT_HTTPS if self.secure else PORT_HTTP)):
            return self.refuse(SL_OUTCOME_MALFORMED, self.detail)
        if not self.write_authority(head):
            raise MemoryError
        if head.expects_other:
            return self.refuse(SL_OUTCOME_EXPECTATION, "an Expect that is not 100-continue")
        if not self.normalise(head):
            return self.refuse(SL_OUTCOME_MALFORMED, self.detail)
        if not self.read_credentials(head):
            return self.refuse(SL_OUTCOME_MALFORMED, self.detail)
        return self.end_of_fields()

    cdef bint set_authority(self, const uint8_t *text, size_t length, uint16_t usual) noexcept:
        """host, or host:port; an IPv6 address in brackets (RFC 3986 section 3.2)."""
        cdef const uint8_t *end
        cdef size_t host = length
        cdef bint bracketed = length > 0 and text[0] == c"["
        if memchr(text, c"@", length) is not NULL:
            return self.unfit_target("user information in the target")
        if memchr(text, c"%", length) is not NULL:
            return self.unfit_target("a percent sign in the host")
        end = <const uint8_t *> memchr(text, c"]" if bracketed else c":", length)
        if bracketed:
            if end is NULL:
                return self.unfit_target("an IPv6 address without its bracket")
            host = end + 1 - text
            end = text + host
            if host == length:
                end = NULL
            elif end[0] != c":":
                return self.unfit_target("the target is not host:port")
        elif end is not NULL:
            host = end - text
        self.port = usual
        if end is not NULL and end + 1 != text + length:  # an empty port is the usual one (RFC 9110 section 4.2.3)
            self.port = read_port(end + 1, text + length - (end + 1))
            if self.port == 0:
                return self.unfit_target("the port of the target is not a number from 1 to 65535")
        if not self.set_host(text + 1 if bracketed else text, host - 2 if bracketed else host):
            return False
        if bracketed and self.address.family != 6:
            return self.unfit_target("brackets are for IPv6 addresses")
        if not bracketed and self.address.family == 6:
            return self.unfit_target("an IPv6 address without brackets")
        return True

    cdef bint write_authority(self, sl_message *head) except -1:
        """As it was judged: the canonical name, and a port that is not the scheme's own."""
        cdef char text[AUTHORITY_ROOM]
        cdef size_t length = 0
        if self.address.family == 6:
            text[0] = c"["
            length = 1 + sl_addr_format(&self.address, text + 1)
            text[length] = c"]"
            length += 1
        elif self.address.family:
            length = sl_addr_format(&self.address, text)
        else:
            length = self.name_length
            memcpy(text, self.name, length)
        if self.port != (PORT_HTTPS if self.secure else PORT_HTTP):
            text[length] = c":"
            length += 1 + write_decimal(text + length + 1, self.port)
        if length == head.authority.length and memcmp(text, sl_message_at(head, head.authority), length) == 0:
            return True
        return sl_message_keep(head, text, length, &head.authority)

    cdef bint normalise(self, sl_message *head) except -1:
        """The path that is judged is the one that is sent. A doubtful one stays as it came."""
        cdef char room[PATH_ROOM]
        cdef char *out = room
        cdef const uint8_t *path = <const uint8_t *> sl_message_at(head, head.path)
        cdef size_t most = 3 * <size_t> head.path.length + 1, length = 0
        cdef int doubtful = 0
        cdef sl_target_status status
        cdef bint kept = True
        if head.form == SL_FORM_ASTERISK:
            return True
        if most > PATH_ROOM:
            out = <char *> malloc(most)
            if out is NULL:
                raise MemoryError
        status = sl_path_normal(path, head.path.length, out, most, &length, &doubtful)
        self.doubtful = doubtful != 0
        if status != SL_TARGET_OK:
            self.detail = sl_target_status_text(status).decode("ascii")
        elif not self.doubtful and (length != head.path.length or memcmp(out, path, length) != 0):
            kept = sl_message_keep(head, out, length, &head.path)
        if out is not room:
            free(out)
        if not kept:
            raise MemoryError
        return status == SL_TARGET_OK

    cdef bint read_credentials(self, sl_message *head) except -1:
        """The fields that are the gateway's own; False where there are too many of one."""
        cdef const sl_message_field *field
        cdef int at = sl_message_find(head, SL_FIELD_PROXY_AUTHORIZATION, 0)
        if at >= 0:
            if sl_message_find(head, SL_FIELD_PROXY_AUTHORIZATION, <uint32_t> at + 1) >= 0:
                return self.unfit_target("more than one Proxy-Authorization")
            field = &head.fields[at]
            if self.auth != AUTH_OFF and not self.set_authorization(
                    <const uint8_t *> sl_message_at(head, field.value), field.value.length):
                self.unfit = self.detail
        if not self.trusted:
            return True
        at = sl_message_find(head, SL_FIELD_FORWARDED, 0)
        if at >= 0 and not self.set_forwarded(<const uint8_t *> sl_message_at(head, head.fields[at].value),
                                              head.fields[at].value.length):
            return False
        at = sl_message_find(head, SL_FIELD_BAGGAGE, 0)
        if at >= 0:
            self.set_baggage(<const uint8_t *> sl_message_at(head, head.fields[at].value),
                             head.fields[at].value.length)
        return True

    cdef int admitted(self) except -1:
        return CODEC_REQUEST

    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        return b""


cdef size_t write_decimal(char *out, uint16_t number) noexcept:
    """How many digits it has."""
    cdef uint16_t most = 10000
    cdef size_t length = 0
    while most > number and most > 1:
        most //= 10
    while most:
        out[length] = <char> (c"0" + number // most % 10)
        length += 1
        most //= 10
    return length
