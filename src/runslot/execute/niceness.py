"""The niceness of a run: how readily its processes give way to others on the same cores
(setpriority(2)).

`process` takes it in the fork that becomes the run, before anything of the user's executes; the
keeper notes where it may not be had, and `launch.experiment` refuses that where the runs are for
this machine. What must stay true: a run without a niceness of its own loads none of this, and one
that may not have it executes all the same.
"""

from __future__ import annotations

import contextlib
import os
import time

LEAST, MOST = -20, 19

_AUTOGROUPS = "/proc/sys/kernel/sched_autogroup_enabled"
_AUTOGROUP = "/proc/self/autogroup"
_AUTOGROUP_PAUSE_S = 0.1
"""The kernel takes one such word of users in this time."""
_AUTOGROUP_TRIES = 5


def problem_of(niceness: int) -> str:
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


def take(niceness: int) -> None:
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
