"""Random and mutated requests against the codecs, in one process.

    python tests/fuzz/fuzz_codecs.py [--count N] [--seed N]

The oracle: a request ends alike however its bytes are split, answers stay small, and every outcome has an answer.
Memory errors are the sanitizers' to report (`make asan` builds the extensions with them). Each failure names the seed
and the turn that make it again.
"""

import argparse
import ctypes
import gc
import random
import sys
from pathlib import Path
from typing import Final, NamedTuple

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.proto_probe import Http1Codec, ServerNameCodec, Socks4Codec, Socks5Codec, classify
from tests.vectors import play
from tests.vectors.loader import hellos, load, outcomes

LONGEST: Final = 40_000
ANSWER_MAX: Final = 2048  # an HTTP answer with a rule and a reason of 256 characters, each escaped
SEEDS: Final[dict[type[play.Codec], list[bytes]]] = {
    Socks5Codec: [vector.data for vector in load("socks5.txt")],
    Socks4Codec: [vector.data for vector in load("socks4.txt")],
    Http1Codec: [vector.data for vector in load("http1.txt")],
    ServerNameCodec: hellos(),
}
PARTS: Final = [
    b"\0", b"\xff", b"\r\n", b"\n", b"\r\n\r\n", b" ", b":", b"[", b"]", b"%", b"@", b"CONNECT ", b" HTTP/1.1\r\n",
    b"Host: x\r\n", b"Proxy-Authorization: Basic dTpw\r\n",
    b"Proxy-Authorization: Bearer a.b.c\r\n", b"\x05\x01\x00", b"\x05\x01\x00\x03", b"\x01\x01u\x01p",
    b"\x04\x01\x00P\0\0\0\1", b"a" * 300, b"A: b\r\n" * 30,
]  # fmt: skip


class Memory(NamedTuple):
    """Memory allocated now: Python's blocks, and bytes of the C library's heap (0 where it does not tell)."""

    blocks: int
    bytes: int


class MallInfo(ctypes.Structure):
    """struct mallinfo2 of glibc 2.33 and later."""

    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"
    )]  # fmt: skip


def memory() -> Memory:
    gc.collect()
    libc = ctypes.CDLL(None)
    used = 0
    if hasattr(libc, "mallinfo2"):
        libc.mallinfo2.restype = MallInfo
        info = libc.mallinfo2()
        used = info.uordblks + info.hblkhd
    return Memory(sys.getallocatedblocks(), used)


def mutate(draw: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """A few changes of the kinds that break parsers."""
    for _ in range(draw.randint(0, 6)):
        start = draw.randint(0, len(data))
        end = min(len(data), start + draw.choice([0, 1, 1, 2, 8, 64]))
        change = draw.randrange(6)
        if change == 0:  # other bytes
            data = data[:start] + draw.randbytes(end - start) + data[end:]
        elif change == 1:  # fewer
            data = data[:start] + data[end:]
        elif change == 2:  # the same again
            data = data[:end] + data[start:end] * draw.choice([1, 2, 100]) + data[end:]
        elif change == 3:  # a bit
            data = data[:start] + bytes(byte ^ 1 << draw.randrange(8) for byte in data[start:end]) + data[end:]
        elif change == 4:  # something that means something
            data = data[:start] + draw.choice(PARTS) + data[end:]
        else:  # the end of another request
            other = draw.choice(others)
            data = data[:start] + other[draw.randint(0, len(other)) :]
    return data[:LONGEST]


def turn(draw: random.Random) -> None:
    """One request: whole, then in pieces; then its answers."""
    make = draw.choice(list(SEEDS))
    auth = draw.randrange(3)
    accepted = draw.random() < 0.7
    if draw.random() < 0.1:
        data = draw.randbytes(draw.choice([1, 10, 100, 2000]))
    else:
        data = mutate(draw, draw.choice(SEEDS[make]), SEEDS[make])
    whole = play.play(make(auth), play.whole(data), accepted)
    if draw.random() < 0.2:
        pieces = list(play.byte_by_byte(data))
    else:
        pieces = list(play.at(draw.randrange(LONGEST) for _ in range(draw.randint(0, 8)))(data))
    codec = make(auth)
    split = play.play(codec, pieces, accepted)
    assert whole == split, f"{make.__name__}({auth}) of {data!r}:\n  whole {whole}\n  split {split}"
    assert len(whole.out) <= ANSWER_MAX, f"{make.__name__}({auth}) of {data!r} answers {len(whole.out)} bytes"
    reply = codec.reply(draw.randint(-3, len(outcomes()) + 3), "::1", 9, draw.choice([None, repr(data)]), "rule_deny")
    assert (0 if make is ServerNameCodec else 2) <= len(reply) <= ANSWER_MAX
    classify(data[: draw.randint(0, 30)])


def run(count: int, seed: int) -> None:
    """`count` turns. AssertionError tells the turn that failed."""
    for number in range(count):
        try:
            turn(random.Random(f"{seed}/{number}"))
        except Exception as error:
            raise AssertionError(f"seed {seed}, turn {number}: {error}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=20_000, help="turns (default 20000)")
    parser.add_argument("--seed", type=int, default=1, help="where the random numbers start (default 1)")
    arguments = parser.parse_args()
    try:
        run(arguments.count, arguments.seed)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"fuzz_codecs: {arguments.count} requests, seed {arguments.seed}: nothing found")
    return 0


if __name__ == "__main__":
    sys.exit(main())
