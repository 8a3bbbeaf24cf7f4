"""The playbooks of tests/vectors/playbooks: what a worker sends and dials for each byte, login, reload and second."""

import pytest

from tests.support.playbook import FOLDER, Mistake, Script, load, play

SCRIPTS = [script for file in sorted(FOLDER.glob("*.txt")) for script in load(file.name)]


@pytest.mark.parametrize("script", [pytest.param(one, id=f"{one.file}: {one.title}") for one in SCRIPTS])
def test_a_playbook(script: Script) -> None:
    play(script)


def mistake(*lines: str) -> str:
    """The sentence that a script fails with."""
    with pytest.raises(Mistake) as failed:
        play(Script("a mistake", "here.txt", list(enumerate(lines, 7))))
    return str(failed.value)


WORLD = ("origin one 127.0.0.2 silent", "name a.test 127.0.0.2", "policy allow a.test")


def test_a_mistake_names_its_line_and_what_came_instead() -> None:
    assert mistake("policy allow a.test", ">> 05 01 00", "<< 05 ff") == (
        "here.txt:9: << 05 ff\n    expected 05 ff, but the client has received 05 00"
    )


def test_a_mistake_in_time_is_a_mistake_at_once() -> None:
    asked = '>> 05 01 00 05 01 00 03 06 "a.test" PORT'
    found = mistake(*WORLD, asked, "<< 05 00", "one is dialed", ".. 11s passes", "<< nothing")
    assert found.startswith("here.txt:14: << nothing\n    expected nothing, but the client has received 05 04 00 01")


def test_what_no_line_meets_is_a_mistake() -> None:
    assert "the client has received 05 00 more" in mistake("policy allow a.test", ">> 05 01 00")
    asked = '>> 05 01 00 05 01 00 03 06 "a.test" PORT'
    assert "one was dialed, and no line says so" in mistake(*WORLD, asked, "<< 05 00")
    assert "but one was dialed" in mistake(*WORLD, asked, "<< 05 00", "nothing is dialed")
