"""SOCKS5 (RFC 1928, RFC 1929) and SOCKS4/4a requests as bytes. codec.pxd is the contract.

CONNECT only; CONTRACT.md section 5 has the answers. Messages may be split anywhere and may be pipelined: clients that
do not wait for our answers get them in order. Each byte is copied once, into a buffer inside the codec that holds the
longest message there is.

A wrong version byte at the very start is closed without a word: that peer does not speak SOCKS.
"""

from libc.stdint cimport uint8_t, uint16_t
from libc.string cimport memchr, memcpy, memset

from gateway.proto.codec cimport (
    AUTH_OFF,
    AUTH_OPTIONAL,
    AUTH_REQUIRED,
    CODEC_CREDENTIALS,
    CODEC_MORE,
    CODEC_REQUEST,
    Codec,
)
from gateway.c.addr cimport sl_addr
from gateway.c.contract cimport (
    SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_CONNECTED, SL_OUTCOME_DENIED,
    SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_DNS_FAILED, SL_OUTCOME_DNS_TIMEOUT, SL_OUTCOME_HOST_UNREACHABLE,
    SL_OUTCOME_MALFORMED, SL_OUTCOME_NAME_NOT_FOUND, SL_OUTCOME_NET_UNREACHABLE, SL_OUTCOME_REFUSED,
)

cdef extern from "string.h" nogil:
    void explicit_bzero(void *data, size_t length)

cdef enum:
    METHOD_NONE = 0x00
    METHOD_PASSWORD = 0x02
    METHOD_UNACCEPTABLE = 0xFF

    COMMAND_CONNECT = 0x01

    ATYP_IPV4 = 0x01
    ATYP_NAME = 0x03
    ATYP_IPV6 = 0x04

    # RFC 1928 section 6
    REP_SUCCEEDED = 0x00
    REP_FAILURE = 0x01
    REP_NOT_ALLOWED = 0x02
    REP_NETWORK_UNREACHABLE = 0x03
    REP_HOST_UNREACHABLE = 0x04
    REP_REFUSED = 0x05
    REP_COMMAND_UNSUPPORTED = 0x07
    REP_ATYP_UNSUPPORTED = 0x08

    SOCKS4_GRANTED = 0x5A
    SOCKS4_REJECTED = 0x5B


cdef uint8_t rep_of(int outcome) noexcept nogil:
    """The REP of an outcome: CONTRACT.md section 5."""
    if outcome == SL_OUTCOME_CONNECTED:
        return REP_SUCCEEDED
    # Wrong credentials end in the login; REP 0x02 is what is left to say should they be refused after it.
    if outcome in (SL_OUTCOME_DENIED, SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_AUTH_FAILED):
        return REP_NOT_ALLOWED
    if outcome == SL_OUTCOME_NET_UNREACHABLE:
        return REP_NETWORK_UNREACHABLE
    if outcome in (
        SL_OUTCOME_NAME_NOT_FOUND, SL_OUTCOME_HOST_UNREACHABLE, SL_OUTCOME_DNS_FAILED, SL_OUTCOME_DNS_TIMEOUT,
        SL_OUTCOME_DIAL_TIMEOUT,
    ):
        return REP_HOST_UNREACHABLE
    if outcome == SL_OUTCOME_REFUSED:
        return REP_REFUSED
    return REP_FAILURE


cdef bytes socks5_reply(uint8_t rep, const sl_addr *bound, uint16_t port):
    """RFC 1928 section 6: VER, REP, RSV, ATYP, BND.ADDR, BND.PORT; 0.0.0.0:0 when `bound` is unknown."""
    cdef uint8_t reply[22]
    cdef size_t size = 4
    memset(reply, 0, sizeof(reply))
    reply[0] = 0x05
    reply[1] = rep
    reply[3] = ATYP_IPV4
    if bound != NULL and bound.family == 6:
        reply[3] = ATYP_IPV6
        size = 16
    if bound != NULL and bound.family != 0:
        memcpy(reply + 4, bound.bytes, size)
        reply[4 + size] = <uint8_t> (port >> 8)
        reply[5 + size] = <uint8_t> (port & 0xFF)
    return reply[:6 + size]


