"""The bounded map of answers: time, order of use, and a model that it must agree with."""

from collections import OrderedDict

from hypothesis import given
from hypothesis import strategies as st

from gateway.dns.cache import Answer, DnsCache


def answer(name: bytes, expires: int) -> Answer:
    return Answer(name, 1, b"", expires)


def test_an_answer_holds_until_it_expires() -> None:
    cache = DnsCache(10)
    cache.put(answer(b"a", 100), 0)
    assert cache.find(b"a", 99).expires == 100
    assert cache.find(b"b", 99) is None
    assert len(cache) == 1
    assert cache.find(b"a", 100) is None
    assert len(cache) == 0


def test_a_new_answer_takes_the_place_of_the_old() -> None:
    cache = DnsCache(2)
    cache.put(answer(b"a", 100), 0)
    cache.put(answer(b"a", 200), 0)
    assert (cache.find(b"a", 150).expires, len(cache)) == (200, 1)
    cache.put(answer(b"a", 50), 60)
    assert (cache.find(b"a", 60), len(cache)) == (None, 0)


def test_the_same_answer_twice_is_one() -> None:
    cache = DnsCache(2)
    same = answer(b"a", 100)
    cache.put(same, 0)
    cache.put(same, 0)
    cache.put(answer(b"b", 100), 0)
    cache.put(answer(b"c", 100), 0)
    assert (cache.find(b"a", 0), len(cache)) == (None, 2)


def test_no_room_means_no_answers() -> None:
    cache = DnsCache(0)
    cache.put(answer(b"a", 100), 0)
    assert (cache.find(b"a", 0), len(cache)) == (None, 0)


steps = st.lists(
    st.tuples(st.sampled_from(["put", "find"]), st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), st.integers(0, 20)),
    max_size=200,
)


@given(st.integers(1, 4), steps)
def test_it_agrees_with_a_model(room: int, plan: list[tuple[str, bytes, int]]) -> None:
    cache = DnsCache(room)
    model: OrderedDict[bytes, int] = OrderedDict()
    for now, (what, name, span) in enumerate(plan):
        if what == "put":
            cache.put(answer(name, now + span), now)
            model.pop(name, None)
            if span > 0:
                if len(model) == room:
                    model.popitem(last=False)
                model[name] = now + span
        else:
            found = cache.find(name, now)
            if name in model and model[name] <= now:
                del model[name]
            if name in model:
                model.move_to_end(name)
            assert (found.expires if found else None) == model.get(name)
        assert len(cache) == len(model) <= room
