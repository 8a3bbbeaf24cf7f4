"""Control over tcp://: clients whose keys are listed may ask, no others, and the messages for wrong keys."""

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import zmq
import zmq.auth

from supervisor.control.client import ControlClient, ControlError
from supervisor.control.curve import load_client, load_server
from supervisor.host.endpoint import ControlLock, tcp_endpoint
from supervisor.host.errors import StartError
from tests.support.eventually import PATIENCE, eventually
from tests.support.harness import Running
from tests.support.ports import free_port


def make_keys(folder: Path, *clients: str) -> None:
    """A folder of keys as an operator makes it; `client` is who the commands are."""
    (folder / "clients").mkdir(parents=True)
    for name in ("server", *clients):
        zmq.auth.create_certificates(folder, name)
        (folder / f"{name}.key_secret").chmod(0o600)
        if name != "server":
            shutil.move(folder / f"{name}.key", folder / "clients" / f"{name}.key")


def pair_of_ports() -> int:
    """A free port whose next one is free as well, and given to no other test."""
    first, second = free_port(), free_port()
    while second != first + 1:
        first, second = second, free_port()
    return first


@pytest.fixture
def gateway() -> Iterator[Running]:
    """One that is asked over tcp. The bus has its folder where the runtime folder of the user would be."""
    running = Running(config={"control": {"endpoint": f"tcp://127.0.0.1:{pair_of_ports()}"}})
    make_keys(running.folder / "control-keys", "client", "ops@desk")
    running.variables["XDG_RUNTIME_DIR"] = str(running.folder)
    with running:
        yield running
        running.signal(signal.SIGINT)  # not killed: the folder of the bus is not in the one that is removed
        assert running.wait() == 0


def keys_of(gateway: Running) -> Path:
    return gateway.folder / "control-keys"


def as_client(gateway: Running, name: str, folder: Path) -> Path:
    """The keys of another client, on a machine of their own."""
    folder.mkdir()
    shutil.copy(keys_of(gateway) / "server.key", folder / "server.key")
    shutil.copy(keys_of(gateway) / f"{name}.key_secret", folder / "client.key_secret")
    return folder


def test_whoever_holds_a_key_is_answered_and_named_in_the_log(gateway: Running, tmp_path: Path) -> None:
    assert gateway.ask("ping") == {"ok": True}
    with ControlClient(gateway.endpoint, PATIENCE, as_client(gateway, "ops@desk", tmp_path / "k")) as client:
        assert client.call({"op": "reload"})["generation"] == 2
    (event,) = gateway.events("control", key="ops@desk")
    assert event["message"].startswith("reload") and event["address"] == "127.0.0.1"


def test_statistics_have_the_next_port(gateway: Running) -> None:
    endpoint = tcp_endpoint(gateway.endpoint)
    assert endpoint is not None
    context = zmq.Context()
    with context.socket(zmq.SUB) as peer:
        load_client(keys_of(gateway)).apply(peer)
        peer.setsockopt(zmq.RCVTIMEO, int(PATIENCE * 1000))
        peer.setsockopt(zmq.SUBSCRIBE, b"stats")
        peer.connect(endpoint.stats)
        topic, body = peer.recv_multipart()
    context.destroy(linger=0)
    assert topic == b"stats" and msgspec.msgpack.decode(body)["generation"] == 1


def test_a_key_that_is_not_known_is_refused_and_counted(gateway: Running, tmp_path: Path) -> None:
    make_keys(tmp_path / "k", "client")
    shutil.copy(keys_of(gateway) / "server.key", tmp_path / "k/server.key")
    with (
        ControlClient(gateway.endpoint, 0.5, tmp_path / "k") as client,
        pytest.raises(ControlError, match=r"control-keys/clients must hold client\.key"),
    ):
        client.call({"op": "ping"})
    assert gateway.ask("stats")["supervisor"]["control_refused"] > 0


def test_who_has_no_key_or_takes_another_server_for_ours_gets_nowhere(gateway: Running, tmp_path: Path) -> None:
    context = zmq.Context()
    with context.socket(zmq.REQ) as plain:
        plain.setsockopt(zmq.LINGER, 0)
        plain.connect(gateway.endpoint)
        plain.send(msgspec.msgpack.encode({"op": "ping"}))
        assert plain.poll(500) == 0
    context.destroy(linger=0)
    make_keys(tmp_path / "k", "client")  # the right client for another server
    shutil.copy(keys_of(gateway) / "client.key_secret", tmp_path / "k/client.key_secret")
    with ControlClient(gateway.endpoint, 0.5, tmp_path / "k") as client, pytest.raises(ControlError):
        client.call({"op": "ping"})
    with socket.create_connection(("127.0.0.1", int(gateway.endpoint.rpartition(":")[2]))) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 50)
        assert gateway.ask("ping") == {"ok": True}


def test_a_reload_reads_the_keys_again(gateway: Running, tmp_path: Path) -> None:
    other = as_client(gateway, "ops@desk", tmp_path / "k")
    known = keys_of(gateway) / "clients/ops@desk.key"
    text = known.read_bytes()
    known.unlink()
    assert gateway.ask("reload")["ok"] is True
    with ControlClient(gateway.endpoint, 0.5, other) as client, pytest.raises(ControlError):
        client.call({"op": "ping"})
    known.write_bytes(b"no key")
    answer = gateway.ask("reload")
    assert answer["ok"] is False and "ops@desk.key holds no public key" in answer["error"]
    known.write_bytes(text)
    assert gateway.ask("reload")["ok"] is True
    with ControlClient(gateway.endpoint, PATIENCE, other) as client:
        assert client.call({"op": "ping"}) == {"ok": True}


