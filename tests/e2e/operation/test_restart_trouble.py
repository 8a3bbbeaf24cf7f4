"""Reloads and takeovers where the machine fails: a disk that is full, a log that takes no lines, processes that the
kernel kills. The state before stays, and the gateway says why."""

import contextlib
import json
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import World
from tests.e2e.operation.test_lost_lines import dropped
from tests.e2e.operation.test_takeover import ALLOW, SLOW_DRAIN, log, opened, successor, take_over
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import Gateway, policy

COMPILE = b"supervisor.generation.warm"


def generation(gateway: Gateway) -> int:
    """The active one."""
    return int(json.loads(gateway.sluice("stats", "--json").stdout)["generation"])


def children(pid: int) -> list[int]:
    """Of a process's main thread."""
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def compiling(pid: int) -> int:
    """The compile process of a gateway, 0 for none."""
    for child in children(pid):
        with contextlib.suppress(OSError):
            if COMPILE in Path(f"/proc/{child}/cmdline").read_bytes():
                return child
    return 0


def write_much(gateway: Gateway) -> None:
    """A policy that takes a while to compile."""
    gateway.write_policy([ALLOW, policy("many", [])])
    text = gateway.folder / "policy.yaml"
    many = "".join(f"  - {{host: h{number}.test}}\n" for number in range(20_000))
    text.write_text(text.read_text().replace("  to: []\n", "  to:\n" + many))


# Processes that the kernel kills.


@pytest.mark.parametrize("which", ["the child", "the process kept warm"])
def test_a_compilation_that_is_killed_is_a_refused_reload(world: World, which: str) -> None:
    with Gateway([ALLOW], {"workers": 2}) as gateway, wire.connect(gateway.port) as old:
        wire.open_socks5(old, "localhost", world.echo.port)
        warm = compiling(gateway.pid)
        write_much(gateway)
        done: list[subprocess.CompletedProcess[str]] = []
        reload = threading.Thread(target=lambda: done.append(gateway.sluice("reload")))
        reload.start()
        child = eventually(lambda: children(warm), "it compiles")[0]
        os.kill(child if which == "the child" else warm, signal.SIGKILL)
        reload.join()
        assert done[0].returncode == 1 and "SIGKILL" in done[0].stderr, done[0]
        assert "SIGKILL" in gateway.errors()
        assert generation(gateway) == 1 and wire.echoes(old) and opened(gateway, world)
        gateway.reload([ALLOW])
        assert generation(gateway) == 2


def test_a_successor_whose_compilation_is_killed_does_not_start(world: World) -> None:
    with Gateway([ALLOW], SLOW_DRAIN) as gateway, wire.connect(gateway.port) as old:
        wire.open_socks5(old, "localhost", world.echo.port)
        write_much(gateway)
        with successor(gateway) as following:
            os.kill(eventually(lambda: compiling(following.pid), "it compiles"), signal.SIGKILL)
            assert following.ended() == 1
        assert "the compile process" in gateway.errors()  # failed; or it takes no request, where it has not begun
        assert log(gateway, "handed_over") == []
        assert generation(gateway) == 1 and wire.echoes(old) and opened(gateway, world)


def test_a_gateway_that_is_killed_half_way_has_handed_over(world: World) -> None:
    """Its successor has the sockets: clients wait in their queues, and are served."""
    with Gateway([ALLOW], SLOW_DRAIN) as gateway, successor(gateway) as following:
        eventually(lambda: log(gateway, "takeover"), "the successor has the sockets")
        following.process_signal(signal.SIGSTOP)
        gateway.process_signal(signal.SIGKILL)
        gateway.ended()
        eventually(lambda: not gateway.family(), "its workers have left")
        waiting = [wire.connect(gateway.port) for _ in range(10)]
        following.process_signal(signal.SIGCONT)
        for client in waiting:
            with client:
                wire.open_socks5(client, "localhost", world.echo.port)
                assert wire.echoes(client)
        eventually(lambda: gateway.sluice("stats").returncode == 0, "it has the endpoint")


# A log that takes no lines.


def test_a_log_reader_that_stops_holds_up_neither_reload_nor_takeover(world: World) -> None:
    gateway = Gateway([ALLOW], {**SLOW_DRAIN, "logs": {"access": "pipe"}})
    os.mkfifo(gateway.folder / "pipe")
    reader = os.open(gateway.folder / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        with gateway:
            for _ in range(100):  # 200 lines: the pipe takes 64 KiB
                assert opened(gateway, world)
            gateway.reload([ALLOW])
            with successor(gateway) as following:
                take_over(gateway, following)
                assert opened(gateway, world)
                assert gateway.ended() == 0
                eventually(lambda: Reading(reader).complete() > 100, "lines come again")
                assert following.stop() == 0
    finally:
        os.close(reader)


class Reading:
    """All that waits in a pipe, read."""

    def __init__(self, descriptor: int) -> None:
        self.text = b""
        with contextlib.suppress(BlockingIOError):
            while data := os.read(descriptor, 1 << 16):
                self.text += data

    def complete(self) -> int:
        """Whole lines; each is JSON."""
        lines = self.text.splitlines(keepends=True)
        return len([json.loads(line) for line in lines if line.endswith(b"\n")])


# A full disk.


@contextlib.contextmanager
def disk(place: Path) -> Iterator[Path]:
    """A small file system at a folder."""
    place.mkdir()
    options = "size=256k,nr_inodes=64,mode=0700"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=False).returncode:
        pytest.skip("it takes the right to mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place: Path) -> None:
    """No byte and no file finds room there any more."""
    with contextlib.suppress(OSError), (place / "much").open("wb", buffering=0) as much:
        while True:
            much.write(bytes(4096))
    with contextlib.suppress(OSError):
        for number in range(100):
            (place / f"file-{number}").touch()


def empty(place: Path) -> None:
    for file in place.glob("file-*"):
        file.unlink()
    (place / "much").unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount")
def test_a_full_disk_refuses_what_needs_it_and_takes_nothing_away(world: World) -> None:
    """The access log and the control endpoint lie there."""
    gateway = Gateway([ALLOW], SLOW_DRAIN)
    with disk(gateway.folder / "disk") as place:
        gateway.config["logs"] = {"access": "disk/access.log"}
        gateway.config["control"]["endpoint"] = f"ipc://{place}/control/c"
        with gateway, wire.connect(gateway.port) as old:
            wire.open_socks5(old, "localhost", world.echo.port)
            fill(place)
            for _ in range(10):
                assert opened(gateway, world)
            eventually(lambda: dropped(gateway), "lines are counted")
            assert "disk/access.log does not take log lines: No space left on device" in gateway.errors()

            gateway.reload([ALLOW])  # which needs no room
            gateway.config["logs"]["access"] = "disk/other.log"
            gateway.write_config()
            done = gateway.sluice("reload")
            assert done.returncode == 1 and "other.log cannot be opened: No space left on device" in done.stderr
            gateway.config["logs"]["access"] = "disk/access.log"
            gateway.write_config()

            with successor(gateway) as following:
                assert following.ended() == 1
            eventually(lambda: log(gateway, "takeover_failed"), "the running one says so")
            assert "No space left on device" in gateway.errors() and log(gateway, "handed_over") == []
            assert generation(gateway) == 2 and wire.echoes(old) and opened(gateway, world)

            empty(place)
            with successor(gateway) as following:
                take_over(gateway, following)
                assert opened(gateway, world)
                old.close()
                assert gateway.ended() == 0
                assert following.stop() == 0
