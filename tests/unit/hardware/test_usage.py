"""What a run used: rows while it goes on, a summary at its end, and nothing in its way."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runslot.execute.usage import pause_after, use_of_tree
from runslot.experiment.rundir import SYSTEM_FROM_S, RunDir
from runslot.hardware.gpu_use import GpuReader
from runslot.hardware.topology import Gpu
from runslot.results.text.system import usage_of_rows

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="what processes use is read from /proc"
)

GIB = 1 << 30
GPU = f"gpu GPU-aaaa {24 * GIB} 00000000:01:00.0 0 ok NVIDIA L4\nuse 31 0\n"
"""As busy from the beginning as the run will make it: the first look may come before the run does anything."""
TRAIN = """
import json, os, subprocess, sys, time
from pathlib import Path
GIB = 1 << 30
NAMES = ("CUDA_VISIBLE_DEVICES", "PYTORCH_NVML_BASED_CUDA_CHECK")
AT_IMPORT = [os.environ.get(name) for name in NAMES]

def write(text):
    driver = Path(os.environ["FAKE_NVML"])
    new = driver.with_name("driver.new")
    new.write_text(text)
    new.rename(driver)

if "HANGS" in os.environ:  # from before the run, whenever it is looked at first
    write("init hang\\n")

def train(variant):
    text = Path(os.environ["FAKE_NVML"]).read_text() if "FAKE_NVML" in os.environ else ""
    match variant["kind"]:
        case "uses":
            worker = subprocess.Popen(["sleep", "600"])
            write(text + f"use 31 {9 * GIB}\\nprocess C {worker.pid} {6 * GIB} x\\nprocess C 1 {GIB} y\\n")
    at_run = [os.environ.get(name) for name in NAMES]
    (Path(os.environ["RUNSLOT_RUN"]) / "seen.json").write_text(json.dumps([AT_IMPORT, at_run]))
    if variant["kind"] != "ends":
        began = time.process_time()
        while time.process_time() < began + 0.2:
            pass
        system = Path(os.environ["RUNSLOT_RUN"]) / "system.csv"
        seen = "," if variant["kind"] == "hangs" else f",{6 * GIB},31"
        rows = []
        while len(rows) <= variant["looks"] or not rows[-1].endswith(seen):
            time.sleep(0.05)
            rows = system.read_text().splitlines() if system.exists() else []
"""


SHARER = """
import os, time
from pathlib import Path

def train(variant):
    seed = variant["seed"]
    driver = Path(os.environ["FAKE_NVML"])
    gpu = driver.read_text().splitlines()[0]
    new = driver.with_name(f"driver.{seed}")
    new.write_text(f"{gpu}\\nuse 31 {9 << 30}\\nprocess C {os.getpid()} {6 << 30} x\\n")
    new.rename(driver)
    system = Path(os.environ["RUNSLOT_RUN"]) / "system.csv"
    looks, rows = 6 if seed == 0 else 1, []
    while len(rows) <= looks or seed == 0 and not rows[-1].endswith(f",{6 << 30},31"):
        time.sleep(0.05)
        rows = system.read_text().splitlines() if system.exists() else []