def test_a_tunnel_to_it_is_a_tunnel_to_ourselves(gateway: Running) -> None:
    port = int(gateway.endpoint.rpartition(":")[2])
    gateway.write(addresses={"allow": ["127.0.0.0/8"]})
    assert gateway.ask("reload")["ok"] is True
    for number in (port, port + 1):
        answer = gateway.ask("explain", to=f"127.0.0.1:{number}", source="10.0.0.1")
        assert (answer["verdict"], answer["reason"]) == ("deny", "own_address")


def test_keys_that_are_missing_keep_it_from_starting() -> None:
    running = Running(config={"control": {"endpoint": f"tcp://127.0.0.1:{pair_of_ports()}"}})
    try:
        assert running.launch().wait() == 1
        assert "control-keys/server.key_secret" in running.errors() and "ENOENT" in running.errors()
        assert running.family() == []
    finally:
        running.__exit__()


# The files.


def test_what_is_wrong_with_keys_is_said(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    make_keys(folder, "client")
    assert list(load_server(folder).clients.values()) == ["client"]
    assert len(load_client(folder).public) == 40
    (folder / "client.key_secret").chmod(0o644)
    with pytest.raises(StartError, match="chmod 0600"):
        load_client(folder)
    (folder / "server.key").write_text("x" * 5000)
    (folder / "client.key_secret").chmod(0o600)
    with pytest.raises(StartError, match="is not a key file"):
        load_client(folder)
    for text in ("", 'curve\n public-key = "short"\n', 'curve\n public-key = "' + "\\" * 40 + '"\n'):
        (folder / "clients/client.key").write_text(text)
        with pytest.raises(StartError, match="holds no public key"):
            load_server(folder)
    (folder / "clients/client.key").unlink()
    with pytest.raises(StartError, match="no client could reach"):
        load_server(folder)
    shutil.copy(folder / "clients/../server.key_secret", folder / "public-only")
    (folder / "server.key_secret").write_text((folder / "public-only").read_text().replace("secret-key", "no-key"))
    with pytest.raises(StartError, match="holds no secret key"):
        load_server(folder)


def test_a_name_that_a_terminal_would_obey_is_escaped(tmp_path: Path) -> None:
    make_keys(tmp_path / "k", "client")
    os.rename(tmp_path / "k/clients/client.key", tmp_path / "k/clients/\x1b[31m.key")
    assert list(load_server(tmp_path / "k").clients.values()) == ["\\x1b[31m"]


def test_endpoints_over_tcp() -> None:
    assert tcp_endpoint("tcp://127.0.0.1:9902") == ("127.0.0.1", 9902)
    assert tcp_endpoint("tcp://[::1]:9902") == ("[::1]", 9902)
    assert tcp_endpoint("tcp://0.0.0.0:65534") is not None
    for text in ("ipc:///x", "tcp://host:1", "tcp://1.2.3.4", "tcp://1.2.3.4:0", "tcp://1.2.3.4:65535", "tcp://*:1"):
        assert tcp_endpoint(text) is None


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """The paths of sockets have little room (CONTRACT.md section 3), and those of pytest's workers are long."""
    with tempfile.TemporaryDirectory(prefix="sluice-") as folder:
        yield Path(folder)


def test_each_has_a_lock_and_a_bus_of_its_own(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.host.machine.control_endpoint", lambda: f"ipc://{short_folder}/sluice/control")
    first = ControlLock("tcp://127.0.0.1:9902")
    second = ControlLock("tcp://127.0.0.1:9904")
    assert (first.control, first.stats) == ("tcp://127.0.0.1:9902", "tcp://127.0.0.1:9903")
    assert first.bus == f"ipc://{short_folder}/sluice/tcp-127.0.0.1-9902.bus"
    others = [ControlLock("tcp://127.0.0.2:9902"), ControlLock("tcp://[::1]:9902"), ControlLock("tcp://[::2]:9902")]
    assert len({first.bus, second.bus, *(other.bus for other in others)}) == 5
    with pytest.raises(StartError, match="another sluice"):
        ControlLock("tcp://127.0.0.1:9902")
    for lock in (*others, second, first):  # the one that made the folder removes it
        lock.release()
    assert list(short_folder.iterdir()) == []


def test_a_user_without_a_runtime_folder_has_no_place_for_the_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("supervisor.host.machine.control_endpoint", lambda: "")
    with pytest.raises(StartError, match=r"needs a folder for the workers' bus: .*XDG_RUNTIME_DIR"):
        ControlLock("tcp://127.0.0.1:9902")


def test_a_port_in_use_is_said(gateway: Running) -> None:
    """Of the statistics, whose port is not configured."""
    endpoint = tcp_endpoint(gateway.endpoint)
    assert endpoint is not None
    other = Running(config={"control": {"endpoint": f"tcp://127.0.0.1:{endpoint.port + 1}"}})
    make_keys(other.folder / "control-keys", "client")
    other.variables["XDG_RUNTIME_DIR"] = str(other.folder)
    try:
        assert other.launch().wait() == 1
        assert "control endpoint" in other.errors() and "Address already in use" in other.errors()
        assert other.family() == []
    finally:
        other.__exit__()
    eventually(lambda: gateway.ask("ping")["ok"], "the first serves on")