cdef class Socks5Codec(Codec):
    """SOCKS5 with no authentication (0x00) and user/password (0x02)."""

    def __cinit__(self, int auth=AUTH_OFF):
        self.protocol = "socks5"
        self.tells_bound = True
        self.step = SOCKS5_GREETING
        self.bare = b"\x05\x01\x00\x01\x00\x00\x00\x00\x00\x00"

    def __dealloc__(self):
        explicit_bzero(self.message, sizeof(self.message))

    cdef int consume(self, const uint8_t *data, size_t length, size_t *used) except -1:
        cdef int status
        cdef size_t need, take
        while True:
            need = self.wanted() - self.held
            take = need if need < length - used[0] else length - used[0]
            memcpy(self.message + self.held, data + used[0], take)
            self.held += take
            used[0] += take
            if take < need:
                return CODEC_MORE
            status = self.judge_part()
            if status != CODEC_MORE:
                return status

    cdef size_t wanted(self) noexcept:
        """Where the part ends that the bytes held so far ask for. It is always past them (judge_part starts anew)."""
        cdef uint8_t *message = self.message
        cdef size_t held = self.held
        if held == 0:
            return 1  # the version, judged before anything else
        if self.step == SOCKS5_GREETING:
            return 2 if held < 2 else 2 + message[1]
        if self.step == SOCKS5_LOGIN:
            if held < 2:
                return 2
            return 3 + message[1] if held < <size_t> 3 + message[1] else 3 + message[1] + message[2 + message[1]]
        if held < 4:
            return 4
        if message[3] == ATYP_IPV4:
            return 10
        if message[3] == ATYP_IPV6:
            return 22
        return 5 if held < 5 else 7 + message[4]

    cdef int judge_part(self) except -1:
        """A part came whole: judges it as far as possible, or the message when it was the last part."""
        cdef uint8_t *message = self.message
        if self.held == 1:
            if message[0] == (0x01 if self.step == SOCKS5_LOGIN else 0x05):
                return CODEC_MORE
            if self.step == SOCKS5_GREETING:
                return self.fail(SL_OUTCOME_MALFORMED, "not SOCKS version 5", None)
            if self.step == SOCKS5_LOGIN:
                return self.fail(SL_OUTCOME_MALFORMED, "not version 1 of the login", b"\x01\x01")
            return self.malformed(REP_FAILURE, "a request of another SOCKS version")
        if self.step == SOCKS5_ASK and self.held == 4:
            if message[2] != 0:
                return self.malformed(REP_FAILURE, "the reserved byte is not zero")
            if message[1] != COMMAND_CONNECT:
                return self.malformed(REP_COMMAND_UNSUPPORTED, "only CONNECT is served")
            if message[3] not in (ATYP_IPV4, ATYP_NAME, ATYP_IPV6):
                return self.malformed(REP_ATYP_UNSUPPORTED, "unknown address type")
        if self.wanted() > self.held:
            return CODEC_MORE
        if self.step == SOCKS5_GREETING:
            return self.judge_greeting()
        if self.step == SOCKS5_LOGIN:
            return self.judge_login()
        return self.judge_request()

    cdef int judge_greeting(self) except -1:
        """Chooses among the methods offered."""
        cdef const uint8_t *methods = self.message + 2
        cdef size_t count = self.message[1]
        cdef int method = METHOD_UNACCEPTABLE
        if self.auth != AUTH_OFF and memchr(methods, METHOD_PASSWORD, count) != NULL:
            method = METHOD_PASSWORD
        elif self.auth != AUTH_REQUIRED and memchr(methods, METHOD_NONE, count) != NULL:
            method = METHOD_NONE
        if count == 0:
            return self.fail(SL_OUTCOME_MALFORMED, "no authentication method is offered", b"\x05\xff")
        if method == METHOD_UNACCEPTABLE:
            return self.fail(SL_OUTCOME_AUTH_FAILED, "no acceptable authentication method is offered", b"\x05\xff")
        self.held = 0
        self.step = SOCKS5_LOGIN if method == METHOD_PASSWORD else SOCKS5_ASK
        self.send(b"\x05\x02" if method == METHOD_PASSWORD else b"\x05\x00")
        return CODEC_MORE

    cdef int judge_login(self) except -1:
        """Hands over what RFC 1929 section 2 carries, and keeps no copy."""
        cdef const uint8_t *user = self.message + 2
        cdef const uint8_t *password = user + self.message[1] + 1
        cdef bint fit
        if self.auth == AUTH_OPTIONAL and (password - 1)[0] == 0:
            # Section 2 has no empty password. A client without credentials that offers both methods sends one (the
            # JDK, with the name of its process's user): where credentials are optional, it has sent none.
            return self.admitted()
        fit = self.set_credentials(user, self.message[1], password, (password - 1)[0])
        explicit_bzero(self.message, sizeof(self.message))
        if not fit:
            return self.refuse(SL_OUTCOME_AUTH_FAILED, self.detail)
        return CODEC_CREDENTIALS

    cdef int admitted(self) except -1:
        self.held = 0
        self.step = SOCKS5_ASK
        self.send(b"\x01\x00")
        return CODEC_MORE

    cdef int judge_request(self) except -1:
        """DST.ADDR and DST.PORT. A name that is an address literal is an address."""
        cdef uint8_t *message = self.message
        cdef const uint8_t *port = message + self.held - 2
        self.port = <uint16_t> (port[0] << 8 | port[1])
        if self.port == 0:
            return self.malformed(REP_FAILURE, "port 0")
        if message[3] == ATYP_NAME:
            if not self.set_host(message + 5, message[4]):
                return self.malformed(REP_FAILURE, self.detail)
        elif message[3] == ATYP_IPV4:
            memcpy(self.address.bytes, message + 4, 4)
            self.address.family = 4
        else:
            memcpy(self.address.bytes, message + 4, 16)
            self.address.family = 6
        return CODEC_REQUEST

    cdef int malformed(self, uint8_t rep, str detail) except -1:
        return self.fail(SL_OUTCOME_MALFORMED, detail, socks5_reply(rep, NULL, 0))

    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        # Before the request there is no REP: the refusal is the one that the step has.
        if self.step == SOCKS5_GREETING:
            return b"\x05\xff"
        if self.step == SOCKS5_LOGIN:
            return b"\x01\x01"
        return socks5_reply(rep_of(outcome), bound if outcome == SL_OUTCOME_CONNECTED else NULL, bound_port)


