"""Many runs at a time under a low limit of open files: it is raised where it may be, else runs wait
and say why.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(
        not sys.platform.startswith("linux"), reason="limits are set with prlimit's ulimit"
    ),
]

LAUNCH = """
import json, os, sys
from pathlib import Path
from runslot import Experiment
from runslot.hardware.slots import Slot
from runslot.engines.events import RunWaits
from runslot.launch.launch import outcomes_of
from runslot.engines.local.launcher import LocalLauncher
from runslot.engines.open_experiment import OpenExperiment
from runslot.launch.share import Share
from runslot.launch.supervisor import Supervisor

root, runs, script = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
directory = Experiment("many", ["sh", script, "{run_dir}"], seeds=runs, root=root).prepare()
engine = LocalLauncher([Slot("here", index, (), ()) for index in range(runs)])
waits = []
pipe = os.open(Path(script).with_name("go-on"), os.O_RDWR)

def note(event):
    if isinstance(event, RunWaits):
        waits.append(event.by)
        os.write(pipe, b"\\n" * runs)

supervisor = Supervisor(engine, note)
supervisor.add(Share(OpenExperiment.open(directory, {"PATH": "/usr/bin:/bin"}), tuple(directory.read_runs()), {}))
supervisor.run()
engine.close()
kinds = [outcome.kind for outcome in outcomes_of(directory)]
limits = {path.read_text().strip() for path in directory.path.glob("run_*/limit")}
print(json.dumps({"kinds": kinds, "waits": waits, "limits": sorted(limits)}))
"""

ALL_AT_ONCE = """
ulimit -Sn > "$1/limit"
exec 3<>"${0%/*}/all-are-up"
touch "$1/up"
if [ $(ls "$1"/../run_*/up | wc -l) -eq 100 ]; then yes | head -200 >&3; fi
read -r line <&3
"""
"""Whoever comes last writes a line for each; the others wait in the pipe, which costs nothing."""

UNTIL_ONE_WAITS = 'ulimit -Sn > "$1/limit"; read -r line < "${0%/*}/go-on"'
"""As long as no other has had to wait, none ends."""


def launch(tmp_path: Path, limit: str, script: str, runs: int) -> dict[str, list[str]]:
    (tmp_path / "run.sh").write_text(script)
    for name in ("all-are-up", "go-on"):
        os.mkfifo(tmp_path / name)
    argv = [sys.executable, "-c", LAUNCH, tmp_path / "runs", runs, tmp_path / "run.sh"]
    shell = f'ulimit {limit} && exec "$@"'
    done = subprocess.run(
        ["bash", "-c", shell, "bash", *map(str, argv)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, list[str]] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_a_hundred_runs_at_once_where_64_files_may_be_open_at_first(tmp_path: Path) -> None:
    said = launch(tmp_path, "-Sn 64", ALL_AT_ONCE, 100)
    assert said["kinds"] == ["succeeded"] * 100
    assert said["limits"] == ["64"]  # the runs have what their user has


def test_where_it_may_not_be_raised_the_rest_waits_and_says_why(tmp_path: Path) -> None:
    said = launch(tmp_path, "-n 64", UNTIL_ONE_WAITS, 60)
    assert said["kinds"] == ["succeeded"] * 60
    assert any("may open 64 files" in by and "ulimit -n" in by for by in said["waits"])
