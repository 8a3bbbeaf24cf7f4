"""Tables of regular expressions against RE2 itself: what matches, what is refused, how large a table may be."""

import random
import struct
from typing import Final

import pytest
import re2  # type: ignore[import-untyped]

from supervisor.policy.regex.expression import Refused, Table, compile_expression, refusal

ATOMS: Final = (
    *(
        "a",
        "b",
        "c",
        "/",
        "\\.",
        "-",
        "_",
        "1",
        "é",
        "日",
        "ß",
        "K",
        "k",
        "s",
        "\u017f",
        " ",
        "\\n",
        "\\x41",
        "\\x{e9}",
        "\\101",
    ),
    *(
        ".",
        "[ab]",
        "[^ab]",
        "[a-c/]",
        "[]a]",
        "[a-]",
        "[-a]",
        "[^\\n]",
        "[[:alpha:]]",
        "[[:^digit:]]",
        "[\\w-]",
        "[é-ü]",
    ),
    *(
        "\\d",
        "\\D",
        "\\s",
        "\\S",
        "\\w",
        "\\W",
        "[^\\d/]",
        "[\\S\\n]",
        "[日-本a]",
        "\\Qa.b\\E",
        "\\Q\\E",
        "[^\\x00-\\x{10FFFF}]",
    ),
    *("^", "$", "\\b", "\\B", "\\A", "\\z", "", "{", "a{,2}", "}"),
)
REPEATS: Final = ("", "", "", "", "*", "+", "?", "*?", "+?", "??", "{2}", "{0,2}", "{1,}", "{0}")
GROUPS: Final = ("(", "(?:", "(?P<n>", "(?i:", "(?s:", "(?m:", "(?im-s:", "(?-i:", "(?U:")
LETTERS: Final = "aabbcABC/.-_1kKsS\u017fK éÉü日本ß\n"


def expression(draw: random.Random, depth: int = 3) -> str:
    """One of random parts; few of them are refused."""
    parts = []
    for _ in range(draw.randint(0, 4)):
        if depth and draw.random() < 0.3:
            opened = draw.choice(GROUPS).replace("<n>", f"<n{draw.randrange(10**9)}>")
            part = f"{opened}{expression(draw, depth - 1)})"
        else:
            part = draw.choice(ATOMS)
        parts.append(part + draw.choice(REPEATS))
    text = "".join(parts)
    if draw.random() < 0.2:
        text = f"{text}|{expression(draw, depth - 1) if depth else ''}"
    return f"(?{draw.choice(('i', 's', 'm', 'U', 'im', 's-i'))}){text}" if draw.random() < 0.1 else text


def matches(table: Table, text: str) -> bool:
    """Walks a table as csrc/policy/regex.c does."""
    cells = struct.unpack(f"<{len(table.cells) // 2}H", table.cells)
    state = table.start
    for byte in text.encode():
        state = cells[state * table.width + table.classes[byte]]
    if state == table.certain and state:
        return True
    return state != 0 and state >= table.accepting


def is_well_formed(table: Table) -> bool:
    cells = struct.unpack(f"<{len(table.cells) // 2}H", table.cells)
    return (
        len(table.classes) == 256
        and len(cells) == table.states * table.width
        and max(cells) < table.states
        and max(table.classes) == table.width - 1
        and set(cells[: table.width]) == {0}
        and table.start < table.states
        and 0 < table.accepting <= table.states
        and (not table.certain or set(cells[table.certain * table.width :][: table.width]) == {table.certain})
    )


@pytest.mark.parametrize("seed", range(8))
def test_random_expressions_match_what_re2_matches(seed: int) -> None:
    draw = random.Random(seed)
    options = re2.Options()
    options.log_errors = False
    compared = exploded = 0
    for _ in range(400):
        text = expression(draw)
        if refusal(text) is not None:
            with pytest.raises(Refused):
                compile_expression(text, search=False)
            continue
        oracle = re2.compile(text, options)
        try:
            tables = {search: compile_expression(text, search=search) for search in (False, True)}
        except Refused as wrong:
            assert "states" in str(wrong), text
            exploded += 1
            continue
        assert all(map(is_well_formed, tables.values())), text
        for _ in range(30):
            given = "".join(draw.choice(LETTERS) for _ in range(draw.randint(0, 6)))
            for search, table in tables.items():
                wanted = (oracle.search if search else oracle.fullmatch)(given) is not None
                assert matches(table, given) == wanted, (text, given, search)
                compared += 1
    assert compared > 8_000
    assert exploded < 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a|b", "[ab]"),
        ("(?:a*)*", "a*"),
        ("x{2}x*", "xx+"),
        ("(?i)a", "[aA]"),
        ("a(b|c)|ad", "a[b-d]"),
        ("\\d", "[0-9]"),
    ],
)
def test_expressions_of_one_meaning_are_one_table(one: str, other: str) -> None:
    for search in (False, True):
        assert compile_expression(one, search=search) == compile_expression(other, search=search)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("(a", "missing )"),
        ("a**", "bad repetition operator: **"),
        ("(?=a)", "invalid perl operator: (?="),
        ("(a)\\1", "invalid escape sequence: \\1"),
        ("a{1001}", "invalid repetition size: {1001}"),
        ("[z-a]", "invalid character class range: z-a"),
        ("\\pL", "Unicode classes (\\p) are not supported: classes are ASCII"),
        ("\\C", "\\C is not supported: a character is not cut into bytes"),
        ("(a|b)*a(a|b){20}", "its table would have more than 10,000 states, or take too long to make"),
        ("((a{100}){100}){100}", "invalid repetition size: {100}"),
        ("a" * 8193, "it is longer than 8,192 characters"),
        ("(" * 300 + ")" * 300, "groups are nested more than 200 deep"),
    ],
)
def test_refusals_say_why(text: str, reason: str) -> None:
    with pytest.raises(Refused) as refused:
        compile_expression(text, search=False)
    assert reason in str(refused.value)


def test_a_table_has_at_most_ten_thousand_states() -> None:
    assert compile_expression("(a|b)*a(a|b){12}", search=False).states == 8193
    with pytest.raises(Refused):
        compile_expression("(a|b)*a(a|b){13}", search=False)


def test_a_search_is_certain_where_it_has_found() -> None:
    found = compile_expression("/get", search=True)
    assert found.certain
    assert matches(found, "/x?y=/get/more")
    assert not matches(found, "/forget")
    assert not compile_expression("/get$", search=True).certain
