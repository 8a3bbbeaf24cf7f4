"""Clients that speak to the gateway as to the destination: TLS by its server name, TCP to a fixed destination."""

import contextlib
import json
import os
import socket
import ssl
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.e2e.conftest import hashed
from tests.support import wire
from tests.support.certificates import Authority
from tests.support.eventually import eventually
from tests.support.names import NameServer
from tests.support.origins import Origin, collect
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, Mapping, policy
from tests.support.tls import TlsSocket

PAGE: Final = b"<p>served over TLS of its own</p>\n"
GREETING: Final = b"5.7.0-test ready\n"
OPEN: Final = "ClusterEgressPolicy/open"
HTTPS_ADDRESS: Final = f"127.43.{os.getpid() >> 8 & 255}.{os.getpid() & 255}"  # has an origin at port 443
RULES: Final = {"open.test", "ech.test", "demand.test", "https.test", "db.test"}


def hello(name: str | None, ech: bool = False) -> bytes:
    """The first bytes of a real TLS client; `ech`: with an encrypted hello inside (an extension that says so)."""
    outgoing = ssl.MemoryBIO()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = name is not None
    session = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    return with_extension(outgoing.read(), b"\xfe\x0d\x00\x01\x00") if ech else outgoing.read()


def with_extension(record: bytes, extension: bytes) -> bytes:
    """The same hello with an extension more at its end."""
    body = record[9:]
    at = 2 + 32
    at += 1 + body[at]
    at += 2 + struct.unpack_from("!H", body, at)[0]
    at += 1 + body[at]
    rest = body[at + 2 :] + extension
    body = body[:at] + struct.pack("!H", len(rest)) + rest
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return record[:3] + struct.pack("!H", len(message)) + message


class Direct:
    """A gateway with three listeners beside the sample one, and the outside they lead to."""

    def __init__(self, folder: Path, names: NameServer, stack: contextlib.ExitStack) -> None:
        self.authority = Authority(folder)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.authority.issue("origin", *RULES, "blocked.test"))
        self.ca = str(self.authority.path)

        def page(connection: socket.socket, origin: Origin) -> None:
            with contextlib.suppress(ssl.SSLError), context.wrap_socket(connection, server_side=True) as secure:
                secure.recv(65536)
                secure.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE)
                origin.note(secure.version())

        def database(connection: socket.socket, origin: Origin) -> None:
            connection.sendall(GREETING)
            while data := connection.recv(65536):
                connection.sendall(data)

        def raw(connection: socket.socket, origin: Origin) -> None:
            origin.note(connection.recv(65536))

        self.https = stack.enter_context(Origin(page))
        self.default = stack.enter_context(Origin(page, HTTPS_ADDRESS, 443))
        self.database = stack.enter_context(Origin(database))
        self.collect = stack.enter_context(Origin(collect))
        self.raw = stack.enter_context(Origin(raw))
        self.tls, self.tcp, self.nowhere = free_port(), free_port(), free_port()
        self.others: dict[str, int] = {}
        ports = [443, self.https.port, self.database.port, self.collect.port, self.raw.port]
        self.policies = [
            policy("open", [{"host": name, "ports": ports} for name in ("open.test", "https.test", "db.test")]),
            policy("no-ech", [{"host": "ech.test", "ports": ports}], ech="deny"),
            policy("demand", [{"host": "demand.test", "ports": ports}], inner={"protocol": "http"}),
            policy("no-blocked", [{"host": "blocked.test"}], action="Deny"),
        ]
        self.gateway = Gateway(
            self.policies,
            {"dns": {"servers": [names.address]}, "limits": {"requestTimeout": "2s", "dialTimeout": "2s"}},
        )
        self.listen("names", self.tls, protocol="tls", destination=self.https.port)
        self.listen("db", self.tcp, protocol="tcp", destination=f"db.test:{self.database.port}")

    def listen(self, name: str, port: int, **more: object) -> int:
        self.gateway.config["listeners"].append({"name": name, "address": f"127.0.0.1:{port}", **more})
        return port


