"""Snapshots and extra data: by whose rule, in which format, and never half-written."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from types import ModuleType

import cloudpickle
import joblib
import pytest

from runslot.errors import InvalidInput, NotFound
from runslot.experiment.records import LoggerSettings
from runslot.logger import Logger


def launchkit_files(mode: str, gap: int, itr: int) -> set[str]:
    """What launchkit's and RLKit's `save_itr_params` write."""
    due = {f"itr_{itr}.pkl"} if itr % gap == 0 else set()
    rules = {
        "all": {f"itr_{itr}.pkl"},
        "last": {"params.pkl"},
        "gap": due,
        "gap_and_last": due | {"params.pkl"},
        "none": set(),
    }
    return rules[mode]


def rlpyt_files(mode: str, gap: int, itr: int) -> set[str]:
    """What rlpyt's writes."""
    due = {f"itr_{itr}.pkl"} if itr == 0 or (itr + 1) % gap == 0 else set()
    rules = {
        "all": {f"itr_{itr}.pkl"},
        "last": {"params.pkl"},
        "gap": due,
        "last+gap": due | {"params.pkl"},
        "none": set(),
    }
    return rules[mode]


@pytest.mark.parametrize(
    ("style", "mode", "expected"),
    [
        ("launchkit", mode, launchkit_files)
        for mode in ("all", "last", "gap", "gap_and_last", "none")
    ]
    + [("rlpyt", mode, rlpyt_files) for mode in ("all", "last", "gap", "last+gap", "none")],
)
@pytest.mark.parametrize("gap", [1, 3])
def test_the_files_are_those_of_the_front_doors_ancestor(tmp_path, style, mode, expected, gap):
    log, directory = Logger(), tmp_path / "run"
    log.bind_run(directory, LoggerSettings(snapshot_mode=mode, snapshot_gap=gap, style=style))
    files: set[str] = set()
    for itr in range(8):
        log.save_itr_params(itr, {"itr": itr})
        files |= expected(mode, gap, itr)
        assert {path.name for path in directory.iterdir()} == files
    for name in files:
        itr = 7 if name == "params.pkl" else int(name[4:-4])
        assert pickle.loads((directory / name).read_bytes()) == {"itr": itr}


def test_a_snapshot_outside_a_run_is_nothing(logger):
    logger.save_itr_params(0, {})
    assert logger.get_snapshot_dir() is None
    assert logger.load_itr_params() is None


def test_the_settings_can_be_read_and_changed(logger, tmp_path):
    logger.set_snapshot_dir(tmp_path / "new" / "dir")
    logger.set_snapshot_mode("gap")
    logger.set_snapshot_gap(4)
    assert (logger.get_snapshot_dir(), logger.get_snapshot_mode(), logger.get_snapshot_gap()) == (
        str(tmp_path / "new" / "dir"),
        "gap",
        4,
    )
    logger.save_itr_params(4, 1)
    assert logger.load_itr_params(4) == 1
    assert (tmp_path / "new" / "dir" / "itr_4.pkl").exists()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda log: log.set_snapshot_mode("lats"), "did you mean 'last'"),
        (lambda log: log.set_snapshot_gap(0), "1 or more; got 0"),
        (lambda log: log.set_snapshot_gap(1.5), "got 1.5"),
        (lambda log: log.configure(keep_lst=1), "did you mean 'keep_last'"),
        (lambda log: log.configure(on_error="rise"), "did you mean 'raise'"),
        (lambda log: log.save_extra_data(1, mode="pickel"), "did you mean 'pickle'"),
        (lambda log: log.log("x", color="geen"), "did you mean 'green'"),
        (lambda log: log.add_sink("tensorbord"), "did you mean 'tensorboard'"),
    ],
)
def test_bad_input_is_refused_with_what_to_write_instead(logger, run_dir, call, words):
    with pytest.raises(InvalidInput, match=words):
        call(logger)


def test_keep_last_removes_older_numbered_snapshots_and_no_other_file(logger, run_dir):
    logger.set_snapshot_mode("gap_and_last")
    logger.configure(keep_last=2)
    (run_dir / "itr_x.pkl").touch()
    for itr in range(12):
        logger.save_itr_params(itr, itr)
    assert {path.name for path in run_dir.glob("*.pkl")} == {
        "itr_10.pkl",
        "itr_11.pkl",
        "params.pkl",
        "itr_x.pkl",
    }


def test_loading_takes_the_last_and_names_what_there_is(logger, run_dir):
    assert logger.load_itr_params() is None
    logger.set_snapshot_mode("all")
    for itr in (9, 10):
        logger.save_itr_params(itr, itr)
    assert logger.load_itr_params() == 10
    logger.set_snapshot_mode("last")
    logger.save_itr_params(11, 11)
    assert logger.load_itr_params() == 11
    assert logger.load_itr_params(9) == 9
    with pytest.raises(NotFound, match=r"kept iterations: 9, 10"):
        logger.load_itr_params(8)


