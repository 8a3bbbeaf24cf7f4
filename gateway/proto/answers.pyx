"""The HTTP form of the answers of CONTRACT.md section 5: a table and the bytes made from its rows. See answers.pxd.

Success has no header at all: RFC 9110 section 9.3.6 forbids Content-Length and Transfer-Encoding there, and some
clients read nothing but the empty line. Failures close the connection: what follows on it may be meant for a tunnel.
"""

from gateway.c.contract cimport (
    SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_AUTH_FAILED, SL_OUTCOME_CONNECTED, SL_OUTCOME_DENIED,
    SL_OUTCOME_DIAL_TIMEOUT, SL_OUTCOME_DNS_FAILED, SL_OUTCOME_DNS_TIMEOUT, SL_OUTCOME_DRAINED,
    SL_OUTCOME_GATEWAY_LIMIT, SL_OUTCOME_HOST_UNREACHABLE, SL_OUTCOME_INTERNAL, SL_OUTCOME_MALFORMED,
    SL_OUTCOME_BACKEND_INVALID, SL_OUTCOME_CREDENTIAL_UNAVAILABLE, SL_OUTCOME_EXPECTATION, SL_OUTCOME_HEAD_TOO_LARGE,
    SL_OUTCOME_LOOP, SL_OUTCOME_MISDIRECTED, SL_OUTCOME_NAME_NOT_FOUND, SL_OUTCOME_NET_UNREACHABLE,
    SL_OUTCOME_NOT_BUILT, SL_OUTCOME_NO_ROUTE, SL_OUTCOME_NO_SERVER_NAME, SL_OUTCOME_NO_SUCH_METHOD,
    SL_OUTCOME_REFUSED, SL_OUTCOME_REQUEST_TIMEOUT, SL_OUTCOME_RESPONSE_INCOMPLETE, SL_OUTCOME_RESPONSE_INVALID,
    SL_OUTCOME_RESPONSE_TIMEOUT, SL_OUTCOME_ROUTE_LIMIT, SL_OUTCOME_SOURCE_LIMIT, SL_OUTCOME_UNAVAILABLE,
    SL_OUTCOME_UPSTREAM_FAILED,
)

cdef bytes SUCCESS = b"HTTP/1.1 200 Connection established\r\n\r\n"

cdef enum:
    TEXT_MAX = 256

