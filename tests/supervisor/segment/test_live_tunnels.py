"""Records of live tunnels: read as their worker wrote them, shown, filtered, and never trusted."""

import json
import os
import random
from collections.abc import Iterator
from typing import Any, Final

import pytest

from supervisor.segment.live_tunnels import LiveTunnel, TunnelId, left_over, parse, parse_id, protocols, read
from supervisor.segment.rule_slots import RuleSlots
from supervisor.segment.segment import RECORD, SLOT_NONE, Segment, size_of
from supervisor.tunnels.filter import FilterError, TunnelFilter, make_filter
from supervisor.tunnels.view import Now, Viewer
from tests.support.writer import Writer

SLOTS: Final = RuleSlots({"EgressPolicy/shop/cart": 1, "ClusterEgressPolicy/mesh": 2})
VIEWER: Final = Viewer(3, ["mesh", "second"], SLOTS)
NOW: Final = Now(1_700_000_001_500, 5_001_500)


@pytest.fixture
def shared() -> Iterator[Segment]:
    opened = Segment(0, 64)
    yield opened
    opened.close()


@pytest.fixture
def worker(shared: Segment) -> Iterator[Writer]:
    with Writer(shared) as opened:
        yield opened


def the_tunnel(shared: Segment, index: int = 0) -> LiveTunnel:
    found = read(shared, index)
    assert found is not None
    return found


def test_every_field_is_read(shared: Segment, worker: Writer) -> None:
    worker.tunnel(
        9, opened_ms=123_456_789, generation=4, up=1 << 40, down=7, rule=12, rule_slot=1, listener=1,
        peer=b"2001:db8::1", peer_port=50_000, port=8443, dialed=b"203.0.113.9", protocol=3, verdict=2, phase=1,
        reason=6, would_deny=1, user=b"ci", name=b"api.example.com",
    )  # fmt: skip
    tunnel = the_tunnel(shared)
    assert tunnel == LiveTunnel(
        number=9, opened_ms=123_456_789, generation=4, bytes_up=1 << 40, bytes_down=7, rule=12, rule_slot=1,
        listener=1, peer_port=50_000, port=8443, dialed_port=8443, state="open", verdict=2, protocol=3, phase=1,
        reason=6, flags=4, peer="2001:db8::1", dialed="203.0.113.9", user=b"ci", name=b"api.example.com",
    )  # fmt: skip
    assert tunnel.would_deny and not tunnel.user_cut and not tunnel.name_cut


def test_a_record_that_is_free_or_being_written_is_passed_over(shared: Segment, worker: Writer) -> None:
    first, second = worker.tunnel(1), worker.tunnel(2)
    worker.release(first)
    assert read(shared, 0) is None
    worker.edit(second)
    assert read(shared, 1) is None
    worker.done(second)
    assert the_tunnel(shared, 1).number == 2


def test_what_a_dead_worker_leaves(shared: Segment, worker: Writer) -> None:
    """Also what it was writing when it died; what it had closed is gone."""
    worker.release(worker.tunnel(1))
    worker.tunnel(2, protocol=1)
    worker.tunnel(3, protocol=1)
    worker.edit(worker.tunnel(4, protocol=3))
    table = left_over(shared)
    found = [parse(table[at : at + RECORD]) for at in range(0, len(table), RECORD)]
    assert [tunnel.number for tunnel in found if tunnel] == [2, 3, 4]
    assert protocols(table) == {1: 2, 3: 1}
    shared.reap()
    assert left_over(shared) == b""


def test_an_item_has_what_a_log_line_has(shared: Segment, worker: Writer) -> None:
    worker.tunnel(9, generation=3, rule_slot=1, user=b"ci", up=5, down=6, peer_port=1234)
    assert VIEWER.item(TunnelId(2, 0xABC, 9), the_tunnel(shared), NOW) == {
        "id": "2-abc-9",
        "opened": "2023-11-14T22:13:20.000Z",
        "duration_ms": 1500,
        "state": "open",
        "generation": 3,
        "worker": 2,
        "listener": "mesh",
        "protocol": "socks5",
        "source": {
            "ip": "192.0.2.1",
            "port": 1234,
            "identity": None,
            "identity_source": "password",
            "user": "ci",
        },
        "destination": {"host": "api.example.com", "port": 443, "address": "198.51.100.7"},
        "verdict": "allow",
        "rule": "EgressPolicy/shop/cart",
        "rule_item": None,
        "list_line": None,
        "addresses_refused": None,
        "phase": "none",
        "reason": "internal",
        "would_deny": False,
        "bytes_up": 5,
        "bytes_down": 6,
    }


