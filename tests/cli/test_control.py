"""Other terminals: stop, resume, status, logs and ls of experiments that run, were stopped, or lost
their launcher.
"""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runslot.cli.logs import _Console

WAIT = ("run", "train.py:wait", "--name", "w", "--grid", "x=1,2,3", "--cpus-per-run", "1")


def running(runslot, count=1):
    """Return the run directories that are under way, once there are `count`."""
    consoles = [
        path
        for path in runslot.root.glob("w/2*/*/run_0/console.log")
        if "waiting" in path.read_text()
    ]
    return [path.parent for path in consoles] if len(consoles) >= count else None


def go(runslot):
    (runslot.directory / "go").touch()


def ended(process: subprocess.Popen[str], status: int) -> tuple[str, str]:
    out, err = (
        process.stdout.read(),
        process.stderr.read(),
    )  # what was read by lines before is not lost so
    assert process.wait() == status, (out, err)
    return out, err


def test_stop_ends_a_launch_in_another_process_and_resume_continues(runslot, until):
    launcher = runslot.start(*WAIT, "--grace", "5")
    until(lambda: running(runslot))

    said = runslot("stop", "w").stdout

    assert "asking the launcher" in said
    out, _ = ended(launcher, 1)
    assert "stopped" in out
    assert "resume" in out
    counts = runslot.status()["counts"]
    assert counts.get("stopped", 0) >= 1
    assert sum(counts.values()) == 3

    go(runslot)
    assert "all 3 runs succeeded" in runslot("resume").stdout
    assert runslot.status()["counts"] == {"succeeded": 3}


def test_stop_of_one_run_leaves_the_others(runslot, until):
    launcher = runslot.start(*WAIT)
    under_way, *_ = until(lambda: running(runslot))

    runslot("stop", "w", under_way.parent.name)
    go(runslot)

    ended(launcher, 1)
    states = {run["directory"]: run["state"] for run in runslot.status()["runs"]}
    assert states.pop(str(under_way)) == "stopped"
    assert set(states.values()) == {"succeeded"}


@pytest.mark.parametrize("of", ["a run", "a variant", "a file"])
def test_stop_of_a_directory_inside_an_experiment_is_of_its_runs(runslot, until, of):
    launcher = runslot.start(*WAIT)
    under_way, *_ = until(lambda: running(runslot))
    place = {"a run": under_way, "a variant": under_way.parent, "a file": under_way / "run.json"}[
        of
    ]

    runslot("stop", str(place))
    go(runslot)

    ended(launcher, 1)
    states = {run["directory"]: run["state"] for run in runslot.status()["runs"]}
    assert states.pop(str(under_way)) == "stopped"
    assert set(states.values()) == {"succeeded"}


@pytest.mark.parametrize("path", ["absolute", "from here", "below the root", "inside"])
def test_a_run_is_named_by_its_path_as_well(runslot, until, path):
    launcher = runslot.start(*WAIT)
    under_way, *_ = until(lambda: running(runslot))
    text = {
        "absolute": str(under_way),
        "from here": os.path.relpath(under_way, runslot.directory),
        "below the root": os.path.relpath(under_way, runslot.root),
        "inside": str(under_way / "run.json"),
    }[path]

    runslot("stop", "w", text)
    go(runslot)

    ended(launcher, 1)
    states = {run["directory"]: run["state"] for run in runslot.status()["runs"]}
    assert states.pop(str(under_way)) == "stopped"
    assert set(states.values()) == {"succeeded"}


def test_a_path_that_leads_elsewhere_names_no_run(runslot, until):
    launcher = runslot.start(*WAIT)
    until(lambda: running(runslot))
    assert "has no run" in runslot.refused("stop", "w", str(runslot.directory / "lr=0.1" / "run_0"))
    go(runslot)
    ended(launcher, 0)


