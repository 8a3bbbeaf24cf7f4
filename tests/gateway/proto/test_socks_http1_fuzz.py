"""A short, fixed run of the codec fuzzer, and proof that it would see what it looks for."""

import random

import pytest

from tests.fuzz import fuzz_codecs
from tests.support.proto_probe import Http1Codec, Socks5Codec
from tests.vectors import play


def test_a_short_run_finds_nothing() -> None:
    fuzz_codecs.run(2000, seed=20)


def test_requests_leave_no_memory_behind() -> None:
    """A leak shows in every round; a cache that fills, or a list that doubles, in one of them."""
    grown = []
    before = fuzz_codecs.memory()
    for seed in range(21, 25):
        fuzz_codecs.run(1000, seed=seed)
        after = fuzz_codecs.memory()
        grown.append((after.blocks - before.blocks, after.bytes - before.bytes))
        before = after
    # A leak of one small block a request is 1,000 blocks, or 16 KB at the least.
    assert min(blocks for blocks, _ in grown) < 500
    assert min(held for _, held in grown) < 16_000


def test_a_head_without_end_holds_no_more_than_its_bound() -> None:
    count = 50
    codecs = [Http1Codec(0) for _ in range(count)]
    before = fuzz_codecs.memory().bytes
    for codec in codecs:
        for _ in range(163):
            assert codec.receive(b"a" * 100) == (play.MORE, 100, b"")
    held = fuzz_codecs.memory().bytes - before
    # Under a sanitizer the C library has no heap to tell of; else the lines must show, or nothing is measured here.
    assert before == 0 or 163 * 100 * count <= held <= (16_384 + 512) * count
    for codec in codecs:
        assert codec.receive(b"a" * 100)[0] == play.FAILED
    assert fuzz_codecs.memory().bytes - before < 1024 * count, "a request that has ended holds no line"


def test_the_fuzzer_sees_a_codec_that_depends_on_how_bytes_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forgetful(Http1Codec):  # type: ignore[misc]
        def receive(self, data: bytes) -> tuple[int, int, bytes]:
            answer: tuple[int, int, bytes] = super().receive(data[:1] + data[2:] if len(data) > 300 else data)
            return answer[0], len(data) if answer[0] in (play.FAILED, play.MORE) else answer[1], answer[2]

    seeds = {Forgetful: fuzz_codecs.SEEDS[Http1Codec]}
    monkeypatch.setattr(fuzz_codecs, "SEEDS", seeds)
    with pytest.raises(AssertionError, match="seed 23, turn"):
        fuzz_codecs.run(2000, seed=23)


def test_the_same_seed_makes_the_same_requests() -> None:
    seeds = fuzz_codecs.SEEDS[Socks5Codec]
    first, second = ([fuzz_codecs.mutate(random.Random(7), seed, seeds) for seed in seeds] for _ in range(2))
    assert first == second
