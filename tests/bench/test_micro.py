"""The small measures run, and refuse to time something that answers wrongly."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from bench.micro import policy

ROOT: Final = Path(__file__).resolve().parents[2]


def run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_policy(tmp_path: Path) -> None:
    run("bench.micro.policy", "--names", "5000", "--keep", str(tmp_path))
    (file,) = tmp_path.iterdir()
    figures = json.loads(file.read_text())
    assert figures["names"] == 5000
    assert all(figures[name] > 0 for name in ("build_seconds", "check_seconds", "bytes_a_name", "lookup_by_dict_get"))


def test_questions_are_distinct_and_half_of_them_misses() -> None:
    names, others = policy.draw(200_000)
    questions, hits = policy.ask(names, others)
    assert len(set(questions)) == len(questions) == policy.LOOKUPS
    assert hits == len(set(questions) & set(names)) == policy.LOOKUPS // 2
    assert questions != sorted(questions)


def test_a_wrong_answer_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy, "ask", lambda names, others: (others[:10], 10))
    with pytest.raises(SystemExit, match="0 of 10 names are allowed"):
        policy.measure(100)


def test_codecs() -> None:
    out = run("bench.micro.codecs", "--requests", "50")
    assert [line.partition("  ")[0] for line in out.splitlines()] == [
        "SOCKS5, a name", "SOCKS5, an address", "SOCKS4a", "CONNECT, curl's",
    ]  # fmt: skip


def test_turn() -> None:
    out = run("bench.micro.turn", "--seconds", "0.1")
    assert [int(line.split()[0]) for line in out.splitlines()[1:]] == [1, 8, 64, 512]


def test_paths(tmp_path: Path) -> None:
    arguments = ("--counts", "50", "--expressions", "20", "--keep", str(tmp_path))
    assert run("bench.micro.paths", *arguments).count("lookup_ns") == 2
