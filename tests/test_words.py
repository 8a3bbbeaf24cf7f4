"""One term for one thing: words that ARCHITECTURE.md's glossary puts aside, and constructions that CONTRIBUTING.md
rules out, stand nowhere in the tree.

Read are comments, messages, docs, names of tests: every line of every source file. Text in `backticks` is quoted, so it
does not count.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
READ: Final = {".c", ".h", ".md", ".pxd", ".py", ".pyx", ".sh", ".toml", ".txt", ".yaml", ".yml"}
# Folders that hold other people's texts, or what was built or measured.
LEFT_OUT: Final = {"build", "results", "corpus", "node_modules"}
# Exceptions: (end of the path, a part of the line).
ALLOWED: Final = (("tests/test_words.py", ""),)
# Each construction, and how the sentence is said instead.
CONSTRUCTIONS: Final = {
    r"\b(?:whoever|nobody|somebody|anybody|everybody|someone|anyone|everyone)\b": "name the component",
    r"\bof ours\b": "name the component",
    r"\"\"\"(?:what|who|whom) ": "a docstring begins with a noun",
    r"\bin force\b": "a policy takes effect, or is active",
    r"(?<!there )\b(?:is|was) no (?:name|address|number|port|error|text|token|method|path|user)\b": "is not a ...",
    r"\bthat (?:is|are) none\b": "invalid ...",
    r"\b(?:too|meanwhile|of it)[.;!?](?=[\s\"')]|$)": "no sentence ends in these words",
    r"\b(?<!if )then[.!?](?=[\s\"')]|$)": "no sentence ends in this word",
    r"\bby (?:envoy|microsocks|nghttpx|haproxy|the floor)'s\b": "a ratio is relative to something",
    r"\b(?:client|peer|parent|sidecar|origin)s? (?:says?|said|hears?|heard|tells?|told)\b": "peers send and receive",
}


def sources() -> Iterator[Path]:
    for path in sorted(ROOT.rglob("*")):
        folders = path.relative_to(ROOT).parts[:-1]
        if any(part.startswith(".") or part in LEFT_OUT for part in folders) or path.suffix not in READ:
            continue
        # C that Cython wrote.
        if path.suffix == ".c" and path.with_suffix(".pyx").exists():
            continue
        if path.is_file():
            yield path


def set_aside(glossary: str) -> dict[str, str]:
    """Of each word that is not used: the term that stands for it."""
    _, _, section = glossary.partition("\n## Glossary\n")
    section, _, _ = section.partition("\n## ")
    found = {}
    for line in section.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3:
            found.update(dict.fromkeys(re.findall(r"`([^`]+)`", cells[2].lower()), cells[0]))
    return found


def wrong(text: str, aside: dict[str, str]) -> list[tuple[int, str, str]]:
    """(line, the words, what stands instead) of all that a text should not hold."""
    text = re.sub(r"`[^`\n]*`", "``", text).lower()
    terms = {rf"\b{re.escape(word)}s?\b": f"the term is {term}" for word, term in aside.items() if word in text}
    return [
        (text.count("\n", 0, match.start()) + 1, match[0], instead)
        for pattern, instead in (CONSTRUCTIONS | terms).items()
        for match in re.finditer(pattern, text, re.MULTILINE)
    ]


def test_the_tree_uses_the_terms_of_the_glossary() -> None:
    aside, found = set_aside((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")), []
    for path in sources():
        name, text = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8", errors="replace")
        lines = text.splitlines()
        for number, words, instead in wrong(text, aside):
            if not any(name.endswith(end) and part in lines[number - 1] for end, part in ALLOWED):
                found.append(f"{name}:{number}: `{words}`: {instead}")
    assert found == [], "\n".join(found)


def test_the_glossary_is_read() -> None:
    assert len(set_aside((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8"))) > 20
    assert set_aside("\n## Glossary\n\n| term | meaning | not used |\n| parent | x | `next hop` |\n") == {
        "next hop": "parent"
    }


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("Whoever asks is answered.", 1),
        ('"""What it does."""', 1),
        ('"""Who asks."""', 1),
        ("the policy in force", 1),
        ("It waits, too.", 1),
        ('"""All of it."""', 1),
        ("It is told then.", 1),
        ("if a then b", 0),
        ("too many of it all", 0),
        ("`nobody` is a user's name", 0),
        ("a name that is no name", 1),
        ("there is no name", 0),
        ("CPU by Envoy's", 1),
        ("the client says", 1),
        ("the client sends", 0),
    ],
)
def test_a_construction_is_seen(text: str, count: int) -> None:
    assert len(wrong(text, {})) == count
