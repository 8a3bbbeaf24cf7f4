"""Random and mutated answers of HTTP/2 origins against the client's side, in one process.

    python tests/fuzz/fuzz_http2_client.py [--count N] [--seed N] [--seconds N]

The oracle: a connection ends alike however its bytes are split; trailers and content come behind a head and nothing
behind an end; what goes out is whole frames, and no more DATA than the origin ever gave windows for. Memory errors are
the sanitizers' to report (`make asan`). An input is one frame, or what a mutation left of one.
"""

import random
import sys
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.fuzz.fuzz_http2 import NUMBERS, SIZES, command, told, turns, within_windows
from tests.support.h2_client_probe import ClientProbe
from tests.vectors import play
from tests.vectors.http2 import PREFACE, TYPES, block, frame, frames

ASKED: Final = 4  # requests of each connection, on streams 1, 3, 5 and 7
HEADS: Final = [
    block(text)
    for text in (
        ":status 200", ":status 200, content-length 5", ":status 204", ":status 304, content-length 9", ":status 103",
        ":status 100", ":status 101", ":status 99", ":status 2000", ":status 200, :status 200", "server x",
        ":status 200, x y, :status 200", ":status 200, content-length 1, content-length 2", ":status 200, x a\nb",
        ":status 200, transfer-encoding chunked", ":status 200, connection close", ":status 200, X upper",
        ":status 200, x a*16000", ":method GET", ":status 503, set-cookie a, set-cookie b", "grpc-status 0",
    )
]  # fmt: skip
TRAILERS: Final = [block(text) for text in ("x-sum 1", "grpc-status 0, grpc-message m", ":status 200", "te trailers")]
REQUEST: Final = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a.test"), (b":path", b"/")]


def some_frame(draw: random.Random) -> bytes:
    """A frame that an origin may send more often than not."""
    kinds = ("HEADERS", "HEADERS", "HEADERS", "DATA", "DATA", "0xee")
    kind = draw.choice([*TYPES, *kinds])
    flags = draw.choice([0, 1, 4, 4, 4, 5, 8, 12, 32, draw.randrange(256)])
    stream = draw.choice([1, 1, 1, 3, 3, 5, 7, 0, 2, 9, draw.randrange(12), draw.getrandbits(31)])
    size = draw.choice(SIZES)
    if kind in ("HEADERS", "CONTINUATION"):
        payload = draw.choice([*HEADS, *TRAILERS, HEADS[0], HEADS[0], draw.randbytes(min(size, 60))])
        payload = payload if draw.random() < 0.95 else payload[: draw.randrange(len(payload) + 1)]
    elif kind == "PUSH_PROMISE":
        payload = draw.choice(NUMBERS).to_bytes(4, "big") + HEADS[0]
    elif kind in ("WINDOW_UPDATE", "RST_STREAM"):
        payload = draw.choice(NUMBERS).to_bytes(4, "big")
    elif kind == "GOAWAY":
        stream, payload = 0, draw.choice([0, 1, 3, 7, 0x7FFFFFFF]).to_bytes(4, "big") + bytes(4)
    elif kind == "SETTINGS":
        pairs = [(draw.randrange(10), draw.choice(NUMBERS)) for _ in range(draw.randrange(3))]
        payload = b"".join(name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in pairs)
        stream, flags = 0, flags & 1
    elif kind == "PING":
        stream, payload = 0, draw.randbytes(8)
    else:
        payload = bytes(size)
    return frame(kind, flags, stream, payload)


def conversation(draw: random.Random) -> list[bytes]:
    """The origin's side: frames, some of them mutated."""
    pieces = []
    for _ in range(draw.randrange(1, 25)):
        piece = some_frame(draw)
        if draw.random() < 0.05:
            place = draw.randrange(len(piece))
            piece = piece[:place] + draw.randbytes(1) + piece[place + draw.randrange(3) :]
        pieces.append(piece)
    return pieces


def asking(ends: bool, greeted: bool = True) -> ClientProbe:
    """A client with requests under way, whose heads it gathers: one, and more behind the origin's SETTINGS."""
    probe = ClientProbe(collects=True)
    assert probe.ask_message(REQUEST, ends) is not None
    if greeted:
        assert probe.receive(frame("SETTINGS")) == [("settings",)]
        for _ in range(ASKED - 1):
            assert probe.ask_message(REQUEST, ends) is not None
    return probe


