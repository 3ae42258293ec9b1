"""What a run uses: CPU time, memory, and of its GPUs memory and time, looked at while it goes on.

Keepers of runs that live longer than `SYSTEM_FROM_S` load this. Each look is a row of `system.csv`;
the summary goes into `outcome.json`. What must stay true: looking takes less than a thousandth of a
core, however many processes a run has (a look that costs more is taken less often), a run that ends
before the first look has no such file, and nothing that goes wrong here reaches the run or how it
ended. GPUs are asked from a fork, because their driver may hang.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import NoReturn

from runslot.execute.spawn import die_with_parent
from runslot.experiment.processes import tree_of
from runslot.experiment.records import Usage
from runslot.experiment.rundir import SYSTEM_FROM_S, RunDir
from runslot.hardware.gpu_use import GpuReader
from runslot.hardware.slots import Slot
from runslot.hardware.topology import Gpu
from runslot.record import record

_LOOKS_PER_AGE = 200
"""A run is looked at again after this part of its age: 200 rows, then ever fewer a minute."""
_LONGEST_PAUSE_S = 60.0
_CPU_SHARE = 0.0005
"""Of a core, for each of the two that look: the keeper, and the fork that asks the GPUs."""
_END_S = 1.0
"""Seconds in which a killed fork is gone, unless it is stuck in the driver."""

COLUMNS = ("seconds", "cpus", "memory", "processes")
GPU_COLUMNS = ("gpu_memory", "gpu_percent")

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def pause_after(age: float, cost: float) -> float:
    """Return how long to wait until the next look at a run of this age, where one took so much CPU
    time; pure.
    """
    return max(SYSTEM_FROM_S, min(age / _LOOKS_PER_AGE, _LONGEST_PAUSE_S), cost / _CPU_SHARE)


@record
class TreeUse:
    """What the processes of a run have used and hold."""

    cpu_seconds: float
    """Of those that live, and of the children that they have waited for."""
    memory: int
    """Resident bytes; what processes share counts in each."""
    processes: int


def use_of_tree(pid: int) -> TreeUse:
    """Return what `pid` and all below it use."""
    ticks = pages = count = 0
    for member in tree_of(pid):
        try:
            with open(f"/proc/{member}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                fields = file.read(1024).rpartition(b")")[2].split()
        except OSError:  # ended meanwhile
            continue
        ticks += sum(map(int, fields[11:15]))
        pages += int(fields[21])
        count += 1
    return TreeUse(ticks / _TICKS_PER_S, pages * _PAGE_BYTES, count)


class UsageMeter:
    """Looks at one run, from its keeper."""

    def __init__(self, run: int, slot: Slot | None, age: float) -> None:
        """Begin; `run` is the run's process, `age` that of the run in seconds."""
        self._run = run
        self._born = time.monotonic() - age
        self._gpus = () if slot is None else slot.gpus
        self._gpu_meter = GpuMeter(run, self._gpus) if self._gpus else None
        self._last = (0.0, 0.0)
        """Age and CPU seconds at the last look."""
        self._looks = 0
        self._memory = 0
        self._failed = False

    @property
    def helper(self) -> int:
        """The pid of the fork that asks the GPUs, stuck ones included; 0 where there is none."""
        return 0 if self._gpu_meter is None else self._gpu_meter.pid

    def forget_helper(self) -> None:
        """Take note that the fork has ended, and was waited for."""
        if self._gpu_meter is not None:
            self._gpu_meter.pid = 0

    def look(self, run_dir: RunDir) -> float:
        """Look at the run now, and write a row; return when to look next, on the monotonic
        clock.
        """
        began = time.process_time()
        use = use_of_tree(self._run)
        age = time.monotonic() - self._born
        if use.processes:
            self._add(run_dir, age, use)
        return time.monotonic() + pause_after(age, time.process_time() - began)

    def _add(self, run_dir: RunDir, age: float, use: TreeUse) -> None:
        since, before = self._last
        # What ends without its parent waiting for it takes its CPU time along.
        cpus = max(0.0, use.cpu_seconds - before) / max(age - since, 1e-3)
        self._last = (age, use.cpu_seconds)
        self._looks += 1
        self._memory = max(self._memory, use.memory)
        row = [f"{age:.1f}", f"{cpus:.2f}", str(use.memory), str(use.processes)]
        columns: tuple[str, ...] = COLUMNS
        if self._gpu_meter is not None:
            self._gpu_meter.drain()
            row += [_cell(self._gpu_meter.memory), _cell(self._gpu_meter.percent)]
            columns += GPU_COLUMNS
        if not self._failed:
            head = f"{','.join(columns)}\n" if self._looks == 1 else ""
            self._write(run_dir, f"{head}{','.join(row)}\n")

    def _write(self, run_dir: RunDir, text: str) -> None:
        # Made once: what took the place of a directory that was moved meanwhile gets no rows.
        mode = os.O_CREAT | os.O_TRUNC if self._looks == 1 else os.O_APPEND
        flags = os.O_WRONLY | mode | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        try:
            descriptor = os.open(run_dir.system, flags, 0o666)
            try:
                os.write(descriptor, text.encode())
            finally:
                os.close(descriptor)
        except OSError:  # a full disk, or a directory that was moved: the run goes on without
            self._failed = True

    def end(self, cpu_seconds: float, seconds: float) -> Usage | None:
        """Return the summary of a run that has ended, which took so much CPU time and lived so
        long; None where it was never looked at.
        """
        meter = self._gpu_meter
        if meter is not None:
            meter.end()
        if not self._looks:
            return None
        gpus = [gpu.memory for gpu in self._gpus if gpu.memory is not None]
        total = max(cpu_seconds, self._last[1])
        return Usage(
            looks=self._looks,
            cpus=round(total / max(seconds, 1e-3), 2),
            memory=self._memory,
            gpu_memory=None if meter is None else meter.peak,
            gpu_total=sum(gpus) if gpus and meter is not None else None,
            gpu_percent=None if meter is None else meter.mean,
            gpu_memory_of_all=meter is not None and meter.of_all,
        )


