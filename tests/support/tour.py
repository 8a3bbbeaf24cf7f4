"""Walks through docs/operating.md: writes its files, types its commands into one shell, and holds what they print
against what is printed there.

    python -m tests.support.tour        renews the printed lines of docs/operating.md, where they have changed

A fenced block ```console is typed: lines from `$ ` on, up to the next of these is what is printed. ```yaml NAME and
```python NAME are files. Numbers, ids, the width of columns and the order of lines may differ; a line `...` stands for
any lines.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple, Self

from tests.support.run_gateway import environment
from tests.support.sluice_process import ROOT

DOCUMENT: Final = ROOT / "docs/operating.md"
FOLDER: Final = "/tmp/sluice-tour"
PATIENCE: Final = 120.0
FENCE: Final = re.compile(r"^```(\w+) ?([\w.]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
END: Final = "-- the command has ended --"


class Step(NamedTuple):
    """A command and what it prints, or a file and its text."""

    kind: str
    what: str
    text: str


def steps(document: str) -> Iterator[Step]:
    """In the order in which a reader meets them."""
    for fence in FENCE.finditer(document):
        kind, name, text = fence.groups()
        if kind == "console":
            for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
                command, _, printed = part.partition("\n")
                yield Step("command", command, printed)
        elif name:
            yield Step("file", name, text)


class Shell:
    """One shell for the whole tour. `replace` changes what is typed: ports, folders of its own. `folder`: of files."""

    def __init__(self, replace: Callable[[str], str] = lambda text: text, folder: str = FOLDER) -> None:
        self.replace = replace
        self.folder = Path(replace(folder))

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"], cwd=ROOT, env=environment(), text=True, start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)  # what the tour left behind if it went wrong
        self.process.communicate()

    def do(self, step: Step) -> str:
        """Takes one step; what a command printed."""
        text = self.replace(step.text)
        if step.kind == "file":
            (self.folder / step.what).write_text(text)
            return ""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(f"{self.replace(step.what)}\necho; echo '{END}'\n")
        self.process.stdin.flush()
        printed = ""
        while (line := self.process.stdout.readline()).rstrip("\n") != END:
            assert line, f"the shell ended at: {step.what}\n{printed}"
            printed += line
        return printed.rstrip("\n") + "\n" if printed.strip() else ""


def form(line: str) -> str:
    """A line without what is different each time."""
    line = re.sub(r"\b\d+-[0-9a-f]+-\d+\b", "ID", line)
    line = re.sub(r"\d+(\.\d+)?", "0", line)
    line = re.sub(r"\b0[KMG]\b", "0", line)
    line = re.sub(r"\b(0[dhms])+\b", "0s", line)
    return " ".join(line.split())


def agrees(expected: str, printed: str) -> bool:
    """Whether the document says what was printed; the order of lines may be another, as several workers write."""
    wanted, found = [form(line) for line in expected.splitlines()], [form(line) for line in printed.splitlines()]
    pattern = "".join(r"(?:.*\n)*?" if line == "..." else re.escape(line) + r"\n" for line in wanted)
    return sorted(wanted) == sorted(found) or re.fullmatch(pattern, "".join(f"{line}\n" for line in found)) is not None


def main() -> int:
    """Renews the document."""
    document, at = DOCUMENT.read_text(), 0
    with Shell() as shell:
        for step in steps(document):
            printed = shell.do(step)
            if step.kind != "command":
                continue
            at = document.index(f"$ {step.what}\n{step.text}", at) + len(f"$ {step.what}\n")
            if not agrees(step.text, printed):
                print(f"$ {step.what}\n{printed}", end="", flush=True)
                document = document[:at] + printed + document[at + len(step.text) :]
    DOCUMENT.write_text(document)
    return 0


if __name__ == "__main__":
    sys.exit(main())
