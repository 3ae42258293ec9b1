"""What is written for PBS, in both spellings, and what is read from it: pure parts of the
engine.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runslot.engines.batch.script import Frame
from runslot.engines.batch.task import task_name
from runslot.engines.pbs.cluster import PBSCluster
from runslot.engines.pbs.config import PBS
from runslot.engines.pbs.queue import read_jobs, read_submitted, seconds_of, state_of, tasks_of
from runslot.errors import InvalidInput
from runslot.hardware.resources import Resources
from runslot.remote.batch_job import PBSJob

NAMES = {"12": [("digits-0123abcd", "12[].head")]}

# ---- what PBS says -------------------------------------------------------------------------------

TORQUE = """
Job Id: 12[0].head
    Job_Name = digits-0123abcd-0
    Job_Owner = ann@head
    job_state = C
    exec_host = node1/0+node1/1
    Variable_List = PBS_O_HOME=/home/ann,PBS_O_PATH=/usr/bin:/bin,
\tPBS_O_WORKDIR=/data/a = b
    exit_status = 271

Job Id: 12[1].head
    Job_Name = digits-0123abcd-1
    job_state = Q

"""


def test_torques_text_has_a_job_a_block_and_long_values_in_several_lines() -> None:
    tasks = tasks_of(read_jobs(TORQUE), NAMES)
    assert [(task.name, task.state, task.node) for task in tasks] == [
        ("12[0].head", "CANCELLED", "node1"),
        ("12[1].head", "PENDING", ""),
    ]


def test_openpbs_has_json_in_which_the_array_is_a_job_as_well() -> None:
    own = {"Job_Name": "digits-0123abcd"}
    jobs = {
        "12[].head": {**own, "job_state": "B", "array_indices_submitted": "0-2"},
        "12[0].head": {**own, "job_state": "X", "Exit_status": 0, "exec_host": "node1/0*4"},
        "12[1].head": {**own, "job_state": "R", "Resource_List": {"walltime": "01:00:00"}},
        "12[2].head": {
            **own,
            "job_state": "Q",
            "comment": "Not Running: Insufficient amount of resource: ncpus",
        },
    }
    tasks = tasks_of(read_jobs(json.dumps({"timestamp": 1, "Jobs": jobs})), NAMES)
    assert [(task.index, task.state) for task in tasks] == [
        (0, "COMPLETED"),
        (1, "RUNNING"),
        (2, "PENDING"),
    ]
    assert "Insufficient" in tasks[2].reason


def test_of_an_array_that_has_ended_the_tasks_may_no_longer_be_listed() -> None:
    array = {
        "Job_Name": "digits-0123abcd",
        "job_state": "F",
        "Exit_status": "0",
        "array_indices_submitted": "0-1",
    }
    assert [(t.index, t.state) for t in tasks_of({"12[].head": array}, NAMES)] == [
        (0, "COMPLETED"),
        (1, "COMPLETED"),
    ]


def test_a_job_of_another_name_is_somebody_elses_whatever_id_stood_in_a_file() -> None:
    jobs = {
        "12[0].head": {"Job_Name": "theirs", "job_state": "R"},
        "13.head": {"Job_Name": "digits-0123abcd"},
    }
    assert tasks_of(jobs, NAMES) == []


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ({"job_state": "H"}, "PENDING"),
        ({"job_state": "W"}, "PENDING"),
        ({"job_state": "E"}, "COMPLETING"),
        ({"job_state": "S"}, "SUSPENDED"),
        ({"job_state": "F", "Exit_status": "0"}, "COMPLETED"),
        ({"job_state": "F", "Exit_status": "3"}, "FAILED"),
        ({"job_state": "F", "Exit_status": "-29"}, "TIMEOUT"),
        ({"job_state": "F", "Exit_status": "-27"}, "OUT_OF_MEMORY"),
        ({"job_state": "F", "Exit_status": "-11"}, "FAILED"),
        ({"job_state": "C", "exit_status": "-11"}, "TIMEOUT"),
        ({"job_state": "C", "exit_status": "-10"}, "OUT_OF_MEMORY"),
        ({"job_state": "F", "Exit_status": "-4"}, "NODE_FAIL"),
        ({"job_state": "F", "Exit_status": "271"}, "CANCELLED"),
        ({"job_state": "F"}, "CANCELLED"),
        ({"job_state": "X", "stime": "Fri"}, "COMPLETED"),
        (
            {
                "job_state": "C",
                "exit_status": "271",
                "resources_used.walltime": "00:01:03",
                "Resource_List.walltime": "00:01:00",
            },
            "TIMEOUT",
        ),
    ],
)
def test_how_a_job_ended_is_told_by_a_number_that_the_two_read_differently(
    attributes: dict[str, str], state: str
) -> None:
    assert state_of(attributes) == state


def test_the_job_id_is_the_last_line_that_is_one() -> None:
    assert read_submitted("Welcome\n12[].head.example.org\n") == "12[].head.example.org"
    assert read_submitted("13.head\n") == "13.head"
    with pytest.raises(ValueError, match="no id"):
        read_submitted("no id")


def test_a_job_of_one_task_is_no_array() -> None:
    assert task_name("12[].head", 3) == "12[3].head"
    assert task_name("13.head", 0) == "13.head"


def test_times() -> None:
    assert [seconds_of(time) for time in ("90", "1:30", "100:00:00", "2-12", None)] == [
        90,
        90,
        360000,
        None,
        None,
    ]


# ---- what PBS is asked ---------------------------------------------------------------------------


def script(dialect: str, tasks: int = 4, **keys: object) -> list[str]:
    cluster = PBSCluster("here", environment={})
    cluster.given_dialect = dialect  # type: ignore[assignment]
    writer = PBS(**keys).writer(
        Frame("/data/my runs", "python3", "/data/r.pyz", at_a_time=2), Resources(gpus=1), cluster
    )
    return writer.text("digits-0123abcd", tasks, "pbs/0001").splitlines()


KEYS = {
    "queue": "gpu", "account": "lab", "time": "4:00:00", "mem": "8gb", "cpus": 4, "options": ("-l place=excl",),
}  # fmt: skip


def test_openpbs_script() -> None:
    lines = script("openpbs", properties=("gpu_model=a100",), **KEYS)
    assert {"#PBS -J 0-3", "#PBS -W max_run_subjobs=2", "#PBS -q gpu", "#PBS -A lab"} <= set(lines)
    assert {"#PBS -l walltime=4:00:00", "#PBS -l place=excl", "#PBS -o /dev/null"} <= set(lines)
    assert "#PBS -l select=1:ncpus=4:ngpus=1:mem=8gb:gpu_model=a100" in lines
    assert {"rs_directory='/data/my runs'", "rs_submission=pbs/0001"} <= set(lines)
    assert 'exec >>"$rs_log" 2>&1' in lines
    assert lines[-1].endswith('--ahead 0 --limit 14400 --task "$rs_task"')


def test_torque_script() -> None:
    lines = script("torque", properties=("bigmem",), **KEYS)
    assert {"#PBS -t 0-3%2", "#PBS -l nodes=1:ppn=4:gpus=1:bigmem", "#PBS -l mem=8gb"} <= set(lines)
    assert not any("select=" in line or "-J" in line for line in lines)


def test_one_task_is_a_plain_job_since_some_versions_refuse_an_array_of_one() -> None:
    for dialect in ("openpbs", "torque"):
        assert not any(line.startswith(("#PBS -J", "#PBS -t")) for line in script(dialect, tasks=1))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"time": "90"}, "hours:minutes:seconds"),
        ({"time": "2-12:00:00"}, "hours:minutes:seconds"),
        ({"options": ("-J 0-3",)}, "runslot sets -J itself"),
        ({"options": ("place=excl",)}, "is no option of qsub"),
        ({"options": ("-l x\n#PBS -q y",)}, "is no option of qsub"),
        ({"properties": ("a b",)}, "takes no blanks"),
        ({"queue": "a\nb"}, "queue has a line break"),
        ({"runs_per_job": 0}, "runs_per_job is 0"),
    ],
)
def test_what_the_table_cannot_mean_is_refused(keys: dict[str, object], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        PBS(**keys)


@pytest.mark.parametrize("experiment", ["my long sweep", "7 seeds", "ü", ""])
def test_a_jobs_name_is_short_and_begins_with_a_letter(experiment: str) -> None:
    name = PBSCluster("here").job_name(experiment)
    assert len(name) <= 15
    assert name[0].isascii()
    assert name[0].isalpha()


def test_a_task_knows_its_limit_from_its_script() -> None:
    job = PBSJob({"PBS_JOBID": "12[3].head", "NCPUS": "4"}, limit=100.0)
    assert (job.id, job.cpus, job.has_gpus) == ("12[3].head", 4, False)
    left = job.time_left()
    assert left is not None
    assert 0 < left <= 100
    assert PBSJob({}).time_left() is None


def test_torque_names_the_gpus_of_a_job_in_a_file(tmp_path: Path) -> None:
    """Else two jobs of a node would both take its first one."""
    (tmp_path / "gpus").write_text("node1-gpu2\nnode1-gpu3\n")
    environment = {"PBS_GPUFILE": str(tmp_path / "gpus")}
    assert PBSJob(environment).named_gpus() == {"CUDA_VISIBLE_DEVICES": "2,3"}
    assert PBSJob({**environment, "CUDA_VISIBLE_DEVICES": "GPU-1"}).named_gpus() == {}, (
        "said by the system itself"
    )
    assert PBSJob({"PBS_GPUFILE": "/nowhere"}).named_gpus() == {}
