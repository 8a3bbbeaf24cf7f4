"""The exposition: every metric of CONTRACT.md section 7, read by Prometheus' own parser, right and never falling."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import tables
from supervisor.admin import exposition, metrics
from supervisor.segment import segment
from supervisor.segment.labels import FAMILY, STATUS_CLASSES, write_key
from supervisor.segment.rule_slots import RuleSlots
from supervisor.segment.segment import Histogram, Segment
from tests.support.writer import Writer

# CONTRACT.md section 7: names and labels, and what they are.
CONTRACT: Final = {
    "sluice_decisions_total": ("counter", {"verdict", "phase", "rule", "reason"}),
    "sluice_tunnels_open": ("gauge", {"protocol"}),
    "sluice_tunnels_total": ("counter", {"protocol", "outcome"}),
    "sluice_bytes_total": ("counter", {"direction", "rule"}),
    "sluice_dial_seconds": ("histogram", set()),
    "sluice_dns_seconds": ("histogram", set()),
    "sluice_policy_generation": ("gauge", {"worker"}),
    "sluice_policy_rules": ("gauge", set()),
    "sluice_reloads_total": ("counter", {"result"}),
    "sluice_rejudged_total": ("counter", {"result"}),
    "sluice_worker_restarts_total": ("counter", set()),
    "sluice_worker_turn_seconds": ("histogram", set()),
    "sluice_log_dropped_total": ("counter", {"event"}),
    "sluice_limited_total": ("counter", {"scope"}),
    "sluice_http_requests_total": ("counter", {"route", "rule", "method", "class"}),
    "sluice_http_request_seconds": ("histogram", {"route", "class"}),
    "sluice_http_retries_total": ("counter", {"route", "result"}),
    "sluice_http_mirrored_total": ("counter", {"result"}),
    "sluice_upstream_connections": ("gauge", {"state"}),
    "sluice_protocol_errors_total": ("counter", {"protocol", "reason"}),
    "sluice_open_fds": ("gauge", set()),
    "sluice_build_info": ("gauge", {"version"}),
}


@pytest.fixture
def segments() -> Iterator[list[Segment]]:
    pair = [Segment(0, 8), Segment(1, 8)]
    yield pair
    for one in pair:
        one.close()


def taken(segments: list[Segment], slots: RuleSlots | None = None, **more: Any) -> metrics.Snapshot:
    own: dict[str, Any] = {"log_dropped": {}, "generations": {"0": 4, "1": 5}, **more}
    return metrics.snapshot(segments, metrics.Keys(), slots or RuleSlots({"shop/cart": 1}), **own)


def samples(text: bytes) -> dict[str, dict[frozenset[tuple[str, str]], float]]:
    """Sample name -> labels -> value, by Prometheus' own parser; every series once."""
    found: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            series = found.setdefault(sample.name, {})
            labels = frozenset(sample.labels.items())
            assert labels not in series, f"{sample.name} twice"
            series[labels] = sample.value
    return found


def one_of_each(worker: Writer) -> None:
    """A worker that has counted everything there is."""
    for family in FAMILY:
        worker.labelled(write_key(family.name, 1, 1, 1, slot="rule" in family.labels, route="route" in family.labels))
    for histogram in range(len(segment.HISTOGRAMS)):
        worker.observe(histogram, 250)
    worker.observe_route(1, 2, 250)


def test_every_metric_of_the_contract_is_there_with_its_labels(segments: list[Segment]) -> None:
    with Writer(segments[0]) as worker:
        one_of_each(worker)
    own: dict[str, Any] = {"log_dropped": {"open": 2}, "reloads": {"ok": 3, "failed": 1}, "version": "1.2"}
    text = exposition.render(taken(segments, files=["/proc/self/fd"], **own))
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text.decode(), re.MULTILINE))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text.decode(), re.MULTILINE))
    found = samples(text)
    for name, (kind, labels) in CONTRACT.items():
        assert types[name] == kind and helps[name]
        series = found[f"{name}_count" if kind == "histogram" else name]
        assert all({label for label, _ in one} == labels for one in series) and series
    assert found["sluice_log_dropped_total"] == {
        frozenset({("event", "open")}): 3,  # one by a worker, two by the supervisor
    }
    assert found["sluice_build_info"] == {frozenset({("version", "1.2")}): 1}
    assert found["sluice_policy_generation"] == {frozenset({("worker", "0")}): 4, frozenset({("worker", "1")}): 5}
    assert found["sluice_open_fds"][frozenset()] >= 3
    assert found["sluice_reloads_total"][frozenset({("result", "failed")})] == 1


