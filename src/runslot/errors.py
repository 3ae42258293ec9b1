"""The errors of runslot: each says what was wrong, where, and what to change.

One base class, so that a script can catch all of them; `retry` tells whether trying the same again can help.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RunslotError(Exception):
    """Base of all errors that runslot raises on purpose; the message is for the user."""

    retry = False
    """Whether the same call may succeed later without a change."""


class InvalidInput(RunslotError, ValueError):
    """Something that was asked cannot be done as it stands; nothing was started."""


class NotFound(RunslotError, LookupError):
    """A directory, run or experiment that was named does not exist."""


class NotInstalled(RunslotError, ImportError):
    """An optional part is missing; the message has the command that installs it."""


class Busy(RunslotError):
    """Someone else holds what is needed; trying again later can help."""

    retry = True


class Damaged(RunslotError):
    """A file of an experiment or a run is not what runslot wrote: it costs that one alone, which the message names."""


class NewerFormat(Damaged):
    """A file that a newer version of runslot wrote."""


class DoesNotFit(InvalidInput):
    """A run asks for more than the machine has; the message names the resource that is short."""


class AffinityError(InvalidInput):
    """An affinity code that no machine, or not this one, can have."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known word closest to `word`, or an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f" (did you mean {close[0]!r}?)" if close else ""
