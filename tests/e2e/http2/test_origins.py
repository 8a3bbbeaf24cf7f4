"""Requests towards origins that speak HTTP/2: streams of one connection, and what a hostile origin may try."""

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

import h2.settings
import pytest

from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.h2_origin import Exchange, Frames, Server, hostile, serving
from tests.support.http2 import RfcClient, Stream
from tests.support.metrics import labelled
from tests.support.run_gateway import Gateway, policy
from tests.vectors.http2 import block, frame

BULK: Final = bytes(range(256)) * 12_000
SETTINGS: Final = frame("SETTINGS")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def before(authority: Authority, origin: Server, **limits: Any) -> Gateway:
    """A gateway in front of an origin, which plain requests for port 80 reach over TLS."""
    tls = {"originate": True, "port": origin.port, "ca": str(authority.path)}
    return Gateway([policy("all", [{"cidr": "127.0.0.0/8"}, {"host": "localhost"}], tls=tls)], {"limits": limits})


def head(path: str = "/", method: str = "GET") -> list[tuple[str, str]]:
    return [(":method", method), (":scheme", "http"), (":authority", "localhost"), (":path", path)]


def answering(exchange: Exchange, what: str) -> None:
    path = exchange.fields[":path"]
    if what == "request" and path == "/early":
        exchange.respond(413, b"too much")
    elif what == "request" and path == "/refuse":
        exchange.connection.reset_stream(exchange.number, 7)
    elif what == "end" and path == "/bulk":
        exchange.respond(200, BULK, ("content-length", str(len(BULK))))
    elif what == "end" and path == "/trailers":
        exchange.respond(200, b"body", trailers=[("x-end", "yes"), ("x-sum", str(len(exchange.body)))])
    elif what == "end" and path != "/early":
        own = exchange.fields.get("x-own", "")
        text = f"{exchange.fields[':method']} {exchange.fields[':scheme']} {len(exchange.body)} {own}"
        exchange.respond(200, text.encode(), ("server", "h2"))


@pytest.fixture(scope="module")
def honest(authority: Authority) -> Iterator[Server]:
    with Server(authority, serving(answering)) as origin:
        yield origin


@pytest.fixture(scope="module")
def near(authority: Authority, honest: Server) -> Iterator[Gateway]:
    with before(authority, honest) as gateway:
        yield gateway
        assert gateway.counter("internal_errors_total") == 0


# ---- an honest one ----


def test_requests_of_either_version_share_one_connection(near: Gateway, honest: Server) -> None:
    proxy = f"http://127.0.0.1:{near.port}"
    for arguments in (
        ["-x", proxy, "http://localhost/one"],
        ["--http2-prior-knowledge", proxy + "/two", "-H", "Host: localhost"],
    ):
        command = ["curl", "-sS", "-m", "20", "-H", "x-own: 1", *arguments]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "GET https 0 1"
    with RfcClient(near.port) as client:
        numbers = [client.request(head(f"/{at}"), end=True) for at in range(80)]
        assert {client.over(number).status for number in numbers} == {200}
    assert honest.accepted <= 3


def test_content_flows_both_ways_with_trailers(near: Gateway) -> None:
    with RfcClient(near.port) as client:
        number = client.request(head("/trailers", "POST"))
        client.write(number, BULK)
        client.connection.send_headers(number, [("x-sum", "1")], end_stream=True)
        client.flush()
        answer = client.over(number)
        assert (answer.status, answer.data, answer.reset) == (200, b"body", None)
        assert client.over(client.request(head("/bulk"), end=True)).data == BULK


def test_a_reader_that_stalls_holds_up_itself_alone(near: Gateway) -> None:
    with RfcClient(near.port) as client:
        stalled = client.request(head("/bulk"), end=True)
        client.held.add(stalled)
        client.wait(lambda: len(client.streams[stalled].data) >= 65535)
        assert client.over(client.request(head("/other"), end=True)).status == 200
        client.held.clear()
        client.connection.acknowledge_received_data(65535, stalled)
        client.flush()
        assert client.over(stalled).data == BULK


