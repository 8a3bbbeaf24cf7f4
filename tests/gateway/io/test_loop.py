"""A turn of the loop is bounded in time."""

from gateway.io.loop import Loop
from tests.support.loop_probe import Slow, turn


def test_those_that_asked_for_a_turn_share_several_where_one_is_too_short() -> None:
    loop, served = Loop(), list[str]()
    names = [f"{number:02}" for number in range(10)]
    handlers = [Slow(loop, name, served, burn=3000) for name in names]
    for handler in handlers:
        handler.ask()
    turn(loop)
    assert served == names[:4], "the clock is looked at after each fourth"
    handlers[0].ask()
    turn(loop)
    assert served == names[:8], "those that waited come before those that ask again"
    turn(loop)
    assert served == [*names, names[0]]


def test_one_that_asks_again_during_its_turn_waits_for_the_next() -> None:
    loop, served = Loop(), list[str]()
    quick = [Slow(loop, str(number), served, burn=0, again=1) for number in range(6)]
    for handler in quick:
        handler.ask()
    turn(loop)
    assert served == list("012345")
    turn(loop)
    assert served == list("012345") * 2


def test_asking_twice_is_one_turn() -> None:
    loop, served = Loop(), list[str]()
    handler = Slow(loop, "one", served, burn=0)
    handler.ask()
    handler.ask()
    turn(loop)
    assert served == ["one"]
