"""The image of the generation before: held for a while, at most one, and given back without the loop."""

import asyncio
import os

import pytest

from supervisor.generation import replaced_image
from supervisor.generation.replaced_image import ReplacedImage


def is_open(descriptor: int) -> bool:
    return os.path.exists(f"/proc/self/fd/{descriptor}")


async def settled(*descriptors: int) -> None:
    for _ in range(200):
        if not any(map(is_open, descriptors)):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("still open")


def test_the_next_one_takes_its_place() -> None:
    async def run() -> None:
        held = ReplacedImage()
        first, second = (os.memfd_create(name) for name in ("first", "second"))
        held.take(first)
        await asyncio.sleep(0.02)
        assert is_open(first)
        held.take(second)
        await settled(first)
        assert is_open(second)
        held.close()
        assert not is_open(second)

    asyncio.run(run())


def test_it_is_given_back_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        held = ReplacedImage()
        image = os.memfd_create("image")
        held.take(image)
        await settled(image)
        held.close()

    monkeypatch.setattr(replaced_image, "HELD", 0.05)
    asyncio.run(run())
