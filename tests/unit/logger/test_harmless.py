"""Full disks and vanished directories: said once, counted, tried again, never raised unless
asked.
"""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from runslot.errors import Busy
from runslot.logger.problems import Problems


@contextmanager
def _limited(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def disk_of() -> Callable[[int], AbstractContextManager[None]]:
    """No file can grow beyond so many bytes: a write is cut short and the next one fails, as on a
    full disk.
    """
    return _limited


def dump(logger, epoch):
    logger.record_dict({"epoch": epoch, "text": "x" * 50})
    logger.dump_tabular()


def test_rows_that_a_full_disk_refused_are_written_when_there_is_room(
    logger, run_dir, rows, disk_of, capsys
):
    logger.configure(console="silent")
    logger.remove_text_output(run_dir / "debug.log")
    dump(logger, 0)
    with disk_of((run_dir / "progress.csv").stat().st_size + 20):
        for epoch in (1, 2, 3):
            dump(logger, epoch)
        assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == [
            "0"
        ]  # nothing torn is left
    dump(logger, 4)
    assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == ["0", "1", "2", "3", "4"]
    assert capsys.readouterr().err.count("\n") == 1
    logger.close()
    (problem,) = json.loads((run_dir / "logger_problems.json").read_text())["problems"]
    assert problem.startswith("progress.csv: failed 3 times")
    assert problem.endswith("written since")


def test_what_waits_is_tried_once_more_at_the_end(logger, run_dir, rows, disk_of):
    with disk_of(10):
        dump(logger, 0)
    logger.close()
    assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == ["0"]


def test_rows_that_were_never_written_are_counted(logger, run_dir, disk_of):
    with disk_of(10):
        dump(logger, 0)
        dump(logger, 1)
        logger.close()
    assert any("2 lost" in text for text in logger.get_problems())


def test_a_new_column_on_a_full_disk_leaves_the_file_as_it_was(logger, run_dir, rows, disk_of):
    for epoch in range(5):
        dump(logger, epoch)
    before = (run_dir / "progress.csv").read_bytes()
    with disk_of(len(before)):
        logger.record_dict({"epoch": 5, "new": 1})
        logger.dump_tabular()
        assert (run_dir / "progress.csv").read_bytes() == before
    logger.close()
    assert [row["new"] for row in rows(run_dir / "progress.csv")] == ["nan"] * 5 + ["1"]


def test_a_directory_that_vanishes_and_returns(logger, run_dir, rows):
    dump(logger, 0)
    shutil.rmtree(run_dir)
    dump(logger, 1)
    logger.save_itr_params(1, {})
    logger.save_extra_data(1, "x.pkl", "pickle")
    logger.log("still here")
    assert not (run_dir / "progress.csv").exists()
    run_dir.mkdir(exist_ok=True)
    dump(logger, 2)
    assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == ["1", "2"]
    assert len(logger.get_problems()) >= 2


def test_a_removed_file_is_begun_again(logger, run_dir, rows):
    dump(logger, 0)
    (run_dir / "progress.csv").unlink()
    logger.record_dict({"other": 1})
    logger.dump_tabular()
    assert rows(run_dir / "progress.csv") == [{"other": "1"}]


def test_on_error_raise_is_for_those_who_want_it(logger, run_dir, rows, disk_of):
    logger.configure(on_error="raise")
    with disk_of(10), pytest.raises(OSError, match="too large"):
        dump(logger, 0)
    with disk_of(10), pytest.raises(OSError, match="too large"):
        logger.save_itr_params(0, {"a": "x" * 100})
    dump(logger, 1)
    assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == ["0", "1"]


def test_a_problem_stands_beside_those_of_another_process(logger, run_dir, disk_of):
    (run_dir / "logger_problems.json").write_text('{"problems": ["theirs"]}')
    with disk_of(5):
        logger.log("a line that is too long")
    logger.close()
    first, second = json.loads((run_dir / "logger_problems.json").read_text())["problems"]
    assert first == "theirs"
    assert second.startswith("debug.log: failed once")


def test_a_second_writer_keeps_its_rows_out_of_the_file(logger, run_dir, rows, capsys):
    dump(logger, 0)
    second = logger.Logger()
    second.bind_run(run_dir)
    dump(second, 100)
    dump(second, 101)
    assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == ["0"]
    assert capsys.readouterr().err.count("another process of the run writes progress.csv") == 1
    second.configure(on_error="raise")
    with pytest.raises(Busy):
        dump(second, 102)
    logger.close()
    dump(second, 103)
    assert [row["epoch"] for row in rows(run_dir / "progress.csv")] == ["0", "103"]
    second.close()


def test_a_device_is_written_to_like_a_file_and_never_replaced(logger, run_dir):
    logger.add_tabular_output("/dev/null")
    dump(logger, 0)
    logger.record_dict({"new": 1})
    logger.dump_tabular()
    assert not Path("/dev/null").is_file()
    assert logger.get_problems() == []


def test_problems_that_threads_meet_at_the_same_moment_are_all_noted(tmp_path: Path) -> None:
    problems = Problems()
    problems.report_to(tmp_path)
    things = [f"sink {number}" for number in range(40)]

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda thing: problems.met(thing, "away"), things))

    noted = json.loads((tmp_path / "logger_problems.json").read_text())["problems"]
    assert sorted(noted) == sorted(f"{thing}: failed once (away)" for thing in things)
