"""The base of the request codecs: what SOCKS5, SOCKS4 and HTTP/1 share. codec.pxd is the contract.

Sans-IO: bytes come in by feed(), bytes to send go out by take_out() and answer(). A codec holds no descriptor, reads no
clock and decides no policy.

Laws kept here:

* Once a codec is decided it stays so: after REQUEST every byte is payload, after FAILED none is read.
* No exception leaves a `noexcept` method: an internal error is FAILED with outcome `internal`, and it has an answer.
* Nothing a client sent comes back raw: `detail` is a text of the gateway.

receive(), verify(), reply(), host and family are the same machine for tests and tools in Python.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, memset

from gateway.c.addr cimport sl_addr
from gateway.c.contract cimport (
    SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_INTERNAL, SL_REASON_INTERNAL, SL_REASON_TOKEN_MALFORMED,
    SL_REASON_TOKEN_TOO_LONG, sl_reason_text,
)
from gateway.c.forwarded cimport SL_FORWARDED_BROKEN, sl_forwarded, sl_forwarded_read
from gateway.c.name cimport SL_NAME_ADDRESS, SL_NAME_OK, sl_name_canonical, sl_name_status, sl_name_status_text
from gateway.c.trace_context cimport SL_TRACEPARENT_MOST

cdef extern from "string.h" nogil:
    void explicit_bzero(void *data, size_t length)

cdef enum:
    BAGGAGE_KEPT = 512
    USER_MAX = 255  # RFC 1929 section 2 has one length byte; HTTP users are held to the same


cdef class Codec:
    """A request codec. `auth` is 0 (off), 1 (optional) or 2 (required)."""

    def __cinit__(self, int auth=AUTH_OFF):
        self.auth = auth
        self.status = CODEC_MORE
        self.outcome = SL_OUTCOME_INTERNAL
        self.protocol = ""
        self.bare = b""

    cdef void sign(self, str prefix, uint64_t sequence, str note, bint bearer) noexcept:
        self.prefix, self.sequence, self.note, self.bearer = prefix, sequence, note, bearer

    # ---- the contract ----------------------------------------------------------------------------------------------

    cdef int feed(self, const uint8_t *data, size_t length, size_t *used) noexcept:
        used[0] = 0
        if self.status == CODEC_MORE and length > 0:
            try:
                self.status = self.consume(data, length, used)
            except BaseException:
                self.broken()
        if self.status == CODEC_FAILED:
            used[0] = length
        return self.status

    cdef int verified(self, bint ok) noexcept:
        if self.status != CODEC_CREDENTIALS:
            return self.status
        self.password = self.token = None
        if not ok:
            return self.refuse(SL_OUTCOME_AUTH_FAILED, "wrong user or password")
        try:
            self.status = self.admitted()
        except BaseException:
            self.broken()
        return self.status

    cdef int turn_down(self, int reason) noexcept:
        self.reason = reason
        return self.refuse(SL_OUTCOME_AUTH_FAILED, sl_reason_text(<unsigned> reason).decode("ascii"))

    cdef bytes answer(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        try:
            return self.compose(outcome, bound, bound_port, rule, reason)
        except BaseException:
            return self.bare

    cdef bytes take_out(self):
        cdef bytes out = self.out
        self.out = None
        return out

    # ---- for subclasses --------------------------------------------------------------------------------------------

    cdef int consume(self, const uint8_t *data, size_t length, size_t *used) except -1:
        raise NotImplementedError("a codec reads its own protocol")

    cdef int admitted(self) except -1:
        raise NotImplementedError("a codec knows what follows its credentials")

    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        raise NotImplementedError("a codec answers in its own protocol")

    cdef bint set_host(self, const uint8_t *host, size_t length) noexcept:
        cdef sl_name_status status
        memset(&self.address, 0, sizeof(self.address))
        status = sl_name_canonical(host, length, self.name, &self.name_length, &self.address)
        if status == SL_NAME_OK:
            self.address.family = 0
            return True
        self.name[0] = 0
        self.name_length = 0
        if status == SL_NAME_ADDRESS:
            return True
        self.address.family = 0
        self.detail = sl_name_status_text(status).decode("ascii")
        return False

    cdef bint set_credentials(
        self, const uint8_t *user, size_t user_length, const uint8_t *password, size_t length
    ) except -1:
        if user_length == 0 or user_length > USER_MAX:
            self.detail = "a user name is 1 to 255 bytes"
            return False
        if length == 0:
            self.detail = "the password is empty"
            return False
        # RFC 7617 section 2 forbids them in both; SOCKS5 is held to the same, so that a user is one thing everywhere.
        if has_control(user, user_length) or has_control(password, length):
            self.detail = "credentials hold a control character"
            return False
        self.user = user[:user_length]
        self.password = password[:length]
        return True

    cdef bint set_target(self, const uint8_t *target, size_t length) noexcept:
        cdef const uint8_t *end = target + length
        cdef const uint8_t *host = target
        cdef const uint8_t *host_end
        cdef bint bracketed = length > 0 and target[0] == c"["
        if memchr(target, c"@", length) != NULL:
            return self.unfit_target("user information in the target")
        if memchr(target, c"%", length) != NULL:
            return self.unfit_target("a percent sign in the target")
        host_end = <const uint8_t *> memchr(target, c"]" if bracketed else c":", length)
        if bracketed and host_end != NULL:
            host += 1
            target = host_end + 1
        elif host_end != NULL:
            target = host_end
        if host_end == NULL or target == end or target[0] != c":":
            return self.unfit_target("the target is not host:port")
        target += 1
        self.port = read_port(target, end - target)
        if self.port == 0:
            return self.unfit_target("the port of the target is not a number from 1 to 65535")
        if not self.set_host(host, host_end - host):
            return False
        if bracketed and self.address.family != 6:
            return self.unfit_target("brackets are for IPv6 addresses")
        return True

    cdef bint unfit_target(self, str detail) noexcept:
        self.detail = detail
        return False

    cdef bint set_authorization(self, const uint8_t *value, size_t length) except -1:
        """The scheme decides, in any case."""
        if length > 6 and is_scheme(value, b"bearer", 6) and value[6] == c" ":
            value += 6
            length -= 6
            while length > 0 and value[0] == c" ":
                value += 1
                length -= 1
            return self.set_token(value, length)
        return self.set_basic(value, length)

    cdef bint set_forwarded(self, const uint8_t *value, size_t length) noexcept:
        cdef sl_forwarded found
        if sl_forwarded_read(value, length, &found) == SL_FORWARDED_BROKEN:
            return self.unfit_target("Forwarded is not a list of elements (RFC 7239)")
        self.forwarded, self.forwarded_port = found.client, found.port
        return True

    cdef int set_baggage(self, const uint8_t *value, size_t length) except -1:
        self.baggage = value[:min(length, <size_t> BAGGAGE_KEPT)]
        return 0

    cdef int set_traceparent(self, const uint8_t *value, size_t length) except -1:
        self.traceparent = value[:length] if self.traceparent is None and length <= SL_TRACEPARENT_MOST else b""
        return 0

    cdef bint set_token(self, const uint8_t *token, size_t length) except -1:
        """RFC 6750 section 2.1: b64token. Its parts are the verifier's to read."""
        cdef size_t i
        if length > TOKEN_MAX:
            self.reason = SL_REASON_TOKEN_TOO_LONG
            return self.unfit_target(f"the token is longer than {TOKEN_MAX} bytes")
        for i in range(length):
            if sextet(token[i]) < 0 and token[i] not in (c"-", c".", c"_", c"~", c"="):
                length = 0
                break
        if length == 0:
            self.reason = SL_REASON_TOKEN_MALFORMED
            return self.unfit_target("the token is empty, or has a byte that no token has")
        self.token = token[:length]
        return True

    cdef bint set_basic(self, const uint8_t *value, size_t length) except -1:
        """Base64 of user ":" password, strictly."""
        cdef uint8_t *plain
        cdef uint8_t *colon
        cdef Py_ssize_t size
        cdef size_t user
        if length < 6 or not is_scheme(value, b"basic", 5) or value[5] != c" ":
            self.detail = "the authentication scheme is neither Basic nor Bearer"
            return False
        value += 5
        length -= 5
        while length > 0 and value[0] == c" ":
            value += 1
            length -= 1
        plain = <uint8_t *> malloc(length + 1)
        if plain == NULL:
            raise MemoryError
        try:
            size = read_base64(value, length, plain)
            colon = <uint8_t *> memchr(plain, c":", size) if size > 0 else NULL
            if colon == NULL:
                self.detail = "the credentials are not base64 of user:password"
                return False
            user = colon - plain
            return self.set_credentials(plain, user, colon + 1, size - user - 1)
        finally:
            explicit_bzero(plain, length + 1)
            free(plain)

    cdef int end_of_fields(self) except -1:
        if self.unfit is not None:
            return self.refuse(SL_OUTCOME_AUTH_FAILED, self.unfit)
        if self.user is not None or self.token is not None:
            return CODEC_CREDENTIALS
        if self.auth == AUTH_REQUIRED:
            return self.refuse(SL_OUTCOME_AUTH_FAILED, "no credentials")
        return CODEC_REQUEST

    cdef int fail(self, int outcome, str detail, bytes out) noexcept:
        self.status = CODEC_FAILED
        self.outcome = outcome
        if outcome != SL_OUTCOME_AUTH_FAILED:
            self.reason = SL_REASON_INTERNAL
        self.detail = detail
        self.password = self.token = None
        if out is not None:
            self.out = out if self.out is None else self.out + out
        return CODEC_FAILED

    cdef int refuse(self, int outcome, str detail) noexcept:
        self.detail = detail  # the answer may quote it
        return self.fail(outcome, detail, self.answer(outcome, NULL, 0, None, None))

    cdef int send(self, bytes data) except -1:
        self.out = data if self.out is None else self.out + data
        return 0

    cdef int broken(self) noexcept:
        """An error of our own: where even the answer fails, the one that was built beforehand ends the request."""
        self.detail = None
        return self.fail(SL_OUTCOME_INTERNAL, "internal error", self.answer(SL_OUTCOME_INTERNAL, NULL, 0, None, None))


