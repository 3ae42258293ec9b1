"""Leave out GPUs and cores that processes without a lease use."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from runslot.hardware.lease import Leases
from runslot.hardware.resources import Avoid
from runslot.hardware.topology import Gpu, Topology

DISPLAY = (
    "Xorg",
    "Xwayland",
    "gnome-shell",
    "kwin_wayland",
    "kwin_x11",
    "sway",
    "weston",
    "nvidia-cuda-mps",
)
"""Programs that the driver may list as computing but that share a GPU well: display servers, and
CUDA's own MPS.
"""
BUSY = 0.5
"""Share of the time for which a PU has to work to count as busy."""
WATCHED = 0.2
"""Seconds for which PUs are watched."""


def without_busy(topology: Topology, avoid: Avoid, leases: Leases) -> Topology:
    """Return the topology less what processes without a lease use, with a note on each thing that
    is left out.

    `gpus`: GPUs on which others compute (a display server does not count). `all`: also cores that
    are more than half busy, which takes a fifth of a second. What a run of any launcher holds
    stays: it will be free again.
    """
    if avoid == "nothing":
        return topology
    gpus, notes = [], list(topology.notes)
    for gpu in topology.gpus:
        user = _foreign(gpu)
        if user and not leases.is_held(gpu):
            notes.append(
                f"{gpu.label} is left out: {user} computes on it without a lease"
                " (avoid_busy='nothing' takes it)"
            )
        else:
            gpus.append(gpu)
    allowed = set(topology.allowed)
    if avoid == "all":
        leased_pus = {core.pus for core in topology.cores if leases.is_held(core)}
        working = _working_pus()
        for core in topology.cores:
            if core.pus not in leased_pus and working.intersection(core.pus):
                allowed -= set(core.pus)
        if len(allowed) < len(topology.allowed):
            names = ", ".join(str(pu) for pu in sorted(set(topology.allowed) - allowed))
            notes.append(f"the CPUs {names} are left out: they are busy without a lease")
    return replace(topology, gpus=tuple(gpus), allowed=tuple(sorted(allowed)), notes=tuple(notes))


def _foreign(gpu: Gpu) -> str:
    """Return the first process that computes, nothing where there is none.

    Programs that also draw are taken for desktop programs where something draws alone, as a display
    server does.
    """
    names = [Path(process.name).name for process in gpu.processes]
    desktop = any(not process.compute for process in gpu.processes) or any(
        name.startswith(DISPLAY) for name in names
    )
    for process, name in zip(gpu.processes, names, strict=True):
        if process.compute and not name.startswith(DISPLAY) and not (process.graphics and desktop):
            return f"process {process.pid} ({name})" if name else f"process {process.pid}"
    return ""


def _working_pus() -> set[int]:
    before = _times()
    time.sleep(WATCHED)
    after = _times()
    return {
        pu
        for pu, (busy, total) in after.items()
        if pu in before and busy - before[pu][0] > BUSY * max(1, total - before[pu][1])
    }


def _times() -> dict[int, tuple[int, int]]:
    """Return each PU's busy and total time in clock ticks. Source: proc_stat(5)."""
    times = {}
    for line in Path("/proc/stat").read_text(encoding="ascii").splitlines():
        name, *values = line.split()
        if name.startswith("cpu") and name[3:].isdigit():
            ticks = [
                int(value) for value in values[:8]
            ]  # the last two, of guests, are counted in the first
            times[int(name[3:])] = (sum(ticks) - ticks[3] - ticks[4], sum(ticks))
    return times
