"""docs/operating.md is true: what it types, in its order, prints what it shows. On ports and in a folder of its own."""

import os
import re
import shutil

import pytest

from tests.support.ports import free_port
from tests.support.tour import DOCUMENT, FOLDER, Shell, agrees, steps


def pair() -> int:
    """A free port whose successor is free as well: statistics are published there."""
    first = free_port()
    while (second := free_port()) != first + 1:
        first = second
    return first


@pytest.mark.full
def test_the_tour() -> None:
    ports = {port: free_port() for port in (1080, 1081, 8000, 9090, 9901)} | {9902: pair()}
    folder = f"{FOLDER}-{os.getpid()}"

    def replace(text: str) -> str:
        text = re.sub("|".join(rf"\b{port}\b" for port in ports), lambda found: str(ports[int(found[0])]), text)
        return text.replace(FOLDER, folder)

    try:
        with Shell(replace) as shell:
            for step in steps(DOCUMENT.read_text()):
                printed = shell.do(step).replace(folder, FOLDER)
                assert step.kind == "file" or agrees(step.text, printed), f"$ {step.what}\n{printed}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("generation 2 is active\n", "generation 17 is active\n", True),
        ("generation 2 is active\n", "generation 2 is refused\n", False),
        ("ID  AGE\n0-1a2b-1   2s\n", "ID AGE\n1-77ffaa-21  1m03s\n", True),
        ("a\n...\nc\n", "a\nb\nb\nc\n", True),
        ("a\n...\nc\n", "a\nb\n", False),
        ("a\nb\n", "b\na\n", True),
        ("a\n", "a\na\n", False),
        ("", "a\n", False),
        ("87  10M  open\n", "87  812  open\n", True),
    ],
)
def test_what_counts_as_the_same(expected: str, printed: str, same: bool) -> None:
    assert agrees(expected, printed) is same


def test_steps_are_found() -> None:
    text = "```yaml a.yaml\nx: 1\n```\nprose $ no\n```console\n$ one\nout\n\n$ two\n```\n```yaml\nno: file\n```\n"
    assert [tuple(step) for step in steps(text)] == [
        ("file", "a.yaml", "x: 1\n"),
        ("command", "one", "out\n\n"),
        ("command", "two", ""),
    ]
