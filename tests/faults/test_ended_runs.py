"""A run has ended as it has ended, whatever it did to its directory, its output and its
exceptions.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from runslot import Experiment
from runslot.execute.evidence import KillCount, kill_count, last_line, logger_notes
from runslot.launch.experiment import silent

pytestmark = pytest.mark.fault


ODD_PROBLEMS = {
    "no JSON": "echo nonsense > {file}",
    "a list of numbers": "echo '[1, 2]' > {file}",
    "numbers": "echo '{{\"problems\": [1, 2]}}' > {file}",
    "huge": "head -c 3000000 /dev/zero > {file}",
    "deep": "head -c 200000 /dev/zero | tr '\\0' '[' > {file}",
    "a pipe": "mkfifo {file}",
    "a directory": "mkdir {file}",
    "a link": "ln -s /dev/zero {file}",
    "empty": ": > {file}",
}


def test_odd_files_of_the_logger_leave_a_run_that_ended_well_succeeded(tmp_path: Path) -> None:
    script = "; ".join(
        f"if [ $0 = {seed} ]; then {how.format(file='$1/logger_problems.json')}; fi"
        for seed, how in enumerate(ODD_PROBLEMS.values())
    )
    argv = ["sh", "-c", script, "{seed}", "{run_dir}"]
    outcomes = Experiment("odd", argv, seeds=len(ODD_PROBLEMS), root=tmp_path / "r").launch(silent)
    for name, outcome in zip(ODD_PROBLEMS, outcomes, strict=True):
        assert outcome.kind == "succeeded", name
        assert outcome.notes == (
            "logger_problems.json is not what the logger writes, and was left alone",
        ), name


def test_what_the_logger_writes_is_kept_within_bounds(tmp_path: Path) -> None:
    file = tmp_path / "logger_problems.json"
    assert logger_notes(file) == ()
    file.write_text(json.dumps({"problems": ["x" * 9999, *map(str, range(30))]}))
    notes = logger_notes(file)
    assert len(notes) == 21
    assert len(notes[0]) == 500
    assert notes[-1] == "and 11 more in logger_problems.json"


@pytest.mark.parametrize(
    "what", ["rm -r $0", "rm $0/console.log", "rm $0/console.log; mkfifo $0/console.log"]
)
@pytest.mark.parametrize(("code", "kind"), [(0, "succeeded"), (3, "failed")])
def test_a_directory_or_console_that_is_gone_changes_no_end(
    what: str, code: int, kind: str, tmp_path: Path
) -> None:
    argv = ["sh", "-c", f"{what}; exit {code}", "{run_dir}"]
    (outcome,) = Experiment("gone", argv, root=tmp_path / "r").launch(silent)
    assert (outcome.kind, outcome.exit_code) == (kind, code)


FUNCTIONS = """
import atexit, os, sys

class Odd(Exception):
    def __str__(self):
        raise RuntimeError("no text")

def train(variant):
    match variant["case"]:
        case "no output":
            sys.stdout = sys.stderr = None
        case "closed output":
            sys.stdout.close(); os.close(1); os.close(2)
        case "own output":
            sys.stdout = object()
        case "exit handler":
            atexit.register(lambda: 1 / 0)
        case "exit handler exits":
            atexit.register(sys.exit, 3)
        case "surrogates":
            raise ValueError("\\ud800\\udcff")
        case "raising text":
            raise Odd()
        case "huge text":
            raise ValueError("x" * 50_000_000)
        case "no output, error":
            sys.stdout = sys.stderr = None
            raise ValueError("plain")
        case "odd exit":
            sys.exit(Odd())
