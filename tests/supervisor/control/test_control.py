"""The control endpoint and the bus against whatever may be sent to them, and the statistics they carry."""

import contextlib
import importlib.metadata
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import zmq

from supervisor.control.client import ControlClient, ControlError
from tests.support.eventually import PATIENCE, eventually
from tests.support.harness import Greeted, Running


@pytest.fixture(scope="module")
def gateway() -> Iterator[Running]:
    with Running() as running:
        yield running


@contextlib.contextmanager
def connected(kind: int, endpoint: str, identity: bytes = b"") -> Iterator[zmq.Socket[bytes]]:
    context = zmq.Context()
    with context.socket(kind) as peer:
        peer.setsockopt(zmq.LINGER, 0)
        peer.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
        if identity:
            peer.setsockopt(zmq.ROUTING_ID, identity)
        peer.connect(endpoint)
        yield peer
    context.destroy(linger=0)


def raw(gateway: Running, body: bytes) -> dict[str, Any]:
    """The answer to a body of any bytes."""
    with connected(zmq.REQ, gateway.endpoint) as peer:
        peer.send(body)
        answer: dict[str, Any] = msgspec.msgpack.decode(peer.recv())
        return answer


def test_each_operation_answers(gateway: Running) -> None:
    assert gateway.ask("ping") == {"ok": True}
    assert gateway.ask("version") == {"ok": True, "version": importlib.metadata.version("sluice")}
    policy = gateway.ask("policy")
    assert policy["ok"] and policy["config"] == str(gateway.config_file) and policy["counts"]["rules"] == 0
    answer = gateway.ask("explain", to="example.com:443", source="10.0.0.1")
    assert (answer["verdict"], answer["reason"]) == ("allow", "passthrough")
    assert gateway.ask("tunnels") == {"ok": True, "items": [], "next": None}


def test_lists_of_rules_are_asked_of_the_gateway(gateway: Running) -> None:
    answer = gateway.ask("explain", source="10.0.0.1", reach=True)
    assert answer["items"] == [] and answer["default"] == {"verdict": "allow", "reason": "passthrough"}
    assert gateway.ask("explain", to="a.test:1", reach=True)["next"] is None
    for request in ({"reach": True}, {"source": "10.0.0.1"}, {"source": "10.0.0.1", "reach": True, "limit": 0}):
        assert not gateway.ask("explain", **request)["ok"]


def test_statistics(gateway: Running) -> None:
    stats = gateway.ask("stats")
    assert set(stats) >= {"version", "generation", "workers", "counters"}
    assert "tunnels_open" in stats["counters"] and "bytes_total" in stats["counters"]
    before = stats["counters"]["connections_accepted_total"]
    for _ in range(10):
        Greeted(gateway.port).close()
    assert gateway.ask("stats")["counters"]["connections_accepted_total"] == before + 10
    for slot, worker in enumerate(stats["workers"]):
        assert worker["slot"] == slot and worker["state"] == "ready" and worker["crash_loop"] is False


def test_statistics_are_published_every_second(gateway: Running) -> None:
    with connected(zmq.SUB, gateway.endpoint + ".pub") as peer:
        peer.setsockopt(zmq.SUBSCRIBE, b"stats")
        for _ in range(2):
            topic, body = peer.recv_multipart()
            assert topic == b"stats"
            assert set(msgspec.msgpack.decode(body)["counters"]) == set(gateway.ask("stats")["counters"])


