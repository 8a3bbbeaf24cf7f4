"""The five commands of README and docs/identity.md run as they stand, on a port and towards an origin of their own."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import World
from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.run_gateway import environment
from tests.support.sluice_process import ROOT


def commands(document: str) -> list[str]:
    text = (ROOT / document).read_text(encoding="utf-8")
    block = next(block for block in text.split("```\n") if block.startswith("$ sluice pki dev"))
    return [line.removeprefix("$ ") for line in block.splitlines()]


def test_both_documents_have_the_same() -> None:
    assert commands("README.md") == commands("docs/identity.md")
    assert len(commands("README.md")) == 5


def test_the_five_commands(tmp_path: Path, world: World) -> None:
    port, admin = free_port(), free_port()
    # Of a machine without an internet: the origin is this one, and ports that others may have are not taken.
    own = f'admin: {{address: "127.0.0.1:{admin}"}}, control: {{endpoint: "ipc://{tmp_path}/c"}}'
    changes = {
        "1443": str(port),
        "https://example.com/": f"http://localhost:{world.http}/mtls",
        "example.com": "localhost",
        "curl": "curl -sSp",
        "{listeners": f"{{addresses: {{allow: [127.0.0.0/8]}}, {own}, logs: {{access: access.log}}, listeners",
    }
    found = commands("README.md")
    for old, new in changes.items():
        found = [line.replace(old, new) for line in found]
    folder = Path(sys.executable).parent
    variables = environment() | {"PATH": f"{folder}:{os.environ['PATH']}"}
    shell = ["bash", "-c"]
    for line in found[:3]:
        subprocess.run([*shell, line], cwd=tmp_path, env=variables, check=True, capture_output=True, timeout=60)
    run = re.sub(" &$", "", found[3])
    gateway = subprocess.Popen(
        [*shell, f"exec {run}"], cwd=tmp_path, env=variables, stderr=subprocess.PIPE, start_new_session=True
    )
    try:
        assert shutil.which("curl")

        def answered() -> str:
            done = subprocess.run(
                [*shell, found[4]], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
            )
            return done.stdout

        assert eventually(answered, "the origin answers through the gateway") == "served /mtls\n"
        log = tmp_path / "access.log"
        (line, *_) = eventually(lambda: re.findall(r".+\n", log.read_text()), "a line of the access log")
        assert '"identity":"shop/cart","identity_source":"certificate"' in line
    finally:
        os.killpg(gateway.pid, signal.SIGINT)
        gateway.communicate(timeout=60)
