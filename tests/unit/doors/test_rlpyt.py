"""Scripts of rlpyt's shape through rlpyt's door: real scripts, real processes, real files."""

from __future__ import annotations

import csv
import json
import os
import pickle
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from runslot import AffinityError, Busy, InvalidInput, NotFound, RunslotError
from runslot import rlpyt as door
from runslot.experiment.journal import read_events
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.experiment.status import find_experiments, read_status
from runslot.hardware.affinity import (
    affinity_from_code,
    encode_affinity,
    get_n_run_slots,
    prepend_run_slot,
)
from runslot.launchkit import create_log_dir
from runslot.results import load
from runslot.variants import VariantLevel, make_variants

Run = Callable[..., "subprocess.CompletedProcess[str]"]

WRITE_SEEN = """
import json, os, sys
code, log_dir, run_ID, *args = sys.argv[1:]
seen = {"argv": sys.argv, "cpus": sorted(os.sched_getaffinity(0)), "executable": sys.executable}
seen["environment"] = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "EGL_DEVICE_ID", "WRAPPED")}
seen["variant"] = json.load(open(os.path.join(log_dir, "variant_config.json")))
json.dump(seen, open(os.path.join(log_dir, "run_" + run_ID, "seen.json"), "w"))
sys.exit(seen["variant"].get("exit", 0))
"""


@pytest.fixture
def seeing(project: Path) -> str:
    """A training script that only writes down how it was called; its exit code is the variant's
    `exit`.
    """
    (project / "see.py").write_text(WRITE_SEEN)
    return "see.py"


def seen(run_dir: Path) -> dict[str, Any]:
    return json.loads((run_dir / "seen.json").read_text())


def only_experiment(root: Path) -> ExperimentDir:
    (experiment,) = find_experiments(root)
    return experiment


