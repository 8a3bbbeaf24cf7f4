"""HPACK against the public examples of RFC 7541 appendix C, in any pieces."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.proto_probe import Deflater, Inflater
from tests.vectors.hpack import SERIES, Series
from tests.vectors.play import at, byte_by_byte

EVERY: Final = pytest.mark.parametrize("series", SERIES, ids=[series.title for series in SERIES])


@EVERY
def test_an_example_is_decoded(series: Series) -> None:
    inflater = Inflater()
    assert [inflater.decode([data]) for data, _ in series.blocks] == [fields for _, fields in series.blocks]


@EVERY
def test_an_example_is_decoded_byte_by_byte(series: Series) -> None:
    inflater = Inflater()
    for data, fields in series.blocks:
        assert inflater.decode(byte_by_byte(data)) == fields


@given(st.sampled_from(SERIES), st.lists(st.integers(0, 100), max_size=5))
def test_an_example_is_decoded_in_any_pieces(series: Series, cuts: list[int]) -> None:
    inflater = Inflater()
    for data, fields in series.blocks:
        assert inflater.decode(at(cuts)(data)) == fields


@EVERY
def test_fields_come_back_as_they_were_encoded(series: Series) -> None:
    inflater, deflater = Inflater(), Deflater()
    for _, fields in series.blocks:
        (data,) = deflater.blocks(fields)
        assert inflater.decode([data]) == fields


@pytest.mark.parametrize("data", ["80", "ffffffffffff", "40", "bf", "007f", "3fffff7f"])
def test_what_is_not_hpack_is_refused(data: str) -> None:
    assert Inflater().decode([bytes.fromhex(data)]) is None


def test_a_smaller_table_is_announced() -> None:
    fields = [(b":status", b"200")]
    assert Deflater().blocks(fields, table=0) == [b"\x20\x88"]
