"""Users and their hashes: what is accepted, what is refused, and that nothing of a hash is ever repeated."""

import base64
import hashlib
from pathlib import Path
from typing import Final

import pytest

from supervisor.identity.passwords import dummy_hash, hash_password, parse_hash, verify_password
from supervisor.identity.users import User, load_users
from supervisor.source.problems import Problems, render
from tests.support.front import HASH, without

CHEAP: Final = (1024, 8, 1)


def loaded(folder: Path, text: str) -> tuple[tuple[User, ...], list[str], list[str]]:
    """Users, errors and warnings of a file."""
    (folder / "users.yaml").write_text(text)
    problems = Problems()
    users = load_users(str(folder / "users.yaml"), problems)
    return users, without(folder, render(problems.errors)), without(folder, render(problems.warnings))


def test_a_password_is_recognised_and_another_is_not() -> None:
    text = hash_password(b"correct horse")
    assert verify_password(b"correct horse", text)
    for wrong in (b"correct horsf", b"correct hors", b"", b"correct horse\0", b"x" * 256):
        assert not verify_password(wrong, text)


def test_hashes_are_salted_and_of_the_documented_form() -> None:
    first, second = hash_password(b"x", CHEAP), hash_password(b"x", CHEAP)
    assert first != second
    name, n, r, p, salt, key = first.split("$")
    assert (name, n, r, p) == ("scrypt", "1024", "8", "1")
    expected = hashlib.scrypt(b"x", salt=base64.b64decode(salt), n=1024, r=8, p=1, dklen=32)
    assert base64.b64decode(key) == expected


def test_a_known_vector() -> None:
    """RFC 7914 section 12, the third one: password `pleaseletmein`, salt `SodiumChloride`, N 16384, r 8, p 1."""
    key = bytes.fromhex(
        "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
        "d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887"
    )
    text = f"scrypt$16384$8$1${base64.b64encode(b'SodiumChloride').decode()}${base64.b64encode(key).decode()}"
    assert verify_password(b"pleaseletmein", text)


@pytest.mark.parametrize("password", [b"", b"x" * 256, b"a\0"])
def test_passwords_have_bounds(password: bytes) -> None:
    with pytest.raises(ValueError, match="1 to 255 bytes"):
        hash_password(password, CHEAP)
    assert not verify_password(password, HASH)


def test_no_password_fits_the_dummy_and_it_costs_what_the_others_cost() -> None:
    assert not verify_password(b"x", dummy_hash([HASH]))
    cost = parse_hash(dummy_hash([hash_password(b"a", (2048, 8, 2)), hash_password(b"b", (2048, 8, 2)), HASH]))
    assert (cost.n, cost.r, cost.p, len(cost.key)) == (2048, 8, 2, 32)
    assert parse_hash(dummy_hash()).n == 1 << 15


SALT: Final = "AAAAAAAAAAAAAAAAAAAAAA"
KEY: Final = "A" * 43
BAD_HASHES: Final = {
    "another scheme": ("bcrypt$1024$8$1$x$y", "reads scrypt$N$r$p$salt$key"),
    "a part missing": (f"scrypt$1024$8$1${SALT}", "reads scrypt$N$r$p$salt$key"),
    "words for numbers": (f"scrypt$many$8$1${SALT}${KEY}", "decimal numbers"),
    "other digits": (f"scrypt$\u0661024$8$1${SALT}${KEY}", "decimal numbers"),
    "a number without end": (f"scrypt${'9' * 5000}$8$1${SALT}${KEY}", "decimal numbers"),
    "N is not a power of two": (f"scrypt$1000$8$1${SALT}${KEY}", "a power of two, at least 1024"),
    "N is too small": (f"scrypt$512$8$1${SALT}${KEY}", "a power of two, at least 1024"),
    "more memory than we give": (f"scrypt$131072$8$1${SALT}${KEY}", "too large: at most 64 MiB"),
    "more work than we give": (f"scrypt$32768$8$17${SALT}${KEY}", "too large: at most 64 MiB"),
    "r is zero": (f"scrypt$1024$0$1${SALT}${KEY}", "too large"),
    "not base64": (f"scrypt$1024$8$1${SALT}${'!' * 43}", "are base64"),
    "half a byte": (f"scrypt$1024$8$1$A${KEY}", "are base64"),
    "a short salt": (f"scrypt$1024$8$1$AAAA${KEY}", "the wrong length"),
    "a short key": (f"scrypt$1024$8$1${SALT}$AAAA", "the wrong length"),
    "a long key": (f"scrypt$1024$8$1${SALT}${'A' * 400}", "the wrong length"),
}


