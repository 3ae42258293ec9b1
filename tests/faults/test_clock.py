"""The clock is set back by an hour in the middle of a sweep: times stay in order, nothing waits for
it.

The clock is libfaketime's, which every process of the sweep has, and which is set through a file.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from runslot.experiment.rundir import ExperimentDir
from runslot.experiment.status import read_status

LIBRARY = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)

pytestmark = [
    pytest.mark.fault,
    pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed"),
]

RUN = """
import os, select, sys, time
directory, seed = sys.argv[1:]
if seed == "1" and os.environ["RUNSLOT_ATTEMPT"] == "1":
    while not os.path.exists(directory + "/../run_0/when"):
        select.select([], [], [], 0.01)  # libfaketime cannot time.sleep
    open(os.environ["FAKETIME_TIMESTAMP_FILE"], "w").write("-3600\\n")
    select.select([], [], [], 0.2)
    sys.exit("once")
select.select([], [], [], 0.1)
when = os.path.join(directory, "when")
with open(when + ".new", "w") as file:
    file.write(str(time.time()))
os.rename(when + ".new", when)
"""


@pytest.fixture
def with_a_clock(tmp_path: Path) -> dict[str, str]:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    return {
        **os.environ,
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_RESET": "1",
    }


def test_a_clock_that_is_set_back_confuses_nothing(
    tmp_path: Path, with_a_clock: dict[str, str]
) -> None:
    (tmp_path / "run.py").write_text(RUN)
    argv = [
        "run",
        "-q",
        "--name",
        "c",
        "--root",
        "runs",
        "--seeds",
        "6",
        "--retries",
        "2",
        "--timeout",
        "60",
    ]
    command = [sys.executable, "run.py", "{run_dir}", "{seed}"]
    done = subprocess.run(
        [sys.executable, "-m", "runslot", *argv, "--", *command],
        cwd=tmp_path,
        env=with_a_clock,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    directory = ExperimentDir(Path(done.stdout.strip()))
    status = read_status(directory)
    assert [each.state for each in status.runs] == ["succeeded"] * 6
    assert {each.run.seed: each.attempts for each in status.runs} == {
        0: 1,
        1: 2,
        2: 1,
        3: 1,
        4: 1,
        5: 1,
    }
    when = [float(path.read_text()) for path in directory.path.glob("run_*/when")]
    assert max(when) - min(when) > 3000  # the clock was set back
    events = [json.loads(line) for line in directory.journal_file.read_text().splitlines()]
    for run in {event["run"] for event in events if "run" in event}:
        own = [event["event"] for event in events if event.get("run") == run]
        assert own == ["start", "ended"] * (len(own) // 2)
    outcomes = [event["outcome"] for event in events if event["event"] == "ended"]
    assert all(0 <= outcome["ended"] - outcome["started"] < 60 for outcome in outcomes)


def test_requests_are_read_in_the_order_of_their_asking(
    tmp_path: Path, with_a_clock: dict[str, str]
) -> None:
    names = (
        "from runslot.experiment.lock import leave_request; from runslot.experiment.rundir"
        " import ExperimentDir"
    )
    ask = f"import sys; {names}; leave_request(ExperimentDir(sys.argv[1]), sys.argv[2])"
    for verb, clock in (("pause", "+0"), ("continue", "-3600"), ("stop", "-7200")):
        Path(with_a_clock["FAKETIME_TIMESTAMP_FILE"]).write_text(f"{clock}\n")
        subprocess.run([sys.executable, "-c", ask, tmp_path, verb], env=with_a_clock, check=True)
    files = sorted(ExperimentDir(tmp_path).requests.iterdir())
    assert [json.loads(file.read_text())["verb"] for file in files] == ["pause", "continue", "stop"]
