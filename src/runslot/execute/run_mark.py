"""`RUNSLOT_RUN` where the kernel shows it (`/proc/PID/environ`), for a run that is a fork: it was
given no environment.

The kernel shows the memory in which a process got its environment. A template is started with room
there; each run writes its directory into it, and all that it forks has it, too.
"""

from __future__ import annotations

import os
import sys

from runslot.experiment.current import RUN_VARIABLE

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
