"""Event files, compared with TensorBoard's own reader: purged, resumed, run again, without
steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from runslot.results import Reader, Results, load

tensorboard = pytest.importorskip("tensorboard")
Rows = Sequence[tuple[int, float]]


@pytest.fixture
def write_events(tmp_path: Path) -> Callable[..., Path]:
    """Write one more event file into a directory: `tag=[(step, value), …]`."""
    from tensorboard.compat.proto.event_pb2 import Event, SessionLog
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    count = 0

    def write(
        at: float,
        version: int | None = 2,
        start: int | None = None,
        to: str = "run",
        **series: Rows,
    ) -> Path:
        nonlocal count
        count += 1
        path = tmp_path / to / f"events.out.tfevents.{1000 + count}.host"
        path.parent.mkdir(exist_ok=True)
        events: list[Any] = (
            [Event(wall_time=at, file_version=f"brain.Event:{version}")] if version else []
        )
        if start is not None:
            events.append(
                Event(step=start, wall_time=at, session_log=SessionLog(status=SessionLog.START))
            )
        for tag, rows in series.items():
            for i, (step, value) in enumerate(rows):
                summary = Summary(value=[Summary.Value(tag=tag, simple_value=value)])
                events.append(Event(step=step, wall_time=at + i, summary=summary))
        with path.open("wb") as file:
            writer = RecordWriter(file)
            for event in events:
                writer.write(event.SerializeToString())
        return path

    return write


def theirs(directory: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(directory), size_guidance={"scalars": 0}).Reload()
    return {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }


def ours(results: Results, tag: str) -> list[tuple[float, float]]:
    return results.progress.select("step", tag).drop_nulls().rows()


def test_as_tensorboard_reads_it(tmp_path: Path, write_events: Callable[..., Path]) -> None:
    write_events(100, loss=[(i, i / 8) for i in range(10)], acc=[(0, 1.0), (9, 0.5)])
    write_events(200, loss=[(i, 2.0) for i in range(10, 15)])
    results = load(tmp_path)
    expected = theirs(tmp_path / "run")
    assert {tag: ours(results, tag) for tag in expected} == expected
    assert (results.problems, results.unread) == ((), ())


@pytest.mark.parametrize("start", [0, 5, 9, 100])
def test_purge_step(tmp_path: Path, write_events: Callable[..., Path], start: int) -> None:
    write_events(100, loss=[(i, 0.0) for i in range(10)], late=[(9, 3.0)])
    write_events(200, start=start, loss=[(i, 1.0) for i in range(5, 8)])
    results = load(tmp_path)
    expected = {tag: rows for tag, rows in theirs(tmp_path / "run").items() if rows}
    assert {tag: sorted(ours(results, tag)) for tag in expected} == {
        k: sorted(v) for k, v in expected.items()
    }


def test_files_of_old_formats_are_purged_by_their_steps(
    tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    write_events(100, version=None, loss=[(i, 0.0) for i in range(10)], other=[(20, 1.0)])
    write_events(200, version=None, loss=[(5, 1.0), (6, 1.0)])
    results = load(tmp_path)
    expected = theirs(tmp_path / "run")
    assert {tag: ours(results, tag) for tag in expected} == expected


def test_a_run_that_was_run_again_there_is_what_ran_last(
    tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    write_events(1000, loss=[(i, 500.0) for i in range(0, 101, 10)], end=[(100, 7.0)])
    write_events(9000, loss=[(i, 80.0) for i in range(0, 41, 10)])
    results = load(tmp_path)
    assert ours(results, "loss") == [(i, 80.0) for i in range(0, 41, 10)]
    assert "end" not in results.metrics
    assert "was run again from step 0 on" in str(results.unread[0])


def test_a_resume_without_purge_step(tmp_path: Path, write_events: Callable[..., Path]) -> None:
    write_events(1000, loss=[(i, 1.0) for i in range(10)], hp=[(0, -1.0)])
    write_events(9000, loss=[(i, 2.0) for i in range(6, 12)], hp=[(0, -1.0)])
    results = load(tmp_path)
    assert ours(results, "loss") == [
        *((i, 1.0) for i in range(6)),
        *((i, 2.0) for i in range(6, 12)),
    ]
    assert "was resumed from step 6 on" in str(results.unread[0])


def test_another_process_that_only_evaluates_replaces_nothing(
    tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    write_events(1000, loss=[(i, 1.0) for i in range(10)], hp=[(0, -1.0)])
    write_events(9000, test=[(0, 2.0)], hp=[(0, -1.0)])
    results = load(tmp_path)
    assert len(ours(results, "loss")) == 10
    assert (ours(results, "test"), results.unread) == ([(0, 2.0)], ())


def test_two_processes_at_once_are_shown_and_named(
    tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    write_events(1000, loss=[(i, 1.0) for i in range(10)])
    write_events(1003, loss=[(i, 2.0) for i in range(10)])
    results = load(tmp_path)
    assert sorted(ours(results, "loss")) == sorted(theirs(tmp_path / "run")["loss"])
    assert "written at the same time" in str(results.unread[0])


def test_scalars_without_steps_are_kept(tmp_path: Path, write_events: Callable[..., Path]) -> None:
    write_events(1000, loss=[(0, float(i)) for i in range(5)], acc=[(0, 9.0)])
    results = load(tmp_path)
    assert ours(results, "loss") == theirs(tmp_path / "run")["loss"]
    assert results.runs["final/loss"].to_list() == [4.0]


def test_a_file_that_grows_and_one_that_joins_it(
    tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    write_events(1000, loss=[(i, 1.0) for i in range(4)])
    reader = Reader(tmp_path)
    assert len(ours(reader.read(), "loss")) == 4
    write_events(2000, loss=[(i, 2.0) for i in range(2, 6)])
    assert ours(reader.read(), "loss") == [(0, 1), (1, 1), (2, 2), (3, 2), (4, 2), (5, 2)]


def test_a_file_whose_end_is_torn(tmp_path: Path, write_events: Callable[..., Path]) -> None:
    path = write_events(1000, loss=[(i, 1.0) for i in range(4)])
    path.write_bytes(path.read_bytes()[:-5])
    results = load(tmp_path)
    assert ours(results, "loss") == theirs(tmp_path / "run")["loss"] == [(0, 1), (1, 1), (2, 1)]


def test_a_file_that_is_broken_in_its_middle_is_named(
    tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    path = write_events(100, loss=[(i, 1.0) for i in range(20)])
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 255
    path.write_bytes(data)
    results = load(tmp_path)
    assert 0 < results.progress.height < 20
    (problem,) = results.problems
    assert "has a broken record at byte" in str(problem)


def test_scalars_that_all_have_step_0_are_drawn_along_the_row(
    tmp_path: Path, write_events: Callable[..., Path]
) -> None:
    write_events(100, loss=[(0, i / 8) for i in range(10)])
    results = load(tmp_path)
    assert (results.progress["loss"].to_list(), results.counter) == (
        [i / 8 for i in range(10)],
        None,
    )