def test_an_early_answer_ends_the_request(near: Gateway) -> None:
    with RfcClient(near.port) as client:
        answer = client.over(client.request(head("/early", "POST")))
        assert (answer.status, answer.data) == (413, b"too much")
        assert client.over(client.request(head("/other"), end=True)).status == 200


def test_a_request_that_was_not_looked_at_is_sent_once_more(near: Gateway, honest: Server) -> None:
    with RfcClient(near.port) as client:
        assert client.over(client.request(head("/warm"), end=True)).status == 200
        accepted = honest.accepted
        assert client.over(client.request(head("/refuse"), end=True)).status in (502, 503)
        assert honest.accepted == accepted + 1, "the second try goes to a new connection, and that one counts"


def test_more_requests_than_streams_find_other_connections(authority: Authority) -> None:
    held: list[Exchange] = []
    lock = threading.Lock()

    def waiting(exchange: Exchange, what: str) -> None:
        if what == "end":
            with lock:
                held.append(exchange)
            if exchange.fields[":path"] == "/go":
                exchange.respond(200, b"went")

    few = serving(waiting, {h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2})
    with Server(authority, few) as origin, before(authority, origin) as gateway, RfcClient(gateway.port) as client:
        assert client.over(client.request(head("/go"), end=True)).status == 200
        for _ in range(5):
            client.request(head("/wait"), end=True)
        eventually(lambda: len(held) == 6, "all of them are at the origin")
        assert origin.accepted >= 3


def test_an_idle_connection_that_ends_is_no_loss(authority: Authority) -> None:
    with Server(authority, serving(answering)) as origin, before(authority, origin) as gateway:
        for _ in range(3):
            with RfcClient(gateway.port) as client:
                assert client.over(client.request(head(), end=True)).status == 200
            origin.end_all()


def test_goaway_lets_what_is_below_it_end(authority: Authority) -> None:
    def leaving(spoken: Frames, number: int) -> None:
        spoken.send(SETTINGS + frame("GOAWAY", 0, 0, number.to_bytes(4, "big") + b"\0\0\0\0"))
        spoken.send(frame("HEADERS", 4, number, block(":status 200")) + frame("DATA", 1, number, b"last"))

    with Server(authority, hostile(leaving)) as origin, before(authority, origin) as gateway:
        with RfcClient(gateway.port) as client:
            for _ in range(3):
                answer = client.over(client.request(head(), end=True))
                assert (answer.status, answer.data) == (200, b"last")
        assert origin.accepted == 3


# ---- a hostile one ----

OK: Final = block(":status 200")


def respond(number: int, *more: bytes, fields: bytes = OK, flags: int = 4) -> bytes:
    return SETTINGS + frame("HEADERS", flags, number, fields) + b"".join(more)


BEFORE_A_HEAD: Final[dict[str, Callable[[int], bytes]]] = {
    "not HTTP/2": lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "no status": lambda n: respond(n, fields=block("server x")),
    "101": lambda n: respond(n, fields=block(":status 101")),
    "a field of HTTP/1": lambda n: respond(n, fields=block(":status 200, transfer-encoding chunked")),
    "two lengths": lambda n: respond(n, fields=block(":status 200, content-length 1, content-length 2")),
    "a line feed": lambda n: respond(n, fields=block(":status 200, x a\nb")),
    "a length without content": lambda n: respond(n, fields=block(":status 200, content-length 3"), flags=5),
    "content before the head": lambda n: SETTINGS + frame("DATA", 0, n, b"x"),
    "a push": lambda n: SETTINGS + frame("PUSH_PROMISE", 4, n, b"\0\0\0\2" + OK),
    "a stream of its own": lambda _: SETTINGS + frame("HEADERS", 4, 2, OK),
    "GOAWAY with an error": lambda _: SETTINGS + frame("GOAWAY", 0, 0, b"\0\0\0\0\0\0\0\1"),
    "a reset": lambda n: SETTINGS + frame("RST_STREAM", 0, n, b"\0\0\0\2"),
    "a refusal": lambda n: SETTINGS + frame("RST_STREAM", 0, n, b"\0\0\0\7"),
    "broken HPACK": lambda n: SETTINGS + frame("HEADERS", 4, n, b"\xff\xff\xff\xff\xff"),
    "a flood of SETTINGS": lambda _: SETTINGS * 200,
    "a flood of interim responses": lambda n: SETTINGS + frame("HEADERS", 4, n, block(":status 103")) * 2000,
    "a flood of CONTINUATION": lambda n: SETTINGS + frame("HEADERS", 0, n, OK) + frame("CONTINUATION", 0, n) * 2000,
    "a list of fields without an end": lambda n: (
        SETTINGS + frame("HEADERS", 0, n, OK) + frame("CONTINUATION", 0, n, block("x a*16000")) * 200
    ),
    "more fields than there may be": lambda n: respond(n, fields=OK + block("x y") * 1100),
    "a flood of pings": lambda _: SETTINGS + frame("PING", 0, 0, b"12345678") * 2000,
}
SIZED: Final = block(":status 200, content-length 3")


