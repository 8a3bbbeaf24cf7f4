# The shape every request codec has: bytes in, a request or a failure out, an answer back.
# Codecs know bytes only: no descriptor, no clock, no policy (STYLE.md, "Imports run one way").
from libc.stdint cimport uint8_t, uint16_t, uint64_t

from gateway.c.addr cimport sl_addr

cdef enum CodecStatus:
    CODEC_FAILED = 0       # malformed or refused: send `out`, then close; `outcome` and `detail` say why
    CODEC_MORE = 1         # send `out` if any, and feed more
    CODEC_CREDENTIALS = 2  # `user` and `password`, or `token`, wait for verified()
    CODEC_REQUEST = 3      # the target is known: `name` or `address`, and `port`

cdef enum AuthMode:
    AUTH_OFF = 0
    AUTH_OPTIONAL = 1
    AUTH_REQUIRED = 2

cdef enum:
    TOKEN_MAX = 8192       # bytes of a bearer token: those of Kubernetes have about 1,000

cdef class Codec:
    cdef readonly str protocol       # "socks5", "socks4", "http"
    cdef readonly int auth           # AuthMode
    cdef readonly int status         # the CodecStatus answered last
    cdef readonly int outcome        # sl_outcome of a failure
    cdef readonly str detail         # of a failure: the rule of the protocol that was broken, bounded, never raw input
    cdef readonly bytes user         # credentials sent, or None; unproven until verified(True)
    cdef readonly bytes password     # cleared by verified() and by every failure
    cdef readonly bytes token        # a bearer token instead of these two, or None; cleared likewise
    cdef str unfit                   # the fault of Proxy-Authorization; None: it has none
    cdef readonly int reason         # sl_reason of a failure that says more than `outcome`; 0: none
    cdef uint64_t credential         # of the hash that the password fitted; 0 before; the caller's to set
    cdef bint trusted                # the peer may speak for others: the next two are read; the caller's to set
    cdef sl_addr forwarded           # the client that Forwarded names (RFC 7239); family 0: none
    cdef uint16_t forwarded_port
    cdef bytes baggage               # its beginning, or None
    cdef const uint8_t *traced       # bool of the caller: traceparent is read; NULL: it is not
    cdef bytes traceparent           # its value; b"": more than one; None: none
    cdef str prefix                  # of the id, as given to sign()
    cdef uint64_t sequence
    cdef str note
    cdef bint bearer
    cdef bytes out                   # bytes to send now, or None; take_out() hands them over
    cdef bytes bare                  # the answer to an internal error, built before anything can fail
    cdef sl_addr address             # family 0 when a name was asked
    cdef char name[256]              # canonical name, NUL-terminated; empty when an address was asked
    cdef size_t name_length
    cdef readonly uint16_t port
    cdef bint tells_bound            # a success says which address the upstream socket has
    cdef bint resets                 # a refusal is a reset: an end would look like one of the destination's
    cdef bytes early                 # with REQUEST: payload among the bytes that were used before; None: none

    # Parts of a refusal: the id of their log line, which is `prefix` and `sequence`, and an operator's own line (or
    # None); and whether tokens are asked for as well. Before the first feed().
    cdef void sign(self, str prefix, uint64_t sequence, str note, bint bearer) noexcept

    # ---- for connections -------------------------------------------------------------------------------------------
    # Takes bytes; *used says how many belong to the request: all of them with MORE and FAILED; with CREDENTIALS feed
    # the others after verified(), with REQUEST they are payload. Answers a CodecStatus, the same once it is decided.
    cdef int feed(self, const uint8_t *data, size_t length, size_t *used) noexcept
    # The verdict on `user` and `password`. Answers a CodecStatus: MORE, REQUEST, or FAILED.
    cdef int verified(self, bint ok) noexcept
    # The same for credentials that do not hold, with an sl_reason that says why.
    cdef int turn_down(self, int reason) noexcept
    # The bytes that answer the request: success for SL_OUTCOME_CONNECTED, else the row of CONTRACT.md section 5.
    # `bound` is the local address of the upstream socket (NULL or family 0: unknown); `rule` and `reason` may be None.
    # Empty where the protocol has no answers. Never raises and never answers None: any other outcome is the row
    # "internal". A refusal that comes before the request is whole (a timeout, a limit) takes the form that the protocol
    # has at that point.
    cdef bytes answer(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason)
    # `out`, which becomes None.
    cdef bytes take_out(self)

    # ---- for subclasses --------------------------------------------------------------------------------------------
    # The body of feed(): reads on from where the last call stopped. Answers a CodecStatus.
    cdef int consume(self, const uint8_t *data, size_t length, size_t *used) except -1
    # The body of verified(True): the credentials hold. Answers a CodecStatus.
    cdef int admitted(self) except -1
    # The body of answer().
    cdef bytes compose(self, int outcome, sl_addr *bound, uint16_t bound_port, str rule, str reason)
    # Canonicalises a host into `name` or `address`; 1, or 0 with `detail` set.
    cdef bint set_host(self, const uint8_t *host, size_t length) noexcept
    # Keeps what was sent as credentials; 1, or 0 with `detail` set when no user can have that name.
    cdef bint set_credentials(
        self, const uint8_t *user, size_t user_length, const uint8_t *password, size_t length
    ) except -1
    # Reads an authority-form target (RFC 9112 section 3.2.3): host ":" port, both there, an IPv6 literal in brackets;
    # 1, or 0 with `detail` set.
    cdef bint set_target(self, const uint8_t *target, size_t length) noexcept
    cdef bint unfit_target(self, str detail) noexcept
    # Reads the value of Proxy-Authorization: Basic (RFC 7617) or Bearer (RFC 6750); 1, or 0 with `detail` set.
    cdef bint set_authorization(self, const uint8_t *value, size_t length) except -1
    # At the end of the fields: Proxy-Authorization is refused, to be verified, or not needed. Answers a CodecStatus.
    cdef int end_of_fields(self) except -1
    # Reads the value of Forwarded; 1, or 0 with `detail` set. Of the value of baggage the beginning is kept.
    cdef bint set_forwarded(self, const uint8_t *value, size_t length) noexcept
    cdef int set_baggage(self, const uint8_t *value, size_t length) except -1
    # Keeps the value of traceparent (W3C Trace Context), unread.
    cdef int set_traceparent(self, const uint8_t *value, size_t length) except -1
    cdef bint set_token(self, const uint8_t *token, size_t length) except -1
    cdef bint set_basic(self, const uint8_t *value, size_t length) except -1
    # Ends the request. fail() sends `out`; refuse() sends the answer of `outcome`. Both answer CODEC_FAILED.
    cdef int fail(self, int outcome, str detail, bytes out) noexcept
    cdef int refuse(self, int outcome, str detail) noexcept
    # Ends the request for an error of our own.
    cdef int broken(self) noexcept
    # Queues bytes behind those that wait in `out`.
    cdef int send(self, bytes data) except -1

# 1 to 65535 in decimal without leading zeros; 0 when it is anything else.
cdef uint16_t read_port(const uint8_t *data, size_t length) noexcept nogil
