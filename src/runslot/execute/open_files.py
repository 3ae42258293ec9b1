"""How many files this process may have open: a launcher has one for each run under way, and for
each experiment.

Many systems start processes with a limit of 256 or 1,024 that they may raise themselves.
"""

from __future__ import annotations

import functools
import os
import resource

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
