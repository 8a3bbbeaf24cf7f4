"""Handing sockets over: who may take, and that nothing changes before the end."""

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from supervisor.host.errors import StartError
from supervisor.host.inherited import Inherited, inherited_sockets
from supervisor.host.takeover import Giver, Offer, Taken, take


class Running:
    """A gateway that gives `count` sockets, and notes how it went."""

    def __init__(self, path: Path, count: int = 1) -> None:
        self.path = path
        self.sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
        self.lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR)
        self.left: list[int] = []
        self.said: list[str] = []
        self.refusal = ""
        self.kept: Sequence[str] | None = None

    def offer(self) -> Offer:
        if self.refusal:
            raise StartError(self.refusal)
        names = [f"127.0.0.1:{one.getsockname()[1]}" for one in self.sockets]
        return Offer(
            self.lock,
            [("listener", name, one.fileno()) for name, one in zip(names, self.sockets, strict=True)],
            ["127.0.0.1:1"],
        )

    async def finish(self, pid: int, kept: Sequence[str] | None) -> None:
        self.left.append(pid)
        self.kept = kept

    def run(self, test: Callable[[], Any]) -> Any:
        """The test on a thread, beside the loop that gives."""

        async def main() -> Any:
            loop = asyncio.get_running_loop()
            giver = Giver(loop, self.path, self.offer, self.finish, lambda event, words, pid: self.said.append(event))
            try:
                return await asyncio.to_thread(test)
            finally:
                giver.close()

        try:
            return asyncio.run(main())
        finally:
            os.close(self.lock)
            for one in self.sockets:
                one.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "c.takeover"


def taken(path: Path) -> Taken:
    found = take(path)
    assert found is not None
    return found


def test_all_sockets_and_the_lock_come_over(path: Path) -> None:
    running = Running(path, 450)

    def test() -> None:
        found = taken(path)
        assert found.pid == os.getpid()
        assert len(found.named("listener")) == 450 and found.named("admin") == []
        ours = [one.getsockname() for one in running.sockets]
        assert [one.getsockname() for one in found.named("listener")] == ours
        assert os.path.sameopenfile(found.lock, running.lock)
        assert running.left == []
        assert found.managed == ["127.0.0.1:1"]
        found.finish(["a", "b"])
        assert running.left == [os.getpid()] and running.kept == ["a", "b"]
        found.close()

    before = len(os.listdir("/proc/self/fd"))
    running.run(test)
    assert len(os.listdir("/proc/self/fd")) < before
    assert running.said == ["takeover"]


def test_one_that_gives_up_leaves_the_way_to_the_next(path: Path) -> None:
    running = Running(path)

    def test() -> None:
        first = taken(path)
        with pytest.raises(StartError, match="is taking over already"):
            take(path)
        first.close()
        while "takeover_failed" not in running.said:
            pass
        second = taken(path)
        second.finish([])
        second.close()

    running.run(test)
    assert running.said == ["takeover", "takeover_refused", "takeover_failed", "takeover"]


def test_a_process_of_another_user_gets_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    running = Running(path)
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(StartError, match="only processes of the user 12345"):
        running.run(lambda: take(path))
    assert running.said == ["takeover_refused"]


def test_another_version_is_refused(path: Path) -> None:
    running = Running(path)

    def test() -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.connect(str(path))
            peer.send(msgspec.msgpack.encode({"version": 2, "op": "take"}))
            answer: dict[str, Any] = msgspec.msgpack.decode(peer.recv(4096))
            assert peer.recv(4096) == b""
            return answer

    answer = running.run(test)
    assert answer == {"version": 1, "error": "this gateway speaks version 1 of the takeover, not 2"}


@pytest.mark.parametrize("packet", [b"\xc1", msgspec.msgpack.encode({"op": "stop"}), b"x" * 60_000])
def test_nonsense_ends_the_takeover_alone(path: Path, packet: bytes) -> None:
    running = Running(path)

    def test() -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as peer:
            peer.connect(str(path))
            peer.send(packet)
            assert peer.recv(4096) == b""
        taken(path).close()

    running.run(test)
    assert running.left == []


def test_a_gateway_with_nothing_to_give_says_so(path: Path) -> None:
    running = Running(path)
    running.refusal = "it is draining"
    with pytest.raises(StartError, match="it is draining"):
        running.run(lambda: take(path))


def test_where_none_runs_there_is_nothing_to_take(path: Path) -> None:
    assert take(path) is None
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stale:
        stale.bind(str(path))
    assert take(path) is None


def test_variables_for_another_process_are_taken_away_and_not_followed() -> None:
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "3", "LISTEN_FDNAMES": "a:b:c", "HOME": "/"}
    assert inherited_sockets(environment) == Inherited()
    assert environment == {"HOME": "/"}
