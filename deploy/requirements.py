"""Pins Python packages for the image: versions and hashes of every file that pip would take, with what they require.

    python deploy/requirements.py NAME...           requirements as pip reads them, on stdout
    python deploy/requirements.py --project EXTRA   those of pyproject.toml: `runtime` or `build`

It asks pip itself what an installation into an empty environment would take (`pip install --dry-run --report`).
"""

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[1]
HEADER: Final = "# By `make requirements`: files for CPython 3.11 on x86-64, as pip --require-hashes wants them.\n"


def project(which: str) -> list[str]:
    """Requirements named in pyproject.toml."""
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[str] = {"runtime": data["project"]["dependencies"], "build": data["build-system"]["requires"]}[which]
    return [*found, "wheel"] if which == "build" else found


def report(names: list[str]) -> dict[str, Any]:
    """What pip would install for `names`."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--only-binary"]
    command += [":all:", "--report", "-", *names]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def pins(answer: dict[str, Any]) -> list[str]:
    """One line a package, sorted by name."""
    lines = []
    for item in answer["install"]:
        name, version = item["metadata"]["name"].lower().replace("_", "-"), item["metadata"]["version"]
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.append(f"{name}=={version} \\\n    --hash=sha256:{digest}\n")
    return sorted(lines)


def main(arguments: list[str]) -> int:
    if not arguments:
        raise SystemExit(__doc__)
    names = project(arguments[1]) if arguments[0] == "--project" else arguments
    sys.stdout.write(HEADER + "".join(pins(report(names))))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
