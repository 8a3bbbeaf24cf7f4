"""How long a policy of a million names takes to compile, how large it is, and what a look-up in it costs.

    python -m bench.micro.policy [--names 1000000] [--keep FOLDER]

The compile is timed twice: the builder alone, from a list's bytes to the sealed image, and `sluice check` as a whole,
from the list file to the verdict. The look-up is the whole name phase (source, walk, match, combine) for 100,000
distinct names in random order, half of them misses, timed around the C calls. The yardstick is dict.get over the same
names as str, less the cost of the empty loop: an exact-match dict knows no wildcards, ports or sources.
"""

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import supervisor.policy.builder as builder
from bench.machine import RESULTS, keep, versions
from gateway.policy.image import PolicyImage
from tests.support.lookup_probe import time_lookups
from tests.support.run_gateway import sluice

__all__ = ["compile_file", "measure"]

LOOKUPS: Final = 100_000
ROUNDS: Final = 7
WORDS: Final = ("api", "www", "cdn", "static", "mail", "edge", "auth", "data")
TOPS: Final = ("com", "net", "org", "io", "example", "de", "co.uk")
MANIFEST: Final = """\
apiVersion: sluice.dev/v1alpha1
kind: ClusterEgressPolicy
metadata: {name: partners}
spec: {to: [{hostsFrom: names.txt, ports: [443]}], action: Allow}
"""


def draw(count: int) -> tuple[list[str], list[str]]:
    """As many names for the policy, and others for misses; the same each time."""
    chance = random.Random(1)
    misses = max(count, LOOKUPS)
    stems = [f"{chance.choice(WORDS)}{number:x}{chance.choice(WORDS)}" for number in range(count + misses)]
    chance.shuffle(stems)
    every = [f"{stem}.{chance.choice(TOPS)}" for stem in stems]
    return every[:count], every[count:]


def build(names: list[str]) -> tuple[int, float]:
    """The image's descriptor, and the seconds from list bytes to sealed image."""
    data = "\n".join(names).encode()
    began = time.perf_counter()
    image = builder.ImageBuilder()
    rule = image.rule("ClusterEgressPolicy", "", "partners", 0, "partners.yaml", 1, builder.TIER_ALLOW)
    all_sources = image.selector(builder.PRINCIPAL_MESH, "", "", None, True)
    item = image.attach(rule, builder.TIER_ALLOW, image.portset([(443, 443)]), 0, image.who([all_sources]))
    image.host_list(item, data)
    descriptor = image.finish_memfd()
    return descriptor, time.perf_counter() - began


def compile_file(names: list[str]) -> float:
    """Seconds of `sluice check` on a list file, start and end of the process included."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        (folder / "names.txt").write_text("\n".join(names) + "\n")
        (folder / "policy.yaml").write_text(MANIFEST)
        (folder / "sluice.yaml").write_text("policy: {paths: [policy.yaml]}\n")
        began = time.perf_counter()
        done = sluice("check", "-c", str(folder / "sluice.yaml"), timeout=300)
        spent = time.perf_counter() - began
    if done.returncode != 0:
        raise SystemExit(done.stdout + done.stderr)
    return spent


def time_dict(table: dict[str, int], questions: list[str]) -> float:
    """Seconds of dict.get alone."""
    get = table.get
    began = time.perf_counter()
    for name in questions:
        get(name)
    middle = time.perf_counter()
    for _name in questions:
        pass
    return 2 * middle - began - time.perf_counter()


def ask(names: list[str], others: list[str]) -> tuple[list[str], int]:
    """100,000 distinct questions in random order and how many are hits: half, or as many as there are names."""
    hits = names[: LOOKUPS // 2]
    questions = hits + others[: LOOKUPS - len(hits)]
    random.Random(2).shuffle(questions)
    return questions, len(hits)


def measure(count: int) -> dict[str, Any]:
    """All figures for a policy of so many names."""
    names, others = draw(count)
    seconds, descriptor = [], -1
    for _ in range(3):
        if descriptor >= 0:
            os.close(descriptor)
        descriptor, spent = build(names)
        seconds.append(spent)
    began = time.perf_counter()
    builder.validate(descriptor)
    checked = time.perf_counter() - began
    began = time.perf_counter()
    image = PolicyImage.from_fd(descriptor)
    opened = time.perf_counter() - began
    questions, hits = ask(names, others)
    raw = [question.encode() for question in questions]
    table = dict.fromkeys(names, 1)
    decided, got = [], []
    for _ in range(ROUNDS):  # in turns
        spent, allowed = time_lookups(image, raw, 443)
        if allowed != hits:
            raise SystemExit(f"{allowed} of {hits} names are allowed")
        decided.append(spent * 1e9 / len(raw))
        got.append(time_dict(table, questions) * 1e9 / len(questions))
    return {
        "names": count,
        "build_seconds": statistics.median(seconds),
        "check_seconds": compile_file(names),
        "bytes_a_name": image.size / count,
        "validate_ms": checked * 1e3,
        "open_ms": opened * 1e3,
        "lookup_ns": statistics.median(decided),
        "dict_get_ns": statistics.median(got),
        "lookup_by_dict_get": statistics.median(one / other for one, other in zip(decided, got, strict=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.micro.policy", description="Compile and look-up of a large policy.")
    parser.add_argument("--names", type=int, default=1_000_000, help="default: 1,000,000")
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER", help="default: bench/results")
    options = parser.parse_args()
    figures = measure(options.names)
    for name, value in figures.items():
        print(f"{name:<20}{value:>14,.2f}")
    keep("micro-policy", {"versions": versions(), **figures}, options.keep)


if __name__ == "__main__":
    main()
