"""States of a worker slot: the table as the docs draw it, and no transition beside it."""

import itertools
from collections.abc import Iterator

import pytest

from supervisor.segment.segment import Segment
from supervisor.workers.slot import TRANSITIONS, Slot, SlotState
from tests.support.states import drawn


@pytest.fixture
def slot() -> Iterator[Slot]:
    one = Slot(0, Segment(0, 8))
    yield one
    one.segment.close()


def test_the_docs_draw_the_table() -> None:
    assert drawn("A worker slot:") == {state: list(followers) for state, followers in TRANSITIONS.items()}


@pytest.mark.parametrize(("state", "follower"), list(itertools.permutations(SlotState, 2)))
def test_a_slot_moves_by_its_table(slot: Slot, state: SlotState, follower: SlotState) -> None:
    slot._state = state
    if follower in TRANSITIONS[state]:
        slot.state = follower
        assert slot.state == follower
    else:
        with pytest.raises(RuntimeError, match=f"slot 0 in state {state} may not become {follower}"):
            slot.state = follower


def test_a_state_follows_itself_without_a_transition(slot: Slot) -> None:
    slot.state = "stopped"
    assert slot.state == "stopped"


def test_every_state_can_be_reached_and_left() -> None:
    assert {follower for followers in TRANSITIONS.values() for follower in followers} == set(SlotState)
    assert all(TRANSITIONS[state] for state in SlotState)