def test_stop_with_kill_does_not_wait_for_the_grace(runslot, until):
    (runslot.directory / "stubborn.py").write_text(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('waiting',"
        " flush=True)\nwhile True: time.sleep(1)\n"
    )
    launcher = runslot.start(
        "run", "--name", "w", "--grid", "x=1", "--grace", "1h", "--", "python3", "stubborn.py"
    )
    until(lambda: running(runslot))

    runslot("stop", "w", "--kill")

    ended(launcher, 1)
    (run,) = runslot.status()["runs"]
    assert run["outcome"]["signal"] == signal.SIGKILL


def test_ctrl_c_stops_the_runs_and_the_status_is_130(runslot, until):
    launcher = runslot.start(*WAIT)
    until(lambda: running(runslot))

    launcher.send_signal(signal.SIGINT)

    out, err = ended(launcher, 130)
    assert "to run what is missing:  runslot resume" in out
    assert err == ""


def test_a_killed_launcher_is_resumed_and_exactly_the_missing_runs_run(runslot, until):
    launcher = runslot.start(*WAIT)
    until(lambda: running(runslot))
    slots = runslot.status()["slots"]
    under_way = until(lambda: running(runslot, slots))
    launcher.kill()
    launcher.wait()
    assert runslot.status()["launcher"] is None
    assert runslot.status()["counts"]["running"] == len(under_way)

    resumed = runslot.start("resume", "--json", "w")
    events = []
    # one that ended before it was adopted would not be
    while sum(event["event"] == "run_adopted" for event in events) < len(under_way):
        events.append(json.loads(resumed.stdout.readline()))
    go(runslot)
    out, _ = ended(resumed, 0)

    events += [json.loads(line) for line in out.splitlines()]
    adopted = {event["directory"] for event in events if event["event"] == "run_adopted"}
    started = {event["directory"] for event in events if event["event"] == "run_started"}
    assert adopted == {str(path) for path in under_way}
    assert len(started) == 3 - len(adopted)
    assert runslot.status()["counts"] == {"succeeded": 3}
    assert {run["attempts"] for run in runslot.status()["runs"]} == {1}


def test_a_second_launcher_is_refused_and_told_who_holds_the_experiment(runslot, until):
    launcher = runslot.start(*WAIT)
    until(lambda: running(runslot))

    said = runslot.refused("resume", "w")

    assert f"process {launcher.pid} on " in said
    go(runslot)
    ended(launcher, 0)


def test_resume_of_what_has_ended_does_nothing(runslot):
    runslot("run", "train.py:train", "--grid", "lr=1")

    assert "nothing to do" in runslot("resume").stdout


# ---- looking on ----------------------------------------------------------------------------------


def test_status_shows_what_runs_and_what_went_wrong(runslot):
    runslot("run", "train.py:train", "--grid", "lr=0.1,10", status=1)

    said = runslot("status").stdout
    assert "2 runs: 1 succeeded, 1 failed" in said
    assert "ValueError: the loss is nan" in said
    assert "lr=0.1/run_0" not in said
    assert "--failed" in said
    assert "lr=0.1/run_0" in runslot("status", "--all").stdout


def test_status_finds_experiments_by_directory_name_link_and_from_inside(runslot):
    runslot("run", "train.py:train", "--grid", "lr=0.1")
    runslot("run", "train.py:train", "--grid", "lr=0.2", "--name", "group/other")
    first = runslot.status("train")["directory"]

    assert runslot.status("train/latest")["directory"] == first
    assert runslot.status(first)["directory"] == first
    assert runslot.status(f"{first}/lr=0.1/run_0")["directory"] == first
    assert runslot.status()["experiment"] == "group/other"
    everything = json.loads(runslot("status", "--json", str(runslot.root)).stdout)["experiments"]
    assert [each["experiment"] for each in everything] == ["train", "group/other"]
    assert "there is no nowhere" in runslot.refused("status", "nowhere")


def test_ls_lists_the_newest_first(runslot):
    assert "no directory" in runslot.refused("ls")
    runslot("run", "train.py:train", "--grid", "lr=0.1,10", status=1)
    runslot("run", "train.py:train", "--grid", "lr=0.2", "--name", "other")

    lines = runslot("ls").stdout.splitlines()
    assert [line.split()[1].split("/")[0] for line in lines[1:]] == ["other", "train"]
    assert "1 succeeded, 1 failed" in lines[2]
    assert "and 1 older ones" in runslot("ls", "-n", "1").stdout
    listed = json.loads(runslot("ls", "--json").stdout)
    assert [each["counts"] for each in listed] == [{"succeeded": 1}, {"succeeded": 1, "failed": 1}]


def test_the_calls_of_a_collection_are_one_line(runslot):
    calls = runslot.root / "01-02-prefix" / ".runslot"
    runslot("run", "train.py:train", "--grid", "lr=0.1", "--root", str(calls), "--name", "x")
    runslot("run", "train.py:train", "--grid", "lr=0.2", "--root", str(calls), "--name", "x")
    for call in list((calls / "x").glob("2*")):
        call.rename(calls / call.name)

    (listed,) = json.loads(runslot("ls", "--json").stdout)

    assert listed["directory"] == str(calls.parent)
    assert listed["counts"] == {"succeeded": 2}


def test_results_of_a_call_are_those_of_its_collection(runslot):
    (runslot.directory / "calls.py").write_text(
        "from runslot import logger, run_experiment\n"
        "def train(variant):\n"
        "    logger.record_dict({'epoch': 0, 'loss': variant['lr']})\n"
        "    logger.dump_tabular()\n"
        "if __name__ == '__main__':\n"
        "    for lr in (0.1, 0.2):\n"
        "        run_experiment(train, variant={'lr': lr}, exp_prefix='test', mode='local')\n"
    )
    environment = {**os.environ, "RUNSLOT_ROOT": str(runslot.root)}
    subprocess.run(
        [sys.executable, "calls.py"],
        cwd=runslot.directory,
        env=environment,
        check=True,
        timeout=120,
    )
    record, _ = runslot.root.glob("*-test/.runslot/2*")

    newest = runslot("results").stdout

    assert newest.startswith("2 variants, 2 runs")
    assert runslot("results", str(record)).stdout == newest


def test_a_name_that_no_experiment_has_is_refused_with_the_nearest(runslot):
    runslot("run", "train.py:train", "--grid", "lr=0.1", "--name", "digits")

    assert "(did you mean 'digits'?)" in runslot.refused("results", "digist")


def test_logs_of_an_experiment_with_several_runs_lists_them(runslot):
    runslot("run", "train.py:train", "--grid", "lr=0.1,0.2", "--name", "digits")

    refused = runslot.refused("logs", "digits")

    assert "has 2 runs; name one:" in refused
    assert "lr=0.1/run_0" in refused


def test_logs_prints_the_console_of_a_run_however_it_is_named(runslot):
    runslot("run", "train.py:train", "--grid", "lr=0.1,0.2")
    run, other = runslot.status()["runs"]
    directory = Path(run["directory"])
    text = (directory / "console.log").read_text()
    assert text.startswith("training with 0.1")

    for name in (
        directory,
        os.path.relpath(directory, runslot.directory),
        "train/latest/lr=0.1/run_0",
        run["run"][:6],
    ):
        assert runslot("logs", str(name)).stdout == text
    assert runslot("logs", "lr=0.1").stdout == text
    assert runslot("logs", "-n", "1", "lr=0.1").stdout == text.splitlines(keepends=True)[-1]
    said = runslot.refused("logs", "run_0")
    assert run["run"] in said
    assert other["run"] in said
    assert "did you mean 'lr=0.2/run_0'" in runslot.refused("logs", "lr=0.3/run_0")


def test_logs_inside_an_experiment_takes_names_from_there(runslot):
    runslot("run", "train.py:train", "--grid", "lr=0.1,0.2")
    runslot("run", "train.py:train", "--grid", "lr=0.3")
    older = min((runslot.root / "train").glob("2*"))
    runslot.directory = older / "lr=0.2"

    assert runslot("logs", "run_0").stdout.startswith("training with 0.2")
    assert runslot.status(".")["directory"] == str(older)


def test_logs_follows_until_the_run_has_ended(runslot, until):
    launcher = runslot.start(*WAIT)
    under_way, *_ = until(lambda: running(runslot))
    following = runslot.start("logs", "-f", str(under_way))
    assert following.stdout.readline() == "waiting\n"

    go(runslot)

    out, err = ended(following, 0)
    assert out == "went\n"
    assert "succeeded" in err
    ended(launcher, 0)


def test_logs_follows_into_the_next_attempt(runslot):
    (runslot.directory / "twice.py").write_text(
        "import sys\nfrom pathlib import Path\nfirst = not"
        " Path('tried').exists()\nPath('tried').touch()\nprint('first' if first else 'second',"
        " flush=True)\nsys.exit(first)\n"
    )
    (runslot.directory / "sweep.yaml").write_text(
        "command: python3 twice.py\nretries: 1\nbackoff: 1s\n"
    )
    launcher = runslot.start("run", "--json", "sweep.yaml")
    while (event := json.loads(launcher.stdout.readline()))["event"] != "run_started":
        pass

    following = runslot.start("logs", "-f", event["directory"])

    out, err = ended(following, 0)
    assert out.splitlines()[-1] == "second"
    assert "succeeded" in err
    ended(launcher, 0)


def test_what_an_attempt_printed_last_is_copied_though_the_next_has_replaced_its_file(
    tmp_path, monkeypatch
):
    path, out = tmp_path / "console.log", io.BytesIO()
    path.write_text("first\n")
    console = _Console(path, out, None)
    console.copy()

    def meanwhile(file):
        with path.open("a") as attempt:
            attempt.write("its last line\n")
        path.rename(tmp_path / "kept")
        path.write_text("second\n")
        return is_current(file)

    is_current = console._is_current
    monkeypatch.setattr(console, "_is_current", meanwhile)
    console.copy()
    console.close()
    assert out.getvalue() == b"first\nits last line\nsecond\n"


# ---- engines -------------------------------------------------------------------------------------


def unstarted(runslot, until) -> Path:
    """Return a run directory that is complete and whose run was stopped before it did anything."""
    launcher = runslot.start(*WAIT)
    under_way, *_ = until(lambda: running(runslot))
    launcher.send_signal(signal.SIGINT)
    ended(launcher, 130)
    for name in ("attempt.json", "outcome.json"):
        (under_way / name).unlink()
    (under_way / "console.log").unlink()
    return under_way


def test_exec_runs_a_run_directory_with_the_standard_library_alone(runslot, until):
    directory = unstarted(runslot, until)
    go(runslot)
    source = Path(__file__).parents[2] / "src"

    def execute(*arguments: str) -> subprocess.CompletedProcess[str]:
        bare = [
            sys.executable,
            "-S",
            "-m",
            "runslot",
            "exec",
            str(directory),
            *arguments,
        ]  # -S: no site-packages
        environment = {**os.environ, "PYTHONPATH": str(source)}
        return subprocess.run(bare, env=environment, capture_output=True, text=True, check=False)

    done = execute()
    assert done.returncode == 0, done.stderr
    assert (directory / "console.log").read_text() == "waiting\nwent\n"
    assert json.loads((directory / "outcome.json").read_text())["kind"] == "succeeded"

    assert execute().returncode == 0
    assert (directory / "console.log").read_text() == "waiting\nwent\n", (
        "an attempt that has ended runs no more"
    )
    assert execute("--attempt", "2").returncode == 0
    assert (directory / "console.log").read_text() == "waiting\nwent\n" * 2


def test_exec_returns_the_exit_code_of_the_run(runslot):
    runslot("run", "--name", "x", "--", "python3", "-c", "raise SystemExit(7)", status=1)
    (directory,) = runslot.root.glob("x/2*/run_0")

    done = runslot("exec", str(directory), "--attempt", "2", status=7)

    assert "failed: exit code 7" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("nowhere",), "is not a run directory"),
        ((".", "--slot", "{}"), "not a slot"),
        ((), "RUN_DIR"),
    ],
)
def test_exec_refuses_what_it_cannot_execute(runslot, arguments, said):
    assert said in runslot("exec", *arguments, status=2).stderr