"""
CASES = {
    "no output": ("succeeded", ""),
    "closed output": ("succeeded", ""),
    "own output": ("succeeded", ""),
    "exit handler": ("succeeded", ""),
    "exit handler exits": ("succeeded", ""),
    "surrogates": ("failed", "ValueError: \\ud800"),
    "raising text": ("failed", "job.Odd: <exception str() failed>"),
    "huge text": ("failed", "ValueError: xxx"),
    "no output, error": ("failed", "ValueError: plain"),
    "odd exit": ("failed", ""),
}


@pytest.mark.parametrize("start", ["warm", "cold"])
def test_odd_outputs_and_exceptions_end_a_function_as_they_would_alone(
    start: str, tmp_path: Path
) -> None:
    (tmp_path / "job.py").write_text(FUNCTIONS)
    variants = [{"case": case} for case in CASES]
    experiment = Experiment(
        "odd", f"{tmp_path}/job.py:train", variants=variants, root=tmp_path / "r", start=start
    )
    outcomes = experiment.launch(silent)
    assert {run.variant["case"]: outcome.kind for run, outcome in outcomes.pairs} == {
        case: kind for case, (kind, _) in CASES.items()
    }
    if start == "warm":
        for run, outcome in outcomes.pairs:
            assert outcome.message.startswith(CASES[run.variant["case"]][1]), outcome.message[:200]


def test_the_end_is_written_before_what_was_left_behind_is_ended(until, tmp_path: Path) -> None:
    stubborn = (
        "import signal, time; signal.signal(15, signal.SIG_IGN); print(flush=True); time.sleep(60)"
    )
    deaf = 'until [ -s "$0/console.log" ]; do sleep 0.02; done'
    work = f'{sys.executable} -S -c "{stubborn}" & {deaf}'
    argv = [
        sys.executable,
        "-m",
        "runslot",
        "run",
        "--root",
        str(tmp_path / "r"),
        "--name",
        "x",
        "--",
        "sh",
        "-c",
        work,
        "{run_dir}",
    ]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True) as launcher:
        until(lambda: list(tmp_path.glob("r/x/2*/run_0/outcome.json")))
        (outcome,) = tmp_path.glob("r/x/2*/run_0/outcome.json")
        keeper = json.loads((outcome.parent / "attempt.json").read_text())["pid"]
        assert json.loads(outcome.read_text())["kind"] == "succeeded"
        with suppress(ProcessLookupError):  # this took longer than what was left behind has
            os.kill(keeper, signal.SIGKILL)  # while it waits for what ignores SIGTERM
        assert launcher.wait(60) == 0


def test_kills_for_lack_of_memory_are_counted_by_one_counter() -> None:
    count = kill_count()
    assert count.since(count) == 0
    assert KillCount(5, of_group=True).since(KillCount(3, of_group=True)) == 2
    assert KillCount(5, of_group=True).since(KillCount(3, of_group=False)) == 0


def test_the_last_line_of_odd_consoles_is_empty(tmp_path: Path) -> None:
    assert last_line(tmp_path / "none") == ""
    os.mkfifo(tmp_path / "pipe")
    assert last_line(tmp_path / "pipe") == ""
    (tmp_path / "text").write_bytes(b"a\n\xff\xfeb\n\n")
    assert last_line(tmp_path / "text").endswith("b")


MEMORY = Path("/sys/fs/cgroup/memory")


@pytest.mark.root
@pytest.mark.skipif(
    not (MEMORY / "memory.limit_in_bytes").exists() or not os.access(MEMORY, os.W_OK),
    reason="needs a control group of version 1 with a limit of memory",
)
def test_a_kill_by_the_kernel_is_said_as_that_with_the_peak(tmp_path: Path) -> None:
    group = MEMORY / f"runslot-test-{os.getpid()}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text("100M")
        hog = "x = bytearray(60_000_000); y = [bytearray(10_000_000) for _ in range(99)]"
        enter = f'echo $$ > {group}/cgroup.procs; exec "$0" "$@"'
        run = [
            sys.executable,
            "-m",
            "runslot",
            "run",
            "--root",
            str(tmp_path / "r"),
            "--name",
            "x",
            "--",
        ]
        argv = ["sh", "-c", enter, *run, sys.executable, "-c", hog]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert done.returncode == 1
        (outcome,) = tmp_path.glob("r/x/2*/run_0/outcome.json")
        message = json.loads(outcome.read_text())["message"]
        assert message.startswith("out of memory: killed by the kernel; its largest process had ")
    finally:
        deadline = time.monotonic() + 5
        while group.exists() and time.monotonic() < deadline:
            try:
                group.rmdir()
            except OSError:
                time.sleep(0.05)


FAILS_ONCE = """
import sys, time
from pathlib import Path
from runslot import Experiment
here = Path(sys.argv[1])
work = f"[ -e {here}/go ] && exit 0; touch {here}/begun; while ! [ -e {here}/fail ]; do sleep 0.05; done; exit 1"
Experiment("m", ["sh", "-c", work], retries=1, backoff=60, root=here / "root").launch()
"""


@pytest.mark.parametrize("how", ["killed", "stopped", "killed before"])
def test_a_retry_that_its_launcher_did_not_come_to_is_made_by_a_resume(
    until, tmp_path: Path, how: str
) -> None:
    argv = [sys.executable, "-c", FAILS_ONCE, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as launcher:
        until((tmp_path / "begun").exists)
        (directory,) = (tmp_path / "root").glob("m/2*")
        if how != "killed before":
            (tmp_path / "fail").touch()
            until(lambda: '"retry":true' in (directory / "journal.jsonl").read_text())
        launcher.send_signal(signal.SIGTERM if how == "stopped" else signal.SIGKILL)
    (tmp_path / "fail").touch()
    until((directory / "run_0" / "outcome.json").exists)
    (tmp_path / "go").touch()
    resume = [sys.executable, "-m", "runslot", "resume", str(directory)]
    resumed = subprocess.run(resume, capture_output=True, text=True, check=False, timeout=100)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert json.loads((directory / "run_0" / "outcome.json").read_text())["attempt"] == 2
