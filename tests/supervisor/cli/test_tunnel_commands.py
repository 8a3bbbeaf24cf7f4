"""`sluice tunnels` and `sluice stats` on what a gateway may answer: texts that fit a terminal, and nothing it obeys."""

from typing import Any

import pytest
from click.testing import CliRunner, Result

from supervisor.cli import main
from supervisor.cli import stats as stats_command
from supervisor.cli import tunnels as tunnels_command
from supervisor.cli.asking import Target


def item(**changes: Any) -> dict[str, Any]:
    """One tunnel, as the gateway lists it."""
    return {
        "id": "0-1a-1",
        "opened": "2024-01-01T00:00:00.000Z",
        "duration_ms": 61_500,
        "state": "open",
        "protocol": "socks5",
        "source": {"ip": "192.0.2.1", "port": 5000, "identity": None, "identity_source": None, "user": None},
        "destination": {"host": "api.example.com", "port": 443, "address": "2001:db8::1"},
        "verdict": "allow",
        "rule": "shop/cart",
        "reason": "rule_allow",
        "would_deny": False,
        "bytes_up": 999,
        "bytes_down": 1536,
        **changes,
    }


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The questions of the commands; `answer` of the last one is given by each test."""
    return []


def run(
    monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]], answer: dict[str, Any], *arguments: str
) -> Result:
    def ask(_: Target, request: dict[str, Any], *__: object) -> dict[str, Any]:
        asked.append(dict(request))
        return {"ok": True, **answer}

    for module in (tunnels_command, stats_command):
        monkeypatch.setattr(module, "ask", ask)
    return CliRunner().invoke(main, [*arguments, "--endpoint", "ipc:///nowhere"])


def test_a_table_of_tunnels(monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]) -> None:
    source = {
        "ip": "2001:db8::9",
        "port": 6000,
        "identity": "shop/robot",
        "identity_source": "password",
        "user": "ci",
    }
    items = [item(), item(id="1-1b-77", source=source, rule=None, reason="passthrough", would_deny=True)]
    done = run(monkeypatch, asked, {"items": items, "next": "1.9"}, "tunnels", "--to", "*.com", "--limit", "2")
    assert done.exit_code == 0
    assert asked == [{"op": "tunnels", "to": "*.com", "limit": 2}]
    head, first, second, more = done.output.splitlines()
    assert head.split() == list(tunnels_command.HEAD)
    assert "192.0.2.1:5000" in first and "api.example.com:443 (2001:db8::1)" in first and "shop/cart" in first
    assert first.split()[-3:] == ["999", "1.5K", "open"]
    assert "ci [2001:db8::9]:6000" in second and "passthrough (audit)" in second
    assert head.index("DESTINATION") == first.index("api.") == second.index("api.")
    assert "--after 1.9" in more


def test_what_policy_denies_by_now_is_kept_or_revoked(
    monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]
) -> None:
    denied = {"verdict": "deny", "rule": None, "reason": "no_rule"}
    items = [item(**denied), item(**denied, state="half_closed"), item(**denied, state="revoked"), item()]
    done = run(monkeypatch, asked, {"items": items, "next": None}, "tunnels")
    assert [line.split()[-1] for line in done.output.splitlines()[1:]] == ["kept", "kept", "revoked", "open"]


def test_what_a_terminal_would_obey_is_escaped(monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]) -> None:
    hostile = "\x1b[2J\u202eevil"
    items = [item(destination={"host": hostile, "port": 1, "address": None}, rule=hostile, state=hostile)]
    done = run(monkeypatch, asked, {"items": items, "next": hostile}, "tunnels")
    assert "\x1b" not in done.output and "\u202e" not in done.output
    done = run(monkeypatch, asked, {"items": items, "next": None}, "tunnels", "--json")
    assert done.output.isascii() and "\x1b" not in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--kill", "0-1-1", "--to", "a"], ["--kill", "0-1-1", "--limit", "5"], ["--to", "a:0"], ["--from", ""]),
        *(["--limit", "0"], ["--limit", "1001"], ["--limit", "x"], ["--kill"], ["--nothing"], ["extra"]),
    ],
    ids=" ".join,
)
def test_bad_arguments(monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]], arguments: list[str]) -> None:
    assert run(monkeypatch, asked, {}, "tunnels", *arguments).exit_code == 2
    assert asked == []


def test_kill_says_what_became_of_it(monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]) -> None:
    done = run(monkeypatch, asked, {"id": "0-1-1", "ended": True}, "tunnels", "--kill", "0-1-1")
    assert (done.exit_code, done.output) == (0, "0-1-1 was reset\n")
    assert asked == [{"op": "kill", "id": "0-1-1"}]
    done = run(monkeypatch, asked, {"id": "0-1-1", "ended": False}, "tunnels", "--kill", "0-1-1")
    assert done.exit_code == 1 and "has not followed yet" in done.output


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"), (999, "999"), (1000, "1.0K"), (1536, "1.5K"), (10_188, "9.9K"), (10_240, "10K"), (1 << 20, "1.0M"),
        (1_048_000, "1.0M"), (5 << 30, "5.0G"), (1 << 62, "4.0E"), ((1 << 64) - 1, "16E"),
    ],
)  # fmt: skip
def test_sizes(count: int, text: str) -> None:
    assert tunnels_command._size(count) == text


AGES = {0: "0s", 59: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m", 86_400 * 3 + 7 * 3600: "3d07h"}


@pytest.mark.parametrize("seconds", AGES)
def test_ages(seconds: int) -> None:
    assert tunnels_command._age(seconds * 1000 + 999) == AGES[seconds]


def test_rates_between_two_answers() -> None:
    before: dict[str, Any] = {"uptime": 10.0, "counters": {"dials_total": 5, "tunnels_open": 1}}
    after: dict[str, Any] = {"uptime": 12.0, "counters": {"dials_total": 105, "tunnels_open": 9, "new_total": 4}}
    rates = {name: stats_command._rate(name, after, before) for name in after["counters"]}
    assert rates == {"dials_total": "50/s", "tunnels_open": "", "new_total": ""}
    assert stats_command._rate("dials_total", after, None) == ""
    assert stats_command._rate("dials_total", before, before) == ""


def test_stats_show_what_counters_consist_of(monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]) -> None:
    answer = {
        "version": "1", "generation": 2, "uptime": 3.0, "workers": [],
        "counters": {"tunnels_total": 5, "policy_rules": 1},
        "by_label": {"tunnels_total": {"closed": 2, "reset": 3, "killed": 0}},
    }  # fmt: skip
    done = run(monkeypatch, asked, answer, "stats")
    (line,) = [line for line in done.output.splitlines() if line.startswith("tunnels_total")]
    assert line.split() == ["tunnels_total", "5", "reset", "3,", "closed", "2"]
    assert not any(line != line.rstrip() for line in done.output.splitlines())


def test_stats_say_which_problems_the_last_reload_had(
    monkeypatch: pytest.MonkeyPatch, asked: list[dict[str, Any]]
) -> None:
    """A line each, whole however long, and nothing in them is obeyed."""
    problems = ["policy.yaml:5:3: " + "x" * 300, "evil\x1b[2J"]
    answer = {
        "version": "1", "generation": 2, "uptime": 3.0, "counters": {}, "problems": problems,
        "restart_needed": ["workers", "admin"],
        "workers": [{"slot": 0, "pid": None, "state": "backoff", "generation": 0, "restarts": 7, "crash_loop": True}],
    }  # fmt: skip
    lines = run(monkeypatch, asked, answer, "stats").output.splitlines()
    assert lines[1:4] == ["the last reload was refused:", f"  {problems[0]}", "  evil\\x1b[2J"]
    assert lines[4] == "restart needed for: workers, admin"
    assert lines[7].split() == ["0", "-", "backoff", "(crash", "loop)", "0", "7"]
