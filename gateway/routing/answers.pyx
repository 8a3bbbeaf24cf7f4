"""Answers that a route gives by itself (Gateway API, HTTPRequestRedirectFilter and HTTPCORSFilter). See answers.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from gateway.c.message cimport (
    SL_FIELD_ORIGIN, SL_FRAMING_LENGTH, sl_message_add, sl_message_at, sl_message_find, sl_message_find_name,
)
from gateway.proto.message cimport is_method
from gateway.routing.route cimport rewritten

cdef dict PORTS = {b"http": 80, b"https": 443}


cdef Message plain(int status):
    """A head without content."""
    cdef Message made = Message.__new__(Message)
    made.head.status, made.head.minor = <unsigned> status, 1
    made.head.framing, made.head.has_length, made.head.keeps_alive = SL_FRAMING_LENGTH, True, True
    return made


cdef bint add(sl_message *head, bytes name, bytes value) noexcept:
    return sl_message_add(head, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), PyBytes_AS_STRING(value),
                          PyBytes_GET_SIZE(value)) >= 0


cdef Message answer_of(Route route, RequestRecord record, const sl_message *head):
    cdef Message answer = None
    if route.steps.redirect is not None:
        answer = plain(route.steps.redirect.get("status", 302))
        add(&answer.head, b"location", location(route.steps.redirect, record, head))
    elif route.steps.cors is not None and is_preflight(head):
        answer = plain(204)
        answer.head.has_length = False
        answer.head.framing = 0
        let_in(route, head, &answer.head)
        cors = route.steps.cors
        add(&answer.head, b"access-control-allow-methods", ", ".join(cors.get("methods", ()) or ("*",)).encode())
        if cors.get("headers"):
            add(&answer.head, b"access-control-allow-headers", ", ".join(cors["headers"]).encode())
        add(&answer.head, b"access-control-max-age", b"%d" % cors.get("max_age", 5))
    return answer


cdef bytes location(given, RequestRecord record, const sl_message *head):
    """Parts that are not given stay as they were asked for; a port that its scheme has anyway is left out."""
    cdef bytes asked = sl_message_at(head, head.authority)[:head.authority.length]
    cdef bytes scheme = b"https" if record.secure else b"http"
    cdef bytes host, path, port, full, prefix, matched
    cdef object wanted = given.get("port")
    if given.get("hostname") is not None:
        host = given["hostname"].encode()
    else:
        host = asked[:asked.rindex(b"]") + 1] if asked.startswith(b"[") else asked.partition(b":")[0]
    if given.get("scheme") is not None:
        if wanted is None and given["scheme"].encode() != scheme:
            wanted = PORTS.get(given["scheme"].encode(), record.port)
        scheme = given["scheme"].encode()
    if wanted is None:
        wanted = record.port
    port = b"" if wanted == PORTS.get(scheme) else b":%d" % wanted
    full, prefix, matched = given["path"]
    path = rewritten(head, full, prefix, matched)
    if path is None:
        path = sl_message_at(head, head.path)[:head.path.length]
    if head.has_query:
        path += b"?" + sl_message_at(head, head.query)[:head.query.length]
    return b"%b://%b%b%b" % (scheme, host, port, path)


cdef bint is_preflight(const sl_message *head) noexcept:
    return (is_method(head, b"OPTIONS", 7)
            and sl_message_find(head, SL_FIELD_ORIGIN, 0) >= 0
            and sl_message_find_name(head, b"access-control-request-method", 29, 0) >= 0)


cdef bint let_in(Route route, const sl_message *request, sl_message *response) noexcept:
    cdef int at = sl_message_find(request, SL_FIELD_ORIGIN, 0)
    cdef bytes origin
    cors = route.steps.cors
    if cors is None or at < 0:
        return True
    origin = sl_message_at(request, request.fields[at].value)[:request.fields[at].value.length]
    if not is_let_in(cors.get("origins", ()), origin.decode("latin-1")):
        return True
    # With credentials no answer may say `*` (Fetch, section 3.2.5).
    every = "*" in cors.get("origins", ()) and not cors.get("credentials")
    done = add(response, b"access-control-allow-origin", b"*" if every else origin)
    if not every:
        done = done and add(response, b"vary", b"origin")
    if cors.get("credentials"):
        done = done and add(response, b"access-control-allow-credentials", b"true")
    if cors.get("expose"):
        done = done and add(response, b"access-control-expose-headers", ", ".join(cors["expose"]).encode())
    return done


cdef bint is_let_in(origins, str origin) noexcept:
    """`*`, an origin, or one with `*` for the labels before a suffix: `https://*.example.com`."""
    for one in origins:
        if one == "*" or one == origin:
            return True
        before, star, after = one.partition("*")
        if star and origin.startswith(before) and origin.endswith(after) and len(origin) > len(before) + len(after):
            return True
    return False
