"""TLS listeners: every protocol over TLS, who may come, what is shown, and how a handshake fails.

The tests of the cleartext codecs and tunnels run once more over TLS: their connections to this module's gateway are TLS
clients that end their writing by close_notify.
"""

import contextlib
import datetime
import socket
import ssl
import subprocess
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from prometheus_client.parser import text_string_to_metric_families

from supervisor.control.client import ControlError
from tests.e2e import conftest
from tests.e2e.conftest import World
from tests.e2e.protocols import test_answers, test_bad_input, test_tunnels
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.http2 import RfcClient
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway
from tests.support.tls import TlsSocket

Test = Callable[..., None]
row = test_answers.row
open_gateway = test_tunnels.open_gateway
guarded = test_bad_input.guarded
BORROWED: Final[list[Test]] = [
    test_answers.test_socks5_answers_the_rows_reply_code_and_closes,
    test_answers.test_http_answers_the_rows_status_and_proxy_status,
    test_answers.test_success_is_answered_and_bytes_flow,
    test_tunnels.test_payload_that_comes_with_the_request_arrives_once_and_first,
    test_tunnels.test_a_half_close_of_the_client_is_carried_through,
    test_tunnels.test_a_half_close_of_the_origin_is_carried_through,
    test_tunnels.test_a_reset_of_the_origin_is_a_reset_for_the_client,
    test_tunnels.test_a_reset_of_the_client_is_a_reset_for_the_origin,
    test_tunnels.test_a_clean_end_is_never_a_reset,
    test_tunnels.test_the_close_line_counts_the_bytes_of_each_direction,
    test_bad_input.test_malformed_bytes_are_answered_or_closed,
]
globals().update({test.__name__: test for test in BORROWED})


@pytest.fixture(scope="module")
def authority() -> Iterator[Authority]:
    with tempfile.TemporaryDirectory() as folder:
        yield Authority(Path(folder))


def shown(authority: Authority, *names: str, **more: Any) -> dict[str, Any]:
    """`tls` of a listener that shows a certificate of each name."""
    pairs = [authority.issue(name, name) for name in names]
    return {"certificates": [{"certificate": certificate, "key": key} for certificate, key in pairs], **more}


@pytest.fixture(scope="module", autouse=True)
def tls_clients(authority: Authority) -> Iterator[None]:
    """Gateways that begin in this module listen with TLS, and connections to them speak it."""
    secure: set[int] = set()
    launch, connect = Gateway.launch, wire.connect

    def serves(self: Gateway) -> bool:
        """The question to a cleartext listener; `complete` asks the workers themselves."""
        assert self.process is not None
        assert self.process.poll() is None, self.errors()
        return True

    def begin(self: Gateway) -> None:
        for listener in self.config["listeners"]:
            listener.setdefault("tls", shown(authority, "gateway.test"))
        launch(self)
        secure.add(self.port)

    def open_tls(port: int, *more: Any, **named: Any) -> Any:
        connection = connect(port, *more, **named)
        return TlsSocket(connection, authority.client()) if port in secure else connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Gateway, "launch", begin)
        patch.setattr(Gateway, "serves", serves)
        patch.setattr(wire, "connect", open_tls)
        yield


@pytest.fixture(scope="module")
def mesh(tls_clients: None, world: World) -> Iterator[Gateway]:
    """The shared gateway of other modules, with one worker."""
    with conftest.sample_gateway(world) as gateway:
        yield gateway


def gateway_with(world: World, tls: dict[str, Any]) -> Gateway:
    return Gateway(conftest.sample_policy(world), {"dns": {"servers": [world.names.address]}}, listener={"tls": tls})