cdef class Socks4Codec(Codec):
    """SOCKS4 and 4a. The user id proves nothing and is skipped; where credentials are required every request fails."""

    def __cinit__(self, int auth=AUTH_OFF):
        self.protocol = "socks4"
        self.tells_bound = True
        self.step = SOCKS4_HEADER
        self.bare = b"\x00\x5b\x00\x00\x00\x00\x00\x00"

    cdef int consume(self, const uint8_t *data, size_t length, size_t *used) except -1:
        cdef int status = CODEC_MORE
        while status == CODEC_MORE and used[0] < length:
            if self.step == SOCKS4_HEADER:
                status = self.take_header(data, length, used)
            else:
                status = self.take_field(data, length, used)
        return status

    cdef int take_header(self, const uint8_t *data, size_t length, size_t *used) except -1:
        """VN, CD, DSTPORT, DSTIP."""
        cdef size_t take = min(length - used[0], sizeof(self.header) - self.held)
        memcpy(self.header + self.held, data + used[0], take)
        self.held += take
        used[0] += take
        if self.header[0] != 0x04:
            return self.fail(SL_OUTCOME_MALFORMED, "not SOCKS version 4", None)
        if self.held < sizeof(self.header):
            return CODEC_MORE
        self.port = <uint16_t> (self.header[2] << 8 | self.header[3])
        if self.header[1] != COMMAND_CONNECT:
            return self.refuse(SL_OUTCOME_MALFORMED, "only CONNECT is served")
        if self.port == 0:
            return self.refuse(SL_OUTCOME_MALFORMED, "port 0")
        self.held = 0
        self.step = SOCKS4_USER_ID
        return CODEC_MORE

    cdef int take_field(self, const uint8_t *data, size_t length, size_t *used) except -1:
        """USERID, then the name of SOCKS4a; each ends in a NUL."""
        cdef const uint8_t *start = data + used[0]
        cdef size_t take = min(length - used[0], sizeof(self.field) - self.held)
        cdef const uint8_t *end = <const uint8_t *> memchr(start, 0, take)
        if end != NULL:
            take = end - start + 1
        memcpy(self.field + self.held, start, take)
        self.held += take
        used[0] += take
        if end != NULL:
            return self.judge_field(self.held - 1)
        if self.held == sizeof(self.field):
            return self.refuse(SL_OUTCOME_MALFORMED, "the user id or the name is longer than 255 bytes")
        return CODEC_MORE

    cdef int judge_field(self, size_t size) except -1:
        """A field of `size` bytes is whole."""
        cdef const uint8_t *address = self.header + 4
        # 0.0.0.x with x not zero says that a name follows (SOCKS4a); 0.0.0.0 is an address like others.
        cdef bint named = address[0] == 0 and address[1] == 0 and address[2] == 0 and address[3] != 0
        if named and self.step == SOCKS4_USER_ID:
            self.held = 0
            self.step = SOCKS4_NAME
            return CODEC_MORE
        if named and not self.set_host(self.field, size):
            return self.refuse(SL_OUTCOME_MALFORMED, self.detail)
        if not named:
            memcpy(self.address.bytes, address, 4)
            self.address.family = 4
        if self.auth == AUTH_REQUIRED:
            return self.refuse(SL_OUTCOME_AUTH_FAILED, "credentials are required, and SOCKS4 has none")
        return CODEC_REQUEST

    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason):
        """VN 0, CD, and the address bound when it is an IPv4 one; clients ignore it for CONNECT."""
        cdef uint8_t reply[8]
        memset(reply, 0, sizeof(reply))
        reply[1] = SOCKS4_REJECTED
        if outcome == SL_OUTCOME_CONNECTED:
            reply[1] = SOCKS4_GRANTED
            if bound != NULL and bound.family == 4:
                reply[2] = <uint8_t> (bound_port >> 8)
                reply[3] = <uint8_t> (bound_port & 0xFF)
                memcpy(reply + 4, bound.bytes, 4)
        return reply[:8]