HOSTILE = {
    "nothing": b"",
    "no msgpack": b"\xc1",
    "text": b"GET / HTTP/1.1\r\n\r\n",
    "a cut map": b"\x82\xa2op",
    "bytes after the end": msgspec.msgpack.encode({"op": "ping"}) + b"\0",
    "a number": msgspec.msgpack.encode(7),
    "a list": msgspec.msgpack.encode(["op", "ping"]),
    "a map with numbers for keys": msgspec.msgpack.encode({1: 2}),
    "no op": msgspec.msgpack.encode({"x": 1}),
    "an op that is a map": msgspec.msgpack.encode({"op": {"op": "ping"}}),
    "an op that is a list": msgspec.msgpack.encode({"op": ["ping"]}),
    "an op that is bytes": msgspec.msgpack.encode({"op": b"\xff\xfe"}),
    "an unknown op": msgspec.msgpack.encode({"op": "\x1b[31mexec\n"}),
    "a very long op": msgspec.msgpack.encode({"op": "x" * 500_000}),
    "keys that ping has not": msgspec.msgpack.encode({"op": "ping", "x": 1}),
    "keys that reload has not": msgspec.msgpack.encode({"op": "reload", "config": "/etc/passwd"}),
    "a million small things": msgspec.msgpack.encode([0] * 1_000_000),
    "depth": b"\x91" * 100_000 + b"\xc0",
    "depth in maps": b"\x81\xa1k" * 100_000 + b"\xc0",
    "text that is not UTF-8": b"\x81\xa2op\xa2\xff\xff",
    "a length that lies": b"\xdd\xff\xff\xff\xff",
    "an extension": b"\xc7\x02\x05ab",
    "a bad time stamp": b"\xd7\xff" + b"\xff" * 8,
    "explain without a question": msgspec.msgpack.encode({"op": "explain"}),
    "explain with wrong types": msgspec.msgpack.encode({"op": "explain", "to": 5}),
    "explain with an unknown key": msgspec.msgpack.encode({"op": "explain", "to": "a:1", "x": 1}),
    "explain with no port": msgspec.msgpack.encode({"op": "explain", "to": "a"}),
    "explain with a NUL": msgspec.msgpack.encode({"op": "explain", "to": "a\0b:1"}),
    "tunnels with an unknown key": msgspec.msgpack.encode({"op": "tunnels", "x": 1}),
    "tunnels with wrong types": msgspec.msgpack.encode({"op": "tunnels", "to": 5}),
    "too many tunnels": msgspec.msgpack.encode({"op": "tunnels", "limit": 1001}),
    "a number of tunnels that is true": msgspec.msgpack.encode({"op": "tunnels", "limit": True}),
    "no tunnels": msgspec.msgpack.encode({"op": "tunnels", "limit": 0}),
    "a page that is a number": msgspec.msgpack.encode({"op": "tunnels", "after": 7}),
    "a page that is not one": msgspec.msgpack.encode({"op": "tunnels", "after": "\x1b[31m"}),
    "a filter that is not one": msgspec.msgpack.encode({"op": "tunnels", "to": "\x1b[31m:0"}),
    "kill nothing": msgspec.msgpack.encode({"op": "kill"}),
    "kill a number": msgspec.msgpack.encode({"op": "kill", "id": 5}),
    "kill everything": msgspec.msgpack.encode({"op": "kill", "id": "*"}),
    "kill with more": msgspec.msgpack.encode({"op": "kill", "id": "0-1-1", "force": True}),
    "kill with escapes": msgspec.msgpack.encode({"op": "kill", "id": "\x1b[31m" * 1000}),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_questions_are_refused_with_a_reason(gateway: Running, what: str) -> None:
    answer = raw(gateway, HOSTILE[what])
    assert answer["ok"] is False
    assert isinstance(answer["error"], str) and answer["error"]
    assert answer["error"].isprintable() and len(answer["error"]) < 400
    assert "internal" not in answer["error"]
    assert gateway.ask("ping") == {"ok": True}


def test_questions_over_1_mib_are_cut_off(gateway: Running) -> None:
    with connected(zmq.REQ, gateway.endpoint) as peer:
        peer.send(b"\0" * (2 << 20))
        assert not peer.poll(300)
    assert gateway.ask("ping") == {"ok": True}


@pytest.mark.parametrize("frames", [[b"a", b"b", b"c"], [b"", b"", b""], [b"x", b""], [b""] * 50])
def test_messages_of_a_wrong_form_are_dropped(gateway: Running, frames: list[bytes]) -> None:
    with connected(zmq.DEALER, gateway.endpoint) as peer:
        before = gateway.ask("stats")["supervisor"]["control_malformed"]
        peer.send_multipart(frames)
        eventually(lambda: gateway.ask("stats")["supervisor"]["control_malformed"] > before, "it is counted")
    assert gateway.ask("ping") == {"ok": True}


def test_dealers_are_answered_with_and_without_a_delimiter(gateway: Running) -> None:
    ping = msgspec.msgpack.encode({"op": "ping"})
    with connected(zmq.DEALER, gateway.endpoint) as peer:
        peer.send(ping)
        assert peer.recv_multipart() == [msgspec.msgpack.encode({"ok": True})]
        peer.send_multipart([b"", ping])
        assert peer.recv_multipart() == [b"", msgspec.msgpack.encode({"ok": True})]


def test_bytes_that_are_no_zmtp(gateway: Running) -> None:
    """A plain client of the unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(gateway.endpoint.removeprefix("ipc://"))
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
        assert gateway.ask("ping") == {"ok": True}
    assert gateway.ask("ping") == {"ok": True}


def test_a_client_that_never_reads_its_answers_does_not_harm(gateway: Running) -> None:
    with connected(zmq.DEALER, gateway.endpoint) as peer:
        peer.setsockopt(zmq.RCVHWM, 1)
        question = msgspec.msgpack.encode({"op": "stats"})
        for _ in range(20_000):
            try:
                peer.send(question, zmq.NOBLOCK)
            except zmq.Again:
                break
        assert gateway.ask("ping") == {"ok": True}
    assert gateway.ask("ping") == {"ok": True}


def test_reload_and_drain_are_logged_with_the_caller() -> None:
    with Running() as running:
        running.ask("reload")
        running.ask("drain")
        for op in ("reload", "drain"):
            (event,) = [e for e in running.events("control", uid=os.getuid()) if e["message"].startswith(op)]
            assert event["pid"] == os.getpid()


# The bus.


def test_strangers_on_the_bus_are_ignored(gateway: Running) -> None:
    """Another process of this user, under a name of its own and under that of a live worker."""
    worker = gateway.all_ready()[0]
    bus = f"ipc://{gateway.folder}/run/control.bus"
    hello = msgspec.msgpack.encode({"op": "hello", "slot": 0, "pid": os.getpid()})
    names = (b"worker-0-%d" % os.getpid(), b"worker-99-1", b"worker-x-y", b"worker--1-1", b"\0" * 200, b"worker-0-1-2")
    for identity in names:
        before = gateway.ask("stats")["supervisor"]["bus_strangers"]
        with connected(zmq.DEALER, bus, identity) as peer:
            peer.send(hello)
            peer.send(b"\xc1")
            eventually(
                lambda before=before: gateway.ask("stats")["supervisor"]["bus_strangers"] == before + 2,  # type: ignore[misc]
                "they are counted",
            )
    after = gateway.all_ready()[0]
    assert after == worker


def test_a_stranger_under_the_name_of_a_dead_worker_is_ignored() -> None:
    """The name fits the slot's last pid, and the kernel reports another pid."""
    with Running() as running:
        victim = running.all_ready()[0]["pid"]
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: running.workers()[0]["restarts"] == 1, "it is replaced")
        with connected(zmq.DEALER, f"ipc://{running.folder}/run/control.bus", b"worker-0-%d" % victim) as peer:
            forged = {"op": "full", "slot": 0, "full": True}
            peer.send(msgspec.msgpack.encode(forged))
            eventually(lambda: running.ask("stats")["supervisor"]["bus_strangers"] >= 1, "it is counted")
        assert not running.events("worker_full")


