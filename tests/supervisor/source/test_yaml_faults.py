"""Slips of YAML as people make them: each message names the place, what was expected, what was found, what to write.

Each kind has several spellings, as what libyaml makes of them differs much.
"""

import random
from typing import Final

import pytest
import yaml

from supervisor.source.node import Node, SecretNode
from supervisor.source.problems import Invalid, Problems, render
from supervisor.source.yaml_faults import find_fault
from supervisor.source.yaml_source import parse_yaml
from tests.support.sluice_process import ROOT


def problems_of(text: str, kind: type[Node] = Node) -> list[str]:
    problems = Problems()
    try:
        parse_yaml(text, "f.yaml", problems, kind)
    except Invalid as wrong:
        problems.add(wrong.problem)
    return render(problems.errors)


STAR: Final = "not YAML: expected an alias, or a text in quotes as it begins with `*`, found"
QUOTES: Final = "not YAML: expected a text in quotes as it begins with"
NO_BLANK: Final = "not YAML: expected a blank after the colon, found"
INDENT: Final = "not YAML: wrong indentation: expected"
SECOND: Final = "expected a line `---` before another resource, found"
HOW: Final = "put --- on a line of its own before it"
LINE: Final = "not YAML: expected a line `---` between two documents, found"
ALONE: Final = "write `---` alone, at the beginning of the line"

