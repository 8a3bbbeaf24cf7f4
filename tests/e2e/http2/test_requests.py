"""Plain requests on a client's HTTP/2 connection: real clients, content both ways, refusals, WebSocket, resets."""

import base64
import hashlib
import json
import socket
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.eventually import eventually
from tests.support.http2 import FrameClient, RfcClient, goaway
from tests.support.run_gateway import Gateway, policy
from tests.vectors.http2 import CODES, block, frame

EVERYWHERE: Final = [policy("all", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}])]
BULK: Final = 3_000_000
PIECE: Final = bytes(range(256)) * 256
WEBSOCKET: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class _Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


class _Origin(BaseHTTPRequestHandler):
    """HTTP/1.1: tells what it was asked, counts content, sends bulk, switches to WebSocket, or stays silent."""

    protocol_version = "HTTP/1.1"
    seen: list[Any]

    def do_GET(self) -> None:
        self.server.seen.append((self.requestline, list(self.headers.items())))  # type: ignore[attr-defined]
        if self.headers.get("Upgrade"):
            self._switch()
        elif self.path == "/bulk":
            self._answer(b"", BULK)
            for at in range(0, BULK, len(PIECE)):
                self.wfile.write(PIECE[: BULK - at])
        elif self.path == "/silent":
            threading.Event().wait(30)
        elif self.path == "/cut":
            self._answer(b"part", 100)
            self.close_connection = True
        elif self.path == "/chunks":
            self.send_response(200)
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.wfile.write(b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-end: yes\r\n\r\n")
        else:
            self._answer(json.dumps(dict(self.headers.items())).encode())

    do_HEAD = do_GET

    def do_POST(self) -> None:
        self.server.seen.append((self.requestline, list(self.headers.items())))  # type: ignore[attr-defined]
        found = hashlib.sha256()
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                found.update(self.rfile.read(size))
                self.rfile.readline()
            while self.rfile.readline() != b"\r\n":
                pass
        else:
            found.update(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(found.hexdigest().encode())

    def _answer(self, body: bytes, length: int | None = None) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "keep-alive")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _switch(self) -> None:
        key = self.headers["Sec-WebSocket-Key"].encode()
        accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET, usedforsecurity=False).digest()).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        self.wfile.write(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\nhello".encode())
        while data := self.connection.recv(65536):
            self.wfile.write(data.upper())
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def origin() -> Iterator[Any]:
    server = _Server(("127.0.0.1", 0), _Origin)
    server.seen = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def near() -> Iterator[Gateway]:
    with Gateway(EVERYWHERE) as gateway:
        yield gateway
        assert gateway.counter("internal_errors_total") == 0


def head(origin: Any, path: str = "/", method: str = "GET", host: str = "localhost") -> list[tuple[str, str]]:
    authority = f"{host}:{origin.server_port}" if origin is not None else host
    return [(":method", method), (":scheme", "http"), (":authority", authority), (":path", path)]


def curl(gateway: Gateway, origin: Any, path: str, *arguments: str) -> str:
    command = ["curl", "-sS", "-m", "20", "--http2-prior-knowledge", f"http://127.0.0.1:{gateway.port}{path}", "-H",
               f"Host: localhost:{origin.server_port}", *arguments]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


# ---- curl ----


def test_curl_gets_and_uploads(near: Gateway, origin: Any, tmp_path: Path) -> None:
    fields = json.loads(curl(near, origin, "/a", "-H", "x-own: 1", "-H", "l5d-dst: x", "-H", "cookie: a=b"))
    assert (fields["x-own"], fields["cookie"], fields["host"]) == ("1", "a=b", f"localhost:{origin.server_port}")
    assert "l5d-dst" not in fields and fields["via"].startswith("1.1 sluice-")
    content = tmp_path / "content"
    content.write_bytes(PIECE * 20)
    wanted = hashlib.sha256(PIECE * 20).hexdigest()
    assert curl(near, origin, "/up", "--data-binary", f"@{content}") == wanted
    assert curl(near, origin, "/up", "-T", str(content), "-X", "POST", "-H", "Expect: 100-continue") == wanted
    with content.open("rb") as stream:  # of unknown length
        command = ["curl", "-sS", "-m", "20", "--http2-prior-knowledge", f"http://127.0.0.1:{near.port}/", "-T", "-",
                   "-X", "POST", "-H", f"Host: localhost:{origin.server_port}"]  # fmt: skip
        assert subprocess.run(command, stdin=stream, capture_output=True, text=True, check=True).stdout == wanted


def test_curl_gets_bulk_and_heads(near: Gateway, origin: Any) -> None:
    assert curl(near, origin, "/bulk", "-o", "/dev/null", "-w", "%{size_download} %{http_version}") == f"{BULK} 2"
    shown = curl(near, origin, "/bulk", "-I")
    assert shown.startswith("HTTP/2 200") and f"content-length: {BULK}" in shown and "connection" not in shown


def test_chunks_become_data_and_trailers_trailers(near: Gateway, origin: Any) -> None:
    with RfcClient(near.port) as client:
        answer = client.over(client.request([*head(origin, "/chunks"), ("te", "trailers")], end=True))
        assert (answer.status, answer.data, answer.reset) == (200, b"abcde", None)
        assert "transfer-encoding" not in answer.headers


# ---- streams ----


def test_many_requests_share_a_connection(near: Gateway, origin: Any) -> None:
    with RfcClient(near.port) as client:
        numbers = [client.request(head(origin, f"/{at}"), end=True) for at in range(50)]
        bulk = client.request(head(origin, "/bulk"), end=True)
        assert {client.over(number).status for number in numbers} == {200}
        assert client.over(bulk).data == (PIECE * (BULK // len(PIECE) + 1))[:BULK]
        assert client.connect("localhost:1") and client.goaway is None


def test_tunnels_and_requests_stand_beside_each_other(near: Gateway, origin: Any) -> None:
    with RfcClient(near.port) as client:
        tunnel = client.open(f"localhost:{origin.server_port}")
        request = client.request(head(origin), end=True)
        client.write(tunnel, f"GET /inside HTTP/1.1\r\nHost: localhost:{origin.server_port}\r\n\r\n".encode())
        assert client.over(request).status == 200
        assert client.read(tunnel, 15) == b"HTTP/1.1 200 OK"


def test_a_reader_that_stalls_holds_up_itself_alone(near: Gateway, origin: Any) -> None:
    with RfcClient(near.port) as client:
        stalled = client.request(head(origin, "/bulk"), end=True)
        client.held.add(stalled)
        client.wait(lambda: len(client.streams[stalled].data) >= 65535)
        assert client.over(client.request(head(origin), end=True)).status == 200
        client.held.clear()
        client.connection.acknowledge_received_data(65535, stalled)
        client.flush()
        assert len(client.over(stalled).data) == BULK


def test_a_client_s_reset_ends_the_exchange(near: Gateway, origin: Any) -> None:
    with RfcClient(near.port) as client:
        number = client.request(head(origin, "/silent"), end=True)
        eventually(lambda: any("/silent" in line for line, _ in origin.seen), "the request is there")
        client.reset(number)
        assert client.over(client.request(head(origin), end=True)).status == 200


def test_a_response_that_is_cut_is_reset(near: Gateway, origin: Any) -> None:
    with RfcClient(near.port) as client:
        answer = client.over(client.request(head(origin, "/cut"), end=True))
        assert (answer.status, answer.ended) == (200, False) and answer.data in (b"", b"part")
        assert CODES[answer.reset or 0] == "INTERNAL_ERROR"


def test_resets_of_unanswered_requests_are_bounded(near: Gateway, origin: Any) -> None:
    with FrameClient(near.port) as client:
        fields = f":method GET, :scheme http, :authority localhost:{origin.server_port}, :path /silent"
        for number in range(1, 4001, 2):
            try:
                client.socket.sendall(
                    frame("HEADERS", 5, number, block(fields)) + frame("RST_STREAM", 0, number, b"\0\0\0\x08")
                )
            except OSError:
                break
        assert goaway(client) == "ENHANCE_YOUR_CALM"


# ---- refusals ----


def test_refusals_are_those_of_http1(near: Gateway) -> None:
    with RfcClient(near.port) as client:
        for authority, method, path, status in (
            ("nowhere.invalid", "GET", "/", 502), ("169.254.169.254", "GET", "/", 403), ("a.test", "GET", "/../x", 400),
            ("localhost:1", "GET", "/", 502), ("a b", "GET", "/", 0),
        ):  # fmt: skip
            answer = client.over(client.request(head(None, path, method, authority), end=True))
            assert answer.status in (status, 400) and ("sluice-id" in answer.headers or status == 0)
        answer = client.over(client.request(head(None, "/", "HEAD", "169.254.169.254"), end=True))
        assert (answer.status, answer.data) == (403, b"") and int(answer.headers["content-length"]) > 0


GRPC: Final = ("content-type", "application/grpc+proto")


@pytest.mark.parametrize(
    ("authority", "status"), [("169.254.169.254", "7"), ("localhost:1", "14"), ("nowhere.invalid", "14")]
)
def test_clients_of_grpc_read_refusals_as_its_status(near: Gateway, authority: str, status: str) -> None:
    with RfcClient(near.port) as client:
        number = client.request([*head(None, "/a.B/C", "POST", authority), ("te", "trailers"), GRPC])
        answer = client.over(number)
        assert (answer.status, answer.headers["grpc-status"], answer.data) == (200, status, b"")
        assert answer.headers["content-type"] == "application/grpc" and answer.headers["grpc-message"]


def test_a_listener_without_requests_refuses_them(origin: Any) -> None:
    with Gateway(EVERYWHERE, listener={"requests": False}) as gateway, RfcClient(gateway.port) as client:
        assert client.over(client.request(head(origin), end=True)).status == 501
    with Gateway(EVERYWHERE, listener={"protocol": "http2tunnel"}) as gateway, RfcClient(gateway.port) as client:
        assert client.over(client.request(head(origin), end=True)).status == 404


# ---- WebSocket ----


def websocket(origin: Any, path: str = "/chat", protocol: str = "websocket") -> list[tuple[str, str]]:
    others = head(origin, path)[1:]
    return [(":method", "CONNECT"), (":protocol", protocol), *others, ("sec-websocket-version", "13")]


def test_extended_connect_becomes_a_tunnel(near: Gateway, origin: Any) -> None:
    with RfcClient(near.port) as client:
        client.wait(lambda: client.connection.remote_settings.enable_connect_protocol == 1)
        number = client.request(websocket(origin))
        client.write(number, b"early ")
        answer = client.answer(number)
        assert answer.status == 200 and "sec-websocket-accept" not in answer.headers
        client.write(number, b"and late")
        assert client.read(number, 19) == b"helloEARLY AND LATE"
        client.write(number, b"", end=True)
        assert client.over(number).ended
    line, fields = origin.seen[-1]
    names = {name.lower() for name, _ in fields}
    assert line == "GET /chat HTTP/1.1" and {"upgrade", "connection", "sec-websocket-key"} <= names


def test_other_protocols_and_refusals_are_answered(near: Gateway, origin: Any) -> None:
    with RfcClient(near.port) as client:
        assert client.over(client.request(websocket(origin, protocol="connect-udp"))).status == 501
        answer = client.over(client.request([*websocket(None)[:3], (":authority", "localhost:1"), (":path", "/")]))
        assert answer.status == 502


def test_the_socket_of_a_client_that_is_gone_frees_the_origin(near: Gateway, origin: Any) -> None:
    open_before = near.counter("http2_streams_open")
    client = RfcClient(near.port)
    client.request(head(origin, "/bulk"), end=True)
    client.step()
    client.socket.shutdown(socket.SHUT_RDWR)
    client.socket.close()
    eventually(lambda: near.counter("http2_streams_open") <= open_before, "its stream is gone")
