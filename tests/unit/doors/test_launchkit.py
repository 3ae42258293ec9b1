"""Scripts of launchkit's and RLKit's shape through launchkit's door: real scripts, real processes,
real files.
"""

from __future__ import annotations

import csv
import enum
import json
import os
import pickle
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runslot import DoesNotFit, InvalidInput, Variant, grid, logger
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.status import find_experiments, read_status
from runslot.hardware.probe import probe
from runslot.launch.launch import launch
from runslot.launch.printer import Printer
from runslot.launchkit import (
    DeterministicHyperparameterSweeper,
    Launched,
    run_experiment,
    run_experiment_here,
)

Run = Callable[..., "subprocess.CompletedProcess[str]"]

NAME = re.compile(
    r"(\d\d-\d\d-)?(?P<prefix>.+)_\d{4}(_\d\d){5}_(?P<exp_id>\d{4})--s-(?P<seed>-?\d+)(?P<count>-\d+)?"
)


def rows(run_dir: Path) -> list[dict[str, str]]:
    with (run_dir / "progress.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def variant_of(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "variant.json").read_text())


def remember(variant: dict[str, Any]) -> None:
    """Leave what was received, and a draw of `random`, in the run's directory."""
    received = {
        key: value if isinstance(value, (str, int, list)) else repr(value)
        for key, value in variant.items()
    }
    logger.save_extra_data(
        {"received": received, "drawn": random.random()}, "seen.json", mode="json"
    )


def seen(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "seen.json").read_text())


def fail(variant: dict[str, Any]) -> None:
    raise RuntimeError(f"no luck with {variant['x']}")


# ---- scripts -------------------------------------------------------------------------------------


