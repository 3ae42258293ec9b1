"""How much of its GPUs a run uses at this moment: NVIDIA's by the driver's own library, AMD's by
sysfs.

`execute.usage` asks from a process of its own, because a driver can hang for ever on a GPU that
fell off the bus. The library is called without nvidia-ml-py: a container's image rarely has that,
and the library is put into every container that may use a GPU. Entry points and structures: NVML
API reference; `gpu_busy_percent` and `mem_info_vram_used`: the kernel's documentation of amdgpu.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from runslot.hardware.topology import Gpu
from runslot.record import record

_LIBRARY = "libnvidia-ml.so.1"
_SUCCESS = 0
_PROCESSES_LIMIT = 1024
_UNKNOWN_MEMORY = 2**64 - 1
"""What NVML says where it does not know a process's memory (NVML_VALUE_NOT_AVAILABLE)."""
_FIRST_NAMESPACE = "pid:[4026531836]"
"""The kernel's PROC_PID_INIT_INO."""


@record
class GpuUse:
    """What was seen of the GPUs of one run."""

    memory: int | None
    """Bytes that the run holds on all its GPUs; of all programs on them where the driver does not
    tell those of the run apart.
    """
    percent: float | None
    """Share of the last moment in which something computed on them, whoever it was; the mean over
    the GPUs.
    """
    of_all: bool = False
    """The memory is that of all programs, on one of the GPUs at least."""


Ask = Callable[[Collection[int]], GpuUse]
"""Takes the pids of a run and returns what was seen of one GPU."""


class GpuReader:
    """Asks about some GPUs, again and again."""

    def __init__(self, gpus: Sequence[Gpu], root: Path = Path("/")) -> None:
        nvidia = _nvml() if any(gpu.vendor == "nvidia" for gpu in gpus) else None
        asks = [_amd(gpu, root) if gpu.vendor == "amd" else _nvidia(nvidia, gpu) for gpu in gpus]
        self._asks = [ask for ask in asks if ask is not None]

    def __bool__(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self._asks)

    def read(self, pids: Collection[int]) -> GpuUse:
        """Return what the GPUs are used for now; `pids` are the run's."""
        answers = [ask(pids) for ask in self._asks]
        memory = [use.memory for use in answers if use.memory is not None]
        percents = [use.percent for use in answers if use.percent is not None]
        return GpuUse(
            sum(memory) if memory else None,
            sum(percents) / len(percents) if percents else None,
            any(use.of_all for use in answers),
        )


class _Rates(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class _Memory(ctypes.Structure):
    _fields_ = (
        ("total", ctypes.c_ulonglong),
        ("free", ctypes.c_ulonglong),
        ("used", ctypes.c_ulonglong),
    )


class _Process(ctypes.Structure):
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("memory", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


def _nvml() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(_LIBRARY)
        return library if library.nvmlInit_v2() == _SUCCESS else None
    except (OSError, AttributeError):
        return None


def _nvidia(library: ctypes.CDLL | None, gpu: Gpu) -> Ask | None:
    if library is None:
        return None
    handle = ctypes.c_void_p()
    name = gpu.uuid.encode()
    if library.nvmlDeviceGetHandleByUUID(name, ctypes.byref(handle)) != _SUCCESS:
        return None
    processes = _processes_call(library)
    is_own_namespace = _has_pids_of_its_own()

    def ask(pids: Collection[int]) -> GpuUse:
        rates, memory = _Rates(), _Memory()
        percent: float | None = None  # a MIG device has none
        if library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(rates)) == _SUCCESS:
            percent = float(rates.gpu)
        by_pid = processes(handle)
        of_run = [by_pid[pid] for pid in pids if pid in by_pid]
        # In a container the driver names no process, or names them by the machine's numbers; under
        # WSL it does not know their memory.
        is_known = None not in of_run and bool(of_run or not is_own_namespace)
        if is_known:
            return GpuUse(sum(used for used in of_run if used is not None), percent)
        if library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)) == _SUCCESS:
            return GpuUse(int(memory.used), percent, of_all=True)
        return GpuUse(None, percent)

    return ask


def _processes_call(library: ctypes.CDLL) -> Callable[[ctypes.c_void_p], dict[int, int | None]]:
    """Return what lists the bytes of each process that computes on a GPU; None: not known."""
    call = getattr(library, "nvmlDeviceGetComputeRunningProcesses_v3", None) or getattr(
        library, "nvmlDeviceGetComputeRunningProcesses_v2", None
    )
    entries = (_Process * _PROCESSES_LIMIT)()

    def processes(handle: ctypes.c_void_p) -> dict[int, int | None]:
        count = ctypes.c_uint(_PROCESSES_LIMIT)
        if call is None or call(handle, ctypes.byref(count), entries) != _SUCCESS:
            return {}
        process_entries = entries[: count.value]
        return {
            entry.pid: None if entry.memory == _UNKNOWN_MEMORY else entry.memory
            for entry in process_entries
        }

    return processes


def _has_pids_of_its_own() -> bool:
    """Tell whether this process is in another pid namespace than the machine's first, as in a
    container.
    """
    try:
        return Path("/proc/self/ns/pid").readlink().name != _FIRST_NAMESPACE
    except OSError:
        return False


def _amd(gpu: Gpu, root: Path) -> Ask | None:
    device = root / f"sys/bus/pci/devices/{gpu.pci}"
    if gpu.pci is None or not (device / "mem_info_vram_used").exists():
        return None

    def ask(_: Collection[int]) -> GpuUse:
        held, percent = _number(device / "mem_info_vram_used"), _number(device / "gpu_busy_percent")
        return GpuUse(held, percent, of_all=held is not None)

    return ask


def _number(file: Path) -> int | None:
    try:
        return int(file.read_text())
    except (OSError, ValueError):  # a GPU that sleeps says nothing
        return None
