"""Routes and changes of fields, made from the texts of the policy image once a generation. See route.pxd.

The texts are the supervisor's (supervisor/policy/resources/routing.py), resolved and checked: a worker follows no
reference and finds no mistake in them.
"""

import re

import orjson

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint64_t

from gateway.c.addr cimport sl_addr, sl_addr_parse
from gateway.c.judge cimport sl_judged_headers, sl_judged_route
from gateway.c.message cimport (
    sl_message_add, sl_message_at, sl_message_keep, sl_message_remove, sl_message_set,
)


REFERENCE = re.compile(r"\$\{credential:([^}]*)\}")  # supervisor/policy/resources/credentials.py


cdef Route route_of(Generation generation, const sl_decision *decision):
    cdef const char *text = sl_judged_route(&generation.image.image, decision)
    if text is NULL:
        return None
    found = generation.parsed.get(<size_t> text)
    if found is None:
        found = generation.parsed[<size_t> text] = Route(orjson.loads(<bytes> text))
    return <Route> found


cdef HeaderChanges headers_of(Generation generation, const sl_decision *decision):
    cdef const char *text = sl_judged_headers(&generation.image.image, decision)
    if text is NULL:
        return None
    found = generation.parsed.get(<size_t> text)
    if found is None:
        found = generation.parsed[<size_t> text] = HeaderChanges(orjson.loads(<bytes> text))
    return <HeaderChanges> found


@cython.final
cdef class Changes:
    """`given`: {set, add, remove}."""

    def __init__(self, given):
        self.sets = [(name.encode(), value.encode()) for name, value in given.get("set", ())]
        self.adds = [(name.encode(), value.encode()) for name, value in given.get("add", ())]
        self.removes = [name.encode() for name in given.get("remove", ())]

    cdef bint apply(self, sl_message *head) noexcept:
        cdef bytes name, value
        for name, value in self.sets:
            if not sl_message_set(head, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), PyBytes_AS_STRING(value),
                                  PyBytes_GET_SIZE(value)):
                return False
        for name, value in self.adds:
            if sl_message_add(head, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), PyBytes_AS_STRING(value),
                              PyBytes_GET_SIZE(value)) < 0:
                return False
        for name in self.removes:
            sl_message_remove(head, PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name))
        return True


@cython.final
cdef class Backend:
    """`given`: one of asked, service, name and invalid."""

    def __init__(self, given, weight=1, filters=()):
        cdef sl_addr address
        cdef bytes text
        self.weight = weight
        self.steps = Steps(filters) if filters else None
        kind = given["kind"]
        if kind == "asked":
            self.kind = BACKEND_ASKED
        elif kind == "name":
            self.kind, self.name = BACKEND_NAME, f"{given['host']}:{given['port']}"
            self.host, self.port = given["host"].encode(), given["port"]
        elif kind == "service":
            self.kind, self.name = BACKEND_SERVICE, f"{given['namespace']}/{given['name']}:{given['port']}"
            self.port, self.clear_http2 = given["port"], given.get("protocol") == "h2c"
            self.tls = given.get("tls", "").encode()
            if given.get("dns") is not None:
                self.host = given["dns"].encode()
                return
            packed, self.ports, self.lifts = [], [], []
            for host, port, lifts in given["endpoints"]:
                text = host.encode()
                if sl_addr_parse(PyBytes_AS_STRING(text), PyBytes_GET_SIZE(text), &address):
                    packed.append((<const char *> &address)[:sizeof(sl_addr)])
                    self.ports.append(port)
                    self.lifts.append(lifts)
            self.endpoints = b"".join(packed)


@cython.final
cdef class MirrorTo:
    """`given`: {backend, numerator, denominator}."""

    def __init__(self, given):
        self.backend = Backend(given["backend"])
        self.numerator, self.denominator = given.get("numerator", 100), given.get("denominator", 100)


cdef tuple new_path(given):
    """(full, prefix, matched) in bytes, or None each."""
    given = given or {}
    return tuple([None if given.get(part) is None else given[part].encode() for part in ("full", "prefix", "matched")])


