"""What Hydra's sweeper `runslot` does: its words, Hydra's grammar as a space, searches that are
killed.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.adopters.conftest import wait_for

from runslot.errors import InvalidInput
from runslot.experiment.rundir import RunDir
from runslot.results import load

pytestmark = pytest.mark.adopters

pytest.importorskip("hydra", reason="needs hydra-core")

OURS = ("-m", "hydra/sweeper=runslot", "hydra/launcher=runslot", "hydra.sweep.dir=out")
CONFIG = "defaults:\n- model: small\n- _self_\nlr: 0.5\nseed: 0\n"
APP = """
import time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig
from runslot.hydra import report

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(cfg):
    job = HydraConfig.get()
    with (Path(__file__).parent / "told.txt").open("a") as told:
        told.write(f"{job.job.num} {list(job.overrides.task)} {cfg.get('word')!r}\\n")
    BODY

if __name__ == "__main__":
    main()
"""


class Project:
    """An application's directory, and what its users do there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        for name, text in {
            "config.yaml": CONFIG,
            "model/small.yaml": "width: 1\n",
            "model/large.yaml": "width: 2\n",
            "model/old.yaml": "width: 3\n",
        }.items():
            (directory / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / "conf" / name).write_text(text)

    def write(self, body: str) -> None:
        (self.directory / "app.py").write_text(APP.replace("BODY", body.replace("\n", "\n    ")))

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        argv = [sys.executable, "app.py", *arguments]
        pipe = subprocess.PIPE
        return subprocess.Popen(
            argv, cwd=self.directory, stdout=pipe, stderr=subprocess.STDOUT, text=True
        )

    def sweep(self, *arguments: str, code: int = 0) -> str:
        process = self.start(*OURS, *arguments)
        text, _ = process.communicate()
        assert process.returncode == code, text
        return text

    def runslot(self, *arguments: str) -> str:
        argv = [sys.executable, "-m", "runslot", *arguments]
        done = subprocess.run(argv, cwd=self.directory, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def told(self) -> list[str]:
        """Return a line for each time that a job ran, by the jobs' numbers."""
        lines = (self.directory / "told.txt").read_text().splitlines()
        return sorted(lines, key=lambda line: int(line.partition(" ")[0]))

    def best(self) -> dict[str, Any]:
        from omegaconf import OmegaConf

        value: Any = OmegaConf.to_container(
            OmegaConf.load(self.directory / "out" / "optimization_results.yaml")
        )
        return value


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_hydra_finds_the_sweeper() -> None:
    from hydra.core.plugins import Plugins
    from hydra.plugins.sweeper import Sweeper

    names = [plugin.__name__ for plugin in Plugins.instance().discover(Sweeper)]
    assert "RunslotSweeper" in names


def test_what_every_application_of_hydra_loads_is_the_plugin_alone() -> None:
    code = (
        "import sys, hydra_plugins.runslot_sweeper\n"
        "print([name for name in sys.modules if name.startswith('runslot')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_trials_are_drawn_from_hydras_grammar_and_the_best_is_written(project: Project) -> None:
    project.write("return (cfg.lr - 0.3) ** 2 + cfg.model.width")
    text = project.sweep(
        "lr=tag(log,interval(0.01,1))",
        "model=glob(*,exclude=o*)",
        "+word=\"a, ${seed}\",null,'x=y'",
        "seed=7",
        "hydra.sweeper.n_trials=6",
        "hydra.sweeper.sampler=tpe",
    )
    assert "search: 6 of 6 trials: 6 complete" in text
    told = project.told()
    assert [line.partition(" ")[0] for line in told] == list("012345")
    assert {line.rpartition("] ")[2] for line in told} <= {"'a, 7'", "None", "'x=y'"}
    assert all("'seed=7'" in line and "model=old" not in line for line in told)
    best = project.best()
    results = load(project.directory / "out")
    first = results.runs.sort("final/objective").row(0, named=True)
    assert list(best) == ["name", "best_params", "best_value"]
    assert best["best_value"] == pytest.approx(first["final/objective"])
    assert best["best_params"] == {key: first[key] for key in ("lr", "model", "word")}
    assert results.runs["model"].is_in(["small", "large"]).all()
    for number in range(6):
        job = project.directory / "out" / str(number)
        overrides = (job / ".hydra" / "overrides.yaml").read_text()
        assert f"lr={RunDir(job).read_run().run.variant['lr']!r}" in overrides


def test_a_search_that_was_killed_goes_on_with_each_trial_once(project: Project) -> None:
    project.write(
        "while job.job.num > 3 and not (Path(__file__).parent / 'go').exists():\n"
        "    time.sleep(0.05)\n"
        "return cfg.lr"
    )
    words = ("lr=interval(0,1)", "hydra.sweeper.n_trials=8", "hydra.sweeper.direction=maximize")
    process = project.start(*OURS, *words)
    wait_for((project.directory / "out" / "3" / ".hydra").exists)
    process.kill()
    process.communicate()
    assert not (project.directory / "out" / "optimization_results.yaml").exists()
    (project.directory / "go").touch()
    project.runslot("resume", "out")
    assert [line.partition(" ")[0] for line in project.told()] == [str(n) for n in range(8)]
    values = load(project.directory / "out").runs["final/objective"]
    assert project.best()["best_value"] == pytest.approx(values.max())


def test_what_jobs_report_ends_those_that_lag_behind(project: Project) -> None:
    # Each is worse than the one before. The last two begin when three have ended, and never end.
    project.write(
        "ended = Path(job.runtime.output_dir).parent.glob\n"
        "while job.job.num > 3 and len(list(ended('*/outcome.json'))) < 3:\n"
        "    time.sleep(0.05)\n"
        "for epoch in range(1, 10):\n"
        "    report(job.job.num + 1 / epoch, step=epoch)\n"
        "while job.job.num > 3:\n"
        "    time.sleep(0.05)\n"
        "return job.job.num"
    )
    text = project.sweep("lr=interval(0,1)", "hydra.sweeper.n_trials=6", "hydra.sweeper.prune=asha")
    assert " pruned, " in text
    runs = load(project.directory / "out").runs
    assert set(runs["state"]) == {"succeeded", "pruned"}
    best = runs.sort("final/objective").row(0, named=True)
    rows = Path(best["path"], "objective.csv").read_text().splitlines()
    assert rows[-1].startswith("10,")  # what it returned comes last


def test_seeds_race_on_a_metric_that_jobs_log(project: Project) -> None:
    project.write(
        "out = Path(job.runtime.output_dir, 'progress.csv')\n"
        "out.write_text(f'epoch,acc\\n0,0\\n1,{cfg.model.width + cfg.seed / 1000}\\n')\n"
        "return 'words'"
    )
    text = project.sweep(
        "model=small,large",
        "hydra.sweeper.metric=acc",
        "hydra.sweeper.direction=maximize",
        "hydra.sweeper.seeds=race:3..4",
        "hydra.sweeper.test_seeds=1",
    )
    assert "tested: acc 2.004 (1 seed that chose nothing)" in text
    assert project.best()["best_params"] == {"model": "large"}
    assert project.best()["best_value"] == pytest.approx(2.001)
    seeds = {tuple(line.split("'")[3::2]) for line in project.told()}
    assert ("seed=4",) in seeds


def test_a_grid_takes_any_launcher_and_means_over_seeds(project: Project) -> None:
    project.write("return cfg.lr + cfg.seed")
    words = ("lr=range(1,4)", "model=small,large", "hydra.sweeper.seeds=2")
    project.sweep(*words, "hydra/launcher=basic")
    told = project.told()
    assert len(told) == 12
    assert told[1].startswith("1 ['lr=1', 'model=small', 'seed=1']")
    assert project.best() == {
        "name": "runslot",
        "best_params": {"lr": 1, "model": "small"},
        "best_value": 1.5,
    }
    assert (project.directory / "out" / "multirun.yaml").exists()


def test_a_search_whose_jobs_tell_nothing_ends_after_the_first(project: Project) -> None:
    project.write("return None")
    text = project.sweep("lr=interval(0,1)", "hydra.sweeper.n_trials=30", code=1)
    assert "neither returned a number nor reported one" in text
    assert "Traceback" not in text
    assert len(project.told()) < 10


def test_a_search_of_which_no_trial_succeeds_says_why(project: Project) -> None:
    project.write("raise ValueError('no good')")
    text = project.sweep("lr=interval(0,1)", "hydra.sweeper.n_trials=2", code=1)
    assert "none of 2 trials succeeded; the first: ValueError: no good" in text
    assert "Traceback" not in text


# ---- words ---------------------------------------------------------------------------------------

WORDS: dict[str, Any] = {
    "sampler": None, "n_trials": None, "direction": None, "metric": None, "prune": "none",
    "seeds": None, "seed_key": "seed", "test_seeds": 0, "budget": None, "judged": "final",
    "step": None, "sampler_seed": 0, "params": None,
}  # fmt: skip
BAD_WORDS = [
    ({"sampler": "tpee"}, "hydra.sweeper.sampler=tpee is none of grid, auto"),
    ({"direction": "max"}, "hydra.sweeper.direction=max"),
    ({"metric": "accuracy"}, "hydra.sweeper.metric=accuracy: say which way is better"),
    ({"n_trials": 0}, "hydra.sweeper.n_trials must be a whole number"),
    ({"prune": "ash"}, "hydra.sweeper.prune must be one of"),
    ({"seeds": 0}, "hydra.sweeper.seeds=0"),
    ({"seeds": "race:1..x"}, "hydra.sweeper.seeds=race:1..x"),
    ({"seeds": [1, 1]}, "has a seed twice"),
    ({"budget": "8x"}, "hydra.sweeper.budget must be a length of time"),
    ({"test_seeds": -1}, "hydra.sweeper.test_seeds must be"),
    ({"judged": "middle"}, "middle"),
]


@pytest.mark.parametrize(("word", "message"), BAD_WORDS)
def test_a_word_that_cannot_be_meant_is_refused_by_its_name(
    word: dict[str, Any], message: str
) -> None:
    from runslot.hydra.settings import SweepSettings

    SweepSettings.of(WORDS)
    with pytest.raises(InvalidInput) as refusal:
        SweepSettings.of({**WORDS, **word})
    assert message in str(refusal.value)


def test_every_word_of_the_settings_is_one_of_the_config_group() -> None:
    from dataclasses import fields

    from hydra_plugins.runslot_sweeper import RunslotSweeperConf

    assert {each.name for each in fields(RunslotSweeperConf)} == {"_target_", *WORDS}


REFUSED = [
    (("hydra.sweeper.n_trials=2",), "has nothing to draw from"),
    (("lr=interval(0,1)",), "lr is an interval, of which a grid has no end"),
    (
        ("lr=1,2", "hydra.sweeper.n_trials=2", "hydra.sweeper.sampler=grid"),
        "sampler=grid runs every combination",
    ),
    (
        ("lr=interval(0,1)", "hydra.sweeper.n_trials=2", "hydra/launcher=basic"),
        "hydra/launcher=basic runs jobs in batches",
    ),
    (
        ("lr=interval(0,1)", "hydra.sweeper.n_trials=2", "hydra.launcher.on=far"),
        "hydra.launcher.on=far: a search composes each trial when it begins, here: leave",
    ),
    (
        ("lr=interval(0,1)", "hydra.sweeper.n_trials=2", "hydra.launcher.on=nowhere"),
        "nowhere",
    ),
    (("seed=1,2", "lr=interval(0,1)", "hydra.sweeper.n_trials=2"), "seed is swept"),
    (("lr=interval(0,1)", "hydra.sweeper.n_trials=2", "hydra.sweep.subdir=x"), "sweep.subdir=x"),
    (("lrr=interval(0,1)", "hydra.sweeper.n_trials=2"), "lrr"),
    (("model=small,none", "hydra.sweeper.n_trials=2"), "model/none"),
]


@pytest.mark.parametrize(("words", "message"), REFUSED, ids=[" ".join(w) for w, _ in REFUSED])
def test_words_that_do_not_go_together_are_refused_before_anything_starts(
    project: Project, words: tuple[str, ...], message: str
) -> None:
    project.write("return 1.0")
    (project.directory / "runslot.toml").write_text(
        '[launchers.far]\nkind = "ssh"\nhosts = ["far1"]\n'
    )
    text = project.sweep(*words, code=1)
    assert message in text
    assert "Traceback" not in text
    assert not (project.directory / "out").exists()


# ---- Hydra's grammar as a space ------------------------------------------------------------------

AXES = [
    ("a=1,2.5,x", "choice(1, 2.5, \"x\")", {"a": "x"}, "a=x"),
    ("a=true,null,[1,b]", 'choice(true, null, [1, "b"])', {"a": [1, "b"]}, "a=[1,b]"),
    ("+a.b=range(1,9,2)", "integers(1, 7, 2)", {"a": {"b": 5}}, "+a.b=5"),
    ("a=range(4)", "integers(0, 3)", {"a": 0}, "a=0"),
    ("a=range(0.5,2,0.5)", "choice(0.5, 1.0, 1.5)", {"a": 1.0}, "a=1.0"),
    ("a=tag(log,range(1,9))", "logintegers(1, 8)", {"a": 8}, "a=8"),
    ("a=interval(0,1)", "uniform(0.0, 1.0)", {"a": 1e-05}, "a=1e-05"),
    ("a=tag(log,interval(1e-5,1))", "loguniform(1e-05, 1.0)", {"a": 0.1}, "a=0.1"),
    ("a=int(interval(1,8))", "integers(1, 8)", {"a": 8}, "a=8"),
    ("a=tag(log,int(interval(1,8)))", "logintegers(1, 8)", {"a": 8}, "a=8"),
    ("db/engine@x.y='a,b','c'", 'choice("a,b", "c")', {"db/engine@x": {"y": "a,b"}}, "db/engine@x.y='a,b'"),
    ("a=1,1,2", "choice(1, 2)", {"a": 2}, "a=2"),
    ("a={b:1},{b:2}", 'choice({"b": 1}, {"b": 2})', {"a": {"b": 2}}, "a={b:2}"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "words", "values", "override"), AXES)
def test_an_override_as_a_space_and_back(
    text: str, words: str, values: dict[str, Any], override: str
) -> None:
    from runslot.hydra.space import read_space

    space = read_space(["fixed='x y'", text, "~gone"], None)
    (axis,) = space.axes.values()
    assert axis.distribution.words() == words
    assert space.overrides(values) == ["fixed='x y'", override, "~gone"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a=tag(x,interval(0,1))", "the tag x means nothing here"),
        ("a=tag(log,choice(1,2))", "tag(log, …) is for an interval"),
        ("a=tag(log,interval(0,1))", "a=tag(log,interval(0,1)): loguniform"),
        ("a=interval(1,1)", "a=interval(1,1): uniform"),
    ],
)
def test_an_override_that_is_no_space_is_refused_as_it_was_written(text: str, message: str) -> None:
    from runslot.hydra.space import read_space

    with pytest.raises(InvalidInput) as refusal:
        read_space([text], None)
    assert message in str(refusal.value)
