"""Plain requests through a running gateway: one gateway and one origin for each file of tests."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.support.http_origin import HttpOrigin
from tests.support.names import NameServer
from tests.support.run_gateway import Gateway, policy


class Site(NamedTuple):
    """www.test and api.test are the origin, whatever port; blocked.test is denied, closed.test has no server."""

    gateway: Gateway
    origin: HttpOrigin

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.gateway.port}"

    def url(self, path: str, host: str = "www.test") -> str:
        return f"http://{host}:{self.origin.port}{path}"

    @property
    def authority(self) -> str:
        return f"www.test:{self.origin.port}"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    names = {name: ["127.0.0.1"] for name in ("www.test", "api.test", "blocked.test", "closed.test")}
    with NameServer(names) as server, HttpOrigin() as origin:
        rules = [
            policy("open", [{"host": name} for name in ("www.test", "api.test", "closed.test", "missing.test")]),
            policy("no-blocked", [{"host": "blocked.test"}], action="Deny"),
        ]
        config = {
            "dns": {"servers": [server.address], "timeout": "1s"},
            "limits": {"requestTimeout": "2s", "dialTimeout": "2s"},
        }
        with Gateway(rules, config) as gateway:
            yield Site(gateway, origin)
