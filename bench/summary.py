"""Rounds become medians with their spread, and ratios to Envoy, to the floor and to others, taken within each round."""

import statistics
from typing import Any, Final

from bench.peers.base import SECURE
from bench.peers.web import WAYS

__all__ = ["median_ratio", "show", "summary", "yardsticks"]

YARDSTICKS: Final = (
    "envoy/connect", "floor/socks5", "floor/connect", "microsocks/socks5", "envoy/http2", "floor/http2",
    "envoy/http2-tls", *(f"{peer}/{way}" for way in ("tls", "mtls") for peer in ("envoy", "haproxy", "floor")),
    *(f"{peer}/{way}" for way in WAYS for peer in ("envoy", "haproxy", "nginx")),
)  # fmt: skip
Runs = list[dict[str, Any]]
DECIMALS: Final = {"cpu_share": 2, "kept": 3, "rate_alone": 2, "beside": 2}
# The figures of each load, and how they are printed.
MEMORY: Final = ("rss_each", "pss_each", "rss_empty", "rss_full", "files_each", "cpu_share")
COLUMNS: Final = {
    "idle": MEMORY,
    "h2-idle": MEMORY,
    "tls-idle": MEMORY,
    "mtls-idle": MEMORY,
    "h2-tls-idle": MEMORY,
    "tls-beside": ("beside", "p99_us", "p99_alone_us", "handshake_rate"),
    "get-idle": MEMORY,
    "get-stalled": ("rss_more",),
    "h2-stalled": ("kept", "rate", "rate_alone"),
    "": ("cpu_us", "rate", "p50_us", "p99_us"),
}


def medians(runs: list[dict[str, float]]) -> dict[str, Any]:
    """By figure: the median, the least and the most."""
    return {
        key: {
            "median": statistics.median(run[key] for run in runs),
            "least": min(run[key] for run in runs),
            "most": max(run[key] for run in runs),
        }
        for key in runs[0]
    }


def median_ratio(runs: Runs, one: str, other: str, key: str) -> float | None:
    """The median over the rounds of one's figure by the other's; None where it cannot be said."""
    ratios = [
        run[one][key] / run[other][key]
        for run in runs
        if isinstance(run.get(one), dict) and isinstance(run.get(other), dict) and run[other].get(key)
    ]
    return statistics.median(ratios) if ratios else None


def summary(rounds: Runs) -> dict[str, Any]:
    """By load and contestant: the figures, and every figure's ratio to each yardstick. A text says what went wrong."""
    result: dict[str, Any] = {}
    for load in rounds[0]:
        runs = [done[load] for done in rounds]
        rows: dict[str, Any] = {}
        for name in runs[0]:
            good = [run[name] for run in runs if isinstance(run[name], dict)]
            if not good:
                rows[name] = {"failed": runs[0][name]}
                continue
            row: dict[str, Any] = {"rounds": len(good), "figures": medians(good), "ratios": {}}
            for other in YARDSTICKS:
                ratios = {key: median_ratio(runs, name, other, key) for key in good[0]}
                if any(value is not None for value in ratios.values()):
                    row["ratios"][other] = ratios
            rows[name] = row
        result[load] = rows
    return result


def yardsticks(name: str) -> tuple[str, str, str]:
    """The peers that a contestant is compared with: Envoy, the floor asked in the same way (nginx, for requests), and a
    third one."""
    way = name.partition("/")[2]
    if way in WAYS:
        return f"envoy/{way}", f"nginx/{way}", f"haproxy/{way}"
    if way in SECURE:
        return f"envoy/{way}", f"floor/{way}", f"haproxy/{way}"
    if way == "http2":
        return "envoy/http2", "floor/http2", "microsocks/socks5"
    return "envoy/connect", "floor/connect" if way == "connect" else "floor/socks5", "microsocks/socks5"


def show(result: dict[str, Any]) -> None:
    """One table for each load, the cheapest first."""
    for load, rows in result.items():
        columns = COLUMNS.get(load, COLUMNS[""])
        main = columns[0]
        width = 13
        requests = any(name.partition("/")[2] in WAYS for name in rows)
        second = "x nginx" if requests else "x floor"
        third = "x HAProxy" if requests or "tls-" in load else "x microsocks"
        head = "".join(f"{column:>{width}}" for column in columns)
        print(f"\n{load:<20}{head}{'spread':>{width}}{'x Envoy':>{width}}{second:>{width}}{third:>15}")
        good = {name: row for name, row in rows.items() if "figures" in row}
        for name, row in sorted(good.items(), key=lambda item: float(item[1]["figures"][main]["median"])):
            figures = row["figures"]
            cells = "".join(
                f"{figures[column]['median']:>{width},.{DECIMALS.get(column, 1)}f}"
                if column in figures else f"{'-':>{width}}"
                for column in columns
            )  # fmt: skip
            spread = f"{figures[main]['least']:,.1f}-{figures[main]['most']:,.1f}"
            by = [row["ratios"].get(other, {}).get(main) for other in yardsticks(name)]
            ratios = ["-" if value is None else f"{value:.3f}" for value in by]
            tail = f"{ratios[0]:>{width}}{ratios[1]:>{width}}{ratios[2]:>15}"
            print(f"{name:<20}{cells} {spread:>{width}}{tail}")
        for name, row in rows.items():
            if "failed" in row:
                print(f"{name:<20} failed: {row['failed']}")
