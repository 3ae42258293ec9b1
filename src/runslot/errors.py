"""The errors of runslot: each says what was wrong, where, and what to change.

One base class, so that a script can catch all of them; `retry` tells whether trying the same again
can help.

What a machine runs out of for a while: disk, quota, processes, memory, open files. No run is to
pay for it.

Whoever meets such an error before a run has begun says it with these words, and the start is tried
again later; a launch that could not start anything at all is refused with them. Called by keepers,
templates, launchers and by what writes a new experiment; pure, short of reading the error.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class RunslotError(Exception):
    """Base of all errors that runslot raises on purpose; the message is for the user."""

    retry = False
    """Whether the same call may succeed later without a change."""
    exit_status = 2
    """Of a command that ends by it: nothing was started."""


class InvalidInput(RunslotError, ValueError):
    """Something that was asked cannot be done as it stands; nothing was started."""


class SearchStuck(InvalidInput):
    """A search cannot go on by what its runs have logged; those that ran are kept."""

    exit_status = 1


class NotFound(RunslotError, LookupError):
    """A directory, run or experiment that was named does not exist."""


class NotInstalled(RunslotError, ImportError):
    """An optional part is missing; the message has the command that installs it."""


def extra_said(extra: str) -> str:
    """Return the command that installs an optional part of runslot, from where this one comes from.

    The bare name is not ours on every index: a checkout installs itself, anything else comes from
    the repository.
    """
    import sys
    from importlib.metadata import PackageNotFoundError, metadata
    from pathlib import Path

    checkout = Path(__file__).absolute().parents[2]
    if (checkout / "pyproject.toml").is_file():
        return f"pip install -e '{checkout}[{extra}]'"
    try:
        urls = dict(
            line.split(", ", 1) for line in metadata("runslot").get_all("Project-URL") or ()
        )
    except (PackageNotFoundError, ValueError):  # one file, which has no metadata
        urls = {}
    source = urls.get("Source")
    if not source:
        return f"pip install '.[{extra}]' in a checkout"
    tools = {"uv-receipt.toml": "uv tool install", "pipx_metadata.json": "pipx install --force"}
    installer = next(
        (tool for file, tool in tools.items() if (Path(sys.prefix) / file).is_file()), "pip install"
    )
    return f"{installer} 'runslot[{extra}] @ git+{source}'"


class Busy(RunslotError):
    """Someone else holds what is needed; trying again later can help."""

    retry = True


class Damaged(RunslotError):
    """A file of an experiment or a run is not what runslot wrote: it costs that one alone, which
    the message names.
    """


class NewerFormat(Damaged):
    """A file that a newer version of runslot wrote."""


class DoesNotFit(InvalidInput):
    """A run asks for more than the machine has; the message names the resource that is short."""


class RefusedBySystem(RunslotError, OSError):
    """The operating system refused a file or a process: a full disk, a directory of another
    user's.
    """


class AffinityError(InvalidInput):
    """An affinity code that no machine, or not this one, can have."""


_LONGEST_WORD = 200
"""Characters of a word that is compared with known ones: the comparison takes the square of
them.
"""


def nearest(word: str, words: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the known word closest to `word`, or an empty string.

    Of two letters one is enough: `s4` for `s3`, `rl` for `lr`.
    """
    import difflib  # what few launches need

    by_lower = {name.lower(): name for name in reversed(list(words))}
    lowered = word[:_LONGEST_WORD].lower()
    close = difflib.get_close_matches(
        lowered, by_lower, n=1, cutoff=0.6 if len(lowered) > 2 else 0.5
    )
    return f" (did you mean {by_lower[close[0]]!r}?)" if close else ""


def refuse_unknown_words(who: str, words: Iterable[str], names: Iterable[str]) -> None:
    """Refuse keyword arguments that `who` does not have, by the nearest ones; Python's own
    TypeError names none.
    """
    fields = list(names)
    for word in words:
        if word not in fields:
            hint = nearest(word, fields) or f"; it has {', '.join(fields)}"
            raise InvalidInput(f"{who} has no {word!r}{hint}")


def one_of(value: object, name: str, choices: Sequence[str]) -> None:
    """Refuse, by the name of its field, what is none of these words."""
    if not isinstance(value, str) or value not in choices:
        raise InvalidInput(
            f"{name} must be one of {', '.join(choices)}, not"
            f" {value!r:.80}{nearest(str(value), choices)}"
        )


def whole(value: Any, name: str, least: int, most: int | None = None) -> int:
    """Return a whole number, or refuse it by the name of its field."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or not least <= value <= (2**63 - 1 if most is None else most)
    ):
        bounds = f", {least} or more" if most is None else f" from {least} to {most}"
        raise InvalidInput(f"{name} must be a whole number{bounds}, not {value!r:.80}")
    return value


_WHAT_TO_DO = {
    errno.ENOSPC: "free some room on that disk, or choose another with --root or RUNSLOT_ROOT",
    errno.EDQUOT: (
        "your quota is used up: remove something, or choose another disk with --root or"
        " RUNSLOT_ROOT"
    ),
    errno.EROFS: (
        "it is on a file system that cannot be written to; choose another with --root or"
        " RUNSLOT_ROOT"
    ),
    errno.EACCES: "you may not: name another, or ask its owner",
    errno.EPERM: "you may not: name another, or ask its owner",
    errno.ENOTDIR: "a file stands where a directory is meant; name a directory",
    errno.EISDIR: "a directory stands where a file is meant; name a file",
    errno.EEXIST: "it is there already; name another",
    errno.ENOENT: "check how it is written",
    errno.ENAMETOOLONG: (
        "file systems hold names of 255 bytes, and paths of 4095; choose a shorter one"
    ),
    errno.ELOOP: "its links lead round in a circle; name where it really lies",
    errno.EMFILE: "too many files are open; `ulimit -n` raises the limit",
    errno.ENFILE: "too many files are open on this machine; end some programs",
    errno.ENOMEM: "there is not enough memory; end some programs",
    errno.EAGAIN: "there are too many processes; `ulimit -u` says how many may be",
    errno.ESTALE: "the server of that file system has lost it; look whether it is mounted",
    errno.EIO: "the disk, or the server of that file system, does not work",
}
"""By the system's error number, what somebody can do about it."""


def said_of_system(error: OSError) -> str:
    """Return one line of what the operating system refused: which file, why, and what to do."""
    paths = [
        os.fsdecode(path)
        for path in (error.filename, error.filename2)
        if isinstance(path, (str, bytes))
    ]
    reason = error.strerror or str(error) or type(error).__name__
    advice = _WHAT_TO_DO.get(error.errno or 0)
    return ": ".join([*paths, reason]) + (f"; {advice}" if advice else "")


@contextmanager
def refusals() -> Iterator[None]:
    """Turn what the system or Python refuses inside into the errors of runslot, one line each."""
    try:
        yield
    except (RunslotError, BrokenPipeError):
        raise  # a reader of the output who has gone (`| head`) refuses nothing
    except OSError as error:
        raise RefusedBySystem(said_of_system(error)) from error
    except RecursionError:
        raise InvalidInput("what was given holds itself, or is nested too deeply") from None


# ---- what a machine runs out of for a while ------------------------------------------------------


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
