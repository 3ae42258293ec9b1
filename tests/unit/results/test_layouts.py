"""Directories of other programs: which are runs, of which variant and seed, with which
parameters.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from runslot.errors import InvalidInput, NotFound
from runslot.results import Reader, Results, load
from runslot.results.comparison import compare
from runslot.results.read.parameters import read_yaml
from runslot.results.text.sources import sources_line, unread_line
from runslot.results.text.table import notes_of

WriteLog = Callable[..., Path]
WriteRun = Callable[..., Path]

MONITOR = '#{"t_start": 1.0, "env_id": "Pendulum-v1"}\nr,l,t\n1,50,1\n2,50,2\n'
ZOO_CONFIG = (
    "!!python/object/apply:collections.OrderedDict\n- - - gamma\n    - 0.9\n  - - policy\n    -"
    " MlpPolicy\n"
)
ZOO_ARGS = """!!python/object/apply:collections.OrderedDict
- - - algo
    - {algo}
  - - env
    - Pendulum-v1
  - - log_folder
    - logs
  - - seed
    - {seed}
  - - uuid
    - false
"""


def groups(results: Results) -> list[int]:
    """Return how many runs each variant has, fewest first."""
    return sorted(group.runs.height for _, group in results.group_by())


def kinds(results: Results) -> list[str]:
    return results.runs["kind"].unique().sort().to_list()


def test_what_is_not_known_to_be_a_seed_is_a_difference(
    tmp_path: Path, write_log: WriteLog
) -> None:
    for algo in ("a2c", "ppo"):
        for number in (1, 2):
            write_log(f"{algo}/Pendulum-v1_{number}", **{"0.monitor.csv": MONITOR})
    results = load(tmp_path)
    assert groups(results) == [1, 1, 1, 1]
    assert results.runs["variant"].to_list()[0] == "a2c/Pendulum-v1_1"
    assert results.runs["seed"].null_count() == 4
    assert "told apart by their paths" in sources_line(results)


@pytest.mark.parametrize(
    "names",
    [
        ("ppo/seed_0", "ppo/seed_1"),
        ("ppo/seed0", "ppo/seed1"),
        ("ppo_seed=0", "ppo_seed=1"),
        ("seed-0/ppo", "seed-1/ppo"),
        ("lr=0.1,seed=0,env=a", "lr=0.1,seed=1,env=a"),
        ("ppo/s0", "ppo/s1"),
        ("x_2026_01_01_0001--s-0", "x_2026_01_02_0002--s-1"),
    ],
)
def test_names_that_say_seed_are_seeds(
    tmp_path: Path, write_log: WriteLog, names: tuple[str, str]
) -> None:
    for name in names:
        write_log(f"logs/{name}", **{"progress.csv": "step,loss\n0,1\n"})
    results = load(tmp_path / "logs")
    assert (groups(results), results.runs["seed"].to_list()) == ([2], [0, 1])


@pytest.mark.parametrize(
    "names",
    [
        ("1", "2"),
        ("ppo/version_0", "ppo/version_1"),
        ("exp1", "exp2"),
        ("net_64", "net_128"),
        ("HalfCheetah-v3", "HalfCheetah-v4"),
        ("a/seed_0", "b/seed_0"),
        ("s3/a/x", "s4/a/x"),
        ("reseed_1", "reseed_2"),
    ],
)
def test_other_names_are_differences(
    tmp_path: Path, write_log: WriteLog, names: tuple[str, str]
) -> None:
    for name in names:
        write_log(f"logs/{name}", **{"progress.csv": "step,loss\n0,1\n"})
    assert groups(load(tmp_path / "logs")) == [1, 1]


def test_two_roots_with_the_same_names_below_them(tmp_path: Path, write_log: WriteLog) -> None:
    for algo in ("a2c", "ppo"):
        write_log(f"{algo}/pong/seed_0", **{"progress.csv": "step,loss\n0,1\n"})
    results = load([tmp_path / "a2c", tmp_path / "ppo"])
    assert (groups(results), results.runs["variant"].to_list()) == (
        [1, 1],
        ["a2c/pong", "ppo/pong"],
    )


def test_two_seeds_that_disagree_stay_apart(tmp_path: Path, write_log: WriteLog) -> None:
    for seed in (1, 2):
        write_log(
            f"seed_{seed}",
            **{"progress.csv": "step,loss\n0,1\n", "config.json": {"lr": 1, "seed": 0}},
        )
    assert groups(load(tmp_path)) == [1, 1]


def test_equal_parameters_in_unlike_projects_stay_apart(
    tmp_path: Path, write_log: WriteLog
) -> None:
    for project in ("sac", "td3"):
        for number in (1, 2):
            files = {"progress.csv": "Return\n1\n", "params.json": {"lr": 1, "run_ID": number}}
            write_log(f"{project}/run_{number}", **files)
    assert groups(load(tmp_path)) == [2, 2]


class TestHydra:
    def job(
        self, write_log: WriteLog, place: str, config: str, overrides: str = "[]\n", **files: str
    ) -> None:
        write_log(place, **files)
        write_log(
            f"{place}/.hydra",
            **{"config.yaml": config, "overrides.yaml": overrides, "hydra.yaml": "hydra: 1\n"},
        )

    def test_numbered_jobs_are_told_apart_by_their_configuration(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        jobs = [(lr, seed) for lr in (0.1, 0.01) for seed in (0, 1)]
        for number, (lr, seed) in enumerate(jobs):
            config = f"optimizer:\n  lr: {lr}\n  name: adam\nlayers:\n- 64\n- 64\nseed: {seed}\n"
            place = f"multirun/2026-01-01/12-00-0{number}/{number}"
            self.job(write_log, place, config, **{"progress.csv": "epoch,loss\n0,1\n"})
        results = load(tmp_path)
        assert groups(results) == [2, 2]
        assert results.identity == ("optimizer.lr",)
        assert results.runs.row(0, named=True)["layers"] == "[64, 64]"
        assert results.runs["seed"].to_list() == [0, 1, 0, 1]

    def test_a_seed_deeper_in_the_configuration(self, tmp_path: Path, write_log: WriteLog) -> None:
        for number in range(3):
            config = f"training:\n  seed: {number}\n  lr: 1e-3\n"
            self.job(write_log, f"mr/{number}", config, **{"metrics.csv": "step,loss\n0,1\n"})
        results = load(tmp_path)
        assert (groups(results), results.runs["seed"].to_list()) == ([3], [0, 1, 2])

    def test_overrides_stand_in_for_a_configuration_that_is_gone(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        for number, lr in enumerate((0.1, 0.2)):
            self.job(
                write_log,
                f"mr/{number}",
                "",
                f"- +lr={lr}\n- model=vit\n",
                **{"progress.csv": "loss\n1\n"},
            )
        results = load(tmp_path)
        assert results.runs.select("lr", "model").rows() == [(0.1, "vit"), (0.2, "vit")]

    def test_what_two_loggers_of_one_job_wrote_is_one_run(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        self.job(write_log, "job", "lr: 1\n")
        write_log(
            "job/csv/version_0", **{"metrics.csv": "step,loss\n0,1\n", "hparams.yaml": "width: 8\n"}
        )
        write_log("job/tensorboard/version_0", **{"events.out.tfevents.1.host": ""})
        results = load(tmp_path)
        assert results.runs.select("kind", "lr", "width").rows() == [("lightning", 1, 8)]
        assert "the job is read from" in str(results.unread[0])

    def sweep_of_groups(self, write_log: WriteLog, *jobs: tuple[str, str, int]) -> None:
        """Write jobs of a group `model`, whose options say name and width, with seeds."""
        for number, (option, width, seed) in enumerate(jobs):
            model = f"model:\n  name: {option}\n  width: {width}\n  depth: 2\n"
            overrides = f"- model={option}\n- model.width={width}\n- seed={seed}\n"
            place = f"mr/{number}"
            rows = {"progress.csv": "loss\n1\n"}
            self.job(write_log, place, f"{model}seed: {seed}\n", overrides, **rows)

    def test_jobs_are_told_apart_by_the_option_of_a_group(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        jobs = [(option, width) for option, width in (("vit", "8"), ("cnn", "9"))]
        self.sweep_of_groups(write_log, *((*job, seed) for job in jobs for seed in (0, 1)))
        results = load(tmp_path)
        assert results.identity == ("model",)
        assert groups(results) == [2, 2]
        assert results.where("model.width < 9").runs["model"].to_list() == ["vit", "vit"]

    def test_a_setting_that_the_option_leaves_open_tells_jobs_apart(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        self.sweep_of_groups(write_log, ("vit", "8", 0), ("vit", "9", 0), ("cnn", "8", 0))
        results = load(tmp_path)
        assert (results.identity, groups(results)) == (("model", "model.width"), [1, 1, 1])

    def test_an_option_by_default_is_the_option_that_is_given(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        hydra = (
            "hydra:\n  sweeper:\n    search_space:\n      lr:\n        choices:\n        - 1\n"
            "  job:\n    name: app\n  runtime:\n    version: 1.3.8\n    choices:\n"
            "      model: vit\n      db/engine@main.db: mysql\n      hydra/launcher: basic\n"
            "    output_dir: /tmp\n"
        )
        for number, overrides in enumerate(("- model=vit\n", "[]\n")):
            config = "model:\n  width: 8\nmain:\n  db:\n    port: 1\n"
            self.job(write_log, f"mr/{number}", config, overrides, **{"progress.csv": "loss\n1\n"})
            (tmp_path / f"mr/{number}/.hydra/hydra.yaml").write_text(hydra)
        results = load(tmp_path)
        assert groups(results) == [2]
        row = results.runs.row(1, named=True)
        assert (row["model"], row["db/engine@main.db"], row["model.width"]) == ("vit", "mysql", 8)
        assert "hydra/launcher" not in results.parameters

    def test_a_key_that_was_deleted_is_no_setting(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        self.job(
            write_log, "mr/0", "lr: 1\n", "- ~model=vit\n- ~x\n", **{"progress.csv": "loss\n1\n"}
        )
        assert load(tmp_path).parameters == ("lr",)

    def test_what_a_job_logs_in_words_is_read(self, tmp_path: Path, write_log: WriteLog) -> None:
        line = "[2026-01-01 12:00:00,123][__main__][INFO] - epoch {} loss {}\n"
        for number, lr in enumerate((0.1, 0.2)):
            log = "".join(line.format(epoch, lr / (epoch + 1)) for epoch in range(3))
            self.job(write_log, f"mr/{number}", f"lr: {lr}\n", **{"train.log": log})
        results = load(tmp_path)
        assert results.runs.select("kind", "lr", "rows", "final/loss").rows() == [
            ("hydra", 0.1, 3, pytest.approx(0.1 / 3)),
            ("hydra", 0.2, 3, pytest.approx(0.2 / 3)),
        ]
        assert sources_line(results).startswith("read as: 2 Hydra jobs")

    def test_of_several_logs_in_words_that_of_the_job_is_read(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        logs = {"app.log": "epoch 0 loss 0.5\n", "aaa.log": "epoch 0 loss 9.5\n"}
        self.job(write_log, "job", "lr: 1\n", **logs)
        (tmp_path / "job/.hydra/hydra.yaml").write_text(
            "hydra:\n  job:\n    chdir: null\n    name: app\n"
        )
        assert load(tmp_path).runs["final/loss"].to_list() == [0.5]

    def test_jobs_without_any_row_are_listed_with_what_is_missing(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        for number in range(2):
            self.job(write_log, f"mr/{number}", f"lr: {number}\n")
        results = load(tmp_path)
        assert (results.runs["rows"].to_list(), results.identity) == ([0, 0], ("lr",))
        (note,) = [str(line) for line in notes_of(compare(results), 2) if "metric" in str(line)]
        assert "progress.csv" in note
        assert "--log" in note

    def test_a_job_that_is_named_from_inside(self, tmp_path: Path, write_log: WriteLog) -> None:
        self.job(write_log, "job", "lr: 3\n")
        write_log("job/logs/version_0", **{"metrics.csv": "step,loss\n0,1\n"})
        assert load(tmp_path / "job" / "logs").runs["lr"].to_list() == [3]


def test_rl_zoo_keeps_parameters_in_a_directory_named_like_the_task(
    tmp_path: Path, write_log: WriteLog
) -> None:
    for algo in ("a2c", "ppo"):
        for number in (1, 2):
            run = f"logs/{algo}/Pendulum-v1_{number}"
            write_log(run, **{"0.monitor.csv": MONITOR})
            args = ZOO_ARGS.format(algo=algo, seed=number)
            write_log(f"{run}/Pendulum-v1", **{"config.yml": ZOO_CONFIG, "args.yml": args})
    results = load(tmp_path)
    assert results.problems == ()
    assert results.runs.select("algo", "gamma", "env", "seed").rows() == [
        ("a2c", 0.9, "Pendulum-v1", 1),
        ("a2c", 0.9, "Pendulum-v1", 2),
        ("ppo", 0.9, "Pendulum-v1", 1),
        ("ppo", 0.9, "Pendulum-v1", 2),
    ]
    assert (groups(results), results.identity) == ([2, 2], ("algo",))
    assert (
        sources_line(results)
        == "read as: 4 Stable-Baselines3 monitors (parameters of args.yml, config.yml)"
    )


class TestRay:
    def trial(
        self, write_log: WriteLog, name: str, params: dict[str, Any], result: str, **files: str
    ) -> None:
        write_log(f"ray/{name}", **{"params.json": params, "result.json": result, **files})

    def test_result_json_has_a_row_a_line(self, tmp_path: Path, write_log: WriteLog) -> None:
        line = {"training_iteration": 1, "env_runners": {"episode_return_mean": 2.5}, "done": False}
        line |= {"config": {"lr": 0.1}, "hist": [1, 2], "date": "2026", "trial_id": "ab"}
        more = {
            "training_iteration": 2,
            "env_runners": {"episode_return_mean": float("nan")},
            "extra": 7,
        }
        text = f"{json.dumps(line)}\n{json.dumps(more)}\n"
        self.trial(
            write_log, "PPO_CartPole-v1_3f2a1_00000_0_lr=0.1_2026-01-01_00-00-00", {"lr": 0.1}, text
        )
        results = load(tmp_path)
        assert kinds(results) == ["ray"]
        assert results.metrics == (
            "training_iteration",
            "env_runners/episode_return_mean",
            "done",
            "extra",
        )
        assert results.progress["training_iteration"].to_list() == [1, 2]
        assert results.runs["variant"].to_list() == ["ray/PPO_CartPole-v1"]

    def test_trials_of_equal_parameters_are_one_variant(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        for number in range(2):
            params = {"lr": 0.1, "fn": f"<function f at 0x7f00{number}0aa>", "seed": number}
            name = f"PPO_CartPole-v1_{number}f2a1_0000{number}_{number}_2026-01-01_00-00-0{number}"
            self.trial(write_log, name, params, '{"training_iteration": 1}\n')
        results = load(tmp_path)
        assert (groups(results), results.runs["fn"].to_list()) == ([2], ["<function f>"] * 2)

    def test_algorithms_of_equal_parameters_stay_apart(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        for algo in ("PPO", "DQN"):
            name = f"{algo}_CartPole-v1_3f2a1_00000_0_2026-01-01_00-00-00"
            self.trial(write_log, name, {"lr": 0.1}, '{"training_iteration": 1}\n')
        assert groups(load(tmp_path)) == [1, 1]

    def test_progress_csv_beside_it_is_read_and_that_is_said(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        files = {"progress.csv": "training_iteration,reward\n1,5\n"}
        self.trial(write_log, "PPO_1", {"lr": 0.1}, '{"training_iteration": 1}\n', **files)
        results = load(tmp_path)
        assert (kinds(results), results.runs["final/reward"].to_list()) == (["ray"], [5.0])
        assert "result.json (the run is read from progress.csv beside it)" in unread_line(results)

    def test_a_result_json_that_is_one_object(self, tmp_path: Path, write_log: WriteLog) -> None:
        write_log("x", **{"result.json": '{\n "accuracy": 1\n}\n'})
        with pytest.raises(NotFound, match=r"result\.json: it is not one JSON object a line"):
            load(tmp_path)


class TestSacred:
    def run(self, write_log: WriteLog, number: int, name: str = "mnist", **more: Any) -> None:
        run = {
            "status": "COMPLETED",
            "command": "main",
            "experiment": {"name": name, "sources": []},
        }
        run |= {
            "host": {"hostname": "node"},
            "start_time": "2026-01-01T00:00:00.5",
            "stop_time": "2026-01-01T00:01:00",
        }
        metrics = {
            "loss": {"steps": [0, 10], "timestamps": ["2026-01-01T00:00:01", "2026-01-01T00:00:03"]}
        }
        metrics["loss"]["values"] = [1.0, 0.5]
        metrics["acc"] = {
            "steps": [10],
            "timestamps": [],
            "values": [{"dtype": "float64", "value": 0.9}],
        }
        files = {
            "run.json": run | more,
            "config.json": {"lr": 0.1, "seed": 1000 + number},
            "metrics.json": metrics,
        }
        write_log(f"sacred/{number}", **files)

    def test_runs_are_read(self, tmp_path: Path, write_log: WriteLog) -> None:
        self.run(write_log, 1)
        self.run(write_log, 2, status="FAILED")
        write_log("sacred/_sources", **{"a_1.py": ""})
        results = load(tmp_path)
        assert (results.problems, results.unread) == ((), ())
        assert results.runs.select(
            "kind", "state", "seed", "host", "seconds", "lr", "final/acc"
        ).rows() == [
            ("sacred", "succeeded", 1001, "node", 59.5, 0.1, 0.9),
            ("sacred", "failed", 1002, "node", 59.5, 0.1, 0.9),
        ]
        assert results.where(seed=1001).progress.select(
            "step", "seconds", "loss", "acc"
        ).rows() == [
            (0, 0, 1.0, None),
            (10, 2, 0.5, 0.9),
        ]
        assert groups(results) == [2]

    def test_experiments_of_one_observer_stay_apart(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        self.run(write_log, 1)
        self.run(write_log, 2, name="cifar")
        results = load(tmp_path)
        assert (groups(results), results.identity) == ([1, 1], ("experiment.name",))

    def test_metrics_that_grow(self, tmp_path: Path, write_log: WriteLog) -> None:
        self.run(write_log, 1)
        reader = Reader(tmp_path)
        assert reader.read().runs["final/loss"].to_list() == [0.5]
        file = tmp_path / "sacred" / "1" / "metrics.json"
        grown = {
            "loss": {"steps": [0, 10, 20], "timestamps": [None] * 3, "values": [1.0, 0.5, 0.25]}
        }
        file.write_text(json.dumps(grown))
        assert reader.read().runs["final/loss"].to_list() == [0.25]

    def test_a_foreign_run_json_alone_is_no_run(self, tmp_path: Path, write_log: WriteLog) -> None:
        write_log("x", **{"run.json": {"status": "COMPLETED"}})
        with pytest.raises(NotFound, match=r"run\.json: it is another program's, not runslot's"):
            load(tmp_path)

    def test_a_foreign_run_json_beside_another_log(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        write_log("x", **{"run.json": {"status": "COMPLETED"}, "progress.csv": "step,loss\n0,1\n"})
        assert load(tmp_path).runs.select("kind", "state").rows() == [("stable-baselines3", None)]


def test_spinning_up(tmp_path: Path, write_log: WriteLog) -> None:
    for algo in ("ppo", "sac"):
        for seed in (0, 10):
            out = f"/home/me/data/{algo}/{algo}_s{seed}"
            logger = {
                f"<spinup.utils.logx.EpochLogger object at 0x7f1{seed:04}>": {"output_dir": out}
            }
            config = {
                "env_fn": f"<function <lambda> at 0x7f2{seed:04}>",
                "exp_name": algo,
                "logger": logger,
            }
            config |= {"logger_kwargs": {"exp_name": algo, "output_dir": out}, "seed": seed}
            rows = f"Epoch\tAverageEpRet\tTime\n0\t1.5\t2\n1\t{seed}\t4\n"
            write_log(
                f"data/{algo}/{algo}_s{seed}", **{"progress.txt": rows, "config.json": config}
            )
    results = load(tmp_path / "data")
    assert results.problems == ()
    assert groups(results) == [2, 2]
    assert results.runs["variant"].unique().sort().to_list() == ["ppo/ppo", "sac/sac"]
    assert results.runs["final/AverageEpRet"].to_list() == [0, 10, 0, 10]
    assert not [name for name in results.parameters if "0x" in name or "output" in name]


def test_keras_csv_logger(tmp_path: Path, write_log: WriteLog) -> None:
    write_log(
        "a", **{"training.log": "epoch,accuracy,loss,val_loss\n0,0.5,1.0,2.0\n1,0.75,0.5,1.0\n"}
    )
    write_log("b", **{"training.log": "epoch 1 of 5\nno table\n"})
    write_log("c", **{"seed1.csv": "epoch;loss\n0;1\n", "seed2.csv": "epoch;loss\n0;2\n"})
    results = load(tmp_path)
    assert results.runs.select("run", "kind", "seed", "final/loss").rows() == [
        ("a", "keras", None, 0.5),
        ("c/seed1.csv", "keras", 1, 1.0),
        ("c/seed2.csv", "keras", 2, 2.0),
    ]
    assert groups(results) == [1, 2]


@pytest.mark.parametrize(
    ("hparams", "expected"),
    [("{}\n", [1, 1]), ("lr: 0.1\n", [1, 1]), ("lr: 0.1\nseed: {version}\n", [2])],
)
def test_versions_of_lightning_are_seeds_only_where_seeds_are_recorded(
    tmp_path: Path, write_log: WriteLog, hparams: str, expected: list[int]
) -> None:
    for version in (0, 1):
        text = hparams.replace("{version}", str(version))
        files = {"metrics.csv": "epoch,loss\n0,1\n", "hparams.yaml": text}
        write_log(f"lightning_logs/version_{version}", **files)
    assert groups(load(tmp_path)) == expected


def test_yolo(tmp_path: Path, write_log: WriteLog) -> None:
    for number in ("", "2"):
        args = (
            f"model: yolov8n.pt\nlr0: 0.01\nseed: 0\nname: train{number}\nsave_dir:"
            f" runs/detect/train{number}\n"
        )
        rows = (
            "                  epoch,         train/box_loss\n                  1,               "
            " 1.25\n"
        )
        write_log(f"runs/detect/train{number}", **{"results.csv": rows, "args.yaml": args})
    results = load(tmp_path)
    assert results.problems == ()
    assert (kinds(results), groups(results)) == (["yolo"], [2])
    assert results.runs["final/train/box_loss"].to_list() == [1.25, 1.25]
    assert results.parameters == ("model", "lr0")


class TestJsonLines:
    def test_dreamer(self, tmp_path: Path, write_log: WriteLog) -> None:
        rows = (
            '{"step": 0, "fps": 3}\n{"step": 5, "train/loss": 0.5, "text": "a"}\n{"step": 9,'
            ' "train/lo'
        )
        write_log(
            "dreamer/pong", **{"metrics.jsonl": rows, "config.yaml": "seed: 3\ntask: atari_pong\n"}
        )
        results = load(tmp_path)
        assert results.problems == ()
        assert results.progress.drop("run", "row").rows() == [(0, 3, None), (5, None, 0.5)]
        assert results.runs.select("kind", "task", "seed").rows() == [("jsonl", "atari_pong", 3)]

    def test_equal_to_pandas(self, tmp_path: Path, write_log: WriteLog) -> None:
        rows = [{"step": i, "a": i / 3, **({"b": 1e-300 * i} if i % 3 else {})} for i in range(50)]
        run = write_log("x", **{"metrics.jsonl": "\n".join(json.dumps(row) for row in rows)})
        theirs = pd.read_json(run / "metrics.jsonl", lines=True, precise_float=True)
        ours = load(tmp_path).progress
        for name in theirs.columns:
            assert ours[name].fill_null(-1).to_list() == theirs[name].fillna(-1).to_list()

    def test_only_what_was_appended_is_read_and_a_rewritten_file_is_read_anew(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        log = write_log("x", **{"metrics.jsonl": '{"step": 0}\n{"st'}) / "metrics.jsonl"
        reader = Reader(tmp_path)
        assert reader.read().progress["step"].to_list() == [0]
        with log.open("a") as file:
            file.write('ep": 1}\nnonsense\n{"step": 2}')
        results = reader.read()
        assert results.progress["step"].to_list() == [0, 1, 2]
        assert "line 3 is no JSON object" in str(results.problems[0])
        with log.open("a") as file:
            file.write('\n{"step": 3}\n')
        assert reader.read().progress["step"].to_list() == [0, 1, 2, 3]
        log.write_text('{"step": 7}\n')
        results = reader.read()
        assert (results.progress["step"].to_list(), results.problems) == ([7], ())

    def test_baselines_progress_json(self, tmp_path: Path, write_log: WriteLog) -> None:
        write_log("x", **{"progress.json": '{"eprewmean": 1.0, "total_timesteps": 5}\n'})
        assert load(tmp_path).runs["final/eprewmean"].to_list() == [1.0]


class TestMonitors:
    def test_every_name_that_the_library_reads(self, tmp_path: Path, write_log: WriteLog) -> None:
        for i, name in enumerate(
            ("0.0.monitor.csv", "left.monitor.csv", "monitor.csv", "evalmonitor.csv")
        ):
            write_log(f"run{i}", **{name: MONITOR})
        results = load(tmp_path)
        assert results.runs.height == 4
        assert results.runs["env_id"].to_list() == ["Pendulum-v1"] * 4

    def test_several_environments_as_stable_baselines3_reads_them(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        files = {
            "0.monitor.csv": (
                '#{"t_start": 1000.0, "env_id": "X"}\nr,l,t\n1,10,10\n2,10,50\n3,10,150\n'
            ),
            "1.monitor.csv": '#{"t_start": 990.5, "env_id": "X"}\nr,l,t\n10,20,5\n20,20,60\n',
            "2.monitor.csv": '#{"t_start": 900.0, "env_id": "X"}\nr,l,t\n',
        }
        run = write_log("PPO_1", **files)
        # after stable_baselines3.common.monitor.load_results
        frames, heads = [], []
        for name in files:
            with (run / name).open() as file:
                head = json.loads(file.readline()[1:])
                frame = pd.read_csv(file)
            frame["t"] += head["t_start"]
            heads.append(head)
            frames.append(frame)
        theirs = pd.concat(frames).sort_values("t").reset_index(drop=True)
        theirs["t"] -= min(head["t_start"] for head in heads)
        reader = Reader(tmp_path)
        assert reader.read().progress.select("r", "l", "t").rows() == [
            tuple(row) for row in theirs.to_numpy()
        ]
        with (run / "2.monitor.csv").open("a") as file:
            file.write("7,1,1\n")
        assert reader.read().progress["r"].to_list() == [7, 10, 1, 2, 20, 3]


class TestTemplate:
    @pytest.fixture(autouse=True)
    def runs(self, write_log: WriteLog) -> None:
        for algo in ("a2c", "ppo"):
            for seed in (1, 2):
                write_log(f"{algo}/my_env-v1_{seed}", **{"0.monitor.csv": MONITOR})

    def test_fields_are_parameters_and_seed(self, tmp_path: Path) -> None:
        results = load(tmp_path, path="{algo}/{env}_{seed}")
        assert results.runs.select("algo", "env", "seed").rows() == [
            ("a2c", "my_env-v1", 1),
            ("a2c", "my_env-v1", 2),
            ("ppo", "my_env-v1", 1),
            ("ppo", "my_env-v1", 2),
        ]
        assert (groups(results), results.identity) == ([2, 2], ("algo",))

    def test_what_is_deeper_than_the_template_is_a_difference(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        write_log("ppo/my_env-v1_1/finetune", **{"0.monitor.csv": MONITOR})
        assert groups(load(tmp_path, path="./{algo}/{env}_{seed}/")) == [1, 2, 2]

    def test_a_part_may_be_of_no_interest(self, tmp_path: Path) -> None:
        assert groups(load(tmp_path, path="{algo}/{}_{seed}")) == [2, 2]
        assert groups(load(tmp_path, path="*/{env}_{seed}")) == [4]

    def test_it_is_of_the_path_that_the_column_run_shows(self, tmp_path: Path) -> None:
        results = load(
            [tmp_path / "ppo", tmp_path / "a2c" / "my_env-v1_1"], path="{algo}/{env}_{seed}"
        )
        assert results.runs.select("algo", "seed").rows() == [("ppo", 1), ("ppo", 2), ("a2c", 1)]

    def test_a_run_that_does_not_fit_is_named(self, tmp_path: Path, write_log: WriteLog) -> None:
        write_log("extra", **{"0.monitor.csv": MONITOR})
        results = load(tmp_path, path="{algo}/{env}_{seed}")
        assert [problem.path for problem in results.problems] == [str(tmp_path / "extra")]

    @pytest.mark.parametrize(
        ("template", "complaint"),
        [
            ("{algo", "has a brace without its other one"),
            ("algo}", "has a brace without its other one"),
            ("plain", "names no field"),
            ("", "names no field"),
            ("{a}{b}", "two fields with nothing between them"),
            ("{a b}", "'a b' is no name of a field"),
            ("/{a}/{b}", "begins with /"),
            ("{a}/{b}/{c}/{d}/x", "fits none of 4 runs"),
        ],
    )
    def test_what_is_no_template_is_refused(
        self, tmp_path: Path, template: str, complaint: str
    ) -> None:
        with pytest.raises(InvalidInput, match=complaint):
            load(tmp_path, path=template)

    def test_what_was_read_with_another_template_is_not_taken_from_the_cache(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("runslot.results.read.store.WORTH_KEEPING_BYTES", 0)
        load(tmp_path)
        assert load(tmp_path, path="{algo}/{env}_{seed}").runs["algo"].to_list() == [
            "a2c",
            "a2c",
            "ppo",
            "ppo",
        ]
        assert "algo" not in load(tmp_path).parameters


class TestNamedLogs:
    def test_files_that_a_glob_names_are_runs(self, tmp_path: Path, write_log: WriteLog) -> None:
        for name in ("ppo_seed0.csv", "ppo_seed1.csv", "a2c_seed0.csv"):
            write_log("results", **{name: "iteration\treturn\n0\t1\n"})
        with pytest.raises(NotFound, match=r"--log '\*\.csv' reads it"):
            load(tmp_path)
        results = load(tmp_path, log=["*_seed?.csv"])
        assert results.runs.select("run", "kind", "seed").rows()[0] == (
            "results/a2c_seed0.csv",
            "csv",
            0,
        )
        assert groups(results) == [1, 2]
        assert results.runs["path"].unique().to_list() == [str(tmp_path / "results")]

    def test_one_file_a_directory_is_the_directorys(
        self, tmp_path: Path, write_log: WriteLog
    ) -> None:
        for lr in (0.1, 0.2):
            write_log(
                f"lr{lr}", **{"log_train.csv": "iteration,return\n0,1\n", "config.json": {"lr": lr}}
            )
        assert load(tmp_path, log=["log_*.csv"]).runs.select("run", "lr").rows() == [
            ("lr0.1", 0.1),
            ("lr0.2", 0.2),
        ]

    def test_a_glob_with_directories(self, tmp_path: Path, write_log: WriteLog) -> None:
        for part in ("train", "test"):
            write_log(f"a/{part}", **{"log.csv": "iteration,return\n0,1\n"})
        assert load(tmp_path, log=["*/train/*.csv"]).runs["run"].to_list() == ["a/train"]

    def test_the_log_of_a_run_of_ours(self, tmp_path: Path, write_run: WriteRun) -> None:
        run = write_run({"lr": 1}, 0, None)
        (run / "my.csv").write_text("step,loss\n0,7\n")
        assert load(tmp_path, log=["my.csv"]).runs["final/loss"].to_list() == [7.0]


class TestOurOwnTables:
    def test_an_export_is_no_run(self, tmp_path: Path, write_run: WriteRun) -> None:
        from runslot.results.export import export

        write_run({"lr": 1}, 0)
        before = load(tmp_path)
        export(before, tmp_path / "digits" / "digits-export", "csv")
        export(before, tmp_path / "other" / "long", "csv", long=True)
        assert load(tmp_path).runs.height == before.runs.height == 1
        assert load(tmp_path, log=["*.csv"]).runs.height == 1
        with pytest.raises(NotFound, match="a table that runslot wrote"):
            load(tmp_path / "other")


def test_settings_that_are_no_mapping_are_named(tmp_path: Path, write_log: WriteLog) -> None:
    write_log(
        "x",
        **{"progress.csv": "step,loss\n0,1\n", "config.yaml": "- 1\n- 2\n", "args.yaml": "a: [1\n"},
    )
    results = load(tmp_path)
    assert sorted(Path(problem.path).name for problem in results.problems) == [
        "args.yaml",
        "config.yaml",
    ]


def test_a_change_of_the_settings_alone_is_seen(tmp_path: Path, write_log: WriteLog) -> None:
    write_log("x", **{"progress.csv": "step,loss\n0,1\n"})
    write_log("x/.hydra", **{"config.yaml": "lr: 1\n"})
    reader = Reader(tmp_path)
    assert reader.read().runs["lr"].to_list() == [1]
    (tmp_path / "x" / ".hydra" / "config.yaml").write_text("lr: 22\n")
    assert reader.read().runs["lr"].to_list() == [22]


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\nb:\n  c: x y\n  d:\n  - 1\n  - two\n  e: null\nf: -1.5e-3\n",
        "a: true\nb: False\nc: ''\nd: \"q\"\n",
        "a: 1e-3\nb: 1_000\nc: 0x10\nd: .inf\ne: 12:30\nf: 010\n",
        "a: 2026-01-01\n",
        "a: [1, 2, x]\nb: {}\nc: []\n",
        "a: &x 1\nb: *x\n",
        "a: |\n  text\n  more\nb: 1\n",
        "- a=1\n- b=2\n",
        "a:\n- b: 1\n  c: 2\n- d\n",
        "a: ${b.c}\nb: /path/to/x # comment\n",
        "# only\na:\n  # deep\n  b: 1\n",
        "a: b: c\n",
        "",
    ],
)
def test_the_quick_reader_of_yaml_reads_what_the_whole_one_does(text: str) -> None:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        whole = YAML(typ="safe", pure=True).load(text)
    except YAMLError:
        with pytest.raises(Exception, match="is not YAML"):
            read_yaml(text)
        return
    assert json.dumps(read_yaml(text) or {}, default=str) == json.dumps(whole or {}, default=str)


def test_a_page_reads_by_the_template_of_its_address(tmp_path: Path, write_log: WriteLog) -> None:
    from runslot.view.web.live_runs import LiveRuns

    for algo in ("a2c", "ppo"):
        for seed in (1, 2):
            write_log(f"{algo}/pong_{seed}", **{"0.monitor.csv": MONITOR})
    watched = LiveRuns([tmp_path], cache=False)
    assert groups(watched.now().results) == [1, 1, 1, 1]
    by_path = watched.now("?path=%7Balgo%7D/%7Benv%7D_%7Bseed%7D&kind=bars")
    assert groups(by_path.results) == [2, 2]
    assert watched.now("path={algo}/{env}_{seed}") is by_path
    with pytest.raises(InvalidInput, match="has a brace without its other one"):
        watched.now("path={algo")
    for number in range(20):
        watched.now(f"path={{algo{number}}}")
    assert watched.now("path={algo}/{env}_{seed}") is not by_path
    started_with_it = LiveRuns([tmp_path], cache=False, path="{algo}/{env}_{seed}")
    assert groups(started_with_it.now().results) == [2, 2]


def test_the_page_says_what_was_read_and_what_was_not(tmp_path: Path, write_log: WriteLog) -> None:
    from runslot.view.data.choices import Choices
    from runslot.view.web.content import show
    from runslot.view.web.live_runs import LiveRuns

    write_log("a", **{"0.monitor.csv": MONITOR, "evaluations.npz": "", "config.json": "{"})
    notes = show(LiveRuns([tmp_path], cache=False).now(), Choices()).notes
    assert "read as: 1 Stable-Baselines3 monitor (parameters of config.json)" in notes
    assert "left unread: a/evaluations.npz (NumPy archives are not read)" in notes
    assert any(note.startswith("not read: a/config.json: ") for note in notes)


def test_what_workers_note_is_none_of_the_results(write_run, tmp_path):
    write_run({"lr": 0.1})
    journal = tmp_path / "digits" / "workers" / "slurm-0001-0" / "journal.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"event": "start", "time": 1.0}\n')
    assert load(tmp_path, cache=False).unread == ()
