"""Which process is meant: host, boot, pid and start time, so that a reused pid or a reboot is never
mistaken.

Read from `/proc` where there is one; elsewhere (macOS) a pid alone has to do.
"""

from __future__ import annotations

import functools
import os
import select
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from runslot.experiment.records import Attempt
from runslot.record import record

_PROC = Path("/proc")


@record
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
    """Return when `pid` started, in clock ticks since boot; None where there is no such process, or
    only its zombie.
    """
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
    """Tell whether the process lives; None where this machine cannot know (another host, another
    container).
    """
    if process.host != host_name():
        return None
    if process.boot_id != boot_id():
        same_boot = process.boot_id.partition("/")[0] == boot_id().partition("/")[0]
        return None if same_boot else False
    return start_time(process.pid) == process.start_time


class ProcessHandle:
    """One process of this machine, held by a pidfd: a signal through it never reaches another that
    took its pid.

    Where the kernel has none (macOS, Linux before 5.3), the start time is compared before every
    signal.
    """

    def __init__(self, pid: int, began: int, descriptor: int | None) -> None:
        self.pid = pid
        self.descriptor = descriptor
        """The pidfd, readable once the process has ended; None where there is none."""
        self._began = began

    @classmethod
    def open(cls, pid: int) -> ProcessHandle | None:
        """Return the process that has this pid now; None where there is none."""
        began = start_time(pid)
        if began is None:
            return None
        try:
            descriptor = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else None
        except ProcessLookupError:
            return None
        except OSError:  # a kernel without
            descriptor = None
        handle = cls(pid, began, descriptor)
        if start_time(pid) != began:  # it ended between the two
            handle.close()
            return None
        return handle

    @classmethod
    def of(cls, process: ProcessIdentity) -> ProcessHandle | None:
        """Return exactly this process, if it lives on this machine."""
        if not is_alive(process):
            return None
        handle = cls.open(process.pid)
        if handle is not None and handle._began != process.start_time:
            handle.close()
            return None
        return handle

    @property
    def is_ours(self) -> bool:
        """Whether it is a process of this user, and not this one."""
        if self.pid == os.getpid():
            return False
        try:
            return os.stat(f"/proc/{self.pid}").st_uid == os.geteuid()  # noqa: PTH116
        except OSError:
            return not _PROC.joinpath("self").exists() and self._may_signal()

    @property
    def lives(self) -> bool:
        """Whether it has not ended."""
        if self.descriptor is not None:
            return not select.select([self.descriptor], [], [], 0)[0]
        return start_time(self.pid) == self._began

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal; False where it has ended."""
        try:
            if self.descriptor is not None and hasattr(signal, "pidfd_send_signal"):
                signal.pidfd_send_signal(self.descriptor, number)
            elif start_time(self.pid) == self._began:
                os.kill(self.pid, number)
            else:
                return False
        except ProcessLookupError:
            return False
        return True

    def close(self) -> None:
        """Let go of it; once is enough."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _may_signal(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except OSError:
            return False
        return True


def kill_marked(variable: str, *values: str) -> int:
    """Kill this user's processes whose environment started with `variable` as one of the values,
    but this one.

    Returns how many there were. Each is looked at again once it is held, so that no other that took
    its pid is hit.
    """
    killed = 0
    for pid in processes_with(variable, *values):
        handle = None if pid == os.getpid() else ProcessHandle.open(pid)
        if handle is None:
            continue
        if handle.is_ours and not set(values).isdisjoint(_values(pid, variable)):
            killed += handle.send(signal.SIGKILL)
        handle.close()
    return killed


def processes_with(variable: str, *values: str) -> list[int]:
    """Return the pids of this user's processes whose environment started with ``variable`` as one
    of the values.

    The environment is the one a process was started with: a function's own process shows its
    parent's.
    """
    value_set = set(values)
    return [pid for pid in _pids() if not value_set.isdisjoint(_values(pid, variable))]


def values_of_processes(variable: str) -> dict[int, str]:
    """Return by pid what the variable was in the environment that a process of this user was
    started with.
    """
    return {pid: values[0] for pid in _pids() if (values := _values(pid, variable))}


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir(_PROC) if name.isdigit()]  # noqa: PTH208  not a thousand paths
    except OSError:  # macOS
        return []


def children_of(pid: int) -> list[int]:
    """Return the direct children of `pid`, zombies included; none where there is no `/proc`."""
    return [child for child, parent in _parents().items() if parent == pid]


def name_of_process(pid: int) -> str:
    """Return the name by which the kernel lists a process; empty where it has ended, or there is no
    `/proc`.
    """
    try:
        with open(f"/proc/{pid}/comm", "rb", buffering=0) as file:  # noqa: PTH123
            return file.read().strip().decode(errors="replace")
    except OSError:
        return ""


def tree_of(pid: int) -> set[int]:
    """Return `pid` and all below it; one whose parent ends at this moment may be missing, as may
    its sibling.

    Where the kernel lists children this reads their files alone: every keeper asks twice a second,
    and a machine has thousands of processes.
    """
    if not _children_listed():
        return _tree_by_parents(pid)
    tree, border = {pid}, [pid]
    while border:
        further = [child for child in _listed_children(border.pop()) if child not in tree]
        tree.update(further)
        border += further
    return tree


@functools.cache
def _children_listed() -> bool:
    return os.path.exists("/proc/thread-self/children")  # noqa: PTH110  CONFIG_PROC_CHILDREN


def _listed_children(pid: int) -> Iterator[int]:
    """Yield the children that the threads of a process have."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")  # noqa: PTH208
    except OSError:  # ended meanwhile
        return
    for thread in threads:
        try:
            with open(f"/proc/{pid}/task/{thread}/children", "rb", buffering=0) as file:  # noqa: PTH123
                children = file.read()
        except OSError:
            continue
        yield from map(int, children.split())


def _tree_by_parents(pid: int) -> set[int]:
    parents = _parents()
    tree, border = {pid}, {pid}
    while border:
        border = {child for child, parent in parents.items() if parent in border} - tree
        tree |= border
    return tree


def _parents() -> dict[int, int]:
    parents = {}
    for pid in _pids():
        try:
            with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:  # noqa: PTH123
                stat = file.read()
        except OSError:  # ended meanwhile
            continue
        parents[pid] = int(stat[stat.rindex(b")") + 2 :].split()[1])
    return parents


def _values(pid: int, variable: str) -> list[str]:
    try:
        if os.stat(f"/proc/{pid}").st_uid != os.geteuid():  # noqa: PTH116  root may read everyone's
            return []
        with open(f"/proc/{pid}/environ", "rb", buffering=0) as file:  # noqa: PTH123
            environment = file.read()
    except OSError:  # ended meanwhile, or another user's
        return []
    start = os.fsencode(f"{variable}=")
    if start not in environment:
        return []
    return [
        os.fsdecode(part[len(start) :])
        for part in environment.split(b"\0")
        if part.startswith(start)
    ]


def now() -> float:
    """Return the Unix time in seconds."""
    return time.time()
