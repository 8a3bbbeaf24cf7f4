"""The worked example of docs/credentials.md, run from its own text: files, commands and what they print."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml

from tests.support.certificates import Authority
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway
from tests.support.secure_origin import SecureOrigin
from tests.support.tokens import SigningKey, claims, write_keys

PAGE: Final = Path(__file__).resolve().parents[3] / "docs/credentials.md"
VALUE: Final = "tk_live_7fQ2mZ9xW4"
KEY: Final = SigningKey("ec", "ES256")


class Command(NamedTuple):
    line: str
    output: list[str]


def example() -> tuple[list[str], list[Command]]:
    """The YAML blocks of the section, and its commands with the lines that stand below each."""
    section = PAGE.read_text(encoding="utf-8").partition("\n## An agent without keys\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    commands: list[Command] = []
    for line in "".join(text for kind, text in blocks if kind == "console").splitlines():
        if line.startswith("$ "):
            commands.append(Command(line[2:], []))
        else:
            commands[-1].output.append(line)
    return [text for kind, text in blocks if kind == "yaml"], commands


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, SecureOrigin]]:
    """The example with a name server, an origin and a CA of this machine: nothing else is changed in it."""
    folder = tmp_path_factory.mktemp("ca")
    authority = Authority(folder)
    (sluice, policy), _ = example()
    rules = yaml.safe_load(policy)
    with NameServer({"api.example.com": ["127.0.0.1"]}) as names, SecureOrigin(authority, "api.example.com") as origin:
        assert rules["spec"]["tls"] == {"originate": True}
        rules["spec"]["tls"] |= {"port": origin.port, "ca": str(authority.path)}
        gateway = Gateway([rules], {**yaml.safe_load(sluice), "dns": {"servers": [names.address]}})
        (listener,) = gateway.config["listeners"]
        listener["address"] = listener["address"].replace("1080", str(gateway.port))
        write_keys(gateway.folder / "jwks.json", KEY)
        token = KEY.token(claims(iss="https://ci.example.com", team="agents", job="reader"))
        (gateway.folder / "agent.jwt").write_text(token)
        (gateway.folder / "tickets.token").write_text(VALUE + "\n")
        with gateway:
            yield gateway, origin


def test_each_command_prints_what_the_page_says(running: tuple[Gateway, SecureOrigin]) -> None:
    gateway, origin = running
    _, commands = example()
    assert len(commands) >= 9
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    defined = ""
    for command in commands:
        line = command.line.replace("127.0.0.1:1080", f"127.0.0.1:{gateway.port}")
        if re.match(r"\w+\(\)", line):
            defined += line + "\n"
            continue
        done = subprocess.run(
            ["bash", "-c", defined + line],
            cwd=gateway.folder,
            env={**os.environ, "PATH": path},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        printed = iter(done.stdout.splitlines())
        for wanted in command.output:
            assert any(wanted in each for each in printed), (command, done.stdout, done.stderr)
    (seen,) = origin.requests
    assert (seen.method, seen.target) == ("GET", "/v1/tickets/7")
    assert seen.values("authorization") == [f"Bearer {VALUE}"]
    identities = {line["source"]["identity"] for line in gateway.events(event="request")}
    assert identities == {"agents/reader"}
    assert VALUE not in (gateway.folder / "access.log").read_text() + gateway.errors()
