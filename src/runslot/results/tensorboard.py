"""TensorBoard event files, an extra: one row a step, one column a scalar."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from runslot.results.problems import Problem


def read(files: Sequence[str], problems: list[Problem]) -> pl.DataFrame | None:
    """Return `step`, `seconds` (since the first event) and the scalars; None, and a problem, without tensorboard."""
    try:
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        from tensorboard.util.tensor_util import make_ndarray
    except ImportError:
        problems.append(Problem(files[0], "is read with `pip install 'runslot[tensorboard]'`; it is left out"))
        return None
    rows: dict[int, dict[str, float]] = {}
    for file in files:
        events = EventAccumulator(file, size_guidance={"scalars": 0, "tensors": 0})
        try:
            events.Reload()
        except Exception as error:  # noqa: BLE001  # its readers raise what protobuf and its file systems raise
            problems.append(Problem(file, f"cannot be read ({error})"))
            continue
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                _put(rows, event.step, event.wall_time, tag, float(event.value))
        for tag in events.Tags()["tensors"]:  # scalars of TensorFlow 2 are tensors of one number
            for event in events.Tensors(tag):
                value = make_ndarray(event.tensor_proto)
                if value.size == 1 and value.dtype.kind in "biuf":
                    _put(rows, event.step, event.wall_time, tag, float(value.item()))
    tags = dict.fromkeys(tag for row in rows.values() for tag in row)
    if not rows:
        return None
    frame = pl.DataFrame([rows[step] for step in sorted(rows)], schema=dict.fromkeys(tags, pl.Float64))
    return frame.with_columns(pl.col("seconds") - pl.col("seconds").min())


def _put(rows: dict[int, dict[str, float]], step: int, when: float, tag: str, value: float) -> None:
    row = rows.setdefault(step, {"step": float(step), "seconds": when})
    row[tag if tag not in {"step", "seconds", "run", "row"} else f"{tag}_2"] = value
