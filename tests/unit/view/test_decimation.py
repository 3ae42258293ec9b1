"""Decimation: few points, all extremes, and a curve that grows keeps what was sent."""

from __future__ import annotations

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from runslot.view.data.alignment import decimate

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=600)


def curve(center: list[float], number: int = 0) -> pl.DataFrame:
    frame = pl.DataFrame({"center": center}, schema={"center": pl.Float64})
    c = pl.col("center")
    columns = {"low": c - 1, "high": c + 1, "x": pl.int_range(pl.len()).cast(pl.Float64)}
    return frame.with_columns(curve=pl.lit(number), **columns)


@given(st.lists(values, min_size=1, max_size=3), st.integers(8, 100))
def test_extremes_and_ends_stay_and_no_point_is_made_up(
    curves: list[list[float]], points: int
) -> None:
    frame = pl.concat([curve(center, i) for i, center in enumerate(curves)])
    thin = decimate(frame, "curve", points)
    assert thin.join(frame, on=frame.columns, how="semi").height == thin.height
    for i, center in enumerate(curves):
        own = thin.filter(pl.col("curve") == i)
        assert own["x"].is_sorted()
        assert own["center"].min() == min(center)
        assert own["center"].max() == max(center)
        assert own["low"].min() == min(center) - 1
        assert own["high"].max() == max(center) + 1
        assert own["x"][0] == 0
        assert own["x"][-1] == len(center) - 1
        assert own.height <= points + 6


@given(st.lists(st.floats(-1e6, 1e6), min_size=130, max_size=204), st.integers(1, 50))
def test_a_grown_curve_keeps_what_was_sent_but_for_its_last_stretch(
    center: list[float], more: int
) -> None:
    shorter = center[: max(129, len(center) - more)]
    before, after = (
        decimate(curve(some), "curve", 64)["x"].to_list() for some in (shorter, center)
    )
    stretch = 16
    settled = [x for x in before if x < (len(shorter) - 1) // stretch * stretch]
    assert after[: len(settled)] == settled


def test_a_short_curve_is_left_alone() -> None:
    frame = curve([1.0, 5.0, 2.0])
    assert decimate(frame, "curve", 100).equals(frame)
