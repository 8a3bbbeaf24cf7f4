"""Figures of HTTP routes for `sluice stats --routes`: from counts since the start, or since an answer before."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from supervisor.cli.tables import aligned
from supervisor.segment.segment import BUCKET_FIRST_US
from supervisor.source.escape import escape

__all__ = ["figures", "percentile", "table"]

HEAD: Final = ["ROUTE", "REQUESTS/S", "SUCCESS", "P50", "P95", "P99", "REQUESTS"]
NO_ROUTE: Final = "(no route)"


def figures(answer: Mapping[str, Any], before: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """Of each route {route, requests, per_second, success, p50_ms, p95_ms, p99_ms}: `requests` since the start, all
    others over the time since `before`, or since the start. Without requests in that time `success` and times are
    None."""
    earlier = {row["route"]: row for row in before["routes"]} if before is not None else {}
    seconds = float(answer["uptime"]) - (float(before["uptime"]) if before is not None else 0.0)
    return [_figure(row, earlier.get(row["route"]), seconds) for row in answer["routes"]]


def _figure(row: Mapping[str, Any], earlier: Mapping[str, Any] | None, seconds: float) -> dict[str, Any]:
    count, failures, buckets = row["requests"], row["failures"], row["buckets"]
    if earlier is not None:
        count, failures = count - earlier["requests"], failures - earlier["failures"]
        buckets = [now - then for now, then in zip(buckets, earlier["buckets"], strict=True)]
    return {
        "route": row["route"],
        "requests": row["requests"],
        "per_second": round(count / seconds, 1) if seconds > 0 else 0.0,
        "success": round(1 - failures / count, 4) if count > 0 else None,
        "p50_ms": percentile(buckets, 0.5),
        "p95_ms": percentile(buckets, 0.95),
        "p99_ms": percentile(buckets, 0.99),
    }


def percentile(buckets: Sequence[int], share: float) -> float | None:
    """Milliseconds that this share of the observations took at most, as if those of a bucket lay evenly in it; None
    without any. What is in the last bucket took at least its lower bound, which is what is told."""
    wanted, below = share * sum(buckets), 0
    for index, inside in enumerate(buckets):
        if inside and below + inside >= wanted:
            low = BUCKET_FIRST_US << (index - 1) if index else 0
            high = low if index == len(buckets) - 1 else BUCKET_FIRST_US << index
            return round((low + (high - low) * (wanted - below) / inside) / 1000, 1)
        below += inside
    return None


def table(rows: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """A line for each route."""
    if not rows:
        yield "no HTTP request was judged yet"
        return
    cells = [
        [
            escape(str(row["route"])) or NO_ROUTE,
            f"{row['per_second']:.1f}",
            "-" if row["success"] is None else f"{100 * row['success']:.2f} %",
            *("-" if row[name] is None else f"{row[name]:.1f} ms" for name in ("p50_ms", "p95_ms", "p99_ms")),
            str(row["requests"]),
        ]
        for row in rows
    ]
    yield from aligned([HEAD, *cells], right=range(1, len(HEAD)))
