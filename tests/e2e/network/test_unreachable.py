"""A destination that the kernel knows to be out of reach, in a network namespace where a route says so."""

import json
import os
import subprocess
import sys
from typing import Any, Final

import pytest

from tests.support.run_gateway import environment
from tests.support.sluice_process import ROOT

# Runs inside the namespace: raises lo, adds `unreachable 203.0.113.0/24` (rtnetlink(7)), and asks in every protocol.
INSIDE: Final = """
import fcntl, json, socket, struct
from tests.support import wire
from tests.support.run_gateway import Gateway, policy
from tests.support.http2 import RfcClient

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
    fcntl.ioctl(any_socket, 0x8914, struct.pack("16sH14x", b"lo", 1 | 64))  # SIOCSIFFLAGS: IFF_UP, IFF_RUNNING
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as route:
    body = struct.pack("=BBBBBBBBI", 2, 24, 0, 0, 254, 4, 0, 7, 0)  # AF_INET, /24, table main, RTN_UNREACHABLE
    body += struct.pack("=HH4s", 8, 1, socket.inet_aton("203.0.113.0"))  # RTA_DST
    route.send(struct.pack("=IHHII", 16 + len(body), 24, 0x405, 1, 0) + body)  # RTM_NEWROUTE: REQUEST, ACK, CREATE
    assert struct.unpack_from("=i", route.recv(4096), 16) == (0,), "the route was not taken"

target = ("203.0.113.9", 443)
found = {}
rules = [policy("outside", [{"cidr": "203.0.113.0/24"}])]
with Gateway(rules) as gateway:
    with wire.connect(gateway.port) as client:
        found["socks5"] = wire.socks5(client, *target)
    with wire.connect(gateway.port) as client:
        found["socks4"] = wire.socks4a(client, *target)
    with wire.connect(gateway.port) as client:
        answer = wire.http(client, wire.target(*target))
        found["http"] = [answer.status, answer.headers["proxy-status"]]
    with RfcClient(gateway.port) as client:
        answer = client.refused(wire.target(*target))
        found["http2"] = [answer.status, answer.headers["proxy-status"]]
    found["outcome"] = gateway.event(event="decision")["outcome"]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def answers() -> dict[str, Any]:
    alone = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    done = subprocess.run(
        [*alone, sys.executable, "-c", INSIDE], cwd=ROOT, env=environment(), capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_each_protocol_answers_its_row(answers: dict[str, Any]) -> None:
    assert (answers["socks5"], answers["socks4"]) == (0x04, 0x5B)
    for protocol in ("http", "http2"):
        status, proxy_status = answers[protocol]
        assert status == 502 and proxy_status == "sluice; error=destination_ip_unroutable"
    assert answers["outcome"] == "host_unreachable"
