"""`runslot run` with functions and commands: what runs, what is refused, what is said, the exit
status.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import get_args

import pytest

from runslot.cli.build import script_name
from runslot.cli.render.json_lines import as_json
from runslot.engines.events import (
    Asks,
    LaunchEnded,
    LaunchEvent,
    LaunchLeft,
    LaunchStarted,
    RunDropped,
    RunEnded,
    RunsAdded,
    RunStarted,
    RunWaits,
    Said,
    SearchStands,
    StopNoted,
)
from runslot.experiment.records import Outcome, Run

SWEEP = ("run", "train.py:train", "--grid", "lr=0.1,0.01", "--seeds", "2")
PROBE = ("--", "python3", "script.py", "--lr", "{lr}", "--out={run_dir}", "{seed}")


def test_a_function_over_a_grid_and_seeds(runslot):
    done = runslot(*SWEEP)

    (experiment,) = (runslot.root / "train").glob("2*")
    assert sorted(str(path.parent.relative_to(experiment)) for path in experiment.glob("*/*/progress.csv")) == [
        "lr=0.01/run_0", "lr=0.01/run_1", "lr=0.1/run_0", "lr=0.1/run_1",
    ]  # fmt: skip
    assert (runslot.root / "train" / "latest").resolve() == experiment
    assert "all 4 runs succeeded" in done.stdout
    assert "2 variants, 4 runs · loss, lower is better" in done.stdout
    assert str(experiment) in done.stdout
    assert done.stderr == ""


def test_options_say_what_each_run_gets_of_the_machine(runslot):
    options = [
        "--cpus-per-run",
        "1",
        "--threads",
        "one",
        "--reserved-cpus",
        "0",
        "--memory-per-run",
        "2GB",
    ]
    runslot("run", "-q", "train.py:train", "--grid", "lr=0.1", *options)
    asked = json.loads((runslot.root / "train" / "latest" / "experiment.json").read_text())[
        "resources"
    ]
    assert (asked["cpus"], asked["threads"], asked["reserved_cpus"], asked["memory"]) == (
        1,
        "one",
        0,
        2 * 10**9,
    )


def test_a_command_gets_values_as_arguments_and_no_shell(runslot):
    runslot(
        "run", "--name", "probe", "--grid", "text='$HOME; ls','a b'", "--seeds", "7,",
        "--", "python3", "-c", "import sys; print(sys.argv[1:])", "{text}", "{seed}", "{{text}}", "--name", "x",
    )  # fmt: skip

    printed = {path.read_text() for path in (runslot.root / "probe").glob("2*/*/run_7/console.log")}
    assert printed == {
        "['$HOME; ls', '7', '{text}', '--name', 'x']\n",
        "['a b', '7', '{text}', '--name', 'x']\n",
    }


def test_a_failed_run_sets_the_exit_status_and_is_named_with_what_runs_it_again(runslot):
    done = runslot("run", "train.py:train", "--grid", "lr=0.1,10", "--seeds", "2", status=1)

    assert "2 succeeded, 2 failed" in done.stdout
    summary = done.stdout[done.stdout.index("2 succeeded, 2 failed") :]
    assert "failed lr=10/run_0" in summary
    assert "│ ValueError: the loss is nan" in summary
    assert (
        "lr=0.1/run_0" not in summary[: summary.index("2 variants, ")]
    )  # below, its results are told
    again = re.search(r"runslot (resume .* --failed)", summary)
    assert again is not None

    (runslot.directory / "train.py").write_text("def train(variant): pass\n")
    repeated = runslot(*again[1].split(), "--json")

    started = [json.loads(line) for line in repeated.stdout.splitlines()]
    assert sorted(Path(e["directory"]).name for e in started if e["event"] == "run_started") == [
        "run_0",
        "run_1",
    ]
    assert all(
        "lr=10" in e["directory"] and e["attempt"] == 2
        for e in started
        if e["event"] == "run_started"
    )


def test_quiet_prints_the_directory_alone_and_failures_apart(runslot):
    done = runslot("run", "-q", "train.py:train", "--grid", "lr=10", status=1)

    (line,) = done.stdout.splitlines()
    assert Path(line).is_dir()
    assert "failed lr=10/run_0" in done.stderr


def test_a_launch_goes_on_when_nobody_reads_what_it_says(runslot):
    launcher = runslot.start(*SWEEP, "--json")
    launcher.stdout.readline()
    launcher.stdout.close()

    assert launcher.wait() == 0
    assert runslot.status()["counts"] == {"succeeded": 4}


def test_dry_run_lists_every_run_and_makes_nothing(runslot):
    done = runslot("run", "--dry-run", "--grid", "lr=0.1,0.01", "--seeds", "3", *PROBE)

    runs = [line for line in done.stdout.splitlines() if line.startswith("  ")]
    assert len(runs) == 6
    assert runs[0].split()[:5] == ["lr=0.1/run_0", "python3", "script.py", "--lr", "0.1"]
    assert "script/<date-time>/lr=0.1/run_0' 0" in runs[0]
    assert "lr ×2, seeds ×3" in done.stdout
    assert not runslot.root.exists()


def test_dry_run_refuses_what_a_launch_would_refuse(runslot):
    assert "1000 cores" in runslot.refused(
        "run", "--dry-run", "train.py:train", "--cpus-per-run", "1000"
    )


def test_a_dry_run_as_json(runslot):
    runs = runslot.events("run", "--dry-run", "--grid", "lr=0.1,0.01", *PROBE)

    assert [run["variant"] for run in runs] == [{"lr": 0.1}, {"lr": 0.01}]
    assert runs[0]["command"][:4] == ["python3", "script.py", "--lr", "0.1"]
    assert runs[0]["directory"].endswith("lr=0.1/run_0")


def test_json_has_one_object_an_event(runslot):
    events = runslot.events("run", "train.py:train", "--grid", "lr=0.1,10", status=1)

    assert events[0]["event"] == "launch_started"
    assert events[0]["runs"] == 2
    assert events[-1]["event"] == "launch_ended"
    assert events[-1]["counts"] == {"succeeded": 1, "failed": 1}
    assert all(isinstance(event["time"], float) for event in events)
    ended = {event["variant"]["lr"]: event for event in events if event["event"] == "run_ended"}
    assert ended[0.1]["outcome"]["kind"] == "succeeded"
    assert ended[10]["outcome"]["message"] == "ValueError: the loss is nan"
    assert ended[10]["retry"] is False
    assert all(Path(event["directory"], "run.json").is_file() for event in ended.values())


def test_zip_and_sample_and_seed_lists(runslot):
    runs = runslot.events(
        "run", "train.py:train", "--dry-run", "--zip", "lr=0.1,0.01", "--zip", "batch=32,64",
        "--sample", "decay=loguniform(1e-5,1e-1)", "--sample", "act=choice(relu,tanh)", "--samples", "3",
        "--seeds", "4-5",
    )  # fmt: skip

    assert len(runs) == 2 * 3 * 2
    assert {(run["variant"]["lr"], run["variant"]["batch"]) for run in runs} == {
        (0.1, 32),
        (0.01, 64),
    }
    assert {run["seed"] for run in runs} == {4, 5}
    assert len({run["variant"]["decay"] for run in runs}) == 3


def test_into_keeps_what_is_finished_and_adds_what_is_new(runslot):
    runslot(*SWEEP)
    latest = runslot.root / "train" / "latest"

    events = runslot.events(*SWEEP[:3], "lr=0.1,0.01,0.001", "--seeds", "2", "--into", str(latest))

    assert events[0]["kept"] == 4
    assert [event["variant"] for event in events if event["event"] == "run_started"] == [
        {"lr": 0.001}
    ] * 2
    assert len(list((runslot.root / "train").glob("2*"))) == 1
    assert runslot.status()["counts"] == {"succeeded": 6}


def test_into_says_that_code_has_changed_and_strict_refuses(runslot):
    runslot(*SWEEP)
    latest = str(runslot.root / "train" / "latest")
    with (runslot.directory / "train.py").open("a") as file:
        file.write("# changed\n")

    assert "has changed" in runslot.refused(*SWEEP, "--into", latest, "--strict")
    assert "has changed" in runslot(*SWEEP, "--into", latest).stdout


def test_into_refuses_another_command(runslot):
    runslot(*SWEEP)
    latest = str(runslot.root / "train" / "latest")

    assert "not the command" in runslot.refused("run", "--into", latest, "--grid", "lr=1", *PROBE)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing says what to run"),
        (("train.py",), "train.py:NAME"),
        (("train.py:train", "--", "ls"), "both 'train.py:train' and a command"),
        (("nothing.py:train",), "there is no file /"),
        (("train.py:trian",), "trian"),
        (("--",), "nothing stands after --"),
        (("--", "python3", "-c", "pass"), "--name"),
        (
            ("--grid", "lr=1", "--", "python3", "script.py", "{rl}"),
            "{rl}, which no run has (did you mean 'lr'?)",
        ),
        (("--name", "x", "--", "no-such-program"), "no program 'no-such-program'"),
        (("train.py:train", "--grid", "lr"), "'lr' is not KEY=VALUE"),
        (("--grid", "lr", "0.1", "0.2", "--", "python", "train.py"), "as in --grid lr=0.1,0.2"),
        (("train.py:train", "--grid", "lr=1", "--grid", "lr=2"), "--grid has lr twice"),
        (
            ("train.py:train", "--sample", "lr=uniform(0,1)", "--sample", "lr=uniform(0,2)"),
            "--sample has lr twice",
        ),
        (("train.py:train", "--grid", "lr=1,1.0"), "twice"),
        (
            ("train.py:train", "--grid", "lr=1", "--zip", "lr=1,2"),
            "both spaces of a crossing set lr",
        ),
        (("train.py:train", "--zip", "a=1,2", "--zip", "b=1,2,3"), "a"),
        (("train.py:train", "--sample", "lr=uniform(0,1)"), "sample needs samples"),
        (
            ("train.py:train", "--sample", "lr=normal(0,1)", "--samples", "2"),
            "normal is not a distribution",
        ),
        (
            ("train.py:train", "--seeds", "none"),
            "--seeds: 'none' is not a seed; write how many",
        ),
        (("train.py:train", "--timeout", "soon"), "--timeout: must be a length of time"),
        (
            ("train.py:train", "--memory-per-run", "8G"),
            "--memory-per-run: must be an amount",
        ),
        (
            ("train.py:train", "--retries", "-1"),
            "--retries: must be a whole number, 0 or more",
        ),
        (("train.py:train", "--start", "hot"), "must be one of auto, warm, cold, not 'hot'"),
        (("train.py:train", "--set", "seeds=2"), "there is none; use --grid"),
        (("train.py:train", "--name", "../x"), "cannot be an experiment's name"),
        (("train.py:train", "--into", "nowhere"), "there is no nowhere"),
        (("train.py:train", "--cpus-per-run", "1000"), "1000 cores"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_starts(runslot, arguments, said):
    assert said in runslot.refused("run", *arguments)
    assert not list(runslot.root.glob("*/2*"))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("run", "--sedes", "3"),
            "there is no option --sedes (did you mean '--seeds'?); `runslot run -h` shows what",
        ),
        (("run", "--samples", "x"), "invalid value for '--samples'"),
        (("stauts",), "no such command 'stauts' (did you mean 'status'?); `runslot -h` shows what"),
        (("logs",), "missing argument 'RUN'; `runslot logs -h` shows what"),
        (("results", "--csv"), "requires an argument; `runslot results -h` shows what"),
        (("diff", "a", "b"), "two runs are compared by `runslot results diff RUN RUN`"),
        (("results", "nowhere"), "there is no nowhere, neither here nor in"),
        (("run", "trian.py:train"), "trian.py (did you mean 'train.py'?)"),
        (("cloud", "donw"), "(did you mean 'down'?); `runslot cloud -h` shows what"),
        (
            ("run", "my_script.py", "--lr", "0.1,0.2"),
            (
                "a command with its own goes after --, as in `runslot run --grid lr=V,V -- python"
                " my_script.py --lr {lr}`"
            ),
        ),
    ],
)
def test_a_mistake_in_the_words_of_a_command_line_is_one_line(runslot, arguments, sentence):
    refused = runslot.refused(*arguments)
    assert sentence in refused
    assert refused.count("\n") == 1


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python train.py --lr 1", "train"),
        ("python3.12 -u scripts/train_sac.py", "train_sac"),
        ("python -m pkg.train --x", "train"),
        ("python -c pass", None),
        ("./run.sh a", "run"),
        ("bash run.sh", "run"),
        ("bash -c ls", None),
        ("env LR=1 python train.py", "train"),
        ("sleep 1", "sleep"),
        ("python {script}", None),
    ],
)
def test_a_command_is_named_after_its_script(command, name):
    assert script_name(command.split()) == name


def test_what_a_shell_is_given_names_its_script():
    assert script_name(["bash", "-c", "accelerate launch train.py --lr 1 | tee log"]) == "train"
    assert script_name(["bash", "-c", "ls"]) is None


def test_every_event_is_documented_with_its_keys():
    run, where = Run("1", "a", {"x": 1}, "a/run_0", seed=0), Path("/x")
    events: list[LaunchEvent] = [
        LaunchStarted("e", where, (run,), 0, (), ""),
        RunStarted(run, where, 1, 0),
        RunStarted(run, where, 1, 0, adopted=True),
        RunWaits(run, 0, "someone"),
        RunEnded(run, where, Outcome("succeeded"), retry=False),
        RunDropped(run, "why"),
        RunsAdded((run,)),
        SearchStands(3, None, {"queued": 3}, ("3 trials",)),
        StopNoted(kill=False, running=1, grace=1.0),
        Said("text"),
        Asks("text"),
        LaunchEnded(where, {}),
        LaunchLeft(where, 1),
    ]
    assert {type(event) for event in events} == set(get_args(LaunchEvent))
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    for event in events:
        said = json.loads(json.dumps(as_json(event)))
        (line,) = [
            line
            for line in page.splitlines()
            if line.startswith("|") and f"`{said['event']}`" in line.split("|")[1]
        ]
        assert not [
            key for key in set(said) - {"event", "run", "variant", "seed"} if f"`{key}`" not in line
        ]


def test_a_script_that_only_prints_gets_its_table_and_the_first_run_says_what_was_found(
    runslot, tmp_path
):
    script = tmp_path / "mine.py"
    script.write_text(
        "import sys, time\nfor epoch in range(3): print(f'Epoch {epoch + 1}/3 - acc: {epoch +"
        " float(sys.argv[1]):.2f}')\ntime.sleep(0.5)\n"
    )
    done = runslot(
        "run",
        "--grid",
        "lr=0.5,0.25",
        "--seeds",
        "3",
        "--",
        "python3",
        str(script),
        "{lr}",
        "{seed}",
    )
    found = [
        line
        for line in done.stdout.splitlines()
        if line.startswith("metrics in ") or " metrics in " in line
    ]
    assert len(found) == 1, done.stdout
    assert "console.log: Epoch, acc; x is Epoch; compared by acc, higher is better" in found[0]
    assert "2 variants, 6 runs · acc, higher is better" in done.stdout
    refused = runslot("run", "--metrics", "acc: (.*)", "--", "python3", str(script), "1", status=2)
    assert "names no group" in refused.stderr


SILENT = """
import os, sys
os.makedirs(sys.argv[1], exist_ok=True)
with open(os.path.join(sys.argv[1], "run.csv"), "w") as file:
    file.write("epoch,loss\\n0,2.5\\n1,0.5\\n")
