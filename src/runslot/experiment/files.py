"""Files of an experiment and its runs: read as what others may have damaged, and replaced by
rename.

All of `experiment` reads through here. What is not there is None; whatever else is wrong is
`Damaged`, and names the file in one line.

What must survive a power cut is brought to the disk, off the way of starts.

Called where an experiment is recorded and by its journal; what is promised is in
docs/decisions/0016-power-cuts.md. Nothing here fails: a disk that cannot be asked keeps what it
keeps.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import os
import stat
import threading
from collections.abc import Iterator, Mapping, Sequence
from json.encoder import encode_basestring_ascii
from pathlib import Path
from typing import Any

from runslot.errors import Damaged, NotFound
from runslot.experiment.owner import is_others_link, other_owner
from runslot.experiment.shape import Record
from runslot.hardware.lockfile import user_name

LARGEST_OBJECT_BYTES = 64 << 20
"""A variant may hold a large table; nothing that is larger is one object."""
LARGEST_LIST_BYTES = 2 << 30
"""Ten million lines of a journal."""

_replacements = itertools.count()
"""Numbers of this process's replacements of files."""
_BYTES_AT_ONCE = 1 << 20
_BYTES_TOGETHER = 1 << 17
"""Of whole lines, that are parsed in one call: some hundred events."""


def read_regular(path: str | os.PathLike[str], limit: int) -> bytes | None:
    """Return what a regular file holds; None where there is none; `Damaged` for anything else."""
    try:
        # Without O_NONBLOCK a named pipe would hold the reader until somebody writes to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.islink(path):  # noqa: PTH114  of a path that may be a text
            raise Damaged(f"{path} is a link that leads nowhere") from None
        return None
    except (OSError, ValueError) as error:  # a socket, no permission; a path with a null in it
        raise Damaged(
            f"{path} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    try:
        return _contents(path, descriptor, limit)
    except OSError as error:
        raise Damaged(f"{path} cannot be read: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _contents(path: str | os.PathLike[str], descriptor: int, limit: int) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise Damaged(f"{path} is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}, not a file")
    if status.st_size > limit:
        raise Damaged(
            f"{path} has {status.st_size / 1e6:,.0f} MB, which is none that runslot wrote"
        )
    parts = [os.read(descriptor, status.st_size + 1)]
    if len(parts[0]) != status.st_size:  # it grows, or its file system gives less at once
        while parts[-1]:
            parts.append(os.read(descriptor, _BYTES_AT_ONCE))
    return b"".join(parts) if len(parts) != 1 else parts[0]


_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def open_regular(path: Path) -> int:
    """Return a descriptor of a regular file for reading; `OSError` for all else, at once."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, "is no regular file", os.fspath(path))


def open_to_append(path: str | os.PathLike[str], flags: int = os.O_WRONLY) -> int:
    """Return a descriptor that appends to a file of this user's, which is made; `OSError` for all
    else, at once.

    Nothing is written through a link that another user made, nor into such a user's file, and a
    named pipe without a reader would hold the writer.
    """
    descriptor = open_unless_led(path, flags | os.O_CREAT | os.O_APPEND | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISCHR(status.st_mode)):
        reason = f"is {_KINDS.get(stat.S_IFMT(status.st_mode), 'no file')}, not a file; remove it"
    elif (
        stat.S_ISREG(status.st_mode)
        and status.st_uid != os.geteuid()
        and other_owner(path) is not None
    ):
        reason = f"belongs to {user_name(status.st_uid)}: nothing is written into it; remove it"
    else:
        os.set_blocking(descriptor, True)  # a run may have it as its standard output
        return descriptor
    os.close(descriptor)
    raise OSError(errno.EINVAL, reason, os.fspath(path))


def open_unless_led(path: str | os.PathLike[str], flags: int) -> int:
    """Open a file as `os.open` does, to write into it; `OSError` where another user's link would
    lead elsewhere.
    """
    flags |= os.O_CLOEXEC
    try:
        return os.open(path, flags | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
    if is_others_link(path):
        reason = "is a link that another user made: nothing is written through it; remove it"
        raise OSError(errno.EINVAL, reason, os.fspath(path))
    return os.open(path, flags, 0o666)


def see_anew(directory: str | os.PathLike[str]) -> None:
    """Have the next looks into a directory ask the disk what is there.

    An NFS client may say for a minute that a file is missing which another machine has written, as
    long as it was asked for it before; a directory that is opened it compares with the server's.
    """
    with contextlib.suppress(OSError):
        os.close(os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


def read_json(path: str | os.PathLike[str]) -> dict[str, Any] | None:
    """Return the object in `path`, or None where there is no such file; anything else is
    `Damaged`.
    """
    text = read_regular(path, LARGEST_OBJECT_BYTES)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path} {_why(text, error)}") from error
    if not isinstance(value, dict):
        raise Damaged(f"{path} does not hold a JSON object")
    return value


def read_record(path: str | os.PathLike[str], kind: type[Record]) -> Record | None:
    """Return the record in `path`, or None where there is no such file; `Damaged` names the
    file.
    """
    value = read_json(path)
    if value is None:
        return None
    try:
        return kind.from_json(value)
    except Damaged as error:
        raise type(error)(f"{path}: {error}") from error


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON lines; a torn last line is left out, a broken one
    elsewhere is an error.
    """
    data = read_regular(path, LARGEST_LIST_BYTES)
    if data is None:
        return
    first, start, last = (
        0,
        0,
        data.rfind(b"\n") + 1,
    )  # what follows the last newline is empty, or torn
    while start < last:
        end = data.rfind(b"\n", start, start + _BYTES_TOGETHER) + 1 or data.index(b"\n", start) + 1
        block = data[start : end - 1].split(b"\n")
        try:
            values = json.loads(
                b"[" + b",".join(block) + b"]"
            )  # half the time of a call for each line
        except (ValueError, RecursionError):
            values = [
                parsed_line(path, number, line) for number, line in enumerate(block, first + 1)
            ]
        if len(values) != len(block) or set(map(type, values)) != {dict}:
            values = [
                parsed_line(path, number, line) for number, line in enumerate(block, first + 1)
            ]
        yield from values
        first, start = first + len(block), end


def parsed_line(path: Path, number: int, line: bytes) -> dict[str, Any]:
    """Return the object of one line; `Damaged` names the line."""
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"{path}, line {number}, {_why(line, error)}") from error
    if not isinstance(value, dict):
        raise Damaged(f"{path}, line {number}, does not hold a JSON object")
    return value


