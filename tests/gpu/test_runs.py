"""Runs on a real NVIDIA GPU: what they see, share, use, and leave behind (`make test-gpu`)."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        shutil.which("nvidia-smi") is None, reason="there is no NVIDIA GPU (nvidia-smi is missing)"
    ),
]
HAS_TORCH = importlib.util.find_spec("torch") is not None
WORK = Path(__file__).with_name("work.py")
GIB = 1 << 30
ENGINES = [name for name in ("podman", "docker", "apptainer") if shutil.which(name)]

TORCH = """
import torch
{line}
from work import is_cold, write

def train(variant):
    x = torch.ones(256, 256, device="cuda")
    free, _ = torch.cuda.mem_get_info()
    values = {"cold": is_cold(), "total": float((x @ x).sum()), "gpus": torch.cuda.device_count()}
    if "HANDLE" in globals():
        values["free"] = pynvml.nvmlDeviceGetMemoryInfo(HANDLE).free - free
    write("seen.json", **values)
"""

HIDDEN = """
import torch
from work import is_cold, write
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"

def train(variant):
    write("seen.json", cold=is_cold(), device=str(torch.ones(2, device=DEVICE).device))
"""

DISTRIBUTED = """
import os, torch
import torch.distributed as dist
from work import write
dist.init_process_group("gloo")
device = torch.device("cuda", 0)
total = torch.ones(1) * (dist.get_rank() + 1)
dist.all_reduce(total)
free, _ = torch.cuda.mem_get_info(device)
if dist.get_rank() == 0:
    write("seen.json", total=float(total), port=os.environ["MASTER_PORT"], slot=os.environ["RUNSLOT_PORT"])
dist.barrier()
dist.destroy_process_group()
"""

EGL = """
import ctypes, os, subprocess, sys
sys.path.insert(0, sys.argv[1])
from work import write
if "CUDA_VISIBLE_DEVICES" in os.environ:
    clean = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
    sys.exit(subprocess.run([sys.executable, *sys.argv], env=clean).returncode)
egl = ctypes.CDLL("libEGL.so.1")
egl.eglGetProcAddress.restype = ctypes.c_void_p
pointer = ctypes.c_void_p
query = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.POINTER(pointer), ctypes.POINTER(ctypes.c_int))(
    egl.eglGetProcAddress(b"eglQueryDevicesEXT"))
attribute = ctypes.CFUNCTYPE(ctypes.c_uint, pointer, ctypes.c_int, ctypes.POINTER(ctypes.c_ssize_t))(
    egl.eglGetProcAddress(b"eglQueryDeviceAttribEXT"))