"""


def test_a_table_that_all_runs_would_write_is_said_and_one_below_the_run_is_read(runslot):
    (runslot.directory / "old").mkdir()
    (runslot.directory / "old" / "run.csv").write_text("a\n1\n")
    os.utime(runslot.directory / "old" / "run.csv", (1, 1))
    (runslot.directory / "silent.py").write_text(SILENT)
    shared = runslot("run", "--seeds", "2", "--", "python3", "silent.py", "logs", "{seed}").stdout
    assert (
        shared.count("note: logs/run.csv was written meanwhile outside of the run's directory") == 1
    )
    apart = runslot(
        "run", "--seeds", "2", "--", "python3", "silent.py", "{run_dir}/logs", "{seed}"
    ).stdout
    assert "metrics in run.csv: epoch, loss; x is epoch; compared by loss, lower is better" in apart
    assert "note: " not in apart
    assert "1 variant, 2 runs" in apart


def test_variants_are_chosen_and_directories_named_as_asked(runslot):
    grid = (
        "run",
        "--name",
        "few",
        "--grid",
        "lr=0.1,0.01",
        "--grid",
        "hidden=32,64",
        "--plain-names",
        "--env",
        "A=b c",
    )
    command = (
        "--",
        "python3",
        "-c",
        "import os, sys; print(sys.argv[1:], os.environ['A'])",
        "{args}",
    )
    runslot(*grid, "--where", "lr < 0.1 OR hidden = 32", "--exclude", "lr=0.1,hidden=32", *command)
    found = {
        path.parent.parent.name: path.read_text()
        for path in runslot.root.glob("few/2*/*/run_0/console.log")
    }
    assert found == {
        "lr-0.01-hidden-32": "['--lr', '0.01', '--hidden', '32'] b c\n",
        "lr-0.01-hidden-64": "['--lr', '0.01', '--hidden', '64'] b c\n",
    }
    for options, message in (
        (("--where", "lrr > 1"), "did you mean 'lr'"),
        (("--where", "lr > 1"), "leaves none of 4 variants"),
        (("--exclude", "lr=3"), "nothing would be left out"),
        (("--exclude", "lrr=3"), "did you mean 'lr'"),
        (("--env", "X"), "write NAME=VALUE"),
    ):
        assert message in runslot(*grid, *options, *command, status=2).stderr


def test_a_slot_has_a_port_of_its_own(runslot, monkeypatch):
    script = (
        "import os, socket; s = socket.socket()\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do\n"
        "s.bind(('', int(os.environ['MASTER_PORT'])))\n"
        "print(os.environ['RUNSLOT_PORT'])"
    )
    runslot("run", "--name", "ports", "--seeds", "4", "--", "python3", "-c", script, "{seed}")
    ports = {}
    for path in runslot.root.glob("ports/2*/run_*/outcome.json"):
        ports.setdefault(json.loads(path.read_text())["slot"], set()).add(
            (path.parent / "console.log").read_text()
        )
    assert len({min(of_slot) for of_slot in ports.values()}) == len(ports)
    monkeypatch.setenv("MASTER_PORT", "29999")
    runslot(
        "run",
        "--name",
        "told",
        "--",
        "python3",
        "-c",
        "import os; print(os.environ['MASTER_PORT'])",
    )
    (console,) = runslot.root.glob("told/2*/run_0/console.log")
    assert console.read_text() == "29999\n"
