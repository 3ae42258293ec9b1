"""Which process is meant: host, boot, pid and start time, so that a reused pid or a reboot is never mistaken.

Read from `/proc` where there is one; elsewhere (macOS) a pid alone has to do.
"""

from __future__ import annotations

import functools
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from runslot.experiment.records import Attempt

_PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessIdentity:
    """One process of one boot of one host."""

    host: str
    boot_id: str
    pid: int
    start_time: int
    """Clock ticks since boot."""


@functools.cache
def host_name() -> str:
    """Return this machine's name."""
    return socket.gethostname()


@functools.cache
def boot_id() -> str:
    """Return what tells this boot, and this pid namespace (a container), from every other."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return "unknown"
    return f"{boot}/{namespace}"


def start_time(pid: int) -> int | None:
    """Return when `pid` started, in clock ticks since boot; None where there is no such process, or only its zombie."""
    if not _PROC.joinpath("self").exists():
        return _start_time_without_proc(pid)
    try:
        stat = _PROC.joinpath(str(pid), "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()
    return None if fields[0] in {b"Z", b"X"} else int(fields[19])


def _start_time_without_proc(pid: int) -> int | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return 0


def identify(pid: int | None = None) -> ProcessIdentity:
    """Return the identity of `pid` on this machine, by default of this process."""
    pid = os.getpid() if pid is None else pid
    return ProcessIdentity(host_name(), boot_id(), pid, start_time(pid) or 0)


def keeper_of(attempt: Attempt) -> ProcessIdentity:
    """Return the process that executes, or executed, an attempt."""
    return ProcessIdentity(attempt.host, attempt.boot_id, attempt.pid, attempt.start_time)


def is_alive(process: ProcessIdentity) -> bool | None:
    """Tell whether the process lives; None where this machine cannot know (another host, another container)."""
    if process.host != host_name():
        return None
    if process.boot_id != boot_id():
        same_boot = process.boot_id.partition("/")[0] == boot_id().partition("/")[0]
        return None if same_boot else False
    return start_time(process.pid) == process.start_time


def processes_with(variable: str, *values: str) -> list[int]:
    """Return the pids of this user's processes whose environment started with ``variable`` as one of the values.

    The environment is the one a process was started with: a function's own process shows its parent's.
    """
    wanted = {os.fsencode(f"{variable}={value}") for value in values}
    found = []
    for entry in _PROC.glob("[0-9]*"):
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # ended meanwhile, or another user's
            continue
        if not wanted.isdisjoint(environment.split(b"\0")):
            found.append(int(entry.name))
    return found


def now() -> float:
    """Return the Unix time in seconds."""
    return time.time()
