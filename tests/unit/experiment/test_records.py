"""The records of an experiment's files: what JSON becomes of them, and what is refused in it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runslot.errors import Damaged, NewerFormat
from runslot.experiment.records import (
    Attempt,
    CodeCopy,
    Command,
    Container,
    ExperimentFile,
    Function,
    LauncherEntry,
    Policy,
    PythonEnvironment,
    Run,
    RunFile,
)
from runslot.hardware.resources import Resources

RUN = Run("id", "lr=1", {"lr": 1}, "lr=1/run_0", seed=0)
WHOLE = ExperimentFile(
    "digits",
    Function("train", file="/code/train.py"),
    0.0,
    "/code",
    "python",
    resources=Resources(cpus=2),
    policy=Policy(retries=1, timeout=60.0),
    code=CodeCopy("/code", "code", "https://host/x.git@1a2b"),
    container=Container("image", mounts=("/data",)),
    launcher=LauncherEntry("box", "ssh", {"hosts": ["a"]}, shares_machine=False),
    interpreter=PythonEnvironment("/env/bin", {"VIRTUAL_ENV": "/env"}),
)


def through_json(value: dict[str, Any]) -> dict[str, Any]:
    """Return what a file would give back."""
    return json.loads(json.dumps(value))


def run_file(**changes: Any) -> dict[str, Any]:
    """Return the JSON of a run's file."""
    return (
        through_json(RunFile(RUN, "digits", Command(("true",)), "/", "python").to_json()) | changes
    )


def test_what_is_written_is_read_again_with_all_that_is_inside() -> None:
    assert ExperimentFile.from_json(through_json(WHOLE.to_json())) == WHOLE
    file = RunFile(RUN, "digits", Command(("true", "1")), "/", "python", env={"A": "b"})
    assert RunFile.from_json(through_json(file.to_json())) == file


def test_what_a_file_of_an_older_version_lacks_has_its_default() -> None:
    old = {
        "name": "x",
        "work": {"command": {"argv": ["true"]}},
        "created": 0.0,
        "cwd": "/",
        "python": "python",
    }
    file = ExperimentFile.from_json(old)
    assert (file.policy, file.resources, file.launcher) == (Policy(), Resources(), None)
    rented = ExperimentFile.from_json(
        {**old, "launcher": {"name": "ec2", "kind": "ec2", "bucket": "s3://b"}}
    ).launcher
    assert rented is not None
    assert not rented.shares_machine


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"work": {}}, "'work' names neither a command nor a function"),
        ({"work": {"command": 3}}, "3 stands where an object should"),
        ({"policy": {"retries": "many"}}, "'retries' is 'many', not a whole number"),
        ({"policy": {"start": "hot"}}, "'start' is 'hot', which is none of auto, cold, warm"),
        ({"run": {"id": "a"}}, "is missing"),
        ({"env": {"A": 1}}, "'env' holds 1, not texts alone"),
        ({"container": []}, "'container' is a list"),
    ],
)
def test_damage_inside_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Damaged, match=words):
        RunFile.from_json(run_file(**changes))


def test_a_newer_format_inside_is_refused_as_that_of_the_whole_is() -> None:
    with pytest.raises(NewerFormat):
        RunFile.from_json(run_file(policy={"format": 99}))


def test_a_value_that_equals_the_one_before_and_is_of_another_type_is_still_refused() -> None:
    assert RunFile.from_json(run_file(policy={"retries": 1})).policy.retries == 1
    with pytest.raises(Damaged, match="'retries' is True"):
        RunFile.from_json(run_file(policy={"retries": True}))


def test_a_slot_that_describes_none_is_damage_once_it_is_asked_for() -> None:
    attempt = Attempt.from_json(
        through_json(Attempt(1, 2, 3, "b", "h", 0.0).to_json()) | {"slot": {"cores": 3}}
    )
    with pytest.raises(Damaged, match="'slot' does not describe one"):
        _ = attempt.occupied