def ending(number: int, trailers: str, flags: int = 5) -> bytes:
    """A response with trailers."""
    return respond(number, frame("DATA", 0, number, b"1"), frame("HEADERS", flags, number, block(trailers)))


WITHIN_CONTENT: Final[dict[str, Callable[[int], bytes]]] = {
    "more than its length": lambda n: respond(n, frame("DATA", 0, n, b"1234"), fields=SIZED),
    "less than its length": lambda n: respond(n, frame("DATA", 1, n, b"12"), fields=SIZED),
    "a pseudo-header in trailers": lambda n: ending(n, ":path /"),
    "a length in trailers": lambda n: ending(n, "content-length 1"),
    "trailers without an end": lambda n: ending(n, "x y", 4),
    "a second head": lambda n: respond(n, frame("HEADERS", 4, n, OK)),
    "a reset": lambda n: respond(n, frame("RST_STREAM", 0, n, b"\0\0\0\2")),
    "a flood of empty DATA": lambda n: respond(n, frame("DATA", 0, n) * 2000),
    "more than the window": lambda n: respond(n, *[frame("DATA", 0, n, b"x" * 16384)] * 400),
    "GOAWAY that takes it back": lambda n: respond(n, frame("GOAWAY", 0, 0, b"\0" * 8)),
}


class Attacker:
    """An origin whose next attack is `attack`, and a gateway in front of it: one for all attacks."""

    def __init__(self, authority: Authority) -> None:
        self.attack: Callable[[int], bytes] = respond
        self.origin = Server(authority, self.live)
        self.gateway = before(authority, self.origin)

    def live(self, secure: ssl.SSLSocket) -> None:
        spoken = Frames(secure)
        while True:
            spoken.send(self.attack(spoken.request()))

    def answer(self, attack: Callable[[int], bytes], path: str) -> Stream:
        """To a client that asks for `path`, once it is logged and counted by its reason."""
        self.attack = attack
        with RfcClient(self.gateway.port) as client:
            answer = client.over(client.request(head(path), end=True))
            outcome = self.gateway.event(event="request", path=path)["outcome"]
            counted = labelled(self.gateway, "sluice_protocol_errors_total", reason=outcome)
            assert outcome == "unavailable" or counted, outcome
            assert client.over(client.request(head(), end=True)).over, "the client's connection lives on"
        self.origin.end_all()
        assert self.gateway.counter("internal_errors_total") == 0
        return answer


@pytest.fixture(scope="module")
def attacker(authority: Authority) -> Iterator[Attacker]:
    made = Attacker(authority)
    with made.origin, made.gateway:
        yield made


@pytest.mark.parametrize("name", BEFORE_A_HEAD)
def test_an_attack_before_the_head_is_answered(attacker: Attacker, name: str) -> None:
    answer = attacker.answer(BEFORE_A_HEAD[name], f"/before/{list(BEFORE_A_HEAD).index(name)}")
    assert answer.status in (502, 503) and answer.ended and "proxy-status" in answer.headers


@pytest.mark.parametrize("name", WITHIN_CONTENT)
def test_an_attack_within_the_content_cuts_the_response(attacker: Attacker, name: str) -> None:
    answer = attacker.answer(WITHIN_CONTENT[name], f"/within/{list(WITHIN_CONTENT).index(name)}")
    assert answer.status in (200, 502) and (answer.reset is not None or answer.status == 502)