def test_the_text_follows_the_rules_of_the_format(segments: list[Segment]) -> None:
    """The points that `promtool check metrics` looks at; the tool itself has a test of its own."""
    with Writer(segments[0]) as worker:
        one_of_each(worker)
    lines = exposition.render(taken(segments)).decode().splitlines(keepends=True)
    assert all(line.endswith("\n") for line in lines)
    described: list[str] = []
    for line in lines:
        if line.startswith("# HELP "):
            described.append(line.split()[2])
        elif not line.startswith("#"):
            name = re.split(r"[{ ]", line)[0]
            assert re.sub("_(bucket|sum|count)$", "", name) == described[-1]
            assert name.startswith("sluice_")
    assert len(set(described)) == len(described)
    for name in described:
        kind = next(line.split()[3] for line in lines if line.startswith(f"# TYPE {name} "))
        assert name.endswith("_total") == (kind == "counter")


def test_sums_over_workers_and_labels_by_name(segments: list[Segment]) -> None:
    key = write_key("decisions_total", 1, 1, 3, 1)
    for number, one in enumerate(segments):
        with Writer(one) as worker:
            worker.labelled(key, 10 + number)
            worker.labelled(write_key("bytes_total", 1, slot=segment.SLOT_NONE), 1 << 40)
            worker.observe(0, 150)
            worker.observe(0, 99_000_000)
    found = samples(exposition.render(taken(segments)))
    labels = {"verdict": "allow", "phase": "name", "rule": "shop/cart", "reason": "rule_allow"}
    assert found["sluice_decisions_total"] == {frozenset(labels.items()): 21}
    assert found["sluice_bytes_total"] == {frozenset({("direction", "down"), ("rule", "")}): 1 << 41}
    buckets = {dict(one)["le"]: value for one, value in found["sluice_dial_seconds_bucket"].items()}
    assert (buckets["0.0001"], buckets["0.0002"], buckets["26.2144"], buckets["+Inf"]) == (0, 2, 2, 4)
    assert len(buckets) == segment.BUCKETS
    assert found["sluice_dial_seconds_count"][frozenset()] == 4
    assert found["sluice_dial_seconds_sum"][frozenset()] == pytest.approx(2 * 99.00015)


def test_a_gauge_that_fell_to_zero_is_still_there(segments: list[Segment]) -> None:
    opened = write_key("tunnels_open", 1)
    with Writer(segments[0]) as worker:
        worker.labelled(opened, 1)
        worker.labelled(opened, (1 << 64) - 1)  # one less
    found = samples(exposition.render(taken(segments)))
    assert found["sluice_tunnels_open"] == {frozenset({("protocol", "socks5")}): 0}


def test_counters_never_go_down_over_a_hundred_workers(segments: list[Segment]) -> None:
    before: dict[str, dict[frozenset[tuple[str, str]], float]] = {}
    for life in range(100):
        with Writer(segments[0], start=1) as worker:
            one_of_each(worker)
            worker.count(segment.COUNTERS.index("connections_accepted"))
        if life % 3:
            segments[0].reap()
        now = samples(exposition.render(taken(segments)))
        for name, series in before.items():
            if not name.endswith(("_open", "_fds", "upstream_connections")):
                assert all(now[name][labels] >= value for labels, value in series.items()), name
        before = now
    assert before["sluice_connections_accepted_total"][frozenset()] == 100
    assert set(before["sluice_decisions_total"].values()) == {100}


def test_at_most_a_thousand_rule_labels(segments: list[Segment]) -> None:
    slots = RuleSlots()
    with Writer(segments[0]) as worker:
        for number in range(1500):
            worker.labelled(write_key("bytes_total", 0, slot=slots.assign(f"shop/rule-{number}")), 2)
    found = samples(exposition.render(taken(segments, slots)))["sluice_bytes_total"]
    assert len(found) == 1001
    assert found[frozenset({("direction", "up"), ("rule", "other")})] == 1000
    assert sum(found.values()) == 3000