@pytest.mark.parametrize("command", ["status", "results", "ls", "queue"])
def test_a_reader_that_has_gone_is_no_failure(runslot, command):
    runslot("run", "train.py:train", "--name", "t", "--grid", "lr=0.1,0.01")
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "runslot", command],
            cwd=runslot.directory,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (0, "")


def test_tags_and_notes_take_the_names_that_status_takes(runslot):
    directory = runslot(
        "run", "train.py:train", "--grid", "lr=1", "--name", "named", "-q"
    ).stdout.strip()
    runslot("tag", "named", "keep")
    runslot("note", directory, "too high")
    assert "keep" in runslot("tag", directory).stdout
    assert "too high" in runslot("note", "named").stdout
    assert "no note" in runslot("note", "named", "").stdout
    runslot("run", "train.py:train", "--grid", "lr=1", "--name", "named", "-q")
    assert "holds 2 experiments" in runslot("tag", "named", "keep", status=2).stderr


def test_results_refuses_two_outputs_and_a_file_that_cannot_be_before_it_prints(runslot):
    directory = runslot("run", "train.py:train", "--grid", "lr=1", "-q").stdout.strip()
    for words in (
        ("--vs", "best", "--effects"),
        ("--csv", "."),
        ("--csv", "no/such.csv"),
        ("--parquet", "no/such.parquet"),
    ):
        done = runslot("results", directory, *words, status=2)
        assert (done.stdout, done.stderr.count("\n")) == ("", 1), words
