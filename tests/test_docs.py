"""The documents say what the tree has: their paths exist, and their tables hold every room and every outcome."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from gateway.tables import OUTCOMES
from tests.test_imports import ROOMS

ROOT: Final = Path(__file__).resolve().parents[1]
# The changelog speaks of the past.
DOCUMENTS: Final = sorted({*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")} - {ROOT / "CHANGELOG.md"})
# Files of the tree, as texts name them; patterns and files that a user makes are left out.
TOPS: Final = "csrc|gateway|supervisor|tests|deploy|bench|docs"
PATH: Final = re.compile(rf"`((?:{TOPS})/[\w./-]+\.(?:py|pyx|pxd|[ch]|md|ya?ml|json|sh|txt))`")
LINK: Final = re.compile(r"\]\(([^)#:\s]+)(#[^)\s]*)?\)")


def rows(document: str, heading: str) -> list[list[str]]:
    """Cells of every table row below a heading."""
    text = (ROOT / document).read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def anchors(path: Path) -> set[str]:
    """Anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_paths_and_links_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    missing = [name for name in PATH.findall(text) if not (ROOT / name).exists()]
    for target, anchor in LINK.findall(text):
        there = document.parent / target
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors(there)):
            missing.append(target + anchor)
    assert missing == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


def test_every_room_has_its_row() -> None:
    told = {cells[0].strip("`"): set(cells[2].split()) for cells in rows("ARCHITECTURE.md", "Rooms")[2:]}
    folders = {room for room in ROOMS if not room.endswith(".py")}
    assert set(told) == folders
    for room, names in told.items():
        top = room.split("/")[0]
        wanted = {name if name == top else name.removeprefix(f"{top}/") for name in ROOMS[room].split()}
        assert names == {name for name in wanted if not name.endswith(".py")}, room


def test_every_outcome_has_its_row() -> None:
    told = [cells for cells in rows("ARCHITECTURE.md", "How things end") if re.fullmatch(r"`\w+`", cells[0])]
    assert {cells[0].strip("`") for cells in told} == set(OUTCOMES)
    vectors = (ROOT / "tests/vectors/answers.txt").read_text(encoding="utf-8")
    answers = {line.split()[0]: line.split()[1:3] for line in vectors.splitlines() if line and line[0].isalpha()}
    for name, _, socks, status in (cells for cells in told if re.fullmatch(r"\d\d", cells[2])):
        assert [socks, status] == answers[name.strip("`")], name


def test_the_policy_of_the_docs_is_accepted(tmp_path: Path) -> None:
    """The manifest of docs/policy.md, whole: `sluice check` finds no error."""
    text = (ROOT / "docs/policy.md").read_text(encoding="utf-8")
    (tmp_path / "policy.yaml").write_text(text.partition("```yaml\n")[2].partition("```")[0])
    (tmp_path / "partners.txt").write_text("partner.example.com\n")
    (tmp_path / "sluice.yaml").write_text(
        "policy: {paths: [policy.yaml]}\n"
        "identity: {networks: [{cidr: 10.1.0.0/16, namespace: shop, serviceAccount: cart}]}\n"
        'upstreams: [{name: corp, type: http, addresses: ["10.0.0.9:3128"]}]\n'
        f"control: {{endpoint: 'ipc://{tmp_path}/control'}}\n"
    )
    command = [str(Path(sys.executable).with_name("sluice")), "check", "-c", str(tmp_path / "sluice.yaml")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "error:" not in done.stderr, done.stdout + done.stderr
