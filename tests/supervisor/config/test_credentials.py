"""`credentials` of sluice.yaml and their files: what is wrong is said with its place, and nothing of a value."""

import os
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from supervisor.config.config import Config
from supervisor.config.credentials import Credential
from supervisor.config.effective import as_yaml
from supervisor.config.reader import load_config
from supervisor.config.trust import NamedFile
from supervisor.generation.credentials import check_files
from supervisor.host.secrets import LONGEST_SECRET, read_secret, shared
from supervisor.source.problems import Problems

USUAL: Final = {"name": "stripe", "file": "stripe.token", "hosts": ["api.stripe.com"], "namespaces": ["shop"]}
VALUE: Final = "sk_live_abc"


def loaded(folder: Path, *entries: Any, content: bytes | None = b"sk_live_abc\n") -> tuple[Config | None, list[str]]:
    """The configuration, and errors with their places."""
    path = folder / "sluice.yaml"
    document = {"credentials": list(entries), "control": {"endpoint": "ipc:///run/n"}}
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    if content is not None:
        (folder / "stripe.token").write_bytes(content)
    problems = Problems()
    config = None
    try:
        config = load_config(str(path))
        check_files(config.credentials, problems)
    except Problems as wrong:
        problems = wrong
    return config, [str(error) for error in problems.errors]


def test_all_of_it(tmp_path: Path) -> None:
    wide = {"name": "wide", "file": "stripe.token", "hosts": ["*.Example.com", "b.test"], "insecure": True}
    config, errors = loaded(tmp_path, USUAL, wide)
    assert errors == [] and config is not None
    one, two = config.credentials
    assert (one.hosts, one.namespaces, one.insecure) == (("api.stripe.com",), ("shop",), False)
    assert (two.hosts, two.namespaces, two.insecure) == (("*.example.com", "b.test"), None, True)
    printed = yaml.safe_load(as_yaml(config))["credentials"]
    assert printed == [
        {**USUAL, "file": str(tmp_path / "stripe.token"), "insecure": False},
        {**wide, "file": str(tmp_path / "stripe.token"), "hosts": ["*.example.com", "b.test"]},
    ]
    assert VALUE not in as_yaml(config)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": None}, "expected a text"),
        ({"name": "a b"}, "expected a name of at most 63"),
        ({"file": None}, "expected a text"),
        ({"hosts": None}, "expected a list"),
        ({"hosts": []}, "the list is empty"),
        ({"hosts": ["*"]}, "`*` is not a host"),
        ({"hosts": ["*stripe.com"]}, "`*stripe.com` is not a host"),
        ({"hosts": ["10.0.0.1"]}, "`10.0.0.1` is an address"),
        ({"hosts": ["2001:db8::1"]}, "`2001:db8::1` is an address"),
        ({"hosts": ["a.test", "A.test"]}, "duplicate item `a.test`"),
        ({"namespaces": []}, "the list is empty"),
        ({"namespaces": ["Shop"]}, "expected a namespace"),
        ({"insecure": "maybe"}, "expected"),
        ({"host": "a.test"}, "unknown key `host` (did you mean `hosts`?)"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    _, errors = loaded(tmp_path, {**USUAL, **change})
    assert errors and all(error.startswith(f"{tmp_path}/sluice.yaml:") for error in errors)
    assert any(said in error for error in errors), errors


def test_a_name_twice(tmp_path: Path) -> None:
    _, errors = loaded(tmp_path, USUAL, USUAL)
    assert len(errors) == 1 and "duplicate credential `stripe` (it is first used in line" in errors[0]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read: No such file or directory"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"sk_live_abc\nmore", "has more than one line"),
        (b"sk_live_abc\n\n", "has more than one line"),
        (b"sk_live\rabc", "has more than one line"),
        (b"sk_live\0abc", "holds a NUL byte"),
        (b" sk_live_abc", "holds a byte that is not visible ASCII, or a space at an end"),
        (b"\xef\xbb\xbfsk_live_abc", "holds a byte that is not visible ASCII"),
        (b"x" * (LONGEST_SECRET + 1), f"is longer than {LONGEST_SECRET} bytes"),
        (b"x" * (1 << 20), f"is longer than {LONGEST_SECRET} bytes"),
    ],
)
def test_a_file_that_holds_no_value(tmp_path: Path, content: bytes | None, fault: str) -> None:
    _, errors = loaded(tmp_path, USUAL, content=content)
    assert len(errors) == 1 and errors[0].startswith(f"{tmp_path}/sluice.yaml:3:9: the file `{tmp_path}/stripe.token`")
    assert f"of the credential `stripe` {fault}" in errors[0]
    assert "sk_live" not in errors[0]


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "closed").write_text(VALUE)
    (tmp_path / "closed").chmod(0)
    assert read_secret(str(tmp_path / "pipe"))[1] == "is not a regular file"
    assert read_secret(str(tmp_path))[1] == "is not a regular file"
    if os.geteuid() != 0:
        assert read_secret(str(tmp_path / "closed"))[1] == "cannot be read: Permission denied"


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("value", [b"a", b"with blanks inside", b"x" * LONGEST_SECRET])
def test_a_value_is_the_one_line(tmp_path: Path, value: bytes, end: bytes) -> None:
    (tmp_path / "token").write_bytes(value + end)
    secret, fault = read_secret(str(tmp_path / "token"))
    assert secret is not None and fault == ""
    descriptor = shared([None, secret, secret])
    assert os.pread(descriptor, 1 << 20, 0) == value * 2
    os.close(descriptor)
    secret.close()
    secret.close()
    assert secret.length == 0


@pytest.mark.parametrize(
    ("hosts", "pattern", "covered"),
    [
        (("a.test",), "a.test", True),
        (("a.test",), "b.a.test", False),
        (("a.test",), "*.a.test", False),
        (("*.a.test",), "b.a.test", True),
        (("*.a.test",), "c.b.a.test", True),
        (("*.a.test",), "a.test", False),
        (("*.a.test",), "*.a.test", True),
        (("*.a.test",), "*.b.a.test", True),
        (("*.a.test",), "nota.test", False),
        (("*.a.test",), "*.test", False),
        (("*.a.test", "b.test"), "*", False),
    ],
)
def test_which_hosts_are_covered(hosts: tuple[str, ...], pattern: str, covered: bool) -> None:
    assert Credential("c", NamedFile(""), hosts).covers(pattern) == covered
