"""The admin endpoint's pages as a browser gets them: tables of what the JSON says, and nothing of clients unescaped."""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any, Final

import pytest

from supervisor.admin import pages
from tests.supervisor.admin.test_admin import ask
from tests.support.front import POLICY, write
from tests.support.harness import Greeted, Running

BROWSER: Final = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
HOSTILE: Final = "<script>alert(1)</script>\"'&\x1b[2J\u202e"


class Reader(HTMLParser):
    """The cells of tables, all text, and every tag."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data.strip()


ACCEPTS: Final = {
    BROWSER: True,
    "text/html": True,
    "TEXT/HTML;q=0.5, */*": True,
    "application/json;q=0.1, text/html;q=0.2": True,
    "": False,
    "*/*": False,
    "application/json": False,
    "application/json, text/html;q=0.9": False,
    "text/html;q=0": False,
    "text/html;q=x": False,
    "text/*": False,
    "text/htmlx": False,
}


def test_a_browser_gets_tables_and_a_program_gets_json(tmp_path: Path) -> None:
    write(tmp_path, policy_yaml=POLICY)
    with Running(config={"policy": {"paths": [str(tmp_path / "policy.yaml")]}}) as gateway, Greeted(gateway.port):
        for path in ("/stats", "/tunnels", "/policy"):
            for accept, html in ACCEPTS.items():
                reply = ask(gateway.admin, path, Accept=accept)
                kind = "text/html" if html else "application/json"
                assert reply.headers["content-type"].startswith(kind), (path, accept)
                assert reply.headers["vary"] == "Accept" and reply.status == 200
        shown = Reader(ask(gateway.admin, "/stats", Accept=BROWSER).body.decode())
        assert {"connections_accepted_total", str(gateway.all_ready()[0]["pid"])} <= set(shown.cells)
        shown = Reader(ask(gateway.admin, "/policy", Accept=BROWSER).body.decode())
        assert {"ClusterEgressPolicy/web", "api.example.com", f"{tmp_path}/policy.yaml:6"} <= set(shown.cells)
        index = ask(gateway.admin, "/", Accept=BROWSER).body.decode()
        assert all(f'href="{path}"' in index for path in ("/stats", "/tunnels", "/policy"))
        # The fields of a form that were left empty are no filter.
        reply = ask(gateway.admin, "/tunnels?from=&to=&rule=ClusterEgressPolicy/web", Accept=BROWSER)
        assert reply.status == 200 and b'value="ClusterEgressPolicy/web"' in reply.body
        assert ask(gateway.admin, "/tunnels?from=&to=").status == 400


TUNNEL: Final[dict[str, Any]] = {
    "id": "0-1-1",
    "duration_ms": 7_505_000,
    "protocol": "socks5",
    "source": {"ip": "2001:db8::1", "port": 5, "identity": HOSTILE, "user": HOSTILE},
    "destination": {"host": HOSTILE, "port": 443, "address": "192.0.2.1"},
    "rule": HOSTILE,
    "reason": "rule_allow",
    "would_deny": True,
    "bytes_up": 812,
    "bytes_down": 31_457_280,
    "verdict": "deny",
    "state": "open",
}
STATS: Final[dict[str, Any]] = {
    "version": HOSTILE,
    "generation": 3,
    "workers": [{"slot": 0, "pid": None, "state": HOSTILE, "generation": 3, "restarts": 1, "crash_loop": True}],
    "counters": {HOSTILE: 1},
    "by_label": {HOSTILE: {HOSTILE: 1}},
    "problems": [HOSTILE],
    "restart_needed": [HOSTILE],
    "supervisor": {HOSTILE: 2},
}
RULE: Final[dict[str, Any]] = {
    "rule": {"kind": "EgressPolicy", "namespace": "shop", "name": HOSTILE, "index": 0, "file": HOSTILE, "line": 6},
    "action": "Deny",
    "hard": True,
    "conditional": False,
    "from": [{"user": HOSTILE}, {}],
    "to": {"host": HOSTILE, "cidr": None, "hostsFrom": None, "ports": [443, "8000-8100"], "except": [HOSTILE]},
    "onRevoke": None,
    "innerName": None,
    "inner": None,
    "ech": None,
    "upstream": HOSTILE,
    "sourceAddress": ["192.0.2.1"],
    "tls": None,
}
POLICY_ANSWER: Final[dict[str, Any]] = {
    "generation": 3,
    "config": HOSTILE,
    "loaded_at": 0.0,
    "counts": {"rules": 1},
    "warnings": [HOSTILE],
    "items": [RULE],
    "next": HOSTILE,
}
PAGES: Final = {
    "index": lambda: pages.index(STATS, HOSTILE),
    "stats": lambda: pages.stats(STATS, {}),
    "tunnels": lambda: pages.tunnels({"items": [TUNNEL], "next": HOSTILE}, {"from": HOSTILE, "limit": 5}),
    "policy": lambda: pages.policy(POLICY_ANSWER, {"limit": HOSTILE}),
}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_of_others_becomes_a_tag_or_an_attribute(name: str) -> None:
    text = PAGES[name]()
    assert text.isascii() and "\x1b" not in text
    assert "script" not in Reader(text).tags
    assert "\"'&" not in text and "&lt;script&gt;alert(1)&lt;/script&gt;&quot;&#x27;&amp;\\x1b[2J" in text


def test_a_person_can_read_the_numbers() -> None:
    cells = Reader(PAGES["tunnels"]()).cells
    assert {"2 h 5 min", "812 bytes", "30 MiB", "kept"} <= set(cells)
    assert any(cell.endswith("[2001:db8::1]:5") for cell in cells)
    assert any(cell.endswith(":443 (192.0.2.1)") for cell in cells)
    cells = Reader(PAGES["policy"]()).cells
    assert {"Deny (hard)", "443, 8000-8100"} <= set(cells)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (17.9, "17 s"), (303, "5 min 3 s"), (7500, "2 h 5 min"), (285_000, "3 d 7 h")]
)
def test_durations(seconds: float, text: str) -> None:
    assert pages.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1536, "1.5 KiB"), (1 << 40, "1.0 TiB"), (1 << 70, "1048576 PiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert pages.size(count) == text
