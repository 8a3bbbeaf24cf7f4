"""systemd itself, where the machine has it: it keeps the listening sockets by deploy/'s units and by its own
tool, and restarts and crashes refuse no connection. Paths, user and sandbox of the units are the test's."""

import os
import shutil
import signal
from collections.abc import Iterator
from typing import Final

import pytest

from tests.e2e.conftest import World
from tests.e2e.operation.test_listeners import carries
from tests.e2e.operation.test_service import COMMAND, settings
from tests.e2e.operation.test_takeover import SLOW_DRAIN, Stream, log
from tests.support import wire
from tests.support.eventually import eventually
from tests.support.run_gateway import SLUICE, Gateway, environment, policy
from tests.support.sluice_process import ROOT
from tests.support.systemd import Systemd, missing

ALLOW = policy("allow", [{"host": "localhost"}])
ACTIVATE: Final = "systemd-socket-activate"
PASSED: Final = ("PYTHONPATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "LD_PRELOAD", "PYTHONMALLOC")
KEPT: Final = (
    "Type", "NotifyAccess", "ExecStart", "ExecReload", "TimeoutStartSec", "KillMode", "TimeoutStopSec", "Restart",
    "RestartSec", "FileDescriptorStoreMax", "Environment", "RestartPreventExitStatus",
)  # fmt: skip
SERVICE: Final = "sluice.service"
SOCKET: Final = "sluice.socket"


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    """Its files; not started."""
    made = Gateway([ALLOW], SLOW_DRAIN)
    made.write_config()
    yield made
    made.__exit__()


def service(gateway: Gateway) -> str:
    """deploy/sluice.service for the files of the test."""
    lines = [f"{name}={settings()[name]}" for name in KEPT]
    lines += [f"Environment={name}={value}" for name, value in environment().items() if name in PASSED]
    lines += [f"StandardError=append:{gateway.folder}/err.log", f"WorkingDirectory={gateway.folder}"]
    text = "[Service]\n" + "\n".join(lines) + "\n"
    return text.replace(COMMAND, SLUICE).replace("/etc/sluice/sluice.yaml", str(gateway.config_file))


@pytest.fixture
def systemd(gateway: Gateway) -> Iterator[Systemd]:
    if why := missing():
        pytest.skip(why)
    made = Systemd()
    made.add(SERVICE, service(gateway))
    made.add(SOCKET, (ROOT / "deploy" / SOCKET).read_text().replace("127.0.0.1:1080", f"127.0.0.1:{gateway.port}"))
    with made:
        yield made


def restarted(systemd: Systemd, gateway: Gateway, world: World) -> None:
    """A restart under new tunnels: none is refused or fails."""
    with Stream(gateway, world) as stream:
        eventually(lambda: stream.count > 20, "new tunnels open")
        assert systemd.control("restart", SERVICE) == 0, gateway.errors()
        stream.count = 0
        eventually(lambda: stream.count > 20, "new tunnels open")
        stream.__exit__()
        assert stream.wrong == [], gateway.errors()


def test_systemd_keeps_sockets_over_a_restart_and_a_crash(world: World, gateway: Gateway, systemd: Systemd) -> None:
    assert systemd.control("start", SERVICE) == 0, gateway.errors()
    assert systemd.shown(SERVICE, "NFileDescriptorStore") == "2"
    restarted(systemd, gateway, world)
    assert systemd.control("reload", SERVICE) == 0, gateway.errors()

    ended = int(systemd.shown(SERVICE, "MainPID"))
    os.kill(ended, signal.SIGKILL)
    eventually(lambda: systemd.shown(SERVICE, "MainPID") not in ("", str(ended)), "systemd has seen its end")
    for client in [wire.connect(gateway.port) for _ in range(10)]:
        with client:
            wire.open_socks5(client, "localhost", world.echo.port)
            assert wire.echoes(client)
    assert systemd.control("stop", SERVICE) == 0
    assert not carries(gateway, world, gateway.port), "a stopped service keeps nothing"


def test_sockets_that_systemd_opened(world: World, gateway: Gateway, systemd: Systemd) -> None:
    assert systemd.control("start", SOCKET) == 0
    with wire.connect(gateway.port) as first:  # which starts the service
        wire.open_socks5(first, "localhost", world.echo.port)
        assert wire.echoes(first)
    restarted(systemd, gateway, world)
    assert systemd.control("stop", SERVICE) == 0
    with wire.connect(gateway.port) as first:
        wire.open_socks5(first, "localhost", world.echo.port)
        assert wire.echoes(first)


@pytest.mark.skipif(shutil.which(ACTIVATE) is None, reason="systemd is not installed")
def test_the_tool_that_passes_sockets(world: World, gateway: Gateway) -> None:
    """It waits for the first client and becomes the gateway."""
    variables = [word for name in environment() if name in PASSED for word in ("-E", name)]
    prefix = (ACTIVATE, "-l", f"127.0.0.1:{gateway.port}", *variables)
    with gateway.another(prefix=prefix) as one:
        eventually(lambda: "Listening on" in one.errors(), "it listens")
        with wire.connect(one.port) as first:
            wire.open_socks5(first, "localhost", world.echo.port)
            assert wire.echoes(first)
        ready = eventually(lambda: log(one, "ready"), "it says so")
        assert ready[0]["pid"] == one.pid
        assert one.stop() == 0