SLIPS: Final[dict[str, tuple[str, str]]] = {
    # a text that begins with a character of YAML
    "*.x after a key": ("to:\n  host: *.x.com\n", f'2:9: {STAR} `*.x.com` (put it in quotes: "*.x.com")'),
    "*.x in braces": ("- {host: *.x.com, ports: [443]}\n", f'1:10: {STAR} `*.x.com` (put it in quotes: "*.x.com")'),
    "*.x in a list": ("a:\n  - *.x.com # all\n", f'2:5: {STAR} `*.x.com` (put it in quotes: "*.x.com")'),
    "*.x in brackets": ("a: [b, *.x.com]\n", f'1:8: {STAR} `*.x.com` (put it in quotes: "*.x.com")'),
    "* alone": ("host: *\n", f'1:7: {STAR} `*` (put it in quotes: "*")'),
    "* before letters": (
        "host: *x\n",
        '1:7: no anchor `x` is complete before this alias (for a text put it in quotes: "*x")',
    ),
    "*, several words": ("a: *.x y\n", f'1:4: {STAR} `*.x y` (put it in quotes: "*.x y")'),
    "[::]:port": ("address: [::]:1080\n", f'1:10: {QUOTES} `[`, found `[::]:1080` (put it in quotes: "[::]:1080")'),
    "[::1]:port in braces": (
        "- {name: a, address: [::1]:1080}\n",
        f'1:22: {QUOTES} `[`, found `[::1]:1080` (put it in quotes: "[::1]:1080")',
    ),
    "[fd00::1]:port in brackets": (
        'a: ["10.0.0.1:1", [fd00::1]:53]\n',
        f'1:19: {QUOTES} `[`, found `[fd00::1]:53` (put it in quotes: "[fd00::1]:53")',
    ),
    "[2001:db8::1]:port in a list": (
        "- [2001:db8::1]:53\n- x\n",
        f'1:3: {QUOTES} `[`, found `[2001:db8::1]:53` (put it in quotes: "[2001:db8::1]:53")',
    ),
    "[2001:db8::1]:port after an item's key": (
        "- name: x\n  a: [2001:db8::1]:53\n",
        f'2:6: {QUOTES} `[`, found `[2001:db8::1]:53` (put it in quotes: "[2001:db8::1]:53")',
    ),
    "@": ("b: 1\na: @x\n", f'2:4: {QUOTES} `@`, found `@x` (put it in quotes: "@x")'),
    "%": ("a: %x\n", f'1:4: {QUOTES} `%`, found `%x` (put it in quotes: "%x")'),
    "&": ("a: &.x\n", f'1:4: {QUOTES} `&`, found `&.x` (put it in quotes: "&.x")'),
    ">": ("a: >10\n", f'1:4: {QUOTES} `>`, found `>10` (put it in quotes: ">10")'),
    "a backquote": ("a: `x\n", f'1:4: {QUOTES} a backquote, found ``x` (put it in quotes: "`x")'),
    "a colon in a text": (
        "a: b: c\n",
        '1:4: not YAML: expected a text without a colon and a blank in it, found `b: c` (put it in quotes: "b: c")',
    ),
    "a colon after other letters": (
        "ü: ☃: c\n",
        "1:4: not YAML: expected a text without a colon and a blank in it, found `\\xe2\\x98\\x83: c`"
        ' (put it in quotes: "\\xe2\\x98\\x83: c")',
    ),
    "an unknown escape": (
        'a: "\\d"\n',
        "1:5: not YAML: expected an escape sequence, found `\\d`"
        " (in double quotes a backslash is written \\\\; single quotes take it as it is)",
    ),
    # quotes and brackets that are not closed
    "an open quote": (
        'a: 1\nb:\n  - {c: "0.0.0.0:1080, d: e}\nf: 1\n',
        '5:1: not YAML: expected `"` at the end of the text that is opened at 3:9, found the end of the file',
    ),
    "an open quote, at the end": (
        'a: "foo\n',
        '2:1: not YAML: expected `"` at the end of the text that is opened at 1:4, found the end of the file',
    ),
    "an open quote before others": (
        'a: "foo\nb: "x"\n',
        '2:5: not YAML: expected `"` at the end of the text that is opened at 1:4, found `x"`',
    ),
    "an open single quote before others": (
        "a: 'foo\nb: 1\nc: 'x'\n",
        "3:5: not YAML: expected `'` at the end of the text that is opened at 1:4, found `x'`",
    ),
    "an open quote in brackets": (
        'a: ["x, y]\nb: ["z"]\n',
        '2:6: not YAML: expected `"` at the end of the text that is opened at 1:5, found `z"]`',
    ),
    "words after quotes": (
        'a: "x" y\n',
        '1:8: not YAML: expected the end of the line after `"`, found `y`'
        " (the value is opened at 1:4; put the whole text in quotes)",
    ),
    "an open brace": (
        "a: {b: 1, c: 2\nd: 3\n",
        "2:1: not YAML: expected `,` or `}` for the `{` opened at 1:4, found `d: 3`",
    ),
    "an open brace, at the end": (
        "a: {b: 1\n",
        "2:1: not YAML: expected `,` or `}` for the `{` opened at 1:4, found the end of the file",
    ),
    "an open brace in a list": (
        "to:\n  - {host: a.com, ports: [443]\n  - {host: b.com}\n",
        "3:3: not YAML: expected `,` or `}` for the `{` opened at 2:5, found `- {host: b.com}`",
    ),
    "an open brace before a document": (
        "a: {b: 1\n---\nc: 1\n",
        "2:1: not YAML: expected `,` or `}` for the `{` opened at 1:4, found `---`",
    ),
    "an open bracket": (
        "a: [1, 2\n",
        "2:1: not YAML: expected `,` or `]` for the `[` opened at 1:4, found the end of the file",
    ),
    "an open bracket in braces": (
        "- {host: a.com, ports: [443}\n",
        "1:28: not YAML: expected `,` or `]` for the `[` opened at 1:24, found `}`",
    ),
    "an open bracket over lines": (
        "a: [1,\n  2\nb: 1\n",
        "3:1: not YAML: expected `,` or `]` for the `[` opened at 1:4, found `b: 1`",
    ),
    "a closed brace too many": (
        "a: {b: 1}}\n",
        "1:10: not YAML: expected the end of the line after `}`, found `}` (opened at 1:4)",
    ),
    "a closed bracket alone": ("a: {b: 1}\nc: ]\n", "2:4: not YAML: expected a value, found `]`"),
    "no comma": (
        "a: {b: 1 c: 2}\n",
        "1:11: not YAML: expected `,` or `}` for the `{` opened at 1:4, found `: 2}`"
        " (a comma is missing before it, or quotes around a text with a colon)",
    ),
    "no comma between quotes": (
        'a: ["x" "y"]\n',
        '1:9: not YAML: expected `,` or `]` for the `[` opened at 1:4, found `"y"]`',
    ),
    # indentation
    "a key that is too far left": (
        "a:\n  b: 1\n c: 2\n",
        f"3:2: {INDENT} 0 or 2 blanks before `c: 2`, found 1 (line 1 has 0)",
    ),
    "a key that is too far right": (
        "a:\n  b: 1\n   c: 2\n",
        f"3:4: {INDENT} 0 or 2 blanks before `c: 2`, found 3 (line 2 has 2)",
    ),
    "a key below a value": ("a: 1\n  b: 2\n", f"2:3: {INDENT} 0 blanks before `b: 2`, found 2 (line 1 has 0)"),
    "a key below quotes": ('a: "1"\n  b: 2\n', f"2:3: {INDENT} 0 blanks before `b: 2`, found 2 (line 1 has 0)"),
    "a first line too far right": (" a: 1\nb: 2\n", f"2:1: {INDENT} 1 blank before `b: 2`, found 0 (line 1 has 1)"),
    "an item that is too far right": (
        "to:\n  - host: x\n    ports: [1]\n   - host: y\n",
        f"4:4: {INDENT} 0 or 2 or 4 blanks before `- host: y`, found 3 (line 2 has 2)",
    ),
    "an item that is too far left": (
        "to:\n  - x\n - y\n",
        f"3:2: {INDENT} 0 or 2 blanks before `- y`, found 1 (line 1 has 0)",
    ),
    "a key of an item, too far left": (
        "to:\n  - host: x\n   ports: [1]\n",
        f"3:4: {INDENT} 0 or 2 or 4 blanks before `ports: [1]`, found 3 (line 2 has 2)",
    ),
    "a key where items are": (
        "a:\n  - b\n  c: 1\n",
        "3:3: not YAML: expected `- ` as in line 2, found `c: 1` (indent it to where it belongs)",
    ),
    "an item where keys are": (
        "a:\n  b: 1\n  - c\n",
        "3:3: not YAML: expected a key as in line 2, found `- c` (indent it to where it belongs)",
    ),
    "a tab": (
        "a:\n\tb: 1\n",
        "2:1: not YAML: expected blanks as indentation, found a tab (write two blanks for each tab)",
    ),
    "a tab after blanks": (
        "a:\n  b: 1\n \tc: 1\n",
        "3:2: not YAML: expected blanks as indentation, found a tab (write two blanks for each tab)",
    ),
    "an item behind its key": (
        "a: - b\n",
        "1:4: not YAML: expected a value, found `- b` (items of a list begin on lines of their own, or stand in [ ])",
    ),
    # no blank after a colon
    "no blank in the first line": ("a:1\nb: 2\n", f"1:1: {NO_BLANK} `a:1` (write a: 1)"),
    "no blank in the last line": ("a: 1\nb:2\n", f"2:1: {NO_BLANK} `b:2` (write b: 2)"),
    "no blank between": ("a: 1\nb:2\nc: 3\n", f"2:1: {NO_BLANK} `b:2` (write b: 2)"),
    "no blank, deeper": ("m:\n  name:foo\n  namespace: x\n", f"2:3: {NO_BLANK} `name:foo` (write name: foo)"),
    "no blank in an item": ("a:\n  - host:x\n    ports: [1]\n", f"2:5: {NO_BLANK} `host:x` (write host: x)"),
    "no blank before a list": ("a: 1\nports:[443]\nb: 1\n", f"2:1: {NO_BLANK} `ports:[443]` (write ports: [443])"),
    "no colon": ("a: 1\nb\nc: 2\n", "2:1: not YAML: expected a key, a colon and a blank, found `b`"),
    "an equals sign": ("a = 1\nb: 2\n", "1:1: not YAML: expected a key, a colon and a blank, found `a = 1`"),
    "no blank after a dash": (
        "- a\n-b\n- c\n",
        "2:1: not YAML: expected a blank after the dash, found `-b` (write - b)",
    ),
    # no line between documents
    "no ---": ("apiVersion: v1\nkind: A\nspec: {}\n" * 2, f"4:1: {SECOND} `apiVersion` again ({HOW})"),
    "no ---, kind first": ("kind: A\napiVersion: v1\n" * 2, f"3:1: {SECOND} `kind` again ({HOW})"),
    "no ---, a comment": ("apiVersion: v1\nkind: A\n# ---\n" * 2, f"4:1: {SECOND} `apiVersion` again ({HOW})"),
    "no ---, other keys": (
        "apiVersion: v1\nkind: A\nmetadata: {}\nspec: {}\nmetadata: {}\nspec: {}\n",
        f"5:1: {SECOND} `metadata` again ({HOW})",
    ),
    "one key twice": (
        "apiVersion: v1\nkind: A\nspec: {}\nspec: {}\n",
        "4:1: duplicate key `spec` (it is first set in line 3, column 1)",
    ),
    "-- for ---": ("kind: A\n--\nkind: B\n", f"2:1: {LINE} `--` ({ALONE})"),
    "---- for ---": ("kind: A\n----\nkind: B\n", f"2:1: {LINE} `----` ({ALONE})"),
}


