"""Metrics of scripts that know nothing of runslot: what they print, W&B's file, a Trainer's state,
a file by its name.

W&B's format is written here by its description; `tests/adopters` reads what the real library wrote.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from runslot.experiment.records import LoggerSettings
from runslot.experiment.rundir import RunDir
from runslot.results import load
from runslot.results.read.steps import step_column

WriteRun = Callable[..., Path]
BLOCK = 1 << 15


def metrics_of(path: Path) -> dict[str, list[float | None]]:
    results = load(path, cache=False)
    assert not results.problems
    return {name: results.progress[name].to_list() for name in results.metrics}


def say(run: Path, metrics: str) -> None:
    """Have the run say where its metrics are, as `--metrics` does."""
    file = RunDir(run).run_file
    value = json.loads(file.read_text())
    file.write_text(json.dumps({**value, "logger": LoggerSettings(metrics=metrics).to_json()}))


# ---- W&B's format --------------------------------------------------------------------------------


def varint(number: int) -> bytes:
    out = b""
    while number > 0x7F:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def history(step: int, values: Mapping[str, object]) -> bytes:
    items = b"".join(
        field(1, field(1, name.encode()) + field(16, json.dumps(value).encode()))
        for name, value in values.items()
    )
    return (
        varint(1 << 3)
        + varint(step + 1)
        + field(2, items + field(2, varint(1 << 3) + varint(step)))
    )


def wandb_file(records: list[bytes]) -> bytes:
    data = b":W&B\xe1\xbe\x00"
    for record in records:
        rest, first = record, True
        while rest or first:
            left = BLOCK - len(data) % BLOCK
            if left < 7:
                data += b"\0" * left
                left = BLOCK
            part, rest = rest[: left - 7], rest[left - 7 :]
            kind = (1 if not rest else 2) if first else (4 if not rest else 3)
            data += struct.pack("<IHB", 0, len(part), kind) + part
            first = False
    return data


def test_wandbs_own_file_is_read_across_blocks_and_up_to_what_is_whole(write_run: WriteRun) -> None:
    run = write_run({"lr": 0.1}, rows=None)
    records = [
        history(
            step, {"loss": 1 / (step + 1), "deep": {"acc": step}, "_runtime": 3, "text": "x" * 900}
        )
        for step in range(100)
    ]
    data = wandb_file([field(6, b"\x08\x01"), *records])
    assert len(data) > 2 * BLOCK
    place = run / "wandb" / "offline-run-20261126_171819-abc" / "run-abc.wandb"
    place.parent.mkdir(parents=True)
    place.write_bytes(data)
    (run / "console.log").write_text("loss: 99.0\n")
    read = metrics_of(run)
    assert read["loss"] == [1 / (step + 1) for step in range(100)]
    assert read["deep/acc"] == read["step"] == list(range(100))
    assert set(read) == {"loss", "deep/acc", "step"}
    place.write_bytes(data[:-50])  # it is being written
    assert len(metrics_of(run)["loss"]) == 99


def test_a_broken_file_of_wandbs_is_named(write_run: WriteRun) -> None:
    run = write_run({"lr": 0.1}, rows=None)
    (run / "wandb" / "run-1").mkdir(parents=True)
    (run / "wandb" / "run-1" / "run-1.wandb").write_bytes(b"something else")
    (problem,) = load(run, cache=False).problems
    assert "is no file of W&B's" in str(problem)


# ---- the others ----------------------------------------------------------------------------------


def test_a_trainers_state_of_the_last_checkpoint(write_run: WriteRun) -> None:
    run = write_run({"lr": 0.1}, rows=None)
    for steps in (5, 10):
        checkpoint = run / "out" / f"checkpoint-{steps}"
        checkpoint.mkdir(parents=True)
        log = [
            {"step": step, "epoch": step / 5, "loss": 1 / step} for step in range(5, steps + 1, 5)
        ]
        log += [{"step": steps, "eval_loss": 0.25, "note": "x"}]
        (checkpoint / "trainer_state.json").write_text(json.dumps({"log_history": log}))
    assert metrics_of(run) == {
        "step": [5, 10],
        "epoch": [1, 2],
        "loss": [0.2, 0.1],
        "eval_loss": [None, 0.25],
    }


def test_what_a_run_prints_is_read_where_it_logs_in_no_better_way(write_run: WriteRun) -> None:
    printed, logged = write_run({"lr": 0.1}, rows=None), write_run({"lr": 0.2})
    for run in (printed, logged):
        (run / "console.log").write_text("epoch 0 loss 0.5\nepoch 1 loss 0.25\n")
    assert metrics_of(printed) == {"epoch": [0, 1], "loss": [0.5, 0.25]}
    assert metrics_of(logged) == {"epoch": [0], "accuracy": [0.5]}
    say(printed, "none")
    assert metrics_of(printed) == {}


def test_a_file_or_a_pattern_that_is_named_goes_first(write_run: WriteRun) -> None:
    run = write_run({"lr": 0.1}, rows=None)
    (run / "console.log").write_text("epoch 0 loss 0.5\nscore is 7\n")
    (run / "out").mkdir()
    (run / "out" / "log.txt").write_text("it,value\n0,1.5\n1,2.5\n")
    say(run, "out/*.txt")
    assert metrics_of(run) == {"it": [0, 1], "value": [1.5, 2.5]}
    say(run, r"score is (?P<score>\d+)")
    assert metrics_of(run) == {"score": [7]}


def test_a_file_that_lies_outside_of_the_run_is_not_read(
    write_run: WriteRun, tmp_path: Path
) -> None:
    run = write_run({"lr": 0.1}, rows=None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "log.csv").write_text("secret\n1\n")
    (run / "out").symlink_to(elsewhere)
    say(run, "out/log.csv")
    assert metrics_of(run) == {}


@pytest.mark.parametrize("growing", [True, False])
def test_a_console_that_grows_is_followed(growing: bool, write_run: WriteRun) -> None:
    from runslot.results.read.reader import Reader

    run = write_run({"lr": 0.1}, rows=None)
    (run / "console.log").write_text("epoch 0 loss 0.5\n")
    reader = Reader(run, cache=False)
    assert reader.read().progress["loss"].to_list() == [0.5]
    if growing:
        with (run / "console.log").open("a") as file:
            file.write("epoch 1 loss 0.25\n")
        assert reader.read().progress["loss"].to_list() == [0.5, 0.25]
    else:  # its logger opened its own file meanwhile
        (run / "progress.csv").write_text("loss\n0.125\n")
        assert reader.read().progress["loss"].to_list() == [0.125]


def test_episodes_are_x_only_where_nothing_else_counts() -> None:
    assert step_column(["Episode", "return"]) == "Episode"
    assert step_column(["episode", "return", "global_step"]) == "global_step"
