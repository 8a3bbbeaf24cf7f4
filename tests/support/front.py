"""Files for the tests of configuration and policy: written, read, and what was wrong told without the folder."""

import os
import socket
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from supervisor.cli import common, main
from supervisor.config.config import Config
from supervisor.config.reader import load_config
from supervisor.generation.compilation import CompileResult, Report, compile_blocking, receive_result, send_result
from supervisor.generation.compile import compile_all, compile_config
from supervisor.source.problems import Problems, render

CONFIG = "policy: {paths: [policy.yaml]}\n"
POLICY = """\
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: web}
spec:
  to:
    - {host: api.example.com, ports: [443]}
  action: Allow
"""
ALLOW = "action: Allow\n"  # lines of a spec
DENY = "action: Deny\n"
OK_TO = "to: [{host: a.test}]\n"
HASH = "scrypt$1024$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def write(folder: Path, **files: str) -> Path:
    """Writes `sluice_yaml="..."` as sluice.yaml, and so on; answers the folder's sluice.yaml."""
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text)
    return folder / "sluice.yaml"


def entered(folder: Path, monkeypatch: pytest.MonkeyPatch, **files: str) -> Path:
    """The folder with these files, as the working directory, and no configuration of this machine beside it."""
    write(folder, **files)
    monkeypatch.chdir(folder)
    monkeypatch.setattr("supervisor.config.config.DEFAULT_PATHS", ("sluice.yaml", str(folder / "etc/sluice.yaml")))
    return folder


def read(folder: Path, text: str) -> Config:
    """The configuration that a sluice.yaml of this text gives."""
    return load_config(str(write(folder, sluice_yaml=text)))


def complaints(folder: Path, text: str) -> list[str]:
    """The errors of a sluice.yaml of this text."""
    try:
        read(folder, text)
    except Problems as problems:
        return without(folder, render(problems.errors, problems.errors_left_out))
    return []


def compiled(folder: Path) -> tuple[Report, int | None]:
    """The report on the folder's sluice.yaml, compiled in this process."""
    return compile_config(str(folder / "sluice.yaml"))


def errors(folder: Path, result: Report | CompileResult) -> list[str]:
    """The errors of a compilation, as lines."""
    return without(folder, render(result.problems, result.problems_left_out))


def warnings(folder: Path, result: Report | CompileResult) -> list[str]:
    """The warnings of a compilation, as lines."""
    return without(folder, render(result.warnings, result.warnings_left_out))


def without(folder: Path, lines: Iterable[str]) -> list[str]:
    """Lines with the folder's path taken out."""
    return [line.replace(f"{folder}/", "") for line in lines]


def compile_here(
    path: str, manifests: Sequence[str] = (), statuses: bool = False, as_cluster: bool = False
) -> CompileResult:
    """As compile_blocking, which starts a process for it."""
    compiled = compile_all(path, manifests=manifests, statuses=statuses, as_cluster=as_cluster)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        sender = threading.Thread(target=send_result, args=(theirs, *compiled))
        sender.start()
        try:
            return receive_result(ours)
        finally:
            sender.join()
            for descriptor in compiled[1:]:
                if descriptor is not None:
                    os.close(descriptor)


def sluice(*arguments: str, given: str = "") -> Result:
    """The command in this process, with `given` on its standard input."""
    with pytest.MonkeyPatch.context() as patch:
        if vars(common)["compile_blocking"] is compile_blocking:  # else a test has its own
            patch.setattr(common, "compile_blocking", compile_here)
        return CliRunner().invoke(main, arguments, input=given, prog_name="sluice", catch_exceptions=False)


def manifest(spec: str, name: str = "p", namespace: str = "", kind: str = "") -> str:
    """A manifest whose `spec` stands in line 4, indented by two."""
    space = f", namespace: {namespace}" if namespace else ""
    kind = kind or ("EgressPolicy" if namespace else "ClusterEgressPolicy")
    return f"apiVersion: sluice.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}{space}}}\nspec:\n" + "".join(
        f"  {line}\n" for line in spec.splitlines()
    )
