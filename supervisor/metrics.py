"""The metrics of CONTRACT.md section 7: read from the workers' segments without asking them, written for Prometheus.

Reading happens in the event loop and is cheap; writing the text is not (thousands of rule labels), so it works on a
Snapshot that no longer changes and may run on a thread. Counters never go down: segments outlive their workers.

What the workers count without labels is here too, so that `stats` and the scrape speak of the same names.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from supervisor.labels import FAMILY, read_key
from supervisor.rule_slots import RuleSlots
from supervisor.segment import BUCKET_FIRST_US, HISTOGRAMS, Histogram, Segment, total

__all__ = ["CONTENT_TYPE", "Keys", "Snapshot", "by_label", "counters", "open_files", "render", "snapshot"]

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
PREFIX: Final = "sluice_"
MOST: Final = (1 << 63) - 1  # what JSON and msgpack carry; no honest counter gets there
MOST_KEYS: Final = 50_000
LONGEST: Final = "worker_turn_longest_seconds"

# Scalars that no labelled counter tells better: name in the segment -> (name of the metric, help).
SCALARS: Final[Mapping[str, tuple[str, str]]] = {
    "connections_accepted": ("connections_accepted_total", "Connections accepted from clients"),
    "connections_open": ("connections_open", "Client connections open now"),
    "requests_failed": ("requests_failed_total", "Requests that were allowed and could not be connected"),
    "auth_failed": ("auth_failed_total", "Requests with missing or wrong credentials"),
    "request_timeouts": ("request_timeouts_total", "Connections closed for a request that took too long"),
    "dns_queries": ("dns_queries_total", "Names asked of a DNS server"),
    "dns_failures": ("dns_failures_total", "Names that did not resolve"),
    "dns_cache_hits": ("dns_cache_hits_total", "Names answered from the cache"),
    "dials": ("dials_total", "Connection attempts to the outside"),
    "idle_pipes_open": ("idle_pipes_open", "Empty pipes kept for the next bulk transfer"),
    "busy_pipes_open": ("busy_pipes_open", "Pipes with bytes in them that their sink did not take yet"),
    "splices_refused": ("splices_refused_total", "Bulk that was copied: no pipe, or sockets not for splicing"),
    "splices_begun": ("splices_begun_total", "Changes of a direction from copying to splicing"),
    "splices_ended": ("splices_ended_total", "Changes back to copying, and ends of a spliced direction"),
    "internal_errors": ("internal_errors_total", "Errors of our own; each closed the connection being served"),
    "turns": ("worker_turns_total", "Turns of the event loop"),
    "http2_connections_open": ("http2_connections_open", "HTTP/2 client connections open now"),
    "http2_connections": ("http2_connections_total", "HTTP/2 client connections that were opened"),
    "http2_streams_open": ("http2_streams_open", "HTTP/2 streams open now"),
    "http2_streams": ("http2_streams_total", "HTTP/2 streams that were opened"),
    "http2_stalls": ("http2_stalls_total", "Times that bytes waited for a peer to open its window"),
    "parent_connections_open": ("parent_connections_open", "HTTP/2 connections to parent gateways open now"),
    "parent_connections": ("parent_connections_total", "HTTP/2 connections to parent gateways that were opened"),
    "parent_connections_failed": (
        "parent_connections_failed_total",
        "HTTP/2 connections to parent gateways that failed or were not made",
    ),
}
HISTOGRAM_HELP: Final[Mapping[str, str]] = {
    "dial_seconds": "Time from the first connection attempt of a request to its connected socket",
    "dns_seconds": "Time a name took to resolve, from the cache or from a server",
    "worker_turn_seconds": "Time that one turn of a worker's event loop took",
}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is measured, at one moment."""

    scalars: Mapping[str, int]  # of the segments, by their names there
    labelled: tuple[Mapping[tuple[str, ...], int], ...]  # in the order of FAMILY: label values -> count
    histograms: Mapping[str, Histogram]
    generations: Mapping[str, int]  # worker slot -> the policy generation it decides by
    rules: int = 0
    reloads: Mapping[str, int] = field(default_factory=dict)
    restarts: int = 0
    version: str = ""
    files: tuple[int | str, ...] = ()  # /proc/PID/fd of each process, by path or open descriptor