@pytest.mark.parametrize(("text", "expected"), SLIPS.values(), ids=list(SLIPS))
def test_a_slip_is_named_at_its_place(text: str, expected: str) -> None:
    assert problems_of(text) == [f"f.yaml:{expected}"]
    assert problems_of(text.replace("\n", "\r\n")) == [f"f.yaml:{expected}"]


def test_three_resources_without_lines_between_are_two_errors() -> None:
    found = problems_of("apiVersion: v1\nkind: A\nspec: {}\n" * 3)
    assert [line.split(" ")[0] for line in found] == ["f.yaml:4:1:", "f.yaml:7:1:"]


@pytest.mark.parametrize("text", [text for text, _ in SLIPS.values()], ids=list(SLIPS))
def test_nothing_of_a_secret_file_is_repeated(text: str) -> None:
    """The same slips, in a file whose values are secret: words of eight letters stand for the texts."""
    hidden = text.replace("x", "mysecret").replace("foo", "mysecret")
    assert not any("mysecret" in line for line in problems_of(hidden, SecretNode) if "anchor" not in line)


def valid_texts() -> list[str]:
    """Texts that libyaml accepts: the files of this tree, and random values in every style of writing."""
    texts = [
        path.read_text()
        for room in ("deploy", "supervisor", "tests", ".github")
        for path in ROOT.joinpath(room).rglob("*.y*ml")
    ]
    assert len(texts) > 3, "the tree has lost its files"
    draw = random.Random(7)
    leaves = [
        "a: b",
        "*.y",
        "[::]:1",
        "- z",
        "long text " * 20,
        "#q",
        "a\nb\nc\n",
        "it's",
        'q"r',
        "",
        "http://x/y:1",
    ]

    def value(depth: int) -> object:
        kind = draw.randrange(6 if depth < 4 else 3)
        if kind < 3:
            return draw.choice(leaves)
        if kind == 3:
            return [value(depth + 1) for _ in range(draw.randrange(4))]
        return {draw.choice(["k", "host", "a b", "-x", "y:z"]): value(depth + 1) for _ in range(draw.randrange(5))}

    for _ in range(150):
        style = draw.choice(['"', "'", "|", ">", None])
        flow = draw.choice([None, True, False])
        texts.append(
            yaml.dump({"k": value(0)}, default_style=style, default_flow_style=flow, width=draw.choice([20, 80]))
        )
    return texts


