"""What is written for Slurm, what is read from it, and what that means for a run: pure parts of the
engine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runslot.engines.batch.cluster import Jobs
from runslot.engines.batch.config import ahead_of
from runslot.engines.batch.evidence import evidence_of
from runslot.engines.batch.queue import Look, look, read_look
from runslot.engines.batch.script import Frame
from runslot.engines.batch.submissions import (
    TaskPlace,
    add_submission,
    in_batches,
    job_name,
    read_submission,
)
from runslot.engines.batch.task import (
    RunEvidence,
    Task,
    how_it_ended,
    read_time,
    write_indices,
)
from runslot.engines.batch.wait_reason import is_held, wait_lines, wait_reason
from runslot.engines.slurm.cluster import (
    SlurmCluster,
    read_indices,
    read_limit,
    read_sacct,
    read_squeue,
    read_submitted,
)
from runslot.engines.slurm.script import (
    Array,
    Demand,
    check_options,
    gres_of,
    memory_of,
    quoted,
    script_of,
    seconds_of,
)
from runslot.errors import InvalidInput, RunslotError
from runslot.experiment.records import Outcome, Policy
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.hardware.lockfile import user_name
from runslot.hardware.resources import Resources
from runslot.hardware.topology import Core, Topology
from runslot.remote.batch_job import divide, with_gpus_named

# ---- what Slurm says -----------------------------------------------------------------------------


def test_tasks_that_wait_together_stand_in_one_line_of_squeue() -> None:
    text = (
        "41|2-4,7%2|PENDING|digits-ab|(null)|JobArrayTaskLimit\n41|0|RUNNING|digits-ab|node1|None\n"
    )
    tasks = list(read_squeue(text))
    assert [(task.name, task.state) for task in tasks] == [
        ("41_2", "PENDING"),
        ("41_3", "PENDING"),
        ("41_4", "PENDING"),
        ("41_7", "PENDING"),
        ("41_0", "RUNNING"),
    ]
    assert tasks[0].reason == "JobArrayTaskLimit"


def test_lines_that_are_no_tasks_are_left_out() -> None:
    assert list(read_squeue("slurm_load_jobs error: x\n12|N/A|RUNNING|one|node1|None\n\n")) == []


def test_sacct_says_who_cancelled_and_that_is_left_out() -> None:
    (task,) = read_sacct("41_3|CANCELLED by 1000|digits-ab|None assigned\n")
    assert (task.name, task.state, task.node) == ("41_3", "CANCELLED", "")


@given(st.sets(st.integers(0, 5000)))
def test_indices_survive_being_written_and_read(indices: set[int]) -> None:
    assert set(read_indices(write_indices(indices))) == indices


def test_indices_with_a_stride() -> None:
    assert list(read_indices("0-8:4,9%3")) == [0, 4, 8, 9]


def test_a_limit_of_the_configuration() -> None:
    assert read_limit("X = 1\nMaxArraySize            = 151\n", "MaxArraySize", 1001) == 151
    assert read_limit("nothing", "MaxArraySize", 1001) == 1001


def test_the_job_id_is_the_last_line_that_is_one() -> None:
    assert read_submitted("Welcome to the cluster\n123;alpha\n") == ("123", "alpha")
    with pytest.raises(ValueError, match="no id"):
        read_submitted("no id")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1:30", 90),
        ("2:00:00", 7200),
        ("1-01:00:00", 90000),
        ("UNLIMITED", None),
        ("INVALID", None),
    ],
)
def test_times_that_are_left(text: str, seconds: float | None) -> None:
    assert read_time(text) == seconds


# ---- what it means for a run ---------------------------------------------------------------------

STOPPED = Outcome("stopped", 1)
FAILED = Outcome("failed", 1, exit_code=1)
KILLED = Outcome("failed", 1, signal=9, message="killed by SIGKILL")


def seen(outcome: Outcome | None, state: str | None, **changed: object) -> RunEvidence:
    task = None if state is None else Task("41", 3, state, "digits-ab", "node1")
    return replace(RunEvidence(1, 1, outcome, task), **changed)


@pytest.mark.parametrize(
    "state", ["PENDING", "RUNNING", "COMPLETING", "REQUEUED", "SUSPENDED", None]
)
def test_success_counts_at_once_and_a_stop_not_while_its_task_goes_on(state: str | None) -> None:
    """A task that is preempted, or requeues itself, leaves outcomes that say stopped, and goes on
    with the run.
    """
    assert how_it_ended(seen(Outcome("succeeded", 1), state)) == Outcome("succeeded", 1)
    assert how_it_ended(seen(STOPPED, state)) is None
    assert how_it_ended(seen(None, state)) is None


def test_a_stop_that_was_asked_for_counts_at_once() -> None:
    assert how_it_ended(seen(STOPPED, "RUNNING", stopped=True)) == STOPPED


def test_a_run_that_was_stopped_while_its_task_waits_will_not_start() -> None:
    outcome = how_it_ended(seen(None, "PENDING", stopped=True, barred=True))
    assert outcome is not None
    assert outcome.kind == "stopped"
    assert how_it_ended(seen(None, "PENDING", stopped=True)) is None, (
        "it may be starting at this moment"
    )


def test_a_failure_counts_when_its_task_makes_no_further_attempt() -> None:
    assert how_it_ended(seen(FAILED, "RUNNING")) == FAILED
    assert how_it_ended(seen(FAILED, "RUNNING", last_attempt=2)) is None
    assert how_it_ended(seen(FAILED, "FAILED", last_attempt=2)) == FAILED


def test_an_outcome_of_an_earlier_attempt_is_none_of_this_one() -> None:
    assert how_it_ended(seen(FAILED, "RUNNING", attempt=2)) is None
    assert how_it_ended(seen(Outcome("succeeded", 1), "RUNNING", latest=2)) is None


@pytest.mark.parametrize(
    ("state", "kind", "said"),
    [
        ("CANCELLED", "stopped", "cancelled"),
        ("TIMEOUT", "timed_out", "time limit"),
        ("DEADLINE", "timed_out", "deadline"),
        ("OUT_OF_MEMORY", "failed", "memory"),
        ("NODE_FAIL", "lost", "node failed"),
        ("BOOT_FAIL", "lost", "boot"),
        ("PREEMPTED", "lost", "preempted"),
        ("COMPLETED", "lost", "before the run did"),
    ],
)
def test_a_task_that_ended_without_an_outcome(state: str, kind: str, said: str) -> None:
    outcome = how_it_ended(seen(None, state))
    assert outcome is not None
    assert outcome.kind == kind
    assert said in outcome.message
    assert "41_3" in outcome.message
    assert state in outcome.message


def test_what_the_task_printed_last_says_why_it_failed() -> None:
    outcome = how_it_ended(seen(None, "FAILED", last_line="python3: not found"))
    assert outcome is not None
    assert outcome.message.endswith("python3: not found")


def test_out_of_memory_is_known_when_the_task_has_ended() -> None:
    assert how_it_ended(seen(KILLED, "RUNNING")) is None
    outcome = how_it_ended(seen(KILLED, "OUT_OF_MEMORY"))
    assert outcome is not None
    assert "out of memory" in outcome.message


def test_a_run_that_its_jobs_time_limit_stopped_has_timed_out_unless_it_can_continue() -> None:
    """Its task was killed before it could say so."""
    outcome = how_it_ended(seen(STOPPED, "TIMEOUT"))
    assert outcome is not None
    assert outcome.kind == "timed_out"
    assert "time limit" in outcome.message
    assert how_it_ended(seen(STOPPED, "TIMEOUT", resumable=True)) == STOPPED
    assert how_it_ended(seen(STOPPED, "TIMEOUT", stopped=True)) == STOPPED


def test_a_task_that_slurm_has_forgotten_is_lost_once_that_is_certain() -> None:
    assert how_it_ended(seen(None, None)) is None
    outcome = how_it_ended(seen(None, None, gone=True))
    assert outcome is not None
    assert outcome.kind == "lost"
    assert how_it_ended(seen(STOPPED, None, gone=True)) == STOPPED


def test_a_task_that_slurm_has_dropped_from_its_array_was_cancelled() -> None:
    outcome = how_it_ended(seen(None, None, gone=True, dropped=True))
    assert outcome is not None
    assert outcome.kind == "stopped"
    assert "cancelled as it waited" in outcome.message
    begun = how_it_ended(seen(None, None, gone=True, dropped=True, latest=1))
    assert begun is not None
    assert begun.kind == "lost", "it had begun, and nobody knows how it ended"


class Answers(SlurmCluster):
    """A cluster that answers with these tasks."""

    tasks: Sequence[Task] = ()

    def queue(self, jobs: Jobs) -> list[Task]:
        del jobs
        return [*self.tasks]

    def history(self, jobs: Collection[str]) -> list[Task]:
        del jobs
        return []


def test_a_task_is_dropped_where_others_of_its_array_are_there(tmp_path: Path) -> None:
    """Twice, ten seconds apart; a system that has lost the whole array has cancelled nothing."""
    (tmp_path / "slurm").mkdir()
    experiment, cluster = ExperimentDir(tmp_path), Answers("cluster")
    submission = add_submission(experiment, "slurm", "short-0123abcd", [[("a", 1)], [("b", 1)]])
    places = [TaskPlace(submission.with_job("7"), task, 1) for task in (0, 1)]
    cluster.tasks = [Task("7", 0, "RUNNING", "short-0123abcd")]
    first = look(experiment, cluster, places, time.time())
    assert not first.dropped(places[1]), "it may not have come yet"
    later = replace(first, at=first.at + 11)
    assert later.dropped(places[1])
    assert not later.dropped(places[0])
    assert read_look(experiment, "slurm") == first
    cluster.tasks = []
    lost = look(experiment, cluster, places, time.time())
    assert not replace(lost, at=first.at + 11).dropped(places[1])


class Client:
    """What a client of NFS remembers of a directory in which it has missed a file: until it opens
    the directory, that the file is not there.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._open, self._missed = os.open, set[Path]()
        monkeypatch.setattr(os, "open", self._opened)

    def _opened(self, path: str | os.PathLike[str], flags: int, mode: int = 0o777) -> int:
        if flags & os.O_DIRECTORY:
            self._missed = {file for file in self._missed if file.parent != Path(path)}
        elif not flags & os.O_CREAT and (Path(path) in self._missed or not Path(path).exists()):
            self._missed.add(Path(path))
            raise FileNotFoundError(path)
        return self._open(path, flags, mode)