def test_labels_that_nobody_knows_are_others_and_counted_together(segments: list[Segment]) -> None:
    with Writer(segments[0]) as worker:
        for number in (200, 201, 202):
            worker.labelled(write_key("limited_total", number), 1)
    assert samples(exposition.render(taken(segments)))["sluice_limited_total"] == {frozenset({("scope", "other")}): 3}


def test_texts_in_labels_are_escaped(segments: list[Segment]) -> None:
    with Writer(segments[0]) as worker:
        worker.labelled(write_key("bytes_total", 0, slot=1))
    name = 'shop/"\\\n# TYPE evil counter'
    text = exposition.render(taken(segments, RuleSlots({name: 1})))
    assert b"\n# TYPE evil" not in text
    assert frozenset({("direction", "up"), ("rule", name)}) in samples(text)["sluice_bytes_total"]


@pytest.mark.parametrize("filler", [0xFF, 0x00, 0x5A, 0x07])
def test_any_bytes_in_a_segment_give_a_page(segments: list[Segment], filler: int) -> None:
    os.pwrite(segments[0].fd, bytes([filler]) * segment.size_of(8), 0)
    snapshot = taken(segments)
    assert samples(exposition.render(snapshot))
    for value in metrics.counters(snapshot).values():
        assert 0 <= value < 1 << 63
    for parts in metrics.by_label(snapshot).values():
        assert all(0 <= value < 1 << 63 for value in parts.values())


def test_stats_speak_of_the_same_names(segments: list[Segment]) -> None:
    with Writer(segments[0]) as worker:
        one_of_each(worker)
    snapshot = taken(segments, reloads={"ok": 2, "failed": 1})
    text = exposition.render(snapshot).decode()
    described = {name.removeprefix("sluice_") for name in re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)}
    counters = metrics.counters(snapshot)
    assert set(counters) <= described
    assert (counters["reloads_total"], counters["tunnels_open"], counters["decisions_total"]) == (3, 1, 1)
    for name, parts in metrics.by_label(snapshot).items():
        assert sum(parts.values()) == counters[name]


def test_what_is_remembered_of_keys_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "MOST_KEYS", 10)
    keys, slots = metrics.Keys(), RuleSlots()
    for number in range(100):
        keys.meaning(write_key("bytes_total", 0, slot=number), slots)
    assert len(keys._known) <= 10


def test_open_files_are_counted(tmp_path: Path) -> None:
    before = metrics.open_files("/proc/self/fd")
    with (tmp_path / "a").open("w"), (tmp_path / "b").open("w"):
        assert metrics.open_files("/proc/self/fd") == before + 2
    assert metrics.open_files(f"/proc/{1 << 30}/fd") == 0


def test_requests_by_route_are_summed_over_workers_and_classes(segments: list[Segment]) -> None:
    for one in segments:
        with Writer(one) as worker:
            worker.observe_route(1, STATUS_CLASSES.index("2xx"), 250)
            worker.observe_route(1, STATUS_CLASSES.index("5xx"), 1_000_000)
            worker.observe_route(segment.SLOT_NONE, STATUS_CLASSES.index("none"), 1)
    snapshot = taken(segments)
    shop, without = metrics.by_route(snapshot)
    assert (shop["route"], shop["requests"], shop["failures"], shop["seconds"]) == ("shop/cart", 4, 2, 2.0005)
    assert (without["route"], without["requests"], without["failures"]) == ("", 2, 2)
    found = samples(exposition.render(snapshot))["sluice_http_request_seconds_count"]
    assert found[frozenset({("route", "shop/cart"), ("class", "2xx")})] == 2


def test_times_of_routes_outlive_a_worker_and_damage_is_bounded(segments: list[Segment]) -> None:
    with Writer(segments[0]) as worker:
        worker.observe_route(1, 2, 250)
    with Writer(segments[0]) as worker:
        worker.observe_route(1, 2, 250)
    assert segments[0].routes() == {(1, 2): Histogram(500, [0, 0, 2] + [0] * (segment.BUCKETS - 3))}
    (at,) = (at for name, at, _ in tables.SEGMENT_FIELDS if name == "routes_used")
    os.pwrite(segments[0].fd, b"\xff" * 4, at)
    assert segments[0].routes()[1, 2].sum_us == 500
