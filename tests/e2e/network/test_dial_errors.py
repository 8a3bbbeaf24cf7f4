"""Answers to clients when the kernel refuses a dial for a reason that is not the destination's own refusal.

Each test has a network of its own, where source ports are as few as it likes.
"""

import contextlib
import socket
import urllib.request
from typing import Final

import pytest

from tests.support import wire
from tests.support.network import PORT_RANGE, ip, own_network, sysctl
from tests.support.origins import Origin, echo
from tests.support.run_gateway import Gateway, policy

EVERYWHERE: Final = [policy("everywhere", [{"cidr": "0.0.0.0/0"}, {"cidr": "::/0"}])]
OPEN: Final = {"addresses": {"allow": ["127.0.0.0/8", "::1/128", "fe80::/10", "198.51.100.0/24"]}}


def client_from(gateway: Gateway, source: str, port: int = 0) -> socket.socket:
    client = socket.socket()
    client.settimeout(20)
    client.bind((source, port))
    client.connect(("127.0.0.1", gateway.port))
    return client


def limited(gateway: Gateway, scope: str) -> int:
    url = f"http://127.0.0.1:{gateway.admin}/metrics"
    request = urllib.request.Request(url, headers={"Host": f"127.0.0.1:{gateway.admin}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    found = [line for line in lines if line.startswith("sluice_limited_total{") and f'"{scope}"' in line]
    assert found, [line for line in lines if "limited" in line]
    return sum(int(float(line.split()[-1])) for line in found)


@own_network
@pytest.mark.parametrize("bound", [False, True], ids=["any source", "sourceAddress"])
def test_no_source_port_is_left(bound: bool) -> None:
    rule = policy("all", [{"cidr": "127.0.0.0/8"}])
    if bound:
        rule["spec"]["sourceAddress"] = ["127.0.0.77"]
    with Origin(echo) as origin, Origin(echo, "127.0.0.2") as other, Gateway([rule], OPEN) as gateway:
        sysctl(PORT_RANGE, "23500 23503")
        with contextlib.ExitStack() as stack:
            answers = []
            for number in range(8):
                client = stack.enter_context(client_from(gateway, f"127.0.2.{number + 1}"))
                answers.append(wire.http(client, f"127.0.0.1:{origin.port}"))
            statuses = [answer.status for answer in answers]
            assert sorted(set(statuses)) == [200, 503] and statuses.count(200) <= 4
            refusal = answers[statuses.index(503)].headers
            assert "connection_limit_reached" in refusal["proxy-status"] and refusal["retry-after"] == "1"
            with client_from(gateway, "127.0.3.1") as client:
                assert wire.socks5(client, "127.0.0.1", origin.port) == 1
            with client_from(gateway, "127.0.3.2") as client:
                assert wire.http(client, f"127.0.0.2:{other.port}").status == 200, "another destination has its own"
        line = gateway.event(event="decision")
        assert (line["outcome"], line["reason"]) == ("gateway_limit", "rule_allow")
        sysctl(PORT_RANGE, "30000 40000")
        assert limited(gateway, "ports") == statuses.count(503) + 1


@own_network
def test_what_the_address_is_to_blame_for() -> None:
    ip("route add blackhole 198.51.100.0/25", "route add prohibit 198.51.100.128/25")
    with Gateway(EVERYWHERE, OPEN) as gateway:
        for host in ("[fe80::1]", "198.51.100.1", "198.51.100.200"):
            with wire.connect(gateway.port) as client:
                answer = wire.http(client, f"{host}:443")
            assert answer.status == 502, host
            assert "destination_ip_unroutable" in answer.headers["proxy-status"]


@own_network
@pytest.mark.parametrize("socks", [False, True], ids=["CONNECT", "SOCKS5"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "198.51.100.9", "::ffff:127.0.0.1"])
def test_a_connection_to_itself_is_a_refused_one(host: str, socks: bool) -> None:
    """TCP connects a socket to itself when it is given the very port that it dials (RFC 9293, simultaneous opening)."""
    ip("route add local 198.51.100.0/24 dev lo")
    sysctl(PORT_RANGE, "20000 20199")
    rules = [policy("all", [{"cidr": "127.0.0.0/8"}, {"cidr": "::1/128"}, {"cidr": "198.51.100.0/24"},
                            {"cidr": "::ffff:127.0.0.0/104"}])]  # fmt: skip
    config = {"addresses": {"allow": [*OPEN["addresses"]["allow"], "::ffff:127.0.0.0/104"]}}
    with Gateway(rules, config) as gateway:
        sysctl(PORT_RANGE, "20050 20050")
        with client_from(gateway, "127.0.0.1", 25000) as client:
            if socks:
                assert wire.socks5(client, host, 20050) == 5
            else:
                assert wire.http(client, f"[{host}]:20050" if ":" in host else f"{host}:20050").status == 502
        assert gateway.logged(0, 25000)["outcome"] == "refused"


@own_network
def test_a_live_port_in_the_ephemeral_range_is_no_suspect() -> None:
    with Origin(echo, port=20070) as origin, Gateway(EVERYWHERE, OPEN) as gateway:
        sysctl(PORT_RANGE, "20000 20199")
        for _ in range(50):
            with wire.connect(gateway.port) as client:
                wire.open_socks5(client, "127.0.0.1", origin.port)
                assert wire.echoes(client)