def test_a_run_is_not_lost_whose_outcome_this_machine_cannot_see_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slurm says that the task has ended, seconds before an NFS client shows the file."""
    (tmp_path / "slurm").mkdir()
    (tmp_path / "run_0").mkdir()
    Client(monkeypatch)
    submission = add_submission(ExperimentDir(tmp_path), "slurm", "a-0123abcd", [[("a", 1)]])
    place, run_dir = TaskPlace(submission, 0, 1), RunDir(tmp_path / "run_0")

    def seen_in(state: str) -> RunEvidence:
        task = Task("7", 0, state, "a-0123abcd")
        sight = Look(time.time(), {("a-0123abcd", 0): task})
        return evidence_of(place, run_dir, sight, 1, Policy())

    assert how_it_ended(seen_in("RUNNING")) is None
    run_dir.outcome_file.write_text(json.dumps(Outcome("succeeded", 1).to_json()))
    assert run_dir.read_outcome() is None, "this machine does not see it"
    assert how_it_ended(seen_in("RUNNING")) is None
    assert how_it_ended(seen_in("COMPLETED")) == Outcome("succeeded", 1)


def test_what_one_asks_does_not_hide_what_another_waits_for(tmp_path: Path) -> None:
    """A terminal asks for the task that runs; the launcher, for one that Slurm has forgotten."""
    (tmp_path / "slurm").mkdir()
    experiment, cluster = ExperimentDir(tmp_path), Answers("cluster")
    submission = add_submission(experiment, "slurm", "short-0123abcd", [[("a", 1)], [("b", 1)]])
    places = [TaskPlace(submission.with_job("7"), task, 1) for task in (0, 1)]
    cluster.tasks = [Task("7", 0, "RUNNING", "short-0123abcd")]
    look(experiment, cluster, places[:1], time.time())
    mine = look(experiment, cluster, places, time.time() - 9)
    assert ("short-0123abcd", 1) in mine.absent, "it is asked, though an answer is there"
    theirs = look(experiment, cluster, places[:1], time.time())
    assert replace(theirs, at=mine.at + 11).gone(places[1])


def test_an_answer_from_a_clock_that_is_ahead_is_not_taken_for_a_new_one(tmp_path: Path) -> None:
    """Another node has written it, an hour ahead."""
    (tmp_path / "slurm").mkdir()
    experiment, cluster = ExperimentDir(tmp_path), Answers("cluster")
    submission = add_submission(experiment, "slurm", "short-0123abcd", [[("a", 1)]])
    place = TaskPlace(submission.with_job("7"), 0, 1)
    look(experiment, cluster, [place], time.time())
    file = tmp_path / "slurm" / "queue.json"
    ahead = json.loads(file.read_text())
    ahead["at"] += 3600
    ahead["absent"][0][2] += 3600
    file.write_text(json.dumps(ahead))
    now = time.time()
    answer = look(experiment, cluster, [place], now - 10)
    assert now <= answer.at <= time.time()
    assert replace(answer, at=answer.at + 11).gone(place)


# ---- what Slurm is asked -------------------------------------------------------------------------

ARRAY = Array("digits-ab", 4, "slurm/0001", "/data/my runs/$x", 2, 120)


def options_of(script: str) -> list[str]:
    return [
        line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH ")
    ]


def test_the_script_asks_for_one_array() -> None:
    asked = Demand(
        4,
        "gpu:a100:2",
        "8G",
        "main",
        "lab",
        "high",
        "1:00:00",
        "avx",
        ("--mail-type=END", '--comment=a "b"'),
    )
    frame = Frame(
        ARRAY.experiment,
        "/usr/bin/python3",
        "/data/runslot.pyz",
        modules=("cuda/12", "a b"),
        setup=("source x",),
        moved=True,
    )
    text = script_of(ARRAY, asked, frame)

    options = options_of(text)
    assert "--array=0-3%2" in options
    assert "--requeue" in options
    assert "--signal=B:USR1@120" in options
    assert '--chdir="/data/my runs/$x"' in options
    assert "--output=/dev/null" in options
    assert {
        "--cpus-per-task=4",
        "--gres=gpu:a100:2",
        "--mem=8G",
        "--partition=main",
        "--account=lab",
    } <= set(options)
    assert {"--qos=high", "--time=1:00:00", "--constraint=avx", "--mail-type=END"} <= set(options)
    assert options[-1] == r'--comment="a \"b\""'
    assert text.splitlines()[0] == "#!/bin/bash -l"
    assert "module load 'a b' || unfit 'module load ''a b'' failed'\nsource x\n" in text
    assert "exec /usr/bin/python3 /data/runslot.pyz task" in text
    assert "'/data/my runs/$x' --submission 0001 --ahead 120 --moved --task" in text


def test_a_task_of_commands_starts_python_without_site_packages():
    frame = Frame("/data", "python3", "/data/r.pyz", flags=("-S",))

    assert "exec python3 -S /data/r.pyz task /data --submission" in script_of(
        ARRAY, Demand(1), frame
    )


def test_a_directory_that_no_option_can_hold_is_left_to_where_sbatch_is_called() -> None:
    frame = Frame("/a\nb", "python3", "/a\nb/r.pyz")
    text = script_of(replace(ARRAY, experiment="/a\nb"), Demand(1), frame)
    assert not any(option.startswith("--chdir") for option in options_of(text))
    assert "'/a\nb'" in text


class Node:
    """A node on which the script of a task is executed, with Slurm's commands as they answer
    there.
    """

    def __init__(self, directory: Path) -> None:
        self.experiment = directory / "my experiment"
        self.submission = self.experiment / "slurm" / "0001"
        self.home = directory / "home"
        (self.submission / "unfit").mkdir(parents=True)
        (self.submission / "tasks.json").touch()
        self.calls = directory / "calls"
        self.programs = directory / "bin"
        self.programs.mkdir()
        self.answer("squeue", "echo $AVOIDED")
        self.answer("scontrol", 'case $1 in show) echo "$3" | tr , "\\n" ;; esac')
        self.answer("sbatch", 'echo "$RUNSLOT_UNFIT_NODE: $RUNSLOT_UNFIT_CAUSE" >>"$CALLS"')
        self.answer("sleep", ":")
        self.answer("python", 'echo began "$@"')

    def answer(self, program: str, line: str) -> None:
        file = self.programs / program
        words = f'echo {program} "$@" >>"$CALLS"' if program not in {"sleep", "python"} else ""
        file.write_text(f"#!/bin/sh\n{words}\n{line}\n")
        file.chmod(0o755)

    def execute(self, asked: Demand = Demand(1), **environment: str) -> str:  # noqa: B008
        frame = Frame(str(self.experiment), str(self.programs / "python"), "runslot.pyz")
        array = Array("digits-0123abcd", 4, "slurm/0001", frame.directory)
        script = self.programs.parent / "slurm_script"
        script.write_text(script_of(array, asked, frame))
        variables = {
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "HOME": str(self.home),
            "CALLS": str(self.calls),
            "SLURMD_NODENAME": "node1",
            "SLURM_JOB_ID": "42",
            "SLURM_ARRAY_JOB_ID": "41",
            "SLURM_ARRAY_TASK_ID": "3",
            **environment,
        }
        subprocess.run(["bash", str(script)], env=variables, check=False, capture_output=True)
        return self.calls.read_text() if self.calls.exists() else ""

    @property
    def log(self) -> str:
        return (self.submission / "3.log").read_text()


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_task_begins_where_its_node_has_what_it_needs(node: Node) -> None:
    assert node.execute() == ""
    assert "began runslot.pyz task" in node.log


def test_a_users_variables_reach_the_run_as_they_are(node: Node) -> None:
    """Slurm hands on what was exported where the array was submitted, as `export task=mnist`."""
    script = script_of(Array("j", 4, "slurm/0001", "/"), Demand(1), Frame(modules=("m",)))
    assigned = set(re.findall(r"(?:^|[\s;{])([a-z_]\w*)=", script, re.MULTILINE))
    assert {name for name in assigned if not name.startswith("rs_")} == {"jobid", "excnodelist"}
    users = dict.fromkeys(("task", "directory", "node", "cpus", "number", "name", "part"), "mine")
    node.answer("python", "env")
    node.execute(**users)
    assert users.items() <= dict(line.split("=", 1) for line in node.log.splitlines()).items()


def test_python_is_tried_by_each_task_of_a_node(node: Node) -> None:
    """A node may turn bad later, and would be the one that is always free."""
    assert "began" in (node.execute() or node.log)
    node.answer("python", "echo 'cannot open libpython3.so' >&2; exit 127")
    node.execute()
    assert "libpython3.so" in (node.submission / "unfit" / "node1").read_text()


def test_tasks_begin_in_turns_where_the_node_leaves_open_which_cpus_are_theirs(node: Node) -> None:
    node.answer("python", 'echo "turn ${RUNSLOT_TURN-none}"')
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        node.execute()
        assert (os.cpu_count() == 1) != ("turn none" in node.log)
    finally:
        os.sched_setaffinity(0, allowed)
    node.execute()
    assert (len(allowed) < (os.cpu_count() or 1)) != ("turn 9" in node.log)


def test_a_task_is_submitted_anew_without_a_node_that_lacks_python(node: Node) -> None:
    (node.programs / "python").unlink()
    calls = node.execute(AVOIDED="node9").splitlines()
    assert "python" in (node.submission / "unfit" / "node1").read_text()
    anew = next(call for call in calls if call.startswith("sbatch"))
    assert anew.startswith("sbatch --array=3 --exclude=node9,node1 --comment=node1: Python")
    assert anew.endswith("slurm_script")
    assert calls[-1] == "scontrol update jobid=41 excnodelist=node9,node1"


def test_a_node_that_does_not_see_the_directory_tells_it_at_home_and_to_its_successor(
    node: Node,
) -> None:
    shutil.rmtree(node.experiment)
    cause = f"it does not see {node.experiment}"
    assert f"node1: {cause}" in node.execute()
    aside = node.home / ".runslot" / "unfit" / "digits-0123abcd"
    assert (aside / "node1").read_text().splitlines() == [cause, "3"]
    assert not node.experiment.exists()
    (node.submission / "unfit").mkdir(parents=True)
    (node.submission / "tasks.json").touch()
    node.execute(SLURMD_NODENAME="node2", RUNSLOT_UNFIT_NODE="node1", RUNSLOT_UNFIT_CAUSE=cause)
    assert (node.submission / "unfit" / "node1").read_text().strip() == cause
    assert "began" in node.log


def test_an_interpreter_that_is_too_old_is_named(node: Node) -> None:
    node.answer("python", "echo 'it is 3.8, and 3.10 is needed' >&2; exit 1")
    node.execute()
    cause, task = (node.submission / "unfit" / "node1").read_text().splitlines()
    assert cause == f"Python does not start ({node.programs}/python): " + (
        "it is 3.8, and 3.10 is needed"
    )
    assert task == "3"


@pytest.mark.parametrize("refused", ["sbatch", "three nodes"])
def test_where_no_other_node_can_be_had_nothing_is_kept_off_and_the_cause_is_said(
    node: Node, refused: str
) -> None:
    """What fails everywhere must not leave an array that waits for ever."""
    (node.programs / "python").unlink()
    if refused == "sbatch":
        node.answer("sbatch", "echo Requested node configuration is not available >&2; exit 1")
    calls = node.execute(AVOIDED="" if refused == "sbatch" else "node7,node8,node9")
    assert "scontrol update" not in calls
    assert node.log.splitlines()[-1].startswith("this node (node1) cannot do the task: Python")


def test_a_node_holds_each_further_task_twice_as_long_that_it_cannot_do(node: Node) -> None:
    """Else it would be free at once for the next one, and eat them all."""
    (node.programs / "python").unlink()
    node.answer("sbatch", "exit 1")
    node.answer("sleep", 'echo "sleep $1" >>"$CALLS"')
    for _ in range(4):
        calls = node.execute().splitlines()
    pauses = [call for call in calls if call.startswith("sleep")]
    assert pauses == ["sleep 10", "sleep 20", "sleep 40", "sleep 80"]
    note = (node.submission / "unfit" / "node1").read_text().splitlines()
    assert note[0].startswith("Python does not start")
    assert note[1:] == ["3"] * 4


def test_nodes_that_the_user_excludes_are_not_counted_among_the_unfit(node: Node) -> None:
    (node.programs / "python").unlink()
    calls = node.execute(
        Demand(1, options=("--exclude=node7,node8,node9",)), AVOIDED="node7,node8,node9"
    )
    assert "scontrol update jobid=41" in calls


@pytest.mark.parametrize(
    "option",
    ["--array=0-3", "-a 0-3", "--wrap=x", "-Jx", "exclude=node1", "--x\n--y", "-o/dev/null"],
)
def test_options_that_would_take_runslots_own_away_are_refused(option: str) -> None:
    with pytest.raises(InvalidInput, match="options: "):
        check_options([option])


def test_options_that_are_the_users_to_choose() -> None:
    check_options(
        ["--exclude=node7", "--exclusive", "-x node3", "--mail-type=END", "--array-foo=1"]
    )


def test_values_are_quoted_as_sbatch_reads_them() -> None:
    assert quoted("a100&avx|x") == "a100&avx|x"
    assert quoted('a "b" \\') == '"a \\"b\\" \\\\"'


@pytest.mark.parametrize(
    ("given", "resources", "runs", "gres"),
    [
        (None, Resources(), 4, None),
        (None, Resources(gpus=0), 4, None),
        (None, Resources(gpus=2), 1, "gpu:2"),
        (None, Resources(gpus=1, runs_per_gpu=2), 4, "gpu:2"),
        ("gpu:a100", Resources(gpus=1), 3, "gpu:a100:3"),
        ("gpu:a100", Resources(), 2, "gpu:a100:2"),
        ("gpu:a100:8", Resources(gpus=1), 3, "gpu:a100:8"),
        ("gpu", Resources(gpus=0), 1, None),
    ],
)
def test_gpus_of_a_task(
    given: str | None, resources: Resources, runs: int, gres: str | None
) -> None:
    assert gres_of(given, resources, runs) == gres


def test_memory_of_a_task() -> None:
    assert memory_of(None, Resources(memory=1_500_000_000), 2) == "2862M"
    assert memory_of("3G", Resources(memory=1), 2) == "3G"
    assert memory_of(None, Resources(), 2) is None


def test_a_jobs_name_has_no_character_that_a_list_or_a_column_would_break_at() -> None:
    assert job_name("my sweep|x,y/ü", "ab12") == "my_sweep_x_y_-ab12"


def test_runs_are_packed_into_tasks_and_tasks_into_arrays() -> None:
    runs = [(f"r{i}", 1) for i in range(7)]
    batches = in_batches(runs, 2, 3)
    assert [[len(task) for task in tasks] for tasks in batches] == [[2, 2, 2], [1]]
    assert [run for tasks in batches for task in tasks for run in task] == runs


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        ("90", 5400),
        ("1:30:00", 5400),
        ("5:00", 300),
        ("2-12", 216000),
        ("1-0:30", 88200),
        (None, None),
    ],
)
def test_time_limits_as_sbatch_takes_them(time: str | None, seconds: float | None) -> None:
    assert seconds_of(time) == seconds


def test_runs_are_told_of_the_limit_early_enough_and_not_at_their_start() -> None:
    assert ahead_of(None, None, 10) == 120
    assert ahead_of(None, seconds_of("2:00:00"), 300) == 330
    assert ahead_of(None, seconds_of("00:01:00"), 10) == 15
    assert ahead_of(7, seconds_of("00:01:00"), 10) == 7
    assert ahead_of(None, seconds_of("0"), 10) == 120, "0 is no limit"
    assert ahead_of(None, None, 1e6) == 65535, "sbatch takes no more"


# ---- what a job was given ------------------------------------------------------------------------

NODE = Topology(
    "node1",
    (),
    (),
    tuple(Core((i, i + 8)) for i in range(8)),
    online=tuple(range(16)),
    allowed=tuple(range(16)),
)


def test_a_confined_job_is_divided_among_its_runs() -> None:
    """Two cores with two threads each, for two runs that would have asked for two cores
    elsewhere.
    """
    job = replace(NODE, allowed=(0, 1, 8, 9))
    slots = divide(job, Resources(cpus=2), 2, 4)
    assert [slot.pus for slot in slots] == [(0, 8), (1, 9)]


def test_runs_that_outnumber_the_cores_have_threads() -> None:
    slots = divide(replace(NODE, allowed=(0, 8)), Resources(), 2, 2)
    assert [slot.pus for slot in slots] == [(0,), (8,)]


def test_a_job_that_may_use_the_whole_node_is_pinned_to_none_of_it() -> None:
    """The node does not say which CPUs are the job's; its threads are as many as it asked for."""
    slots = divide(NODE, Resources(), 2, 4, turn=5)
    assert [slot.pus for slot in slots] == [NODE.allowed, NODE.allowed]
    assert [slot.size for slot in slots] == [2, 2]
    assert set(slots[0].cores).isdisjoint(slots[1].cores)


