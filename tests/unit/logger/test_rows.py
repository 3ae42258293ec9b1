"""Rows: what is recorded, what the file holds, and who can read it."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.logger import Logger

KEYS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=6)
VALUES = st.one_of(st.floats(), st.integers(-(2**70), 2**70), KEYS)


def viskit(path: Path) -> list[dict[str, float]]:
    """Read as viskit does: `float` of each cell, 0.0 for what is none."""

    def number(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            return 0.0

    with path.open() as file:
        return [{key: number(text) for key, text in row.items()} for row in csv.DictReader(file)]


def test_a_row_is_in_the_file_when_dump_tabular_returns(logger, run_dir, rows):
    logger.record_tabular("loss", 0.25)
    logger.record_dict({"Average": 1, "Std": 2}, prefix="Return/")
    logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [
        {"loss": "0.25", "Return/Average": "1", "Return/Std": "2"}
    ]


def test_an_empty_row_writes_nothing(logger, run_dir):
    logger.dump_tabular()
    assert not (run_dir / "progress.csv").exists()


def test_a_later_key_gets_a_column_and_gaps_are_nan(logger, run_dir, rows):
    logger.record_dict({"a": 1, "b": 'x,\n"y"'})
    logger.dump_tabular()
    logger.record_dict({"c": 2, "a": 3})
    logger.dump_tabular()
    logger.record_tabular("b", 4)
    logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [
        {"a": "1", "b": 'x,\n"y"', "c": "nan"},
        {"a": "3", "b": "nan", "c": "2"},
        {"a": "nan", "b": "4", "c": "nan"},
    ]
    assert [path.name for path in run_dir.iterdir() if "progress" in path.name] == ["progress.csv"]


def test_write_header_never_writes_a_second_header(logger, run_dir, rows):
    for epoch in range(3):
        logger.record_tabular("epoch", epoch)
        logger.dump_tabular(write_header=True)
    assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == ["0", "1", "2"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_file_begun_by_csv_writer_is_continued_and_widened(logger, run_dir, rows, end):
    (run_dir / "progress.csv").write_text(f'a,t{end}1,"x{end}y"{end}2,z{end}', newline="")
    logger.record_dict({"t": "w", "new": 5})
    logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [
        {"a": "1", "t": f"x{end}y", "new": "nan"},
        {"a": "2", "t": "z", "new": "nan"},
        {"a": "nan", "t": "w", "new": "5"},
    ]


@given(
    st.lists(st.dictionaries(KEYS, VALUES, min_size=1, max_size=5), min_size=1, max_size=6),
    st.booleans(),
)
def test_any_rows_with_changing_keys_read_back_equal(tmp_path_factory, written, reopen):
    directory = tmp_path_factory.mktemp("run")
    log = Logger()
    log.configure(console="silent")
    log.bind_run(directory)
    for row in written:
        if reopen:
            log.bind_run(directory)
        log.record_dict(row)
        log.dump_tabular()
    log.close()
    with (directory / "progress.csv").open(newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    columns = list(dict.fromkeys(key for row in written for key in row))
    assert len(read) == len(written)
    for row, expected in zip(read, written, strict=True):
        assert list(row) == columns
        for key in columns:
            if key not in expected:
                assert row[key] == "nan"
            elif isinstance(expected[key], str):
                assert row[key] == expected[key]
            else:
                value = float(row[key]) if isinstance(expected[key], float) else int(row[key])
                assert value == expected[key] or (math.isnan(value) and math.isnan(expected[key]))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.1, "0.1"),
        (1e-300, "1e-300"),
        (2**70, str(2**70)),
        (True, "1"),
        (np.True_, "1"),
        (np.float64(0.1), "0.1"),
        (np.float32(0.1), "0.10000000149011612"),
        (np.array(3), "3"),
        (np.array([2.5]), "2.5"),
        (np.int64(2**60), str(2**60)),
        (float("nan"), "NaN"),
        (float("-inf"), "-inf"),
        (None, "NaN"),
        ("", ""),
        ("a\0b", "a\\x00b"),
        ([1, 2], "[1, 2]"),
        (10**5000, "inf"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_written_at_full_precision(logger, run_dir, rows, value, text):
    logger.record_dict({"value": value, "next": 1})
    logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [{"value": text, "next": "1"}]


def test_arrays_that_change_after_they_were_recorded_keep_their_value(logger, run_dir, rows):
    total = np.array(1.5)
    logger.record_tabular("total", total)
    total *= 0
    logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [{"total": "1.5"}]


def test_a_value_whose_conversion_fails_does_not_end_the_training(logger, run_dir, rows):
    class Broken:
        def __str__(self) -> str:
            raise RuntimeError("no")

    logger.record_dict({"broken": Broken(), "loss": 1.0})
    logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [{"broken": "<Broken: RuntimeError>", "loss": "1.0"}]


def test_pandas_polars_and_viskit_read_what_is_not_finite(logger, run_dir):
    values = [1.5, math.nan, math.inf, -math.inf, 1e22]
    for value in values:
        logger.record_dict({"value": value, "epoch": 0})
        logger.dump_tabular()
    path = run_dir / "progress.csv"
    for read in (
        pd.read_csv(path)["value"].tolist(),
        pl.read_csv(path)["value"].to_list(),
        [row["value"] for row in viskit(path)],
    ):
        np.testing.assert_array_equal(read, values)


def test_a_gap_is_nan_to_viskit_and_pandas_and_told_from_a_nan_by_polars(logger, run_dir):
    for row in ({"a": 1.0, "b": math.nan}, {"a": 2.0}):
        logger.record_dict(row)
        logger.dump_tabular()
    path = run_dir / "progress.csv"
    assert all(math.isnan(row["b"]) for row in viskit(path))
    assert pd.read_csv(path)["b"].isna().all()
    first, second = pl.read_csv(path, null_values="nan", schema_overrides={"b": pl.Float64})[
        "b"
    ].to_list()
    assert math.isnan(first)
    assert second is None


def test_the_last_of_two_values_of_a_key_wins_and_is_told_once(logger, run_dir, rows, capsys):
    for _ in range(2):
        logger.record_tabular("loss", 1)
        logger.record_dict({"loss": 2})
        logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [{"loss": "2"}, {"loss": "2"}]
    assert capsys.readouterr().err.count("'loss' was recorded twice") == 1


def test_the_table_so_far_is_text_as_in_the_ancestors(logger):
    logger.record_dict({"a": 1.0, "b": np.float64(2)})
    assert logger.get_table_dict() == {"a": "1.0", "b": "2.0"}
    assert logger.get_table_key_set() == {"a", "b"}


@pytest.mark.parametrize(
    "values", [[1, 2, 4.0], (3,), np.array([[1.0, 2.0], [5.0, 7.0]]), [], [1.0, math.nan]]
)
@pytest.mark.parametrize("placement", ["back", "front"])
def test_statistics_are_numpys_also_without_numpy(logger, monkeypatch, values, placement):
    def recorded() -> dict[str, float]:
        logger.record_tabular_misc_stat("Return", values, placement)
        table = {key: float(value) for key, value in logger.get_table_dict().items()}
        logger.reset()
        return table

    by_numpy = recorded()
    # and without all else: nothing may be imported meanwhile
    with monkeypatch.context() as without_numpy:
        without_numpy.setattr("runslot.logger.extra.sys.modules", {})
        by_hand = recorded()
    name = "{}Return" if placement == "front" else "Return{}"
    with np.errstate(all="ignore"):
        expected = (
            {"Average": np.average(values), "Std": np.std(values), "Median": np.median(values)}
            | {"Min": np.min(values), "Max": np.max(values)}
            if len(values)
            else dict.fromkeys(["Average", "Std", "Median", "Min", "Max"], math.nan)
        )
    for table in (by_numpy, by_hand):
        assert list(table) == [name.format(key) for key in expected]
        np.testing.assert_allclose(list(table.values()), list(expected.values()), rtol=1e-14)


def test_more_files_of_rows_can_be_added_held_and_removed(logger, run_dir, rows):
    for epoch, change in enumerate(
        [
            lambda: logger.add_tabular_output("vae.csv", relative_to_snapshot_dir=True),
            lambda: logger.remove_tabular_output("progress.csv", relative_to_snapshot_dir=True),
            lambda: logger.hold_tabular_output(run_dir / "vae.csv"),
            lambda: logger.add_tabular_output(str(run_dir / "vae.csv")),
            lambda: logger.add_tabular_output("progress.csv", relative_to_snapshot_dir=True),
        ]
    ):
        change()
        logger.record_tabular("epoch", epoch)
        logger.dump_tabular()
    assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == ["0", "4"]
    assert [row["epoch"] for row in rows(run_dir / "vae.csv")] == ["0", "1", "3", "4"]


def test_an_added_file_begins_anew_but_not_in_a_resumed_run(logger, run_dir, rows):
    other = run_dir / "other.csv"
    for resume, expected in ((False, ["1"]), (True, ["0", "1"])):
        other.write_text("epoch\n0\n")
        logger.bind_run(run_dir, resume=resume)
        logger.add_tabular_output(other)
        logger.record_tabular("epoch", 1)
        logger.dump_tabular()
        assert [row["epoch"] for row in rows(other)] == expected


def test_disable_tabular_prints_and_writes_no_row(logger, run_dir, capsys):
    logger.disable_tabular()
    logger.record_tabular("loss", 1)
    logger.dump_tabular()
    assert "loss" in capsys.readouterr().out
    logger.enable_tabular()
    logger.dump_tabular()
    assert not (run_dir / "progress.csv").exists()


def test_disable_drops_rows_and_words(logger, run_dir, capsys):
    logger.disable()
    logger.log("hidden")
    logger.record_tabular("loss", 1)
    logger.dump_tabular()
    logger.enable()
    logger.dump_tabular()
    assert capsys.readouterr().out == ""
    assert list(run_dir.iterdir()) == []
