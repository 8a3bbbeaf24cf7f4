"""A session of the server's side that has begun, and what it has said."""

from typing import Final

from tests.support.h2_server_probe import Probe
from tests.vectors.http2 import PREFACE, block, frame, frames

CONNECT: Final = block(":method CONNECT, :authority example.com:443")


def begun(data: bytes = b"") -> Probe:
    """A session behind its opening, with one CONNECT stream, and `data` behind that."""
    probe = Probe()
    opening = PREFACE + frame("SETTINGS") + frame("HEADERS", 4, 1, CONNECT)
    assert [event[0] for event in probe.receive(opening)] == ["request"]
    probe.take_out()
    probe.receive(data)
    return probe


def window_updates(probe: Probe) -> dict[int, int]:
    """Windows that were returned, by stream."""
    found: dict[int, int] = {}
    for sent in frames(probe.take_out()):
        assert sent.kind == "WINDOW_UPDATE", sent
        found[sent.stream] = found.get(sent.stream, 0) + int.from_bytes(sent.payload, "big")
    return found
