"""The supervisor's own log: one line each, nothing that a terminal would obey."""

import json

import pytest

from supervisor.logs.log import Log


def test_json_lines() -> None:
    lines: list[bytes] = []
    log = Log(lines.append, plain=False)
    log.info("ready", "the gateway serves", generation=3, slot=None, name="a\nb")
    (record,) = [json.loads(line) for line in lines]
    assert record.pop("ts").endswith("Z")
    assert record == {
        "level": "info",
        "event": "ready",
        "message": "the gateway serves",
        "generation": 3,
        "slot": None,
        "name": "a\\x0ab",
    }


def test_plain_lines() -> None:
    lines: list[bytes] = []
    log = Log(lines.append, plain=True)
    log.warning("event", "first\nsecond\x1b[31m", slot=1)
    assert lines[0].endswith(b" warning event: first; second\\x1b[31m slot=1")


def test_levels() -> None:
    lines: list[bytes] = []
    log = Log(lines.append, plain=True)
    for level in ("debug", "info", "warning", "error"):
        lines.clear()
        log.set_level(level)
        for method in (log.debug, log.info, log.warning, log.error):
            method("event", "text")
        assert len(lines) == 4 - ("debug", "info", "warning", "error").index(level)
    with pytest.raises(ValueError):
        log.set_level("loud")