"""


def launch(tmp_path: Path, *grid: str, **environment: str) -> subprocess.Popen[str]:
    (tmp_path / "work.py").write_text(TRAIN)
    command = [sys.executable, "-m", "runslot", "run", "work.py:train", "--root", "runs"]
    return subprocess.Popen(
        [*command, *(f"--grid={key}" for key in grid)],
        cwd=tmp_path,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def outcomes(tmp_path: Path) -> dict[str, tuple[Path, dict]]:
    """Return of each kind of run its directory and how it ended."""
    return {
        json.loads((file.parent / "run.json").read_text())["run"]["variant"]["kind"]: (
            file.parent,
            json.loads(file.read_text()),
        )
        for file in (tmp_path / "runs").rglob("outcome.json")
    }


def driver(tmp_path: Path, library: Path, text: str = GPU) -> dict[str, str]:
    (tmp_path / "driver.txt").write_text(text)
    return {"FAKE_NVML": str(tmp_path / "driver.txt"), "LD_LIBRARY_PATH": str(library)}


def test_a_run_says_what_it_used_of_cores_memory_and_gpus(library, tmp_path):
    settings = driver(tmp_path, library)
    out, _ = launch(tmp_path, "kind=uses", "looks=2", **settings).communicate(timeout=90)
    directory, outcome = outcomes(tmp_path)["uses"]
    assert outcome["kind"] == "succeeded", out
    rows = list(csv.DictReader((directory / "system.csv").read_text().splitlines()))
    assert len(rows) == outcome["used"]["looks"] >= 2
    assert rows[-1]["processes"] == "2"
    assert {row["processes"] for row in rows} <= {"1", "2"}
    assert rows[-1]["gpu_memory"] == str(6 * GIB), "its worker's, not the stranger's"
    assert rows[-1]["gpu_percent"] == "31"
    used = outcome["used"]
    assert (used["gpu_memory"], used["gpu_total"], used["gpu_percent"]) == (6 * GIB, 24 * GIB, 31)
    assert used["memory"] == max(int(row["memory"]) for row in rows) > 1_000_000
    assert used["cpus"] * (outcome["ended"] - outcome["started"]) > 0.15
    assert "left behind" in outcome["notes"][0], "the run's worker, and nothing of the keeper's"
    done = subprocess.run(
        [sys.executable, "-m", "runslot", "results", "runs", "--system", "--csv", "-"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert (row["state"], row["gpu_memory"], row["gpu_percent"]) == (
        "succeeded",
        str(6 * GIB),
        "31.0",
    )
    assert (row["memory"], row["cpus"]) == (str(used["memory"]), str(used["cpus"]))


def test_as_many_share_a_gpu_as_fit_by_what_the_first_run_used(library, tmp_path):
    """One has it alone for ten seconds; then the others have two cores' worth of places on it."""
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("two runs at a time want two cores")
    (tmp_path / "work.py").write_text(SHARER)
    options = ["--seeds", "4", "--root", "runs", "--runs-per-gpu", "auto", "--gpus-per-run", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "runslot", "run", "work.py:train", "--cpus-per-run", "1", *options],
        cwd=tmp_path,
        env={**os.environ, **driver(tmp_path, library)},
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = [line for line in done.stdout.splitlines() if "from here on" in line]
    assert "used 31 % of the GPU, 6 of 24 GiB" in line
    assert re.search(r"from here on [23] runs share a GPU", line)
    (journal,) = (tmp_path / "runs").glob("*/2*/journal.jsonl")
    events = [json.loads(text) for text in journal.read_text().splitlines()]
    starts = {e["run"]: e["slot"] for e in events if e["event"] == "start"}
    first, *rest = starts.values()
    assert first == 0
    assert set(rest) >= {1, 2}, "slots of their own, two of them at a time"
    assert [e["slots"] for e in events if e["event"] == "recarved"]
    shared = [
        json.loads(file.read_text())["lease"]["runs_per_gpu"]
        for file in (tmp_path / "runs").glob("*/2*/**/attempt.json")
    ]
    assert sorted(shared)[0] == 1
    assert min(sorted(shared)[1:]) >= 2


def test_of_a_run_that_goes_on_its_rows_tell_what_it_used():
    head = "seconds,cpus,memory,processes,gpu_memory,gpu_percent\n"
    rows = list(csv.DictReader(f"{head}2.0,1.0,500,1,,\n6.0,2.0,400,3,70,50\n".splitlines()))
    use = usage_of_rows(rows)
    assert (use.looks, use.memory, use.gpu_memory, use.gpu_percent) == (2, 500, 70, 50)
    assert use.cpus == pytest.approx((1 * 2 + 2 * 4) / 6)
    assert usage_of_rows([]) is None
    with pytest.raises(ValueError, match="memory"):
        usage_of_rows([{"seconds": "2.0", "cpus": "1.0"}])