def test_a_launch_script_and_a_training_script_of_rlpyts(
    run_script: Run, root: Path, project: Path, affinity_code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    before = datetime.now().replace(microsecond=0)
    run_script("launch_atari.py", affinity_code)
    experiment = only_experiment(root)

    # <root>/local/<yyyymmdd>/<hhmmss>/<title>
    local, day, clock, title = experiment.path.relative_to(root).parts
    assert (local, title) == ("local", "atari_dqn_basic")
    assert before <= datetime.strptime(day + clock, "%Y%m%d%H%M%S") <= datetime.now()

    # run_ID outermost, variants inside
    settings = ["0.001lr/pong", "0.001lr/seaquest", "0.01lr/pong", "0.01lr/seaquest"]
    order = [f"{log_dir}/run_{run_ID}" for run_ID in (0, 1) for log_dir in settings]
    events = list(read_events(experiment.journal_file))
    started = [event["directory"] for event in events if event["event"] == "start"]
    assert sorted(started) == sorted(order)
    # A slot waits where a process computes that another test's killed run has left on its cores.
    assert started == order or any(event["event"] in {"waits", "slot_taken"} for event in events)
    assert [each.state for each in read_status(experiment).runs] == ["succeeded"] * 8

    tree = experiment.experiments_tree.read_text().splitlines()
    assert tree[0].removeprefix("Experiment manager process ID: ").removesuffix(".").isdecimal()
    assert tree[1:] == ["Number of settings (experiments) to run: 4  (8).", "", *settings]
    assert experiment.num_launched.read_text() == "Experiments launched so far: 8 out of 8.\n"

    slots = {}
    for each in read_status(experiment).runs:
        run_dir = experiment.path / each.run.directory
        log_dir, run_ID = run_dir.parent, int(run_dir.name.removeprefix("run_"))
        learning_rate, game = float(log_dir.parent.name.removesuffix("lr")), log_dir.name
        variant = {"optim": {"lr": learning_rate}, "env": {"game": game}}
        assert json.loads((log_dir / "variant_config.json").read_text()) == variant
        how = seen(run_dir)
        code = prepend_run_slot(each.outcome.slot, affinity_code)
        assert how["argv"] == ["train_atari.py", code, str(log_dir), str(run_ID), "dqn"]
        assert how["executable"] == sys.executable
        assert how["cpus"] == how["all_cpus"] == sorted(affinity_from_code(code).all_cpus)
        assert how["cwd"] == str(project)
        assert how["environment"] == {"CUDA_VISIBLE_DEVICES": "7", "OMP_NUM_THREADS": "5"}
        slots[each.outcome.slot] = True
        # what rlpyt's own logger and runner left in the directory that was made for them
        with (run_dir / "progress.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert [row["Iteration"] for row in rows] == ["0", "1", "2"]
        assert float(rows[-1]["ReturnAverage"]) == pytest.approx(3 * learning_rate)
        params = json.loads((run_dir / "params.json").read_text())
        assert (params["name"], params["run_ID"], params["env"]["game"]) == (
            game,
            str(run_ID),
            game,
        )
        assert pickle.loads((run_dir / "params.pkl").read_bytes()) == {"itr": 2}
        assert f"{game}_{run_ID} Iteration  2" in (run_dir / "console.log").read_text()
    assert len(slots) == get_n_run_slots(affinity_code)


def viskit_parameters(root: Path) -> dict[str, dict[str, Any]]:
    """By directory, what viskit takes for a run's parameters: `variant.json`, and where there is
    none `params.json`.
    """
    runs = {}
    for path, _, files in os.walk(root):
        name = next((name for name in ("variant.json", "params.json") if name in files), None)
        if "progress.csv" in files and name is not None:
            runs[path] = json.loads(Path(path, name).read_text())
    return runs


def test_viskit_and_results_see_the_scripts_configuration_and_what_is_added_to_it_afterwards(
    run_script: Run, root: Path, project: Path, affinity_code: str
) -> None:
    run_script("launch_atari.py", affinity_code)
    experiment = only_experiment(root).path
    add = (
        "import sys; from theirs.logger import add_exp_param; add_exp_param('batch', 'large',"
        " sys.argv[1])"
    )
    subprocess.run([sys.executable, "-c", add, str(experiment / "0.01lr")], cwd=project, check=True)

    seen_by_viskit = viskit_parameters(root)
    found = load(experiment)
    assert set(seen_by_viskit) == set(found.runs["path"])
    assert len(seen_by_viskit) == 8
    for path, parameters in seen_by_viskit.items():
        (row,) = found.where(path=path).runs.to_dicts()
        assert row["batch"] == parameters.get("batch") == ("large" if "/0.01lr/" in path else None)
        assert row["optim.lr"] == parameters["optim"]["lr"]
        assert row["runner.n_steps"] == parameters["runner"]["n_steps"] == 3
        assert (row["seed"], str(row["seed"])) == (int(parameters["run_ID"]), parameters["run_ID"])
    assert not {"name", "run_ID", "log_dir"} & set(found.runs.columns[6:])


def test_a_script_without_parameters_of_its_own_has_its_variant_for_viskit(
    root: Path, project: Path
) -> None:
    script = (
        "import sys; open(sys.argv[2] + '/run_' + sys.argv[3] + '/progress.csv',"
        " 'w').write('Return\\n1\\n')"
    )
    (project / "rows.py").write_text(script)
    code = encode_affinity(n_cpu_core=1, cpu_per_run=1)
    outcomes = door.run_experiments("rows.py", code, "rows", 1, [{"lr": 0.1}], ["a"])
    assert outcomes.all_succeeded
    assert list(viskit_parameters(root).values()) == [{"lr": 0.1}]


def test_runslots_logger_context_in_a_script_of_rlpyts_hides_no_parameters(
    root: Path, project: Path
) -> None:
    lines = [
        "import sys",
        "from runslot import logger_context, logger",
        "code, log_dir, run_ID = sys.argv[1:4]",
    ]
    lines += ["with logger_context(log_dir, run_ID, 'name', {'lr': 0.1, 'gamma': 0.9}):"]
    lines += ["    logger.record_tabular('Return', 1)", "    logger.dump_tabular()"]
    (project / "logs.py").write_text("\n".join(lines))
    code = encode_affinity(n_cpu_core=1, cpu_per_run=1)
    assert door.run_experiments("logs.py", code, "logs", 1, [{"lr": 0.1}], ["a"]).all_succeeded
    assert list(viskit_parameters(root).values()) == [
        {"lr": 0.1, "gamma": 0.9, "name": "name", "run_ID": "0"}
    ]


def test_a_broken_file_of_parameters_is_named_and_the_variant_stays(
    root: Path, project: Path
) -> None:
    script = (
        "import sys; d = sys.argv[2] + '/run_' + sys.argv[3]; open(d + '/params.json',"
        " 'w').write('{')"
    )
    (project / "torn.py").write_text(script)
    code = encode_affinity(n_cpu_core=1, cpu_per_run=1)
    door.run_experiments("torn.py", code, "torn", 1, [{"lr": 0.1}], ["a"])
    found = load(root)
    assert found.runs["lr"].to_list() == [0.1]
    assert any("params.json" in str(problem) for problem in found.problems)


def test_the_launch_says_what_runs_where(run_script: Run, affinity_code: str) -> None:
    said = run_script("launch_atari.py", affinity_code).stdout.splitlines()
    assert "atari_dqn_basic: 8 runs in" in said[0]
    assert (
        sum(" started " in line for line in said)
        == sum(" succeeded " in line for line in said)
        == 8
    )
    assert "8 succeeded" in said[-1]


def test_two_calls_in_one_second_never_share_a_directory(
    seeing: str, root: Path, affinity_code: str
) -> None:
    now = datetime.now()
    for second in range(60):  # as if another call had just been made, whichever second it is now
        taken = root / "local" / f"{now + timedelta(seconds=second):%Y%m%d/%H%M%S}" / "title"
        taken.mkdir(parents=True)
    outcomes = door.run_experiments(seeing, affinity_code, "title", 1, [{}], [""])
    assert outcomes.all_succeeded
    assert outcomes.directory.name == "title-2"
    assert sorted(os.listdir(outcomes.directory.parent)) == ["title", "title-2"]
    assert seen(outcomes.directory / "run_0")["argv"][2] == str(outcomes.directory)


def test_arguments_of_all_and_of_one_and_braces_are_passed_as_they_are(
    seeing: str, affinity_code: str
) -> None:
    variants = [{"a": "{log_dir}"}, {"a": "{log_dir}"}]
    outcomes = door.run_experiments(
        seeing,
        affinity_code,
        "curly {run_ID}",
        1,
        variants,
        ["{log_dir}", "other"],
        common_args=["{a}", 1],
        runs_args=[("{{x}} y", 0.5), ("$(id)",)],
    )
    runs = [seen(outcomes.directory / run.directory) for run, _ in outcomes.pairs]
    assert [run["argv"][2:] for run in runs] == [
        [str(outcomes.directory / "{log_dir}"), "0", "{a}", "1", "{{x}} y", "0.5"],
        [str(outcomes.directory / "other"), "0", "{a}", "1", "$(id)"],
    ]
    assert [run["variant"] for run in runs] == variants


def test_equal_variants_are_runs_of_their_own(seeing: str, affinity_code: str) -> None:
    outcomes = door.run_experiments(
        seeing,
        affinity_code,
        "equal",
        2,
        [{"a": 1}] * 3,
        ["x", "y", "z"],
        runs_args=[(1,), (2,), (2,)],
    )
    assert len({run.id for run, _ in outcomes.pairs}) == 6
    arguments = [seen(outcomes.directory / run.directory)["argv"][3:] for run, _ in outcomes.pairs]
    assert arguments == [["0", "1"], ["0", "2"], ["0", "2"], ["1", "1"], ["1", "2"], ["1", "2"]]


def test_a_failing_run_does_not_stop_the_others(seeing: str, affinity_code: str) -> None:
    outcomes = door.run_experiments(
        seeing, affinity_code, "t", 1, [{"exit": 3}, {}, {}], ["a", "b", "c"]
    )
    assert [outcome.kind for outcome in outcomes] == ["failed", "succeeded", "succeeded"]
    ((run, outcome),) = outcomes.failed
    assert (run.directory, outcome.exit_code) == ("a/run_0", 3)


def test_the_egl_device_is_the_slots_gpu_where_asked(seeing: str, affinity_code: str) -> None:
    cores = get_n_run_slots(affinity_code)
    code = encode_affinity(n_cpu_core=cores, n_gpu=cores)
    try:
        outcomes = door.run_experiments(
            seeing, code, "egl", 1, [{}] * cores, ["a", "b"][:cores], set_egl_device=True
        )
    except AffinityError as error:
        pytest.skip(f"this machine has GPUs, but fewer than {cores}: {error}")
    for run, outcome in outcomes.pairs:
        how = seen(outcomes.directory / run.directory)
        affinity = affinity_from_code(how["argv"][1])
        assert how["environment"]["EGL_DEVICE_ID"] == str(affinity.cuda_idx) == str(outcome.slot)
        assert how["environment"]["CUDA_VISIBLE_DEVICES"] == os.environ.get("CUDA_VISIBLE_DEVICES")


BAD: list[tuple[dict[str, Any], str]] = [
    ({"log_dirs": ["a"]}, "2 variants and 1 log_dirs"),
    ({"runs_args": [(1,)]}, "2 variants and 1 runs_args"),
    ({"common_args": "dqn"}, r"common_args is 'dqn'; write a tuple of arguments: \('dqn',\)"),
    ({"runs_args": ["x", "y"]}, r"runs_args\[0\] is 'x'"),
    ({"log_dirs": ["a", "a"]}, "share the directory 'a/run_0'"),
    ({"log_dirs": ["a", "../b"]}, "leads out"),
    ({"log_dirs": ["a", "/b"]}, "absolute"),
    ({"log_dirs": ["a", "requests/b"]}, "the experiment's own files"),
    ({"runs_per_setting": 0}, "runs_per_setting"),
    ({"script": "nowhere.py"}, "no script 'nowhere.py'"),
    ({"variants": [{}, {"agent": {"cls": int}}]}, r"the variant's agent.cls is <class 'int'>"),
    ({"variants": [{}, {"agent": {("a", 1): 1}}]}, r"agent"),
    ({"variants": [{}, [("a", 1)]]}, "a variant is a dict, not a list"),
    ({"variants": [], "log_dirs": []}, "variants is empty"),
    ({"affinity_code": "2cpu_1gpu_3xyz"}, "affinity code '2cpu_1gpu_3xyz'"),
    ({"affinity_code": {"all_cpus": (0,)}}, "affinity_code is a dict"),
    ({"affinity_code": "4096cpu_0gpu_1cpr_0hto"}, "lower n_cpu_core"),
    ({"experiment_title": "../up"}, "experiment's name"),
    ({"script": None}, "script must be a path, not None"),
    ({"variants": 3}, "variants is 3; write a list"),
    ({"log_dirs": None}, "log_dirs is None; write a list"),
    ({"log_dirs": [1, 2]}, "log_dirs must be a path, not 1"),
    ({"log_dirs": ["a", "\ud800"]}, "log_dirs"),
    ({"runs_args": 3}, "runs_args is 3; write a list"),
]


@pytest.mark.parametrize(("changed", "said"), BAD, ids=[said for _, said in BAD])
def test_what_is_refused_leaves_nothing_behind(
    changed: dict[str, Any], said: str, seeing: str, affinity_code: str, root: Path
) -> None:
    asked: dict[str, Any] = {
        "script": seeing,
        "affinity_code": affinity_code,
        "experiment_title": "title",
        "runs_per_setting": 1,
        "variants": [{}, {}],
        "log_dirs": ["a", "b"],
    }
    with pytest.raises(InvalidInput, match=said):
        door.run_experiments(**(asked | changed))
    assert not list(root.glob("local/*/*/*"))


def test_ctrl_c_stops_the_runs(until, project: Path, root: Path, affinity_code: str) -> None:
    (project / "sleep.py").write_text(
        "import sys, time; print('up', flush=True); time.sleep(600)\n"
    )
    (project / "launch.py").write_text(
        "from runslot.rlpyt import run_experiments\n"
        f"run_experiments('sleep.py', {affinity_code!r}, 'title', 1, [{{}}] * 5, list('abcde'))\n"
    )
    launcher = subprocess.Popen([sys.executable, "launch.py"], stderr=subprocess.PIPE, text=True)
    wanted = get_n_run_slots(affinity_code)
    until(
        lambda: (
            len([c for c in root.glob("local/*/*/title/*/run_0/console.log") if c.read_text()])
            == wanted
        )
    )
    launcher.send_signal(signal.SIGINT)
    _, error = launcher.communicate(timeout=60)
    assert launcher.returncode != 0
    assert "KeyboardInterrupt" in error
    states = [each.state for each in read_status(only_experiment(root)).runs]
    assert states == ["stopped"] * wanted + ["queued"] * (5 - wanted)


# ---- launch_experiment ---------------------------------------------------------------------------


def test_launch_experiment_returns_the_handle_of_one_run(
    seeing: str, affinity_code: str, tmp_path: Path, project: Path
) -> None:
    wrapper = project / "python-of-mine"
    wrapper.write_text(f'#!/bin/sh\nWRAPPED=yes exec {sys.executable} "$@"\n')
    wrapper.chmod(0o755)
    last = get_n_run_slots(affinity_code) - 1
    process = door.launch_experiment(
        script=seeing,
        run_slot=last,
        affinity_code=affinity_code,
        log_dir="here/pong",
        variant={"exit": 4, "env": {"game": "pong"}},
        run_ID=7,
        args=("dqn", 1),
        python_executable=str(wrapper),
    )
    assert process.wait(timeout=60) == 4
    assert process.poll() == 4
    log_dir = project / "here" / "pong"
    code = prepend_run_slot(last, affinity_code)
    how = seen(log_dir / "run_7")
    assert how["argv"] == [seeing, code, str(log_dir), "7", "dqn", "1"]
    assert how["cpus"] == sorted(affinity_from_code(code).all_cpus)
    assert how["environment"]["WRAPPED"] == "yes"
    assert door.load_variant(log_dir) == {"exit": 4, "env": {"game": "pong"}}
    outcome = RunDir(log_dir / "run_7").read_outcome()
    assert outcome is not None
    assert (outcome.kind, outcome.exit_code, outcome.slot) == ("failed", 4, last)


def test_launch_experiment_keeps_what_an_earlier_run_left(
    seeing: str, affinity_code: str, tmp_path: Path
) -> None:
    for value in (1, 2):
        assert (
            door.launch_experiment(seeing, 0, affinity_code, tmp_path, {"a": value}, 0, ()).wait(
                timeout=60
            )
            == 0
        )
    assert seen(tmp_path / "run_0")["variant"] == {"a": 2}
    assert seen(tmp_path / "run_0" / "attempt_1")["variant"] == {"a": 1}
    outcome = RunDir(tmp_path / "run_0").read_outcome()
    assert outcome is not None
    assert outcome.attempt == 2


def test_launch_experiment_is_terminated_with_all_that_the_run_started(
    until, project: Path, affinity_code: str, tmp_path: Path
) -> None:
    (project / "sleep.py").write_text(
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "open(os.path.join(sys.argv[2], 'pids'), 'w').write(f'{os.getpid()} {child.pid}\\n')\n"
        "time.sleep(600)\n"
    )
    process = door.launch_experiment("sleep.py", 0, affinity_code, tmp_path, {}, 0, ())
    until(lambda: (tmp_path / "pids").exists() and (tmp_path / "pids").read_text().endswith("\n"))
    assert process.poll() is None
    with pytest.raises(Busy, match=f"executed by process {process.pid}"):
        door.launch_experiment("sleep.py", 0, affinity_code, tmp_path, {}, 0, ())
    process.terminate()
    assert process.wait(timeout=60) != 0
    outcome = RunDir(tmp_path / "run_0").read_outcome()
    assert outcome is not None
    assert outcome.kind == "stopped"
    for pid in (tmp_path / "pids").read_text().split():
        assert not Path(f"/proc/{pid}").exists()


def test_launch_experiment_waits_for_a_slot_that_someone_holds(
    until,
    seeing: str,
    project: Path,
    affinity_code: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (project / "wait.py").write_text(
        "import os, sys, time\nwhile not os.path.exists(os.path.join(sys.argv[2], 'go')):\n   "
        " time.sleep(0.01)\n"
    )
    first = door.launch_experiment("wait.py", 0, affinity_code, tmp_path / "a", {}, 0, ())
    locks = Path(os.environ["RUNSLOT_LOCKS"])

    def let_go_when_the_second_waits() -> None:
        until(lambda: any("waiting" in path.name for path in locks.iterdir()))
        (tmp_path / "a" / "go").touch()

    watcher = threading.Thread(target=let_go_when_the_second_waits)
    watcher.start()
    second = door.launch_experiment(seeing, 0, affinity_code, tmp_path / "b", {}, 1, ())
    watcher.join()
    assert first.wait(timeout=60) == second.wait(timeout=60) == 0
    assert "run_1 waits for core" in capsys.readouterr().out
    one, other = (
        RunDir(tmp_path / "a" / "run_0").read_outcome(),
        RunDir(tmp_path / "b" / "run_1").read_outcome(),
    )
    assert one is not None
    assert other is not None
    assert one.ended <= other.started


def test_launch_experiment_refuses_a_run_slot_that_the_code_does_not_have(
    seeing: str, affinity_code: str, tmp_path: Path
) -> None:
    with pytest.raises(AffinityError, match="has run slots 0 to"):
        door.launch_experiment(seeing, 99, affinity_code, tmp_path / "x", {}, 0, ())
    assert not (tmp_path / "x").exists()


# ---- what the scripts import ---------------------------------------------------------------------


def test_every_name_of_the_ancestors_list_is_there() -> None:
    names = (
        "VariantLevel make_variants _cross_variants load_variant save_variant update_config"
        " run_experiments "
    )
    names += (
        "launch_experiment encode_affinity quick_affinity_code make_affinity affinity_from_code"
        " get_log_dir "
    )
    for name in (names + "logger_context").split():
        assert callable(getattr(door, name)), name


def test_a_training_script_does_not_load_what_launches() -> None:
    code = (
        "import sys; from runslot.rlpyt import load_variant, affinity_from_code, logger_context,"
        " update_config\n"
    )
    code += (
        "print([name for name in sys.modules if name.startswith(('runslot.launch',"
        " 'runslot.execute'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_variants_are_saved_and_loaded(tmp_path: Path) -> None:
    door.save_variant({"a": (1, 2), "b": {"c": None, "d": float("inf")}}, tmp_path)
    assert json.loads((tmp_path / "variant_config.json").read_text()) == door.load_variant(tmp_path)
    assert door.load_variant(tmp_path) == {"a": [1, 2], "b": {"c": None, "d": float("inf")}}
    with pytest.raises(InvalidInput, match=r"the variant's b.c is"):
        door.save_variant({"b": {"c": object()}}, tmp_path)
    with pytest.raises(NotFound, match="not the directory of a variant"):
        door.load_variant(tmp_path / "elsewhere")


def test_get_log_dir(root: Path, tmp_path: Path) -> None:
    before = datetime.now().replace(microsecond=0)
    path = Path(door.get_log_dir("title"))
    assert path.relative_to(root).parts[0] == "local"
    assert path.name == "title"
    assert before <= datetime.strptime("".join(path.parts[-3:-1]), "%Y%m%d%H%M%S") <= datetime.now()
    assert Path(door.get_log_dir("title", root_log_dir=tmp_path, date=True)).is_relative_to(
        tmp_path / "local"
    )
    assert not root.exists()


def test_make_variants_and_run_experiments_agree_on_directories(
    seeing: str, affinity_code: str
) -> None:
    one = VariantLevel([("a",)], [(value,) for value in (1, 2)], ["a1", "a2"])
    other = VariantLevel([("b", "c"), ("b", "d")], [(1, "x"), (2, "y")], ["b1", "b2"])
    variants, log_dirs = make_variants(one, other)
    order = list(range(4))
    random.Random(0).shuffle(order)
    picked = [variants[i] for i in order], [log_dirs[i] for i in order]
    outcomes = door.run_experiments(seeing, affinity_code, "grid", 1, *picked)
    assert [run.directory for run, _ in outcomes.pairs] == [f"{log_dirs[i]}/run_0" for i in order]
    for run, _ in outcomes.pairs:
        assert seen(outcomes.directory / run.directory)["variant"] == run.variant


ODD: tuple[Any, ...] = (None, 3, 1.5, [], {}, object(), b"x", "a\0b", "\ud800")


@pytest.mark.parametrize("value", ODD, ids=lambda value: type(value).__name__)
def test_odd_values_for_paths_and_codes_are_refused_in_a_sentence(value: Any, root: Path) -> None:
    calls = (
        lambda: door.load_variant(value),
        lambda: door.save_variant({"a": 1}, value),
        lambda: door.get_log_dir(value),
        lambda: door.affinity_from_code(value),
        lambda: door.decode_affinity(value),
        lambda: door.launch_experiment("nowhere.py", 0, "1cpu_0gpu", value, {}, 0, ()),
        lambda: create_log_dir(value),
    )
    for call in calls:
        with pytest.raises(RunslotError):
            call()
    assert not root.exists()
