"""The load generator, built once, and an origin."""

from collections.abc import Iterator

import pytest

from tests.support import generator


@pytest.fixture(scope="session")
def load(tmp_path_factory: pytest.TempPathFactory) -> str:
    return generator.build(tmp_path_factory.mktemp("load"))


@pytest.fixture(scope="module")
def origin(load: str) -> Iterator[int]:
    with generator.started(load) as port:
        yield port