def write_atomically(path: Path, text: str | bytes) -> None:
    """Replace `path` by rename, so that a reader, or a kill at any instant, sees the old text or
    the new.
    """
    # Plain system calls: this runs twice in every keeper, where whatever is touched is copied
    # first.
    directory, name = os.path.split(path)
    # A thread, or a signal's handler, may replace the same file at the same moment.
    temporary = f"{directory}/.{name}.{os.getpid()}.{next(_replacements)}"
    try:
        descriptor = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666
        )
        try:
            data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` by one JSON object, a key a line for people (json's own indentation is ten
    times slower).
    """
    lines = [f" {encode_basestring_ascii(key)}: {_text(item)}" for key, item in value.items()]
    write_atomically(path, "{\n" + ",\n".join(lines) + "\n}\n")


def _text(item: Any) -> str:
    """Return a value as JSON; what most values are is written without a call of the encoder."""
    if item is None:
        return "null"
    kind = item.__class__
    if kind is int:
        return repr(item)
    return encode_basestring_ascii(item) if kind is str else json.dumps(item)


def _why(text: bytes, error: Exception) -> str:
    if not text.strip(b"\0 \n\r\t"):
        return (
            "is empty, as after a power cut"
            if not text.strip()
            else "holds zeros alone, as after a power cut"
        )
    if isinstance(error, UnicodeDecodeError):
        return "is not UTF-8"
    if isinstance(error, RecursionError):
        return "is nested too deeply to be JSON of runslot's"
    return f"is not JSON ({error})"


def make_below(directory: Path, base: Path) -> bool:
    """Make a directory; False where it was there.

    What is missing above it is made below `base` alone: an experiment that was moved this moment
    must not begin anew in its old place.
    """
    try:
        os.mkdir(directory)  # noqa: PTH102  a start's
    except FileNotFoundError:
        if directory.parent == base:
            raise
        make_below(directory.parent, base)
        return make_below(directory, base)
    except FileExistsError:
        directory.mkdir(exist_ok=True)  # refuses whatever else lies there
        return False
    return True


def absence_of(error: Exception, directory: Path) -> str:
    """Return that a directory was not there, where an error says so, and nothing of what was to be
    done in it has been: it may be moved elsewhere this moment. Else nothing.
    """
    name = os.fspath(error.filename or "") if isinstance(error, FileNotFoundError) else ""
    if isinstance(error, NotFound) or os.fsdecode(name).startswith(str(directory)):
        return f"{directory} was not there"
    return ""


# ---- what must survive a power cut ---------------------------------------------------------------


FSYNC_VARIABLE = "RUNSLOT_FSYNC"
"""Environment variable: `0` leaves it to the file system when what was written is on the disk."""


def is_asked() -> bool:
    """Tell whether files are to be brought to the disk; they are, unless the user leaves it."""
    return os.environ.get(FSYNC_VARIABLE, "1") != "0"


DISK_THREAD = "runslot-disk"
"""The name of threads that bring files to the disk."""


def sync_soon(paths: Sequence[Path]) -> None:
    """Bring files and directories to the disk, in a thread that the interpreter waits for at its
    end.
    """
    if not is_asked():
        return
    try:
        threading.Thread(target=_sync, args=(tuple(paths),), name=DISK_THREAD).start()
    except RuntimeError:  # no further threads may be started
        _sync(paths)


def _sync(paths: Sequence[Path]) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def sync_data(descriptor: int) -> None:
    """Bring what was appended to a file to the disk."""
    with contextlib.suppress(OSError):
        # macOS has none for data alone.
        getattr(os, "fdatasync", os.fsync)(descriptor)
