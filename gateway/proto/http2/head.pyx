"""The header block of one HTTP/2 request (RFC 9113 sections 8.2, 8.3 and 8.5). See head.pxd.

Two forms of CONNECT are taken. RFC 9113 section 8.5 has `:authority` alone. Sidecars of the Pipy family send `:scheme`
and `:path` instead, the path being host:port with IPv6 bare of brackets, so it splits at its last colon.

A block that breaks the rules of messages is malformed: its stream ends with PROTOCOL_ERROR. One that keeps them and
asks for what cannot be is refused with an answer. Both have an outcome; what the client sent never comes back.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t
from libc.string cimport memcmp, memcpy

from gateway.proto.codec cimport AUTH_OFF, CODEC_MORE, CODEC_REQUEST, read_port
from gateway.c.addr cimport sl_addr
from gateway.c.contract cimport SL_OUTCOME_HEAD_TOO_LARGE, SL_OUTCOME_INTERNAL, SL_OUTCOME_MALFORMED
from gateway.c.message cimport (
    SL_MESSAGE_DONE, sl_message, sl_message_keep, sl_message_settle_request, sl_message_trailer_fault, sl_span,
)
from gateway.proto.http2.blocks cimport MESSAGE_LIST_MAX, TOO_MANY, collect_field, join_cookies
from gateway.proto.http2.hpack cimport field_size
from gateway.proto.http2.text cimport is_name, is_token, is_value, named, read_length

cdef class H2Head(Codec):
    """One header block after the other of a connection."""

    def __cinit__(self, int auth=AUTH_OFF):
        self.protocol = "http2tunnel"

    cdef void begin(self, bint trailers) noexcept:
        self.status = CODEC_MORE
        self.outcome = SL_OUTCOME_INTERNAL
        self.detail = self.unfit = None
        self.user = self.password = self.token = self.out = None
        self.reason = 0
        self.forwarded.family = 0
        self.baggage = self.traceparent = None
        self.address.family = 0
        self.name[0] = 0
        self.name_length = 0
        self.port = 0
        self.method = HEAD_NONE
        self.dialect = DIALECT_NONE
        self.trailers = trailers
        self.regular = self.has_scheme = self.has_protocol = self.malformed = self.refused_fields = False
        self.authorizations = 0
        self.message = None
        self.too_many = False
        self.scheme_length = 0
        self.size = 0
        self.expected = -1
        self.authority.seen = self.path.seen = self.host_field.seen = False
        self.authority.length = self.path.length = self.host_field.length = 0

    cdef void bad(self, str detail) noexcept:
        """The first rule that a message breaks is the one that is told."""
        if not self.malformed:
            self.malformed = True
            self.detail = detail

    cdef void field(self, const Field *field) noexcept:
        self.size += field_size(field)
        if self.malformed or self.size > <size_t> (MESSAGE_LIST_MAX if self.collects else HEAD_LIST_MAX):
            return
        if not is_value(field.value, field.value_length):
            self.bad("a field value with NUL, CR or LF, or with space around it")
        elif field.name_length and field.name[0] == c":":
            self.pseudo(field)
        elif not is_name(field.name, field.name_length):
            self.bad("a field name that is not a lower-case token")
        elif self.message is not None or (self.trailers and self.collects):
            self.regular = True
            self.collect(field)
        else:
            self.regular = True
            try:
                self.ordinary(field)
            except BaseException:
                self.bad("internal error")

    cdef void collect(self, const Field *field) noexcept:
        """A field of a message."""
        cdef const char *fault
        if self.message is None:
            self.message = Message.__new__(Message)
        fault = collect_field(&self.message.head, field)
        if fault is TOO_MANY and not self.trailers:
            self.too_many = True
        elif fault is not NULL:
            self.bad(fault.decode("ascii"))

    cdef void begin_message(self) noexcept:
        if self.collects and self.message is None:
            self.message = Message.__new__(Message)

    cdef void keep_text(self, const Field *field, sl_span *out) noexcept:
        """The value of a pseudo-header as a text of the message."""
        if self.message is not None and not sl_message_keep(&self.message.head, <const char *> field.value,
                                                            field.value_length, out):
            self.bad("no memory")

    cdef void pseudo(self, const Field *field) noexcept:
        """Section 8.3: known ones, once each, before all others."""
        if self.trailers or self.regular:
            self.bad("a pseudo-header field in trailers or behind a field")
        elif named(field, b":method"):
            if self.method != HEAD_NONE:
                self.bad("more than one :method")
            self.method = method_of(field)
            if not is_token(field.value, field.value_length):
                self.bad(":method is not a token")
            elif self.method != HEAD_CONNECT:
                self.begin_message()
            if self.message is not None:
                self.keep_text(field, &self.message.head.method)
        elif named(field, b":scheme"):
            if self.has_scheme:
                self.bad("more than one :scheme")
            self.has_scheme = True
            self.scheme_length = <uint8_t> min(field.value_length, <size_t> HEAD_SCHEME_MAX + 1)
            memcpy(self.scheme, field.value, min(field.value_length, <size_t> HEAD_SCHEME_MAX))
        elif named(field, b":authority"):
            if self.authority.seen:
                self.bad("more than one :authority")
            self.keep(&self.authority, field)
        elif named(field, b":path"):
            if self.path.seen:
                self.bad("more than one :path")
            self.keep(&self.path, field)
            if self.path.length > HEAD_TARGET_MAX and self.method != HEAD_CONNECT:
                self.begin_message()
            if self.message is not None:
                self.keep_text(field, &self.message.head.path)
        elif named(field, b":protocol"):
            if self.has_protocol:
                self.bad("more than one :protocol")
            self.has_protocol = True
            self.begin_message()
            if self.message is not None:
                self.keep_text(field, &self.message.head.protocol)
        else:
            self.bad("an unknown pseudo-header field")

    cdef void ordinary(self, const Field *field) except *:
        """Section 8.2.2, and what matters for a tunnel."""
        if (named(field, b"connection") or named(field, b"proxy-connection") or named(field, b"keep-alive")
                or named(field, b"transfer-encoding") or named(field, b"upgrade")):
            self.bad("a field of HTTP/1 connections")
        elif named(field, b"te"):
            if field.value_length != 8 or memcmp(field.value, b"trailers", 8) != 0:
                self.bad("te with another value than trailers")
        elif named(field, b"content-length"):
            self.refused_fields = True
            if self.expected >= 0 and self.expected != read_length(field):
                self.bad("content-length twice")
            self.expected = read_length(field)
            if self.expected < 0:
                self.bad("content-length is not a number")
        elif named(field, b"host"):
            if self.host_field.seen:
                self.bad("more than one host")
            self.keep(&self.host_field, field)
        elif named(field, b"proxy-authorization") and not self.trailers:
            self.authorizations += 1
            if self.auth != AUTH_OFF and not self.set_authorization(field.value, field.value_length):
                self.unfit = self.detail
        elif self.trusted and not self.trailers and named(field, b"forwarded"):
            if not self.set_forwarded(field.value, field.value_length):
                self.bad(self.detail)
        elif self.trusted and not self.trailers and named(field, b"baggage"):
            self.set_baggage(field.value, field.value_length)
        elif self.traced is not NULL and self.traced[0] and not self.trailers and named(field, b"traceparent"):
            self.set_traceparent(field.value, field.value_length)

    cdef void keep(self, HeadText *kept, const Field *field) noexcept:
        kept.seen = True
        kept.length = field.value_length
        if field.value_length <= HEAD_TARGET_MAX:
            memcpy(kept.text, field.value, field.value_length)

    cdef int finish(self) noexcept:
        try:
            self.status = self.judge()
        except BaseException:
            self.broken()
        return self.status

    cdef int judge(self) except -1:
        cdef bint classic = self.method == HEAD_CONNECT and not self.has_protocol
        if self.size > HEAD_LIST_MAX and (classic or not self.collects):
            return self.refuse(SL_OUTCOME_MALFORMED, "the header list is longer than 16384 bytes")
        if self.too_many or self.size > MESSAGE_LIST_MAX:
            return self.refuse(SL_OUTCOME_HEAD_TOO_LARGE, "the header list is longer than 65536 bytes or 1000 fields")
        if not self.malformed and not self.trailers:
            if self.method == HEAD_NONE:
                self.bad("no :method")
            elif self.has_protocol and not self.collects:
                self.bad("extended CONNECT was not offered")
            elif self.has_protocol and self.method != HEAD_CONNECT:
                self.bad(":protocol without CONNECT")
            elif not classic:
                if not self.has_scheme:
                    self.bad("no :scheme")
                elif not self.path.seen or self.path.length == 0:
                    self.bad("no :path")
        if classic:
            self.message = None  # something else came before :method
        elif not self.malformed and self.message is not None:
            self.judge_message()
        if self.malformed:
            return self.refuse(SL_OUTCOME_MALFORMED, self.detail)
        if classic:
            return self.judge_connect()
        return CODEC_REQUEST

    cdef int judge_message(self) except -1:
        """Sections 8.3.1 and 8.2.3. Whether Host fits the authority is judged with the destination."""
        cdef sl_message *head = &self.message.head
        if self.trailers:
            if sl_message_trailer_fault(head) is not NULL:
                self.bad(sl_message_trailer_fault(head).decode("ascii"))
            return 0
        if self.authority.length > HEAD_TARGET_MAX:
            self.bad("the target is too long")
        elif self.scheme_length > HEAD_SCHEME_MAX:
            self.bad(":scheme is too long")
        elif not (sl_message_keep(head, self.scheme, self.scheme_length, &head.scheme)
                  and sl_message_keep(head, <const char *> self.authority.text, self.authority.length, &head.authority)
                  and (head.path.length or sl_message_keep(head, <const char *> self.path.text, self.path.length,
                                                           &head.path))
                  and (head.method.length or sl_message_keep(head, "CONNECT", 7, &head.method))
                  and join_cookies(head)):
            raise MemoryError
        else:
            lower(head, head.scheme)
            if sl_message_settle_request(head, self.ends) != SL_MESSAGE_DONE:
                self.bad(head.fault.decode("ascii"))
            elif head.has_length:
                self.expected = <int64_t> head.content_length
        return 0

    cdef int judge_connect(self) except -1:
        cdef bint fits
        if self.authority.seen and (self.path.seen or self.has_scheme):
            return self.refuse(SL_OUTCOME_MALFORMED, "CONNECT with both :authority and :path or :scheme")
        if not self.authority.seen and not self.path.seen:
            return self.refuse(SL_OUTCOME_MALFORMED, "CONNECT without a target")
        if self.refused_fields:
            return self.refuse(SL_OUTCOME_MALFORMED, "Content-Length on CONNECT")
        if self.authorizations > 1:
            return self.refuse(SL_OUTCOME_MALFORMED, "more than one Proxy-Authorization")
        if self.authority.seen:
            self.dialect = DIALECT_RFC
            fits = self.authority.length <= HEAD_TARGET_MAX
            fits = fits and self.set_target(self.authority.text, self.authority.length)
            if fits and self.host_field.seen and not same_text(&self.host_field, &self.authority):
                return self.refuse(SL_OUTCOME_MALFORMED, "Host is not :authority")
        else:
            self.dialect = DIALECT_PIPY
            fits = self.path.length <= HEAD_TARGET_MAX and self.set_bare_target()
        if not fits:
            return self.refuse(SL_OUTCOME_MALFORMED, self.detail or "the target is too long")
        return self.end_of_fields()

    cdef bint set_bare_target(self) noexcept:
        """host:port where the host may be an IPv6 address without brackets: the last colon parts them."""
        cdef const uint8_t *text = self.path.text
        cdef size_t colon = self.path.length
        if colon and text[0] == c"[":
            return self.set_target(text, colon)
        while colon and text[colon - 1] != c":":
            colon -= 1
        if colon < 2:
            return self.unfit_target("the target is not host:port")
        self.port = read_port(text + colon, self.path.length - colon)
        if self.port == 0:
            return self.unfit_target("the port of the target is not a number from 1 to 65535")
        return self.set_host(text, colon - 1)

    cdef int admitted(self) except -1:
        return CODEC_REQUEST

    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        """Its answer is a header block, which depends on the connection: answers.pyx makes it from the outcome."""
        return b""


# ---- bytes ---------------------------------------------------------------------------------------------------------

cdef HeadMethod method_of(const Field *field) noexcept nogil:
    cdef size_t length = field.value_length
    if length == 7 and memcmp(field.value, b"CONNECT", 7) == 0:
        return HEAD_CONNECT
    if length == 3 and memcmp(field.value, b"GET", 3) == 0:
        return HEAD_GET
    if length == 4 and memcmp(field.value, b"HEAD", 4) == 0:
        return HEAD_HEAD
    if length == 4 and memcmp(field.value, b"POST", 4) == 0:
        return HEAD_POST
    return HEAD_OTHER


cdef void lower(sl_message *head, sl_span span) noexcept nogil:
    cdef uint32_t i
    for i in range(span.at, span.at + span.length):
        if c"A" <= head.text[i] <= c"Z":
            head.text[i] |= 0x20


cdef bint same_text(const HeadText *one, const HeadText *other) noexcept nogil:
    """Equal but for the case of letters."""
    cdef size_t i
    cdef uint8_t a, b
    if one.length != other.length:
        return False
    for i in range(one.length):
        a, b = one.text[i], other.text[i]
        if c"A" <= a <= c"Z":
            a |= 0x20
        if c"A" <= b <= c"Z":
            b |= 0x20
        if a != b:
            return False
    return True
