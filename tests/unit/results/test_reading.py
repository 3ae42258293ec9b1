"""What `load` finds and reads: kinds of directories, states, broken and growing files."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pandas as pd
import polars as pl
import pytest

from runslot.errors import NotFound, extra_said
from runslot.experiment.attempts import keep_attempt
from runslot.experiment.processes import identify
from runslot.experiment.records import Attempt
from runslot.experiment.rundir import RunDir
from runslot.results import Reader, load
from runslot.results.accounts import account
from runslot.results.statistics import divergence, variance_shares
from runslot.results.text.difference import difference

WriteRun = Callable[..., Path]
WriteLog = Callable[..., Path]


def attempt_by(pid: int, number: int = 1, start_time: int | None = None) -> Attempt:
    me = identify(pid)
    return Attempt(
        number, pid, me.start_time if start_time is None else start_time, me.boot_id, me.host, 5.0
    )


def test_our_runs(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 0.1, "net": {"sizes": [32, 32], "act": {"$class": "torch.nn.ReLU"}}}, 3)
    results = load(tmp_path / "digits")
    row = results.runs.row(0, named=True)
    assert row["run"].endswith("/run_3")
    assert (row["lr"], row["net.sizes"], row["net.act"]) == (0.1, "[32, 32]", "torch.nn.ReLU")
    assert (row["seed"], row["state"], row["seconds"], row["host"], row["slot"]) == (
        3,
        "succeeded",
        12.5,
        "node",
        1,
    )
    assert (row["final/accuracy"], row["best/accuracy"], row["rows"]) == (0.5, 0.5, 1)
    assert row["started"].timestamp() == 1000.0
    assert results.parameters == ("lr", "net.sizes", "net.act")
    assert results.problems == ()


def test_a_variant_key_like_one_of_our_columns_keeps_both(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run({"host": "pong", "rows": 7})
    row = load(tmp_path).runs.row(0, named=True)
    assert (row["host"], row["variant.host"], row["rows"], row["variant.rows"]) == (
        "node",
        "pong",
        1,
        7,
    )


def test_progress_is_wide_in_the_order_of_runs(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 10, [{"a": 1, "b": 2}, {"a": 3, "b": 4}])
    write_run({"lr": 1}, 9, [{"a": 5}])
    write_run({"lr": 1}, 2, [])
    progress = load(tmp_path).progress
    assert progress.columns == ["run", "row", "a", "b"]
    assert [(Path(run).name, *rest) for run, *rest in progress.rows()] == [
        ("run_9", 0, 5.0, None),
        ("run_10", 0, 1.0, 2.0),
        ("run_10", 1, 3.0, 4.0),
    ]


def test_long_progress_leaves_gaps_out(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0, [{"a": 1, "b": "nan"}, {"a": 2, "b": 3}])
    assert load(tmp_path).long().select("row", "metric", "value").rows() == [
        (0, "a", 1.0),
        (1, "a", 2.0),
        (1, "b", 3.0),
    ]


@pytest.mark.parametrize("state", ["succeeded", "failed", "timed_out", "stopped", "lost"])
def test_state_is_the_outcome(tmp_path: Path, write_run: WriteRun, state: str) -> None:
    write_run({"lr": 1}, 0, state=state)
    assert load(tmp_path).runs["state"].to_list() == [state]


def test_state_without_an_outcome(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0, None, state="queued")
    write_run({"lr": 1}, 1, state="running", attempt=attempt_by(os.getpid()))
    write_run({"lr": 1}, 2, state="running", attempt=attempt_by(os.getpid(), start_time=1))
    assert load(tmp_path).runs["state"].to_list() == ["queued", "running", "lost"]


def test_a_resumed_attempt_is_running_although_the_outcome_of_the_one_before_is_there(
    tmp_path: Path, write_run: WriteRun
) -> None:
    write_run({"lr": 1}, 0, state="failed", attempt=attempt_by(os.getpid(), number=2))
    assert load(tmp_path).runs["state"].to_list() == ["running"]


def test_kept_attempts_links_and_records_are_no_runs(tmp_path: Path, write_run: WriteRun) -> None:
    run = write_run({"lr": 1}, 0)
    keep_attempt(RunDir(run))
    (run / "progress.csv").write_text("a\n1\n")
    (tmp_path / "digits" / "latest").symlink_to(run.parent)
    for place in ("code/old/run_0", ".runslot/x"):
        hidden = tmp_path / "digits" / place
        hidden.mkdir(parents=True)
        (hidden / "progress.csv").write_text("a\n1\n")
    assert load(tmp_path).runs.height == 1
    assert load([tmp_path, tmp_path / "digits", tmp_path / "digits" / "latest"]).runs.height == 1
    assert load(tmp_path / "digits" / "latest").runs.height == 1


def test_a_run_in_which_lightning_logged(tmp_path: Path, write_run: WriteRun) -> None:
    run = write_run({"lr": 1}, 0, None)
    version = run / "lightning_logs" / "version_0"
    version.mkdir(parents=True)
    (version / "metrics.csv").write_text("epoch,val_loss,train_loss\r\n0,,0.5\r\n0,0.4,\r\n")
    results = load(tmp_path)
    assert results.runs.select("kind", "final/val_loss", "final/train_loss").rows() == [
        ("runslot", 0.4, 0.5)
    ]


def test_launchkit_and_rlkit(tmp_path: Path, write_log: WriteLog) -> None:
    for seed in (5, 6):
        write_log(
            f"pre/pre_2026_01_01_00_00_00_000{seed}--s-{seed}",
            **{
                "progress.csv": "Epoch,Average Returns\n0,1.5\n",
                "variant.json": {"lr": 0.1, "seed": str(seed), "exp_id": seed, "exp_prefix": "pre"},
            },
        )
    results = load(tmp_path)
    assert results.runs["kind"].unique().to_list() == ["launchkit"]
    assert results.runs["seed"].to_list() == ["5", "6"]
    assert results.runs["experiment"].unique().to_list() == ["pre"]
    assert results.parameters == ("lr",)
    assert results.identity == ()


def test_rlpyt(tmp_path: Path, write_log: WriteLog) -> None:
    write_log("t/lr_1", **{"variant_config.json": {"algo": {"lr": 1}}})
    for run in (0, 1):
        files = {"progress.csv": "Return\n1\n", "params.json": {"name": "pong", "run_ID": run}}
        write_log(f"t/lr_1/run_{run}", **files)
    results = load(tmp_path)
    assert results.runs.select("kind", "algo.lr", "seed").rows() == [
        ("rlpyt", 1, 0),
        ("rlpyt", 1, 1),
    ]
    assert results.identity == ()


def test_stable_baselines3(tmp_path: Path, write_log: WriteLog) -> None:
    write_log("ppo_1", **{"progress.csv": "rollout/ep_rew_mean,time/iterations\n,1\n20.5,2\n"})
    write_log(
        "envs",
        **{
            "0.monitor.csv": (
                '#{"t_start": 1.5, "env_id": "CartPole-v1"}\nr,l,t\n10.0,10,0.5\n30.0,30,2.5\n'
            ),
            "1.monitor.csv": '#{"t_start": 1.5, "env_id": "CartPole-v1"}\nr,l,t\n20.0,20,1.5\n',
        },
    )
    results = load(tmp_path)
    assert results.runs.select("run", "kind", "seed").rows() == [
        ("envs", "stable-baselines3", None),
        ("ppo_1", "stable-baselines3", None),
    ]
    assert results.where(run="envs").progress["r"].to_list() == [10.0, 20.0, 30.0]
    assert results.runs["final/rollout/ep_rew_mean"].to_list() == [None, 20.5]


def test_lightning(tmp_path: Path, write_log: WriteLog) -> None:
    hparams = "lr: 1e-3\nsizes:\n- 32\nnet: !!python/tuple [1, 2]\nwith: {bias: true}\n"
    write_log(
        "logs/version_0", **{"hparams.yaml": hparams, "metrics.csv": "epoch,loss\r\n0,0.5\r\n"}
    )
    row = load(tmp_path).runs.row(0, named=True)
    assert (row["kind"], row["lr"], row["sizes"], row["with.bias"]) == (
        "lightning",
        0.001,
        "[32]",
        True,
    )


def test_tensorboard_files_without_tensorboard_are_named(
    tmp_path: Path, write_log: WriteLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ["tensorboard", *(each for each in sys.modules if each.startswith("tensorboard."))]:
        monkeypatch.setitem(sys.modules, name, None)
    write_log("tb", **{"events.out.tfevents.1.host": "x"})
    results = load(tmp_path)
    assert results.runs.select("kind", "rows").rows() == [("tensorboard", 0)]
    assert extra_said("tensorboard") in str(results.problems[0])


def test_tensorboard_scalars(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter
    from tensorboard.util.tensor_util import make_tensor_proto

    def write(step: int, **values: float) -> None:
        scalars = [Summary.Value(tag=tag, simple_value=value) for tag, value in values.items()]
        tensor = Summary.Value(tag="tensor", tensor=make_tensor_proto(step * 2.0))
        text = Summary.Value(tag="text", tensor=make_tensor_proto("words"))
        event = Event(
            step=step, wall_time=100.0 + step, summary=Summary(value=[*scalars, tensor, text])
        )
        writer.add_event(event)
        writer.flush()

    writer = EventFileWriter(str(tmp_path / "run"))
    write(0, loss=0.5)
    write(10, loss=0.25, acc=0.75)
    reader = Reader(tmp_path)
    first = reader.read()
    assert first.problems == ()
    assert first.progress.select("step", "seconds", "loss", "acc", "tensor").rows() == [
        (0.0, 0.0, 0.5, None, 0.0),
        (10.0, 10.0, 0.25, 0.75, 20.0),
    ]
    assert "text" not in first.progress.columns
    write(20, loss=0.125)
    writer.close()
    assert reader.read().progress["loss"].to_list() == [0.5, 0.25, 0.125]


def test_broken_files_are_named_and_the_rest_is_read(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0)
    broken = write_run({"lr": 1}, 1)
    (broken / "outcome.json").write_text("{")
    worse = write_run({"lr": 1}, 2)
    (worse / "run.json").write_text("nonsense")
    results = load(tmp_path)
    assert results.runs["state"].to_list() == ["succeeded", "lost", "succeeded"]
    assert results.runs["final/accuracy"].to_list() == [0.5] * 3
    assert [Path(problem.path) for problem in results.problems] == [broken, worse / "run.json"]


@pytest.mark.parametrize(
    ("text", "numbers", "complaint"),
    [
        ("a,b\n1,2\n3,4", [1.0], ""),
        ("a,b\n1,2\n3\n5,6\n", [1.0, 5.0], "line 3 has 1 cells for 2 columns"),
        ("a,b\n1,2\n3,4,5\n6,7\n", [1.0, 6.0], "line 3 has 3 cells"),
        ("a,b\n1,2\n\n3,4\n", [1.0, 3.0], ""),
        ("a,b\n1,2\na,b\n3,4\n", [1.0, 3.0], ""),
        (
            "a,b\n1,2\noops,4\n5,6\n",
            [1.0, None, 5.0],
            "1 cells of 'a' are not numbers, the first is 'oops'",
        ),
        ("a,b\r\n1,2\r\n3,4\r\n", [1.0, 3.0], ""),
        ("\ufeffa,b\n1,2\n", [1.0], ""),
        ("a,b\n1e-3,2\ninf,2\n-inf,2\n", [0.001, math.inf, -math.inf], ""),
        ("a,b\nTrue,x\nFalse,y\n", [1.0, 0.0], ""),
        ('a,b\n1,"x,\ny"\n2,z\n', [1.0, 2.0], ""),
        ("a,b\n1,2\nb,a\n4,3\n", [1.0, 3.0], ""),
        ("a,b\n1,2\na,b,c\n3,4,5\n6,7,8\n", [1.0, 3.0, 6.0], ""),
        ("a,b\n1,2\na,c\n3,4\na,b\n5,6\n", [1.0, 3.0, 5.0], ""),
        ("a,b\n1,2\nx,y\n3,4\na,b\n5,6\n", [1.0, None, 5.0], "line 3 names other columns, x, y"),
        ("a,b\n1,2\nWarning: x, y\n3,4\n", [1.0, 3.0], "line 3"),
        ("a,b\n1,2\nsome words\n3,4\n", [1.0, 3.0], "line 3 has 1 cells for 2 columns"),
        (
            "a,b\n1\n2\n3,4\n",
            [3.0],
            "line 2 has 1 cells for 2 columns; it and 1 more such lines are left out",
        ),
        ("a\tb\n1\t2\n3\t4\n", [1.0, 3.0], ""),
        ("a;b\r\n1;2\r\n3;4\r\n", [1.0, 3.0], ""),
        ("a;b, c;d\n1;2;3\n", [1.0], ""),
        ('"a";"b"\n"1";"2"\n', [1.0], ""),
        ("   a,   b\n   1,   2\n  -3,   4\n", [1.0, -3.0], ""),
        (
            "a;b\n1,5;2\n2,5;3\n",
            [None, None],
            "2 numbers of 'a' have a decimal comma, or one of thousands, the first is '1,5'",
        ),
        ('a,b\n"1,5",2\n', [None], "decimal comma"),
        ("1,2\n3,4\n", [], "has no header: its first line holds only numbers"),
        ("nan;1.5\n", [], "has no header"),
        ("1,2\n3,4\na,b\n5,6\n", [5.0], "has no header above its first 2 rows"),
        ("quantile,0.1,0.9\n1,2,3\n", [], ""),
        ("a b\n1 2\n3 4\n", [], "has columns separated by spaces"),
        ("a,b\r1,2\r3,4\r", [], "has lines that end in a carriage return alone"),
        ('a,b\n"1,000",2\n', [None], "or one of thousands"),
        ("a|b\n1|2\n", [], "has columns separated by |"),
        ("# comment\n\na,b\n1,2\n# more\n3,4\n", [1.0, 3.0], ""),
        ("a,b\n", [], ""),
        ("a,b", [], ""),
        ("", [], ""),
    ],
)
def test_csv_as_it_may_be_found(
    tmp_path: Path, write_log: WriteLog, text: str, numbers: list[float], complaint: str
) -> None:
    write_log("run", **{"progress.csv": text, "variant.json": {}})
    write_log("sound", **{"progress.csv": "a,b\n7,8\n", "variant.json": {}})
    results = load(tmp_path)
    found = results.where(run="run").progress
    assert (found["a"].to_list() if "a" in found.columns and found.height else []) == numbers
    assert results.where(run="sound").progress["a"].to_list() == [7.0]
    problems = [str(problem) for problem in results.problems]
    assert (len(problems) == 1 and complaint in problems[0]) if complaint else not problems


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_separators_are_read_as_pandas_reads_them(
    tmp_path: Path, write_log: WriteLog, separator: str
) -> None:
    names = ["step", "loss", "some thing", "text"]
    rows = [["0", "1e-3", "", "a"], ["1", "nan", "-inf", "b"], ["2", "3.25", "4", "c"]]
    text = "".join(separator.join(cells) + "\n" for cells in [names, *rows])
    run = write_log("run", **{"progress.csv": text})
    theirs = pd.read_csv(run / "progress.csv", sep=separator)
    ours = load(tmp_path)
    assert (ours.problems, [*ours.progress.columns[2:]]) == ((), names)
    for name in names[:3]:
        assert ours.progress[name].fill_null(math.nan).to_list() == pytest.approx(
            theirs[name].tolist(), nan_ok=True
        )


def test_utf_16_is_named(tmp_path: Path, write_log: WriteLog) -> None:
    run = write_log("run", **{"variant.json": {}})
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):  # the last two have no mark
        (run / "progress.csv").write_text("a,b\n1,2\n", encoding=encoding)
        assert "is UTF-16 text" in str(load(tmp_path, cache=False).problems[0])


@pytest.mark.parametrize("cut", range(len("a,b\n1,2\nb,a,c\n4,3,5\n6,5,7\na,b\n7,8\n") + 1))
def test_further_headers_hold_for_what_is_appended(
    tmp_path: Path, write_log: WriteLog, cut: int
) -> None:
    text = "a,b\n1,2\nb,a,c\n4,3,5\n6,5,7\na,b\n7,8\n"
    log = write_log("run", **{"progress.csv": text[:cut], "variant.json": {}}) / "progress.csv"
    reader = Reader(tmp_path)
    reader.read()
    log.write_text(text)
    with log.open("a") as file:
        file.write("9,10\n")
    progress = reader.read().progress
    assert progress.select("a", "b", "c").rows() == [
        (1, 2, None),
        (3, 4, 5),
        (5, 6, 7),
        (7, 8, None),
        (9, 10, None),
    ]


def test_bytes_that_are_no_text(tmp_path: Path, write_log: WriteLog) -> None:
    run = write_log("run", **{"variant.json": {}})
    (run / "progress.csv").write_bytes(b"a,b\n1,2\n\xff\xfe\x00,4\n")
    results = load(tmp_path)
    assert results.progress["b"].to_list() == [2.0, 4.0]
    assert len(results.problems) == 1


def test_metrics_named_like_our_columns_or_each_other(tmp_path: Path, write_log: WriteLog) -> None:
    write_log("run", **{"progress.csv": "row,a,a,\n1,2,3,4\n", "variant.json": {}})
    assert load(tmp_path).metrics == ("row_2", "a", "a_2", "unnamed")


@pytest.mark.parametrize(
    ("cells", "final"),
    [
        (["1", "2", "3"], 3.0),
        (["1", "", "2", ""], 2.0),
        (["1", "nan", "nan", "2", "nan"], 2.0),
        (["nan", "nan", "1", "nan"], 1.0),
        (["nan", "1", "2", "nan"], math.nan),
        (["nan", "nan", "1", "2", "nan"], math.nan),
        (["nan", "1", "nan"], math.nan),
        (["nan", "1", "", ""], 1.0),
        (["1", "2", "nan", "nan"], math.nan),
        (["1", "nan", "2", "nan", "nan"], math.nan),
        (["nan", "nan"], math.nan),
    ],
)
def test_final_is_the_last_number_unless_the_run_ended_in_nan(
    tmp_path: Path, write_log: WriteLog, cells: list[str], final: float
) -> None:
    rows = "".join(f"{i},{cell}\n" for i, cell in enumerate(cells))
    write_log("run", **{"progress.csv": f"i,loss\n{rows}", "variant.json": {}})
    found = load(tmp_path).runs["final/loss"][0]
    assert found == final or (math.isnan(final) and math.isnan(found))


def test_best_follows_the_name(tmp_path: Path, write_run: WriteRun) -> None:
    write_run(
        {"lr": 1}, 0, [{"loss": 3, "acc": 0.1}, {"loss": 1, "acc": 0.9}, {"loss": 2, "acc": 0.5}]
    )
    row = load(tmp_path).runs.row(0, named=True)
    assert (row["best/loss"], row["best/acc"], row["final/loss"]) == (1.0, 0.9, 2.0)


def test_mixed_values_of_a_parameter(tmp_path: Path, write_run: WriteRun) -> None:
    for seed, value in enumerate([1, 2.5, None]):
        write_run({"lr": value, "x": seed if seed else "no"}, seed)
    runs = load(tmp_path).runs
    assert (runs.schema["lr"], runs.schema["x"]) == (pl.Float64, pl.String)


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"does not exist"):
        load(tmp_path / "no")
    with pytest.raises(NotFound, match=r"no run lies below"):
        load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotFound, match=r"is not a directory"):
        load(tmp_path / "file")
    assert Reader(tmp_path).read().runs.height == 0


def test_nothing_is_written_among_the_runs(tmp_path: Path, write_run: WriteRun) -> None:
    write_run({"lr": 1}, 0)
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*"))
    load(tmp_path)
    assert sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*")) == before


def test_params_json_that_is_no_object(tmp_path: Path, write_log: WriteLog) -> None:
    write_log("run", **{"progress.csv": "a\n1\n", "params.json": json.dumps([1])})
    results = load(tmp_path)
    assert results.runs["final/a"].to_list() == [1.0]
    assert "does not hold a JSON object" in str(results.problems[0])


def test_a_link_in_a_run_directory_leads_nowhere(
    tmp_path: Path, write_run: WriteRun, write_log: Callable[..., Path]
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(
        json.dumps({"format": 1, "token": "hunter2", "host": "hunter2", "lr": "hunter2"})
    )
    directory = write_run({"lr": 0.1})
    RunDir(directory).outcome_file.unlink()
    linked = [
        "attempt.json",
        "outcome.json",
        "environment.json",
        "git_infos.txt",
        "variant.json",
        "changes.patch",
    ]
    for name in linked:
        (directory / name).unlink(missing_ok=True)
        (directory / name).symlink_to(secret)
    other = write_log("digits/plain/run_1", **{"progress.csv": "epoch\n1\n"})
    for name in ("params.json", "hparams.yaml"):
        (other / name).symlink_to(secret)
    (other.parent / "variant_config.json").symlink_to(secret)
    results = load(tmp_path / "digits")
    assert results.runs.height == 2
    said = str(results.runs.rows()) + str(results.problems) + str(difference(directory, other))
    assert "hunter2" not in said
    assert "links are not followed" in said


def test_a_pipe_in_a_run_directory_holds_nobody_up(tmp_path: Path, write_run: WriteRun) -> None:
    directory = write_run({"lr": 0.1})
    for name in ("attempt.json", "environment.json", "script_name.txt"):
        (directory / name).unlink(missing_ok=True)
        os.mkfifo(directory / name)
    assert load(tmp_path / "digits").runs["state"].to_list() == ["lost"]
    assert difference(directory, directory).parts["environment"] == {}


def test_runs_that_have_no_directory_yet_are_counted(tmp_path: Path, write_run: WriteRun) -> None:
    directory = write_run({"lr": 0.1})
    home = tmp_path / "digits"
    known = json.loads((directory / "run.json").read_text())["run"]
    with (home / "runs.jsonl").open("w") as file:
        for record in (known, {**known, "id": "b"}, {**known, "id": "c"}):
            file.write(json.dumps(record) + "\n")
        file.write('{"torn')
    reader = Reader(tmp_path)
    assert reader.read().waiting == {"digits": 2}
    groups = account(reader.read(), "accuracy").groups
    assert [(group.n, group.asked) for group in groups] == [(1, 3)]
    write_run({"lr": 0.2}, experiment="other")
    assert reader.read().waiting == {"digits": 2}
    collection = tmp_path / "prefix" / ".runslot" / "call"
    collection.mkdir(parents=True)
    (collection / "experiment.json").write_text("{}")
    (collection / "runs.jsonl").write_text(json.dumps({**known, "id": "d"}) + "\n")
    (home / "runs.jsonl").write_text(json.dumps(known) + "\n")
    assert reader.read().waiting == {"prefix": 1}


def test_an_experiment_that_has_started_nothing_is_no_mistake(tmp_path: Path) -> None:
    (tmp_path / "experiment.json").write_text("{}")
    (tmp_path / "runs.jsonl").write_text('{"id": "a"}\n')
    results = load(tmp_path)
    assert (results.runs.height, sum(results.waiting.values())) == (0, 1)


class Write(Protocol):
    """Writes one file of a run."""

    def __call__(self, run: str, *, name: str, text: str) -> None: ...


@pytest.fixture
def write(write_log: WriteLog) -> Write:
    def file(run: str, *, name: str, text: str) -> None:
        write_log(run, **{name: text})

    return file


def test_numbers_beyond_all_floats_hide_no_run(tmp_path: Path, write: Write) -> None:
    huge = 10**400
    write(
        "a", name="metrics.jsonl", text=f'{{"step": 1, "acc": 0.5}}\n{{"step": 2, "acc": {huge}}}\n'
    )
    write("b", name="metrics.jsonl", text='{"step": 1, "acc": 0.5}\n' + "[" * 100_000 + "\n")
    write("c", name="progress.csv", text="step,acc\n1,0.25\n")
    write("c", name="variant.json", text=f'{{"seed": 0, "size": {huge}}}')
    results = load(tmp_path, cache=False)
    finals = dict(results.runs.select("run", "final/acc").iter_rows())
    assert finals == {"a": math.inf, "b": 0.5, "c": 0.25}
    assert str(huge) in results.runs["size"].to_list()


def test_integers_that_a_float_would_make_one_stay_apart(tmp_path: Path, write: Write) -> None:
    for name, size in enumerate((2**53 + 1, 2**53, 0.5)):
        for seed in range(2):
            write(f"{name}/run_{seed}", name="progress.csv", text=f"step,acc\n1,{name}\n")
            variant = {"seed": seed, "size": size}
            write(f"{name}/run_{seed}", name="variant.json", text=json.dumps(variant))
    results = load(tmp_path, cache=False)
    assert results.runs["size"].n_unique() == 3
    assert [group.n for group in account(results, "acc").groups] == [2, 2, 2]


@pytest.mark.parametrize(
    "text", ["step,acc\r1,0.5\r2,0.75\n", 'step,"' + "x" * 200_000 + "\n1,2\n"]
)
def test_a_file_that_cannot_be_taken_apart_hides_no_other(
    tmp_path: Path, write: Write, text: str
) -> None:
    write("good", name="progress.csv", text="step,acc\n1,0.25\n")
    write("bad", name="progress.csv", text=text)
    for name in ("good", "bad"):
        write(f"{name}", name="variant.json", text='{"seed": 0}')
    results = load(tmp_path, cache=False)
    assert dict(results.runs.select("run", "final/acc").iter_rows())["good"] == 0.25
    (problem,) = results.problems
    assert "bad/progress.csv" in str(problem)


def test_parameters_that_are_nan_explain_as_others_do(tmp_path: Path, write: Write) -> None:
    pytest.importorskip("sklearn")
    for place, size in enumerate(("NaN", 1.0, 2.0, None, 3.5, 4.5, 5.5, 6.5)):
        for seed in range(3):
            text = "null" if size is None else size
            end = "nan" if (place, seed) == (0, 0) else place + seed / 10
            write(f"{place}_{seed}", name="progress.csv", text=f"step,acc\n1,{end}\n")
            write(
                f"{place}_{seed}", name="variant.json", text=f'{{"seed": {seed}, "size": {text}}}'
            )
    results = load(tmp_path, cache=False)
    shares = variance_shares(results, "acc")
    assert shares.main["size"].estimate > 0.6
    rates = dict(divergence(results, "acc").select("value", "share").iter_rows())
    assert rates["nan"] == pytest.approx(1 / 3)
    assert sum(share > 0 for share in rates.values()) == 1


def test_a_text_that_reads_as_a_value_of_another_kind_is_another_variant(
    tmp_path: Path, write: Write
) -> None:
    for number, value in enumerate((1, "1", True, "true", "other")):
        for seed in range(2):
            run = f"PRE_{2 * number + seed}--s-{seed}"  # names that tell nothing but the seed
            write(run, name="progress.csv", text=f"step,acc\n1,{number}\n")
            write(run, name="variant.json", text=json.dumps({"seed": seed, "k": value}))
    results = load(tmp_path, cache=False)
    accounting = account(results, "acc")
    assert [group.n for group in accounting.groups] == [2] * 5
    labels = {group.label for group in accounting.groups}
    assert labels == {"k=1", 'k="1"', "k=true", 'k="true"', "k=other"}
    assert results.where("k = '\"1\"'").runs["final/acc"].to_list() == [1.0, 1.0]
