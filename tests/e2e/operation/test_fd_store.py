"""Listening sockets that a service manager keeps: a restart and a crash make connections wait, and refuse none."""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import World
from tests.e2e.operation.test_listeners import carries, reload
from tests.e2e.operation.test_takeover import SLOW_DRAIN, Stream, log, opened
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.run_gateway import Gateway, policy

ALLOW = policy("allow", [{"host": "localhost"}])
# As systemd starts a service: descriptors from 3 on, and their names.
START = """
import os, sys
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[1], LISTEN_FDNAMES=sys.argv[2])
os.environ.update(NOTIFY_SOCKET=sys.argv[3], FDSTORE=sys.argv[4])
os.execv(sys.argv[5], sys.argv[5:])
"""


class Manager:
    """Speaks sd_notify(3): keeps descriptors by name, and hands them to the process it starts."""

    def __init__(self, folder: Path, room: int) -> None:
        self.path = folder / "notify"
        self.room = room
        self.kept: list[tuple[str, int]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.path))
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def close(self) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"END", str(self.path))
        self._thread.join()
        self._socket.close()
        for _, descriptor in self.kept:
            os.close(descriptor)

    def names(self) -> dict[str, int]:
        """How many descriptors are kept by each name."""
        found: dict[str, int] = {}
        for name, _ in self.kept:
            found[name] = found.get(name, 0) + 1
        return found

    @contextlib.contextmanager
    def start(self, gateway: Gateway) -> Iterator[Gateway]:
        """The gateway with all that is kept; launched."""
        script = gateway.folder / "start.py"
        script.write_text(START)
        kept = list(self.kept)
        names = ":".join(name for name, _ in kept)
        prefix = (sys.executable, str(script), str(len(kept)), names, str(self.path), str(self.room))
        with gateway.another(sockets=[descriptor for _, descriptor in kept], prefix=prefix) as one:
            yield one

    def _run(self) -> None:
        while True:
            data, descriptors, _, _ = socket.recv_fds(self._socket, 4096, 253)
            states = dict(line.partition("=")[::2] for line in data.decode().splitlines())
            if "END" in states:
                return
            name = states.get("FDNAME", "")
            for descriptor in descriptors:
                os.set_inheritable(descriptor, False)
            if "FDSTORE" in states:
                self.kept += [(name, descriptor) for descriptor in descriptors]
            if "FDSTOREREMOVE" in states:
                for entry in [entry for entry in self.kept if entry[0] == name]:
                    self.kept.remove(entry)
                    os.close(entry[1])


@pytest.fixture
def manager(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    made = Manager(tmp_path_factory.mktemp("m"), 100)
    yield made
    made.close()


@contextlib.contextmanager
def prepared(config: dict[str, object] | None = None) -> Iterator[Gateway]:
    """Not started yet."""
    gateway = Gateway([ALLOW], {**SLOW_DRAIN, **(config or {})})
    try:
        yield gateway
    finally:
        gateway.__exit__()


def stored(port: int) -> str:
    return f"listener_127.0.0.1_{port}"


def test_a_restart_refuses_no_connection(world: World, manager: Manager) -> None:
    with prepared() as gateway, manager.start(gateway) as one:
        eventually(lambda: manager.names() == {stored(gateway.port): 2}, "the manager has the sockets")
        with Stream(gateway, world) as stream:
            eventually(lambda: stream.count > 20, "new tunnels open")
            assert one.stop() == 0
            with manager.start(gateway) as other:
                stream.count = 0
                eventually(lambda: stream.count > 20, "new tunnels open")
                stream.__exit__()
                assert stream.wrong == [], gateway.errors()
                assert manager.names() == {stored(gateway.port): 2}
                assert other.stop() == 0


def test_clients_wait_for_a_gateway_that_was_killed(world: World, manager: Manager) -> None:
    with prepared() as gateway:
        with manager.start(gateway) as one:
            eventually(lambda: manager.names() == {stored(gateway.port): 2}, "the manager has the sockets")
            eventually(lambda: log(one, "ready"), "it serves")
            workers = one.workers()
            one.process_signal(signal.SIGKILL)
            one.ended()
            eventually(lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()], "its workers have left")
        waiting = [wire.connect(gateway.port) for _ in range(10)]
        with manager.start(gateway):
            for client in waiting:
                with client:
                    wire.open_socks5(client, "localhost", world.echo.port)
                    assert wire.echoes(client)


def test_a_reload_changes_what_is_kept(world: World, manager: Manager) -> None:
    with prepared() as gateway, manager.start(gateway) as one:
        eventually(lambda: log(one, "ready"), "it serves")
        first, second = gateway.port, free_port()
        assert reload(one, ("mesh", first), ("a", second)).returncode == 0
        eventually(lambda: manager.names() == {stored(first): 2, stored(second): 2}, "both are kept")
        assert reload(one, ("a", second)).returncode == 0
        eventually(lambda: manager.names() == {stored(second): 2}, "the removed one is not")
        assert not carries(one, world, first) and carries(one, world, second)


def test_stored_sockets_that_fit_no_configuration_are_given_back(world: World, manager: Manager) -> None:
    """With another address, and with fewer workers, while the gateway was down."""
    old, new = 0, free_port()
    with prepared() as gateway:
        old = gateway.port
        with manager.start(gateway) as one:
            eventually(lambda: manager.names() == {stored(old): 2}, "the manager has the sockets")
            assert one.stop() == 0
        gateway.config["workers"] = 1
        with manager.start(gateway) as one:
            eventually(lambda: manager.names() == {stored(old): 1}, "the rest is kept no longer")
            assert opened(gateway, world)
            assert one.stop() == 0
        gateway.config["listeners"][0]["address"] = f"127.0.0.1:{new}"
        gateway.port = new
        with manager.start(gateway) as one:
            eventually(lambda: manager.names() == {stored(new): 1}, "the new one is kept")
            assert opened(gateway, world) and not carries(gateway, world, old)
            assert one.stop() == 0


def test_a_manager_with_too_little_room_keeps_nothing(world: World, manager: Manager) -> None:
    manager.room = 1
    with prepared() as gateway, manager.start(gateway) as one:
        eventually(lambda: log(one, "ready"), "it serves")
        assert "keeps 1 descriptors, and there are 2" in log(one, "fd_store")[0]["message"]
        assert opened(gateway, world) and manager.names() == {}
        assert one.stop() == 0
