"""Tasks of an array that take each other's runs: who has which, and what a task takes."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runslot import Experiment
from runslot.engines.batch.script import Frame
from runslot.engines.batch.submissions import (
    PackLimits,
    Submission,
    TaskPlace,
    add_submission,
    read_submission,
)
from runslot.engines.batch.takers import NOBODY, Takers, take
from runslot.engines.slurm import Slurm
from runslot.experiment.files import write_json
from runslot.experiment.records import Outcome
from runslot.experiment.rundir import ExperimentDir
from runslot.launch.printer import Printer
from runslot.remote.batch_job import SlurmJob
from runslot.remote.batch_pack import Pack

LIMITS = PackLimits()


@pytest.fixture
def directory(tmp_path: Path) -> ExperimentDir:
    """Return an experiment of six runs, none of which has begun."""
    return Experiment("pack", ["true"], seeds=6, root=tmp_path / "runs").prepare()


def submit(
    directory: ExperimentDir, sizes: Sequence[int], limits: PackLimits = LIMITS
) -> Submission:
    """Return an array of tasks with so many runs each."""
    runs = [(run.id, 1) for run in directory.read_runs()]
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes))]
    tasks = [runs[end - size : end] for size, end in zip(sizes, ends, strict=True)]
    return add_submission(directory, "slurm", "pack-0123abcd", tasks, pack=limits)


def pack_of(directory: ExperimentDir, submission: Submission, task: int) -> Pack:
    return Pack(directory, submission, task, SlurmJob({}), Printer())


def names(pack: Pack) -> list[str]:
    return [item.run.directory for item in pack.items]


def do(pack: Pack, kind: str = "succeeded") -> None:
    """Let the run that a task took last begin and end."""
    run = pack.items[-1].run
    pack.started(run, 1)
    pack.ended(run, Outcome(kind, 1))  # type: ignore[arg-type]


def test_a_run_is_taken_by_one_of_many_processes(directory: ExperimentDir) -> None:
    """Twelve of them take what they get of six runs at the same time."""
    submission = submit(directory, [1] * 6)
    program = (
        "import sys; from pathlib import Path; from runslot.engines.batch.takers import take\n"
        "for link in sys.argv[2:]: print(Path(link).name) if take(Path(link), int(sys.argv[1]))"
        " else None"
    )
    links = [str(submission.taker(run.id)) for run in directory.read_runs()]
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(task), *links], stdout=subprocess.PIPE, text=True
        )
        for task in range(12)
    ]
    taken = [(task, process.communicate()[0].split()) for task, process in enumerate(processes)]
    assert Counter(run for _, runs in taken for run in runs) == dict.fromkeys(
        (run.id for run in directory.read_runs()), 1
    )
    assert Takers().of(submission) == {run: task for task, runs in taken for run in runs}


def test_a_task_does_its_own_run_first_and_after_a_short_one_the_next(
    directory: ExperimentDir,
) -> None:
    submission = submit(directory, [1] * 6)
    pack = pack_of(directory, submission, 2)
    pack.open()
    assert names(pack) == ["run_2"]
    assert pack.grow(1) == [], "not while it does not know how long a run takes"
    do(pack)
    assert [run.directory for run, _ in pack.grow(1)] == ["run_0"]
    do(pack)
    assert [run.directory for run, _ in pack.grow(1)] == ["run_1"]


@pytest.mark.parametrize("kind", ["failed", "lost", "timed_out", "stopped"])
def test_after_a_run_that_did_not_succeed_a_task_takes_no_further_ones(
    directory: ExperimentDir, kind: str
) -> None:
    """A node on which all fails at once must not eat the sweep."""
    pack = pack_of(directory, submit(directory, [1] * 6), 0)
    pack.open()
    do(pack, kind)
    assert pack.grow(1) == []


def test_after_a_long_run_and_late_in_its_time_a_task_takes_no_further_ones(
    directory: ExperimentDir,
) -> None:
    long = pack_of(directory, submit(directory, [1] * 6, replace(LIMITS, run_s=0.0)), 0)
    late = pack_of(directory, submit(directory, [1] * 6, replace(LIMITS, task_s=0.0)), 1)
    for pack in (long, late):
        pack.open()
        do(pack)
        assert pack.grow(1) == []


def test_a_task_goes_on_with_its_own_runs_whatever_became_of_the_others(
    directory: ExperimentDir,
) -> None:
    """One at a time: the other task helps with what has not begun."""
    submission = submit(directory, [4, 2], replace(LIMITS, run_s=0.0))
    pack = pack_of(directory, submission, 0)
    pack.open()
    do(pack, "failed")
    assert [run.directory for run, _ in pack.grow(1)] == ["run_1"]
    assert not pack.is_done
    other = pack_of(directory, submit(directory, [4, 2]), 1)
    other.open()
    assert names(other) == ["run_4"]


def test_a_task_that_is_started_again_goes_on_with_what_it_had_taken(
    directory: ExperimentDir,
) -> None:
    submission = submit(directory, [1] * 6)
    first = pack_of(directory, submission, 5)
    first.open()
    do(first)
    first.grow(1)
    again = pack_of(directory, submission, 5)
    again.open()
    assert sorted(names(again)) == ["run_0", "run_5"]
    assert again.grow(1) == []


def test_runs_that_were_stopped_or_withdrawn_are_not_taken(directory: ExperimentDir) -> None:
    submission = submit(directory, [1] * 6)
    runs = directory.read_runs()
    submission.stopped(runs[0].id).touch()
    pack = pack_of(directory, submission, 1)
    pack.open()
    do(pack)
    assert [run.directory for run, _ in pack.grow(1)] == ["run_2"]
    submission.withdrawal.touch()
    do(pack)
    assert pack.grow(1) == []


def test_a_task_whose_run_another_one_has_taken_takes_the_next(directory: ExperimentDir) -> None:
    submission = submit(directory, [1] * 6)
    runs = directory.read_runs()
    assert take(submission.taker(runs[3].id), 0)
    assert take(submission.taker(runs[0].id), NOBODY)
    pack = pack_of(directory, submission, 3)
    pack.open()
    assert names(pack) == ["run_1"]


def test_who_finds_nothing_left_says_so_and_dismisses_the_tasks_that_wait(
    directory: ExperimentDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those that have taken a run may be waiting to go on with it."""
    program = tmp_path / "scancel"
    program.write_text(f'#!/bin/sh\necho "$@" >>"{tmp_path}/calls"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    submission = submit(directory, [1] * 6)
    pack = Pack(directory, submission, 1, SlurmJob({"SLURM_ARRAY_JOB_ID": "41"}), Printer())
    pack.open()
    take(submission.taker(directory.read_runs()[4].id), 4)
    for _ in range(5):
        do(pack)
        pack.grow(1)
    assert submission.empty.exists()
    assert (tmp_path / "calls").read_text() == "--state=PENDING 41_[0,2-3,5]\n"


def test_runs_of_tasks_that_were_cancelled_or_are_held_are_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Task 2 is held, 3 was cancelled as it waited, of which nothing is kept, 4 as it ran."""
    lines = ["0|RUNNING|X|here|None", "1,5|PENDING|X|(null)|Priority"]
    lines += ["2|PENDING|X|(null)|JobHeldUser", "4|CANCELLED|X|here|None"]
    text = "\n".join(f"41|{line}|N/A".replace("X", "pack-0123abcd") for line in lines)
    program = tmp_path / "squeue"
    program.write_text(f"#!/bin/sh\necho \"$@\" >>{tmp_path}/calls\ncat <<'END'\n{text}\nEND\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    directory = Experiment(
        "pack", ["true"], seeds=6, root=tmp_path / "runs", on=Slurm("slurm")
    ).prepare()
    submission = submit(directory, [1] * 6)
    pack = pack_of(directory, submission, 0)
    pack.open()
    do(pack)
    while pack.grow(1):
        do(pack)
    assert names(pack) == ["run_0", "run_1", "run_5"]
    other = pack_of(directory, submission, 5)
    assert other.open() == []
    assert len((tmp_path / "calls").read_text().splitlines()) == 1, "all share one answer"


def test_a_run_that_is_cut_off_with_a_part_of_its_tasks_time_is_to_have_all_of_it(
    directory: ExperimentDir,
) -> None:
    """One that had it from the task's begin would run out of time again."""
    pack = pack_of(directory, submit(directory, [2, 4]), 0)
    first, second = pack.open()[0].run, directory.read_runs()[1]
    pack.started(first, 1)
    assert not pack.is_late(first)
    pack.began -= 100
    pack.started(second, 1)
    assert pack.is_late(second)
    run_dir = directory.run_dir(second, directory.read())
    for kind, is_late in (("stopped", True), ("succeeded", False), ("failed", False)):
        run_dir.path.mkdir(parents=True, exist_ok=True)
        write_json(run_dir.outcome_file, Outcome(kind, 1).to_json())  # type: ignore[arg-type]
        assert pack.is_late(second) is is_late


def test_what_a_pack_allows_is_kept_with_the_submission(directory: ExperimentDir) -> None:
    limits = PackLimits(4, 60.0, 90.0)
    assert read_submission(submit(directory, [6], limits).path).pack == limits  # type: ignore[union-attr]
    alone = add_submission(directory, "slurm", "pack-0123abcd", [[("a", 1)]])
    assert read_submission(alone.path).pack is None  # type: ignore[union-attr]


def test_a_run_is_where_it_was_taken(directory: ExperimentDir) -> None:
    submission = submit(directory, [1, 3, 2])
    runs = [run.id for run in directory.read_runs()]
    take(submission.taker(runs[1]), 2)
    take(submission.taker(runs[2]), NOBODY)
    place, takers = TaskPlace(submission, 1, 1), Takers()
    takers.look([place])
    assert takers.place(runs[1], place).task == 2
    assert takers.place(runs[2], place).task == takers.place(runs[3], place).task == 1
    assert [takers.is_open(run, place) for run in runs[1:4]] == [False, False, True]
    assert takers.runs_of(place) == [(runs[3], 1)]
    assert [run for run, _ in takers.runs_of(replace(place, task=2))] == [*runs[4:], runs[1]]
    assert not takers.was_left(runs[2], place)
    take(submission.taker(runs[3]), 1)
    takers.look([place])
    assert takers.was_left(runs[2], place)


@pytest.mark.parametrize(
    ("expect", "runs", "most"),
    [(None, 1000, 1), (20, 1000, 16), (20, 30, 1), (300, 1000, 2), (3600, 1000, 1), (0.1, 100, 2)],
)
def test_short_runs_are_spread_over_tasks_before_one_gets_several(
    expect: float | None, runs: int, most: int
) -> None:
    assert Frame(pack=LIMITS, expect=expect).runs_a_task(runs) == most
    assert Frame(expect=expect, runs_per_job=3).runs_a_task(runs) == 3
