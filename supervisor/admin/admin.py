"""The admin and metrics endpoints: which page is there, who may see it, and what it answers (CONTRACT.md section 4).

Guards, in this order: the Host header must be an address or `localhost` (a foreign page that a browser was
made to resolve to us, DNS rebinding, has a name of its own there), the method must fit, and the token is needed for
every change of state and, where the address is not loopback, for everything that tells more than "alive". The control
endpoint's operations give the answers: one truth for both.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web

from supervisor.admin import pages
from supervisor.admin.exposition import CONTENT_TYPE
from supervisor.admin.questions import QueryError, answer_to, question_of
from supervisor.control.control import Answer, NotFound, Operation, Refused
from supervisor.logs.log import Log
from supervisor.source.escape import escape_unprintable

__all__ = ["Parts", "Site", "admin_site", "metrics_site"]

LONG: Final = 300.0  # seconds that a reload may take
MOST_BODY: Final = 65_536
SAID_AGAIN: Final = 1.0  # seconds between two log lines about wrong tokens
JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
HTML: Final = "text/html; charset=utf-8"
HEADERS: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}
PROBES: Final = ("/healthz", "/readyz")
_HOST: Final = re.compile(r"(?:\[(?P<v6>[^\[\]]+)\]|(?P<name>[^:\[\]]+))(?::[0-9]{1,5})?")
_WEIGHT: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")
_KILL: Final = re.compile(r"/tunnels/([0-9a-f-]{1,64})/kill")

Page = Callable[[web.BaseRequest], Awaitable[web.Response]]


@dataclass(frozen=True, slots=True)
class Parts:
    """The sources of the pages. `ready` says why the gateway is not ready, "" when it is; `metrics` gives the text
    for Prometheus; `extend` gives a request more time."""

    operations: Mapping[str, Operation]
    metrics: Callable[[], Awaitable[bytes]]
    ready: Callable[[], str]
    extend: Callable[[web.BaseRequest, float], None]


class Denied(Exception):
    """A request that gets no page."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


