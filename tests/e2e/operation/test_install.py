"""docs/installation.md, walked through: a wheel is built from a clean tree, and installed into its own environment."""

import os
import re
import shlex
import signal
import subprocess
import zipfile
from pathlib import Path
from typing import Final

import pytest

from tests.support.eventually import PATIENCE, eventually
from tests.support.ports import free_port
from tests.support.sluice_process import ROOT

PAGE: Final = ROOT / "docs/installation.md"
POLICY: Final = """\
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: web}
spec: {to: [{host: a.test}], action: Allow}
"""


def block(name: str) -> list[str]:
    """The commands of a block, and below each what it prints, as (command, output) joined by lines."""
    found = re.search(rf"^```console {name}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert found, name
    return found[1].splitlines()


class Place:
    """A folder that stands for / of the documentation's paths; `tree` is the clean source."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        self.opt = folder / "opt/sluice"
        # Nothing of the tests' own environment may help.
        self.variables = {
            name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SLUICE", "VIRTUAL"))
        }
        subprocess.run([str(ROOT / "deploy/copy_tree.sh"), str(self.tree)], cwd=ROOT, check=True)

    def walk(self, name: str) -> None:
        """Runs each command of a block, and compares what is shown below it."""
        lines = block(name)
        for at, line in enumerate(lines):
            if not line.startswith("$ "):
                continue
            done = self.run(line.removeprefix("$ ").replace("/opt/sluice", shlex.quote(str(self.opt))))
            shown = [text for text in lines[at + 1 : at + 2] if not text.startswith("$ ")]
            assert all(text in done.stdout.splitlines() for text in shown), done.stdout

    def run(self, line: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            line, shell=True, cwd=cwd or self.tree, env=self.variables, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=1200, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done


@pytest.mark.full
@pytest.mark.timeout(2400)
def test_a_wheel_is_built_and_installed_as_documented(tmp_path: Path) -> None:
    place = Place(tmp_path)
    place.walk("wheel")
    [wheel] = (place.tree / "wheels").glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    folders = {name.split("/")[0] for name in names}
    assert folders == {
        "gateway",
        "supervisor",
        "sluice-0.1.0.data",
        "sluice-0.1.0.dist-info",
    }
    assert "supervisor/sample/policy.yaml" in names and any(name.endswith("/scripts/sluice") for name in names)
    assert not any(name.startswith(("gateway/tests", "tests")) or name.endswith((".c", ".pyx")) for name in names)
    place.walk("target")

    (tmp_path / "etc").mkdir()
    port = free_port()
    (tmp_path / "etc/sluice.yaml").write_text(
        f"listeners: [{{address: '127.0.0.1:{port}'}}]\nadmin: {{address: '127.0.0.1:{free_port()}'}}\n"
        f"policy: {{paths: [policy.yaml]}}\ncontrol: {{endpoint: 'ipc://{tmp_path}/run/control'}}\n"
    )
    (tmp_path / "etc/policy.yaml").write_text(POLICY)
    command = place.opt / "bin/sluice"
    assert ": sound (1 file, 1 resource, 1 rule, 1 name)" in place.run(f"{command} check", tmp_path / "etc").stdout
    assert "ALLOW" in place.run(f"{command} explain --to a.test:443", tmp_path / "etc").stdout
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [command, "run"], cwd=tmp_path / "etc", env=place.variables, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        eventually(lambda: '"event":"ready"' in (tmp_path / "log").read_text(), "the gateway serves")
        assert "generation 1" in place.run(f"{command} stats", tmp_path / "etc").stdout
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE)
    assert process.returncode == 0


def test_every_step_is_one_that_the_documentation_has() -> None:
    """The installation from source differs from the wheel's in its one line alone."""
    assert block("install")[1] == "$ /opt/sluice/bin/pip install ."
    assert block("install")[0] == block("target")[0] and block("install")[2:] == block("target")[2:]
    assert (ROOT / "deploy/sluice.service").exists() and (ROOT / "deploy/sluice.yaml").exists()
