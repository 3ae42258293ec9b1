"""Logs that a resume wrote twice: later rows replace what they overtake, in every statistic
alike.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runslot.results import Reader, load
from runslot.results.read.steps import repeats, void_rows
from runslot.results.text.sources import unread_line

WriteLog = Callable[..., Path]


@pytest.mark.parametrize(
    ("steps", "void"),
    [
        ([0, 10, 20, 30], []),
        ([0, 10, 20, 30, 15, 25], [(2, 4)]),
        ([0, 10, 20, 10, 20], [(1, 3)]),
        ([0, 10, 20, 0, 10], [(0, 3)]),
        ([0, 10, 20, 30, 15, 25, 5], [(1, 6)]),
        ([0, 10, 20, 30, 25, 35, 28, 40], [(3, 4), (5, 6)]),
        ([0, 10, 10, 20, 20], []),
        ([0, None, 10, None, 20, 5, None], [(2, 5)]),
        ([0, math.nan, 10, 5], [(2, 3)]),
        ([], []),
        ([None, None], []),
    ],
)
def test_rows_that_are_overtaken(steps: list[float | None], void: list[tuple[int, int]]) -> None:
    assert void_rows(steps, []) == void


# of an epoch
@pytest.mark.parametrize(
    ("steps", "other"),
    [
        ([0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1]),  # batches of an epoch
        ([0, 1, 2, 0, 1, 2, 0, 1, 2, 0], None),  # begins anew in equal stretches
        (
            [*range(0, 390, 50), *range(10, 390, 50), *range(20, 390, 50), *range(30, 150, 50)],
            None,
        ),
        ([*range(20), *range(20), *range(19), *range(5)], None),  # a row of an epoch is missing
        ([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5], None),  # counts nothing
        ([1, 3, 2, 4, 6, 5, 7, 9, 8, 10, 12, 11], None),  # of several workers
    ],
)
def test_steps_that_go_back_for_another_reason(
    steps: list[float], other: list[float] | None
) -> None:
    assert void_rows(steps, [other] if other else []) == []


def test_a_run_that_was_started_again_and_again_and_went_further_in_the_end() -> None:
    assert void_rows([*range(20), *range(20), *range(30)], []) == [(0, 40)]


@pytest.mark.parametrize(
    ("steps", "others", "again"),
    [
        ([0, 10, 20, 20, 30], [], [3]),
        ([0, 10, 20, 30, 30], [], [4]),
        ([0, 10, 20, 20, 30], [[0, 1, 2, 2, 3]], [3]),
        ([0, 10, 20, 20, 30], [[0, 1, 2, 3, 4]], []),  # a batch further
        ([0, 10, 20, 20, 30], [["a", "a", "a", "b", "b"]], []),  # of another part
        ([0, 0, 10, 10, 20, 20, 30, 30], [], []),  # two rows a step
        ([0, None, 10, None, 20], [], []),
        ([0, 10, 10], [], []),
        ([], [], []),
    ],
)
def test_a_step_that_a_resume_repeats(
    steps: list[float | None], others: list[list[Any]], again: list[int]
) -> None:
    assert repeats(steps, others) == again


def test_all_counters_go_back_in_a_resume() -> None:
    assert void_rows([0, 1, 2, 3, 2, 3], [[0, 0, 1, 1, 1, 1]]) == [(2, 4)]


def test_void_rows_are_the_same_however_rows_arrive() -> None:
    chance = random.Random(0)
    for _ in range(200):
        steps: list[float | None] = []
        step = 0
        for _ in range(chance.randrange(4)):
            steps += range(step, step + 40)
            step = chance.randrange(step + 40)
        kept: list[float] = []
        for before, value in zip([0, *steps], steps, strict=False):
            assert value is not None
            assert before is not None
            while value < before and kept and kept[-1] >= value:
                kept.pop()
            kept.append(value)
        void = {i for start, stop in void_rows(steps, []) for i in range(start, stop)}
        assert [value for i, value in enumerate(steps) if i not in void] == kept


ROWS = "".join(f"{step},{9 if step < 100 else 0}\n" for step in range(0, 100, 10))
AGAIN = "45,1\n55,3\n65,2\n"


def test_every_statistic_leaves_them_out(tmp_path: Path, write_log: WriteLog) -> None:
    write_log("a", **{"progress.csv": f"step,loss\n{ROWS}{AGAIN}", "variant.json": {}})
    write_log("b", **{"progress.csv": "step,loss\n0,5\n", "variant.json": {}})
    results = load(tmp_path)
    row = results.runs.row(0, named=True)
    assert (row["rows"], row["final/loss"], row["best/loss"], row["final/step"]) == (8, 2, 1, 65)
    assert results.where(run="a").progress.select("row", "step").rows() == [
        *((i, i * 10) for i in range(5)),
        (5, 45),
        (6, 55),
        (7, 65),
    ]
    assert results.progress.height == 9
    assert results.scores("loss", by="mean")["score"].to_list() == [(9 * 5 + 6) / 8, 5]
    assert (
        "a/progress.csv (rows 6 to 10 are void, step goes back or is repeated after that"
        in unread_line(results)
    )


def test_a_resume_that_writes_its_first_step_again_replaces_it(
    tmp_path: Path, write_log: WriteLog
) -> None:
    for name, first in (("again", "30,9\n30,1\n"), ("once", "30,1\n")):
        write_log(
            name,
            **{"progress.csv": f"step,loss\n0,5\n10,4\n20,4\n{first}40,1\n", "variant.json": {}},
        )
    results = load(tmp_path)
    columns = ["rows", "final/loss", "best/loss"]
    assert results.runs.select(columns).rows() == [(5, 1, 1)] * 2
    for by in ("mean", "best", "auc", "last-3"):
        assert results.scores("loss", "max", by)["score"].n_unique() == 1
    assert "again/progress.csv (row 4 is void" in unread_line(results)


@pytest.mark.parametrize("gap", ["", "nan"])
def test_two_rows_of_one_step_that_complete_each_other_are_kept(
    tmp_path: Path, write_log: WriteLog, gap: str
) -> None:
    rows = f"0,5,{gap}\n1,4,{gap}\n2,3,{gap}\n3,2,{gap}\n4,1,{gap}\n4,{gap},7\n"
    write_log("a", **{"progress.csv": f"step,loss,val_loss\n{rows}", "variant.json": {}})
    results = load(tmp_path)
    assert results.runs.select("rows", "final/val_loss").row(0) == (6, 7)
    assert results.unread == ()


def test_a_resume_while_it_is_read(tmp_path: Path, write_log: WriteLog) -> None:
    log = (
        write_log("a", **{"progress.csv": f"step,loss\n{ROWS}", "variant.json": {}})
        / "progress.csv"
    )
    reader = Reader(tmp_path)
    before = reader.read()
    for line in AGAIN.splitlines(keepends=True):
        with log.open("a") as file:
            file.write(line)
        assert reader.read().progress.equals(load(tmp_path, cache=False).progress)
    assert before.progress.height == 10
    log.write_text("step,loss\n0,1\n")
    assert (reader.read().unread, reader.read().runs["rows"].to_list()) == ((), [1])


def test_void_rows_are_remembered_on_disk(
    tmp_path: Path, write_log: WriteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runslot.results.read.store.WORTH_KEEPING_BYTES", 0)
    write_log("a", **{"progress.csv": f"step,loss\n{ROWS}{AGAIN}", "variant.json": {}})
    first, again = load(tmp_path), load(tmp_path)
    assert again.progress.equals(first.progress)
    assert (again.unread, again.runs["rows"].to_list()) == (first.unread, [8])


def test_a_minibatch_index_is_no_resume(tmp_path: Path, write_log: WriteLog) -> None:
    rows = "".join(f"{epoch},{step},1\n" for epoch in range(3) for step in range(4))
    write_log("a", **{"progress.csv": f"epoch,step,loss\n{rows}", "variant.json": {}})
    results = load(tmp_path)
    assert (results.runs["rows"].to_list(), results.unread) == ([12], ())


@pytest.mark.parametrize("column", ["seed", "fold", "phase"])
def test_a_table_of_several_parts_is_no_resume(
    tmp_path: Path, write_log: WriteLog, column: str
) -> None:
    names = ["train", "test"] if column == "phase" else ["0", "1"]
    rows = "".join(
        f"{name},{step},1\n"
        for name, steps in zip(names, (5, 3), strict=True)
        for step in range(steps)
    )
    write_log("a", **{"progress.csv": f"{column},step,loss\n{rows}", "variant.json": {}})
    assert load(tmp_path).runs["rows"].to_list() == [8]


def test_json_lines_that_a_resume_wrote_twice(tmp_path: Path, write_log: WriteLog) -> None:
    write_log(
        "a", **{"metrics.jsonl": "".join(f'{{"step": {step}}}\n' for step in (0, 1, 2, 3, 2, 3, 4))}
    )
    assert load(tmp_path).progress["step"].to_list() == [0, 1, 2, 3, 4]
