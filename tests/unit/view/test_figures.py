"""Figures for the browser: nothing in a name is HTML, and a grown figure is sent as what is new."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.results import load
from runslot.view.data.choices import Choices
from runslot.view.data.panel import Curve, Panel
from runslot.view.plotly.curves import curves_figure
from runslot.view.plotly.figure import Change, Figure, growth, plain
from runslot.view.plotly.figure import numbers as sent
from runslot.view.web.content import show
from runslot.view.web.library import SHA256, TRACES, script
from runslot.view.web.live_runs import LiveRuns, Moment

from .conftest import Write


def applied(figure: Figure, changes: Sequence[Change]) -> Figure:
    """Carry out changes as the browser does."""
    result = json.loads(json.dumps(figure))  # as it arrived, nothing shared
    for verb, where, value in changes:
        place: Any = result
        for step in where[:-1]:
            place = place[step]
        if verb == "set":
            place[where[-1]] = value
        elif verb == "cut":
            for i in value:
                del place[where[-1]][i]
        else:
            place[where[-1]] = [*place[where[-1]], *value]
    return result


def figure_of(center: list[float], n: list[int]) -> Figure:
    frame = pl.DataFrame(
        {"x": [float(i * i) for i in range(len(center))], "n": n, "center": center}
    )
    points = frame.with_columns(low=pl.col("center") - 1, high=pl.col("center") + 1)
    return curves_figure(Panel("y", "x", "", (Curve("a", 0, 3, points),)))


numbers = st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=40)


@given(numbers, numbers)
def test_growth_makes_the_new_figure_from_the_old_one(
    before: list[float], more: list[float]
) -> None:
    old = figure_of(before, [3] * len(before))
    new = figure_of(before + more, [3] * len(before) + [2] * len(more))
    changes = growth(old, new)
    assert (changes is None) or applied(old, changes) == new
    assert growth(new, new) == []


def test_an_appended_row_is_a_small_change() -> None:
    old, new = figure_of([1.0] * 400, [3] * 400), figure_of([1.0] * 400 + [2.0], [3] * 401)
    changes = growth(old, new)
    assert changes is not None
    assert applied(old, changes) == new
    assert len(json.dumps(changes)) * 20 < len(json.dumps(new))


@pytest.mark.parametrize("rows", [200, 1500])
def test_runs_that_end_are_a_small_change(write_run: Write, tmp_path: Path, rows: int) -> None:
    for i in range(8):
        columns = {
            "step": list(range(rows)),
            "score": [(step * 7 + i) % 13 for step in range(rows)],
        }
        write_run(f"run_{i}", {"lr": i // 2, "seed": i}, columns)
    watched = LiveRuns([tmp_path / "runs"], cache=False)
    before = show(watched.now(), Choices())
    with (tmp_path / "runs" / "run_3" / "progress.csv").open("a") as file:
        file.write(f"{rows},5\n")
    watched._until = 0.0
    after = show(watched.now(), Choices())
    changes = growth(before.figures[0], after.figures[0])
    assert changes is not None
    assert applied(before.figures[0], changes) == after.figures[0]
    assert len(json.dumps(changes)) * 4 < len(json.dumps(after.figures[0]))


@given(st.text())
def test_texts_are_escaped(text: str) -> None:
    escaped = plain(text)
    assert "<" not in escaped
    assert ">" not in escaped


HOSTILE = '<img src=x onerror="window.pwned=1">'


@pytest.mark.parametrize(
    "kind",
    [
        "curves",
        "bars",
        "profile",
        "improvement",
        "importance",
        "scatter",
        "parallel",
        "heat",
        "slots",
    ],
)
def test_no_figure_holds_a_tag_of_a_file(write_run: Write, tmp_path: Path, kind: str) -> None:
    for i in range(4):
        write_run(
            f"{HOSTILE}/run_{i}",
            {HOSTILE: f"<b>{i % 2}</b>", "lr": i},
            {"step": [0, 1], f"return {HOSTILE}": [2, i]},
        )
    results = load(tmp_path / "runs", cache=False)
    shown = show(Moment(1, results), Choices(kind=kind, split=(HOSTILE,)))  # type: ignore[arg-type]  # one of the words
    assert shown.figures or kind == "slots"
    kinds = {trace["type"] for figure in shown.figures for trace in figure["data"]}
    assert kinds <= TRACES  # no other is in the library that the page loads
    for figure in shown.figures:
        texts = (
            json.dumps(figure).replace("<extra>", "").replace("</extra>", "").replace("<br>", "")
        )
        assert "<" not in texts


def test_a_page_is_drawn_again_only_after_a_change(runs: Path) -> None:
    watched = LiveRuns([runs], cache=False)
    first = watched.now()
    watched._until = 0.0
    assert watched.now() is first
    with next(runs.rglob("progress.csv")).open("a") as file:
        file.write("50,1,2\n")
    watched._until = 0.0
    assert watched.now().version == first.version + 1


def test_without_runs_the_page_waits(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    shown = show(LiveRuns([tmp_path / "empty"], cache=False).now(), Choices())
    assert shown.figures == ()
    assert "no runs yet" in shown.notes[0]


def test_values_close_together_far_from_zero_keep_what_tells_them_apart() -> None:
    values = [123456.001, 123456.002, 123456.0034]
    drawn = sent(pl.Series(values))
    assert [round(a - b, 6) for a, b in zip(drawn[1:], drawn, strict=False)] == [0.001, 0.0014]
    assert sent(pl.Series([0.123456789, 1.0, float("nan"), float("inf")])) == [
        0.12346,
        1.0,
        None,
        None,
    ]


def test_the_library_is_npms_own() -> None:
    text = script()
    assert hashlib.sha256(text.encode()).hexdigest() == SHA256
    assert "plotly.js (basic - minified)" in text[:400]


_AHEAD = """
import sys, threading
from flask import Response
from runslot.view.web.library import imports_ahead
assert "pandas" not in sys.modules
imports_ahead(Response("")).close()
seen = set()
for thread in threading.enumerate():
    while thread.name == "imports" and thread.is_alive():
        seen.add(sys.modules.get("pandas"))
        thread.join(0.001)
assert "sklearn.tree" in sys.modules, "the trees"
assert seen <= {None}, seen
import pandas
assert pandas.NaT is not None
"""


def test_what_is_imported_ahead_leaves_no_half_of_pandas_to_the_answers_meanwhile() -> None:
    pytest.importorskip("sklearn")
    subprocess.run([sys.executable, "-c", _AHEAD], check=True)
