"""What a machine runs out of for a while: disk, quota, processes, memory, open files. No run is to
pay for it.

Whoever meets such an error before a run has begun says it with these words, and the start is tried
again later; a launch that could not start anything at all is refused with them. Called by keepers,
templates, launchers and by what writes a new experiment; pure, short of reading the error.
"""

from __future__ import annotations

import errno
import os

_NAMES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EAGAIN: "no more processes may be started (`ulimit -u`, or the container's limit)",
    errno.ENOMEM: "there is no memory left",
    errno.EMFILE: "this process may open no more files (`ulimit -n`)",
    errno.ENFILE: "the machine may open no more files",
}


def shortage_of(error: BaseException) -> str:
    """Return what there is too little of, with the system's own words and the path; empty for any
    other error.
    """
    if not isinstance(error, OSError) or error.errno not in _NAMES:
        return ""
    where = "" if error.filename is None else f": {os.fsdecode(error.filename)}"
    return f"{_NAMES[error.errno]} ({os.strerror(error.errno)}{where})"
