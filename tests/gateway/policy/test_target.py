"""Paths in normal form, as Python asks for them; csrc/bytes/target.h has the rules and their test."""

import pytest

from gateway.policy.target import NotAPath, normal_path


@pytest.mark.parametrize(
    ("path", "normal", "doubtful"),
    [
        ("/a", "/a", False),
        ("", "/", False),
        ("/é", "/%C3%A9", False),
        ("/%7Ea//", "/~a//", True),
        ("/a%2fb", "/a%2Fb", True),
    ],
)
def test_paths(path: str, normal: str, doubtful: bool) -> None:
    assert normal_path(path) == (normal, doubtful)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a", "a path begins with a slash"),
        ("/..", "a path has no segment . or .."),
        ("/%", "% wants two hexadecimal digits"),
    ],
)
def test_texts_that_are_not_paths(path: str, reason: str) -> None:
    with pytest.raises(NotAPath) as wrong:
        normal_path(path)
    assert str(wrong.value) == reason
