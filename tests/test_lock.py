"""The lock of the Python packages: it pins and hashes what pyproject.toml names, and this environment is it."""

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = (ROOT / "deploy" / "requirements.txt").read_text()
PINS: Final = dict(re.findall(r"^([a-z0-9-]+)==(\S+) \\$", LOCK, re.MULTILINE))


def normal(requirement: str) -> str:
    """A requirement's name as PEP 503 writes it."""
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def part(name: str) -> str:
    """The part of the lock that the image's build takes."""
    command = [sys.executable, str(ROOT / "deploy" / "requirements.py"), "--part", name]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_each_requirement_is_pinned_in_its_part_or_an_earlier_one() -> None:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {
        "runtime": data["project"]["dependencies"],
        "otel": data["project"]["optional-dependencies"]["otel"],
        "build": data["build-system"]["requires"],
        "development": data["project"]["optional-dependencies"]["dev"],
    }
    known = ""
    for name, requirements in wanted.items():
        known += part(name)
        for requirement in requirements:
            assert f"\n{normal(requirement)}==" in f"\n{known}", (requirement, name)
    assert sorted(known.splitlines()) == sorted(line for line in LOCK.splitlines() if line and line[0] != "#")


def test_each_pin_has_hashes_and_the_lock_names_no_address() -> None:
    assert len(PINS) > 40
    packages = re.split(r"^(?=[a-z])", LOCK, flags=re.MULTILINE)[1:]
    assert len(packages) == len(PINS)
    for package in packages:
        lines = [line for line in package.rstrip().splitlines() if line and line[0] != "#"]
        assert len(lines) > 1
        assert all(re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line) for line in lines[1:]), package
    assert "://" not in LOCK and "--index" not in LOCK and "--find" not in LOCK


def test_the_environment_is_what_the_lock_says() -> None:
    found = {normal(item.metadata["Name"]): item.version for item in importlib.metadata.distributions()}
    assert {name: found.get(name) for name in PINS} == PINS
