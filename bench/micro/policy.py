"""How long a policy of a million names takes to build, how large it is, and what a look-up in it costs.

    python bench/micro/policy.py [names]

The look-up is the whole name phase (walk, match, combine) for 100,000 distinct names in random order, half of them
misses, timed around the C calls. The yardstick is dict.get over the same names as str, less the cost of the empty loop:
an exact-match dict knows no wildcards, ports or sources, so it is a floor and no rival.
"""

import os
import random
import statistics
import sys
import time

import supervisor.policy.builder as builder
from gateway.policy import PolicyImage

LOOKUPS = 100_000
ROUNDS = 7


def build(names: list[bytes]) -> tuple[int, float]:
    """The image's descriptor, and the seconds from list bytes to sealed image."""
    data = b"\n".join(names)
    began = time.perf_counter()
    image = builder.ImageBuilder()
    rule = image.rule("ClusterEgressPolicy", "", "partners", 0, "partners.yaml", 1, builder.TIER_ALLOW)
    everybody = image.selector(builder.PRINCIPAL_MESH, "", "", None, True)
    item = image.attach(rule, builder.TIER_ALLOW, image.portset([(443, 443)]), 0, [everybody])
    image.host_list(item, data)
    descriptor = image.finish_memfd()
    return descriptor, time.perf_counter() - began


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


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    chance = random.Random(1)
    words = ["api", "www", "cdn", "static", "mail", "edge", "auth", "data"]
    tops = ["com", "net", "org", "io", "example", "de", "co.uk"]
    stems = [f"{chance.choice(words)}{number:x}{chance.choice(words)}" for number in range(2 * count)]
    chance.shuffle(stems)
    every = [f"{stem}.{chance.choice(tops)}" for stem in stems]
    names, others = every[:count], every[count:]

    seconds, descriptor = [], -1
    for _round in range(3):
        if descriptor >= 0:
            os.close(descriptor)
        descriptor, spent = build([name.encode() for name in names])
        seconds.append(spent)
    began = time.perf_counter()
    builder.validate(descriptor)
    checked = time.perf_counter() - began
    began = time.perf_counter()
    image = PolicyImage.from_fd(descriptor)
    opened = time.perf_counter() - began
    print(f"names            {count:,}")
    print(f"build            {statistics.median(seconds):.2f} s")
    print(f"size             {image.size / count:.1f} bytes a name ({image.size / 1e6:.1f} MB)")
    print(f"validate         {checked * 1000:.0f} ms")
    print(f"open (checksum)  {opened * 1000:.1f} ms")

    half = LOOKUPS // 2
    questions = names[:half] + others[:half]
    chance.shuffle(questions)
    raw = [question.encode() for question in questions]
    image.time_lookups(raw, 443)
    decided = statistics.median(image.time_lookups(raw, 443) for _ in range(ROUNDS)) * 1e9 / len(raw)
    table = dict.fromkeys(names, 1)
    time_dict(table, questions)
    got = statistics.median(time_dict(table, questions) for _ in range(ROUNDS)) * 1e9 / len(questions)
    print(f"name decision    {decided:.0f} ns")
    print(f"dict.get         {got:.0f} ns")


if __name__ == "__main__":
    main()