def test_malformed_messages_of_a_worker_are_counted_and_dropped(gateway: Running) -> None:
    bad = [
        b"",
        b"\xc1",
        b"\x91" * 5000,
        msgspec.msgpack.encode({"op": "nonsense", "slot": 0}),
        msgspec.msgpack.encode({"slot": 0}),
        msgspec.msgpack.encode([]),
        msgspec.msgpack.encode({"op": "hello", "slot": "0", "pid": 1}),
        msgspec.msgpack.encode({"op": "loaded", "slot": 0, "generation": 10**30 % 2**64, "ok": 1}),
        msgspec.msgpack.encode({"op": "full", "slot": 0, "full": "yes"}),
        msgspec.msgpack.encode({"op": "closed", "slot": 0, "sockets": ["one"]}),
        msgspec.msgpack.encode({"op": "verify", "slot": 0, "id": 1, "user": "text", "password": b""}),
        msgspec.msgpack.encode({"op": "hello", "slot": 1, "pid": 1}),  # another slot's
    ]
    before = gateway.ask("stats")["supervisor"]["bus_malformed"]
    with gateway.greeted_by(0) as client:
        for message in bad:
            assert client.ask("raw " + message.hex()) == "sent"
        assert client.ask("verify stranger x") == "no", "the bus goes on"
    assert gateway.ask("stats")["supervisor"]["bus_malformed"] == before + len(bad)
    assert len(gateway.all_ready()) == 2


# The client.


def test_the_client_says_when_no_gateway_answers(gateway: Running) -> None:
    with (
        ControlClient(f"ipc://{gateway.folder}/absent/control", 5) as client,
        pytest.raises(ControlError, match="is `sluice run` up"),
    ):
        client.call({"op": "ping"})
    stale = gateway.folder / "stale"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    with ControlClient(f"ipc://{stale}", 0.2) as client, pytest.raises(ControlError, match=r"within 0.2 s"):
        client.call({"op": "ping"})
    with ControlClient("tcp://127.0.0.1:1", 1) as client, pytest.raises(ControlError, match="CURVE"):
        client.call({"op": "ping"})


def test_the_client_tells_refusals_and_other_servers_apart(gateway: Running) -> None:
    with ControlClient(gateway.endpoint, PATIENCE) as client:
        with pytest.raises(ControlError, match="no tunnel has that id"):
            client.call({"op": "kill", "id": "x"})
        assert client.call({"op": "ping"}) == {"ok": True}
    other = f"ipc://{gateway.folder}/other"
    context = zmq.Context()
    with context.socket(zmq.ROUTER) as server, ControlClient(other, PATIENCE) as client:
        server.setsockopt(zmq.LINGER, 0)
        server.bind(other)

        def answer() -> None:
            identity, empty, _ = server.recv_multipart()
            server.send_multipart([identity, empty, b"\x07"])

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(ControlError, match="is not a sluice"):
            client.call({"op": "ping"})
        thread.join()
    context.destroy(linger=0)
