"""The load generator, built once, and an origin."""

from collections.abc import Iterator

import pytest

from tests.support import generator


@pytest.fixture(scope="session")
def load() -> str:
    return generator.build(generator.BENCH.parent / "build/load")


@pytest.fixture(scope="module")
def origin(load: str) -> Iterator[int]:
    with generator.started(load) as port:
        yield port