def test_the_readme_is_six_runs(run_script: Run, root: Path) -> None:
    said = run_script("launch_readme.py").stdout.splitlines()
    assert said[0] == "6 runs: hyperparam1 ×2, hyperparam2 ×3; sweep=False takes lists as they are"
    log_dirs = [Path(line) for line in said[-6:]]
    (collection,) = {path.parent for path in log_dirs}
    assert collection.parent == root
    assert re.fullmatch(r"\d\d-\d\d-test", collection.name)
    seeds = set()
    for number, log_dir in enumerate(log_dirs):
        match = NAME.fullmatch(log_dir.name)
        assert match is not None
        assert match["exp_id"] == f"{number:04d}"
        assert log_dir.name.startswith(f"{collection.name}_")
        seeds.add(match["seed"])
        variant = variant_of(log_dir)
        assert variant == {
            "hyperparam1": ["something", "something else"][number // 3],
            "hyperparam2": [1, 2, 3][number % 3],
            "hyperparam_fixed": False,
            "seed": match["seed"],
            "exp_id": str(number),
            "exp_prefix": collection.name,
            "instance_type": "None",
        }
        assert rows(log_dir) == [{"hyperparam2": str(variant["hyperparam2"])}]
    assert len(seeds) > 1  # one is drawn for each run


def test_a_loop_over_a_sweeper_and_the_files_of_a_run(
    run_script: Run, root: Path, project: Path
) -> None:
    for command in (
        ["git", "init", "-q"],
        ["git", "add", "."],
        ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", "x"],
    ):
        subprocess.run(command, cwd=project, check=True)
    with (project / "train_atari.py").open("a") as file:
        file.write("# a change\n")
    run_script("launch_math.py")
    (collection,) = root.iterdir()
    log_dirs = sorted(path for path in collection.iterdir() if path.name != ".runslot")
    assert collection.name.endswith("-test-math")
    assert all(NAME.fullmatch(path.name)["prefix"] == "test_math" for path in log_dirs)
    assert sorted((variant_of(path)["x"], variant_of(path)["y"]) for path in log_dirs) == [
        (x, y) for x in (1, 2, 3) for y in (2, 3)
    ]
    for log_dir in log_dirs:
        variant = variant_of(log_dir)
        assert len(rows(log_dir)) == 10
        assert float(rows(log_dir)[-1]["sum"]) == variant["x"] + 9 + variant["y"]
        assert sorted(path.name for path in log_dir.glob("itr_*.pkl")) == [
            f"itr_{n}.pkl" for n in (0, 3, 6, 9)
        ]
        assert pickle.loads((log_dir / "params.pkl").read_bytes()) == {"t": 9}
        assert pickle.loads((log_dir / "myfile.pkl").read_bytes()) == {}
        arguments = pickle.loads((log_dir / "experiment.pkl").read_bytes())[
            "run_experiment_here_kwargs"
        ]
        assert arguments["variant"] == variant
        assert (arguments["snapshot_mode"], arguments["snapshot_gap"]) == ("gap_and_last", 3)
        assert (log_dir / "script_name.txt").read_text().endswith("launch_math.py")
        infos = (log_dir / "git_infos.txt").read_text()
        assert infos.startswith(f"directory: {project.resolve()}\ngit hash: ")
        (patch,) = log_dir.glob("*.patch")
        assert "+# a change" in patch.read_text()
        assert f"[{log_dir.name}] time" in (log_dir / "debug.log").read_text()
    assert len(list(find_experiments(root))) == 6


def test_a_loop_that_does_not_wait_is_waited_for_at_the_scripts_end(
    run_script: Run, root: Path
) -> None:
    said = run_script("launch_math.py", "--skip-wait").stdout
    assert said.count(" started ") == said.count(" succeeded ") == 6
    (collection,) = root.iterdir()
    log_dirs = [path for path in collection.iterdir() if path.name != ".runslot"]
    assert [RunDir(path).read_outcome().kind for path in log_dirs] == ["succeeded"] * 6
    assert [len(rows(path)) for path in log_dirs] == [10] * 6


def test_rlkits_script_logger_classes_functions_enums_and_seeds(
    run_script: Run, root: Path
) -> None:
    run_script("launch_td3.py")
    (collection,) = root.iterdir()
    log_dirs = sorted(path for path in collection.iterdir() if path.name != ".runslot")
    found = []
    for log_dir in log_dirs:
        assert RunDir(log_dir).read_outcome().kind == "succeeded", (
            log_dir / "console.log"
        ).read_text()
        variant = variant_of(log_dir)
        match = NAME.fullmatch(log_dir.name)
        found.append(
            (int(match["exp_id"]), int(match["seed"]), variant["trainer_kwargs"]["discount"])
        )
        assert (variant["exp_id"], variant["seed"]) == (str(found[-1][0]), str(found[-1][1]))
        assert variant["env"] == {"$enum": "__main__.Env.CHEETAH"}
        assert variant["activation"] == {"$function": "__main__.squash"}
        assert variant["policy_class"] == {"$class": "__main__.Policy"}
        assert variant["trainer_class"] == {"$class": "rlkit.torch.td3.TD3Trainer"}
        assert (variant["layer_sizes"], variant["policy_kwargs"]["hidden_sizes"]) == (
            [400, 300],
            [256, 256],
        )
        # written by RLKit's algorithm through RLKit's own logger
        assert [row["Epoch"] for row in rows(log_dir)] == ["0", "1"]
        assert {row["discount"] for row in rows(log_dir)} == {
            str(variant["trainer_kwargs"]["discount"])
        }
        assert pickle.loads((log_dir / "params.pkl").read_bytes()) == {"epoch": 1}
    assert found == [(0, 10, 0.9), (1, 11, 0.9), (2, 10, 0.99), (3, 11, 0.99)]


def test_a_script_that_runs_in_its_own_process(run_script: Run, root: Path) -> None:
    seed = run_script("launch_here.py").stdout.splitlines()[-1]
    ((log_dir,),) = [list(collection.iterdir()) for collection in root.iterdir()]
    assert log_dir.name.endswith(f"_0000--s-{seed}")
    assert variant_of(log_dir)["seed"] == seed
    assert [row["Epoch"] for row in rows(log_dir)] == ["0", "1"]
    log = (log_dir / "debug.log").read_text()
    assert "received ['algo_kwargs', 'exp_id', 'exp_prefix', 'instance_type', 'seed']" in log
    arguments = pickle.loads((log_dir / "experiment.pkl").read_bytes())[
        "run_experiment_here_kwargs"
    ]
    assert arguments["variant"]["algo_kwargs"] == {"batch_size": 256}
    assert (log_dir / "script_name.txt").read_text().endswith("launch_here.py")


# ---- slots, waiting, Ctrl-C ----------------------------------------------------------------------


@pytest.mark.skipif(len(probe(gpus=False).cores) < 2, reason="needs two cores")
def test_calls_that_do_not_wait_fill_the_machines_slots(tmp_path: Path) -> None:
    def meet(variant: dict[str, Any]) -> None:
        own, other = (
            os.path.join(variant["place"], name) for name in (variant["own"], variant["other"])
        )
        with open(own, "w"):
            pass
        while not os.path.exists(other):  # ends only where both run at the same time
            time.sleep(0.01)

    calls = [
        run_experiment(
            meet,
            variant={"place": str(tmp_path), "own": own, "other": other},
            exp_prefix="meet",
            skip_wait=True,
        )
        for own, other in (("a", "b"), ("b", "a"))
    ]
    assert [call.wait().all_succeeded for call in calls] == [True, True]
    assert [call.done for call in calls] == [True, True]
    assert {outcome.slot for call in calls for outcome in call.outcomes} == {0, 1}


@pytest.mark.skipif(sys.platform != "linux", reason="functions start cold here")
def test_calls_of_one_function_share_what_imported_it() -> None:
    def imported_by(variant: dict[str, Any]) -> None:
        keeper = os.getppid()
        template = int(Path(f"/proc/{keeper}/stat").read_text().rpartition(")")[2].split()[1])
        logger.save_extra_data(template, "seen.json", mode="json")

    calls = [
        run_experiment(imported_by, variant=Variant({"x": x}), skip_wait=True) for x in range(3)
    ]
    assert all(call.wait().all_succeeded for call in calls)
    assert len({int((call.log_dirs[0] / "seen.json").read_text()) for call in calls}) == 1


@pytest.mark.parametrize("where", ["in the call", "between the calls", "at the script's end"])
def test_ctrl_c_stops_the_runs(until, where: str, project: Path, root: Path) -> None:
    runs = (os.cpu_count() or 1) + 1
    (project / "launch.py").write_text(
        "import time\n"
        "from runslot.launchkit import run_experiment\n"
        "def sleep(variant):\n"
        "    print('up', flush=True)\n"
        "    time.sleep(600)\n"
        f"run_experiment(sleep, variant=dict(x=list(range({runs}))), sweep=True,"
        f" skip_wait={where != 'in the call'})\n"
        f"time.sleep({600 if where == 'between the calls' else 0})\n"
    )
    launcher = subprocess.Popen(
        [sys.executable, "launch.py"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    until(lambda: any(console.read_text() for console in root.glob("*/*/console.log")))
    launcher.send_signal(signal.SIGINT)
    output, _ = launcher.communicate(timeout=60)
    (experiment,) = find_experiments(root)
    states = [each.state for each in read_status(experiment).runs]
    assert set(states) == {"stopped", "queued"}, output
    assert "stopping" in output


def test_after_ctrl_c_at_a_scripts_end_the_runs_of_all_its_calls_are_waited_for(
    until, project: Path, root: Path
) -> None:
    (project / "launch.py").write_text(
        "import signal, time\n"
        "from runslot.launchkit import run_experiment\n"
        "def sleep(variant):\n"
        "    if variant['slow']:\n"
        "        signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1), exit(1)))\n"
        "    print('up', flush=True)\n"
        "    time.sleep(600)\n"
        "for slow in (False, True):\n"
        "    run_experiment(sleep, variant=dict(slow=slow), skip_wait=True)\n"
    )
    launcher = subprocess.Popen(
        [sys.executable, "launch.py"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    both = min(2, len(probe(gpus=False).cores))
    until(
        lambda: (
            len([console for console in root.glob("*/*/console.log") if console.read_text()])
            == both
        )
    )
    launcher.send_signal(signal.SIGINT)
    output, _ = launcher.communicate(timeout=60)
    assert launcher.returncode == -signal.SIGINT, output
    states = [each.state for call in find_experiments(root) for each in read_status(call).runs]
    assert sorted(states) == ["queued"] * (2 - both) + ["stopped"] * both, output


def test_a_stopped_call_is_resumed(project: Path, root: Path) -> None:
    launched = run_experiment(fail, variant={"x": [1, 2]}, sweep=True, exp_prefix="retry")
    assert [outcome.kind for outcome in launched.outcomes] == ["failed", "failed"]
    outcomes = launch(ExperimentDir(launched.directory), Printer(), failed=True)
    assert [outcome.attempt for outcome in outcomes] == [2, 2]
    for log_dir in launched.log_dirs:
        assert (log_dir / "experiment.pkl").exists()
        assert (log_dir / "attempt_1" / "outcome.json").exists()


# ---- what the function receives ------------------------------------------------------------------


def test_the_function_receives_a_dict_of_its_own_and_the_callers_is_unchanged() -> None:
    asked: dict[str, Any] = {"nested": {"a": [1]}, "x": 1}
    launched = run_experiment(
        remember, variant=asked, exp_prefix="pre", seed=5, exp_id=3, instance_type="c4.large"
    )
    assert asked == {"nested": {"a": [1]}, "x": 1}
    received = seen(launched.log_dirs[0])["received"]
    prefix = launched.log_dirs[0].parent.name
    added = {"seed": "5", "exp_id": "3", "exp_prefix": prefix, "instance_type": "c4.large"}
    assert received == {"nested": repr({"a": [1]}), "x": 1} | added
    assert launched.log_dirs[0].name.endswith("_0003--s-5")


def test_runs_are_seeded(tmp_path: Path) -> None:
    one = run_experiment(
        remember, variant={"seed": [7, 8]}, exp_prefix="seeds", base_log_dir=tmp_path
    )
    random.seed(7)
    drawn = [seen(log_dir)["drawn"] for log_dir in one.log_dirs]
    assert drawn[0] == random.random()
    assert drawn[0] != drawn[1]
    assert all(log_dir.parent.parent == tmp_path for log_dir in one.log_dirs)


@pytest.mark.parametrize(
    ("given", "in_variant", "used"),
    [(3, None, "3"), ("3", None, "3"), (3, 4, "3"), (None, "4", "4"), (None, 4, "4"), (0, 4, "0")],
)
def test_seeds_are_numbers_or_text_given_or_in_the_variant(
    given: Any, in_variant: Any, used: str
) -> None:
    variant = None if in_variant is None else {"seed": in_variant}
    received = run_experiment(
        lambda variant: variant, mode="here_no_doodad", variant=variant, seed=given
    )
    assert received["seed"] == used


def test_none_is_a_variant_and_a_prefix_without_a_date() -> None:
    launched = run_experiment(remember, prepend_date_to_exp_prefix=False, exp_prefix="with_bars_a")
    (log_dir,) = launched.log_dirs
    assert log_dir.parent.name == "with-bars-a"
    assert log_dir.name.startswith("with_bars_a_2")
    assert sorted(seen(log_dir)["received"]) == ["exp_id", "exp_prefix", "instance_type", "seed"]


def test_unpacked_variants_are_keyword_arguments() -> None:
    def with_seed(x: int, seed: str, **others: Any) -> None:
        logger.save_extra_data([x, seed, sorted(others)], "seen.json", mode="json")

    def without(x: int, y: int = 5) -> None:
        logger.save_extra_data([x, y], "seen.json", mode="json")

    launched = run_experiment(
        with_seed, variant={"x": 1, "logger_config": {}}, unpack_variant=True, seed=4
    )
    assert launched.outcomes.all_succeeded
    assert seen(launched.log_dirs[0]) == [1, "4", []]
    launched = run_experiment(without, variant={"x": 1}, unpack_variant=True, seed=4)
    assert launched.outcomes.all_succeeded, launched.outcomes.failed
    assert seen(launched.log_dirs[0]) == [1, 5]


def test_values_that_json_does_not_hold_arrive_as_they_are() -> None:
    class Color(enum.Enum):
        RED = 1

    def check(variant: dict[str, Any]) -> None:
        assert variant["pair"] == (1, 2)
        assert variant["call"](2) == 4
        assert variant["colors"] == {Color.RED: 1}
        assert variant["cls"]().x == 3

    class Local:
        x = 3

    variant = {"pair": (1, 2), "call": lambda x: x * 2, "colors": {Color.RED: 1}, "cls": Local}
    launched = run_experiment(check, variant=variant)
    assert launched.outcomes.all_succeeded, launched.outcomes.failed


# ---- what is a space -----------------------------------------------------------------------------

SPACES: list[tuple[Any, bool | None, list[dict[str, Any]]]] = [
    # A list of texts, a dotted key, a seed: only a sweep has them, and numbers beside them are
    # choices too.
    ({"a": ["x", "y"], "b": [1, 2]}, None, [{"a": a, "b": b} for a in "xy" for b in (1, 2)]),
    ({"a.b": [1, 2]}, None, [{"a": {"b": 1}}, {"a": {"b": 2}}]),
    ({"a": [400], "b": [True, False]}, None, [{"a": 400, "b": True}, {"a": 400, "b": False}]),
    ({"a": [400, 300]}, True, [{"a": 400}, {"a": 300}]),
    ({"a": [400, 300]}, False, [{"a": [400, 300]}]),
    ({"a": (400, 300)}, None, [{"a": (400, 300)}]),
    ({"a.b": [1, 2], "c": 3}, True, [{"a": {"b": 1}, "c": 3}, {"a": {"b": 2}, "c": 3}]),
    (
        {"a": (1, 2), "b": {"c": [1, 2]}, "d": []},
        True,
        [{"a": (1, 2), "b": {"c": [1, 2]}, "d": []}],
    ),
    ({"a": [[256, 256], [64]]}, True, [{"a": [256, 256]}, {"a": [64]}]),
    ({"a": [256, 256]}, False, [{"a": [256, 256]}]),
    (Variant({"a": [256, 256]}), True, [{"a": [256, 256]}]),
    (grid({"a": [1, 2]}), True, [{"a": 1}, {"a": 2}]),
    ([{"a": [1]}, {"a": [2]}], True, [{"a": [1]}, {"a": [2]}]),
    (
        DeterministicHyperparameterSweeper({"a": [[1], [1]]}).iterate_hyperparameters()[:1],
        True,
        [{"a": [1]}],
    ),
]


@pytest.mark.parametrize(
    ("variant", "sweep", "expected"),
    SPACES,
    ids=[f"{space[0]} {space[1]}"[:48] for space in SPACES],
)
def test_what_is_a_space_and_what_is_a_value(
    variant: Any, sweep: bool | None, expected: list[dict[str, Any]]
) -> None:
    def received(variant: dict[str, Any]) -> dict[str, Any]:
        return {
            key: variant[key]
            for key in variant
            if key not in ("seed", "exp_id", "exp_prefix", "instance_type")
        }

    found = run_experiment(received, mode="here_no_doodad", variant=variant, sweep=sweep)
    assert (found if len(expected) > 1 else [found]) == expected


def test_the_plan_is_said_only_where_something_is_swept(capsys: pytest.CaptureFixture[str]) -> None:
    run_experiment(len, mode="here_no_doodad", variant={"a": 1})
    assert "runs" not in capsys.readouterr().out
    run_experiment(len, mode="here_no_doodad", variant=grid({"a": [1, 2]}))
    assert capsys.readouterr().out.splitlines()[0] == "2 runs: a ×2"


def test_exp_ids_are_counted_up_from_the_one_given() -> None:
    ids = run_experiment(
        lambda v: v["exp_id"], mode="here_no_doodad", variant={"a": [1, 2, 3]}, sweep=True, exp_id=5
    )
    assert ids == ["5", "6", "7"]


# ---- refusals ------------------------------------------------------------------------------------

BAD: list[tuple[dict[str, Any], str]] = [
    ({"mode": "ec2"}, "launchers.ec2 needs the key bucket"),
    ({"mode": "local_docker"}, "mode 'local_docker' needs an image: write docker_image"),
    ({"mode": "ssh"}, "mode 'ssh' needs a host"),
    ({"mode": "ssh", "ssh_host": "-x"}, "cannot be a host"),
    (
        {"mode": "local_singularity"},
        "mode 'local_singularity' needs an image: write singularity_image",
    ),
    (
        {"mode": "slurm_singularity"},
        "mode 'slurm_singularity' needs an image: write singularity_image",
    ),
    ({"mode": "sss"}, "mode 'sss' needs an image"),
    ({"mode": "gcp"}, "launchers.gcp needs the key bucket"),
    ({"mode": "gcp", "gcp_kwargs": {"zon": "us-central1-a"}}, "gcp_kwargs has no 'zon'.*'zone'"),
    ({"mode": "ec2", "num_exps_per_instance": 0}, "num_exps_per_instance"),
    ({"mode": "lokal"}, r"no mode 'lokal' \(did you mean 'local'\?\)"),
    ({"mode": None}, "no mode None"),
    (
        {"variant": Variant({"a.b": 1})},
        r"the key a.b of a variant has a dot in it: write \{'a': \{'b': …\}\}",
    ),
    ({"variant": {"c": {"a.b": 1}}}, "the key c.a.b of a variant has a dot in it"),
    ({"variant": {"a.b": 1}, "sweep": False}, "a.b of a variant has a dot"),
    ({"variant": {"hidden_sizes": [256, 256]}}, "sweep=False takes lists as they are"),
    (
        {"variant": {"hidden_sizes": [400, 300], "lr": 0.1}},
        r"hidden_sizes is \[400, 300\].*sweep=True.*sweep=False",
    ),
    ({"variant": {"betas": [0.9, 0.999], "sizes": [400, 300, 200]}}, r"betas is \[0.9, 0.999\]"),
    ({"variant": 3}, "3 is no space of variants"),
    ({"seed": "abc"}, "seed must be a whole number, as a number or as text, not 'abc'"),
    ({"seed": 1.5}, "seed must be"),
    ({"seed": True}, "seed must be"),
    ({"exp_id": "x"}, "exp_id must be"),
    ({"exp_id": -1}, "the least is 0"),
    ({"snapshot_mode": "lst"}, "last"),
    ({"snapshot_gap": 0}, "snapshot_gap"),
    ({"exp_prefix": "../x"}, "experiment's name"),
    ({"local_input_dir_to_mount_point_dict": {"a": "/b"}}, "containers"),
    ({"method_call": "nowhere.py:f"}, "nowhere.py"),
    ({"method_call": 3}, "not a function"),
    ({"variant": {"lock": threading.Lock()}}, "cannot travel"),
]


@pytest.mark.parametrize(("changed", "said"), BAD, ids=[said for _, said in BAD])
def test_what_is_refused_leaves_nothing_behind(
    changed: dict[str, Any], said: str, root: Path
) -> None:
    with pytest.raises(InvalidInput, match=said):
        run_experiment(**({"method_call": remember} | changed))
    assert not root.exists() or not any(path.is_file() for path in root.rglob("*"))


@pytest.mark.parametrize("skip_wait", [False, True])
def test_a_call_that_the_engine_refuses_takes_its_directories_back(
    skip_wait: bool, project: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = run_experiment(remember, exp_prefix="pre")
    own = (
        f"import os\nif os.getpid() != {os.getpid()}: raise OSError('not here')\ndef"
        " train(variant): pass\n"
    )
    (project / "only_here.py").write_text(own)
    monkeypatch.syspath_prepend(str(project))
    import only_here  # type: ignore[import-not-found]

    with pytest.raises(
        InvalidInput, match=r"(?s)cannot be imported, so no run was started.*not here"
    ):
        run_experiment(
            only_here.train,
            variant={"x": [1, 2]},
            sweep=True,
            exp_prefix="pre",
            skip_wait=skip_wait,
        )
    del sys.modules["only_here"]
    (collection,) = root.iterdir()
    assert sorted(path.name for path in collection.iterdir()) == [".runslot", kept.log_dirs[0].name]
    assert len(list((collection / ".runslot").iterdir())) == 1


def test_a_call_after_one_that_was_refused_runs(tmp_path: Path) -> None:
    """The refused one was the first, and is gone with the log that it gave to the launcher."""
    (tmp_path / "works.py").write_text("def train(variant): open('done', 'w').close()\n")
    (tmp_path / "only_here.py").write_text(
        "import os\nif os.environ.pop('HERE', '') != 'x': raise OSError('not here')\n"
        "def train(variant): pass\n"
    )
    (tmp_path / "script.py").write_text(
        "import os, time, only_here, works\nfrom runslot import InvalidInput\n"
        "from runslot.launchkit import run_experiment\n"
        "try: run_experiment(only_here.train, exp_prefix='pre', skip_wait=True)\n"
        "except InvalidInput as error: print(error)\n"
        "time.sleep(1.1)\n"  # the next one's directory has another name, which is of the second
        "run_experiment(works.train, exp_prefix='pre', skip_wait=True)\n"
    )
    done = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env={**os.environ, "HERE": "x", "RUNSLOT_ROOT": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "not here" in done.stdout
    (outcome,) = (tmp_path / "runs").rglob("outcome.json")
    assert json.loads(outcome.read_text())["kind"] == "succeeded"


@pytest.mark.skipif(bool(probe().gpus), reason="this machine has GPUs")
@pytest.mark.parametrize("skip_wait", [False, True])
def test_use_gpu_needs_a_gpu(skip_wait: bool, root: Path) -> None:
    with pytest.raises(DoesNotFit, match="GPU"):
        run_experiment(remember, use_gpu=True, skip_wait=skip_wait)
    assert not list(root.iterdir())


# ---- directories ---------------------------------------------------------------------------------


def test_two_calls_in_one_second_never_share_a_directory(root: Path) -> None:
    now = datetime.now()
    for second in range(60):  # as if other calls had just been made, whichever second it is now
        name = f"pre_{now + timedelta(seconds=second):%Y_%m_%d_%H_%M_%S}_0000--s-5"
        (root / "pre" / name).mkdir(parents=True)
    launched = run_experiment(remember, exp_prefix="pre", seed=5, prepend_date_to_exp_prefix=False)
    (log_dir,) = launched.log_dirs
    assert NAME.fullmatch(log_dir.name)["count"] == "-2"
    assert seen(log_dir)["received"]["seed"] == "5"


def test_the_prefix_is_a_collection_in_which_each_call_has_a_record(root: Path) -> None:
    calls = [run_experiment(remember, variant={"x": x}, exp_prefix="pre") for x in (1, 2)]
    (collection,) = root.iterdir()
    assert [call.directory.parent for call in calls] == [collection / ".runslot"] * 2
    assert [each.path for each in find_experiments(collection)] == [
        call.directory for call in calls
    ]
    for call in calls:
        (status,) = read_status(ExperimentDir(call.directory)).runs
        assert collection / status.run.directory == call.log_dirs[0]
        assert status.state == "succeeded"


def test_a_handle_says_what_it_is() -> None:
    launched = run_experiment(fail, variant={"x": 1})
    assert isinstance(launched, Launched)
    assert launched.wait().failed[0][1].message == "RuntimeError: no luck with 1"
    assert repr(launched) == f"Launched(1 runs, ended; {launched.directory})"


# ---- in this process -----------------------------------------------------------------------------


def test_run_experiment_here_returns_what_the_function_returns_and_lets_the_logger_go(
    tmp_path: Path,
) -> None:
    asked = {"sizes": [256, 256]}

    def train(variant: dict[str, Any]) -> str:
        variant["sizes"].append(1)
        logger.record_dict({"a": 1})
        logger.dump_tabular()
        return str(logger.get_snapshot_dir())

    where = run_experiment_here(
        train, asked, exp_id=2, seed="3", exp_prefix="a_b", base_log_dir=tmp_path
    )
    log_dir = Path(where)
    assert asked == {"sizes": [256, 256]}
    assert log_dir.parent == tmp_path / "a-b"
    assert log_dir.name.startswith("a_b_")
    assert log_dir.name.endswith("_0002--s-3")
    assert rows(log_dir) == [{"a": "1"}]
    assert variant_of(log_dir) == {"sizes": [256, 256], "exp_id": "2", "seed": "3"}
    assert logger.get_snapshot_dir() is None
    drawn = run_experiment_here(lambda variant: random.random(), seed=3, log_dir=tmp_path / "given")
    random.seed(3)
    assert drawn == random.random()
    assert (tmp_path / "given" / "variant.json").exists()


def test_run_experiment_here_lets_errors_and_odd_values_through(tmp_path: Path) -> None:
    lock = threading.Lock()
    variant = {"lock": lock, "x": 1}
    assert run_experiment_here(lambda v: v["lock"], variant, log_dir=tmp_path / "a") is lock
    assert "no experiment.pkl" in (tmp_path / "a" / "debug.log").read_text()
    with pytest.raises(RuntimeError, match="no luck with 1"):
        run_experiment_here(fail, {"x": 1}, log_dir=tmp_path / "b")
    assert logger.get_snapshot_dir() is None
    with pytest.raises(InvalidInput, match="one variant, a dict, not a list"):
        run_experiment_here(fail, [{"x": 1}])  # type: ignore[arg-type]


DEVICE = """
import sys
from runslot import run_experiment, run_experiment_here

def experiment(variant):
    import numpy
    import rlkit.torch.pytorch_util as ptu
    print("device", ptu.device, "draw", numpy.random.rand())

if __name__ == "__main__":
    if "loaded" in sys.argv:
        import numpy.random, rlkit.torch.pytorch_util
    run_experiment_here(experiment, seed=7, use_gpu=True, log_dir="first")
    run_experiment_here(experiment, seed=7, use_gpu=False, log_dir="second")
    run_experiment(experiment, seed=7, exp_prefix="launched")
"""


@pytest.mark.parametrize("when", ["loaded", "later"])
def test_rlkit_learns_its_device_and_the_seed_reaches_what_is_imported_later(
    tmp_path: Path, when: str
) -> None:
    (tmp_path / "rlkit" / "torch").mkdir(parents=True)
    for package in ("rlkit", "rlkit/torch"):
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "rlkit" / "torch" / "pytorch_util.py").write_text(
        "device = None\n\ndef set_gpu_mode(mode, gpu_id=0):\n    global device\n"
        "    device = f'cuda:{gpu_id}' if mode else 'cpu'\n"
    )
    (tmp_path / "client.py").write_text(DEVICE)
    command = [sys.executable, "client.py", when]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60
    )
    (console,) = (tmp_path / "runs").rglob("console.log")
    lines = [
        line.split()
        for line in (done.stdout + console.read_text()).splitlines()
        if line.startswith("device")
    ]
    assert [line[1] for line in lines] == ["cuda:0", "cpu", "cpu"]
    # RLKit's launcher has numpy loaded when it seeds: the first draw after that.
    assert {float(line[3]) for line in lines} == {np.random.RandomState(7).rand()}


def test_run_experiment_here_draws_a_seed_where_told(tmp_path: Path) -> None:
    seeds = {
        run_experiment_here(
            lambda v: v["seed"], {"seed": 5}, force_randomize_seed=True, log_dir=tmp_path / str(n)
        )
        for n in range(3)
    }
    assert seeds != {"5"}
    assert run_experiment_here(lambda v: v["seed"], {"seed": 5}, log_dir=tmp_path / "own") == "5"
