"""Sinks: rows reach them, and one that fails or blocks never touches the run."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import types
from collections.abc import Iterator

import pytest

from runslot.errors import InvalidInput, NotInstalled
from runslot.logger import sinks


class Kept:
    """A sink that keeps what it gets."""

    def __init__(self) -> None:
        self.rows: list[tuple[dict, int]] = []
        self.closed = False

    def write(self, row, iteration):
        self.rows.append((row, iteration))

    def close(self):
        self.closed = True


def dump(logger, **row):
    logger.record_dict(row)
    logger.dump_tabular()


def test_a_sink_gets_numbers_and_the_iteration_and_is_closed(logger, run_dir):
    sink = Kept()
    logger.add_sink(sink)
    dump(logger, loss=0.5, name="x")
    logger.set_iteration(10)
    dump(logger, loss=0.25)
    logger.close()
    assert sink.rows == [({"loss": 0.5, "name": "x"}, 0), ({"loss": 0.25}, 10)]
    assert sink.closed


def test_rows_are_counted_on_in_a_resumed_run(logger, run_dir):
    (run_dir / "progress.csv").write_text("loss\n1\n2\n")
    sink = Kept()
    logger.add_sink(sink)
    dump(logger, loss=3)
    logger.close()
    assert sink.rows == [({"loss": 3}, 2)]


def test_json_lines(logger, run_dir):
    logger.add_sink("jsonl")
    logger.add_sink("jsonl")
    dump(logger, loss=0.5, bad=float("nan"), worse=float("inf"), name="x")
    logger.close()
    (line,) = (run_dir / "progress.jsonl").read_text().splitlines()
    value = json.loads(line, parse_constant=lambda text: pytest.fail(f"{text} is no JSON"))
    assert value["iteration"] == 0
    assert value["row"] == {"loss": 0.5, "bad": "nan", "worse": "inf", "name": "x"}
    assert value["time"] > 1.7e9


def test_sinks_asked_for_by_the_environment(logger, run_dir, monkeypatch, capsys):
    monkeypatch.setenv("RUNSLOT_SINKS", "jsonl, tensorbord")
    logger.bind_run(run_dir)
    dump(logger, loss=1)
    logger.close()
    assert (run_dir / "progress.jsonl").exists()
    assert "did you mean 'tensorboard'" in capsys.readouterr().err
    assert any("tensorbord" in text for text in logger.get_problems())


def test_a_failing_sink_is_detached_and_told_once(logger, run_dir, rows, capsys):
    class Failing(Kept):
        def write(self, row, iteration):
            raise RuntimeError("no network")

    failing, kept = Failing(), Kept()
    logger.add_sink(failing)
    logger.add_sink(kept)
    for epoch in range(3):
        dump(logger, epoch=epoch)
    logger.close()
    assert len(rows(run_dir / "progress.csv")) == 3
    assert len(kept.rows) == 3
    assert capsys.readouterr().err.count("no network") == 1
    assert logger.get_problems() == ["sink Failing: failed once (no network)"]


def test_a_library_that_exits_is_detached(logger, run_dir):
    class Exiting(Kept):
        def write(self, row, iteration):
            sys.exit("log in first")

    logger.add_sink(Exiting())
    dump(logger, epoch=0)
    logger.close()
    assert "log in first" in logger.get_problems()[0]


@pytest.fixture
def stuck() -> Iterator[type[Kept]]:
    """A sink that takes no row before the test ends."""
    end = threading.Event()

    class Stuck(Kept):
        busy = threading.Event()

        def write(self, row, iteration):
            self.busy.set()
            end.wait()

    yield Stuck
    end.set()


def test_a_sink_that_blocks_is_detached_and_rows_go_on(logger, run_dir, rows, monkeypatch, stuck):
    monkeypatch.setattr(sinks, "STUCK", 0.0)
    logger.add_sink(stuck())
    dump(logger, epoch=0)
    assert stuck.busy.wait(60)
    for epoch in range(1, 5):
        dump(logger, epoch=epoch)
    assert len(rows(run_dir / "progress.csv")) == 5
    assert "took no row" in logger.get_problems()[0]


def test_closing_gives_up_on_a_sink_that_blocks(logger, run_dir, monkeypatch, stuck):
    monkeypatch.setattr(sinks, "PATIENCE", 0.1)
    logger.add_sink(stuck())
    dump(logger, epoch=0)
    assert stuck.busy.wait(60)
    logger.close()
    assert "did not close" in logger.get_problems()[0]


def test_a_sink_may_take_longer_to_start_than_to_take_a_row(monkeypatch):
    monkeypatch.setattr(sinks, "STUCK", 0.0)
    monkeypatch.setattr(sinks, "PATIENCE", 0.0)
    kept, problems = Kept(), []
    is_asked_to_close = threading.Event()

    def make() -> Kept:
        assert is_asked_to_close.wait(60)
        monkeypatch.setattr(sinks, "PATIENCE", 60.0)
        return kept

    thread = sinks.SinkThread("slow", make, lambda *problem: problems.append(problem))
    for epoch in range(3):
        thread.put({"epoch": epoch}, epoch)
    threading.Timer(0.3, is_asked_to_close.set).start()
    thread.close()
    assert problems == []
    assert [iteration for _, iteration in kept.rows] == [0, 1, 2]
    assert kept.closed


def test_a_sink_that_never_starts_is_given_up(monkeypatch):
    monkeypatch.setattr(sinks, "STARTING", 0.1)
    monkeypatch.setattr(sinks, "PATIENCE", 0.1)
    problems: list[tuple] = []
    never = threading.Event()
    thread = sinks.SinkThread("slow", never.wait, lambda *problem: problems.append(problem))
    thread.put({"epoch": 0}, 0)
    thread.close()
    assert problems == [("slow", "did not close within 0.1 s; 1 rows are missing there")]
    never.set()


def test_a_summary_writer_gets_scalars_and_groups_statistics(logger, run_dir):
    calls = []
    writer = types.SimpleNamespace(add_scalar=lambda *call: calls.append(call))
    logger.set_tf_summary_writer(writer)
    assert logger.get_tf_summary_writer() is writer
    logger.set_iteration(7)
    logger.record_tabular_misc_stat("Return", [1.0, 3.0])
    logger.record_tabular("name", "text")
    logger.dump_tabular()
    logger.set_tf_summary_writer(None)
    dump(logger, loss=1)
    expected = {"Average": 2.0, "Std": 1.0, "Median": 2.0, "Min": 1.0, "Max": 3.0}
    assert calls == [(f"Return/{name}", value, 7) for name, value in expected.items()]


def test_a_named_sink_that_cannot_be_had_is_refused_at_once(logger, run_dir, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(NotInstalled, match=r"needs wandb: pip install .*\[wandb\]"):
        logger.add_sink("wandb")
    logger.reset()
    with pytest.raises(InvalidInput, match="setup_logger first"):
        logger.add_sink("jsonl")


def test_tensorboard_reads_the_event_files(logger, run_dir):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with logger.logger_context(run_dir, 0, "x", use_summary_writer=True):
        for step in range(3):
            logger.set_iteration(step * 10)
            logger.record_tabular_misc_stat("Return", [step, step + 1.0])
            logger.record_tabular("name", "text")
            logger.dump_tabular()
    events = accumulator.EventAccumulator(str(run_dir / "run_0"))
    events.Reload()
    assert "name" not in events.Tags()["scalars"]
    assert [(event.step, event.value) for event in events.Scalars("Return/Average")] == [
        (0, 0.5),
        (10, 1.5),
        (20, 2.5),
    ]


@pytest.mark.adopters
def test_weights_and_biases_offline(run_dir):
    pytest.importorskip("wandb")
    script = (
        "from runslot import logger; import sys; logger.bind_run(sys.argv[1]);"
        " logger.add_sink('wandb')\nfor i in range(3): logger.record_tabular('loss', i);"
        " logger.dump_tabular()\nlogger.close(); print('problems', logger.get_problems())"
    )
    environment = {
        "WANDB_MODE": "offline",
        "WANDB_SILENT": "true",
        "PATH": "/usr/bin:/bin",
        "HOME": str(run_dir),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, run_dir],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "problems []" in done.stdout
    assert list(run_dir.glob("wandb/offline-run-*/*.wandb"))