@cython.final
cdef class Steps:
    """`filters`: a list of one object for each."""

    def __init__(self, filters):
        self.requests, self.responses, self.mirrors = [], [], []
        for one in filters:
            kind = one["type"]
            if kind == "request-headers":
                self.requests.append(Changes(one))
            elif kind == "response-headers":
                self.responses.append(Changes(one))
            elif kind == "rewrite":
                hostname = one.get("hostname")
                self.requests.append((None if hostname is None else hostname.encode(), *new_path(one.get("path"))))
            elif kind == "mirror":
                self.mirrors.append(MirrorTo(one))
            elif kind == "redirect":
                self.redirect = {**one, "path": new_path(one.get("path"))}
            elif kind == "cors":
                self.cors = one

    cdef bint leave(self, sl_message *head) noexcept:
        for one in self.requests:
            if isinstance(one, Changes):
                if not (<Changes> one).apply(head):
                    return False
            elif not rewrite(head, one):
                return False
        return True

    cdef bint renames_host(self) noexcept:
        for one in self.requests:
            if isinstance(one, tuple) and (<tuple> one)[0] is not None:
                return True
        return False

    cdef bint come_back(self, sl_message *head) noexcept:
        cdef Changes one
        for one in self.responses:
            if not one.apply(head):
                return False
        return True


cdef bint rewrite(sl_message *head, tuple given) noexcept:
    cdef bytes hostname = given[0]
    cdef bytes path = rewritten(head, given[1], given[2], given[3])
    if hostname is not None and not sl_message_keep(head, PyBytes_AS_STRING(hostname), PyBytes_GET_SIZE(hostname),
                                                    &head.authority):
        return False
    return path is None or sl_message_keep(head, PyBytes_AS_STRING(path), PyBytes_GET_SIZE(path), &head.path)


cdef bytes rewritten(const sl_message *head, bytes full, bytes prefix, bytes matched):
    """The new path; None: it stays. The prefix is one of elements (Gateway API, HTTPPathModifier)."""
    cdef bytes path = sl_message_at(head, head.path)[:head.path.length]
    cdef bytes rest
    if full is not None:
        return full
    if prefix is None:
        return None
    matched = (matched or b"/").rstrip(b"/")
    rest = path[len(matched):] if path.startswith(matched) else path
    rest = rest.lstrip(b"/") if not rest.startswith(b"/") or prefix.endswith(b"/") else rest
    path = prefix + rest if not rest or rest.startswith(b"/") or prefix.endswith(b"/") else prefix + b"/" + rest
    return path or b"/"


@cython.final
cdef class Route:
    """`given`: the whole object."""

    def __init__(self, given):
        self.name = given["route"]
        self.steps = Steps(given.get("filters", ()))
        self.backends = [Backend(one["backend"], one["weight"], one.get("filters", ()))
                         for one in given.get("backends", ())]
        self.weights = sum([(<Backend> one).weight for one in self.backends])
        times = given.get("timeouts") or {}
        self.request_timeout, self.backend_timeout = times.get("request") or 0, times.get("backend") or 0
        self.retry = Retry(given["retry"]) if given.get("retry") else None

    cdef Backend choose(self, uint64_t draw):
        cdef Backend one
        if self.weights == 0:
            return None
        draw %= self.weights
        for one in self.backends:
            if draw < one.weight:
                return one
            draw -= one.weight
        return None


@cython.final
cdef class SecretField:
    """`value` has `${credential:NAME}` in it."""

    def __init__(self, str name, str value):
        cdef list parts = REFERENCE.split(value)  # text and name take turns
        self.name = name.encode()
        self.parts = [part if at % 2 else part.encode() for at, part in enumerate(parts) if part]


@cython.final
cdef class HeaderChanges:
    """`given`: {set, remove, keep, read_only}."""

    def __init__(self, given):
        sets = given.get("set", ())
        secrets = [SecretField(name, value) for name, value in sets if REFERENCE.search(value)]
        self.secrets = secrets or None
        self.changes = Changes({**given, "set": [pair for pair in sets if not REFERENCE.search(pair[1])]})
        self.elsewhere = Changes({"remove": [*given.get("remove", ()), *[name for name, _ in sets]]})
        self.kept = frozenset([name.encode() for name in given.get("keep", ())])
        self.read_only = given.get("read_only", False)
        if self.read_only:
            for changes in (self.changes, self.elsewhere):
                (<Changes> changes).removes += [b"x-http-method", b"x-http-method-override", b"x-method-override"]
