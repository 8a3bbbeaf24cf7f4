"""The base of the request codecs: what SOCKS5, SOCKS4 and HTTP/1 share. codec.pxd is the contract.

Sans-IO: bytes come in by feed(), bytes to send go out by take_out() and answer(). A codec holds no descriptor, reads no
clock and decides no policy.

Laws kept here:

* Once a codec is decided it stays so: after REQUEST every byte is payload, after FAILED none is read.
* No exception leaves a `noexcept` method: an error of ours is FAILED with outcome `internal`, and it has an answer.
* Nothing a client sent comes back raw: `detail` is text of ours.

receive(), verify(), reply(), host and family are the same machine for tests and tools in Python.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memset

from gateway.csrc cimport (
    SL_ADDR_TEXT,
    SL_NAME_ADDRESS,
    SL_NAME_OK,
    SL_OUTCOME_AUTH_FAILED,
    SL_OUTCOME_INTERNAL,
    sl_addr,
    sl_addr_format,
    sl_addr_parse,
    sl_name_canonical,
    sl_name_status,
    sl_name_status_text,
)

cdef enum:
    USER_MAX = 255  # RFC 1929 section 2 has one length byte; HTTP users are held to the same


cdef class Codec:
    """A request codec. `auth` is 0 (off), 1 (optional) or 2 (required)."""

    def __cinit__(self, int auth=AUTH_OFF):
        self.auth = auth
        self.status = CODEC_MORE
        self.outcome = SL_OUTCOME_INTERNAL
        self.protocol = ""
        self.bare = b""

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
        self.password = None
        if not ok:
            return self.refuse(SL_OUTCOME_AUTH_FAILED, "wrong user or password")
        try:
            self.status = self.admitted()
        except BaseException:
            self.broken()
        return self.status

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
        # RFC 7617 section 2 forbids them in both; SOCKS5 is held to the same, so that a user is one thing everywhere.
        if has_control(user, user_length) or has_control(password, length):
            self.detail = "credentials hold a control character"
            return False
        self.user = user[:user_length]
        self.password = password[:length]
        return True

    cdef int fail(self, int outcome, str detail, bytes out) noexcept:
        self.status = CODEC_FAILED
        self.outcome = outcome
        self.detail = detail
        self.password = None
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
        """An error of our own: the request ends with the answer that was built beforehand."""
        return self.fail(SL_OUTCOME_INTERNAL, "internal error", self.bare)

    # ---- for Python ------------------------------------------------------------------------------------------------

    def receive(self, bytes data not None):
        """feed(): answers (status, bytes used, bytes to send)."""
        cdef size_t used = 0
        cdef int status = self.feed(<const uint8_t *> <const char *> data, len(data), &used)
        return status, used, self.take_out() or b""

    def verify(self, bint ok):
        """verified(): answers (status, bytes to send)."""
        cdef int status = self.verified(ok)
        return status, self.take_out() or b""

    def reply(self, int outcome, str bound=None, uint16_t port=0, str rule=None, str reason=None):
        """answer(): `bound` is the text of an address; ValueError when it is none."""
        cdef sl_addr address
        cdef bytes text
        memset(&address, 0, sizeof(address))
        if bound is not None:
            text = bound.encode()
            if not sl_addr_parse(text, len(text), &address):
                raise ValueError(f"not an address: {bound!r}")
        return self.answer(outcome, &address, port, rule, reason)

    @property
    def host(self):
        """The name or the address text that was asked for; "" before it is known."""
        cdef char text[SL_ADDR_TEXT]
        if self.address.family == 0:
            return self.name[:self.name_length].decode("ascii")
        return text[:sl_addr_format(&self.address, text)].decode("ascii")

    @property
    def family(self):
        """4 or 6 when an address was asked for, 0 for a name."""
        return self.address.family


cdef bint has_control(const uint8_t *data, size_t length) noexcept nogil:
    cdef size_t i
    for i in range(length):
        if data[i] < 0x20 or data[i] == 0x7F:
            return True
    return False