devices, count, number = (pointer * 64)(), ctypes.c_int(), ctypes.c_ssize_t(-1)
assert query(64, devices, ctypes.byref(count)), "no EGL devices"
device = devices[int(os.environ["EGL_DEVICE_ID"])]
assert attribute(device, 0x323A, ctypes.byref(number)), "that device is no NVIDIA GPU"  # EGL_CUDA_DEVICE_NV
write("seen.json", cuda=number.value, devices=count.value)
"""


def query(*fields: str, kind: str = "gpu") -> list[list[str]]:
    """Return rows of `nvidia-smi`."""
    done = subprocess.run(
        ["nvidia-smi", f"--query-{kind}={','.join(fields)}", "--format=csv,noheader,nounits"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return [line.split(", ") for line in done.stdout.splitlines()]


def computing() -> set[int]:
    """Return the pids that hold a GPU."""
    return {int(pid) for (pid,) in query("pid", kind="compute-apps")}


def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


class Desk:
    """A directory with the runs' code, and the command line in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        shutil.copy(WORK, path / "work.py")
        self.environment = {k: v for k, v in os.environ.items() if k != "CUDA_VISIBLE_DEVICES"}
        paths = [str(path), *sys.path]
        self.environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self._processes: list[subprocess.Popen[str]] = []

    def start(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "runslot", *map(str, arguments)],
            cwd=self.path,
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def run(self, *arguments: object, **environment: str) -> str:
        process = self.start("run", *arguments, **environment)
        out, _ = process.communicate(timeout=110)
        assert process.returncode == 0, out + self.consoles()
        return out

    def consoles(self) -> str:
        return "\n".join(file.read_text() for file in self.path.rglob("console.log"))

    def files(self, name: str) -> list[Path]:
        return sorted((self.path / "runs").rglob(name))

    def read(self, name: str) -> list[dict]:
        return [json.loads(file.read_text()) for file in self.files(name)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()
    wait_for(lambda: not computing(), 30)


@pytest.mark.parametrize("kind", ["function", "command", "container"])
def test_runs_see_the_gpu_that_the_launcher_was_given_by_uuid(kind, desk):
    index, uuid = query("index", "uuid")[-1]
    work = ["work.py:see"]
    if kind == "command":
        work = ["--", sys.executable, "work.py", "see"]
    if kind == "container":
        if not ENGINES:
            pytest.skip("there is no podman, docker or apptainer on this machine")
        work = ["--image", "python:3.12-slim", "--engine", ENGINES[0], *work]
    desk.run("--quiet", *work, CUDA_VISIBLE_DEVICES=uuid)
    (seen,) = desk.read("seen.json")
    assert (seen["count"], seen["uuid"]) == (1, uuid)
    assert seen["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert seen["EGL_DEVICE_ID"] == index


def test_runs_without_gpus_see_none(desk):
    process = desk.start("run", "--quiet", "--gpus-per-run", 0, "work.py:see")
    process.communicate(timeout=100)
    (outcome,) = desk.read("outcome.json")
    assert "cuInit: CUDA error 100" in outcome["message"], "CUDA_ERROR_NO_DEVICE"


def test_two_runs_share_a_gpu_and_say_what_they_used(desk):
    uuid = query("uuid")[0][0]
    desk.run(
        "--quiet", "--runs-per-gpu", 2, "--grid", "gib=2,4", "--grid", "seconds=7",
        "work.py:hold", CUDA_VISIBLE_DEVICES=uuid,
    )  # fmt: skip
    ready, outcomes = desk.read("ready.json"), desk.read("outcome.json")
    assert {each["uuid"] for each in ready} == {uuid}
    assert abs(ready[0]["began"] - ready[1]["began"]) < 7, "at the same time"
    total = int(query("memory.total")[0][0]) << 20
    for outcome, gib in zip(outcomes, (2, 4), strict=True):
        used = outcome["used"]
        assert gib * GIB <= used["gpu_memory"] < (gib + 1.5) * GIB, used
        assert abs(used["gpu_total"] - total) < total * 0.05
        assert 20 < used["gpu_percent"] <= 100, used
    for file in desk.files("system.csv"):
        rows = list(csv.DictReader(file.read_text().splitlines()))
        assert len(rows) >= 2
        assert all(row["gpu_percent"] for row in rows[1:])


def test_a_gpu_that_somebody_computes_on_is_left_out(desk):
    stranger = subprocess.Popen(
        [sys.executable, WORK], env={**os.environ, "RUNSLOT_RUN": str(desk.path)}
    )
    try:
        wait_for(computing)
        out = desk.start("hardware").communicate(timeout=60)[0]
        assert "computes on it without a lease" in " ".join(out.split()), out
        assert f"process {stranger.pid}" in " ".join(out.split())
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
@pytest.mark.parametrize(
    ("line", "is_cold"),
    [
        ("", False),
        ("GPUS = torch.cuda.is_available() * torch.cuda.device_count()\nassert GPUS == 1", False),
        (
            "import pynvml\npynvml.nvmlInit()\nHANDLE = pynvml.nvmlDeviceGetHandleByIndex(0)",
            False,
        ),
        ("HELD = torch.zeros(8, device='cuda')", True),
    ],
    ids=["imports torch", "asks for GPUs", "opens NVML", "opens CUDA"],
)
def test_modules_with_torch_start_warm_unless_they_open_cuda_at_import(line, is_cold, desk):
    (desk.path / "train.py").write_text(TORCH.replace("{line}", line))
    out = desk.run("--seeds", 2, "train.py:train")
    seen = desk.read("seen.json")
    assert [(each["total"], each["gpus"]) for each in seen] == [(256.0**3, 1)] * 2
    colds = {each["cold"] for each in seen}
    assert len(colds) == 1
    assert colds == {is_cold}, out
    assert ("importing it opened the GPU (/dev/nvidia" in " ".join(out.split())) is is_cold, out


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_a_module_that_asks_for_gpus_finds_none_where_its_runs_have_none(desk):
    (desk.path / "train.py").write_text(HIDDEN)
    desk.run("--gpus-per-run", 0, "train.py:train")
    assert desk.read("seen.json") == [{"cold": False, "device": "cpu"}]


@pytest.mark.parametrize("end", ["stop", "keeper", "launcher"])
def test_nothing_is_left_on_the_gpu(end, desk):
    before = int(query("memory.used")[0][0])
    launcher = desk.start(
        "run", "--quiet", "--grace", "1", "--grid", "gib=2", "--grid", "seconds=300",
        "--grid", "child=1", "work.py:hold",
    )  # fmt: skip
    wait_for(lambda: desk.files("ready.json") and desk.files("child.json"), 90)
    wait_for(lambda: len(computing()) == 2)
    keeper = desk.read("attempt.json")[0]["pid"]
    if end == "stop":
        directory = desk.files("experiment.json")[0].parent
        desk.start("stop", directory).communicate(timeout=60)
    elif end == "keeper":
        os.kill(keeper, signal.SIGKILL)
    else:
        launcher.send_signal(signal.SIGINT)
        launcher.send_signal(signal.SIGINT)
    launcher.communicate(timeout=90)
    wait_for(lambda: not computing(), 20)
    wait_for(lambda: int(query("memory.used")[0][0]) <= before + 64, 20)


@pytest.mark.skipif(not HAS_TORCH, reason="torch is not installed")
def test_torchrun_of_two_runs_on_one_gpu_meets_at_a_port_of_each_slot(desk):
    (desk.path / "dist.py").write_text(DISTRIBUTED)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", 2]
    desk.run("--quiet", "--runs-per-gpu", 2, "--seeds", 2, "--", *torchrun, "dist.py")
    seen = desk.read("seen.json")
    assert [each["total"] for each in seen] == [3.0, 3.0]
    assert len({each["port"] for each in seen}) == 2
    assert all(each["port"] == each["slot"] for each in seen)


def test_the_egl_device_of_a_run_is_its_gpu(desk):
    probe = subprocess.run(
        [sys.executable, "-c", "import ctypes; ctypes.CDLL('libEGL.so.1')"],
        capture_output=True,
        check=False,
    )
    if probe.returncode:
        pytest.skip("there is no libEGL.so.1 (apt install libegl1)")
    (desk.path / "egl.py").write_text(EGL)
    desk.run("--quiet", "--gpus-per-run", 1, "--", sys.executable, "egl.py", desk.path)
    (seen,) = desk.read("seen.json")
    assert seen["cuda"] == 0
