"""Write frames to files for other tools: CSV or Parquet, by rename, so that nobody reads half of
one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import polars as pl

from runslot.errors import RunslotError
from runslot.results.accounts import Accounting
from runslot.results.results import Results

FileFormat = Literal["csv", "parquet"]
CHOSE = "chose"
"""The standing of runs by which a variant was chosen that other ones confirmed, or tested."""


def write_frame(frame: pl.DataFrame, file: Path, kind: FileFormat) -> None:
    """Replace `file` by the frame; times in CSV are ISO 8601 in UTC. Raises `RunslotError` where it
    cannot be."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        if kind == "csv":
            frame.write_csv(temporary, datetime_format="%Y-%m-%dT%H:%M:%S%.6fZ")
        else:
            frame.write_parquet(temporary)
        temporary.replace(file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        reason = error.strerror or str(error)
        raise RunslotError(
            f"{file} cannot be written ({reason}); name a file in a directory of yours"
        ) from error


def export(
    results: Results,
    directory: Path,
    kind: FileFormat,
    *,
    long: bool = False,
    accounting: Accounting | None = None,
) -> list[Path]:
    """Write `runs` and `progress` into `directory`, which is made; returns the two files.

    All runs are written, whether they count or not; with `accounting`, `runs` says how each stands
    in a last column `standing` (unless the variants have one of that name); `CHOSE` where it does
    not know a run.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunslotError(
            f"{directory} cannot be made ({error.strerror}); choose another with --out"
        ) from error
    runs = results.runs
    if accounting is not None and "standing" not in runs.columns:
        standings = runs.select("run").join(
            accounting.runs.select("run", "standing"), on="run", how="left", maintain_order="left"
        )
        runs = runs.with_columns(standings["standing"].fill_null(CHOSE))
    frames = {"runs": runs, "progress": results.long() if long else results.progress}
    files = []
    for name, frame in frames.items():
        files.append(directory / f"{name}.{kind}")
        write_frame(frame, files[-1], kind)
    return files
