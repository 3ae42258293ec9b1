"""The rows of all runs with a number for each run: grouping by numbers costs a tenth of grouping by
paths. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from runslot.results.results import Results


@dataclass(frozen=True)
class Rows:
    """`Results.progress`, with `run` a number."""

    frame: pl.DataFrame
    """`run` (UInt32), `row`, and a column a metric."""
    numbers: Mapping[str, int]
    """By the path of a run."""

    @classmethod
    def of(cls, results: Results) -> Rows:
        """Number the runs in the order of `results.runs`, in which their rows stand."""
        number = pl.int_range(results.runs.height, dtype=pl.UInt32)
        counts = results.runs.select(run=number, rows="rows").filter(pl.col("rows") > 0)
        column = counts.select(pl.col("run").repeat_by("rows").explode())["run"]
        frame = (
            results.progress.with_columns(column) if results.progress.height else results.progress
        )
        return cls(frame, {run: i for i, run in enumerate(results.runs["run"])})

    def column(self, values: Mapping[str, int]) -> pl.Series:
        """Return by number a value for each run, null for runs without one."""
        column: list[int | None] = [None] * len(self.numbers)
        for run, value in values.items():
            column[self.numbers[run]] = value
        return pl.Series(column, dtype=pl.Int32)

    def column_of(self, runs: pl.Series, values: pl.Series | int) -> pl.Series:
        """Return by number the values of some runs, which are given by number; null for the
        others."""
        column = (
            values
            if isinstance(values, pl.Series)
            else pl.Series([values]).new_from_index(0, len(runs))
        )
        return pl.Series([None] * len(self.numbers), dtype=pl.Int32).scatter(
            runs, column.cast(pl.Int32)
        )


def shared_start(paths: Sequence[str]) -> int:
    """Return how many characters of whole directories all paths start with; they say nothing in a
    table."""
    if len(paths) < 2:
        return 0
    first, last = min(paths), max(paths)  # what these two share, all share
    same = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b),
        min(len(first), len(last)),
    )
    return first[:same].rfind("/") + 1
