"""Which run a process logs to: its own, one bound by hand, or none; and what threads and forks may
do.
"""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import cloudpickle
import pytest

from runslot.experiment.files import write_json
from runslot.experiment.records import Command, LoggerSettings, Policy, Run, RunFile
from runslot.experiment.rundir import RunDir


def make_run(
    directory: Path, settings: LoggerSettings | None = None, *, resumable: bool = False
) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    run = Run(id="abc", name="lr=0.1", variant={"lr": 0.1}, directory="lr=0.1/run_0")
    work = RunFile(
        run=run,
        experiment="test",
        work=Command(("true",)),
        cwd="/",
        python=sys.executable,
        policy=Policy(resumable=resumable),
        logger=settings or LoggerSettings(),
    )
    write_json(RunDir(directory).run_file, work.to_json())
    return directory


@pytest.fixture
def in_run(logger, monkeypatch, tmp_path) -> Iterator[Path]:
    """This process belongs to a run."""
    directory = make_run(
        tmp_path / "of_process", LoggerSettings(snapshot_mode="gap", snapshot_gap=3, style="rlpyt")
    )
    monkeypatch.setenv("RUNSLOT_RUN", str(directory))
    yield directory
    logger.reset()


def in_fork(work: Callable[[], None]) -> int:
    """Run `work` in a forked child and return its exit status."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def epochs(path: Path) -> list[str]:
    return [line.split(",")[0] for line in path.read_text().splitlines()[1:]]


def dump(logger, epoch: int) -> None:
    logger.record_tabular("epoch", epoch)
    logger.dump_tabular()


def test_outside_a_run_things_are_printed_and_no_file_is_written(
    logger, tmp_path, capsys, monkeypatch
):
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    logger.log("hello")
    dump(logger, 1)
    logger.save_itr_params(0, {})
    out = capsys.readouterr().out
    assert "hello" in out
    assert "epoch  1" in out
    assert list(empty.iterdir()) == []


def test_the_processs_run_is_followed_with_its_settings(logger, in_run):
    logger.push_prefix("early ")
    dump(logger, 1)
    logger.log("text")
    logger.save_itr_params(2, "params")
    assert epochs(in_run / "progress.csv") == ["1"]
    assert "early text" in (in_run / "debug.log").read_text()
    assert (logger.get_snapshot_dir(), logger.get_snapshot_mode(), logger.get_snapshot_gap()) == (
        str(in_run),
        "gap",
        3,
    )
    assert (in_run / "itr_2.pkl").exists()


def test_a_function_that_logs_nothing_leaves_no_file(logger, in_run):
    logger.get_snapshot_dir()
    assert [path.name for path in in_run.iterdir()] == ["run.json"]


def test_a_row_begun_before_the_run_was_known_is_kept(logger, tmp_path, monkeypatch):
    logger.record_tabular("epoch", 1)
    monkeypatch.setenv("RUNSLOT_RUN", str(make_run(tmp_path / "late")))
    logger.dump_tabular()
    assert epochs(tmp_path / "late" / "progress.csv") == ["1"]


def test_a_broken_run_directory_does_not_end_the_training(logger, tmp_path, monkeypatch, capsys):
    (tmp_path / "run.json").write_text("{")
    monkeypatch.setenv("RUNSLOT_RUN", str(tmp_path))
    dump(logger, 1)
    captured = capsys.readouterr()
    assert "epoch  1" in captured.out
    assert "run.json is not JSON" in captured.err
    assert not (tmp_path / "progress.csv").exists()


def test_a_next_attempt_of_a_resumable_run_continues_its_rows(logger, tmp_path, monkeypatch):
    directory = make_run(tmp_path / "resumed", resumable=True)
    (directory / "progress.csv").write_text("epoch,loss\n0,0.5\n1,0.2")
    monkeypatch.setenv("RUNSLOT_RUN", str(directory))
    monkeypatch.setenv("RUNSLOT_ATTEMPT", "2")
    dump(logger, 1)
    assert (directory / "progress.csv").read_text() == "epoch,loss\n0,0.5\n1,nan\n"


def test_binding_by_hand_and_reset(logger, in_run, tmp_path):
    logger.bind_run(tmp_path / "here")
    dump(logger, 1)
    logger.reset()
    dump(logger, 2)
    assert epochs(tmp_path / "here" / "progress.csv") == ["1"]
    assert epochs(in_run / "progress.csv") == ["2"]


def test_reset_forgets_the_row_and_the_prefixes(logger, capsys):
    logger.record_tabular("old", 1)
    logger.push_prefix("old ")
    logger.disable()
    logger.reset()
    logger.log("new", with_timestamp=False)
    logger.dump_tabular()
    assert capsys.readouterr().out == "new\n"


def test_functions_that_use_the_logger_travel(logger):
    record = logger.record_dict
    for pickler in (pickle, cloudpickle):
        assert pickle.loads(pickler.dumps(record)) == record
    assert pickle.loads(cloudpickle.dumps(lambda: logger)) is not None
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(logger.Logger())


def test_threads_lose_no_row_and_tear_no_line(logger, run_dir, rows):
    logger.configure(console="silent")

    def work(number: int) -> None:
        with logger.tabular_prefix(f"{number}/"), logger.prefix(f"[{number}] "):
            for step in range(200):
                logger.record_tabular("step", step)
                logger.dump_tabular()
                logger.log("line", with_timestamp=False)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    read = rows(run_dir / "progress.csv")
    for number in range(4):
        steps = [row[f"{number}/step"] for row in read if row[f"{number}/step"] != "nan"]
        assert steps == [str(step) for step in range(200)]
        text = (run_dir / "debug.log").read_text()
        assert text.count(f"\n[{number}] line\n") + text.startswith(f"[{number}] line\n") == 200


def test_a_new_thread_begins_with_the_runs_prefix_only(logger, run_dir):
    logger.bind_run(run_dir, LoggerSettings(prefix="[run] "))
    logger.push_prefix("main ")
    thread = threading.Thread(target=logger.log, args=("worker",), kwargs={"with_timestamp": False})
    thread.start()
    thread.join()
    logger.log("here", with_timestamp=False)
    assert (run_dir / "debug.log").read_text() == "[run] worker\n[run] main here\n"


def test_a_forked_child_shares_the_words_and_keeps_its_rows_out(logger, run_dir):
    dump(logger, 0)
    logger.record_tabular("begun", 1)

    def work() -> None:
        logger.log("from the child", with_timestamp=False)
        assert logger.get_table_key_set() == set()
        logger.record_dict({"epoch": 100, "new column": 1})
        logger.dump_tabular()

    assert in_fork(work) == 0
    logger.record_tabular("epoch", 1)
    logger.dump_tabular()
    assert (run_dir / "progress.csv").read_text() == "epoch,begun\n0,nan\n1,1\n"
    assert "\nfrom the child\n" in (run_dir / "debug.log").read_text()


def test_a_forked_child_may_be_the_one_that_trains(logger, in_run):
    logger.log("the parent says a word first")

    def work() -> None:
        dump(logger, 0)
        dump(logger, 1)

    assert in_fork(work) == 0
    dump(logger, 2)
    assert epochs(in_run / "progress.csv") == ["0", "1", "2"]


def test_a_fork_while_another_thread_logs_does_not_hang(tmp_path):
    """In a process of its own: a child that is forked under coverage may wait for ever for a lock
    of coverage's.
    """
    script = """
