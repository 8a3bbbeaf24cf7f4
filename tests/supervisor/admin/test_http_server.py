"""The HTTP server's bounds: silent, slow, greedy and numerous clients, and the one that still gets its answer."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import pytest
from aiohttp import web

from supervisor.admin import http_server
from supervisor.admin.http_server import HttpServer
from supervisor.logs.log import Log
from tests.support.eventually import PATIENCE

GET: Final = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


async def hello(_: web.BaseRequest) -> web.Response:
    return web.Response(text="hello")


@contextlib.asynccontextmanager
async def serving(handler: Callable[[web.BaseRequest], Awaitable[web.Response]] = hello) -> AsyncIterator[HttpServer]:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    listener.setblocking(False)
    server = HttpServer(asyncio.get_running_loop(), listener, handler, Log(lambda line: None, plain=True))
    try:
        yield server
    finally:
        await server.close(0.5)


async def ask(server: HttpServer, request: bytes = GET) -> bytes:
    """Everything that comes back until the end."""
    reader, writer = await asyncio.open_connection(*server.address)
    try:
        writer.write(request)
        with contextlib.suppress(ConnectionResetError):
            return await asyncio.wait_for(reader.read(-1), PATIENCE)
        return b""
    finally:
        writer.close()


async def until(question: Callable[[], bool], what: str) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE
    while not question():
        assert asyncio.get_running_loop().time() < deadline, f"never happened: {what}"
        await asyncio.sleep(0.01)


def test_one_connection_carries_one_request() -> None:
    async def steps() -> None:
        async with serving() as server:
            answer = await ask(server, GET * 5)
            assert answer.count(b"HTTP/1.1 200") == 1 and answer.endswith(b"hello")
            assert b"Connection: close" in answer

    asyncio.run(steps())


def test_who_says_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD", 0.1)
    monkeypatch.setattr(http_server, "SWEEP", 0.05)

    async def steps() -> None:
        async with serving() as server:
            for request in (b"", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n"):
                assert await ask(server, request) == b""
            assert server.ended_early == 3

    asyncio.run(steps())


def test_a_byte_at_a_time_is_cut_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "HEAD", 0.2)
    monkeypatch.setattr(http_server, "SWEEP", 0.05)

    async def steps() -> None:
        async with serving() as server:
            reader, writer = await asyncio.open_connection(*server.address)
            writer.write(b"GET / HTTP/1.1\r\nX: ")
            while not server.ended_early:
                writer.write(b"a")
                await asyncio.sleep(0.01)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read(-1) == b""
            writer.close()

    asyncio.run(steps())


def test_who_does_not_read_the_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "ANSWER", 0.3)
    monkeypatch.setattr(http_server, "SWEEP", 0.05)

    async def large(_: web.BaseRequest) -> web.Response:
        return web.Response(body=bytes(64 << 20))

    async def steps() -> None:
        async with serving(large) as server:
            reader, writer = await asyncio.open_connection(*server.address, limit=1024)
            writer.write(GET)
            await until(lambda: server.ended_early == 1, "the connection is cut")
            del reader
            writer.close()

    asyncio.run(steps())


def test_a_handler_may_ask_for_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "ANSWER", 0.1)
    monkeypatch.setattr(http_server, "SWEEP", 0.02)

    async def steps() -> None:
        async with serving(lambda request: slow(request)) as server:

            async def slow(request: web.BaseRequest) -> web.Response:
                if request.path == "/more":
                    server.extend(request, 60.0)
                await asyncio.sleep(0.5)
                return web.Response(text="late")

            assert (await ask(server, GET.replace(b" / ", b" /more "))).endswith(b"late")
            assert await ask(server) == b""

    asyncio.run(steps())


def test_a_crowd_of_silent_clients_keeps_nobody_out() -> None:
    async def steps() -> None:
        async with serving() as server:
            crowd = []
            for _ in range(200):
                crowd.append(await asyncio.open_connection(*server.address))
            assert (await ask(server)).endswith(b"hello")
            await until(lambda: server.ended_early >= 200 - http_server.CONNECTIONS, "the oldest made room")
            for _, writer in crowd:
                writer.close()

    asyncio.run(steps())


def test_answers_under_way_are_not_the_ones_to_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "CONNECTIONS", 4)

    async def steps() -> None:
        release = asyncio.Event()

        async def waiting(_: web.BaseRequest) -> web.Response:
            started.append(True)
            await release.wait()
            return web.Response(text="done")

        started: list[bool] = []
        async with serving(waiting) as server:
            answer = asyncio.ensure_future(ask(server))
            await until(lambda: bool(started), "the request is being answered")
            crowd = [await asyncio.open_connection(*server.address) for _ in range(20)]
            await until(lambda: server.ended_early >= 15, "silent ones made room")
            release.set()
            assert (await answer).endswith(b"done")
            for _, writer in crowd:
                writer.close()

    asyncio.run(steps())


def test_what_exceeds_the_rate_waits_and_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "BURST", 5.0)
    monkeypatch.setattr(http_server, "RATE", 200.0)
    monkeypatch.setattr(http_server, "PAUSE", 0.01)

    async def steps() -> None:
        async with serving() as server:
            answers = await asyncio.gather(*(ask(server) for _ in range(60)))
            assert all(answer.endswith(b"hello") for answer in answers)
            assert server.ended_early == 0

    asyncio.run(steps())


MALFORMED: Final = {
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
    "zeros": bytes(4096),
    "a bare line feed": b"GET /\n\n",
    "a line that is too long": b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "a field that is too long": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    "too many fields": b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: y\r\n" * 2000 + b"\r\n",
    "two lengths": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "an invalid length": b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
    "another protocol": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(64),
    "NUL in a field": b"GET / HTTP/1.1\r\nHost: local\0host\r\n\r\n",
    "a folded field": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: a\r\n b\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", MALFORMED.values(), ids=list(MALFORMED))
def test_malformed_requests_end_and_harm_nobody(request_bytes: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def steps() -> None:
        async with serving() as server:
            answer = await ask(server, request_bytes)
            assert answer == b"" or answer.startswith((b"HTTP/1.0 400", b"HTTP/1.1 400"))
            assert (await ask(server)).endswith(b"hello")

    asyncio.run(steps())
    assert not caplog.records


def test_clients_that_go_at_once() -> None:
    async def steps() -> None:
        async with serving() as server:
            for request in (b"", GET, b"GET"):
                for _ in range(20):
                    with socket.create_connection(server.address) as client:
                        client.sendall(request)
                        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            assert (await ask(server)).endswith(b"hello")
            await until(lambda: not server._deadlines, "nothing is kept of them")
            assert not server._asked

    asyncio.run(steps())


def test_closing_ends_what_is_under_way() -> None:
    async def steps() -> Any:
        async def stuck(_: web.BaseRequest) -> web.Response:
            started.append(True)
            await asyncio.sleep(PATIENCE)
            return web.Response()

        started: list[bool] = []
        async with serving(stuck) as server:
            answer = asyncio.ensure_future(ask(server))
            await until(lambda: bool(started), "the request is being answered")
        with contextlib.suppress(ConnectionResetError):
            assert await answer == b""
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)

    async def address_of() -> tuple[str, int]:
        async with serving() as server:
            return server.address

    address = asyncio.run(address_of())
    asyncio.run(steps())
