"""What the scripts of all batch systems end in: the one command that each task executes. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Sequence


def task_lines(command: Sequence[str], modules: Sequence[str], setup: Sequence[str], task: str) -> list[str]:
    """Return the lines that get a task's shell ready and become the command; `task` is the shell's word for which."""
    return [
        "trap '' USR1  # until the task listens",
        *(f"module load {shlex.quote(module)} || exit 1" for module in modules),
        *setup,
        f"exec {shlex.join(command)} --task {task}",
        "",
    ]
