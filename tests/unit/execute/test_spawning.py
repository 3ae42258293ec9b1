"""What a command finds around it when it starts, and what is said where it cannot."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from runslot import Experiment, InvalidInput, Outcome, Resources
from runslot.launch.experiment import silent

AROUND = """
import json, os, sys
status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
print(json.dumps({
    "blocked": int(status["SigBlk"], 16), "ignored": int(status["SigIgn"], 16),
    "leads": os.getsid(0) == os.getpid() == os.getpgid(0), "cpus": sorted(os.sched_getaffinity(0)),
    "told": sorted(json.loads(os.environ["RUNSLOT_AFFINITY"])["all_cpus"]),
    "input": os.readlink("/proc/self/fd/0"), "same": os.path.sameopenfile(1, 2), "directory": os.getcwd(),
}))
"""


def run(tmp_path: Path, *argv: str, **how: object) -> tuple[Outcome, str]:
    outcomes = Experiment("one", list(argv), root=tmp_path / "runs", **how).launch(silent)  # type: ignore[arg-type]
    return outcomes[0], (outcomes.directory / "run_0" / "console.log").read_text()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looked up in /proc")
def test_a_command_starts_like_from_a_fresh_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the launch itself was started with: a shell ignores two for what it starts in the
    background.
    """
    monkeypatch.chdir(tmp_path)
    by_a_shell = (signal.SIGINT, signal.SIGQUIT)
    before = [signal.signal(number, signal.SIG_IGN) for number in by_a_shell]
    try:
        outcome, printed = run(
            tmp_path, sys.executable, "-S", "-c", AROUND, resources=Resources(cpus=1)
        )
    finally:
        for number, handler in zip(by_a_shell, before, strict=True):
            signal.signal(number, handler)
    assert outcome.kind == "succeeded"
    around = json.loads(printed)
    python, glibc = (
        1 << 12 | 1 << 24,
        1 << 31 | 1 << 32,
    )  # SIGPIPE, SIGXFSZ; what posix_spawn keeps for threads
    assert around["blocked"] == 0
    assert around["ignored"] & ~(python | glibc) == 0
    assert around["leads"]
    assert around["cpus"] == around["told"]
    assert around["input"] == "/dev/null"
    assert around["same"]
    assert around["directory"] == str(tmp_path)


def test_a_program_is_looked_for_on_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # the first has no right to be executed
    for name, mode in (
        ("first", 0o644),
        ("second", 0o755),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "hello").write_text(f"#!/bin/sh\necho {name}\n")
        (tmp_path / name / "hello").chmod(mode)
    monkeypatch.setenv(
        "PATH", f"{tmp_path}/none:{tmp_path}/first:{tmp_path}/second:{os.environ['PATH']}"
    )
    assert run(tmp_path, "hello")[1] == "second\n"


def test_a_file_that_nobody_may_execute_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("not a program")
    with pytest.raises(InvalidInput, match=r"chmod \+x \./data"):
        run(tmp_path, "./data")


def test_what_cannot_be_started_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").write_text("not a program")
    (tmp_path / "data").chmod(0o755)
    outcome, _ = run(tmp_path, "./data")
    assert (outcome.kind, outcome.exit_code) == ("failed", 127)
    assert outcome.message == f"cannot start './data' in {tmp_path}: Exec format error"


def test_a_working_directory_that_has_gone_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    away = "import os, sys; sys.argv[1] == '0' and os.rename(sys.argv[2], sys.argv[2] + '.away')"
    one = Resources(
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1,
        threads="cores",
    )
    argv = [sys.executable, "-c", away, "{seed}", str(work)]
    outcomes = Experiment("gone", argv, seeds=2, root=tmp_path / "runs", resources=one).launch(
        silent
    )
    assert [outcome.kind for outcome in outcomes] == ["succeeded", "failed"]
    assert (
        outcomes[1].message
        == f"cannot start {sys.executable!r} in {work}: No such file or directory"
    )
