"""deploy/sluice.service: systemd takes the unit, and the gateway serves as it says: its command, its folder, its
limits. systemd itself does not run here; what it would do around the commands is done by the test."""

import os
import shlex
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
import yaml

from tests.support.eventually import PATIENCE
from tests.support.ports import free_port
from tests.support.run_gateway import SLUICE, environment, policy
from tests.support.sluice_process import ROOT

UNIT: Final = ROOT / "deploy/sluice.service"
COMMAND: Final = "/opt/sluice/bin/sluice"
WANTED: Final = {
    "Type": "notify",
    "ExecStart": f"{COMMAND} run -c /etc/sluice/sluice.yaml",
    "ExecReload": f"{COMMAND} reload -c /etc/sluice/sluice.yaml",
    "RuntimeDirectory": "sluice",
    "RuntimeDirectoryMode": "0700",
    "KillMode": "mixed",
    "OOMPolicy": "continue",
    "NoNewPrivileges": "yes",
    "ProtectSystem": "strict",
    "CapabilityBoundingSet": "",
    "SystemCallFilter": "@system-service",
}


def settings() -> dict[str, str]:
    """Of the [Service] section; none is set twice."""
    found: dict[str, str] = {}
    section = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and line and not line.startswith("#"):
            name, _, value = line.partition("=")
            assert name not in found, name
            found[name] = value
    return found


def test_the_unit_says_what_the_documentation_promises() -> None:
    found = settings()
    assert found | WANTED == found
    example = yaml.safe_load((ROOT / "deploy/sluice.yaml").read_text())
    assert int(found["TimeoutStopSec"]) > int(example["shutdown"]["drain"].removesuffix("s"))
    assert int(found["LimitNOFILE"]) >= 2 * 100_000
    assert {"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK"} == set(found["RestrictAddressFamilies"].split())


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    """Its own check where it is there; names of sections and the form of lines in any case."""
    text = UNIT.read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if line.startswith("[")] == ["[Unit]", "[Service]", "[Install]"]
    assert all(line.startswith("[") or line.partition("=")[1] for line in lines)
    if verify := shutil.which("systemd-analyze"):
        unit = tmp_path / "sluice.service"
        # The command and the user have to be there for the check.
        unit.write_text(
            text.replace(COMMAND, SLUICE).replace("User=sluice", "User=daemon").replace("Group=sluice", "Group=daemon")
        )
        done = subprocess.run([verify, "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")


class Service:
    """A gateway that was started as the unit says. `root`: what stands for / of its paths."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.port = free_port()
        self.runtime = root / "run/sluice"
        self.notify = root / "notify"
        self.file = root / "sluice.yaml"
        self.runtime.mkdir(mode=0o700, parents=True)
        config = {
            "listeners": [{"name": "mesh", "address": f"127.0.0.1:{self.port}"}],
            "workers": 1,
            "policy": {"paths": ["policy.yaml"]},
            "admin": {"address": f"127.0.0.1:{free_port()}"},
            "control": {"endpoint": f"ipc://{self.runtime}/control"} if os.geteuid() == 0 else {},
        }
        self.file.write_text(yaml.safe_dump(config))
        (root / "policy.yaml").write_text(yaml.safe_dump(policy("none", [{"host": "a.test"}])))
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(self.notify))
        self.manager.settimeout(2 * PATIENCE)

    def command(self, name: str) -> list[str]:
        """A command of the unit, with what is here in place of its paths; root gives up what the unit takes from it."""
        line = settings()[name].replace(COMMAND, SLUICE).replace("/etc/sluice/sluice.yaml", str(self.file))
        bare = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"] if os.geteuid() == 0 else []
        return [*bare, *shlex.split(line)]

    def variables(self) -> dict[str, str]:
        """The environment that systemd gives to a service, and nothing of a session."""
        found = {name: value for name, value in environment().items() if not name.startswith(("XDG_", "NOTIFY_"))}
        return found | {"RUNTIME_DIRECTORY": str(self.runtime), "NOTIFY_SOCKET": str(self.notify)}

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name), env=self.variables(), capture_output=True, text=True, timeout=2 * PATIENCE, check=False
        )


@pytest.fixture
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("s"))
    yield made
    made.manager.close()


def test_the_gateway_serves_as_the_unit_starts_it(service: Service) -> None:
    with (service.root / "journal").open("wb") as journal:
        process = subprocess.Popen(
            service.command("ExecStart"), env=service.variables(), stdin=subprocess.DEVNULL, stdout=journal,
            stderr=journal, start_new_session=True,
        )  # fmt: skip
    try:
        assert service.manager.recv(200).splitlines()[0] == b"READY=1", (service.root / "journal").read_text()
        with socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE):
            pass
        assert (service.runtime / "control").is_socket()
        done = service.run("ExecReload")
        assert (done.returncode, done.stdout) == (0, "generation 2 is active\n"), done.stderr
        (service.root / "policy.yaml").write_text("kind: [\n")
        done = service.run("ExecReload")
        assert done.returncode == 1 and "policy.yaml:2:1" in done.stderr
        process.send_signal(signal.SIGTERM)
        assert service.manager.recv(200).splitlines()[0] == b"STOPPING=1"
        assert process.wait(PATIENCE) == 0
        assert list(service.runtime.iterdir()) == []
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(PATIENCE)


def test_a_wrong_configuration_fails_the_start(service: Service) -> None:
    """READY=1 never comes, and the status is not that of a missing file, which is not tried again."""
    service.file.write_text("workerz: 1\n")
    done = service.run("ExecStart")
    assert done.returncode == 1 and "unknown key `workerz`" in done.stderr
    service.file.unlink()
    done = service.run("ExecStart")
    assert done.returncode == int(settings()["RestartPreventExitStatus"])
    service.manager.setblocking(False)
    with pytest.raises(BlockingIOError):
        service.manager.recv(200)
