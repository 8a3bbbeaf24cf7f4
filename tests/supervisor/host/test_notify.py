"""Notifications to a service manager (sd_notify(3)), none of which can hold the gateway up."""

import os
import socket
import tempfile
from pathlib import Path

import pytest

from supervisor.host.notify import Notifier
from tests.support.eventually import eventually
from tests.support.harness import Running


@pytest.mark.parametrize("abstract", [False, True])
def test_states_are_sent_to_the_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"sluice-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}" if abstract else name)
        notifier = Notifier()
        assert notifier.send("READY=1", "STATUS=up")
        assert manager.recv(100) == b"READY=1\nSTATUS=up"
    assert "NOTIFY_SOCKET" not in os.environ, "children would speak for the gateway"


@pytest.mark.parametrize(
    "path", ["", "/nowhere/at/all", "@no-manager-listens-here", "relative", "x" * 300, "@" + "x" * 300]
)
def test_without_a_manager_nothing_happens(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", path)
    assert Notifier().send("READY=1") is False


def test_a_manager_that_does_not_read_holds_nothing_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notifier = Notifier()
        sent = [notifier.send("STATUS=" + "x" * 1000) for _ in range(5000)]
        assert sent[0] and not sent[-1]


def test_a_gateway_says_that_it_serves_and_that_it_stops() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"{folder}/notify")
        manager.settimeout(60)
        gateway = Running()
        gateway.variables["NOTIFY_SOCKET"] = f"{folder}/notify"
        with gateway:
            assert manager.recv(200).splitlines()[0] == b"READY=1"
            eventually(lambda: gateway.events("ready"), "it serves by then")
            gateway.signal(15)
            assert manager.recv(200).splitlines()[0] == b"STOPPING=1"
            assert gateway.wait() == 0