@pytest.fixture(scope="module")
def direct(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Direct]:
    known = {name: ["127.0.0.1"] for name in (*RULES, "blocked.test")} | {"https.test": [HTTPS_ADDRESS]}
    with NameServer(known) as names, contextlib.ExitStack() as stack:
        made = Direct(tmp_path_factory.mktemp("direct"), names, stack)
        made.others["closed"] = made.listen("closed", free_port(), protocol="tcp", destination="blocked.test:5432")
        made.others["refusing"] = made.listen(
            "refusing", free_port(), protocol="tcp", destination=f"127.0.0.1:{made.nowhere}"
        )
        made.others["collect"] = made.listen(
            "collect", free_port(), protocol="tcp", destination=f"db.test:{made.collect.port}"
        )
        made.others["inner"] = made.listen("inner", free_port(), protocol="tcp", destination=f"db.test:{made.raw.port}")
        made.policies.append(policy("refusing", [{"cidr": "127.0.0.1/32", "ports": [made.nowhere]}]))
        made.gateway.write_policy(made.policies)
        with made.gateway:
            yield made


def assert_page(client: TlsSocket) -> None:
    client.sendall(b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n")
    found = b""
    while not found.endswith(PAGE):
        found += client.recv(65536)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def answer_of(port: int, data: bytes) -> bytes:
    """All that comes back, up to an end or a reset."""
    return wire.exchange(port, data)


def closed(direct: Direct, port: int, data: bytes, **fields: Any) -> Mapping:
    """Nothing is answered, and one line says why."""
    skip = len(direct.gateway.events())
    assert answer_of(port, data) == b""

    def found() -> list[Mapping]:
        lines = direct.gateway.events()[skip:]
        return [line for line in lines if all(line.get(key) == value for key, value in fields.items())]

    return eventually(found, f"a line with {fields}")[0]


# ---- TLS by its server name ------------------------------------------------------------------------------------------


def test_curl_reaches_the_name_that_it_shows(direct: Direct) -> None:
    skip = len(direct.gateway.events())
    to = f"open.test:443:127.0.0.1:{direct.tls}"
    assert run("curl", "-sS", "--cacert", direct.ca, "--connect-to", to, "https://open.test/").encode() == PAGE
    line = eventually(lambda: [one for one in direct.gateway.events(event="close")[-1:] if one["listener"] == "names"],
                      "a close line")[0]  # fmt: skip
    assert skip < len(direct.gateway.events())
    assert (line["protocol"], line["rule"], line["inner"]) == ("tls", OPEN, "open.test")
    assert line["destination"] == {"host": "open.test", "port": direct.https.port, "address": "127.0.0.1"}
    assert line["tls"] is None, "the TLS inside is the client's own"


def test_s_client_and_python_verify_the_destination_itself(direct: Direct) -> None:
    told = run("openssl", "s_client", "-connect", f"127.0.0.1:{direct.tls}", "-servername", "open.test", "-CAfile",
               direct.ca, "-verify_hostname", "open.test", "-verify_return_error")  # fmt: skip
    assert "Verification: OK" in told
    with TlsSocket(wire.connect(direct.tls), direct.authority.client(), "open.test") as client:
        assert_page(client)


@pytest.mark.parametrize("sizes", [[1] * 600, [5], [200, 100]], ids=["bytes", "a record header", "pieces"])
def test_a_hello_in_pieces_is_passed_on_whole(direct: Direct, sizes: list[int]) -> None:
    context = direct.authority.client()
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = context.wrap_bio(incoming, outgoing, server_hostname="open.test")
    with wire.connect(direct.tls) as client:
        with pytest.raises(ssl.SSLWantReadError):
            session.do_handshake()
        wire.send_split(client, outgoing.read(), sizes)
        while True:
            try:
                session.do_handshake()
                break
            except ssl.SSLWantReadError:
                client.sendall(outgoing.read())
                incoming.write(client.recv(65536))
    assert session.version() == "TLSv1.3"


NO_NAMES: Final = {
    "no server name": (hello(None), "no_server_name", "no_server_name"),
    "the gateway's own name": (hello("sluice.egress.svc.cluster.local"), "no_server_name", "no_server_name"),
    "a request": (b"GET / HTTP/1.1\r\nHost: open.test\r\n\r\n", "malformed", "malformed"),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", "malformed", "malformed"),
    "SOCKS5": (b"\x05\x01\x00", "malformed", "malformed"),
    "an address": (hello("open.test").replace(b"open.test", b"127.0.0.1"), "malformed", "malformed"),
}


@pytest.mark.parametrize("case", NO_NAMES)
def test_what_names_no_destination_is_closed(direct: Direct, case: str) -> None:
    data, reason, outcome = NO_NAMES[case]
    accepted = direct.https.accepted
    line = closed(direct, direct.tls, data, event="refused", reason=reason)
    assert (line["protocol"], line["outcome"], line["listener"]) == ("tls", outcome, "names")
    assert direct.https.accepted == accepted


def test_hellos_without_a_destination_are_counted(direct: Direct) -> None:
    closed(direct, direct.tls, hello(None), event="refused", reason="no_server_name")
    with contextlib.closing(socket.create_connection(("127.0.0.1", direct.gateway.admin))) as admin:
        admin.sendall(b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        text = wire.to_the_end(admin).decode()
    assert 'sluice_protocol_errors_total{protocol="tls",reason="no_server_name"}' in text
    assert 'sluice_tunnels_total{outcome="closed",protocol="tls"}' in text or 'protocol="tls"' in text


def test_a_hello_that_does_not_end_is_closed_in_time(direct: Direct) -> None:
    line = closed(direct, direct.tls, hello("open.test")[:-1], event="refused", reason="request_timeout")
    assert line["protocol"] == "tls"


@pytest.mark.parametrize("name", ["blocked.test", "unknown.test"])
def test_a_denied_name_is_closed_before_any_question_to_dns(direct: Direct, name: str) -> None:
    line = closed(direct, direct.tls, hello(name), event="decision", verdict="deny")
    assert (line["protocol"], line["phase"], line["outcome"]) == ("tls", "name", "denied")
    assert line["destination"]["host"] == name and line["dns_ms"] is None


def test_rules_about_what_runs_inside_hold(direct: Direct) -> None:
    closed(direct, direct.tls, hello("ech.test", ech=True), event="close", reason="inner_ech")
    closed(direct, direct.tls, hello("demand.test"), event="close", reason="inner_protocol_mismatch")


# ---- a ClientHello on an `auto` listener -----------------------------------------------------------------------------


def test_auto_without_tls_routes_a_hello_to_port_443(direct: Direct) -> None:
    to = f"https.test:443:127.0.0.1:{direct.gateway.port}"
    assert run("curl", "-sS", "--cacert", direct.ca, "--connect-to", to, "https://https.test/").encode() == PAGE
    line = eventually(lambda: direct.gateway.events(event="close", listener="mesh", protocol="tls"), "a close line")[-1]
    assert line["destination"] == {"host": "https.test", "port": 443, "address": HTTPS_ADDRESS}
    closed(direct, direct.gateway.port, hello(None), event="refused", reason="no_server_name", listener="mesh")


def test_auto_with_required_credentials_lets_no_hello_in(direct: Direct) -> None:
    users = {"users": [{"name": "visitor", "hash": hashed("secret")}]}
    files = {"users.yaml": yaml.safe_dump(users)}
    with Gateway(
        direct.policies, {"identity": {"users": "users.yaml"}}, files=files, listener={"auth": "required"}
    ) as gateway:
        assert answer_of(gateway.port, hello("open.test")) == b""
        line = gateway.event(event="refused", reason="login_missing")
    assert (line["protocol"], line["outcome"]) == ("tls", "auth_failed")


def test_other_protocols_take_no_hello(direct: Direct) -> None:
    with Gateway(direct.policies, listener={"protocol": "socks5"}) as gateway:
        assert answer_of(gateway.port, hello("open.test")) == b""
        assert gateway.event(event="refused", reason="malformed")["protocol"] == "unknown"


# ---- TCP to a fixed destination --------------------------------------------------------------------------------------


def test_the_server_may_speak_first(direct: Direct) -> None:
    with wire.connect(direct.tcp) as client:
        assert wire.exactly(client, len(GREETING)) == GREETING, "before a byte of the client's"
        assert wire.echoes(client)
    line = eventually(lambda: direct.gateway.events(event="close", listener="db"), "a close line")[-1]
    assert (line["protocol"], line["rule"], line["outcome"]) == ("tcp", OPEN, "closed")
    assert line["destination"] == {"host": "db.test", "port": direct.database.port, "address": "127.0.0.1"}


def test_bytes_pass_whole_and_ends_are_carried_over(direct: Direct) -> None:
    content = bytes(range(256)) * 4096
    with wire.connect(direct.others["collect"]) as client:
        client.sendall(content)
        client.shutdown(socket.SHUT_WR)
        assert len(wire.to_the_end(client)) == 64
    assert direct.collect.wait()[-1] == content


@pytest.mark.parametrize(
    ("listener", "fields"),
    [
        ("closed", {"verdict": "deny", "outcome": "denied", "rule": "ClusterEgressPolicy/no-blocked"}),
        ("refusing", {"verdict": "allow", "outcome": "refused"}),
    ],
)
def test_a_refusal_is_a_reset(direct: Direct, listener: str, fields: Mapping) -> None:
    skip = len(direct.gateway.events())
    with pytest.raises(ConnectionResetError), wire.connect(direct.others[listener]) as client:
        wire.to_the_end(client)
    line = eventually(lambda: direct.gateway.events(listener=listener)[-1:], "a line")[0]
    assert skip < len(direct.gateway.events())
    assert {key: line[key] for key in fields} == fields and line["protocol"] == "tcp"


def test_the_name_inside_must_be_the_destination(direct: Direct) -> None:
    noted, right, wrong = len(direct.raw.seen), hello("db.test"), hello("open.test")
    with wire.connect(direct.others["inner"]) as client:
        client.sendall(right)
        assert direct.raw.wait(noted + 1)[-1] == right
    with wire.connect(direct.others["inner"]) as client:
        client.sendall(wrong)
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    direct.gateway.event(event="close", listener="inner", reason="inner_name_mismatch")


# ---- operation -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("--listener", "names", "--sni", "Open.test"), ("allow", "open.test")),
        (("--listener", "names", "--sni", "blocked.test", "--from", "shop/cart"), ("deny", "blocked.test")),
        (("--listener", "mesh", "--sni", "https.test"), ("allow", "https.test")),
        (("--listener", "db"), ("allow", "db.test")),
        (("--listener", "closed", "--from", "shop/cart"), ("deny", "blocked.test")),
    ],
)
@pytest.mark.parametrize("live", [False, True], ids=["files", "live"])
def test_explain_goes_by_the_listener(
    direct: Direct, live: bool, arguments: tuple[str, ...], expected: tuple[str, str]
) -> None:
    done = direct.gateway.sluice("explain", "--json", *(["--live"] if live else []), *arguments)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert (answer["verdict"], answer["destination"]["host"]) == expected


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--listener", "names"), "listener names goes by the server name (`sni`)"),
        (("--listener", "names", "--sni", "sluice"), "reason no_server_name"),
        (("--listener", "nmaes", "--sni", "a.test"), "did you mean `names`?"),
    ],
)
def test_explain_says_what_a_listener_needs(direct: Direct, arguments: tuple[str, ...], words: str) -> None:
    done = direct.gateway.sluice("explain", *arguments)
    assert done.returncode == 2 and words in done.stderr, done.stderr