@pytest.mark.parametrize(("text", "expected"), BAD_HASHES.values(), ids=list(BAD_HASHES))
def test_a_hash_that_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    _, errors, _ = loaded(tmp_path, f"users:\n  - name: bob\n    hash: {text}\n")
    assert len(errors) == 1
    assert errors[0].startswith("users.yaml:3:11: hash: ") and expected in errors[0]
    assert text not in errors[0] and KEY not in errors[0]


def test_padding_of_base64_may_be_left_out() -> None:
    assert parse_hash(f"scrypt$1024$8$1${SALT}${KEY}") == parse_hash(HASH)


def test_a_users_file_is_read(tmp_path: Path) -> None:
    text = (
        f"users:\n  - {{name: bob, hash: {HASH}, identity: {{namespace: shop, serviceAccount: cart}}}}\n"
        f"  - {{name: ann@example.com, hash: {HASH}, identity: {{namespace: shop}}}}\n  - {{name: eve, hash: {HASH}}}\n"
    )
    users, errors, warnings = loaded(tmp_path, text)
    assert errors == []
    assert users == (User("bob", HASH, "shop", "cart"), User("ann@example.com", HASH, "shop"), User("eve", HASH))
    assert warnings[0] == "users.yaml:2:23: the hash is weak: N is below 16384 (set the password again)"
    assert loaded(tmp_path, "users: []\n") == ((), [], [])


BAD_FILES: Final = {
    "empty": ("", "users.yaml: the file is empty"),
    "a list": ("- bob\n", "users.yaml:1:1: expected a mapping, found a list"),
    "no users": ("{}\n", "users.yaml:1:1: `users` is missing (write `users: []` when there are none)"),
    "an unknown key": (
        f"users: [{{name: a, hash: {HASH}, pasword: x}}]",
        f"users.yaml:1:{27 + len(HASH)}: unknown key `pasword` (known: name, hash, identity)",
    ),
    "a name with a colon": (
        f"users: [{{name: 'a:b', hash: {HASH}}}]",
        "users.yaml:1:16: name: expected a user name: 1 to 255 printable ASCII characters without blanks and ':', "
        "found the text",
    ),
    "a name that is a number": (
        f"users: [{{name: 7, hash: {HASH}}}]",
        "users.yaml:1:16: name: expected a text, found the number (put it in quotes)",
    ),
    "a user twice": (
        f"users:\n - {{name: a, hash: {HASH}}}\n - {{name: a, hash: {HASH}}}\n",
        "users.yaml:3:4: duplicate user `a` (it is first set in line 2)",
    ),
    "a user without a hash": (
        "users: [{name: a}]", "users.yaml:1:9: `hash` is missing (`sluice user add a` makes one)",
    ),
    "a user without a name": (f"users: [{{hash: {HASH}}}]", "users.yaml:1:9: `name` is missing"),
    "an identity without a namespace": (
        f"users: [{{name: a, hash: {HASH}, identity: {{serviceAccount: b}}}}]",
        f"users.yaml:1:{37 + len(HASH)}: `namespace` is missing",
    ),
    "hashes for entries": (f"users: [{HASH}]", "users.yaml:1:9: expected a mapping, found the text"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), BAD_FILES.values(), ids=list(BAD_FILES))
def test_a_users_file_that_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    _, errors, _ = loaded(tmp_path, text)
    assert errors == [expected]


def test_a_file_that_others_can_write_is_worth_a_word(tmp_path: Path) -> None:
    (tmp_path / "users.yaml").write_text("users: []\n")
    (tmp_path / "users.yaml").chmod(0o666)
    problems = Problems()
    load_users(str(tmp_path / "users.yaml"), problems)
    expected = "users.yaml: others than its owner can write this file (chmod 600)"
    assert without(tmp_path, render(problems.warnings)) == [expected]