cdef bint has_control(const uint8_t *data, size_t length) noexcept nogil:
    cdef size_t i
    for i in range(length):
        if data[i] < 0x20 or data[i] == 0x7F:
            return True
    return False


cdef bint is_scheme(const uint8_t *data, const char *name, size_t length) noexcept nogil:
    """The scheme's name, in any case."""
    cdef size_t i
    for i in range(length):
        if data[i] | 0x20 != <uint8_t> name[i]:
            return False
    return True


cdef uint16_t read_port(const uint8_t *data, size_t length) noexcept nogil:
    cdef unsigned int port = 0
    cdef size_t i
    if length == 0 or length > 5 or data[0] == c"0":
        return 0
    for i in range(length):
        if not c"0" <= data[i] <= c"9":
            return 0
        port = port * 10 + (data[i] - c"0")
    return <uint16_t> port if port <= 65535 else 0


cdef int sextet(uint8_t byte) noexcept nogil:
    """RFC 4648 section 4; -1 for a byte outside the alphabet."""
    if c"A" <= byte <= c"Z":
        return byte - c"A"
    if c"a" <= byte <= c"z":
        return byte - c"a" + 26
    if c"0" <= byte <= c"9":
        return byte - c"0" + 52
    return 62 if byte == c"+" else 63 if byte == c"/" else -1


cdef Py_ssize_t read_base64(const uint8_t *data, size_t length, uint8_t *plain) noexcept nogil:
    """RFC 4648 section 4, strictly: whole quads, padding as it must be, no stray bits. Answers the size, or -1.

    `plain` has room for `length` bytes."""
    cdef size_t i, pad = 0
    cdef Py_ssize_t size = 0
    cdef unsigned int bits = 0
    cdef int value
    if length == 0 or length % 4 != 0:
        return -1
    while pad < 2 and data[length - 1 - pad] == c"=":
        pad += 1
    for i in range(length - pad):
        value = sextet(data[i])
        if value < 0:
            return -1
        bits = bits << 6 | <unsigned int> value
        if i % 4 > 0:
            plain[size] = <uint8_t> (bits >> (6 - 2 * (i % 4)) & 0xFF)
            size += 1
    # Bits that the padding cuts off must be zero: 4 of them for one byte, 2 for two.
    if pad and bits & ((1 << (2 * pad)) - 1):
        return -1
    return size
