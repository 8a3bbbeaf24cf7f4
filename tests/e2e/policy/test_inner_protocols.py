"""Protocols that a rule demands inside a tunnel (`inner`), and TLS that begins half-way (DECISIONS.md section 3)."""

import contextlib
import imaplib
import shutil
import smtplib
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

import pytest

from tests.e2e.policy.test_inner_names import client_hello
from tests.support import wire
from tests.support.certificates import Authority, client_context
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.origins import Origin, collect, echo
from tests.support.run_gateway import Gateway, Mapping, policy

SSL_REQUEST: Final = bytes.fromhex("0000000804d2162f")  # PostgreSQL
SSH: Final = b"SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n"
GET: Final = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"


def rules() -> list[Mapping]:
    return [
        policy("mail", [{"host": "mail.test"}]),
        policy("tls", [{"host": "tls.test"}], inner={"protocol": "tls"}),
        policy("http", [{"host": "http.test"}], inner={"protocol": "http"}),
        policy("ssh", [{"host": "ssh.test"}], inner={"protocol": "ssh"}),
        policy("hidden", [{"host": "hidden.test"}], ech="deny"),
    ]


@pytest.fixture(scope="module")
def names() -> Iterator[NameServer]:
    with NameServer({f"{name}.test": ["127.0.0.1"] for name in ("mail", "tls", "http", "ssh", "hidden")}) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(names: NameServer) -> Iterator[Gateway]:
    with Gateway(rules(), {"dns": {"servers": [names.address]}}) as running:
        yield running


def opened(gateway: Gateway, host: str, port: int) -> socket.socket:
    client = wire.connect(gateway.port)
    wire.open_socks5(client, host, port)
    return client


def denied(gateway: Gateway, host: str, data: bytes) -> str:
    """The reason of a tunnel that these bytes end."""
    before = len(gateway.events())
    with Origin(collect) as origin, opened(gateway, host, origin.port) as client:
        local = client.getsockname()[1]
        client.sendall(data)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        (arrived,) = origin.wait()
        assert isinstance(arrived, ConnectionError) or (isinstance(arrived, bytes) and b"test" not in arrived)
    return str(gateway.logged(before, local)["reason"])


RIGHT: Final = {
    "TLS": ("tls.test", client_hello("tls.test")),
    "TLS without a name": ("tls.test", client_hello(None)),
    "HTTP": ("http.test", GET % b"http.test"),
    "SSH": ("ssh.test", SSH),
}
WRONG: Final = {
    "HTTP for TLS": ("tls.test", GET % b"tls.test", "inner_protocol_mismatch"),
    "SSH for TLS": ("tls.test", SSH, "inner_protocol_mismatch"),
    "anything for TLS": ("tls.test", b"\0\1\2\3", "inner_protocol_mismatch"),
    "TLS for HTTP": ("http.test", client_hello("http.test"), "inner_protocol_mismatch"),
    "SSH 1 for SSH": ("ssh.test", b"SSH-1.5-old\r\n", "inner_protocol_mismatch"),
    "HTTP that begins like SSH": ("ssh.test", b"SSH-2.0-x " + GET[4:] % b"ssh.test", "inner_protocol_mismatch"),
    "another name": ("tls.test", client_hello("mail.test"), "inner_name_mismatch"),
    "a name behind STARTTLS": ("tls.test", b"STARTTLS\r\n" + client_hello("mail.test"), "inner_name_mismatch"),
}


@pytest.mark.parametrize(("host", "data"), RIGHT.values(), ids=RIGHT)
def test_the_protocol_demanded_passes(gateway: Gateway, host: str, data: bytes) -> None:
    with Origin(collect) as origin, opened(gateway, host, origin.port) as client:
        for piece in (data[:1], data[1:9], data[9:]):
            client.sendall(piece)
        client.shutdown(socket.SHUT_WR)
        wire.to_the_end(client)
        assert origin.wait() == [data]


@pytest.mark.parametrize(("host", "data", "reason"), WRONG.values(), ids=WRONG)
def test_another_protocol_is_denied(gateway: Gateway, host: str, data: bytes, reason: str) -> None:
    assert denied(gateway, host, data) == reason


def test_client_bytes_are_held_until_the_protocol_shows(gateway: Gateway) -> None:
    hello = client_hello("tls.test")

    def speak_first(connection: socket.socket, origin: Origin) -> None:
        connection.sendall(b"welcome")
        connection.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            origin.note(connection.recv(65536))
        origin.note("nothing yet")
        connection.settimeout(20)
        origin.note(wire.exactly(connection, len(hello)))

    with Origin(speak_first) as origin, opened(gateway, "tls.test", origin.port) as client:
        client.sendall(hello[:100])
        assert wire.exactly(client, 7) == b"welcome", "the server's bytes are not held"
        assert origin.wait() == ["nothing yet"]
        client.sendall(hello[100:])
        assert origin.wait(2)[1] == hello


