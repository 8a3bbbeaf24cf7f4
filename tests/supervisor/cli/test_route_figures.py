"""Figures of `sluice stats --routes`: percentiles, rates and success from counts."""

from typing import Any

import pytest

from supervisor.cli.route_figures import figures, percentile, table
from supervisor.segment.segment import BUCKETS


def counts(**inside: int) -> list[int]:
    """Buckets by number: counts(b3=7)."""
    return [inside.get(f"b{index}", 0) for index in range(BUCKETS)]


@pytest.mark.parametrize(
    ("buckets", "share", "expected"),
    [
        (counts(), 0.5, None),
        (counts(b0=10), 0.5, 0.1),  # 50 us, rounded up to tenths of a millisecond
        (counts(b4=10), 0.5, 1.2),  # from 0.8 to 1.6 ms
        (counts(b4=10), 1.0, 1.6),
        (counts(b4=98, b10=2), 0.5, 1.2),
        (counts(b4=98, b10=2), 0.99, 76.8),  # from 51.2 to 102.4 ms
        (counts(**{f"b{BUCKETS - 1}": 1}), 0.5, 26214.4),
    ],
)
def test_percentiles(buckets: list[int], share: float, expected: float | None) -> None:
    found = percentile(buckets, share)
    assert found == expected or (found is not None and expected is not None and abs(found - expected) <= 0.051)


def answer(uptime: float, *rows: tuple[str, int, int, list[int]]) -> dict[str, Any]:
    return {
        "uptime": uptime,
        "routes": [
            {"route": route, "requests": requests, "failures": failures, "seconds": 0.0, "buckets": buckets}
            for route, requests, failures, buckets in rows
        ],
    }


def test_figures_since_the_start() -> None:
    (row,) = figures(answer(10.0, ("HTTPRoute/shop/cart", 100, 1, counts(b4=100))), None)
    assert row == {
        "route": "HTTPRoute/shop/cart",
        "requests": 100,
        "per_second": 10.0,
        "success": 0.99,
        "p50_ms": 1.2,
        "p95_ms": 1.6,
        "p99_ms": 1.6,
    }


def test_figures_since_the_answer_before() -> None:
    before = answer(10.0, ("HTTPRoute/shop/cart", 100, 50, counts(b4=100)))
    now = answer(12.0, ("HTTPRoute/shop/cart", 104, 50, counts(b4=100, b10=4)), ("", 2, 2, counts(b0=2)))
    cart, without = figures(now, before)
    assert (cart["requests"], cart["per_second"], cart["success"], cart["p50_ms"]) == (104, 2.0, 1.0, 76.8)
    assert (without["per_second"], without["success"]) == (1.0, 0.0)
    (quiet,) = figures(before | {"uptime": 11.0}, before)
    assert (quiet["per_second"], quiet["success"], quiet["p50_ms"]) == (0.0, None, None)


def test_the_table() -> None:
    rows = figures(answer(1.0, ("HTTPRoute/shop/\x1bcart", 3, 1, counts(b4=3)), ("", 1, 0, counts(b0=1))), None)
    head, first, second = table(rows)
    assert head.split() == ["ROUTE", "REQUESTS/S", "SUCCESS", "P50", "P95", "P99", "REQUESTS"]
    assert "\x1b" not in first and "66.67 %" in first and first.endswith("3")
    assert second.startswith("(no route)") and "100.00 %" in second
    assert list(table([])) == ["no HTTP request was judged yet"]