def test_data_behind_the_end_spoils_nothing(authority: Authority) -> None:
    def talking(spoken: Frames, number: int) -> None:
        spoken.send(respond(number, frame("DATA", 1, number, b"whole"), frame("DATA", 0, number, b"more")))

    with Server(authority, hostile(talking)) as origin, before(authority, origin) as gateway:
        client = RfcClient(gateway.port)
        assert client.over(client.request(head(), end=True)).data == b"whole"
        client.socket.close()


def test_a_response_behind_a_reset_spoils_nothing(authority: Authority) -> None:
    """The client gives its request up; the origin answers all the same, and the next request on the connection."""
    given_up = threading.Event()

    def late(spoken: Frames, number: int) -> None:
        given_up.wait(20)
        spoken.send(respond(number, frame("DATA", 1, number, b"late")))
        number = spoken.request()
        spoken.send(respond(number, frame("DATA", 1, number, b"its own"))[len(SETTINGS) :])

    with (
        Server(authority, hostile(late)) as origin,
        before(authority, origin) as gateway,
        RfcClient(gateway.port) as client,
    ):
        number = client.request(head("/first"), end=True)
        eventually(lambda: origin.accepted == 1, "it is under way")
        client.reset(number)
        eventually(lambda: gateway.events(outcome="client_gone"), "it is given up")
        given_up.set()
        assert client.over(client.request(head("/second"), end=True)).status in (200, 502)
        assert gateway.counter("internal_errors_total") == 0


def test_windows_that_never_open_hold_nothing_but_their_stream(authority: Authority) -> None:
    def narrow(spoken: Frames, _: int) -> None:
        spoken.send(frame("SETTINGS", 0, 0, b"\0\4\0\0\0\0"))

    with (
        Server(authority, hostile(narrow)) as origin,
        before(authority, origin) as gateway,
        RfcClient(gateway.port) as client,
    ):
        number = client.request(head("/up", "POST"))
        client.write(number, b"x" * 60_000, end=True)
        time.sleep(0.5)
        assert not client.streams[number].over
        client.reset(number)
        refused = client.over(client.connect("169.254.169.254:1"))
        assert refused.status == 403


# ---- pools ----


def crowd(client: RfcClient, count: int) -> list[int]:
    return [client.request(head(f"/{at}"), end=True) for at in range(count)]


def test_requests_that_come_at_once_share_the_one_dial(authority: Authority) -> None:
    with Server(authority, serving(answering)) as origin, before(authority, origin) as gateway:
        with RfcClient(gateway.port) as client:
            assert {client.over(number).status for number in crowd(client, 60)} == {200}
        assert origin.accepted == 1
        figures = gateway.ask({"op": "stats"})["by_label"]["upstream_connections"]
        assert figures == {"idle": 1, "active": 0, "pending": 0}


def test_an_origin_without_http2_gets_a_connection_for_each(authority: Authority) -> None:
    def live(secure: ssl.SSLSocket) -> None:
        while secure.recv(65536).endswith(b"\r\n\r\n"):
            time.sleep(0.3)
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    with Server(authority, live) as origin, before(authority, origin) as gateway:
        origin.context.set_alpn_protocols(["http/1.1"])
        with RfcClient(gateway.port) as client:
            assert {client.over(number).status for number in crowd(client, 6)} == {200}
        assert origin.accepted == 6


def test_those_that_wait_for_a_dial_that_fails_dial_themselves(authority: Authority) -> None:
    def live(secure: ssl.SSLSocket) -> None:
        secure.close()

    with Server(authority, live) as origin, before(authority, origin) as gateway:
        origin.socket.shutdown(socket.SHUT_RDWR)
        origin.socket.close()
        with RfcClient(gateway.port) as client:
            assert {client.over(number).status for number in crowd(client, 8)} == {502}
        figures = gateway.ask({"op": "stats"})["by_label"]["upstream_connections"]
        assert figures == {"idle": 0, "active": 0, "pending": 0}
