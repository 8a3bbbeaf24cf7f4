"""Text from outside, as terminals, logs and headers get it."""

from typing import Final

import pytest

from supervisor.source.escape import escape, escape_unprintable

ESCAPED: Final = {
    "plain": ("plain ~", "plain ~"),
    "an escape sequence": ("\x1b[31mred", "\\x1b[31mred"),
    "newline and tab": ("a\nb\tc", "a\\x0ab\\x09c"),
    "other scripts, by their bytes": ("bücher", "b\\xc3\\xbccher"),
    "right-to-left override": ("\u202egnp", "\\xe2\\x80\\xaegnp"),
    "a file name that is not UTF-8": ("\udcff", "\\xff"),
    "a lone surrogate": ("\ud800", "\\ud800"),
    "DEL": ("\x7f", "\\x7f"),
}


@pytest.mark.parametrize(("text", "expected"), ESCAPED.values(), ids=list(ESCAPED))
def test_terminals_see_printable_ascii_only(text: str, expected: str) -> None:
    assert escape(text) == expected


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("plain", "plain"),
        ("größe", "größe"),
        ("a\x00b\x7f\x9b", "a\\x00b\\x7f\\xc2\\x9b"),
        ("\u202edlrow", "\\xe2\\x80\\xaedlrow"),
        ("\udcff", "\\xff"),
        (b"a\xffb\\", "a\\xffb\\x5c"),
        (b"\x1b]0;x\x07", "\\x1b]0;x\\x07"),
    ],
)
def test_untrusted_bytes_cannot_be_printed(raw: str | bytes, shown: str) -> None:
    assert escape_unprintable(raw) == shown