def test_what_is_right_is_never_taken_for_the_slip() -> None:
    """A slip at the end of a text that is right is found there, whatever stands before it."""
    for text in valid_texts():
        broken = text.rstrip("\n") + "\n---\nz: 1\ny: @x\n"
        lines = broken.count("\n")
        assert problems_of(broken) == [f'f.yaml:{lines}:4: {QUOTES} `@`, found `@x` (put it in quotes: "@x")'], broken


def test_no_text_breaks_the_search_for_a_slip() -> None:
    draw = random.Random(11)
    texts = [text[:2000] for text in valid_texts()]
    for _ in range(4000):
        letters = list(draw.choice(texts))
        for _ in range(draw.randrange(1, 4)):
            at = draw.randrange(len(letters) + 1)
            letters[at : at + draw.randrange(9)] = draw.choice(" \n\t-:{}[],*&!|>'\"%@`#?a.\r\\")
        text = "".join(letters)
        at = draw.randrange(len(text) + 1)
        fault = find_fault(text, at, secret=False)
        assert fault is None or 0 <= fault.at <= len(text)
        for line in problems_of(text):
            assert line.startswith("f.yaml:")


@pytest.mark.parametrize(
    "text", ["a" + " " * 300_000 + "\nb: @", "[" + "x " * 150_000, "- " * 40 + "a:" * 150_000 + "\n\t@"]
)
def test_long_lines_take_no_long_time(text: str) -> None:
    """Each would take hours if a pattern looked at every pair of characters: the test's time limit stands for that."""
    assert problems_of(text)
