"""A short, fixed run of the HTTP/2 fuzzer, and proof that it would see what it looks for."""

import pytest

from tests.fuzz import fuzz_http2
from tests.vectors.http2 import PREFACE, frame


def test_a_short_run_finds_nothing() -> None:
    assert fuzz_http2.run(20_000, seed=20) >= 20_000


@pytest.mark.parametrize("stream", [0, 1])
def test_a_byte_beyond_a_window_is_seen(stream: int) -> None:
    given = PREFACE + frame("WINDOW_UPDATE", 0, stream, (35).to_bytes(4, "big"))
    other = PREFACE + frame("WINDOW_UPDATE", 0, 1 - stream, (99).to_bytes(4, "big"))
    within = frame("DATA", 0, 1, bytes(65535))
    fuzz_http2.within_windows(given, within)
    with pytest.raises(AssertionError, match=f"beyond the window of {stream}"):
        fuzz_http2.within_windows(other, within + frame("DATA", 0, 1, b"x"))