@dataclass(frozen=True, slots=True)
class Guard:
    """Access to the pages. `reads_open`: pages need no token. `any_host`: no Host header is refused."""

    token: str | None
    reads_open: bool
    any_host: bool = False

    def knows_token(self, request: web.BaseRequest) -> bool:
        """Whether the request carries the right bearer token (RFC 6750). Takes the same time for every wrong one."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if self.token is None or scheme.lower() != "bearer":
            return False
        return hmac.compare_digest(_digest(given.strip()), _digest(self.token))

    def check_host(self, request: web.BaseRequest) -> None:
        """Raises Denied for a name that may be a foreign one."""
        hosts = request.headers.getall("Host", [])
        if self.any_host or (len(hosts) == 1 and (_is_ours(hosts[0]) or self.knows_token(request))):
            return
        if len(hosts) != 1:
            raise Denied(400, "exactly one Host header is needed")
        raise Denied(403, "this Host is not allowed: ask by IP address or as localhost")

    def check_token(self, request: web.BaseRequest, changes: bool) -> None:
        """Raises Denied where the token is needed and missing."""
        if (not changes and self.reads_open) or self.knows_token(request):
            return
        if self.token is None:
            raise Denied(403, "admin.token is not set: nothing can be changed over HTTP; the command line can")
        raise Denied(
            401, "the admin token is needed: Authorization: Bearer ...", WWW_Authenticate='Bearer realm="sluice"'
        )


class Site:
    """Pages by path: `reads` are for GET, `writes` for POST."""

    def __init__(self, guard: Guard, reads: Mapping[str, Page], writes: Mapping[str, Page], log: Log) -> None:
        self._guard = guard
        self._reads = reads
        self._writes = writes
        self._log = log
        self._said_at = 0.0

    async def handle(self, request: web.BaseRequest) -> web.Response:
        """The answer to anything."""
        try:
            self._guard.check_host(request)
            response = await self._find(request)(request)
        except Denied as denied:
            self._say(request, denied)
            response = _json({"error": escape_unprintable(str(denied))}, denied.status)
            response.headers.update(denied.headers)
        except Refused as refused:
            text = "\n".join(escape_unprintable(line) for line in str(refused).splitlines())
            response = _json({"error": text}, _status(request, refused))
        except Exception as error:
            self._log.error("admin_failed", f"{request.method} {request.path} failed", error=repr(error))
            response = _json({"error": "internal error; the gateway's log has more"}, 500)
        response.headers.update(HEADERS)
        return response

    def _find(self, request: web.BaseRequest) -> Page:
        path, method = request.path, request.method
        key = "/tunnels/ID/kill" if _KILL.fullmatch(path) else path
        read, write = self._reads.get(path), self._writes.get(key)
        if read is None and write is None:
            raise Denied(404, "there is no such page; / lists what there is")
        allowed = ["GET", "HEAD"] * (read is not None) + ["POST"] * (write is not None)
        if method not in allowed:
            raise Denied(
                405,
                f"{escape_unprintable(method)} is not for this page: {', '.join(allowed)}",
                Allow=", ".join(allowed),
            )
        if request.body_exists and (method != "POST" or (request.content_length or MOST_BODY) >= MOST_BODY):
            raise Denied(413, "no page reads a body")
        page = write if method == "POST" else read
        assert page is not None
        if path not in PROBES or method == "POST":
            self._guard.check_token(request, changes=method == "POST")
        return page

    def _say(self, request: web.BaseRequest, denied: Denied) -> None:
        now = asyncio.get_running_loop().time()
        if denied.status == 401 and now >= self._said_at:
            self._said_at = now + SAID_AGAIN
            self._log.warning("admin_denied", "a request without the admin token was refused", peer=_peer(request))


def metrics_site(parts: Parts, log: Log) -> Site:
    """The pages of `metrics.address`: nothing about traffic but counts."""
    return Site(Guard(None, reads_open=True, any_host=True), _common(parts), {}, log)


def admin_site(parts: Parts, token: str | None, loopback: bool, log: Log) -> Site:
    """The pages of `admin.address`."""
    operations = parts.operations

    def read(op: str, *numbers: str) -> Page:
        async def page(request: web.BaseRequest) -> web.Response:
            query = _query(request, numbers)
            if _wants_html(request):
                query = {name: value for name, value in query.items() if value != ""}  # fields of a form left empty
            answer = await _run(operations[op], query)
            if (show := pages.PAGES.get(op)) is None:
                return _json(answer)
            shown = _html(show(answer, query)) if _wants_html(request) else _json(answer)
            shown.headers["Vary"] = "Accept"
            return shown

        return page

    async def explain(request: web.BaseRequest) -> web.Response:
        try:
            asked = question_of(request.query.items())
        except QueryError as wrong:
            raise Denied(400, str(wrong)) from None
        return _json(await answer_to(asked, lambda question: _run(operations["explain"], question)))

    def write(op: str) -> Page:
        async def page(request: web.BaseRequest) -> web.Response:
            parts.extend(request, LONG)
            log.info("admin", f"{op} was asked for on the admin endpoint", peer=_peer(request))
            found = _KILL.fullmatch(request.path)
            return _json(await _run(operations[op], {"id": found[1]} if found else {}))

        return page

    async def index(_: web.BaseRequest) -> web.Response:
        return _html(pages.index(await _run(operations["stats"], {}), parts.ready()))

    reads: dict[str, Page] = {
        **_common(parts),
        "/": index,
        "/stats": read("stats"),
        "/tunnels": read("tunnels", "limit"),
        "/policy": read("policy", "limit"),
        "/explain": explain,
    }
    writes = {"/reload": write("reload"), "/drain": write("drain"), "/tunnels/ID/kill": write("kill")}
    return Site(Guard(token, reads_open=loopback), reads, writes, log)


def _common(parts: Parts) -> dict[str, Page]:
    async def metrics(_: web.BaseRequest) -> web.Response:
        return web.Response(body=await parts.metrics(), headers=_as(CONTENT_TYPE))

    async def healthz(_: web.BaseRequest) -> web.Response:
        return web.Response(text="ok\n", headers=_as(TEXT))

    async def readyz(_: web.BaseRequest) -> web.Response:
        why = parts.ready()
        return web.Response(text=f"{why or 'ready'}\n", status=503 if why else 200, headers=_as(TEXT))

    return {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}


async def _run(operation: Operation, request: Mapping[str, object]) -> Answer:
    answer = operation(request)
    return answer if isinstance(answer, dict) else await answer


def _status(request: web.BaseRequest, refused: Refused) -> int:
    if isinstance(refused, NotFound):
        return 404
    return 409 if request.method == "POST" else 400


def _query(request: web.BaseRequest, numbers: tuple[str, ...]) -> dict[str, object]:
    found: dict[str, object] = {}
    for name, text in request.query.items():
        if name in found:
            raise Denied(400, f"{escape_unprintable(name)} is given twice")
        if name not in numbers:
            found[name] = text
        elif text.isascii() and text.isdigit() and len(text) < 10:
            found[name] = int(text)
        else:
            raise Denied(400, f"{name} is a number")
    return found


def _json(answer: Mapping[str, object], status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(answer, default=str) + b"\n", status=status, headers=_as(JSON))


def _html(text: str) -> web.Response:
    return web.Response(body=text.encode("ascii", "xmlcharrefreplace"), headers=_as(HTML))


def _wants_html(request: web.BaseRequest) -> bool:
    """Whether a browser asks (RFC 9110 section 12.5.1): it names text/html, and nothing that it would rather have in
    JSON. Programs name neither, or `*/*`, and get JSON."""
    weights = {"text/html": 0.0, JSON: 0.0}
    for part in ",".join(request.headers.getall("Accept", [])).lower().split(","):
        kind, *parameters = (text.strip() for text in part.split(";"))
        weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
        if kind in weights:
            weights[kind] = float(weight) if _WEIGHT.fullmatch(weight) else 0.0
    return weights["text/html"] > 0.0 and weights["text/html"] >= weights[JSON]


def _as(content_type: str) -> dict[str, str]:
    return {"Content-Type": content_type}


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def _is_ours(host: str) -> bool:
    """Whether a Host header (RFC 9110 section 7.2) is an IP address or `localhost`, with or without a port."""
    found = _HOST.fullmatch(host)
    if not found:
        return False
    if found["name"] and found["name"].lower().rstrip(".") == "localhost":
        return True
    try:
        version = ipaddress.ip_address(found["v6"] or found["name"]).version
    except ValueError:
        return False
    return (version == 6) == bool(found["v6"])


def _peer(request: web.BaseRequest) -> str:
    name = request.transport.get_extra_info("peername") if request.transport is not None else None
    return str(name[0]) if isinstance(name, tuple) else ""
