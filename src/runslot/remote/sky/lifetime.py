"""How long this machine may live: what its share has left, counted from when the task armed the
deadline.

The task counts on the whole time of a share; of a machine that takes another's place the switch-off
is set anew.
"""

from __future__ import annotations

import os
import subprocess
import time

from runslot.engines.sky.job import Job
from runslot.remote.sky.termination import delete_itself
from runslot.remote.sky.threads import say


def armed() -> float:
    """Return the Unix time from which this machine's life is counted: the first line of its task,
    else now.
    """
    text = os.environ.get("RUNSLOT_ARMED")
    return float(text) if text else time.time()


def end_of(job: Job, since: float, lived_before: float) -> float:
    """Return the Unix time at which a machine that was armed at `since` must be gone. Pure."""
    return since + job.seconds - lived_before


def arm_again(end: float) -> None:
    """Have the machine switch itself off at its share's end, where its task has armed it for
    later.
    """
    if not _is_armed():
        return
    minutes = max(1, round((end - time.time()) / 60))
    done = subprocess.run(
        ["sudo", "shutdown", "-h", f"+{minutes}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        say(
            f"the deadline could not be armed anew ({done.stderr.strip()}): the machine lives"
            " longer than it should"
        )
    else:
        say(f"machines before had this share: it switches itself off in {minutes} minutes")


def end_early(cloud: str) -> None:
    """Delete the machine now that everything is sent at its deadline, where switching it off would
    only stop it.
    """
    if cloud == "gcp" and _is_armed():
        delete_itself()


def _is_armed() -> bool:
    """Tell whether the task has armed the switch-off: the machine is ours alone."""
    return bool(os.environ.get("RUNSLOT_SHUTDOWN"))
