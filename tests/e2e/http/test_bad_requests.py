"""Requests that two readers could read in two ways, and those beyond every bound: refused, and nothing of them leaves.

The corpus is tests/vectors/smuggling.txt: titles, the status, and the bytes.
"""

import re
from typing import Final

import pytest

from tests.e2e.http.conftest import Site
from tests.support.http_client import Client
from tests.vectors.loader import FOLDER, tokens

MARK: Final = b"/smuggled"


def corpus() -> dict[str, tuple[int, bytes]]:
    """Blocks of a title, `== STATUS` and `>>` lines; HOST stands for the origin's host and port."""
    found = {}
    text = re.sub(r"^#.*\n", "", (FOLDER / "smuggling.txt").read_text(), flags=re.MULTILINE)
    for block in filter(None, (one.strip() for one in text.split("\n\n"))):
        title, end, *lines = block.splitlines()
        data = b"".join(piece for line in lines for piece in tokens(line.removeprefix(">> ")))
        assert title not in found, title
        found[title] = int(end.removeprefix("== ")), data
    return found


CORPUS: Final = corpus()


@pytest.mark.parametrize("title", CORPUS)
def test_it_is_refused_and_nothing_of_it_reaches_the_origin(site: Site, title: str) -> None:
    status, data = CORPUS[title]
    heads, received = len(site.origin.heads), len(site.origin.received())
    with Client(site.gateway.port) as client:
        client.send(data.replace(b"HOST", site.authority.encode()))
        found = client.response()
        assert found.status == status, found
        assert found.value("sluice-id") and client.is_ended(), "the connection is closed: what follows is in doubt"
    assert len(site.origin.heads) == heads and MARK not in site.origin.received()[received:]


def sent(site: Site, *fields: str, path: str = "/") -> int:
    with Client(site.gateway.port) as client:
        return client.get(site.url(path), *fields).status


def test_heads_up_to_their_bounds_pass_and_beyond_them_are_431(site: Site) -> None:
    assert sent(site, "X-Long: " + "a" * 60_000) == 200
    assert sent(site, "X-Long: " + "a" * 70_000) == 431
    assert sent(site, *(f"X-{i}: v" for i in range(990))) == 200
    assert sent(site, *(f"X-{i}: v" for i in range(1100))) == 431
    assert sent(site, path="/" + "p" * 60_000) == 200
    assert sent(site, path="/" + "p" * 70_000) == 431


def test_an_expectation_that_is_unknown_is_417(site: Site) -> None:
    assert sent(site, "Expect: 200-ok") == 417


def test_a_request_that_has_been_here_is_508(site: Site) -> None:
    with Client(site.gateway.port) as client:
        via = client.get(site.url("/")).value("via")
    assert via.startswith("1.1 sluice-") and sent(site, f"Via: {via}") == 508
    assert sent(site, "Via: 1.1 sluice-00000000") == 200


def test_doubtful_paths_pass_where_no_rule_asks_for_paths(site: Site) -> None:
    for path in ("/a//b", "/a%2Fb", "/a%5cb"):
        with Client(site.gateway.port) as client:
            assert path in client.get(site.url(path)).body.decode()
    assert sent(site, path="/a/../b") == 400
    assert sent(site, path="/a/%2e%2e/b") == 400


def test_unreserved_characters_leave_decoded(site: Site) -> None:
    with Client(site.gateway.port) as client:
        assert b'"/a~b/%20"' in client.get(site.url("/%61%7Eb/%20")).body