def test_gpus_that_slurm_names_are_used_where_no_driver_answers() -> None:
    named = with_gpus_named(NODE, {"CUDA_VISIBLE_DEVICES": "1,3"})
    assert [slot.gpus[0].visible for slot in divide(named, Resources(gpus=1), 2, None)] == [
        "1",
        "3",
    ]
    assert with_gpus_named(NODE, {"CUDA_VISIBLE_DEVICES": "NoDevFiles"}).gpus == ()


def test_only_jobs_that_slurm_has_under_a_name_of_ours_are_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids stand in files: one that was forged, or is long another job's, cancels nothing."""
    (tmp_path / "squeue").write_text(
        '#!/bin/sh\necho "$@" >asked; echo "12|0-3|RUNNING|sweep-0123abcd|n1|None"\n'
    )
    (tmp_path / "scancel").write_text('#!/bin/sh\necho "$@" >>cancelled\n')
    for program in ("squeue", "scancel"):
        (tmp_path / program).chmod(0o755)
    cluster = SlurmCluster("here", environment={"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    monkeypatch.chdir(tmp_path)
    cluster.cancel({"12": [1, 2], "4242": ()}, {"sweep-0123abcd": "12"})
    assert (tmp_path / "cancelled").read_text() == "12_[1-2]\n"
    asked = (tmp_path / "asked").read_text()
    assert "--name=sweep-0123abcd" in asked
    assert f"--user={user_name(os.geteuid())}" in asked
    cluster.cancel({"12": [1, 2]}, {})
    assert (tmp_path / "cancelled").read_text() == "12_[1-2]\n"


@pytest.mark.parametrize(
    "name", ["train", "", "sweep-0123abcd,train", "sweep-0123ABCD", "a b-0123abcd", 7]
)
def test_a_submission_that_names_another_job_is_refused(tmp_path: Path, name: object) -> None:
    (tmp_path / "tasks.json").write_text(json.dumps({"job_name": name, "tasks": []}))
    with pytest.raises(RunslotError, match="none that runslot submits"):
        read_submission(tmp_path)


# ---- why tasks wait ------------------------------------------------------------------------------


def test_the_reason_and_the_expected_begin_stand_in_squeues_line() -> None:
    line = "41|2-3|PENDING|digits-ab||ReqNodeNotAvail, UnavailableNodes:node1|2026-11-27T14:05:00\n"
    tasks = list(read_squeue(line))
    assert [(task.index, task.begin) for task in tasks] == [
        (2, "2026-11-27T14:05:00"),
        (3, "2026-11-27T14:05:00"),
    ]
    assert wait_reason(tasks[0]).startswith("nodes that it needs are down or reserved (ReqNode")


@pytest.mark.parametrize(
    ("state", "reason", "words"),
    [
        ("PENDING", "Priority", "other jobs are before it (Priority)"),
        ("PENDING", "(Resources)", "what it asks for is in use (Resources)"),
        (
            "PENDING",
            "QOSMaxCpuPerUserLimit",
            "a limit of your account is reached (QOSMaxCpuPerUserLimit)",
        ),
        ("PENDING", "AssocGrpGRES", "a limit of your account is reached (AssocGrpGRES)"),
        ("PENDING", "JobHeldUser", "it is held (JobHeldUser): scontrol release 41_2"),
        ("PENDING", "JobHeldAdmin", "an administrator holds it (JobHeldAdmin)"),
        ("REQUEUE_HOLD", "None", "it was requeued, and is held: scontrol release 41_2"),
        ("PENDING", "SomethingNew", "SomethingNew"),
        ("PENDING", "None", ""),
    ],
)
def test_why_a_task_waits_is_said_with_slurms_own_word(state: str, reason: str, words: str) -> None:
    assert wait_reason(Task("41", 2, state, reason=reason)) == words


def test_tasks_that_wait_for_the_same_are_one_line_with_the_first_expected_begin() -> None:
    tasks = [
        Task("41", 1, "PENDING", reason="Resources", begin="2026-11-27T14:05:00"),
        Task("41", 2, "PENDING", reason="Resources", begin="2026-11-27T12:00:00"),
        Task("41", 3, "PENDING", reason="JobHeldUser", begin="N/A"),
        Task("41", 4, "RUNNING", reason="None"),
    ]
    assert wait_lines(tasks) == [
        "2 wait: what it asks for is in use (Resources); expected to begin 2026-11-27 12:00",
        "1 waits: it is held (JobHeldUser)",
    ]
    assert [is_held(task) for task in tasks] == [False, False, True, False]
