"""How processes are started, and what the kernel is asked for around a run: a start without a fork
of this interpreter, which costs more than all else that is done around a short run; death with the
parent; niceness; open files; the run's name in `/proc/PID/environ`; the code by which another
Python has this runslot.

`posix_spawn` shares the parent's memory until the command takes over, but lets the child ask for
nothing in between: the parent-death signal (`die_with_parent`) is made up for by a pipe whose
end the kernel announces to the run. A run that is a fork was given no environment: the kernel shows
the memory in which its template got one, so a template is started with room there, each run writes
its directory into it, and all that it forks has it, too. Where the kernel does not know a request
(macOS), nothing is done.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import os
import resource
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from runslot.experiment.current import RUN_VARIABLE

SIGNALS_TO_DEFAULT = (
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
)
"""What a run finds as in a fresh shell: Python, nohup, and the shell of a launch in the background
(SIGINT, SIGQUIT) ignore some, and children inherit that.
"""

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
                setsigdef=SIGNALS_TO_DEFAULT,
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


@functools.cache
def _prctl() -> Callable[..., int] | None:
    """Return prctl(2): looked up in the template, so that after a fork it is only called; a
    launcher never needs it, nor ctypes.
    """
    if sys.platform != "linux":
        return None
    import ctypes

    prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


def become_subreaper() -> None:
    """Make orphans among this process's descendants its own children, so that none escapes."""
    if (prctl := _prctl()) is not None:
        prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when `parent`, its parent, ends."""
    if (prctl := _prctl()) is None:
        return
    prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
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
ROOM_MARK = "-"
"""What room is full of until a run has marked its process: no run's directory is so."""
_address: int | None = None
_size = _ROOM
_prefix = b""


def room() -> dict[str, str]:
    """Return what a template's environment has beside its launcher's."""
    return {RUN_VARIABLE: ROOM_MARK * _ROOM} if sys.platform == "linux" else {}


def find_room() -> None:
    """Note where the room is, as a template, before anything else; for all that asks, this is no
    run.
    """
    global _address  # noqa: PLW0603  of this process, as its environment is
    if sys.platform == "linux" and os.environ.get(RUN_VARIABLE) == ROOM_MARK * _ROOM:
        import ctypes  # no launcher needs it, which asks for `room` alone

        getenv = ctypes.CDLL(None).getenv
        getenv.restype = ctypes.c_void_p
        _address = getenv(RUN_VARIABLE.encode())
        del os.environ[RUN_VARIABLE]


def take_room() -> None:
    """As a fork of a process that was given no room: take the memory in which it got its
    environment.

    Nothing stands there any more once a run has set its own variables, before it is marked.
    """
    global _address, _size, _prefix
    try:
        with open("/proc/self/stat", "rb") as file:  # noqa: PTH123
            fields = file.read().rpartition(b")")[2].split()
        begin, end = int(fields[47]), int(fields[48])  # env_start, env_end: proc(5)
    except (OSError, IndexError):
        return
    if end > begin > 0:
        _address, _size, _prefix = begin, end - begin, f"{RUN_VARIABLE}=".encode()


def mark(run_dir: str) -> None:
    """Write the run's directory there, as the run."""
    name = _prefix + os.fsencode(run_dir)
    if _address is not None and len(name) < _size:
        import ctypes

        ctypes.memset(_address, 0, _size)
        ctypes.memmove(_address, name, len(name))


# ---- another Python, with this runslot -----------------------------------------------------------


PACKAGE = os.path.abspath(os.path.join(os.path.realpath(__file__), *[os.pardir] * 3))  # noqa: PTH100, PTH118
"""The directory, or the one-file archive, in which this runslot lies."""


def start_code(
    module: str,
    function: str,
    *arguments: object,
    package: str = PACKAGE,
    only_ours: bool = False,
    exits: bool = False,
) -> str:
    """Return code for `python -c` that calls a function of `runslot.<module>`, found in `package`.

    This runslot is found before whatever a directory or an environment has under its name, and the
    started Python imports no more than it says: templates, cold starts, keepers in containers,
    launches that go on without their terminal and selftest are started so.

    With `only_ours` the current directory, which `-c` puts first on the path, is not looked into: a
    file there may have the name of a standard module. With `exits` what the function returns is the
    exit status.
    """
    enter = f"sys.path[0] = {package!r}" if only_ours else f"sys.path.insert(0, {package!r})"
    call = f"{function}({', '.join(map(repr, arguments))})"
    call = f"sys.exit({call})" if exits else call
    return f"import sys; {enter}; from runslot.{module} import {function}; {call}"


# ---- open files ----------------------------------------------------------------------------------


_ENOUGH = 1 << 16
_SPARE = 32
"""Descriptors that are left for all else that a launcher opens for a moment."""


@functools.cache
def original_limit() -> int:
    """Return the limit that this process was started with, which the runs have, too."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def allow_many() -> None:
    """Raise this process's limit as far as it may."""
    soft, hard = original_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    limit = _ENOUGH if hard == resource.RLIM_INFINITY else min(hard, _ENOUGH)
    if soft != resource.RLIM_INFINITY and soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def why_no_further(beside: int = 0) -> str:
    """Return what is said where hardly a descriptor is free `beside` those that will be needed;
    else nothing.
    """
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    try:
        lowest = os.dup(0)
    except OSError:
        lowest = limit
    else:
        os.close(lowest)
    if limit == resource.RLIM_INFINITY or lowest + beside < limit - _SPARE:
        return ""
    return f"this process may open {limit} files, and has as many: raise `ulimit -n`"