import os, threading
from runslot import logger

logger.configure(console="silent")
stop = threading.Event()

def busy():
    while not stop.is_set():
        logger.record_tabular("x", 1)
        logger.dump_tabular()

thread = threading.Thread(target=busy)
thread.start()
for _ in range(20):
    pid = os.fork()
    if not pid:
        logger.log("child")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
stop.set()
thread.join()
"""
    environment = {**os.environ, "RUNSLOT_RUN": str(make_run(tmp_path / "run"))}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=100)
    assert (tmp_path / "run" / "debug.log").read_text().count("child") == 20


def test_what_could_not_be_written_is_there_when_the_process_ends(tmp_path):
    directory = make_run(tmp_path / "run")
    (directory / "progress.csv").mkdir()
    script = "from runslot import logger; logger.record_tabular('a', 1); logger.dump_tabular()"
    environment = {**os.environ, "RUNSLOT_RUN": str(directory)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, check=True
    )
    assert done.stderr.count(b"this is said once") == 1
    problems = json.loads((directory / "logger_problems.json").read_text())["problems"]
    assert problems[0].startswith("progress.csv: failed")
    assert problems[0].endswith("1 lost")


def test_importing_the_logger_loads_no_third_party_module():
    script = (
        "import sys; before = set(sys.modules); import runslot.logger; new = set(sys.modules) -"
        " before; from sysconfig import get_paths; site = get_paths()['purelib']; print([name for"
        " name in new if str(getattr(sys.modules[name], '__file__', '')).startswith(site)])"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, check=True, text=True
        ).stdout
        == "[]\n"
    )
