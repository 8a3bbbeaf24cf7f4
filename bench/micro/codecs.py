"""The cost of reading a request and of writing its answer: each codec on a request as clients send it.

    python -m bench.micro.codecs [--requests 200000]

A codec is made, fed and answered from Python, as a test would: the figure has some calls' cost in it that the gateway
does not pay, which the empty call beside it shows.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Final

from tests.support.proto_probe import Http1Codec, Socks4Codec, Socks5Codec
from tests.vectors.loader import outcomes
from tests.vectors.play import REQUEST, Codec

ROUNDS: Final = 5
NAME: Final = b"api.partner.example.com"
OK: Final = outcomes()["connected"]
CASES: Final[dict[str, tuple[type[Codec], list[bytes]]]] = {
    "SOCKS5, a name": (Socks5Codec, [b"\x05\x01\x00", b"\x05\x01\x00\x03" + bytes([len(NAME)]) + NAME + b"\x01\xbb"]),
    "SOCKS5, an address": (Socks5Codec, [b"\x05\x01\x00", b"\x05\x01\x00\x01\xc0\x00\x02\x01\x01\xbb"]),
    "SOCKS4a": (Socks4Codec, [b"\x04\x01\x01\xbb\x00\x00\x00\x01user\x00" + NAME + b"\x00"]),
    "CONNECT, curl's": (
        Http1Codec,
        [b"CONNECT %s:443 HTTP/1.1\r\nHost: %s:443\r\nUser-Agent: curl/8.5.0\r\nProxy-Connection: Keep-Alive\r\n\r\n"
         % (NAME, NAME)],
    ),
}  # fmt: skip


def one(kind: type[Codec], pieces: list[bytes]) -> None:
    """One request, read and answered."""
    codec = kind(0)
    status = 0
    for piece in pieces:
        status, _, _ = codec.receive(piece)
    if status != REQUEST:
        raise SystemExit(f"{kind.__name__} did not read its request")
    codec.reply(OK, "192.0.2.1", 1080)


def nothing(kind: type[Codec], pieces: list[bytes]) -> None:
    """As many calls of as little."""
    for piece in pieces:
        len(piece)


def timed(
    what: Callable[[type[Codec], list[bytes]], None], kind: type[Codec], pieces: list[bytes], count: int
) -> float:
    """Nanoseconds each."""
    began = time.perf_counter()
    for _ in range(count):
        what(kind, pieces)
    return (time.perf_counter() - began) * 1e9 / count


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench.micro.codecs", description="Requests read and answered.")
    parser.add_argument("--requests", type=int, default=200_000, help="of each kind; default: 200,000")
    count = parser.parse_args().requests // ROUNDS
    for name, (kind, pieces) in CASES.items():
        full = statistics.median(timed(one, kind, pieces, count) for _ in range(ROUNDS))
        empty = statistics.median(timed(nothing, kind, pieces, count) for _ in range(ROUNDS))
        print(f"{name:<20}{full:8.0f} ns a request, of them {empty:.0f} ns for the loop around it")


if __name__ == "__main__":
    main()
