"""How a policy's compile and image grow with its rules, and what a look-up among many rules costs.

    python -m bench.micro.growth [--only product,inline,policies,names,rules] [--scale 1.0] [--keep FOLDER]

Each shape is compiled as a reload does, in a process of its own: CPU seconds from the files to the sealed image, the
most memory that the process had, and the image's size. `rules` builds an image whose rules all select one namespace and
hang at one name, and times the name phase in it, around the C calls.
"""

import argparse
import gc
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import supervisor.policy.builder as builder
from bench.machine import RESULTS, keep, versions
from gateway.policy.image import PolicyImage
from supervisor.generation.compile import compile_config
from tests.support.lookup_probe import time_lookups

__all__ = ["compile_shape", "time_rules"]

ROUNDS: Final = 7
HEAD: Final = "apiVersion: sluice.dev/v1alpha1\nkind: EgressPolicy\n"
NETWORK: Final = "identity: {networks: [{cidr: 10.0.0.0/8, namespace: shop, serviceAccount: sa1}]}\n"


def product(count: int) -> Iterator[str]:
    """One policy: so many service accounts, each to so many hosts."""
    yield f"{HEAD}metadata: {{name: all, namespace: shop}}\nspec:\n  action: Allow\n  from:\n"
    yield from (f"    - {{serviceAccount: sa{number}}}\n" for number in range(count))
    yield "  to:\n"
    yield from (f"    - {{host: h{number}.example.com, ports: [443]}}\n" for number in range(count))


def inline(count: int) -> Iterator[str]:
    """One policy with so many items."""
    yield f"{HEAD}metadata: {{name: all, namespace: shop}}\nspec:\n  action: Allow\n  to:\n"
    yield from (f"    - {{host: h{number}.example.com, ports: [443]}}\n" for number in range(count))


def policies(count: int, items: int = 1) -> Iterator[str]:
    """So many policies of a few items each."""
    for number in range(count):
        yield f"---\n{HEAD}metadata: {{name: p{number}, namespace: ns{number % 100}}}\nspec:\n  action: Allow\n  to:\n"
        yield from (f"    - {{host: h{item}.p{number}.example.com, ports: [443]}}\n" for item in range(items))


def names(count: int) -> Iterator[str]:
    """So many policies of 100 names each."""
    yield from policies(count, 100)


SHAPES: Final[dict[str, tuple[Callable[[int], Iterator[str]], tuple[int, ...]]]] = {
    "product": (product, (1000, 2000, 4000, 8000)),
    "inline": (inline, (1000, 10_000, 100_000)),
    "policies": (policies, (1000, 10_000, 100_000)),
    "names": (names, (100, 1000, 10_000)),
}
RULES: Final = (10, 100, 1000, 10_000)
MOST_FILE: Final = 12 << 20  # bytes of one manifest file; more is spread over several


def write(folder: Path, parts: Iterator[str]) -> None:
    """sluice.yaml and manifests below `folder`."""
    (folder / "policy").mkdir()
    budget = "perNamespace: {entries: 1000000, bytes: 1GiB}"
    (folder / "sluice.yaml").write_text(f"{NETWORK}policy: {{paths: [policy], {budget}}}\n")
    number, size, file = 0, 0, None
    for part in parts:
        if file is None or (size > MOST_FILE and part.startswith("---")):
            number, size = number + 1, 0
            file = (folder / "policy" / f"{number}.yaml").open("w")
        file.write(part)
        size += len(part)


def compile_here(path: str) -> dict[str, float]:
    """The figures of one compilation in this process, which has done little else."""
    gc.disable()  # as the compile process does
    began = time.process_time()
    report, image = compile_config(path)
    spent = time.process_time() - began
    if image is None:
        raise SystemExit("\n".join(map(str, report.problems)))
    size = os.fstat(image).st_size
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"cpu_seconds": spent, "peak_mib": most / 1024, "image_mib": size / (1 << 20)}


def compile_shape(parts: Iterator[str]) -> dict[str, float]:
    """The figures of one shape, in a process of its own."""
    with tempfile.TemporaryDirectory() as text:
        write(Path(text), parts)
        command = [sys.executable, "-m", "bench.micro.growth", "--compile", str(Path(text) / "sluice.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        return {"failed": float(done.returncode)}
    found: dict[str, float] = json.loads(done.stdout)
    return found


def rules_image(count: int, ports: Callable[[int], list[tuple[int, int]]]) -> PolicyImage:
    """An image with so many rules of one namespace at one name, rule n for ports(n)."""
    image = builder.ImageBuilder()
    space = image.selector(builder.PRINCIPAL_NAMESPACE, "shop", "", None, True)
    image.network("10.0.0.0/8", "shop", "sa1")
    for number in range(count):
        rule = image.rule("EgressPolicy", "shop", f"p{number}", 0, "p.yaml", number + 1, builder.TIER_ALLOW)
        item = image.attach(rule, builder.TIER_ALLOW, image.portset(ports(number)), number, image.who([space]))
        image.host(item, b"api.example.com")
    descriptor = image.finish_memfd()
    try:
        return PolicyImage.from_fd(descriptor, validate=True)
    finally:
        os.close(descriptor)


def time_rules(count: int, ports: Callable[[int], list[tuple[int, int]]], port: int) -> float:
    """Nanoseconds of one look-up of that name."""
    image = rules_image(count, ports)
    questions = [b"api.example.com"] * max(20, 200_000 // count)
    spent = []
    for _ in range(ROUNDS):
        seconds, allowed = time_lookups(image, questions, port)
        if allowed != len(questions):
            raise SystemExit(f"{allowed} of {len(questions)} look-ups are allowed")
        spent.append(seconds * 1e9 / len(questions))
    return float(statistics.median(spent))


def rules_row(count: int) -> dict[str, float]:
    """A look-up where all rules have one port, and where each has its own."""
    return {
        "one_port_ns": time_rules(count, lambda _: [(443, 443)], 443),
        "own_port_ns": time_rules(count, lambda number: [(number + 1, number + 1)], count // 2 + 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.micro.growth", description="Growth of policy with its rules.")
    parser.add_argument("--only", default=",".join([*SHAPES, "rules"]), help="shapes, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="of every count; default: 1")
    parser.add_argument("--keep", type=Path, default=RESULTS, metavar="FOLDER", help="default: bench/results")
    parser.add_argument("--compile", metavar="PATH", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compile:
        print(json.dumps(compile_here(options.compile)))
        return
    found: dict[str, Any] = {}
    for shape in options.only.split(","):
        counts = RULES if shape == "rules" else SHAPES[shape][1]
        for count in (max(1, int(count * options.scale)) for count in counts):
            row = rules_row(count) if shape == "rules" else compile_shape(SHAPES[shape][0](count))
            found[f"{shape} {count}"] = row
            print(f"{shape:<10}{count:>9,}", *(f"{name} {value:,.2f}" for name, value in row.items()), flush=True)
    keep("micro-growth", {"versions": versions(), "rows": found}, options.keep)


if __name__ == "__main__":
    main()