# outcome: (status, error of Proxy-Status or None, what people read)
cdef dict ROWS = {
    SL_OUTCOME_INTERNAL: ("500 Internal Server Error", "proxy_internal_error", "the gateway failed"),
    SL_OUTCOME_DENIED: ("403 Forbidden", "http_request_denied", "denied"),
    SL_OUTCOME_ADDRESS_PROHIBITED: (
        "403 Forbidden", "destination_ip_prohibited", "no address of the destination is permitted"
    ),
    SL_OUTCOME_AUTH_FAILED: (
        "407 Proxy Authentication Required", None, "the gateway asks for a user and a password"
    ),
    SL_OUTCOME_NAME_NOT_FOUND: ("502 Bad Gateway", "dns_error", "the name does not resolve"),
    SL_OUTCOME_DNS_FAILED: ("502 Bad Gateway", "dns_error", "the name servers could not resolve the name"),
    SL_OUTCOME_REFUSED: ("502 Bad Gateway", "connection_refused", "the destination refused the connection"),
    SL_OUTCOME_NET_UNREACHABLE: (
        "502 Bad Gateway", "destination_ip_unroutable", "the network of the destination cannot be reached"
    ),
    SL_OUTCOME_HOST_UNREACHABLE: (
        "502 Bad Gateway", "destination_ip_unroutable", "the destination cannot be reached"
    ),
    SL_OUTCOME_DNS_TIMEOUT: ("504 Gateway Timeout", "dns_timeout", "the name was not resolved in time"),
    SL_OUTCOME_DIAL_TIMEOUT: ("504 Gateway Timeout", "connection_timeout", "the destination did not answer in time"),
    SL_OUTCOME_UPSTREAM_FAILED: ("502 Bad Gateway", "connection_refused", "the way to the destination failed"),
    SL_OUTCOME_SOURCE_LIMIT: (
        "429 Too Many Requests", "connection_limit_reached", "this source has reached its limit; try again later"
    ),
    SL_OUTCOME_GATEWAY_LIMIT: (
        "503 Service Unavailable", "connection_limit_reached", "the gateway takes no more connections; try again later"
    ),
    SL_OUTCOME_MALFORMED: ("400 Bad Request", "http_protocol_error", "malformed request"),
    SL_OUTCOME_NOT_BUILT: (
        "501 Not Implemented", None,
        "this port carries CONNECT tunnels, not plain requests: make the client tunnel (curl -p) or use SOCKS5",
    ),
    # RFC 9209 section 2.3.15: a 4xx of the intermediary's own.
    SL_OUTCOME_REQUEST_TIMEOUT: ("408 Request Timeout", "http_request_error", "the request did not come in time"),
    SL_OUTCOME_NO_ROUTE: ("404 Not Found", "http_request_denied", "no route matches the request"),
    SL_OUTCOME_NO_SUCH_METHOD: ("405 Method Not Allowed", "http_request_error", "the method is not served here"),
    SL_OUTCOME_EXPECTATION: ("417 Expectation Failed", "http_request_error", "the expectation is not known"),
    SL_OUTCOME_HEAD_TOO_LARGE: (
        "431 Request Header Fields Too Large", "http_request_error", "the request head is too large"
    ),
    SL_OUTCOME_LOOP: ("508 Loop Detected", "proxy_loop_detected", "the request has been through this gateway before"),
    SL_OUTCOME_MISDIRECTED: (
        "421 Misdirected Request", "http_request_error", "the request is for another destination than its tunnel"
    ),
    SL_OUTCOME_RESPONSE_INVALID: (
        "502 Bad Gateway", "http_protocol_error", "the response of the destination breaks its protocol"
    ),
    SL_OUTCOME_RESPONSE_INCOMPLETE: (
        "502 Bad Gateway", "http_response_incomplete", "the destination ended the connection before its response"
    ),
    SL_OUTCOME_RESPONSE_TIMEOUT: (
        "504 Gateway Timeout", "http_response_timeout", "the destination did not respond in time"
    ),
    SL_OUTCOME_UNAVAILABLE: (
        "503 Service Unavailable", "destination_unavailable", "the destination takes no more requests; try again later"
    ),
    SL_OUTCOME_ROUTE_LIMIT: (
        "429 Too Many Requests", "connection_limit_reached", "the route takes no more requests; try again later"
    ),
    SL_OUTCOME_BACKEND_INVALID: (
        "500 Internal Server Error", "proxy_configuration_error", "a backend of the route cannot be used"
    ),
    SL_OUTCOME_CREDENTIAL_UNAVAILABLE: (
        "502 Bad Gateway", "proxy_configuration_error", "a credential that the request needs cannot be set"
    ),
}
# A request that a draining gateway lets go meets the same end as one over its limit.
ROWS[SL_OUTCOME_DRAINED] = ROWS[SL_OUTCOME_GATEWAY_LIMIT]
# Told to the log alone: its clients speak no protocol that has an answer.
ROWS[SL_OUTCOME_NO_SERVER_NAME] = ROWS[SL_OUTCOME_MALFORMED]

# Statuses that ztunnel has others for: 401 for a denial, 503 where there is no way.
cdef dict HBONE = {b"403": b"401", b"407": b"401", b"502": b"503", b"504": b"503"}


cdef int http_status(int outcome) noexcept:
    return int(ROWS[outcome if outcome in ROWS else SL_OUTCOME_INTERNAL][0][:3])