def plain(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def echoes(port: int, context: ssl.SSLContext, world: World, name: str = "gateway.test") -> TlsSocket:
    """A SOCKS5 tunnel that works, still open."""
    client = TlsSocket(plain(port), context, name)
    wire.open_socks5(client, "open.test", world.echo.port)  # type: ignore[arg-type]
    assert wire.echoes(client)  # type: ignore[arg-type]
    return client


def test_bulk_arrives_whole_both_ways(mesh: Gateway, authority: Authority, world: World) -> None:
    body = bytes(range(256)) * 16384
    with echoes(mesh.port, authority.client(), world) as client:
        received = bytearray()
        for at in range(0, len(body), 1 << 18):
            piece = body[at : at + (1 << 18)]
            client.sendall(piece)
            received += wire.exactly(client, len(piece))  # type: ignore[arg-type]
        assert received == body


def test_http2_is_chosen_by_alpn(mesh: Gateway, authority: Authority, world: World) -> None:
    context = authority.client(None, "h2", "http/1.1")
    with RfcClient(mesh.port, context) as client:
        assert client.socket.selected_alpn_protocol() == "h2"  # type: ignore[attr-defined]
        numbers = [client.open(f"open.test:{world.echo.port}") for _ in range(5)]
        for number in numbers:
            client.connection.send_data(number, b"\x00" + b"x" * 9000)
        client.flush()
        client.wait(lambda: all(len(client.streams[number].data) == 9001 for number in numbers))


@pytest.mark.parametrize(
    ("protocol", "offered", "chosen"),
    [
        ("auto", ("http/1.1",), "http/1.1"),
        ("auto", ("spdy/3",), None),
        ("http", ("h2", "http/1.1"), "http/1.1"),
        ("http2tunnel", ("http/1.1", "h2"), "h2"),
        ("socks5", ("h2",), None),
    ],
)
def test_alpn_follows_the_listener(
    world: World, authority: Authority, protocol: str, offered: tuple[str, ...], chosen: str | None
) -> None:
    listener = {"tls": shown(authority, "gateway.test"), "protocol": protocol}
    with Gateway(conftest.sample_policy(world), listener=listener) as gateway:
        client = TlsSocket(plain(gateway.port), authority.client(None, *offered))
        assert client.protocol == chosen
        client.close()


def test_curl_goes_through_an_https_proxy(mesh: Gateway, authority: Authority, world: World) -> None:
    target = f"http://open.test:{world.http}/through"
    resolve = ("--connect-to", f"gateway.test:{mesh.port}:127.0.0.1:{mesh.port}")
    proxy = ("--proxy", f"https://127.0.0.1:{mesh.port}", "--proxy-insecure", "--proxytunnel")
    done = subprocess.run(
        ["curl", "-sS", "--max-time", "20", *proxy, *resolve, target], capture_output=True, text=True, check=False
    )
    assert done.stdout == "served /through\n", done.stderr


def test_certificates_are_chosen_by_name(world: World, authority: Authority) -> None:
    tls = shown(authority, "first.test", "second.test", "third.test")
    with gateway_with(world, tls) as gateway:
        for name in ("second.test", "third.test", "first.test"):
            with echoes(gateway.port, authority.client(), world, name) as client:
                assert name in client.certificate().subject.rfc4514_string()
        stranger = authority.client()
        stranger.check_hostname = False
        with echoes(gateway.port, stranger, world, "unknown.test") as client:
            assert "first.test" in client.certificate().subject.rfc4514_string()


def refused(port: int, context: ssl.SSLContext) -> None:
    """No byte of an answer comes. TLS 1.3 clients receive the alert only behind their own last message."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        client = TlsSocket(plain(port), context)
        client.sendall(b"\x05\x01\x00")
        assert client.recv(1) == b""
        raise ConnectionError


def test_clients_show_a_certificate(world: World, authority: Authority) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stranger = Authority(Path(folder), "other")
        mine, other = authority.issue("client", client=True), stranger.issue("client", client=True)
        gone, server = authority.issue("gone", client=True), authority.issue("server")
        late = authority.issue("late", client=True, left=-datetime.timedelta(hours=1))
        tls = shown(authority, "gateway.test", clientCA=str(authority.path), crl=authority.revoke(gone[0]))
        reasons = {
            "certificate_missing": ("peer did not return a certificate", None),
            "unknown_ca": ("unable to get local issuer certificate", other),
            "certificate_revoked": ("certificate revoked", gone),
            "certificate_expired": ("certificate has expired", late),
            "certificate_purpose": ("unsuitable certificate purpose", server),
        }
        with gateway_with(world, tls) as gateway:
            with echoes(gateway.port, authority.client(mine), world):
                pass
            for failure, (detail, pair) in reasons.items():
                refused(gateway.port, authority.client(pair))
                line = gateway.event(event="refused", detail=detail)
                assert (line["reason"], line["outcome"]) == ("tls_handshake", "auth_failed")
                assert line["tls"]["client"]["failure"] == failure
            assert handshakes(gateway) == {"full": 1} | dict.fromkeys(reasons, 1)


def handshakes(gateway: Gateway) -> dict[str, int]:
    """Handshakes with clients by their result, as a scrape has them."""
    found = {}
    for family in text_string_to_metric_families(scraped(gateway)):
        for sample in family.samples:
            if sample.name == "sluice_tls_handshakes_total":
                assert sample.labels["side"] == "client"
                found[sample.labels["result"]] = int(sample.value)
    return found


def scraped(gateway: Gateway) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=20) as answer:
        return str(answer.read().decode())


def test_a_certificate_may_be_optional(world: World, authority: Authority) -> None:
    mine = authority.issue("client", client=True)
    tls = shown(authority, "gateway.test", clientCA=str(authority.path), clientCertificate="optional")
    with gateway_with(world, tls) as gateway:
        for pair in (None, mine):
            with echoes(gateway.port, authority.client(pair), world):
                pass
        with tempfile.TemporaryDirectory() as folder:
            refused(gateway.port, authority.client(Authority(Path(folder)).issue("client", client=True)))


def test_old_versions_are_refused(world: World, authority: Authority) -> None:
    def client(highest: ssl.TLSVersion) -> ssl.SSLContext:
        context = authority.client()
        context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = highest
        return context

    with gateway_with(world, shown(authority, "gateway.test")) as gateway:
        with echoes(gateway.port, client(ssl.TLSVersion.TLSv1_2), world) as connection:
            assert connection.version == "TLSv1.2"
        refused(gateway.port, client(ssl.TLSVersion.TLSv1_1))
        line = gateway.event(event="refused")
        assert line["detail"] == "unsupported protocol"
        assert line["tls"]["client"]["failure"] == "no_common_version"
    with gateway_with(world, shown(authority, "gateway.test", minVersion="1.3")) as gateway:
        with echoes(gateway.port, client(ssl.TLSVersion.TLSv1_3), world) as connection:
            assert connection.version == "TLSv1.3"
        refused(gateway.port, client(ssl.TLSVersion.TLSv1_2))


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", "http request"),
        (b"\x05\x01\x00" + bytes(20), "wrong version number"),
        (b"\x16\x03\x01\xff\xff" + bytes(50), "packet length too long"),
    ],
)
def test_what_is_no_handshake(mesh: Gateway, sent: bytes, reason: str) -> None:
    with plain(mesh.port) as client:
        client.sendall(sent)
        port = client.getsockname()[1]
        while client.recv(4096):
            pass
    line = mesh.event(event="refused", detail=reason)
    assert line["source"]["port"] == port


def test_a_handshake_has_the_time_of_a_request(world: World, authority: Authority) -> None:
    gateway = gateway_with(world, shown(authority, "gateway.test"))
    gateway.config["limits"] = {"requestTimeout": "300ms"}
    with gateway:
        for sent in (b"", b"\x16\x03\x01\x02"):
            with plain(gateway.port) as client:
                client.sendall(sent)
                while client.recv(4096):
                    pass
        eventually(lambda: len(gateway.events(event="refused", reason="request_timeout")) == 2, "both are told of")


def test_a_tunnel_whose_client_ends_without_close_notify_is_reset(
    mesh: Gateway, authority: Authority, world: World
) -> None:
    with echoes(mesh.port, authority.client(), world) as client:
        port = client.getsockname()[1]
        client.socket.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            while client.recv(4096):
                pass
    lines = [line for line in mesh.events(event="close") if line["source"]["port"] == port]
    assert not lines or lines[-1]["outcome"] == "reset"


def resumed(gateway: Gateway, context: ssl.SSLContext, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession]:
    """Whether a connection goes on with a session, and the session to go on with next."""
    with context.wrap_socket(plain(gateway.port), server_hostname="gateway.test", session=session) as client:
        wire.open_socks5(client, "open.test", OPEN[0])
        assert wire.echoes(client)
        assert client.session is not None
        return bool(client.session_reused), client.session


OPEN: Final[list[int]] = []


@pytest.fixture(autouse=True)
def _open_port(world: World) -> None:
    OPEN[:] = [world.echo.port]


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_sessions_are_resumed_by_every_worker(world: World, authority: Authority, version: ssl.TLSVersion) -> None:
    """A ticket of one worker is good at the others; each connection may have another one."""
    context = authority.client(authority.issue("client", client=True))
    context.maximum_version = version
    gateway = gateway_with(world, shown(authority, "gateway.test", clientCA=str(authority.path)))
    gateway.config["workers"] = 2
    with gateway:
        first, session = resumed(gateway, context, None)
        assert not first
        for _ in range(20):
            again, session = resumed(gateway, context, session)
            assert again
        eventually(lambda: {line["worker"] for line in gateway.events(event="open")} == {0, 1}, "both have served")
        assert handshakes(gateway) == {"full": 1, "resumed": 20}
        gateway.reload()
        assert resumed(gateway, context, session)[0], "a reload that changes nothing of it"


def test_sessions_are_those_of_one_listener(world: World, authority: Authority) -> None:
    other = free_port()
    gateway = gateway_with(world, shown(authority, "gateway.test"))
    listener = {"name": "other", "address": f"127.0.0.1:{other}", "tls": shown(authority, "gateway.test")}
    gateway.config["listeners"].append(listener)
    context = authority.client()
    with gateway:
        _, session = resumed(gateway, context, None)
        assert resumed(gateway, context, session)[0]
        gateway.port, first = other, gateway.port
        assert not resumed(gateway, context, session)[0]
        gateway.port = first


@pytest.mark.parametrize("change", ["a revocation", "another CA", "another certificate"])
def test_a_change_ends_sessions(world: World, authority: Authority, change: str) -> None:
    client = authority.issue("client", client=True)
    context = authority.client(client)
    tls = shown(authority, "gateway.test", clientCA=str(authority.path), crl=authority.revoke())
    with gateway_with(world, tls) as gateway:
        _, session = resumed(gateway, context, None)
        assert resumed(gateway, context, session)[0]
        if change == "another certificate":
            tls["certificates"] += shown(authority, "second.test")["certificates"]
        elif change == "a revocation":
            authority.revoke(client[0])
        else:
            with tempfile.TemporaryDirectory() as folder:
                tls["clientCA"] = str(Path(authority.folder) / "both.crt")
                joined = authority.path.read_text() + Authority(Path(folder), "next").path.read_text()
                Path(tls["clientCA"]).write_text(joined)
            tls.pop("crl")
        gateway.write_config()
        gateway.reload()
        if change == "a revocation":
            with pytest.raises((OSError, AssertionError)):
                resumed(gateway, context, session)
            assert gateway.event(event="refused")["tls"]["client"]["failure"] == "certificate_revoked"
        else:
            assert not resumed(gateway, context, session)[0]


def test_no_ticket_allows_early_data(world: World, authority: Authority) -> None:
    """DECISIONS.md section 1: no 0-RTT."""
    with gateway_with(world, shown(authority, "gateway.test")) as gateway:
        command = ["openssl", "s_client", "-tls1_3", "-connect", f"127.0.0.1:{gateway.port}", "-ign_eof"]
        ask = f"CONNECT 127.0.0.1:{world.echo.port} HTTP/1.0\r\n\r\nend"
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdin is not None and client.stdout is not None
            client.stdin.write(ask)
            client.stdin.flush()
            lines = iter(client.stdout.readline, "")
            early = next(line.strip() for line in lines if "Max Early Data" in line)
            client.kill()
    assert early == "Max Early Data: 0"


def test_a_session_ends_with_its_certificate(world: World, authority: Authority) -> None:
    """Its ticket is as good as before, and the client's certificate has expired since."""
    with gateway_with(world, shown(authority, "gateway.test", clientCA=str(authority.path))) as gateway:
        brief = authority.issue("brief", client=True, left=datetime.timedelta(seconds=4))
        context = authority.client(brief)
        _, session = resumed(gateway, context, None)
        ends = x509.load_pem_x509_certificate(Path(brief[0]).read_bytes()).not_valid_after_utc
        over = ends + datetime.timedelta(seconds=1)  # the worker's clock tells whole seconds
        eventually(lambda: datetime.datetime.now(datetime.UTC) > over, "it has expired")
        with pytest.raises((OSError, AssertionError)):
            resumed(gateway, context, session)
        assert gateway.event(event="refused")["tls"]["client"]["failure"] == "certificate_expired"


def test_a_list_past_its_time_refuses_every_client(world: World, authority: Authority) -> None:
    context = authority.client(authority.issue("client", client=True))
    brief = datetime.timedelta(seconds=2)
    crl = authority.revoke(left=brief)
    tls = shown(authority, "gateway.test", clientCA=str(authority.path), crl=crl)
    with gateway_with(world, tls) as gateway:
        ends = x509.load_pem_x509_crl(Path(crl).read_bytes()).next_update_utc
        assert ends is not None
        over = ends + datetime.timedelta(seconds=1)
        eventually(lambda: datetime.datetime.now(datetime.UTC) > over, "it is over")
        refused(gateway.port, context)
        assert gateway.event(event="refused")["tls"]["client"]["failure"] == "crl_expired"


def test_handshakes_at_once_are_limited(world: World, authority: Authority) -> None:
    gateway = gateway_with(world, shown(authority, "gateway.test"))
    gateway.config["limits"] = {"handshakes": 3}
    with gateway, contextlib.ExitStack() as stack:
        waiting = [stack.enter_context(plain(gateway.port)) for _ in range(3)]
        assert plain(gateway.port).recv(100) == b""
        line = gateway.event(event="refused", reason="limit")
        assert line["tls"]["client"]["failure"] == "limit"
        assert 'sluice_limited_total{scope="handshakes"} 1.0' in scraped(gateway)
        waiting.pop().close()
        eventually(lambda: handshakes(gateway).get("ended") == 1, "a place is free")
        with echoes(gateway.port, authority.client(), world):
            pass
        # One that is done holds no place.
        with echoes(gateway.port, authority.client(), world), echoes(gateway.port, authority.client(), world):
            pass


def test_half_open_handshakes_starve_no_tunnel(world: World, authority: Authority) -> None:
    gateway = gateway_with(world, shown(authority, "gateway.test"))
    with gateway, contextlib.ExitStack() as stack, echoes(gateway.port, authority.client(), world) as tunnel:
        for _ in range(300):
            stack.enter_context(plain(gateway.port)).sendall(b"\x16\x03\x01\x02\x00\x01\x00")
        for _ in range(50):
            assert wire.echoes(tunnel)  # type: ignore[arg-type]


def test_the_end_of_each_file_is_a_metric(world: World, authority: Authority) -> None:
    tls = shown(authority, "gateway.test", clientCA=str(authority.path), crl=authority.revoke())
    with gateway_with(world, tls) as gateway:
        found = {
            (sample.labels["use"], sample.labels["name"]): sample.value
            for family in text_string_to_metric_families(scraped(gateway))
            for sample in family.samples
            if sample.name == "sluice_certificate_expiry_seconds"
        }
    names = {"listener": tls["certificates"][0]["certificate"], "client_ca": tls["clientCA"], "crl": tls["crl"]}
    assert set(found) == set(names.items())
    assert all(29 * 86400 < seconds <= 30 * 86400 for seconds in found.values())


def test_a_reload_shows_the_new_certificate(world: World, authority: Authority) -> None:
    tls = shown(authority, "gateway.test")
    with gateway_with(world, tls) as gateway, echoes(gateway.port, authority.client(), world) as old:
        before = old.certificate().serial_number
        authority.issue("gateway.test", "gateway.test")  # the same files
        gateway.reload()
        with echoes(gateway.port, authority.client(), world) as new:
            assert new.certificate().serial_number != before
        assert wire.echoes(old)  # type: ignore[arg-type]
        Path(tls["certificates"][0]["key"]).write_text("no key")
        with pytest.raises(ControlError, match="cannot be read"):
            gateway.reload()
        with echoes(gateway.port, authority.client(), world):
            pass
