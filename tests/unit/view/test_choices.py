"""Choices and the page's address: what one says, the other says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.errors import InvalidInput
from runslot.view.data.choices import Choices

texts = st.text(min_size=1, max_size=12)
lists = st.lists(texts, unique=True, max_size=4).map(tuple)
filters = st.dictionaries(
    texts, st.lists(texts, min_size=1, unique=True, max_size=3).map(tuple), max_size=3
)


@given(
    st.builds(
        Choices,
        kind=st.sampled_from(["curves", "heat", "improvement", "slots"]),
        tasks=st.none() | lists,
        draw=st.sampled_from(["", "bars", "points"]),
        brush=lists,
        y=lists,
        x=st.text(max_size=8),
        series=st.none() | lists,
        split=lists,
        band=st.sampled_from(["mean-std", "iqm", "runs"]),
        smooth=st.integers(1, 1000),
        log=st.sampled_from([(), ("x",), ("x", "y")]),
        low=st.none() | st.floats(-1e9, 1e9),
        least=st.dictionaries(texts, st.floats(allow_nan=False, allow_infinity=False), max_size=2),
        top=st.integers(0, 99),
        where=st.text(max_size=30),
        hide=lists,
        columns=st.none() | lists,
        only=filters,
        without=filters,
    )
)
def test_the_address_keeps_every_choice(choices: Choices) -> None:
    assert Choices.from_query(choices.query()) == choices


def test_what_is_not_chosen_stays_out_of_the_address() -> None:
    assert Choices().query() == ""
    assert Choices.from_query("") == Choices()
    assert Choices.from_query("?series=-").series == ()
    assert Choices.from_query("unknown=1&token=x") == Choices()


@pytest.mark.parametrize(
    "query",
    [
        "kind=pie",
        "draw=pies",
        "band=sem",
        "mode=up",
        "smooth=many",
        "top=-1",
        "low=high",
        "high=inf",
        "log=z",
        "min.lr=x",
        "max.lr=nan",
        "a=1&" * 600,
    ],
)
def test_values_that_cannot_be_are_refused_by_name(query: str) -> None:
    with pytest.raises(InvalidInput):
        Choices.from_query(query)


def test_options_replace_what_a_view_says() -> None:
    view = Choices.from_query("series=lr&band=iqm")
    assert view.replaced({"band": "auto", "top": 2, "x": ""}) == Choices(
        series=("lr",), band="iqm", top=2
    )
    with pytest.raises(InvalidInput, match="band"):
        view.replaced({"band": "standard"})