def test_the_close_line_of_a_lost_tunnel(shared: Segment, worker: Writer) -> None:
    worker.tunnel(9, rule_slot=SLOT_NONE, name=None, up=5, down=6)
    line = VIEWER.close_line(TunnelId(2, 0xABC, 9), the_tunnel(shared), NOW)
    record = json.loads(line)
    assert record["ts"] == "2023-11-14T22:13:21.500Z"
    assert (record["event"], record["id"], record["outcome"]) == ("close", "2-abc-9", "worker_lost")
    assert (record["bytes_up"], record["bytes_down"], record["duration_ms"]) == (5, 6, 1500)
    assert record["rule"] is None
    assert record["destination"] == {"host": "198.51.100.7", "port": 443, "address": "198.51.100.7"}
    assert set(record) == {
        *("ts", "event", "id", "generation", "worker", "listener", "protocol", "source", "destination", "verdict"),
        *("rule", "rule_item", "list_line", "addresses_refused", "phase", "reason", "would_deny", "inner"),
        *("bytes_up", "bytes_down", "duration_ms", "outcome"),
        *("dns_ms", "dial_ms", "source_address", "tls"),
    }  # fmt: skip


def test_long_texts_are_marked_and_hostile_ones_escaped(shared: Segment, worker: Writer) -> None:
    worker.tunnel(1, user=b"u" * 200, name=b"x" * 253)
    worker.tunnel(2, user=b'\x1b[31m"\n\\', name=b"\xff\x00never seen")
    item = VIEWER.item(TunnelId(0, 1, 1), the_tunnel(shared), NOW)
    assert item["source"]["user"] == "u" * 32 + "..."
    assert item["destination"]["host"] == "x" * 120 + "..."
    item = VIEWER.item(TunnelId(0, 1, 2), the_tunnel(shared, 1), NOW)
    assert item["source"]["user"] == '\\x1b[31m"\\x0a\\x5c'
    assert item["destination"]["host"] == "\\xff"


@pytest.mark.parametrize(
    ("slot", "label"),
    [(1, "EgressPolicy/shop/cart"), (2, "ClusterEgressPolicy/mesh"), (0, "other"), (77, "other"), (SLOT_NONE, None)],
)
def test_rules_are_named_by_their_slots(shared: Segment, worker: Writer, slot: int, label: str | None) -> None:
    worker.tunnel(1, rule_slot=slot)
    assert VIEWER.rule(the_tunnel(shared)) == label


def test_any_record_can_be_shown(shared: Segment) -> None:
    """Whatever a worker that was taken over has written."""
    source = random.Random(7)
    for filler in (bytes([255]) * RECORD, bytes([1]) * RECORD, *(source.randbytes(RECORD) for _ in range(500))):
        os.pwrite(shared.fd, filler, size_of(0))
        read(shared, 0)
        tunnel = parse(filler)
        if tunnel is None:
            continue
        text = json.dumps(VIEWER.item(TunnelId(0, 1, tunnel.number), tunnel, NOW))
        assert text.isprintable() and text.isascii()
        assert VIEWER.close_line(TunnelId(0, 1, tunnel.number), tunnel, NOW).isascii()
        for wanted in ({"workload": "a"}, {"to": "b"}, {"rule": "K/c"}):
            make_filter(TunnelFilter(**wanted))(VIEWER, tunnel)


def test_ids_are_read_back() -> None:
    for wanted in (TunnelId(0, 0, 1), TunnelId(255, 0x19A3B2C4D5E, 1 << 63)):
        assert parse_id(str(wanted)) == wanted


