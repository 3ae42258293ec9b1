"""What the kernel is asked for around a run: a start without a fork of this interpreter, which
costs more than all else that is done around a short run; death with the parent; niceness; the run's
name in `/proc/PID/environ`.

`posix_spawn` shares the parent's memory until the command takes over, but lets the child ask for
nothing in between: the parent-death signal (`die_with_parent`) is made up for by a pipe whose
end the kernel announces to the run. A run that is a fork was given no environment: the kernel shows
the memory in which its template got one, so a template is started with room there, each run writes
its directory into it, and all that it forks has it, too. Where the kernel does not know a request
(macOS), nothing is done.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence

from runslot.experiment.current import RUN_VARIABLE

_TO_DEFAULT = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
)

AVAILABLE = sys.platform == "linux" and hasattr(fcntl, "F_SETSIG")


class Guard:
    """Has the kernel kill process groups when this process ends, however it ends.

    The reading end of a pipe goes to the run, the writing end stays here; when that closes, the
    kernel sends SIGKILL to the reading end's owner, which is the group of the run (`F_SETSIG`,
    fcntl(2)). A run that closes descriptors it does not know loses the guard, and is found by its
    environment (`leftovers.end_escaped`).
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_inheritable(self._read, True)
        fcntl.fcntl(self._read, fcntl.F_SETSIG, int(signal.SIGKILL))
        fcntl.fcntl(self._read, fcntl.F_SETFL, fcntl.fcntl(self._read, fcntl.F_GETFL) | os.O_ASYNC)

    def over(self, group: int) -> None:
        """Guard this process group, in place of the one before."""
        fcntl.fcntl(self._read, fcntl.F_SETOWN, -group)

    def leave(self) -> None:
        """In a fork: be no longer the one whose end is meant."""
        os.close(self._write)


@functools.cache
def guard_of_process() -> Guard | None:
    """Return this process's guard: its runs follow one another, and each takes the place of the one
    before.

    None where the kernel has none (macOS, some sandboxes): there a run asks to end with this
    process itself.
    """
    try:
        return Guard() if AVAILABLE else None
    except OSError:
        return None


def spawn(argv: Sequence[str], environment: Mapping[str, str], standard: tuple[int, int]) -> int:
    """Start `argv` in a session of its own and return its pid; `OSError` where it cannot be.

    `standard` are descriptors for its input, and for its output and errors. It has this process's
    current directory, CPUs and inheritable descriptors, and signals as in a fresh process.
    """
    refused: OSError = FileNotFoundError(2, os.strerror(2), argv[0])
    for program in _candidates(argv[0], environment):
        try:
            return os.posix_spawn(
                program,
                list(argv),
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, standard[0], 0),
                    (os.POSIX_SPAWN_DUP2, standard[1], 1),
                    (os.POSIX_SPAWN_DUP2, standard[1], 2),
                ],
                setsid=True,
                setsigmask=(),
                setsigdef=_TO_DEFAULT,
            )
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as error:  # another directory of PATH may have it
            refused = error
    raise refused


def _candidates(program: str, environment: Mapping[str, str]) -> list[str]:
    """Return where the program may lie, as `execvpe` looks for it."""
    if os.sep in program:
        return [program]
    return [os.path.join(directory, program) for directory in os.get_exec_path(environment)]  # noqa: PTH118


_SET_PARENT_DEATH_SIGNAL = 1
_SET_CHILD_SUBREAPER = 36

# Looked up at import, in the template: after a fork it is only called.
_prctl = ctypes.CDLL(None, use_errno=True).prctl if sys.platform == "linux" else None


def become_subreaper() -> None:
    """Make orphans among this process's descendants its own children, so that none escapes."""
    if _prctl is not None:
        _prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, its parent, ends."""
    if _prctl is None:
        return
    _prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:  # it ended before the request
        os.kill(os.getpid(), signal.SIGKILL)


LEAST_NICENESS, MOST_NICENESS = -20, 19

_AUTOGROUPS = "/proc/sys/kernel/sched_autogroup_enabled"
_AUTOGROUP = "/proc/self/autogroup"
_AUTOGROUP_PAUSE_S = 0.1
"""The kernel takes one such word of users in this time."""
_AUTOGROUP_TRIES = 5


def niceness_problem(niceness: int) -> str:
    """Return what keeps this process from having such a niceness; empty where nothing does."""
    present = os.getpriority(os.PRIO_PROCESS, 0)
    if niceness >= present:
        return ""
    try:
        os.setpriority(
            os.PRIO_PROCESS, 0, niceness
        )  # to ask is the only way to know: limits, namespaces, policies
    except OSError:
        return (
            f"a niceness of {niceness} takes a right that this user has not here (CAP_SYS_NICE, or"
            " `ulimit -e`)"
        )
    os.setpriority(os.PRIO_PROCESS, 0, present)
    return ""


def take_niceness(niceness: int) -> None:
    """Give this process, and all that it will start, a niceness, as far as it may have it."""
    with contextlib.suppress(OSError):  # the keeper has noted it
        os.setpriority(os.PRIO_PROCESS, 0, niceness)
        _take_in_autogroup(niceness)


def _take_in_autogroup(niceness: int) -> None:
    """Say it of this session as well: where the kernel shares cores out by sessions, niceness
    counts within one.
    """
    with open(_AUTOGROUPS, encoding="ascii") as file:  # noqa: PTH123  this is a run's start
        if file.read().strip() != "1":
            return
    for _ in range(_AUTOGROUP_TRIES):
        try:
            with open(_AUTOGROUP, "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(str(niceness))
        except BlockingIOError:
            time.sleep(_AUTOGROUP_PAUSE_S)
        else:
            return


_ROOM = 4096
_address: int | None = None


def room() -> dict[str, str]:
    """Return what a template's environment has beside its launcher's."""
    return {RUN_VARIABLE: "-" * _ROOM} if sys.platform == "linux" else {}


def find_room() -> None:
    """Note where the room is, as a template, before anything else; for all that asks, this is no
    run.
    """
    global _address  # noqa: PLW0603  of this process, as its environment is
    if sys.platform == "linux" and os.environ.get(RUN_VARIABLE) == "-" * _ROOM:
        import ctypes  # no launcher needs it, which asks for `room` alone

        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_void_p
        _address = getenv(RUN_VARIABLE.encode())
        del os.environ[RUN_VARIABLE]


def mark(run_dir: str) -> None:
    """Write the run's directory there, as the run."""
    name = os.fsencode(run_dir)
    if _address is not None and len(name) < _ROOM:
        import ctypes

        ctypes.memset(_address, 0, _ROOM)
        ctypes.memmove(_address, name, len(name))