def test_a_driver_that_hangs_is_in_nobodys_way(library, tmp_path):
    settings = driver(tmp_path, library) | {"HANGS": "yes"}
    launch(tmp_path, "kind=hangs", "looks=1", **settings).communicate(timeout=90)
    directory, outcome = outcomes(tmp_path)["hangs"]
    assert (outcome["kind"], outcome["notes"]) == ("succeeded", [])
    assert outcome["used"]["gpu_memory"] is None
    assert (directory / "system.csv").read_text().splitlines()[1].endswith(",,")
    seen = json.loads((directory / "seen.json").read_text())
    assert seen == [["0", "1"], ["0", None]], "its module saw as many GPUs as the run, without CUDA"


def test_a_run_of_a_moment_has_no_such_file(until, no_nvidia, tmp_path):
    def of_a_moment() -> tuple[Path, dict] | None:
        """Return a run that was over before the first look, and what is said of it."""
        shutil.rmtree(tmp_path / "runs", ignore_errors=True)
        launch(tmp_path, "kind=ends", **no_nvidia).communicate(timeout=90)
        directory, outcome = outcomes(tmp_path)["ends"]
        short = outcome["ended"] - outcome["started"] < SYSTEM_FROM_S
        return (directory, outcome) if short else None

    directory, outcome = until(of_a_moment)
    assert outcome["kind"] == "succeeded"
    assert "used" not in outcome
    assert not (directory / "system.csv").exists()
    assert json.loads((directory / "seen.json").read_text()) == [[None, None], [None, None]]


def test_who_asks_the_gpus_ends_with_a_killed_keeper(until, library, tmp_path):
    launcher = launch(tmp_path, "kind=uses", "looks=99", **driver(tmp_path, library))
    try:
        until(lambda: list((tmp_path / "runs").rglob("system.csv")))
        (file,) = (tmp_path / "runs").rglob("attempt.json")
        keeper = json.loads(file.read_text())["pid"]
        below = Path(f"/proc/{keeper}/task/{keeper}/children").read_text().split()
        assert len(below) == 2, "the run, and who asks the GPUs"
        os.kill(keeper, signal.SIGKILL)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in below))
    finally:
        launcher.kill()
        launcher.communicate()


def test_amd_gpus_are_read_from_sysfs(tmp_path):
    device = tmp_path / "sys/bus/pci/devices/0000:83:00.0"
    device.mkdir(parents=True)
    gpu = Gpu(0, "GPU-1", vendor="amd", pci="0000:83:00.0")
    assert not GpuReader([gpu], tmp_path), "an older kernel says nothing"
    (device / "mem_info_vram_used").write_text("123456789\n")
    reader = GpuReader([gpu], tmp_path)
    assert reader.read([1]).percent is None
    (device / "gpu_busy_percent").write_text("42\n")
    assert (reader.read([1]).memory, reader.read([1]).percent) == (123456789, 42)


def test_looks_become_rare_and_never_cost_a_thousandth_of_a_core():
    pauses = [pause_after(age, 1e-4) for age in (2, 60, 3600, 1e6)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (2, 60)
    assert all(cost / pause_after(10, cost) <= 0.0005 for cost in (1e-4, 0.01, 3))


def test_what_a_process_holds_is_counted_with_all_below_it():
    code = (
        "import subprocess as s, sys; s.run([sys.executable, '-c', 'print(1, flush=1); input()'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        process.stdout.readline()
        use = use_of_tree(process.pid)
        assert use.processes == 2
        assert use.memory > 4_000_000
        process.communicate(b"\n")


def test_readers_take_no_system_csv_for_a_log(tmp_path):
    from runslot.results import load

    run = tmp_path / "e/run_0"
    out = subprocess.run(
        [sys.executable, "-m", "runslot", "run", "--root", "runs", "--", "true"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (file,) = (tmp_path / "runs").rglob("run.json")
    run = RunDir(file.parent)
    run.system.write_text("seconds,cpus\n2.0,1.0\n")
    results = load(tmp_path / "runs")
    assert results.metrics == ()
    assert results.problems == ()
    assert not out.stderr
