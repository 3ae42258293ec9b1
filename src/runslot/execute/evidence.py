"""What tells how a run ended beside its exit status: its console, the logger's problems, the
kernel's count of kills.

All of it is the run's to change, remove or make odd, and none of it may turn a run that ended with
0 into anything else: whatever cannot be read is left out, or said in a note. Called by keepers, at
a run's start and at its end.
"""

# Plain system calls: a keeper touches little, and these files may be pipes, links, or gone.
# ruff: noqa: PTH115, PTH116, PTH120

from __future__ import annotations

import functools
import json
import os
import stat
from pathlib import Path

from runslot.experiment.rundir import RunDir
from runslot.record import record

_TAIL_BYTES = 2000
_MOST_BYTES = 1 << 20
"""Of the logger's file: it holds a sentence for each thing that had problems."""
_MOST_NOTES, _LONGEST_NOTE = 20, 500


def where_now(run_dir: RunDir, claim: int) -> RunDir | None:
    """Return where the run directory is whose `run.json` is open as `claim`; None where it was
    removed.

    A directory that was moved while the run went on gets its outcome at its new place, and nothing
    is written into what took the old one.
    """
    if claim < 0:  # of a keeper in a container, which has none
        return run_dir
    opened = os.fstat(claim)
    try:
        status = os.stat(run_dir.run_file)
        if (status.st_dev, status.st_ino) == (opened.st_dev, opened.st_ino):
            return run_dir
    except OSError:
        pass
    try:
        link = os.readlink(f"/proc/self/fd/{claim}")
        status = os.stat(link)
    except OSError:  # removed, or no /proc
        return None
    same = (status.st_dev, status.st_ino) == (opened.st_dev, opened.st_ino)
    return RunDir(os.path.dirname(link)) if same else None


def last_line(console: Path) -> str:
    """Return the last line that the run printed; empty where there is none to be had."""
    lines = tail(console, _TAIL_BYTES).strip().splitlines()
    return lines[-1].strip()[:300] if lines else ""


def tail(console: Path, most: int) -> str:
    """Return the end of what the run printed, up to so many bytes."""
    return (_read(console, most, from_end=True) or b"").decode(errors="replace")


def logger_notes(file: Path) -> tuple[str, ...]:
    """Return the sentences that the logger left; one about the file where it holds anything
    else.
    """
    if not os.path.lexists(file):
        return ()
    text = _read(file, _MOST_BYTES)
    try:
        sentences = json.loads(text)["problems"] if text else None
    except (ValueError, TypeError, KeyError, RecursionError):
        sentences = None
    if not isinstance(sentences, list) or not all(
        isinstance(sentence, str) for sentence in sentences
    ):
        return (f"{file.name} is not what the logger writes, and was left alone",)
    notes = tuple(sentence[:_LONGEST_NOTE] for sentence in sentences[:_MOST_NOTES])
    further = len(sentences) - len(notes)
    return notes if further <= 0 else (*notes, f"and {further} more in {file.name}")


def _read(file: Path, most: int, from_end: bool = False) -> bytes | None:
    """Return up to so many bytes of a plain file; None where it is none, or is larger and not to be
    cut.
    """
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or (status.st_size > most and not from_end):
            return None
        return os.pread(descriptor, most, max(0, status.st_size - most) if from_end else 0)
    except OSError:
        return None
    finally:
        os.close(descriptor)


@record
class KillCount:
    """How many processes the kernel has killed for lack of memory."""

    count: int
    of_group: bool
    """Among those of this process's control group; else on the whole machine."""

    def since(self, before: KillCount) -> int:
        """Return how many it was since `before`."""
        return self.count - before.count if self.of_group is before.of_group else 0


def kill_count() -> KillCount:
    """Return the kernel's count as it is now; it takes some microseconds."""
    for path, of_group in ((_group_file(), True), ("/proc/vmstat", False)):
        text = None if path is None else _read(Path(path), 1 << 16)
        for line in (text or b"").splitlines():
            if line.startswith(b"oom_kill "):
                return KillCount(int(line.split()[1]), of_group)
    return KillCount(0, of_group=False)


@functools.cache
def _group_file() -> str | None:
    """Return the file with the count of this process's group, of version 2 or 1; of a template, for
    all its keepers.
    """
    try:
        groups = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return None
    for kind, name in (("cgroup2", "memory.events"), ("cgroup", "memory.oom_control")):
        inside = [
            path
            for _, names, path in groups
            if (names == "" if kind == "cgroup2" else names == "memory")
        ]
        for mount in mounts if inside else ():
            before, _, after = mount.partition(" - ")
            words = after.split()
            if words[0] == kind and (kind == "cgroup2" or "memory" in words[-1].split(",")):
                root, point = before.split()[3:5]
                file = os.path.normpath(f"{point}/{os.path.relpath(inside[0], root)}/{name}")
                if os.path.exists(file):  # noqa: PTH110
                    return file
    return None
