"""The table of runs: what it shows, and what is sent when runs change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runslot.results import load
from runslot.view.data.alignment import shared_start
from runslot.view.data.groups import group
from runslot.view.web.grid import by_name, changes, column_definitions, default_columns, paint, rows

from .conftest import Write

cells = st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 3))


def table(values: dict[str, int]) -> list[dict[str, Any]]:
    return [{"run": run, "c0": value} for run, value in values.items()]


@given(cells, cells)
def test_a_transaction_makes_one_table_from_the_other(
    before: dict[str, int], after: dict[str, int]
) -> None:
    found = changes(table(before), table(after)) or {}
    result = {row["run"]: row for row in table(before)}
    for row in found.get("remove", []):
        del result[row["run"]]
    for row in [*found.get("add", []), *found.get("update", [])]:
        result[row["run"]] = row
    assert result == {row["run"]: row for row in table(after)}
    touched = {row["run"] for some in found.values() for row in some}
    assert touched == {
        run for run in before.keys() | after.keys() if before.get(run) != after.get(run)
    }


def test_rows_have_what_varies_the_metrics_and_their_curves_colour(runs: Path) -> None:
    results = load(runs, cache=False)
    columns = default_columns(results, ["score"])
    assert {"lr", "hidden", "seed", "final/score", "best/score"} <= set(columns)
    found = rows(results, columns)
    fields = {d["field"] for d in column_definitions(results, columns)}
    assert fields == set(found[0]) - {"name"}


def test_a_run_has_the_number_of_its_curve_where_that_is_drawn(runs: Path) -> None:
    results = load(runs, cache=False)
    series = group(results, ["lr"], results)
    painted = dict(zip(results.runs["run"], paint(results, series.of, {0: 0, 1: 1}), strict=True))
    assert {number for run, number in painted.items() if run.startswith("lr=0.1,")} == {1}
    assert set(paint(results, series.of, {1: 1})) == {None, 1}


def test_paint_goes_in_the_order_in_which_a_browser_sorts() -> None:
    names = [
        "b",
        "\U0001f600",
        "\uff5e",
        "B",
        "a/10",
        "a/9",
    ]  # by UTF-16, an emoji stands before a full-width tilde
    assert by_name([{"run": name} for name in names], list(range(6))) == [3, 4, 5, 0, 1, 2]


def test_columns_of_any_name_go_by_numbers(write_run: Write, tmp_path: Path) -> None:
    for i in range(2):
        write_run(
            f"run_{i}", {"a.b[0]": i, "x'); alert(1)": i}, {"step": [1], "loss": [float("nan")]}
        )
    results = load(tmp_path / "runs", cache=False)
    definitions = column_definitions(results, default_columns(results, ["loss"]))
    assert all(d["field"] == "run" or d["field"][1:].isdigit() for d in definitions)
    headings = {d["headerName"]: d["field"] for d in definitions}
    row, _ = rows(results, default_columns(results, ["loss"]))
    assert row[headings["a.b[0]"]] == 0
    assert row[headings["loss (final)"]] in {"nan", None}


@given(
    st.lists(
        st.lists(st.sampled_from(["a", "ab", "b"]), min_size=1, max_size=4).map("/".join),
        max_size=5,
    )
)
def test_names_leave_out_the_directories_that_all_share(paths: list[str]) -> None:
    common = shared_start(paths)
    assert len({path[:common] for path in paths}) <= 1
    assert all(path[:common] == "" or path[:common].endswith("/") for path in paths)
    assert all(path[common:] for path in paths)


def test_integers_are_sent_whole(write_run: Write, tmp_path: Path) -> None:
    for seed in (12345678, 9007199254740993):
        write_run(
            f"{seed}", {"seed": seed}, {"step": [0, 1], "correct": [1234567890123, 1234567890124]}
        )
    results = load(tmp_path / "runs", cache=False)
    cells = [list(row.values())[2:] for row in rows(results, ("seed", "final/correct"))]
    assert cells == [[12345678, 1234567890124.0], ["9007199254740993", 1234567890124.0]]
