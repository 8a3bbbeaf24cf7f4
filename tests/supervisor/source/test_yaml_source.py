"""YAML and JSON as nodes: positions, what YAML 1.1 makes of plain words, and what is refused, at the exact place."""

import os
from io import FileIO
from pathlib import Path
from typing import Final

import pytest

from supervisor.source import yaml_source
from supervisor.source.json_source import MOST_DEPTH, parse_json
from supervisor.source.node import Node, SecretNode
from supervisor.source.problems import Invalid, Problems, render
from supervisor.source.yaml_source import load_document, load_documents, parse_yaml, read_file


def problems_of(text: str, name: str = "f.yaml") -> list[str]:
    """Everything that is wrong with a text."""
    problems = Problems()
    try:
        (parse_json if name.endswith(".json") else parse_yaml)(text, name, problems)
    except Invalid as wrong:
        problems.add(wrong.problem)
    return render(problems.errors)


def only(text: str) -> Node:
    documents = parse_yaml(text, "f.yaml", Problems())
    assert len(documents) == 1
    return documents[0]


def places(node: Node) -> list[tuple[object, int, int]]:
    """Scalars with their lines and columns, in order."""
    if isinstance(node.value, list):
        return [found for item in node.value for found in places(item)]
    if isinstance(node.value, dict):
        return [found for pair in node.value.values() for part in pair for found in places(part)]
    return [(node.value, node.line, node.column)]


def test_every_value_knows_its_place() -> None:
    text = "a: 1\nb:\n  - x\n  - {c: 'y',\n     d: ü}\n"
    expected = [
        *(("a", 1, 1), ("1", 1, 4), ("b", 2, 1), ("x", 3, 5)),
        *(("c", 4, 6), ("y", 4, 9), ("d", 5, 6), ("ü", 5, 9)),
    ]
    assert places(only(text)) == expected


def test_json_knows_the_same_places() -> None:
    text = '{"a": 1,\n "b": ["x", {"c": "\\u00fc"}],\t"d": null}'
    found = places(parse_json(text, "f.json", Problems())[0])
    expected = [
        *(("a", 1, 2), ("1", 1, 7), ("b", 2, 2), ("x", 2, 8), ("c", 2, 14), ("ü", 2, 19)),
        *(("d", 2, 31), ("null", 2, 36)),
    ]
    assert found == expected


NO_ANCHOR: Final = 'no anchor `{0}` is complete before this alias (for a text put it in quotes: "*{0}")'
REFUSED: Final = {
    "a key twice": ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: duplicate key `a` (it is first set in line 1, column 1)"),
    "a key twice, deep": (
        "a:\n  - {b: 1, 'b': 2}\n", "f.yaml:2:12: duplicate key `b` (it is first set in line 2, column 6)",
    ),
    "base 60": ("a: 22:30\n", 'f.yaml:1:4: `22:30` is a base 60 number in YAML 1.1 (put it in quotes: "22:30")'),
    "base 60 with seconds": (
        "- -1:30:00\n", 'f.yaml:1:3: `-1:30:00` is a base 60 number in YAML 1.1 (put it in quotes: "-1:30:00")',
    ),
    "base 60 with a fraction": (
        "- 1:30.5\n", 'f.yaml:1:3: `1:30.5` is a base 60 number in YAML 1.1 (put it in quotes: "1:30.5")',
    ),
    "an IPv6 address of digits": (
        "- 1:2:3:4:5:6:7:8\n",
        'f.yaml:1:3: `1:2:3:4:5:6:7:8` is a base 60 number in YAML 1.1 (put it in quotes: "1:2:3:4:5:6:7:8")',
    ),
    "a tag": ("a: !!python/object:os.system x\n", "f.yaml:1:4: tags are not supported (write the value without it)"),
    "a tag on a list": ("a: !x [1]\n", "f.yaml:1:4: tags are not supported (write the value without it)"),
    "a list as key": ("? [a]\n: 1\n", "f.yaml:1:3: a key must be a text"),
    "an alias to a list as key": ("a: &l [x]\n? *l\n: 1\n", "f.yaml:2:3: a key must be a text"),
    "an unknown anchor": ("a: *b\n", "f.yaml:1:4: " + NO_ANCHOR.format("b")),
    "an anchor inside itself": ("a: &a [*a]\n", "f.yaml:1:8: " + NO_ANCHOR.format("a")),
    "an anchor of another document": ("&a x\n---\n*a\n", "f.yaml:3:1: " + NO_ANCHOR.format("a")),
    "a control character": ("a: 1\nb: x\x07\n", "f.yaml:2:5: a control character is not allowed here"),
    "too deep": ("[" * 60, "f.yaml:1:51: nested deeper than 50 levels"),
    "too deep in blocks": (
        "\n".join(" " * n + "a:" for n in range(60)), "f.yaml:51:51: nested deeper than 50 levels",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), REFUSED.values(), ids=list(REFUSED))