@pytest.mark.parametrize("sent", [b"", client_hello("tls.test")[:50]], ids=["nothing", "a part"])
def test_a_protocol_that_does_not_show_in_time(gateway: Gateway, sent: bytes) -> None:
    before = len(gateway.events())
    with Origin(collect) as origin, opened(gateway, "tls.test", origin.port) as client:
        local, began = client.getsockname()[1], time.monotonic()
        client.sendall(sent)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
        assert time.monotonic() - began > 4
        assert origin.wait()
    assert gateway.logged(before, local)["reason"] == "inner_protocol_missing"


def test_a_client_that_shows_nothing_and_ends(gateway: Gateway) -> None:
    before = len(gateway.events())
    with Origin(collect) as origin, opened(gateway, "tls.test", origin.port) as client:
        local = client.getsockname()[1]
        client.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    assert gateway.logged(before, local)["reason"] == "inner_protocol_missing"


# TLS that begins half-way, by real clients.


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


def serve_lines(greeting: bytes, answers: Callable[[bytes], bytes]) -> Callable[[socket.socket], None]:
    """The server's side up to the line that asks for TLS, answered."""

    def dialog(connection: socket.socket) -> None:
        connection.sendall(greeting)
        reader = connection.makefile("rb", buffering=0)
        while line := reader.readline():
            connection.sendall(answers(line))
            if line.upper().split()[-1] == b"STARTTLS":
                return

    return dialog


def smtp(line: bytes) -> bytes:
    return b"220 go\r\n" if line.upper().startswith(b"STARTTLS") else b"250-mail\r\n250 STARTTLS\r\n"


def imap(line: bytes) -> bytes:
    tag = line.split()[0]
    head = b"" if b"STARTTLS" in line.upper() else b"* CAPABILITY IMAP4rev1 STARTTLS\r\n"
    return head + tag + b" OK done\r\n"


def postgres(connection: socket.socket) -> None:
    assert wire.exactly(connection, 8) == SSL_REQUEST
    connection.sendall(b"S")


def mysql(connection: socket.socket) -> None:
    greeting = b"\x0a8.0.36\0" + b"\1\0\0\0" + b"12345678\0" + b"\xff\xff\xff\2\0\xff\xdf\x15" + b"\0" * 10
    greeting += b"123456789012\0mysql_native_password\0"
    connection.sendall(len(greeting).to_bytes(3, "little") + b"\0" + greeting)
    assert wire.exactly(connection, 36)[5] & 8


DIALOGS: Final = {
    "smtp": serve_lines(b"220 mail\r\n", smtp),
    "imap": serve_lines(b"* OK ready\r\n", imap),
    "postgres": postgres,
    "mysql": mysql,
}


@contextlib.contextmanager
def upgrading(dialog: Callable[[socket.socket], None], authority: Authority) -> Iterator[Origin]:
    """An origin that turns to TLS after the dialog and echoes; it notes the name that was shown."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.issue("mail", "mail.test", "other.test", "tls.test"))

    def serve(connection: socket.socket, origin: Origin) -> None:
        dialog(connection)
        context.sni_callback = lambda _socket, name, _context: origin.note(name)
        with context.wrap_socket(connection, server_side=True) as tls:
            for line in tls.makefile("rb", buffering=0):
                tls.sendall(imap(line) if b"CAPABILITY" in line else line)

    with Origin(serve) as origin:
        yield origin


@contextlib.contextmanager
def door(gateway: Gateway, host: str, port: int) -> Iterator[int]:
    """A port on which every connection is a tunnel. `-proxy` of s_client loses what a server says first where it comes
    with the answer."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
            return
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def serve(connection: socket.socket, _origin: Origin) -> None:
        with opened(gateway, host, port) as tunnel:
            back = threading.Thread(target=carry, args=(tunnel, connection))
            back.start()
            carry(connection, tunnel)
            back.join()

    with Origin(serve) as front:
        yield front.port


@pytest.mark.parametrize("kind", DIALOGS)
@pytest.mark.parametrize("name", ["mail.test", "other.test"])
@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")
def test_the_name_behind_starttls_is_judged(gateway: Gateway, authority: Authority, kind: str, name: str) -> None:
    with upgrading(DIALOGS[kind], authority) as origin, door(gateway, "mail.test", origin.port) as port:
        command = ["openssl", "s_client", "-starttls", kind, "-connect", f"127.0.0.1:{port}", "-servername", name]
        client = subprocess.run(command, input=b"Q\n", capture_output=True, timeout=30, check=False)
        (closed,) = eventually(
            lambda: [line for line in gateway.events(event="close") if line["destination"]["port"] == origin.port],
            "the tunnel's last line",
        )
        if name == "mail.test":
            assert client.returncode == 0, client.stderr
            assert origin.wait() == [name]
            assert closed["inner"] == name
        else:
            assert client.returncode != 0 and name not in origin.seen
            assert (closed["phase"], closed["reason"]) == ("inner", "inner_name_mismatch")