def in_order(events: list[tuple[Any, ...]]) -> None:
    """On each stream: interim heads, one head, content, at most one end."""
    headed: set[int] = set()
    over: set[int] = set()
    gone: set[int] = set()
    for kind, *rest in events:
        if kind in ("settings", "goaway", "window", "failed"):
            continue
        number = rest[0]
        assert number not in over or kind in ("reset", "error"), f"{kind} behind the end of {number}"
        assert number not in gone, f"{kind} on {number}, which is forgotten"
        if kind == "interim":
            assert number not in headed and 100 <= rest[1]["status"] < 200
        elif kind == "response":
            assert number not in headed and 200 <= rest[1]["status"] <= 999
            headed.add(number)
        elif kind in ("data", "trailers"):
            assert number in headed, f"{kind} before the head of {number}"
        if kind == "trailers" or rest[-1] is True:
            over.add(number)
        elif kind in ("reset", "error"):
            gone.add(number)


def without_content(events: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [event for event in events if event[0] != "data"]


def split_alike(draw: random.Random, pieces: list[bytes]) -> int:
    """The same bytes whole and in pieces; the number of inputs."""
    data = b"".join(pieces)
    ends, greeted = draw.random() < 0.5, draw.random() < 0.9
    whole, parts = asking(ends, greeted), asking(ends, greeted)
    expected = told(whole.receive(data))
    cut = play.at(draw.randrange(len(data) + 1) for _ in range(draw.randrange(12)))
    found = told([event for piece in cut(data) for event in parts.receive(piece)])
    in_order(expected)
    in_order(found)
    # A piece of DATA may have been reported before the bytes that broke its frame: whole, it is not.
    assert without_content(found) == without_content(expected), (found, expected)
    out = whole.take_out()
    assert out == parts.take_out() and list(frames(out[len(PREFACE) :]))
    return len(pieces)


def owned(draw: random.Random, pieces: list[bytes]) -> int:
    """An owner that asks, sends, takes up and resets at random; the number of inputs."""
    probe = asking(False)
    live = {1 + 2 * at for at in range(ASKED)}
    held: dict[int, int] = {}
    ended: set[int] = set()
    events: list[tuple[Any, ...]] = []
    for count, piece in enumerate(pieces, 1):
        new = probe.receive(piece, now=draw.randrange(5000))
        events += new
        for event in new:
            if event[0] == "failed":
                return finished(probe, pieces, events, count)
            if event[0] == "data":
                held[event[1]] = held.get(event[1], 0) + len(event[2])
            elif event[0] in ("reset", "error"):
                live.discard(event[1])
                held.pop(event[1], None)
        for number in sorted(live):
            act = draw.randrange(8)
            try:
                if act < 3 and number not in ended:
                    data, last = bytes(draw.choice(SIZES)), draw.random() < 0.2
                    if probe.send(number, data, last) == len(data) and last:
                        ended.add(number)
                elif act == 3 and held.get(number):
                    probe.consume(number, held.pop(number))
                elif act == 4 and draw.random() < 0.3:
                    probe.reset(number, draw.randrange(14))
                    live.discard(number)
            except KeyError:  # both sides have ended it
                live.discard(number)
    return finished(probe, pieces, events, len(pieces))


def finished(probe: ClientProbe, pieces: list[bytes], events: list[tuple[Any, ...]], count: int) -> int:
    assert probe.missteps == 0
    in_order(events)
    within_windows(PREFACE + b"".join(pieces[:count]), probe.take_out()[len(PREFACE) :])
    return count


def one(draw: random.Random) -> int:
    """A connection; its inputs."""
    pieces = conversation(draw)
    return (split_alike if draw.random() < 0.5 else owned)(draw, pieces)


def run(count: int, seed: int) -> int:
    """Connections until `count` inputs were given, as turns() says."""
    return turns(one, count, seed)


if __name__ == "__main__":
    sys.exit(command("fuzz_http2_client", __doc__, one))