def test_yaml_that_is_refused(text: str, expected: str) -> None:
    assert problems_of(text) == [expected]


REFUSED_JSON: Final = {
    "a key twice": ('{"a": 1,\n "a": 2}', "f.json:2:2: duplicate key `a` (it is first set in line 1, column 2)"),
    "a trailing comma": ('{"a": 1,}', "f.json:1:9: not JSON: expected a key in double quotes"),
    "a trailing comma in a list": ("[1,]", "f.json:1:4: not JSON: expected a value, found `]`"),
    "single quotes": ("{'a': 1}", "f.json:1:2: not JSON: expected a key in double quotes"),
    "a comment": ("// x\n{}", "f.json:1:1: not JSON: expected a value, found `/`"),
    "two values": ("{} {}", "f.json:1:4: not JSON: expected the end of the file after the JSON value"),
    "NaN": ("[NaN]", "f.json:1:2: not JSON: expected a value, found `N`"),
    "truncated": ('{"a": [1', "f.json:1:9: not JSON: expected `,` or `]`"),
    "truncated in a text": ('{"a": "b', 'f.json:1:7: not JSON: expected `"` at the end of the text that begins here'),
    "truncated after a key": ('{"a"', "f.json:1:5: not JSON: expected `:` after the key"),
    "a control character": ('["a\nb"]', "f.json:1:4: not JSON: a control character in a text must be escaped"),
    "an unknown escape": ('["a\\q"]', "f.json:1:4: not JSON: expected an escape sequence, as \\n or \\u00e9"),
    "a short escape": ('["\\u12"]', "f.json:1:3: not JSON: expected an escape sequence, as \\n or \\u00e9"),
    "half a surrogate pair": ('["\\ud83d"]', "f.json:1:10: not JSON: half of a surrogate pair"),
    "a leading zero": ("[010]", "f.json:1:3: not JSON: expected `,` or `]`"),
    "too deep": ("[" * 100_000, f"f.json:1:{MOST_DEPTH + 2}: nested deeper than {MOST_DEPTH} levels"),
}


@pytest.mark.parametrize(("text", "expected"), REFUSED_JSON.values(), ids=list(REFUSED_JSON))
def test_json_that_is_refused(text: str, expected: str) -> None:
    assert problems_of(text, "f.json") == [expected]


def test_a_thousand_expansions_are_fine_and_one_more_is_not() -> None:
    head = "a: &a x\nb:\n"
    assert problems_of(head + "  - *a\n" * 1000) == []
    assert problems_of(head + "  - *a\n" * 1001) == [
        "f.yaml:1003:5: more than 1000 anchor expansions (write the values out)"
    ]