class Keys:
    """What keys of labelled counters mean, remembered: a scrape reads the same ones each time."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, tuple[str, ...]]] = {}

    def meaning(self, key: int, slots: RuleSlots) -> tuple[int, tuple[str, ...]]:
        """An index into FAMILY, and label values."""
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST_KEYS:  # no worker of ours has so many
                self._known.clear()
            found = self._known[key] = read_key(key, slots.label)
        return found


def snapshot(
    segments: Iterable[Segment],
    keys: Keys,
    slots: RuleSlots,
    *,
    log_dropped: Mapping[str, int],
    generations: Mapping[str, int],
    rules: int = 0,
    reloads: Mapping[str, int] | None = None,
    restarts: int = 0,
    version: str = "",
    files: Iterable[int | str] = (),
) -> Snapshot:
    """Reads all of it. `log_dropped`: access log lines that the supervisor dropped, by event."""
    segments = list(segments)
    sums: dict[int, int] = {}
    histograms = {name: Histogram(0, []) for name in HISTOGRAMS}
    for segment in segments:
        for key, value in segment.labelled().items():
            sums[key] = sums.get(key, 0) + value
        for name, found in segment.histograms().items():
            histograms[name] = _added(histograms[name], found)
    labelled: tuple[dict[tuple[str, ...], int], ...] = tuple({} for _ in FAMILY)
    for key, value in sums.items():
        family, values = keys.meaning(key, slots)
        # Keys that only a newer worker could tell apart read alike.
        labelled[family][values] = labelled[family].get(values, 0) + value
    dropped = labelled[_index("log_dropped_total")]
    for event, count in log_dropped.items():
        dropped[(event,)] = dropped.get((event,), 0) + count
    return Snapshot(
        total(segments),
        labelled,
        histograms,
        generations,
        rules,
        reloads or {},
        restarts,
        version,
        tuple(files),
    )


def counters(taken: Snapshot) -> dict[str, float]:
    """For `stats`: the metrics without their prefix, summed over their labels."""
    found: dict[str, float]
    found = {
        family.name: min(sum(values.values()), MOST) for family, values in zip(FAMILY, taken.labelled, strict=True)
    }
    found |= {name: min(taken.scalars[scalar], MOST) for scalar, (name, _) in SCALARS.items()}
    found["reloads_total"] = sum(taken.reloads.values())
    found["worker_restarts_total"] = taken.restarts
    found["policy_rules"] = taken.rules
    found[LONGEST] = taken.scalars["turn_longest_us"] / 1e6
    return dict(sorted(found.items()))


def by_label(taken: Snapshot) -> dict[str, dict[str, int]]:
    """For `stats`: what its sums consist of, by the label that tells most."""
    wanted = (
        *(("decisions_total", "verdict"), ("tunnels_open", "protocol"), ("tunnels_total", "outcome")),
        *(("bytes_total", "direction"), ("protocol_errors_total", "reason"), ("limited_total", "scope")),
        *(("log_dropped_total", "event"), ("rejudged_total", "result")),
        *(("http2_abuse_total", "reason"), ("http2_resets_total", "code")),
    )
    found: dict[str, dict[str, int]] = {}
    for name, label in wanted:
        index = _index(name)
        at = FAMILY[index].labels.index(label)
        sums = found[name] = {}
        for values, count in taken.labelled[index].items():
            sums[values[at]] = min(sums.get(values[at], 0) + count, MOST)
    return found


def render(taken: Snapshot) -> bytes:
    """The text that Prometheus scrapes, version 0.0.4. May run on a thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(taken))
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, taken: Snapshot) -> None:
        self._taken = taken

    def collect(self) -> Iterator[Metric]:
        taken = self._taken
        for family, values in zip(FAMILY, taken.labelled, strict=True):
            metric = _family(family.name, family.help, family.labels)
            for labels, count in sorted(values.items()):
                metric.add_metric(labels, count)
            yield metric
        for scalar, (name, text) in SCALARS.items():
            yield _single(name, text, taken.scalars[scalar])
        yield _single(LONGEST, "Longest turn of any worker", taken.scalars["turn_longest_us"] / 1e6)
        for name, found in taken.histograms.items():
            yield _histogram(name, found)
        yield from self._own()

    def _own(self) -> Iterator[Metric]:
        """What the supervisor itself knows."""
        taken = self._taken
        generation = _family("policy_generation", "Policy generation that a worker decides by", ("worker",))
        for worker, number in taken.generations.items():
            generation.add_metric((worker,), number)
        yield generation
        yield _single("policy_rules", "Rules of the policy in force", taken.rules)
        reloads = _family("reloads_total", "Reloads, by result", ("result",))
        for result, count in taken.reloads.items():
            reloads.add_metric((result,), count)
        yield reloads
        yield _single("worker_restarts_total", "Workers that ended and were replaced", taken.restarts)
        yield _single("open_fds", "Open files of all processes of the gateway", sum(map(open_files, taken.files)))
        build = _family("build_info", "1; the version is in the label", ("version",))
        build.add_metric((taken.version,), 1)
        yield build


def _family(name: str, text: str, labels: tuple[str, ...]) -> CounterMetricFamily | GaugeMetricFamily:
    if name.endswith("_total"):
        return CounterMetricFamily(PREFIX + name, text, labels=labels)
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def _single(name: str, text: str, value: float) -> Metric:
    metric = _family(name, text, ())
    metric.add_metric((), value)
    return metric


def _histogram(name: str, found: Histogram) -> Metric:
    count = 0
    buckets: list[tuple[str, float]] = []
    for index, inside in enumerate(found.buckets):
        count += inside
        last = index == len(found.buckets) - 1
        buckets.append(("+Inf" if last else _seconds(BUCKET_FIRST_US << index), count))
    metric = HistogramMetricFamily(PREFIX + name, HISTOGRAM_HELP[name])
    metric.add_metric((), buckets, found.sum_us / 1e6)
    return metric


def _seconds(microseconds: int) -> str:
    return repr(microseconds / 1e6)


def _added(one: Histogram, other: Histogram) -> Histogram:
    buckets = [a + b for a, b in zip(one.buckets or [0] * len(other.buckets), other.buckets, strict=True)]
    return Histogram(one.sum_us + other.sum_us, buckets)


def _index(name: str) -> int:
    return next(index for index, family in enumerate(FAMILY) if family.name == name)


def _listed(folder: int | str) -> list[str]:
    return os.listdir(folder)


def open_files(folder: int | str, listed: Callable[[int | str], list[str]] = _listed) -> int:
    """Descriptors of a process by its /proc/PID/fd; 0 when it is gone. Linux tells the number as the folder's size
    since 6.2; before that they are counted."""
    try:
        return os.stat(folder).st_size or len(listed(folder))
    except OSError:
        return 0