class Smtp(smtplib.SMTP):
    """Through the gateway."""

    gateway: Gateway

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return opened(self.gateway, host, port)


class Imap(imaplib.IMAP4):
    gateway: Gateway

    def _create_socket(self, timeout: float | None = None) -> socket.socket:
        return opened(self.gateway, self.host, self.port)


@pytest.mark.parametrize("host", ["mail.test", "tls.test"])
def test_mail_programs_upgrade(gateway: Gateway, authority: Authority, host: str) -> None:
    Smtp.gateway = Imap.gateway = gateway
    context = client_context()
    with upgrading(DIALOGS["smtp"], authority) as origin:
        mail = Smtp(host, origin.port, local_hostname="me")
        assert mail.starttls(context=context)[0] == 220
        assert origin.wait() == [host]
        mail.close()
    with upgrading(DIALOGS["imap"], authority) as origin:
        box = Imap(host, origin.port)
        assert box.starttls(context)[0] == "OK"
        assert origin.wait() == [host]
        box.shutdown()


def test_a_dialog_in_clear_goes_on(gateway: Gateway) -> None:
    with Origin(collect) as origin, opened(gateway, "mail.test", origin.port) as client:
        sent = b"EHLO me\r\nMAIL FROM:<a@b>\r\n" + b"text\r\n" * 2000
        client.sendall(sent)
        client.shutdown(socket.SHUT_WR)
        wire.to_the_end(client)
        assert origin.wait() == [sent]


@pytest.mark.parametrize("longer", ["the client", "the server"])
def test_a_long_dialog_is_watched_no_more(gateway: Gateway, longer: str) -> None:
    hello = client_hello("other.test")
    noise = 17_000 if longer == "the server" else 0
    words = b"EHLO me\r\n" + b"NOOP\r\n" * (700 if longer == "the client" else 1)

    def answer(connection: socket.socket, origin: Origin) -> None:
        assert wire.exactly(connection, len(words)) == words
        connection.sendall(b"x" * noise + b"!")
        origin.note(wire.exactly(connection, len(b"STARTTLS\r\n" + hello)))

    with Origin(answer) as origin, opened(gateway, "mail.test", origin.port) as client:
        client.sendall(words)
        wire.exactly(client, noise + 1)
        client.sendall(b"STARTTLS\r\n" + hello)
        assert origin.wait() == [b"STARTTLS\r\n" + hello]


# A real ClientHello of `hidden.test` with the extension encrypted_client_hello in it, by hand.


def with_ech(name: str) -> bytes:
    hello = bytearray(client_hello(name))
    extension = b"\xfe\x0d" + (4).to_bytes(2, "big") + b"\0\0\1\0"
    at = 43 + 1 + hello[43]
    at += 2 + int.from_bytes(hello[at : at + 2], "big")
    at += 1 + hello[at]
    for where, width in ((3, 2), (6, 3), (at, 2)):
        longer = int.from_bytes(hello[where : where + width], "big") + len(extension)
        hello[where : where + width] = longer.to_bytes(width, "big")
    return bytes(hello + extension)


def test_an_encrypted_client_hello_passes_as_the_rule_says(gateway: Gateway) -> None:
    assert denied(gateway, "hidden.test", with_ech("hidden.test")) == "inner_ech"
    for host, data in (("hidden.test", client_hello("hidden.test")), ("mail.test", with_ech("mail.test"))):
        with Origin(collect) as origin, opened(gateway, host, origin.port) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            wire.to_the_end(client)
            assert origin.wait() == [data]


def test_a_reload_judges_what_tunnels_have_shown(names: NameServer) -> None:
    with Gateway(rules(), {"dns": {"servers": [names.address]}}) as gateway, Origin(echo) as origin:
        shown = {"TLS": client_hello("mail.test"), "SSH": SSH, "nothing": b""}
        clients = {kind: opened(gateway, "mail.test", origin.port) for kind in shown}
        for kind, client in clients.items():
            client.sendall(shown[kind])
            assert wire.exactly(client, len(shown[kind])) == shown[kind]
        gateway.reload([policy("mail", [{"host": "mail.test"}], inner={"protocol": "tls"})])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(clients["SSH"])
        for kind in ("TLS", "nothing"):
            more = b"more" if kind == "TLS" else shown["TLS"]
            clients[kind].sendall(more)
            assert wire.exactly(clients[kind], len(more)) == more
            clients[kind].close()
