"""Mistakes in files: each command that reads them names file, line and column, what was expected, and ends with 1."""

from pathlib import Path
from typing import Final

import pytest

from tests.support.run_gateway import sluice
from tests.support.sluice_process import ROOT

GOOD: Final = """\
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: web}
spec:
  to:
    - {host: api.example.com, ports: [443]}
  action: Allow
"""

# what: (sluice.yaml, policy.yaml, the place and the words that the answer must hold)
MISTAKES: Final = {
    "unknown key": ("workerz: 2\n", GOOD, ["sluice.yaml:1:1", "workerz", "workers"]),
    "unknown key inside": ("limits:\n  tunels: 3\n", GOOD, ["sluice.yaml:2:3", "tunels", "tunnels"]),
    "wrong type": ("workers: many\n", GOOD, ["sluice.yaml:1:10", "workers"]),
    "wrong duration": ("dns: {timeout: 5 parsecs}\n", GOOD, ["sluice.yaml:1:16", "timeout"]),
    "not YAML": ("listeners: [\n", GOOD, ["sluice.yaml:2:1", "opened at 1:12"]),
    "a list where a mapping belongs": ("- a\n", GOOD, ["sluice.yaml:1:1"]),
    "duplicate key": ("workers: 1\nworkers: 2\n", GOOD, ["sluice.yaml:2:1", "workers"]),
    "bad address": ("listeners: [{name: a, address: 'localhost:1080'}]\n", GOOD, ["sluice.yaml:1:32", "address"]),
    "bad protocol": (
        "listeners:\n  - {name: a, address: '127.0.0.1:1', protocol: socks6}\n", GOOD, ["sluice.yaml:2:49", "socks5"],
    ),
    "missing policy": ("policy: {paths: [nowhere.yaml]}\n", GOOD, ["sluice.yaml:1:18", "nowhere.yaml"]),
    "missing users": ("identity: {users: missing.yaml}\n", GOOD, ["missing.yaml"]),
    "policy: not YAML": ("", "kind: {\n", ["policy.yaml:2:1"]),
    "policy: unknown key": ("", GOOD.replace("  to:", "  too:"), ["policy.yaml:5:3", "too", "to"]),
    "policy: unknown kind": (
        "", GOOD.replace("ClusterEgressPolicy", "EgresPolicy"), ["policy.yaml:2:7", "EgressPolicy"],
    ),
    "policy: bad action": ("", GOOD.replace("Allow", "Alow"), ["policy.yaml:7:11", "Allow"]),
    "policy: bad port": ("", GOOD.replace("443", "70000"), ["policy.yaml:6:39", "70000"]),
    "policy: bad host": ("", GOOD.replace("api.example.com", "'*api.example.com'"), ["policy.yaml:6:14"]),
    "policy: an address as host": ("", GOOD.replace("api.example.com", "192.0.2.1"), ["policy.yaml:6:14", "cidr"]),
    "policy: bad CIDR": (
        "", GOOD.replace("host: api.example.com", "cidr: 10.0.0.1/8"), ["policy.yaml:6:14", "10.0.0.0/8"],
    ),
    "policy: the same rule twice": ("", f"{GOOD}---\n{GOOD}", ["policy.yaml:9:1", "web"]),
    "policy: missing list": (
        "", GOOD.replace("host: api.example.com", "hostsFrom: list.txt"), ["policy.yaml:6:19", "list.txt"],
    ),
    "policy: hard in a namespace": (
        "",
        GOOD.replace("ClusterEgressPolicy", "EgressPolicy").replace("{name: web}", "{name: web, namespace: a}")
        .replace("action: Allow", "action: Deny\n  hard: true"),
        ["policy.yaml:8:", "hard"],
    ),
}  # fmt: skip


def write(folder: Path, config: str, policy: str) -> Path:
    """Writes both files; sluice.yaml ends by naming the policy, unless it is not a mapping or names one itself."""
    file = folder / "sluice.yaml"
    complete = "policy:" in config or config.startswith("-")
    file.write_text(config if complete else f"{config}policy: {{paths: [policy.yaml]}}\n")
    (folder / "policy.yaml").write_text(policy)
    return file


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(("config", "policy", "expected"), MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_named_with_its_place(
    tmp_path: Path, command: str, config: str, policy: str, expected: list[str]
) -> None:
    file = write(tmp_path, config, policy)
    done = sluice(command, "-c", str(file), cwd=tmp_path)
    text = done.stdout + done.stderr
    assert done.returncode == 1, text
    assert "Traceback" not in text
    for words in expected:
        assert words in text


@pytest.mark.parametrize("command", ["check", "run", "explain"])
def test_no_configuration_at_all(tmp_path: Path, command: str) -> None:
    more = ["--to", "a.test:1"] if command == "explain" else []
    done = sluice(command, *more, "-c", str(tmp_path / "absent.yaml"), cwd=tmp_path)
    assert done.returncode == 2
    assert "absent.yaml" in done.stdout + done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["walk"], ["run", "--wings"], ["explain"], ["explain", "--to", "nonsense"]])
def test_bad_arguments(tmp_path: Path, arguments: list[str]) -> None:
    write(tmp_path, "", GOOD)
    done = sluice(*arguments, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "check", "explain", "reload", "drain", "stats", "tunnels", "user"])
def test_every_command_teaches(command: str) -> None:
    done = sluice(command, "--help")
    assert done.returncode == 0
    assert f"sluice {command}" in done.stdout


@pytest.mark.parametrize("command", ["reload", "drain", "stats", "tunnels"])
def test_commands_for_a_gateway_that_is_not_there(tmp_path: Path, command: str) -> None:
    file = write(tmp_path, f"control: {{endpoint: 'ipc://{tmp_path}/c'}}\n", GOOD)
    done = sluice(command, "-c", str(file), cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr and done.stderr.strip()


def test_a_list_of_a_million_lines_with_one_bad_one(tmp_path: Path) -> None:
    file = write(tmp_path, "", GOOD.replace("host: api.example.com", "hostsFrom: list.txt"))
    lines = [f"host-{number}.example.com" for number in range(1_000_000)]
    lines[654_320] = "spaces are not a name"
    (tmp_path / "list.txt").write_text("\n".join(lines) + "\n")
    done = sluice("check", "-c", str(file), cwd=tmp_path)
    text = done.stdout + done.stderr
    assert done.returncode == 1
    assert "list.txt:654321" in text
    assert "spaces are" not in text, "a list may be a secret: its lines are not repeated"
    assert text.count("list.txt:") <= 3


def test_the_commented_example_is_valid(tmp_path: Path) -> None:
    example = (ROOT / "deploy/sluice.yaml").read_text()
    (tmp_path / "sluice.yaml").write_text(example)
    for name, text in {"policy.yaml": GOOD, "users.yaml": "users: []\n"}.items():
        (tmp_path / name).write_text(text)
    done = sluice("check", "-c", str(tmp_path / "sluice.yaml"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_empty_file_is_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "sluice.yaml").write_text("")
    done = sluice("check", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