def test_what_a_killed_process_was_writing_is_removed(logger, run_dir):
    gone = subprocess.run(
        ["sh", "-c", "echo $$"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (run_dir / f".params.pkl.{gone}~").touch()
    (run_dir / f".params.pkl.{os.getppid()}~").touch()
    logger.save_itr_params(0, 0)
    assert {path.name for path in run_dir.iterdir()} == {
        "params.pkl",
        f".params.pkl.{os.getppid()}~",
    }


def test_a_snapshot_in_the_background_has_the_values_of_the_call(logger, run_dir):
    logger.configure(async_snapshots=True)
    params = {"weights": [1.0] * 1000}
    for itr in range(5):
        params["weights"][0] = itr
        logger.save_itr_params(itr, params)
        params["weights"][0] = -1
    logger.close()
    assert pickle.loads((run_dir / "params.pkl").read_bytes())["weights"][0] == 4
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("runslot")]


def test_an_error_in_the_background_surfaces_at_the_next_call(logger, run_dir):
    logger.configure(async_snapshots=True, on_error="raise")
    (run_dir / "params.pkl").mkdir()
    logger.save_itr_params(0, 0)
    with pytest.raises(OSError, match="params"):
        logger.save_itr_params(1, 1)
    logger.close()
    assert "snapshot: failed" in logger.get_problems()[0]


def test_a_failed_snapshot_leaves_the_one_before_and_the_training_goes_on(logger, run_dir, capsys):
    logger.save_itr_params(0, "good")
    for itr in (1, 2):
        logger.save_itr_params(itr, threading.Lock())
    assert logger.load_itr_params() == "good"
    assert [path.name for path in run_dir.iterdir() if path.name.startswith(".")] == []
    assert capsys.readouterr().err.count("runslot.logger: snapshot") == 1
    assert logger.get_problems()[0].startswith("snapshot: failed 2 times")


@pytest.mark.parametrize(
    ("mode", "name", "load"),
    [
        ("joblib", "d.pkl", joblib.load),
        ("pickle", "d.pkl", lambda path: pickle.loads(path.read_bytes())),
        ("cloudpickle", "d.pkl.cpkl", lambda path: cloudpickle.loads(path.read_bytes())),
        ("json", "d.pkl", lambda path: json.loads(path.read_text())),
    ],
)
def test_extra_data_in_each_format(logger, run_dir, mode, name, load):
    data = {"a": [1, 2.5], "b": None}
    path = logger.save_extra_data(data, "d.pkl", mode)
    assert path == str(run_dir / name)
    assert load(Path(path)) == data


def test_the_default_format_works_without_joblib(logger, run_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "joblib", None)
    path = logger.save_extra_data({"a": 1})
    monkeypatch.undo()
    assert joblib.load(path) == {"a": 1}


def test_json_takes_classes_and_functions(logger, run_dir):
    path = logger.save_extra_data({"algorithm": Path, "f": os.getcwd}, "extra.json", "json")
    assert json.loads(Path(path).read_text()) == {
        "algorithm": {"$class": f"{Path.__module__}.Path"},
        "f": {"$function": "posix.getcwd"},
    }


NAMES = [
    "../x.pkl",
    "/etc/x.pkl",
    "a/../../x.pkl",
    "",
    ".",
    "link/x.pkl",
    "run.json",
    "progress.csv",
]


@pytest.mark.parametrize("name", NAMES)
def test_extra_data_cannot_leave_the_run_directory_nor_replace_its_files(logger, run_dir, name):
    (run_dir / "link").symlink_to(run_dir.parent)
    before = sorted(run_dir.parent.rglob("*"))
    with pytest.raises(InvalidInput, match="save_extra_data"):
        logger.save_extra_data(1, name, "pickle")
    assert sorted(run_dir.parent.rglob("*")) == before


def test_extra_data_may_lie_in_a_directory_of_its_own(logger, run_dir):
    assert logger.save_extra_data(1, "plots/x.json", "json") == str(run_dir / "plots" / "x.json")


def test_extra_data_outside_a_run_is_told_not_raised(logger, capsys):
    assert logger.save_extra_data(1, mode="pickle") is None
    assert "nothing is written" in capsys.readouterr().err


def test_a_class_that_no_module_has_travels_by_value(logger, run_dir):
    class Model:
        weight = 3

    logger.save_itr_params(0, {"model": Model})
    assert logger.load_itr_params()["model"].weight == 3


@pytest.fixture
def fake_torch(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """As much of torch as decides the format; the real one is used in `test_torch.py`."""
    torch = ModuleType("torch")

    class Tensor:
        pass

    torch.Tensor = Tensor
    torch.nn = ModuleType("torch.nn")
    torch.nn.Module = type("Module", (), {})
    torch.optim = ModuleType("torch.optim")
    torch.optim.Optimizer = type("Optimizer", (), {})
    torch.save = lambda value, file: file.write(b"PK\x03\x04 by torch")
    monkeypatch.setitem(sys.modules, "torch", torch)
    return torch


def test_torch_writes_what_holds_its_tensors_and_pickle_the_rest(logger, run_dir, fake_torch):
    for params, by_torch in (
        ({"a": [1, (fake_torch.Tensor(),)]}, True),
        (fake_torch.nn.Module(), True),
        ({"lr": 0.1}, False),
    ):
        logger.save_itr_params(0, params)
        assert (run_dir / "params.pkl").read_bytes().endswith(b"by torch") == by_torch