def test_a_reload_ends_tunnels_that_are_denied_now_and_changes_what_a_listener_speaks(direct: Direct) -> None:
    gateway = direct.gateway
    with wire.connect(direct.tcp) as client:
        assert wire.exactly(client, len(GREETING)) == GREETING
        gateway.reload([policy("no-db", [{"host": "db.test"}], action="Deny"), *direct.policies])
        with pytest.raises(ConnectionResetError):
            wire.to_the_end(client)
    gateway.event(event="close", outcome="revoked", listener="db", protocol="tcp")
    before = [dict(one) for one in gateway.config["listeners"]]
    names = next(one for one in gateway.config["listeners"] if one["name"] == "names")
    names.update(protocol="tcp", destination=f"db.test:{direct.database.port}")
    gateway.write_config()
    gateway.write_policy(direct.policies)
    told = gateway.sluice("reload").stdout
    assert "listener names: changed protocol, destination" in told
    with wire.connect(direct.tls) as client:
        assert wire.exactly(client, len(GREETING)) == GREETING
    gateway.config["listeners"] = before
    gateway.write_config()
    assert gateway.sluice("reload").returncode == 0
    test_s_client_and_python_verify_the_destination_itself(direct)


def test_sources_are_those_of_a_proxy_header_of_a_certificate_and_of_limits(direct: Direct, tmp_path: Path) -> None:
    """On listeners of their own: required headers, TLS of the gateway's own ahead of TCP, one tunnel of a source."""
    authority = Authority(tmp_path)
    pair = dict(zip(("certificate", "key"), authority.issue("gateway", "gateway.test"), strict=True))
    cart = authority.issue("cart", "spiffe://mesh.test/ns/shop/sa/cart", client=True)
    rules = [policy("cart", [{"host": name} for name in ("open.test", "db.test")], namespace="shop")]
    gateway = Gateway(
        rules,
        {
            "dns": {"servers": direct.gateway.config["dns"]["servers"]},
            "identity": {
                "trustDomains": [{"name": "mesh.test", "ca": str(authority.path)}],
                "networks": [{"cidr": "10.9.0.0/16", "namespace": "shop"}],
                "proxyProtocolFrom": ["127.0.0.2/32"],
            },
            "limits": {"tunnelsPerSource": 1},
        },
    )
    by_name, raw, secure = free_port(), free_port(), free_port()
    db = f"db.test:{direct.database.port}"
    gateway.config["listeners"] += [
        {"name": "names", "address": f"127.0.0.1:{by_name}", "protocol": "tls", "destination": direct.https.port},
        {"name": "raw", "address": f"127.0.0.1:{raw}", "protocol": "tcp", "destination": db},
        {"name": "secure", "address": f"127.0.0.1:{secure}", "protocol": "tcp", "destination": db,
         "tls": {"certificates": [pair], "clientCA": str(authority.path)}},
    ]  # fmt: skip
    header = b"PROXY TCP4 10.9.0.7 10.9.0.7 4711 443\r\n"
    with gateway:
        with wire.connect(by_name, source="127.0.0.2") as plain:
            plain.sendall(header)
            with TlsSocket(plain, direct.authority.client(), "open.test") as client:
                assert_page(client)
        eventually(lambda: gateway.events(event="close", listener="names"), "it has ended")
        with wire.connect(raw, source="127.0.0.2") as client:
            client.sendall(header)
            assert wire.exactly(client, len(GREETING)) == GREETING
            with wire.connect(raw, source="127.0.0.2") as second:
                second.sendall(header)
                with pytest.raises(ConnectionResetError):
                    wire.to_the_end(second)
        gateway.event(listener="raw", outcome="source_limit", protocol="tcp")
        with pytest.raises(ConnectionResetError), wire.connect(raw) as stranger:
            wire.to_the_end(stranger)
        with TlsSocket(wire.connect(secure), authority.client(cart)) as client:
            assert wire.exactly(client, len(GREETING)) == GREETING  # type: ignore[arg-type]
        line = gateway.event(event="open", listener="secure")
    assert line["source"]["identity_source"] == "certificate" and line["tls"]["client"]["peer"]
