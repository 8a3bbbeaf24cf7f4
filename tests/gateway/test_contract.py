"""csrc/contract.h and gateway/contract.py say the same, and zero is always the safe answer."""

import re
from pathlib import Path

from gateway import contract, policy

HEADER = (Path(__file__).resolve().parents[2] / "csrc/contract.h").read_text()


def names(macro: str) -> list[str]:
    """The texts of an X-macro of the header, in order."""
    body = re.search(rf"#define {macro}\(X\)((?:.*\\\n)*.*\n)", HEADER)
    assert body is not None
    return re.findall(r'X\(\w+, "(\w+)"[,)]', body.group(1))


def enum(name: str) -> dict[str, int]:
    """The constants of a plain enum of the header."""
    body = re.search(rf"enum {name} {{(.*?)}}", HEADER, re.S)
    assert body is not None
    return {key: int(value) for key, value in re.findall(r"(SL_\w+) = (\d+)", body.group(1))}


def test_the_tables_of_the_extension_are_those_of_the_header() -> None:
    assert list(policy.phase_names()) == names("SL_PHASES")
    assert list(policy.reason_names()) == names("SL_REASONS")
    assert list(policy.outcome_names()) == names("SL_OUTCOMES")


def test_zero_is_never_a_success() -> None:
    assert enum("sl_verdict")["SL_DENY"] == 0
    assert names("SL_REASONS")[0] == names("SL_OUTCOMES")[0] == "internal"
    assert names("SL_PHASES")[0] == "none"
    assert enum("sl_on_revoke")["SL_REVOKE_KILL"] == 0


def test_inherited_descriptors_stand_in_the_same_order() -> None:
    order = enum("sl_fd")
    assert order["SL_FD_CHANNEL"] == contract.FD_CHANNEL
    assert order["SL_FD_SEGMENT"] == contract.FD_SEGMENT
    assert order["SL_FD_LIMITS"] == contract.FD_LIMITS
    assert order["SL_FD_LISTENERS"] == contract.FD_LISTENERS
    assert contract.listener_fd(2, 1, 3) == contract.FD_LISTENERS + 7
