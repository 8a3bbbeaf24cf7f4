"""Short, fixed runs of the HTTP/2 fuzzers, and proof that they would see what they look for."""

import pytest

from tests.fuzz import fuzz_http2, fuzz_http2_client
from tests.vectors.http2 import PREFACE, frame


def test_a_short_run_finds_nothing() -> None:
    assert fuzz_http2.run(20_000, seed=20) >= 20_000
    assert fuzz_http2_client.run(10_000, seed=20) >= 10_000


def test_content_before_a_head_is_seen() -> None:
    fuzz_http2_client.in_order([("response", 1, {"status": 200}, False), ("data", 1, b"x", True), ("error", 1, 5)])
    for kind, *rest in (("data", 3, b"x", False), ("trailers", 3, [])):
        with pytest.raises(AssertionError, match="before the head"):
            fuzz_http2_client.in_order([(kind, *rest)])
    with pytest.raises(AssertionError, match="behind the end"):
        fuzz_http2_client.in_order([("response", 1, {"status": 204}, True), ("data", 1, b"x", False)])


@pytest.mark.parametrize("stream", [0, 1])
def test_a_byte_beyond_a_window_is_seen(stream: int) -> None:
    given = PREFACE + frame("WINDOW_UPDATE", 0, stream, (35).to_bytes(4, "big"))
    other = PREFACE + frame("WINDOW_UPDATE", 0, 1 - stream, (99).to_bytes(4, "big"))
    within = frame("DATA", 0, 1, bytes(65535))
    fuzz_http2.within_windows(given, within)
    with pytest.raises(AssertionError, match=f"beyond the window of {stream}"):
        fuzz_http2.within_windows(other, within + frame("DATA", 0, 1, b"x"))
