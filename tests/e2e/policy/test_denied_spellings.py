"""Denied names behind addresses, spelled in every way: what a server may read as the name counts as one (DECISIONS.md
section 3). Where two readers may find two names, neither counts.
"""

import json
import socket
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.conftest import PASSWORD, sample_users
from tests.e2e.policy.test_denied_names import EVIL, assert_denied, behind, is_cut
from tests.e2e.policy.test_inner_names import REQUEST, client_hello
from tests.support import wire
from tests.support.origins import Origin, collect
from tests.support.run_gateway import Gateway, policy


@pytest.fixture(scope="module")
def gateway() -> Iterator[Gateway]:
    with behind("passthrough") as running:
        yield running


SHOWN: Final[dict[str, bytes]] = {
    "TLS in capitals": client_hello("X.EVIL.TEST"),
    "HTTP with a port": REQUEST % b"x.evil.test:8443",
    "HTTP in capitals, with a dot": REQUEST % b"X.Evil.TEST.",
    "HTTP/1.0": b"GET / HTTP/1.0\r\nhOST:\tx.evil.test\r\n\r\n",
    "an empty line before": b"\r\n" + REQUEST % b"x.evil.test",
    "another field first": b"GET / HTTP/1.1\r\nX-Host: good.test\r\nHost: x.evil.test\r\n\r\n",
}
TWO_NAMES: Final[dict[str, bytes]] = {
    "an absolute target beside Host": b"GET http://x.evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n",
    "Host beside an absolute target": b"GET http://good.test/ HTTP/1.1\r\nHost: x.evil.test\r\n\r\n",
    "userinfo": b"GET http://good.test@x.evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n",
    "CONNECT inside": b"CONNECT x.evil.test:443 HTTP/1.1\r\nHost: good.test\r\n\r\n",
    "Host twice": b"GET / HTTP/1.1\r\nHost: good.test\r\nHost: x.evil.test\r\n\r\n",
    "a list of hosts": REQUEST % b"good.test, x.evil.test",
    "a space before the colon": b"GET / HTTP/1.1\r\nHost : x.evil.test\r\n\r\n",
    "a folded line": b"GET / HTTP/1.1\r\nHost:\r\n x.evil.test\r\n\r\n",
    "bare line feeds": b"GET / HTTP/1.1\nHost: x.evil.test\n\n",
}


@pytest.mark.parametrize("payload", [*SHOWN.values(), *TWO_NAMES.values()], ids=[*SHOWN, *TWO_NAMES])
@pytest.mark.parametrize("whole", [True, False], ids=["at once", "in two parts"])
def test_every_spelling_of_a_name(gateway: Gateway, payload: bytes, whole: bool) -> None:
    before = len(gateway.events())
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        if not whole:
            client.sendall(payload[:9])
        is_cut(client, payload if whole else payload[9:], origin)
        line = gateway.logged(before, client.getsockname()[1])
    if payload in TWO_NAMES.values():
        assert (line["verdict"], line["reason"], line["inner"]) == ("deny", "inner_name_mismatch", "malformed")
    else:
        assert_denied(line)


def with_ech(hello: bytes) -> bytes:
    """A ClientHello with an encrypted_client_hello extension behind all others (RFC 9849)."""
    body = hello[9:]
    at = 34 + 1 + body[34]
    at += 2 + int.from_bytes(body[at : at + 2])
    at += 1 + body[at]
    extensions = body[at + 2 :] + b"\xfe\x0d\x00\x0a" + bytes(10)
    body = body[:at] + len(extensions).to_bytes(2) + extensions
    handshake = b"\x01" + len(body).to_bytes(3) + body
    return hello[:3] + len(handshake).to_bytes(2) + handshake


def test_of_encrypted_client_hello_the_outer_name_counts(gateway: Gateway) -> None:
    with Origin(collect) as origin, wire.connect(gateway.port) as client:
        wire.open_socks5(client, "127.0.0.1", origin.port)
        is_cut(client, with_ech(EVIL["TLS"]), origin)


def test_a_deny_for_a_lower_identity_and_one_for_a_port(gateway: Gateway) -> None:
    """The user's own allow is of an address; the deny is of the namespace that its network stands for."""
    with Origin(collect) as origin, Origin(collect) as other:
        rules = [
            policy("net", [{"cidr": "127.0.0.0/8"}]),
            policy("refuse", [{"host": "bad.test", "ports": [origin.port]}], "Deny", namespace="shop"),
        ]
        identity = {"networks": [{"cidr": "127.0.0.0/8", "namespace": "shop"}], "users": "users.yaml"}
        files = {"users.yaml": json.dumps(sample_users())}
        with Gateway(rules, {"identity": identity}, files=files, listener={"auth": "required"}) as running:
            for target, cut in ((origin, True), (other, False)):
                with wire.connect(running.port) as client:
                    assert wire.socks5(client, "127.0.0.1", target.port, "visitor", PASSWORD) == 0
                    if cut:
                        is_cut(client, REQUEST % b"bad.test", target)
                        assert_denied(running.event(event="close"), "refuse", "bad.test")
                    else:
                        client.sendall(REQUEST % b"bad.test")
                        client.shutdown(socket.SHUT_WR)
                        wire.to_the_end(client)
                        assert target.wait() == [REQUEST % b"bad.test"]
