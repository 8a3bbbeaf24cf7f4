"""The metrics of CONTRACT.md section 7, read from the workers' segments without asking them. exposition.py writes them
for Prometheus.

Reading happens in the event loop and is cheap. Counters never go down: segments outlive their workers. What the workers
count without labels is here as well, so that `stats` and the scrape speak of the same names.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway.tables import COUNTERS
from supervisor.segment.labels import FAMILY, STATUS_CLASSES, read_key, word
from supervisor.segment.rule_slots import RuleSlots
from supervisor.segment.segment import HISTOGRAMS, Histogram, Segment, total

__all__ = ["SCALARS", "Keys", "Snapshot", "by_label", "by_route", "counters", "open_files", "shown", "snapshot"]

MOST: Final = (1 << 63) - 1  # the largest number of JSON and msgpack; no honest counter gets there
MOST_KEYS: Final = 50_000
FAILED: Final = ("none", "5xx")  # status classes of requests that failed

# Scalars that no labelled counter tells better: name in the segment -> (name of the metric, help).
SCALARS: Final[Mapping[str, tuple[str, str]]] = {name: (metric, told) for name, metric, told in COUNTERS if metric}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that is measured, at one moment."""

    scalars: Mapping[str, int]  # of the segments, by their names there
    labelled: tuple[Mapping[tuple[str, ...], int], ...]  # in the order of FAMILY: label values -> count
    histograms: Mapping[str, Histogram]
    routes: Mapping[tuple[str, str], Histogram]  # route and status class -> how long requests took
    generations: Mapping[str, int]  # worker slot -> the policy generation it decides by
    rules: int = 0
    workloads: int = 0
    reloads: Mapping[str, int] = field(default_factory=dict)
    restarts: int = 0
    version: str = ""
    expiries: tuple[tuple[str, str, float], ...] = ()  # of certificates and the like: use, name, seconds that are left
    files: tuple[int | str, ...] = ()  # /proc/PID/fd of each process, by path or open descriptor


class Keys:
    """The meaning of labelled counters' keys, remembered: a scrape reads the same ones each time."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[int, tuple[str, ...]]] = {}

    def meaning(self, key: int, slots: RuleSlots) -> tuple[int, tuple[str, ...]]:
        """An index into FAMILY, and label values."""
        found = self._known.get(key)
        if found is None:
            if len(self._known) >= MOST_KEYS:  # no worker has so many
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
    spans: Mapping[str, int] | None = None,
    rules: int = 0,
    workloads: int = 0,
    reloads: Mapping[str, int] | None = None,
    restarts: int = 0,
    version: str = "",
    expiries: Iterable[tuple[str, str, float]] = (),
    files: Iterable[int | str] = (),
) -> Snapshot:
    """Reads everything. `log_dropped`: access log lines that the supervisor dropped, by event; `spans`: what became of
    those that workers have handed on."""
    segments = list(segments)
    sums: dict[int, int] = {}
    histograms = {name: Histogram(0, []) for name in HISTOGRAMS}
    routes: dict[tuple[str, str], Histogram] = {}
    for segment in segments:
        for key, value in segment.labelled().items():
            sums[key] = sums.get(key, 0) + value
        for name, found in segment.histograms().items():
            histograms[name] = _added(histograms[name], found)
        for (slot, status), found in segment.routes().items():
            labels = slots.label(slot), word(STATUS_CLASSES, status)
            routes[labels] = _added(routes.get(labels, Histogram(0, [])), found)
    labelled: tuple[dict[tuple[str, ...], int], ...] = tuple({} for _ in FAMILY)
    for key, value in sums.items():
        family, values = keys.meaning(key, slots)
        # Keys that only a newer worker could tell apart read alike.
        labelled[family][values] = labelled[family].get(values, 0) + value
    dropped = labelled[_index("log_dropped_total")]
    for event, count in log_dropped.items():
        dropped[(event,)] = dropped.get((event,), 0) + count
    exported = labelled[_index("spans_total")]
    for result, count in (spans or {}).items():
        if count:
            exported[(result,)] = exported.get((result,), 0) + count
    return Snapshot(
        total(segments),
        labelled,
        histograms,
        routes,
        generations,
        rules,
        workloads,
        reloads or {},
        restarts,
        version,
        tuple(expiries),
        tuple(files),
    )


def counters(taken: Snapshot) -> dict[str, float]:
    """For `stats`: the metrics without their prefix, summed over their labels."""
    found: dict[str, float]
    found = {
        family.name: min(sum(values.values()), MOST) for family, values in zip(FAMILY, taken.labelled, strict=True)
    }
    found |= {name: shown(taken, scalar) for scalar, (name, _) in SCALARS.items()}
    found["reloads_total"] = sum(taken.reloads.values())
    found["worker_restarts_total"] = taken.restarts
    found["policy_rules"] = taken.rules
    found["workloads"] = taken.workloads
    return dict(sorted(found.items()))


def shown(taken: Snapshot, scalar: str) -> float:
    """As it is shown: microseconds in seconds."""
    return taken.scalars[scalar] / 1e6 if scalar.endswith("_us") else min(taken.scalars[scalar], MOST)


def by_label(taken: Snapshot) -> dict[str, dict[str, int]]:
    """For `stats`: what its sums consist of, by the label that tells most."""
    wanted = (
        *(("decisions_total", "verdict"), ("tunnels_open", "protocol"), ("tunnels_total", "outcome")),
        *(("bytes_total", "direction"), ("protocol_errors_total", "reason"), ("limited_total", "scope")),
        *(("log_dropped_total", "event"), ("rejudged_total", "result")),
        *(("http2_abuse_total", "reason"), ("http2_resets_total", "code"), ("tls_handshakes_total", "result")),
        *(("http_requests_total", "class"), ("http_retries_total", "result"), ("http_mirrored_total", "result")),
        *(("upstream_connections", "state"), ("spans_total", "result")),
    )
    found: dict[str, dict[str, int]] = {}
    for name, label in wanted:
        index = _index(name)
        at = FAMILY[index].labels.index(label)
        sums = found[name] = {}
        for values, count in taken.labelled[index].items():
            sums[values[at]] = min(sums.get(values[at], 0) + count, MOST)
    return found


def by_route(taken: Snapshot) -> list[dict[str, object]]:
    """For `stats --routes`: {route, requests, failures, seconds, buckets} of each route, the most used first. `route`
    is "" for requests without one; `failures` are answers of class 5xx, and requests that got none; `buckets` as those
    of a segment."""
    found: dict[str, tuple[int, Histogram]] = {}
    for (route, status), times in taken.routes.items():
        failures, sums = found.get(route, (0, Histogram(0, [])))
        found[route] = failures + (sum(times.buckets) if status in FAILED else 0), _added(sums, times)
    rows: list[dict[str, object]] = [
        {
            "route": route,
            "requests": min(sum(sums.buckets), MOST),
            "failures": min(failures, MOST),
            "seconds": sums.sum_us / 1e6,
            "buckets": [min(count, MOST) for count in sums.buckets],
        }
        for route, (failures, sums) in sorted(found.items(), key=lambda one: (-sum(one[1][1].buckets), one[0]))
    ]
    return rows


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
