"""Sweeps through the Python API: real processes, real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from runslot import (
    Experiment,
    InvalidInput,
    NotFound,
    Resources,
    Run,
    Variant,
    current_run,
    grid,
    logger,
    zipped,
)
from runslot.engines.events import LaunchEvent, RunEnded, RunStarted
from runslot.experiment.records import Command
from runslot.experiment.rundir import ExperimentDir, RunDir
from runslot.launch.experiment import silent
from runslot.launch.launch import launch

PYTHON = sys.executable


def console(outcomes_directory: Path, run: str) -> str:
    return (outcomes_directory / run / "console.log").read_text()


def test_a_function_gets_a_plain_dict_of_its_own_with_its_seed() -> None:
    def train(variant: dict) -> None:
        assert type(variant) is dict
        print(sorted(variant.items()))
        variant["env"]["id"] = "changed"

    outcomes = Experiment(
        "fn", train, variants=grid({"env.id": ["pong"], "lr": [0.1, 1e-3]}), seeds=2
    ).launch(silent)
    assert [outcome.kind for outcome in outcomes] == ["succeeded"] * 4
    directories = [run.directory for run, _ in outcomes.pairs]
    assert directories == [
        "env.id=pong,lr=0.1/run_0",
        "env.id=pong,lr=0.001/run_0",
        "env.id=pong,lr=0.1/run_1",
        "env.id=pong,lr=0.001/run_1",
    ]
    assert (
        console(outcomes.directory, directories[3])
        == "[('env', {'id': 'pong'}), ('lr', 0.001), ('seed', 1)]\n"
    )


def test_the_experiment_lies_under_root_name_and_date_and_latest_points_to_it(
    tmp_path: Path,
) -> None:
    first = Experiment("a/b", [PYTHON, "-c", "pass"], root=tmp_path).launch(silent)
    second = Experiment("a/b", [PYTHON, "-c", "pass"], root=tmp_path).launch(silent)
    assert first.directory.parent == second.directory.parent == tmp_path / "a" / "b"
    assert first.directory != second.directory
    assert (tmp_path / "a" / "b" / "latest").resolve() == second.directory


def test_latest_is_made_good_when_the_first_launcher_was_killed_before_it_started(
    tmp_path: Path,
) -> None:
    directory = Experiment("k", [PYTHON, "-c", "pass"], root=tmp_path).prepare()
    assert launch(directory, silent).all_succeeded
    assert (tmp_path / "k" / "latest").resolve() == directory.path
    newer = Experiment("k", [PYTHON, "-c", "pass"], root=tmp_path).launch(silent)
    launch(directory, silent, failed=True)
    assert (tmp_path / "k" / "latest").resolve() == newer.directory


def test_values_reach_a_command_as_single_arguments(tmp_path: Path) -> None:
    odd = "a b; $(touch /tmp/x) 'q' {seed} \n é"
    program = (
        "import json,sys; open(sys.argv[-1] + '/argv.json','w').write(json.dumps(sys.argv[1:]))"
    )
    argv = [PYTHON, "-c", program, "--text={text}", "{{text}}", '{"a": 1}', "{seed}", "{run_dir}"]
    outcomes = Experiment(
        "odd", argv, variants=[Variant({"text": odd}, "odd")], seeds=[7], root=tmp_path
    ).launch(silent)
    assert outcomes.all_succeeded
    run_dir = outcomes.directory / "odd" / "run_7"
    assert json.loads((run_dir / "argv.json").read_text()) == [
        f"--text={odd}",
        "{text}",
        '{"a": 1}',
        "7",
        str(run_dir),
    ]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([PYTHON, "--lr", "{lrr}"], r"\{lrr\}.*did you mean 'lr'"),
        (["no-such-program-at-all"], "no program 'no-such-program-at-all'"),
        ([], "command is empty"),
        ([PYTHON, "{layers}"], "layers is a list"),
    ],
)
def test_commands_that_cannot_run_are_refused_before_anything_is_made(
    argv: list[str], said: str, tmp_path: Path
) -> None:
    variants = [Variant({"lr": 0.1, "layers": [1, 2]}, "v")]
    with pytest.raises(InvalidInput, match=said):
        Experiment("bad", argv, variants=variants, root=tmp_path / "runs").launch(silent)
    assert not (tmp_path / "runs").exists()


def test_functions_that_cannot_be_imported_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("import no_such_module_anywhere\ndef train(v): pass\n")
    with pytest.raises(InvalidInput, match="no_such_module_anywhere"):
        Experiment("bad", f"{tmp_path}/broken.py:train", root=tmp_path / "runs").launch(silent)
    (tmp_path / "typo.py").write_text("def train(v): pass\n")
    with pytest.raises(InvalidInput, match="did you mean 'train'"):
        Experiment("bad", f"{tmp_path}/typo.py:trian", root=tmp_path / "runs").launch(silent)
    assert list((tmp_path / "runs").iterdir()) == []


def test_a_function_that_cannot_travel_is_refused_with_the_name_of_what_stops_it() -> None:
    import threading

    lock = threading.Lock()

    def train(variant: dict) -> None:
        with lock:
            pass

    with pytest.raises(InvalidInput, match="it uses 'lock', of type lock"):
        Experiment("bad", train).launch(silent)


def test_more_cores_than_the_machine_has_are_refused(tmp_path: Path) -> None:
    many = Resources(cpus=4096)
    with pytest.raises(InvalidInput, match="4096"):
        Experiment("big", [PYTHON, "-c", "pass"], resources=many, root=tmp_path / "runs").launch(
            silent
        )


def test_two_variants_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="same"):
        Experiment(
            "x", [PYTHON], variants=[Variant({"a": 1}, "same"), Variant({"a": 2}, "same")]
        ).plan()


def test_a_failing_run_does_not_stop_the_others_and_says_why() -> None:
    def train(variant: dict) -> None:
        if variant["lr"] == 2:
            raise ValueError("too large")
        if variant["lr"] == 3:
            raise SystemExit(4)
        if variant["lr"] == 4:
            os.kill(os.getpid(), 9)

    outcomes = Experiment("mixed", train, variants=grid({"lr": [1, 2, 3, 4]})).launch(silent)
    kinds = [(outcome.kind, outcome.exit_code, outcome.signal) for outcome in outcomes]
    assert kinds == [
        ("succeeded", 0, None),
        ("failed", 1, None),
        ("failed", 4, None),
        ("failed", None, 9),
    ]
    assert outcomes[1].message == "ValueError: too large"
    printed = console(outcomes.directory, "lr=2/run_0")
    assert printed.startswith("Traceback (most recent call last):\n")
    assert printed.splitlines()[1].endswith(", in train")  # the user's own frames alone
    assert "killed by SIGKILL" in outcomes[3].message
    assert not outcomes.all_succeeded
    assert [run.variant["lr"] for run, _ in outcomes.failed] == [2, 3, 4]


def test_what_a_function_printed_is_there_whatever_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)

    def train(variant: dict) -> None:
        print("before the end")
        os.kill(os.getpid(), 9)

    outcomes = Experiment("printed", train).launch(silent)
    assert console(outcomes.directory, "run_0") == "before the end\n"


def test_what_is_made_good_gets_the_share_that_its_siblings_had(tmp_path: Path) -> None:
    program = (
        "import os, sys; print(len(os.sched_getaffinity(0)));"
        "sys.exit(int(sys.argv[1]) and not os.path.exists(sys.argv[2]))"
    )
    argv = [PYTHON, "-c", program, "{seed}", str(tmp_path / "again")]
    first = Experiment("share", argv, seeds=2).launch(silent)
    (tmp_path / "again").touch()
    again = launch(ExperimentDir(first.directory), silent, failed=True)
    assert again.all_succeeded
    assert console(again.directory, "run_0") == console(again.directory, "run_1")


def test_a_command_that_fails_is_said_with_its_last_line() -> None:
    argv = [PYTHON, "-c", "import sys; print('step 1'); sys.exit('no data')"]
    (outcome,) = Experiment("cmd", argv).launch(silent)
    assert outcome.message == "exit code 1: no data"


def test_a_timeout_ends_a_run_that_ignores_being_asked() -> None:
    # a shell is deaf within milliseconds, a Python may still be starting when it is asked
    argv = ["sh", "-c", "trap '' TERM; sleep 600"]
    (outcome,) = Experiment("slow", argv, timeout=0.5, grace=0.3).launch(silent)
    assert (outcome.kind, outcome.signal) == ("timed_out", 9)
    assert "0.5 s" in outcome.message


def test_a_memory_limit_ends_a_run() -> None:
    program = "import time; x = bytearray(300_000_000); time.sleep(600)"
    (outcome,) = Experiment(
        "fat", [PYTHON, "-c", program], resources=Resources(memory=100_000_000)
    ).launch(silent)
    assert outcome.kind == "failed"
    assert "the limit is 100 MB" in outcome.message


def test_a_retry_starts_in_a_clean_directory_and_keeps_the_earlier_attempt(tmp_path: Path) -> None:
    def train(variant: dict) -> None:
        from pathlib import Path

        from runslot import current_run, logger

        run = current_run()
        assert run is not None
        logger.record_dict({"attempt": run.attempt})
        logger.dump_tabular()
        (Path(run.directory) / "mark").touch(exist_ok=False)
        if run.attempt == 1:
            raise RuntimeError("not yet")

    outcomes = Experiment("again", train, retries=1, backoff=0.01).launch(silent)
    assert [(outcome.kind, outcome.attempt) for outcome in outcomes] == [("succeeded", 2)]
    run_dir = outcomes.directory / "run_0"
    assert (run_dir / "progress.csv").read_text().split() == ["attempt", "2"]
    kept = run_dir / "attempt_1"
    assert json.loads((kept / "outcome.json").read_text())["message"] == "RuntimeError: not yet"
    assert "not yet" in (kept / "console.log").read_text()
    assert list(run_dir.rglob("progress.csv")) == [run_dir / "progress.csv"]


def test_a_resumable_retry_continues_in_its_directory() -> None:
    def train(variant: dict) -> None:
        from pathlib import Path

        from runslot import current_run

        run = current_run()
        assert run is not None
        state = Path(run.directory) / "state"
        state.write_text((state.read_text() if state.exists() else "") + str(run.attempt))
        if run.attempt < 3:
            raise RuntimeError("again")

    outcomes = Experiment("go-on", train, retries=2, backoff=0.01, resumable=True).launch(silent)
    assert outcomes.all_succeeded
    assert (outcomes.directory / "run_0" / "state").read_text() == "123"


def test_max_failures_starts_nothing_further() -> None:
    def train(variant: dict) -> None:
        raise ValueError("no")

    seeds = (os.cpu_count() or 1) + 4
    outcomes = Experiment(
        "stop", train, seeds=seeds, max_failures=1, resources=Resources(cpus=1)
    ).launch(silent)
    assert 1 <= len(outcomes) < seeds
    assert len(outcomes.not_started) == seeds - len(outcomes)


def test_the_seed_is_the_run_id_and_seeds_the_generators() -> None:
    def train(variant: dict) -> None:
        import random

        from runslot import current_run

        run = current_run()
        assert run is not None
        print(run.seed, run.run_ID, variant["seed"], random.random())

    outcomes = Experiment("seeds", train, seeds=[7, 8]).launch(silent)
    first = console(outcomes.directory, "run_7").split()
    again = Experiment("seeds", train, seeds=[7]).launch(silent)
    assert first[:3] == ["7", "7", "7"]
    assert console(again.directory, "run_7").split() == first
    assert console(outcomes.directory, "run_8").split()[3] != first[3]


def test_a_seed_in_the_grid_replaces_the_seeds() -> None:
    plan = Experiment("s", [PYTHON], variants=grid({"seed": [3, 4], "lr": [1]}), seeds=5).plan()
    assert [(run.directory, run.seed) for run in plan.runs] == [
        ("lr=1/run_3", 3),
        ("lr=1/run_4", 4),
    ]


def test_going_into_an_experiment_runs_only_what_is_new(tmp_path: Path) -> None:
    count = tmp_path / "count"

    def train(variant: dict) -> None:
        with count.open("a") as file:
            file.write(f"{variant['lr']} {variant['seed']}\n")

    first = Experiment("wide", train, variants=grid({"lr": [1, 2]})).launch(silent)
    started: list[Run] = []

    def note(event: LaunchEvent) -> None:
        if isinstance(event, RunStarted):
            started.append(event.run)

    wide = Experiment(
        "wide", train, variants=grid({"lr": [1.0, 2, 3]}), seeds=2, into=first.directory
    )
    outcomes = wide.launch(note)
    assert outcomes.all_succeeded
    assert len(outcomes) == 6
    assert sorted((run.variant["lr"], run.seed) for run in started) == [
        (1.0, 1),
        (2, 1),
        (3, 0),
        (3, 1),
    ]
    assert len(count.read_text().splitlines()) == 6
    assert outcomes.directory == first.directory


def test_going_into_another_function_or_nothing_is_refused(tmp_path: Path) -> None:
    first = Experiment("one", [PYTHON, "-c", "pass"]).launch(silent)
    with pytest.raises(InvalidInput, match="not the command"):
        Experiment("one", [PYTHON, "-c", "0"], into=first.directory).launch(silent)
    with pytest.raises(NotFound, match="no experiment"):
        Experiment("one", [PYTHON, "-c", "pass"], into=tmp_path / "nowhere").launch(silent)


def test_changed_code_is_said_and_refused_only_when_strict(tmp_path: Path) -> None:
    file = tmp_path / "code.py"
    file.write_text("def train(v): pass\n")
    first = Experiment("code", f"{file}:train").launch(silent)
    file.write_text("def train(v): print('new')\n")
    with pytest.raises(InvalidInput, match="has changed"):
        Experiment("code", f"{file}:train", seeds=2, into=first.directory, strict=True).launch(
            silent
        )
    said: list[LaunchEvent] = []
    Experiment("code", f"{file}:train", seeds=2, into=first.directory).launch(said.append)
    assert any("has changed" in str(event) for event in said)
    assert console(first.directory, "run_1") == "new\n"


def test_every_run_has_its_own_core_and_pools_of_its_size() -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine has one core")
    program = "import os; print(sorted(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
    events: list[LaunchEvent] = []
    argv = [PYTHON, "-c", program]
    outcomes = Experiment(
        "pin", argv, seeds=4, resources=Resources(cpus=1, threads="cores")
    ).launch(events.append)
    seen = {console(outcomes.directory, run.directory) for run, _ in outcomes.pairs}
    assert all(text.endswith("] 1\n") and "," not in text for text in seen)
    slots = {event.slot for event in events if isinstance(event, RunStarted)}
    assert len(slots) == min(4, len(os.sched_getaffinity(0)))


def test_what_a_run_leaves_behind_is_ended() -> None:
    daemon = (
        "import subprocess,sys; p = subprocess.Popen(['sleep','1000'], start_new_session=True);"
        " print(p.pid)"
    )
    outcomes = Experiment("leftover", [PYTHON, "-c", daemon]).launch(silent)
    assert outcomes.all_succeeded
    pid = int(console(outcomes.directory, "run_0"))
    assert not Path(f"/proc/{pid}").exists()
    assert "left behind" in outcomes[0].notes[0]


def test_the_run_directory_holds_all_that_was_asked_and_done() -> None:
    outcomes = Experiment(
        "files", [PYTHON, "-c", "print('x')"], variants=zipped({"a": [1], "b": ["t"]})
    ).launch(silent)
    run_dir = RunDir(outcomes.directory / "a=1,b=t" / "run_0")
    assert json.loads(run_dir.variant_file.read_text()) == {"a": 1, "b": "t", "seed": 0}
    file = run_dir.read_run()
    assert file.cwd == str(Path.cwd())
    assert file.work == Command((PYTHON, "-c", "print('x')"))
    outcome = run_dir.read_outcome()
    assert outcome is not None
    assert outcome.peak_memory is not None
    assert outcome.peak_memory > 1_000_000
    assert json.loads(run_dir.about_code().environment.read_text())["python"] == sys.version


def test_a_function_that_logs_nothing_leaves_four_files_and_two_blocks() -> None:
    outcomes = Experiment("nothing", lambda variant: None, seeds=1).launch(silent)
    run_dir = RunDir(outcomes.directory / "run_0")
    assert sorted(path.name for path in run_dir.path.iterdir()) == [
        "attempt.json",
        "console.log",
        "outcome.json",
        "run.json",
    ]
    assert (
        len({path.stat().st_ino for path in run_dir.path.iterdir() if path.stat().st_size}) == 2
    )  # one is a link
    assert all(path.stat().st_size < 4096 for path in run_dir.path.iterdir())
    attempt = run_dir.read_attempt()
    assert attempt is not None
    assert attempt.slot is not None
    assert attempt.host == run_dir.read_outcome().host  # type: ignore[union-attr]


def test_rows_have_their_variant_beside_them_whoever_wrote_them() -> None:
    def ours(variant: dict) -> None:
        logger.record_tabular("loss", 1)
        logger.dump_tabular()

    def others(variant: dict) -> None:
        run = current_run()
        assert run is not None
        (run.directory / "progress.csv").write_text("loss\n1\n")

    for function in (ours, others):
        outcomes = Experiment(function.__name__, function, variants=zipped({"lr": [1]})).launch(
            silent
        )
        run_dir = RunDir(outcomes.directory / "lr=1" / "run_0")
        assert json.loads(run_dir.variant_file.read_text()) == {"lr": 1, "seed": 0}


@pytest.mark.parametrize("how", ["script", "stdin"])
def test_functions_of_a_script_without_a_guard_and_of_a_repl_travel_by_value(
    how: str, tmp_path: Path
) -> None:
    script = textwrap.dedent("""
        from runslot import Experiment, logger
        scale = 3
        class Net:
            def __init__(self, lr): self.lr = lr
        def helper(x): return x * scale
        def train(variant):
            print("lr", helper(Net(variant["lr"]).lr))
            logger.record_dict({"y": 1}); logger.dump_tabular()
        outcomes = Experiment("main", train, variants=[{"lr": 2}]).launch()
        print("ALL", outcomes.all_succeeded, outcomes.directory)
    """)
    file = tmp_path / "script.py"
    file.write_text(script)
    command = [PYTHON, str(file)] if how == "script" else [PYTHON, "-"]
    done = subprocess.run(
        command, input=script, text=True, capture_output=True, timeout=60, check=True
    )
    assert done.stdout.count("ALL") == 1
    directory = Path(done.stdout.split()[-1])
    assert "lr 6" in console(directory, "lr=2/run_0")
    assert (directory / "lr=2/run_0/progress.csv").read_text() == "y\n1\n"


def test_variants_may_hold_classes_and_functions() -> None:
    class Net:
        size = 3

    def act(x: int) -> int:
        return x + 1

    def train(variant: dict) -> None:
        print(variant["net"].size, variant["act"](1), variant["shape"])
        logger.record_tabular("row", 1)
        logger.dump_tabular()

    variant = Variant({"net": Net, "act": act, "shape": (1, 2)}, "v")
    outcomes = Experiment("objects", train, variants=[variant]).launch(silent)
    assert console(outcomes.directory, "v/run_0").startswith("3 2 (1, 2)\n")
    written = json.loads((outcomes.directory / "v/run_0/variant.json").read_text())
    assert written["net"]["$class"].endswith("Net")
    assert written["act"]["$function"].endswith("act")


def test_nothing_leaks_from_run_to_run() -> None:
    def train(variant: dict) -> None:
        import os
        import sys

        assert "LEAK" not in os.environ
        assert not hasattr(sys, "leak")
        os.environ["LEAK"] = "1"
        sys.leak = True  # type: ignore[attr-defined]
        os.chdir("/")

    assert Experiment("leak", train, seeds=4).launch(silent).all_succeeded


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_warm_and_cold_starts_do_the_same(start: str, tmp_path: Path) -> None:
    (tmp_path / "mod.py").write_text(
        "import atexit, threading, time\n"
        "def train(v):\n"
        "    atexit.register(print, 'exit handler')\n"
        "    printed = threading.Event()\n"
        "    late = lambda: (printed.wait(), time.sleep(0.1), print('thread'))\n"
        "    threading.Thread(target=late).start()\n"
        "    print('main', v)\n"
        "    printed.set()\n"
    )
    outcomes = Experiment("start", f"{tmp_path}/mod.py:train", start=start).launch(silent)  # type: ignore[arg-type]
    assert outcomes.all_succeeded
    assert console(outcomes.directory, "run_0") == "main {'seed': 0}\nthread\nexit handler\n"


def test_threads_of_the_imported_module_mean_a_cold_start_that_is_said_once(tmp_path: Path) -> None:
    (tmp_path / "threaded.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(600,),"
        " daemon=True).start()\ndef train(v): pass\n"
    )
    said: list[LaunchEvent] = []
    outcomes = Experiment("threads", f"{tmp_path}/threaded.py:train", seeds=3).launch(said.append)
    assert outcomes.all_succeeded
    assert sum("new interpreter" in str(event) for event in said) == 1


def test_the_source_that_was_imported_is_the_source_that_runs(tmp_path: Path) -> None:
    file = tmp_path / "edited.py"
    file.write_text("def train(v):\n    print('old')\n")

    def edit(event: LaunchEvent) -> None:
        if isinstance(event, RunEnded):
            file.write_text("def train(v):\n    print('new')\n")

    alone = Resources(cpus=len(os.sched_getaffinity(0)), threads="cores")
    outcomes = Experiment("edit", f"{file}:train", seeds=2, resources=alone).launch(edit)
    assert {console(outcomes.directory, f"run_{seed}") for seed in (0, 1)} == {"old\n"}


def test_the_callers_directory_path_and_environment_are_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "lib"))
    monkeypatch.setenv("MINE", "é")
    program = "import os; print(os.getcwd(), os.environ['PYTHONPATH'], os.environ['MINE'])"
    outcomes = Experiment("env", [PYTHON, "-c", program]).launch(silent)
    assert console(outcomes.directory, "run_0") == f"{tmp_path} {tmp_path / 'lib'} é\n"


def test_a_launch_by_a_script_ends_by_naming_the_command_that_shows_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes = Experiment("one", ["true"], root=tmp_path / "some runs").launch()
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"`runslot results '{outcomes.directory}'` compares the variants"
