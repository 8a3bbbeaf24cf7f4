"""Random and mutated HTTP/2 connections against a session, in one process.

    python tests/fuzz/fuzz_http2.py [--count N] [--seed N]

The oracle: a connection ends alike however its bytes are split; and whatever its owner does with its streams, what goes
out is whole frames of no more than the largest size, and no more DATA than the client ever gave windows for, on each
stream and on the connection. Memory errors are the sanitizers' to report (`make asan`). Each failure names the seed and
the turn that make it again. An input is one frame, or what a mutation left of one, that a live connection took.
"""

import argparse
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.h2_server_probe import Probe
from tests.support.proto_probe import read_frames
from tests.vectors import play
from tests.vectors.http2 import PREFACE, TYPES, block, frame, frames, load

SEEDS: Final = [vector.data for vector in load()]
CONNECT: Final = block(":method CONNECT, :authority example.com:443")
PIPY: Final = block(":method CONNECT, :scheme http, :path example.com:443")
GET: Final = b"\x82\x84\x86"
SIZES: Final = (0, 1, 4, 5, 8, 9, 100, 16384, 16385)
NUMBERS: Final = (0, 1, 65535, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def some_frame(draw: random.Random, number: int) -> bytes:
    """A frame that makes sense more often than not; `number` is a stream to use."""
    kind = draw.choice([*TYPES, "HEADERS", "HEADERS", "DATA", "DATA", "DATA", "WINDOW_UPDATE", "0xee"])
    flags = draw.choice([0, 1, 4, 5, 8, 32, draw.randrange(256)])
    stream = draw.choice([0, number, number, number, draw.randrange(12), draw.getrandbits(31)])
    size = draw.choice(SIZES)
    if kind == "HEADERS" or kind == "CONTINUATION":
        payload = draw.choice([CONNECT, CONNECT, PIPY, GET, draw.randbytes(min(size, 100)), CONNECT[: size % 20]])
        flags = draw.choice([4, 4, 5, flags])
    elif kind in ("WINDOW_UPDATE", "RST_STREAM"):
        payload = draw.choice(NUMBERS).to_bytes(4, "big")
    elif kind == "SETTINGS":
        payload = b"".join(
            draw.randrange(10).to_bytes(2, "big") + draw.choice(NUMBERS).to_bytes(4, "big")
            for _ in range(draw.randrange(3))
        )
        stream, flags = 0, flags & 1
    elif kind == "PING":
        stream, payload = 0, draw.randbytes(8)
    else:
        payload = bytes(size)
    return frame(kind, flags, stream, payload)


def conversation(draw: random.Random) -> list[bytes]:
    """The client's side: frames, some of them mutated."""
    if draw.random() < 0.3:
        pieces = [draw.choice(SEEDS)]
    else:
        pieces = [PREFACE, frame("SETTINGS")]
    number = 1
    for _ in range(draw.randrange(1, 30)):
        piece = some_frame(draw, number)
        if draw.random() < 0.05:
            place = draw.randrange(len(piece))
            piece = piece[:place] + draw.randbytes(1) + piece[place + draw.randrange(3) :]
        pieces.append(piece)
        number += 2 * (draw.random() < 0.3)
    return pieces


def told(events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Events with adjacent pieces of DATA of one stream joined."""
    found: list[tuple[Any, ...]] = []
    for event in events:
        if event[0] == "data" and found and found[-1][:2] == event[:2] and not found[-1][3]:
            found[-1] = ("data", event[1], found[-1][2] + event[2], event[3])
        else:
            found.append(event)
    return found


def taken(probe: Probe, pieces: list[bytes], found: list[tuple[Any, ...]]) -> int:
    """Gives the pieces to a probe until its connection ends; how many that were. Adds what is reported to `found`."""
    for number, piece in enumerate(pieces, 1):
        found += probe.receive(piece)
        if found and found[-1][0] == "failed":
            return number
    return len(pieces)


def split_alike(draw: random.Random, pieces: list[bytes]) -> int:
    """The same bytes whole, frame by frame and in other pieces; the number of inputs."""
    data = b"".join(pieces)
    whole, single, parts = Probe(), Probe(), Probe()
    expected = told(whole.receive(data))
    events: list[tuple[Any, ...]] = []
    count = taken(single, pieces, events)
    cut = play.at(draw.randrange(len(data) + 1) for _ in range(draw.randrange(12)))
    for found in (told(events), told([event for piece in cut(data) for event in parts.receive(piece)])):
        if found != expected:
            # A piece of DATA may have been reported before the bytes that broke its frame: whole, it is not.
            assert [e for e in found if e[0] != "data"] == [e for e in expected if e[0] != "data"], (found, expected)
    assert read_frames([data[24:]]) == read_frames(list(cut(data[24:])))
    out = whole.take_out()
    assert out == parts.take_out() == single.take_out() and list(frames(out))
    return count


def owned(draw: random.Random, pieces: list[bytes]) -> int:
    """An owner that answers, sends, takes up, resets and forgets at random; the number of inputs."""
    probe = Probe(draw.randrange(3))
    live: set[int] = set()
    held: dict[int, int] = {}
    out = b""
    for count, piece in enumerate(pieces, 1):
        for event in probe.receive(piece, now=draw.randrange(5000)):
            if event[0] == "failed":
                within_windows(b"".join(pieces), out + probe.take_out())
                return count
            if event[0] == "request":
                live.add(event[1])
            elif event[0] == "data":
                held[event[1]] = held.get(event[1], 0) + len(event[2])
            elif event[0] in ("reset", "error"):
                live.discard(event[1])
                held.pop(event[1], None)
        for number in sorted(live):
            act = draw.randrange(12)
            if act == 0:
                probe.respond(number, [(b":status", b"200"), (b"x", draw.randbytes(draw.randrange(50)))])
            elif act < 4:
                probe.send(number, bytes(draw.choice(SIZES)), draw.random() < 0.1)
            elif act == 4 and held.get(number):
                probe.consume(number, held.pop(number))
            elif act == 5:
                probe.reset(number, draw.randrange(14))
                live.discard(number)
            elif act == 6:
                probe.finish(number)
                live.discard(number)
        assert probe.buffered <= (4 << 20) + 131072
        if draw.random() < 0.3:
            out += probe.take_out()
    within_windows(b"".join(pieces), out + probe.take_out())
    return len(pieces)


def within_windows(given: bytes, out: bytes) -> None:
    """No more DATA went out than all that the client ever gave, wherever its last window stood."""
    windows = dict.fromkeys([0], 65535)
    first = 65535
    read, _, _ = read_frames([given[24:]], 131072)
    for kind, flags, _, _, payload in read:
        if TYPES[min(kind, 9)] == "SETTINGS" and not flags & 1:
            first = max(
                [
                    first,
                    *(
                        int.from_bytes(payload[at + 2 : at + 6], "big")
                        for at in range(0, len(payload), 6)
                        if payload[at : at + 2] == b"\0\x04"
                    ),
                ]
            )
    for kind, _, stream, _, payload in read:
        if TYPES[min(kind, 9)] == "WINDOW_UPDATE":
            windows[stream] = windows.get(stream, first) + (int.from_bytes(payload, "big") & 0x7FFFFFFF)
    for sent in frames(out):
        assert len(sent.payload) <= 131072, "a frame larger than any side allows"
        if sent.kind == "DATA":
            for stream in (0, sent.stream):
                windows[stream] = windows.get(stream, first) - len(sent.payload)
                assert windows[stream] >= 0, f"beyond the window of {stream}"


def turns(turn: Callable[[random.Random], int], count: int, seed: int, seconds: float = 0) -> int:
    """Turns until `count` inputs were given, or for so many seconds; the inputs. AssertionError tells the turn that
    failed."""
    given = number = 0
    end = time.monotonic() + seconds
    while given < count if not seconds else time.monotonic() < end:
        try:
            given += turn(random.Random(f"{seed}/{number}"))
        except Exception as error:
            raise AssertionError(f"seed {seed}, turn {number}: {error!r}") from error
        number += 1
    return given


def command(name: str, described: str | None, turn: Callable[[random.Random], int]) -> int:
    """The exit code of a fuzzer that was started by itself."""
    parser = argparse.ArgumentParser(description=described, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100_000, help="inputs (default 100000)")
    parser.add_argument("--seed", type=int, default=1, help="where the random numbers start (default 1)")
    parser.add_argument("--seconds", type=float, default=0, help="time in place of a count")
    arguments = parser.parse_args()
    try:
        given = turns(turn, arguments.count, arguments.seed, arguments.seconds)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{name}: {given} frames, seed {arguments.seed}: nothing found")
    return 0


def one(draw: random.Random) -> int:
    """A connection; its inputs."""
    pieces = conversation(draw)
    return (split_alike if draw.random() < 0.5 else owned)(draw, pieces)


def run(count: int, seed: int) -> int:
    """Connections until `count` inputs were given, as turns() says."""
    return turns(one, count, seed)


if __name__ == "__main__":
    sys.exit(command("fuzz_http2", __doc__, one))