class GpuMeter:
    """A fork that asks the GPUs of a run, and what it has said."""

    def __init__(self, run: int, gpus: tuple[Gpu, ...]) -> None:
        self.memory: int | None = None
        self.percent: float | None = None
        """The last that was said."""
        self.peak: int | None = None
        self.of_all = False
        """Whether the peak counts all programs on the GPUs."""
        self._percents = 0.0
        self._count = 0
        self._pending = b""
        self.pid = 0
        self._read = -1
        with contextlib.suppress(OSError):  # no further process, no descriptor: then without
            self._start(run, gpus)

    @property
    def mean(self) -> float | None:
        """The mean percent."""
        return round(self._percents / self._count, 1) if self._count else None

    def _start(self, run: int, gpus: tuple[Gpu, ...]) -> None:
        read, write = os.pipe()
        keeper = os.getpid()
        try:
            self.pid = os.fork()
        except OSError:
            os.close(read)
            raise
        finally:
            if self.pid == 0 and os.getpid() != keeper:
                _report(run, gpus, keeper, write)
            os.close(write)
        os.set_blocking(read, False)
        self._read = read

    def drain(self) -> None:
        """Take what was said since; never waits."""
        if self._read < 0:
            return
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._read, 4096):
                self._pending += chunk
        *lines, self._pending = self._pending.split(b"\n")
        for line in lines:
            memory, percent, of_all = line.split()
            if memory != b"-":
                self.memory = int(memory)
                if self.memory >= (self.peak or 0):
                    self.peak, self.of_all = self.memory, of_all == b"1"
            if percent != b"-":
                self.percent = float(percent)
                self._percents += self.percent
                self._count += 1

    def end(self) -> None:
        """End the fork; one that is stuck in the driver is left to the kernel."""
        if self._read < 0:
            return
        self.drain()
        os.close(self._read)
        self._read = -1
        if not self.pid:
            return
        os.kill(self.pid, signal.SIGKILL)
        until = time.monotonic() + _END_S
        while os.waitpid(self.pid, os.WNOHANG)[0] == 0:
            if time.monotonic() > until:
                return
            time.sleep(0.001)
        self.pid = 0


def _report(run: int, gpus: tuple[Gpu, ...], keeper: int, write: int) -> NoReturn:
    """As a fork: say what the GPUs are used for, a line each time, until the keeper is gone."""
    try:
        die_with_parent(keeper)
        os.dup2(write, 0)
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
            if int(name):  # the claim, the leases, the guard's pipe are the keeper's
                with contextlib.suppress(OSError):  # the listing's own
                    os.close(int(name))
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        reader = GpuReader(gpus)
        born = time.monotonic()
        while reader:
            began = time.process_time()
            use = reader.read(tree_of(run))
            cells = [_cell(use.memory) or "-", _cell(use.percent) or "-", "01"[use.of_all]]
            os.write(0, f"{' '.join(cells)}\n".encode())
            age = SYSTEM_FROM_S + time.monotonic() - born
            time.sleep(pause_after(age, time.process_time() - began))
    finally:
        os._exit(0)


def _cell(value: float | None) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
