"""The metrics as the text that Prometheus scrapes.

Writing it takes long where there are thousands of rule labels, so it works on a Snapshot that no longer changes and may
run on a thread.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector

from gateway.tables import HISTOGRAMS as HELP
from supervisor.admin.metrics import SCALARS, Snapshot, open_files, shown
from supervisor.segment.labels import FAMILY
from supervisor.segment.segment import BUCKET_FIRST_US, Histogram

__all__ = ["CONTENT_TYPE", "PREFIX", "families", "render"]

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4
PREFIX: Final = "sluice_"


def render(taken: Snapshot) -> bytes:
    """The text that Prometheus scrapes, version 0.0.4. May run on a thread."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(taken))
    return generate_latest(registry)


def families(taken: Snapshot) -> Iterator[Metric]:
    """Every metric by itself."""
    return _Collector(taken).collect()


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
            yield _single(name, text, shown(taken, scalar))
        yield from _histograms(taken.histograms)
        yield _routes(taken.routes)
        yield from self._own()

    def _own(self) -> Iterator[Metric]:
        """Metrics of the supervisor itself."""
        taken = self._taken
        generation = _family("policy_generation", "Policy generation that a worker decides by", ("worker",))
        for worker, number in taken.generations.items():
            generation.add_metric((worker,), number)
        yield generation
        yield _single("policy_rules", "Rules of the active policy", taken.rules)
        yield _single("workloads", "Pods whose addresses are known", taken.workloads)
        reloads = _family("reloads_total", "Reloads, by result", ("result",))
        for result, count in taken.reloads.items():
            reloads.add_metric((result,), count)
        yield reloads
        expiry = _family(
            "certificate_expiry_seconds", "Seconds until a certificate or revocation list expires", ("use", "name")
        )
        for use, name, seconds in taken.expiries:
            expiry.add_metric((use, name), seconds)
        yield expiry
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


def _histograms(found: Mapping[str, Histogram]) -> Iterator[Metric]:
    """A name is that of the metric, and behind a blank its one label with a value (csrc/shared/segment.h)."""
    metrics: dict[str, HistogramMetricFamily] = {}
    for name, histogram in found.items():
        metric, _, label = name.partition(" ")
        labels = dict([label.split(":", 1)]) if label else {}
        if metric not in metrics:
            metrics[metric] = HistogramMetricFamily(PREFIX + metric, HELP[name], labels=tuple(labels))
        metrics[metric].add_metric(tuple(labels.values()), _buckets(histogram), histogram.sum_us / 1e6)
    yield from metrics.values()


def _routes(found: Mapping[tuple[str, str], Histogram]) -> Metric:
    metric = HistogramMetricFamily(
        PREFIX + "http_request_seconds",
        "Time from the whole head of an HTTP request to its end, by route and class of the answer's status",
        labels=("route", "class"),
    )
    for labels, histogram in sorted(found.items()):
        metric.add_metric(labels, _buckets(histogram), histogram.sum_us / 1e6)
    return metric


def _buckets(found: Histogram) -> list[tuple[str, float]]:
    count = 0
    buckets: list[tuple[str, float]] = []
    for index, inside in enumerate(found.buckets):
        count += inside
        last = index == len(found.buckets) - 1
        buckets.append(("+Inf" if last else _seconds(BUCKET_FIRST_US << index), count))
    return buckets


def _seconds(microseconds: int) -> str:
    return repr(microseconds / 1e6)