cdef tuple answer_parts(int outcome, str rule, str reason, str detail, str signed, str note, bint bearer):
    cdef str status, error, text
    cdef list fields = []
    if outcome not in ROWS:
        outcome = SL_OUTCOME_INTERNAL
    status, error, text = ROWS[outcome]
    if outcome == SL_OUTCOME_UPSTREAM_FAILED and reason is not None and reason.startswith("tls"):
        error = "tls_certificate_error"
    if outcome not in (SL_OUTCOME_DENIED, SL_OUTCOME_ADDRESS_PROHIBITED, SL_OUTCOME_NO_ROUTE):
        rule = None  # another row's rule is the one that allowed
    if reason is None:
        reason = "dns_failed" if outcome == SL_OUTCOME_DNS_FAILED else detail
    text = people(text, rule, reason, outcome == SL_OUTCOME_DENIED)
    if error is not None:
        fields.append(("Proxy-Status", f"sluice; error={error}{details(rule, reason)}"))
    if outcome == SL_OUTCOME_AUTH_FAILED:
        fields.append(("Proxy-Authenticate", 'Basic realm="sluice", charset="UTF-8"'))  # RFC 7617 section 2.1
        if bearer:
            fields.append(("Proxy-Authenticate", 'Bearer realm="sluice"'))  # RFC 6750 section 3
    if outcome == SL_OUTCOME_NO_SUCH_METHOD:
        fields.append(("Allow", "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"))  # RFC 9110 section 15.5.6
    if error in ("connection_limit_reached", "destination_unavailable"):
        fields.append(("Retry-After", "1"))
    if note is not None:
        text += note + "\n"
    if signed is not None:
        fields.append(("Sluice-Id", signed))
    fields.append(("Content-Type", "text/plain"))
    fields.append(("Content-Length", str(len(text))))
    return status, fields, text


cdef bytes http1_answer(int outcome, str rule, str reason, str detail, bint body, str signed, str note,
                        bint bearer):
    cdef str status, text, header
    cdef list fields
    if outcome == SL_OUTCOME_CONNECTED:
        return SUCCESS
    status, fields, text = answer_parts(outcome, rule, reason, detail, signed, note, bearer)
    header = "".join([f"HTTP/1.1 {status}\r\n", *[f"{name}: {value}\r\n" for name, value in fields]])
    header += "Connection: close\r\n\r\n"
    return (header + text if body else header).encode("ascii")


cdef bytes http1_refusal(int outcome, str rule, str reason, str detail, bint body, str signed, str note, bint bearer,
                         bint lasts):
    cdef bytes answer = http1_answer(outcome, rule, reason, detail, body, signed, note, bearer)
    return answer.replace(b"Connection: close\r\n", b"", 1) if lasts else answer


cdef tuple http2_answer(int outcome, str rule, str reason, str detail, str signed, str note, bint bearer):
    cdef str status, text, name, value
    cdef list fields
    status, fields, text = answer_parts(outcome, rule, reason, detail, signed, note, bearer)
    block = [(b":status", status[:3].encode("ascii"))]
    block += [(name.lower().encode("ascii"), value.encode("ascii")) for name, value in fields]
    return block, text.encode("ascii")


cdef tuple hbone_status(tuple field):
    return field[0], HBONE.get(field[1], field[1])


cdef str people(str text, str rule, str reason, bint denied):
    """The body: `denied by rule shop/payments (rule_deny)`."""
    if rule:
        text += f" by rule {printable(rule)}"
    elif denied:
        text += " by policy"
    if reason:
        text += f" ({printable(reason)})"
    return text + "\n"


cdef str details(str rule, str reason):
    """The `details` parameter of RFC 9209 section 2.1.3, an sf-string (RFC 8941 section 3.3.3)."""
    cdef str text
    if rule and reason:
        text = f"rule {printable(rule)}: {printable(reason)}"
    elif rule:
        text = f"rule {printable(rule)}"
    elif reason:
        text = printable(reason)
    else:
        return ""
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'; details="{text}"'


cdef str printable(str text):
    cdef bytes raw = text[:TEXT_MAX].encode("utf-8", "surrogatepass")
    cdef unsigned char byte
    if raw.isascii() and text.isprintable() and b"\\" not in raw:
        return text[:TEXT_MAX]
    return "".join([chr(byte) if 0x20 <= byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in raw])