@pytest.mark.parametrize(
    "text",
    [
        *("", "-", "--", "0-0", "0-0-", "-1-1-1", "0-g-1", "0-0x1-1", "0-1-1 ", " 0-1-1", "00-1-1", "0-01-1", "0-1-01"),
        *("0-1_0-1", "0-A-1", "\u0661-1-1", "0-1-1\n", "0--1-1", "0-1-1-1", "9" * 70, "0-" + "f" * 60 + "-1"),
    ],
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert parse_id(text) is None


class Known(Viewer):
    """The namespace and service account of every source."""

    def identity(self, tunnel: LiveTunnel) -> tuple[str | None, str | None]:
        return "shop/cart", "network"


def matches(shared: Segment, viewer: Viewer = VIEWER, **wanted: Any) -> bool:
    return make_filter(TunnelFilter(**wanted))(viewer, the_tunnel(shared))


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("192.0.2.1", True), ("192.0.2.0/24", True), ("192.0.2.77/24", True), ("192.0.2.2", False), ("::/0", False),
        ("ci", True), ("c", False), ("shop/cart", True), ("shop/car", False), ("shop", True), ("sho", False),
    ],
)  # fmt: skip
def test_from(shared: Segment, worker: Writer, text: str, hit: bool) -> None:
    worker.tunnel(1, user=b"ci")
    assert matches(shared, Known(3, [], SLOTS), workload=text) is hit


@pytest.mark.parametrize(
    ("text", "hit"),
    [
        ("api.example.com", True), ("API.Example.com.", True), ("api.example.com:443", True), ("example.com", False),
        ("api.example.com:444", False), ("*.example.com", True), ("*.com:443", True), ("*.api.example.com", False),
        ("*.ample.com", False), ("198.51.100.7", True), ("198.51.100.0/24:443", True), ("198.51.100.0/24:80", False),
        ("198.51.100.8", False), ("::1", False), ("[::/0]:443", False),
    ],
)  # fmt: skip
def test_to(shared: Segment, worker: Writer, text: str, hit: bool) -> None:
    worker.tunnel(1)
    assert matches(shared, to=text) is hit


def test_to_an_address_without_a_name(shared: Segment, worker: Writer) -> None:
    worker.tunnel(1, name=None, dialed=b"2001:db8::5")
    assert matches(shared, to="[2001:db8::5]:443") and matches(shared, to="2001:db8::/32")
    assert not matches(shared, to="api.example.com") and not matches(shared, to="*.com")


def test_a_name_that_was_cut_matches_by_its_beginning(shared: Segment, worker: Writer) -> None:
    long = "a" * 60 + "." + "b" * 60 + ".example.com"
    worker.tunnel(1, name=long.encode(), user=b"u" * 40)
    assert matches(shared, to=long)
    assert not matches(shared, to=long.replace("a", "c"))
    assert matches(shared, workload="u" * 40) and not matches(shared, workload="u" * 8)


def test_by_rule_and_all_together(shared: Segment, worker: Writer) -> None:
    worker.tunnel(1, rule_slot=1)
    assert matches(shared, rule="EgressPolicy/shop/cart") and not matches(shared, rule="")
    assert not matches(shared, rule="EgressPolicy/shop") and not matches(shared, rule="Egress/shop/cart")
    assert matches(shared, rule="EgressPolicy/shop/cart", to="*.com", workload="192.0.2.1")
    assert not matches(shared, rule="EgressPolicy/shop/cart", to="*.org", workload="192.0.2.1")


@pytest.mark.parametrize(
    "wanted",
    [
        {"workload": ""}, {"to": ""}, {"to": "a:0"}, {"to": "a:99999"}, {"to": "a:x"}, {"to": "[::1"}, {"to": "*"},
        {"to": "a.*"}, {"to": "*.*.com"}, {"to": "[::1]443"}, {"to": ":443"}, {"to": "a:"},
    ],
    ids=str,
)  # fmt: skip
def test_filters_that_make_no_sense(wanted: dict[str, str]) -> None:
    with pytest.raises(FilterError):
        make_filter(TunnelFilter(**wanted))
