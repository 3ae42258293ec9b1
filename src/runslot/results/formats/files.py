"""Read files of run directories: regular ones alone, so that no link, pipe or device in one leads
anywhere else.

Directories of runs are found without following links, so that a file that is no link lies below
what was named.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

from runslot.errors import RunslotError


def open_regular(path: str | os.PathLike[str]) -> int:
    """Return a descriptor of a file for reading; `OSError` where it is a link, or no regular
    file."""
    # Without O_NONBLOCK a named pipe would hold the reader until somebody writes to it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.ELOOP, "is no regular file", os.fspath(path))


def read_bytes(path: str | os.PathLike[str]) -> bytes | None:
    """Return what a regular file holds; None where there is no file; `RunslotError` for a link, a
    pipe, a device."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise RunslotError(
            f"{os.fspath(path)} is no regular file; links are not followed"
        ) from error


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a regular file; None where there is no file; `RunslotError` for
    anything else."""
    data = read_bytes(path)
    if data is None:
        return None
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise RunslotError(f"{path} is not JSON ({error}); move it away and run again") from error
    if not isinstance(value, dict):
        raise RunslotError(f"{path} does not hold a JSON object; move it away and run again")
    return value


def first_line(path: str, limit: int) -> str:
    """Return a file's first line that is not blank, up to `limit` bytes; nothing where it cannot be
    read."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            head = file.read(limit)
    except OSError:
        return ""
    return head.lstrip().partition(b"\n")[0].decode("utf-8", "replace").strip()
