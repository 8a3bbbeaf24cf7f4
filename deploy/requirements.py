"""Pins Python packages: versions and hashes of the files that pip may take, with what they require.

    python deploy/requirements.py                   the lock of pyproject.toml, deploy/requirements.txt, on stdout
    python deploy/requirements.py --part runtime    one part of that lock: runtime, otel, build or development
    python deploy/requirements.py NAME...           requirements by name, as pip reads them

pip itself says what an installation into an empty environment would take (`pip install --dry-run --report`): once for
the versions, by the oldest Python that is supported, and once per Python and processor for the files.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
LOCK: Final = ROOT / "deploy" / "requirements.txt"
OLDEST: Final = (3, 11)
PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
PROCESSORS: Final = ("x86_64", "aarch64")
GLIBC: Final = (36, 35, 34, 31, 28, 27, 26, 24, 17, 12, 5)  # minor versions, down from Debian 12's
PARTS: Final = ("runtime", "otel", "build", "development")
HEADER: Final = f"""\
# By `make requirements`: every Python package of the gateway, its build and its tests, as pip --require-hashes wants
# them. Files for CPython {PYTHONS[0]} to {PYTHONS[-1]} with glibc on {" and ".join(PROCESSORS)}.
# Each package stands in the first part that needs it.
"""


def project() -> dict[str, list[str]]:
    """Requirements named in pyproject.toml, by part."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return {
        "runtime": data["project"]["dependencies"],
        "otel": data["project"]["optional-dependencies"]["otel"],
        "build": [*data["build-system"]["requires"], "wheel"],
        "development": data["project"]["optional-dependencies"]["dev"],
    }


def report(names: Iterable[str], *options: str) -> list[dict[str, Any]]:
    """Packages that pip would install for `names`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary"]
    command += [":all:", "--report", "-", *options, *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    answer: list[dict[str, Any]] = json.loads(done.stdout)["install"]
    return answer


def pinned(answer: Iterable[dict[str, Any]]) -> list[str]:
    """`name==version` of each package, sorted."""
    return sorted(f"{normal(item['metadata']['name'])}=={item['metadata']['version']}" for item in answer)


def normal(name: str) -> str:
    """PEP 503."""
    return re.sub(r"[-_.]+", "-", name).lower()


def hashes(pins: Sequence[str]) -> dict[str, set[str]]:
    """SHA-256 of each pin's files, over all Pythons and processors."""
    found: dict[str, set[str]] = {pin: set() for pin in pins}
    for processor in PROCESSORS:
        platforms = [f"--platform=manylinux_2_{minor}_{processor}" for minor in GLIBC]
        platforms += [f"--platform=manylinux2014_{processor}", f"--platform=linux_{processor}"]
        if processor == "x86_64":
            platforms += ["--platform=manylinux2010_x86_64", "--platform=manylinux1_x86_64"]
        for python in PYTHONS:
            answer = report(pins, "--no-deps", f"--python-version={python}", "--target=/nonexistent", *platforms)
            for item in answer:
                found[pinned([item])[0]].add(item["download_info"]["archive_info"]["hashes"]["sha256"])
    return found


def lines(pins: Iterable[str], digests: dict[str, set[str]]) -> str:
    """The pins as pip reads them."""
    return "".join(
        " \\\n".join([pin, *(f"    --hash=sha256:{digest}" for digest in sorted(digests[pin]))]) + "\n" for pin in pins
    )


def lock(constraints: IO[str]) -> str:
    """The lock's text; `constraints` is an empty file.

    The parts are resolved together, so that one version of each package fits them all.
    """
    wanted = project()
    together = pinned(report(name for names in wanted.values() for name in names))
    digests = hashes(together)
    text, known = HEADER, set[str]()
    constraints.write("\n".join(together))
    constraints.flush()
    for part in PARTS:
        pins = pinned(report(wanted[part], f"--constraint={constraints.name}"))
        text += f"\n# {part}\n" + lines([pin for pin in pins if pin not in known], digests)
        known.update(pins)
    return text


def part_of(text: str, part: str) -> str:
    """The lines of one part of a lock."""
    found = re.search(rf"^# {part}\n((?:[^#\n].*\n)+)", text, re.MULTILINE)
    if found is None:
        raise SystemExit(f"{LOCK}: expected a part `# {part}`, found none; parts are {', '.join(PARTS)}")
    return found[1]


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--part"] and len(arguments) == 2:
        sys.stdout.write(part_of(LOCK.read_text(), arguments[1]))
        return 0
    if sys.version_info[:2] != OLDEST:
        raise SystemExit(f"expected Python {OLDEST[0]}.{OLDEST[1]}, the oldest one supported, found {sys.version}")
    if arguments:
        pins = pinned(report(arguments))
        sys.stdout.write(lines(pins, hashes(pins)))
    else:
        with tempfile.NamedTemporaryFile("w") as constraints:
            sys.stdout.write(lock(constraints))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
