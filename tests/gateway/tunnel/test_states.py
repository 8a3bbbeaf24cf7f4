"""States of a tunnel's inspection, and of a parent's connection: tables, as the docs draw them."""

import pytest

from gateway.tunnel.states import transitions as inspection_states
from gateway.upstream.states import transitions as parent_states
from tests.support.states import drawn

TABLES = {
    "The inspection of a tunnel:": (inspection_states(), {"watching", "holding"}),
    "A connection to a parent:": (parent_states(), {"greeting"}),
}


@pytest.mark.parametrize("title", TABLES)
def test_the_docs_draw_the_table(title: str) -> None:
    assert drawn(title) == TABLES[title][0]


@pytest.mark.parametrize("title", TABLES)
def test_every_state_but_the_first_ones_is_reached(title: str) -> None:
    table, first = TABLES[title]
    assert {follower for followers in table.values() for follower in followers} | first == set(table)
    assert all(state not in table[state] for state in table)
