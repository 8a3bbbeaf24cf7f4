"""HTTP/1.0 and HTTP/1.1 CONNECT (RFC 9112, RFC 9110 section 9.3.6) as bytes. codec.pxd is the contract.

CONTRACT.md section 5 says what is refused and how. The text of answers is made in answers.pyx.

The head is read line by line: a line that lies whole in the bytes given is read where it is, one that comes in parts
is gathered first; the cost is linear however the head is split. Bytes that can stand in no head are refused as they
come, without waiting for the end of their line.

Only the request target is judged. Host must be there for HTTP/1.1, once, and be one host; it may differ from the
target, as that of Node does, which names the gateway. Every client we know that leaves Host out says HTTP/1.0 (nc,
socat, Python before 3.12).
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memcmp, memcpy

from gateway.proto.answers cimport http1_answer
from gateway.proto.codec cimport (
    AUTH_OFF,
    CODEC_MORE,
    CODEC_REQUEST,
    Codec,
)
from gateway.c.addr cimport sl_addr
from gateway.c.contract cimport (
    SL_OUTCOME_CONNECTED, SL_OUTCOME_INTERNAL, SL_OUTCOME_MALFORMED, SL_OUTCOME_NOT_BUILT,
)

cdef extern from "string.h" nogil:
    void explicit_bzero(void *data, size_t length)

cdef enum:
    LINE_ROOM = 256  # first size of the buffer for a line in parts; it doubles


cdef class Http1Codec(Codec):
    """CONNECT, with `Proxy-Authorization: Basic` (RFC 7617) or `Bearer` (RFC 6750)."""

    def __cinit__(self, int auth=AUTH_OFF):
        self.protocol = "http"
        self.bare = http1_answer(SL_OUTCOME_INTERNAL, None, None, None, True, None, None, False)

    def __dealloc__(self):
        self.forget()

    # ---- lines -----------------------------------------------------------------------------------------------------

    cdef int consume(self, const uint8_t *data, size_t length, size_t *used) except -1:
        cdef const uint8_t *start
        cdef const uint8_t *end
        cdef size_t take
        cdef int status = CODEC_MORE
        while status == CODEC_MORE and used[0] < length:
            take = min(length - used[0], <size_t> HTTP1_HEAD_MAX - self.head)
            if take == 0:
                status = self.malformed("the head is longer than 16384 bytes")
                break
            start = data + used[0]
            end = <const uint8_t *> memchr(start, c"\n", take)
            if end != NULL:
                take = end - start + 1
            if not can_stand(start, take, self.started):
                status = self.malformed("a byte that may not stand in a request head")
                break
            used[0] += take
            self.head += take
            if end == NULL or self.line_length > 0:
                self.keep(start, take)
                start = self.line
                take = self.line_length
            if end != NULL:
                status = self.take_line(start, take)
                self.line_length = 0
        if status != CODEC_MORE:
            self.forget()
        return status

    cdef int keep(self, const uint8_t *data, size_t length) except -1:
        """Adds to the line that comes in parts."""
        cdef size_t room = self.line_room if self.line_room else LINE_ROOM
        cdef uint8_t *line
        while room < self.line_length + length:
            room *= 2
        if room > self.line_room:
            line = <uint8_t *> malloc(room)
            if line == NULL:
                raise MemoryError
            if self.line != NULL:
                memcpy(line, self.line, self.line_length)
                explicit_bzero(self.line, self.line_room)
                free(self.line)
            self.line = line
            self.line_room = room
        memcpy(self.line + self.line_length, data, length)
        self.line_length += length
        return 0

    cdef void forget(self) noexcept:
        """Wipes and frees the line buffer."""
        if self.line != NULL:
            explicit_bzero(self.line, self.line_room)
            free(self.line)
        self.line = NULL
        self.line_length = self.line_room = 0

    cdef int take_line(self, const uint8_t *line, size_t length) except -1:
        """A whole line, LF included."""
        if length < 2 or line[length - 2] != c"\r":
            return self.malformed("a line ends in a bare LF")
        length -= 2
        if memchr(line, c"\r", length) != NULL:
            return self.malformed("a CR inside a line")
        if length == 0 and self.started:
            return self.end_of_head()
        if length == 0:
            # RFC 9112 section 2.2 asks to ignore at least one empty line.
            if self.blank:
                return self.malformed("empty lines before the request")
            self.blank = True
            return CODEC_MORE
        if not self.started:
            self.started = True
            return self.take_request_line(line, length)
        if self.lines == HTTP1_LINES_MAX:
            return self.malformed("more than 100 header lines")
        self.lines += 1
        return self.take_field(line, length)

    # ---- request line ----------------------------------------------------------------------------------------------

    cdef int take_request_line(self, const uint8_t *line, size_t length) except -1:
        """RFC 9112 section 3: method SP request-target SP HTTP-version, nothing more lenient."""
        cdef const uint8_t *end = line + length
        cdef const uint8_t *target = <const uint8_t *> memchr(line, c" ", length)
        cdef const uint8_t *version
        if target == NULL or not is_token(line, target - line):
            return self.malformed("the request line has no method and target")
        target += 1
        version = <const uint8_t *> memchr(target, c" ", end - target)
        if version == NULL:
            return self.malformed("the request line has no version")
        if end - version != 9 or memcmp(version, b" HTTP/1.", 8) != 0 or version[8] not in (c"0", c"1"):
            return self.malformed("the version is neither HTTP/1.0 nor HTTP/1.1")
        self.old = version[8] == c"0"
        if target - line == 8 and memcmp(line, b"CONNECT", 7) == 0:
            self.method = HTTP1_CONNECT
            return CODEC_MORE if self.set_target(target, version - target) else self.malformed(self.detail)
        self.method = HTTP1_HEAD if target - line == 5 and memcmp(line, b"HEAD", 4) == 0 else HTTP1_OTHER
        if not is_request_form(target, version - target):
            return self.malformed("the target fits no method but CONNECT, or none at all")
        return CODEC_MORE

    # ---- header lines ----------------------------------------------------------------------------------------------

    cdef int take_field(self, const uint8_t *line, size_t length) except -1:
        """RFC 9112 section 5: field-name ":" OWS field-value OWS."""
        cdef const uint8_t *colon = <const uint8_t *> memchr(line, c":", length)
        cdef const uint8_t *value
        cdef size_t size
        if line[0] == c" " or line[0] == c"\t":
            return self.malformed("a folded header line")
        if colon == NULL or not is_token(line, colon - line):
            if colon != NULL and colon > line and (colon - 1)[0] in (c" ", c"\t"):
                return self.malformed("a space before the colon of a header")
            return self.malformed("a header line is not a name, a colon and a value")
        value = colon + 1
        size = line + length - value
        while size > 0 and value[0] in (c" ", c"\t"):
            value += 1
            size -= 1
        while size > 0 and value[size - 1] in (c" ", c"\t"):
            size -= 1
        if is_named(line, colon - line, b"host"):
            self.hosts += 1
            if self.hosts > 1 or not is_host_value(value, size):
                return self.malformed("Host is not one host")
        elif is_named(line, colon - line, b"content-length") or is_named(line, colon - line, b"transfer-encoding"):
            if self.method == HTTP1_CONNECT:  # RFC 9110 section 9.3.6: what follows the head is the tunnel's
                return self.malformed("Content-Length or Transfer-Encoding on CONNECT")
        elif is_named(line, colon - line, b"proxy-authorization"):
            self.authorizations += 1
            if self.authorizations > 1:
                return self.malformed("more than one Proxy-Authorization")
            if self.auth != AUTH_OFF and not self.set_authorization(value, size):
                self.unfit = self.detail  # refused when the head ends
        elif self.trusted and is_named(line, colon - line, b"forwarded"):
            if not self.set_forwarded(value, size):
                return self.malformed(self.detail)
        elif self.trusted and is_named(line, colon - line, b"baggage"):
            self.set_baggage(value, size)
        elif self.traced is not NULL and self.traced[0] and is_named(line, colon - line, b"traceparent"):
            self.set_traceparent(value, size)
        return CODEC_MORE

    # ---- verdicts --------------------------------------------------------------------------------------------------

    cdef int end_of_head(self) except -1:
        """RFC 9112 section 3.2: HTTP/1.1 has a Host. Then methods, then credentials."""
        if self.hosts == 0 and not self.old:
            return self.malformed("HTTP/1.1 without Host")
        if self.method != HTTP1_CONNECT:
            return self.refuse(SL_OUTCOME_NOT_BUILT, "only CONNECT is served")
        return self.end_of_fields()

    cdef int admitted(self) except -1:
        return CODEC_REQUEST

    cdef int malformed(self, str detail) except -1:
        return self.refuse(SL_OUTCOME_MALFORMED, detail)

    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        cdef str signed = None
        if self.prefix is not None and outcome != SL_OUTCOME_CONNECTED:
            signed = f"{self.prefix}{self.sequence}"
        return http1_answer(outcome, rule, reason, self.detail, self.method != HTTP1_HEAD, signed, self.note,
                            self.bearer)


# ---- bytes ---------------------------------------------------------------------------------------------------------

cdef bint can_stand(const uint8_t *data, size_t length, bint in_fields) noexcept nogil:
    """RFC 9112 section 3: visible ASCII and spaces; RFC 9110 section 5.5: also tabs and obs-text. CR and LF in both."""
    cdef size_t i
    for i in range(length):
        if 0x20 <= data[i] < 0x7F or data[i] == c"\r" or data[i] == c"\n":
            continue
        if not in_fields or (data[i] != c"\t" and data[i] < 0x80):
            return False
    return True


cdef bint is_token(const uint8_t *data, size_t length) noexcept nogil:
    """RFC 9110 section 5.6.2: one tchar or more. `data` went through can_stand()."""
    cdef size_t i
    for i in range(length):
        if data[i] <= 0x20 or data[i] >= 0x7F or data[i] in (
            c'"', c"(", c")", c",", c"/", c":", c";", c"<", c"=", c">", c"?", c"@", c"[", c"\\", c"]", c"{", c"}"
        ):
            return False
    return length > 0


cdef bint is_named(const uint8_t *data, size_t length, const char *name) noexcept nogil:
    """`data` is `name` (lower-case letters and hyphens) in any case; no control character is in it to fold."""
    cdef size_t i
    for i in range(length):
        if name[i] == 0 or (data[i] | 0x20) != <uint8_t> name[i]:
            return False
    return name[length] == 0


cdef bint is_host_value(const uint8_t *data, size_t length) noexcept nogil:
    """One host and a port (RFC 3986 section 3.2.2), less the comma, which would make it a list. May be empty."""
    cdef size_t i
    for i in range(length):
        if data[i] <= 0x20 or data[i] >= 0x7F or data[i] in (
            c",", c"/", c"?", c"#", c"@", c"<", c">", c'"', c"\\", c"^", c"`", c"{", c"|", c"}"
        ):
            return False
    return True


cdef bint is_request_form(const uint8_t *target, size_t length) noexcept nogil:
    """RFC 9112 section 3.2: origin-form, asterisk-form or absolute-form."""
    cdef size_t i
    if length == 0:
        return False
    if target[0] == c"/" or (target[0] == c"*" and length == 1):
        return True
    for i in range(length):
        if target[i] == c":":
            return i > 0 and length - i > 3 and target[i + 1] == c"/" and target[i + 2] == c"/"
        if not (c"a" <= target[i] | 0x20 <= c"z" or (i > 0 and (
            c"0" <= target[i] <= c"9" or target[i] in (c"+", c"-", c".")
        ))):
            return False
    return False
