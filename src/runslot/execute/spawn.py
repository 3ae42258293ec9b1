"""Start a command without a fork of this interpreter, which costs more than all else that is done
around a short run.

`posix_spawn` shares the parent's memory until the command takes over, but lets the child ask for
nothing in between: the parent-death signal (`linux.die_with_parent`) is made up for by a pipe whose
end the kernel announces to the run.
"""

from __future__ import annotations

import fcntl
import functools
import os
import signal
import sys
from collections.abc import Mapping, Sequence

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