def test_expansions_inside_expansions_count() -> None:
    """Ten lines that would be a billion nodes."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    found = problems_of("\n".join(lines))
    assert found == ["f.yaml:4:45: more than 1000 anchor expansions (write the values out)"]


def test_an_alias_is_the_value_it_names() -> None:
    node = only("a: &x {b: 1}\nc: *x\n").mapping()
    assert node["a"][1] is node["c"][1]


def test_a_million_brackets_neither_crash_nor_hang() -> None:
    assert problems_of("[" * 1_000_000) == ["f.yaml:1:51: nested deeper than 50 levels"]
    assert problems_of("{a: " * 300_000) == ["f.yaml:1:201: nested deeper than 50 levels"]
    assert problems_of("- " * 300_000) == ["f.yaml:1:101: nested deeper than 50 levels"]
    assert problems_of("☃: 1\nb: " + "[" * 1_000_000) == ["f.yaml:2:53: nested deeper than 50 levels"]


def test_a_fault_that_libyaml_finds_after_much_else_is_still_its_own() -> None:
    [said] = problems_of("[[1], {a: [2]}, " * 40 + "\n@")
    assert said.startswith("f.yaml:2:1: not YAML: ")


# Types that a value may be read as. Each line: the YAML, the reader, and the result.
READ: Final = {
    "a plain word is a text": ("cart", Node.string, "cart"),
    "a quoted number is a text": ("'123'", Node.string, "123"),
    "a quoted boolean is a text": ('"no"', Node.string, "no"),
    "a folded text is a text": (">-\n  5", Node.string, "5"),
    "a tag for text makes one": ("!!str 5", Node.string, "5"),
    "a date is a text": ("2024-01-31", Node.string, "2024-01-31"),
    "off is a choice where it is one": ("off", lambda node: node.choice("off", "on"), "off"),
    "true": ("true", Node.boolean, True),
    "False": ("False", Node.boolean, False),
    "a number": ("443", lambda node: node.integer(1, 65535), 443),
    "milliseconds": ("500ms", Node.duration, 0.5),
    "seconds": ("2s", Node.duration, 2.0),
    "minutes": ("5m", Node.duration, 300.0),
    "hours": ("1h", Node.duration, 3600.0),
    "hours and minutes": ("1h30m", Node.duration, 5400.0),
    "a fraction": ("1.5s", Node.duration, 1.5),
    "IPv4": ("10.0.0.0/8", Node.cidr, "10.0.0.0/8"),
    "IPv6 in its shortest form": ("2001:DB8:0::/32", Node.cidr, "2001:db8::/32"),
    "an address": ("2001:DB8::1", Node.address, "2001:db8::1"),
}


@pytest.mark.parametrize(("text", "reader", "expected"), READ.values(), ids=list(READ))
def test_a_value_is_read(text: str, reader: object, expected: object) -> None:
    assert callable(reader)
    assert reader(only(text)) == expected


NOT_READ: Final = {
    "no is not a text": ("no", Node.string, 'expected a text, found the boolean `no` (put it in quotes: "no")'),
    "y is not a text": ("y", Node.string, 'expected a text, found the boolean `y` (put it in quotes: "y")'),
    "On is not a text": ("On", Node.string, 'expected a text, found the boolean `On` (put it in quotes: "On")'),
    "123 is not a text": ("123", Node.string, 'expected a text, found the number `123` (put it in quotes: "123")'),
    "1.0 is not a text": ("1.0", Node.string, 'expected a text, found the number `1.0` (put it in quotes: "1.0")'),
    "0x10 is not a text": ("0x10", Node.string, 'expected a text, found the number `0x10` (put it in quotes: "0x10")'),
    "nothing is not a text": ("~", Node.string, "expected a text, found nothing"),
    "a list is not a text": ("[a]", Node.string, "expected a text, found a list"),
    "yes is not true": ("yes", Node.boolean, "expected true or false, found the boolean `yes` (write true)"),
    "off is not false": ("off", Node.boolean, "expected true or false, found the boolean `off` (write false)"),
    "a text is not true": ('"true"', Node.boolean, "expected true or false, found the text `true`"),
    "false is not off": (
        "false",
        lambda node: node.choice("off", "optional"),
        "expected one of off, optional, found the boolean `false` (write off)",
    ),
    "a misspelt choice": (
        "requird",
        lambda node: node.choice("optional", "required"),
        "expected one of optional, required, found the text `requird` (did you mean `required`?)",
    ),
    "a quoted number": (
        '"443"',
        lambda node: node.integer(1, 65535),
        "expected a decimal number, found the text `443` (remove the quotes: 443)",
    ),
    "an octal number": (
        "0755", lambda node: node.integer(1, 65535), "expected a decimal number, found the number `0755`",
    ),
    "underscores": (
        "1_000", lambda node: node.integer(1, 65535), "expected a decimal number, found the number `1_000`",
    ),
    "out of range": ("65536", lambda node: node.integer(1, 65535), "65536 is out of range: 1 to 65535"),
    "a huge number": (
        "9" * 5000,
        lambda node: node.integer(1, 65535),
        f"expected a decimal number, found the number `{'9' * 80}...`",
    ),
    "a duration without a unit": (
        "5", Node.duration, "expected a duration, found the number `5` (a unit is missing: 5s)",
    ),
    "a duration in parsecs": (
        "5 parsecs",
        Node.duration,
        "expected a duration, found the text `5 parsecs` (durations look like 500ms, 2s, 5m or 1h)",
    ),
    "no time at all": ("0s", Node.duration, "`0s` is out of range: 0.001s to 2.592e+06s"),
    "a year": ("8760h", Node.duration, "`8760h` is out of range: 0.001s to 2.592e+06s"),
    "host bits": ("10.0.0.1/8", Node.cidr, "`10.0.0.1/8` has host bits set (the network is 10.0.0.0/8)"),
    "an address where a CIDR belongs": (
        "10.0.0.1",
        Node.cidr,
        "expected a CIDR, found the text `10.0.0.1` (for this one address write 10.0.0.1/32)",
    ),
    "a netmask": (
        "10.0.0.0/255.0.0.0",
        Node.cidr,
        "expected a CIDR such as 10.0.0.0/8 or 2001:db8::/32, found the text `10.0.0.0/255.0.0.0`",
    ),
    "too long a prefix": (
        "10.0.0.0/33", Node.cidr, "expected a CIDR such as 10.0.0.0/8 or 2001:db8::/32, found the text `10.0.0.0/33`",
    ),
    "a zone": ("fe80::1%eth0", Node.address, "expected an IP address without a zone, found the text `fe80::1%eth0`"),
    "a name": ("localhost", Node.address, "expected an IP address, found the text `localhost`"),
    "a text where a list belongs": ("x", Node.items, "expected a list, found the text `x` (put [ ] around it)"),
    "an empty list": ("[]", Node.filled, "the list is empty (remove the key if nothing is meant)"),
    "a list where a mapping belongs": ("[]", Node.mapping, "expected a mapping, found a list"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "reader", "expected"), NOT_READ.values(), ids=list(NOT_READ))
def test_a_value_is_not_read(text: str, reader: object, expected: str) -> None:
    assert callable(reader)
    with pytest.raises(Invalid) as caught:
        reader(only(text))
    assert str(caught.value.problem) == f"f.yaml:1:1: {expected}"


def test_unknown_and_missing_keys() -> None:
    problems = Problems()
    fields = only("nmae: x\n<<: {a: 1}\n").fields(("name", "ports"), problems)
    assert fields.need("ports", Node.string, "none", "name one") == "none"
    assert render(problems.errors) == [
        "f.yaml:1:1: `ports` is missing (name one)",
        "f.yaml:1:1: unknown key `nmae` (did you mean `name`?)",
        "f.yaml:2:1: unknown key `<<` (merge keys are not part of YAML 1.2: write the fields out)",
    ]


def test_a_secret_is_never_repeated() -> None:
    problems = Problems()
    node = parse_yaml("users: [hunter2, 22:33, 5]\nhash: 12345\n", "f.yaml", problems, SecretNode)[0]
    fields = node.fields(("users", "hash"), problems)
    fields.each("users", Node.mapping)
    fields.read("hash", Node.string, "")
    text = "\n".join(render(problems.errors))
    assert text.count("f.yaml:") == 5
    assert not any(secret in text for secret in ("hunter2", "12345"))


# Files.


def refusal(path: Path) -> str:
    with pytest.raises(Invalid) as caught:
        load_document(str(path), Problems())
    return str(caught.value.problem).replace(f"{path.parent}/", "")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.yaml") == "no.yaml: cannot be read: No such file or directory"
    assert refusal(tmp_path / "x" / ".." / "y\0").endswith("cannot be read: not a file name")
    (tmp_path / "folder.yaml").mkdir()
    assert refusal(tmp_path / "folder.yaml") == "folder.yaml: is not a regular file"
    os.mkfifo(tmp_path / "pipe.yaml")
    assert refusal(tmp_path / "pipe.yaml") == "pipe.yaml: is not a regular file"
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert refusal(tmp_path / "loop.yaml") == "loop.yaml: cannot be read: Too many levels of symbolic links"


@pytest.mark.parametrize("text", ["", "# only words\n", "---\n", "null\n", "\ufeff"])
def test_an_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    assert refusal(tmp_path / "a.yaml") == "a.yaml: the file is empty"


def test_an_empty_json_file(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(" \n")
    assert refusal(tmp_path / "a.json") == "a.json: the file is empty"


def test_more_than_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n---\nb: 2\n")
    assert refusal(tmp_path / "a.yaml") == (
        "a.yaml:3:1: a second document begins here, where one is expected (remove the `---`)"
    )
    assert len(load_documents(str(tmp_path / "a.yaml"), Problems())) == 2


def test_bytes_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes("a: 1\nbü: \xff".encode("latin-1"))
    assert refusal(tmp_path / "a.yaml") == "a.yaml:2:2: not UTF-8 (save the file in UTF-8)"
    (tmp_path / "b.yaml").write_bytes("ü: 1\nü: ".encode() + b"\xc3")
    assert refusal(tmp_path / "b.yaml") == "b.yaml:2:4: not UTF-8 (save the file in UTF-8)"
    (tmp_path / "c.yaml").write_bytes("a: 1".encode("utf-16"))
    assert refusal(tmp_path / "c.yaml") == "c.yaml:1:1: not UTF-8 (save the file in UTF-8)"


def test_a_file_with_a_byte_order_mark(tmp_path: Path) -> None:
    """One at the start says UTF-8 (RFC 3629 section 6), and is not part of the text."""
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\na: 2\n")
    problems = Problems()
    load_document(str(tmp_path / "a.yaml"), problems)
    assert "a.yaml:2:1: duplicate key `a` (it is first set in line 1, column 1)" in str(problems)
    (tmp_path / "b.json").write_bytes(b'\xef\xbb\xbf{"a": 1}')
    assert load_document(str(tmp_path / "b.json"), Problems()).mapping()["a"][1].integer(0, 9) == 1
    for codec in ("utf-16-le", "utf-16-be", "utf-32"):
        (tmp_path / "c.yaml").write_bytes("a: 1\n".encode(codec))
        assert "c.yaml:1:" in refusal(tmp_path / "c.yaml")


class Changing:
    """Writes the file anew while it is read, so many times."""

    def __init__(self, path: Path, times: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path, self.times = path, times
        self.read = yaml_source._read_up_to
        monkeypatch.setattr(yaml_source, "_read_up_to", self)

    def __call__(self, file: FileIO, most: int) -> bytes:
        data = self.read(file, most)
        if self.times:
            self.times -= 1
            self.path.write_text(f"a: {self.times}\n" + "# longer\n" * self.times)
        return data


def test_a_file_that_changes_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 9\n" + "# long\n" * 9)
    Changing(path, 2, monkeypatch)
    assert load_document(str(path), Problems()).mapping()["a"][1].integer(0, 9) == 0, "the last one, whole"
    Changing(path, 9, monkeypatch)
    assert refusal(path) == "a.yaml: changes while it is read (write it beside itself and rename it)"


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    with open(tmp_path / "a.yaml", "wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    assert refusal(tmp_path / "a.yaml") == (
        "a.yaml: is larger than 16 MiB (long host lists belong in a hostsFrom file)"
    )
    with open(tmp_path / "b", "wb") as file:
        file.truncate(16 * 1024 * 1024)
    assert len(read_file(str(tmp_path / "b"))) == 16 * 1024 * 1024
